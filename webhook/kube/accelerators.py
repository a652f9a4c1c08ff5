"""The accelerator catalog: which resources are accelerators, and how the nodes that have them are marked.

The data is a file (``accelerators.yaml`` beside this module, extended by ``AcceleratorCatalog`` documents among the
policies); this module only holds and searches it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from typing import Final

from msgspec import Struct


class Taint(Struct, frozen=True):
    """A node taint that keeps other pods away. Its value varies between platforms, so it is not kept."""

    key: str
    effect: str


class NodeRequirement(Struct, frozen=True):
    """One ``matchExpressions`` entry of a node selector term."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class Accelerator(Struct, frozen=True):
    """A family of accelerator resources whose nodes carry the same taints and labels.

    ``resources`` are extended resource names or globs over them (``nvidia.com/mig-*``); ``device_classes`` the
    DeviceClasses (resource.k8s.io) that hand out the same devices.
    """

    name: str
    resources: tuple[str, ...]
    device_classes: tuple[str, ...] = ()
    taints: tuple[Taint, ...] = ()
    node_requirements: tuple[NodeRequirement, ...] = ()


_GLOB: Final = re.compile(r"[*?\[]")

# Distinct resource names a cluster uses are few; the bound only keeps hostile input from growing the memo.
_MEMO_LIMIT: Final = 4096


class Catalog:
    """An immutable set of accelerators, searched by resource name, device class or taint."""

    __slots__ = (
        "_by_device_class",
        "_by_name",
        "_globs",
        "_memo",
        "_rdma_memo",
        "_rdma_pattern",
        "accelerators",
        "rdma_resources",
        "taints",
    )

    def __init__(self, accelerators: Iterable[Accelerator], rdma_resources: Iterable[str] = ()) -> None:
        """A later accelerator wins over an earlier one that claims the same resource name or device class."""
        self.accelerators: Final = tuple(accelerators)
        self.rdma_resources: Final = tuple(rdma_resources)
        self._by_name: dict[str, Accelerator] = {}
        self._globs: list[tuple[re.Pattern[str], Accelerator]] = []
        self._by_device_class: dict[str, Accelerator] = {}
        for accelerator in self.accelerators:
            for resource in accelerator.resources:
                if _GLOB.search(resource):
                    self._globs.insert(0, (re.compile(translate(resource)), accelerator))
                else:
                    self._by_name[resource] = accelerator
            for device_class in accelerator.device_classes:
                self._by_device_class[device_class] = accelerator
        self._rdma_pattern = re.compile("|".join(translate(name) for name in self.rdma_resources) or r"(?!)")
        self.taints: Final = tuple(dict.fromkeys(taint for a in self.accelerators for taint in a.taints))
        self._memo: dict[str, Accelerator | None] = {}
        self._rdma_memo: dict[str, bool] = {}

    def find(self, resource: str) -> Accelerator | None:
        """The accelerator that an extended resource name stands for, or None where it is none."""
        try:
            return self._memo[resource]
        except KeyError:
            pass
        found = self._by_name.get(resource)
        if found is None:
            found = next((a for pattern, a in self._globs if pattern.match(resource)), None)
        if len(self._memo) < _MEMO_LIMIT:
            self._memo[resource] = found
        return found

    def find_device_class(self, device_class: str) -> Accelerator | None:
        """The accelerator that a DeviceClass hands out, or None where it is none we know."""
        return self._by_device_class.get(device_class)

    def is_rdma(self, resource: str) -> bool:
        """Whether a resource is a remote-memory network device, whose users need to lock memory."""
        try:
            return self._rdma_memo[resource]
        except KeyError:
            pass
        found = self._rdma_pattern.match(resource) is not None
        if len(self._rdma_memo) < _MEMO_LIMIT:
            self._rdma_memo[resource] = found
        return found

    def extended(self, accelerators: Iterable[Accelerator], rdma_resources: Iterable[str] = ()) -> Catalog:
        """A new catalog with ``accelerators`` added; one with a name that is there already replaces it."""
        added = tuple(accelerators)
        names = {accelerator.name for accelerator in added}
        kept = tuple(accelerator for accelerator in self.accelerators if accelerator.name not in names)
        return Catalog(kept + added, self.rdma_resources + tuple(rdma_resources))


def catalog_from_documents(documents: Iterable[Mapping[str, object]]) -> Catalog:
    """Build a catalog from validated ``AcceleratorCatalog`` documents (plain data); later ones extend earlier ones."""
    catalog = Catalog(())
    for document in documents:
        spec = document["spec"]
        assert isinstance(spec, Mapping)
        catalog = catalog.extended(
            (_accelerator(entry) for entry in spec.get("accelerators") or ()),
            spec.get("rdmaResources") or (),
        )
    return catalog


def _accelerator(entry: Mapping[str, object]) -> Accelerator:
    def listed(key: str) -> Iterable[Mapping[str, object]]:
        value = entry.get(key) or ()
        assert isinstance(value, Iterable)
        return value

    return Accelerator(
        name=str(entry["name"]),
        resources=tuple(str(name) for name in listed("resources")),
        device_classes=tuple(str(name) for name in listed("deviceClasses")),
        taints=tuple(Taint(str(t["key"]), str(t.get("effect") or "NoSchedule")) for t in listed("taints")),
        node_requirements=tuple(
            NodeRequirement(str(r["key"]), str(r["operator"]), tuple(str(v) for v in r.get("values") or ()))  # type: ignore[attr-defined]  # checked by the document model
            for r in listed("nodeAffinity")
        ),
    )
