"""One pod, read: what every rule looks at.

A ``Pod`` is a view of a pod's or pod template's ``metadata`` and ``spec`` inside some object, its ``root``. It copies
nothing, and works out once what several rules need: the containers of every kind, the accelerators requested.
It is valid until the root changes.

Mostly the root is the object the user wrote. Some workloads, though, describe a pod in pieces that stand apart (an
Argo template and its workflow's defaults, a KServe model beside a PodSpec). There the root is a Pod object put
together from the pieces, and ``sources`` says where each piece was written; see ``webhook.kube.workloads``.
Rules need not know: they read, and mutations write, the root under ``field`` and ``meta``, and ``written_at`` leads
from there to the user's own text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, Literal

from webhook.kube.accelerators import Accelerator, Catalog
from webhook.kube.path import MISSING, Path, lookup
from webhook.kube.quantity import quantity_or_none
from webhook.kube.shape import JSONObject, items, mapping, text

ContainerList = Literal["initContainers", "containers", "ephemeralContainers"]

# In the order Kubernetes starts them. Rules that forget a list can be bypassed, so there is one place that has them.
CONTAINER_LISTS: Final[tuple[ContainerList, ...]] = ("initContainers", "containers", "ephemeralContainers")

_NO_ACCELERATORS: Final[Mapping[str, Decimal]] = {}
_NO_MAP: Final = mapping({}, "")
_ZERO: Final = Decimal(0)


class Container:
    """One container of a pod: ``raw`` is the map the user wrote, in ``list_name`` of the pod's spec at ``index``;
    ``pod_path`` is where that spec stands in the pod's root."""

    __slots__ = (
        "accelerators",
        "index",
        "is_ephemeral",
        "limits",
        "list_name",
        "pod_path",
        "raw",
        "requests",
        "security_context",
    )

    def __init__(
        self, raw: JSONObject, list_name: ContainerList, index: int, pod_path: Path, catalog: Catalog
    ) -> None:
        self.raw = raw
        self.list_name = list_name
        self.index = index
        self.pod_path = pod_path
        # Written out, as it is done for every container of every review: what is absent or no map is an empty map.
        limits = requests = _NO_MAP
        resources = raw.get("resources")
        if type(resources) is dict:
            if type(given := resources.get("limits")) is dict:
                limits = given
            if type(given := resources.get("requests")) is dict:
                requests = given
        self.limits = limits
        self.requests = requests
        context = raw.get("securityContext")
        self.security_context = context if type(context) is dict else _NO_MAP
        self.is_ephemeral: Final = list_name == "ephemeralContainers"
        """Whether it is an ephemeral (``kubectl debug``) container: it can have neither resources nor ports nor
        probes."""
        self.accelerators: Final = (
            _NO_ACCELERATORS
            if self.is_ephemeral or limits is requests  # as both are absent
            else _accelerators(limits, requests, catalog)
        )
        """Accelerators asked for by extended resource name: resource name to count, zero counts left out.

        The API server requires request and limit to be equal; where the user wrote different ones, the larger counts.
        An ephemeral container asks for none: it can have no resources, and what is written there will be refused.
        """

    @property
    def name(self) -> str:
        """The container's name; where it has none (invalid, but seen), its place in the list."""
        return text(self.raw, "name") or f"{self.list_name}[{self.index}]"

    @property
    def is_sidecar(self) -> bool:
        """A restartable init container: it runs beside the regular ones, so its resources add up with theirs."""
        return self.list_name == "initContainers" and self.raw.get("restartPolicy") == "Always"

    @property
    def path(self) -> Path:
        """Where this container stands in the pod's root."""
        return self.field()

    def field(self, *segments: str | int) -> Path:
        """The path of a field of this container in the pod's root."""
        return (*self.pod_path, self.list_name, self.index, *segments)


def _accelerators(limits: JSONObject, requests: JSONObject, catalog: Catalog) -> Mapping[str, Decimal]:
    found: dict[str, Decimal] = {}
    # Mostly they are the same, as Kubernetes wants them for accelerators.
    for quantities in (limits,) if limits == requests else (limits, requests):
        for resource in quantities:
            # A resource name without a slash is native (cpu, memory) and never an accelerator: most end here.
            if "/" in resource and catalog.find(resource) is not None:
                count = quantity_or_none(quantities[resource])
                if count is not None and count > found.get(resource, 0):
                    found[resource] = count
    return found or _NO_ACCELERATORS


class Pod:
    """A pod or pod template.

    ``metadata`` and ``spec`` are the maps in ``root`` at ``metadata_path`` and ``spec_path`` (empty where absent).
    ``device_classes`` gives the DeviceClasses behind a claim or claim template by its name, as far as they are known.

    ``replicas`` is how many pods the workload makes of this template at most: 1 for a pod, and where the object does
    not say. ``replicas_path`` is where the user writes that number, empty where nobody does.
    ``written`` is the root as it was before any mutation, which the paths of findings are about.
    """

    __slots__ = (
        "_accelerators",
        "_first",
        "accelerated",
        "catalog",
        "containers",
        "device_classes",
        "metadata",
        "metadata_path",
        "replicas",
        "replicas_path",
        "root",
        "sources",
        "spec",
        "spec_path",
        "written",
    )

    def __init__(
        self,
        metadata: JSONObject,
        spec: JSONObject,
        catalog: Catalog,
        *,
        metadata_path: Path = ("metadata",),
        spec_path: Path = ("spec",),
        device_classes: Mapping[str, tuple[str, ...]] | None = None,
        replicas: int = 1,
        replicas_path: Path = (),
        root: JSONObject | None = None,
        sources: Mapping[Path, Path] | None = None,
        written: JSONObject | None = None,
    ) -> None:
        """``sources`` maps paths in the root to the paths in the user's object where those parts were written;
        without it the root is the user's object. Without ``root``, metadata and spec are a pod of their own.
        """
        self.catalog = catalog
        self.metadata_path = metadata_path
        self.spec_path = spec_path
        self.device_classes = device_classes
        self.replicas = replicas
        self.replicas_path = replicas_path
        self.root: JSONObject = {"metadata": metadata, "spec": spec} if root is None else root
        self.sources = sources
        self.written = self.root if written is None else written
        self.metadata = metadata
        self.spec = spec
        self._first: Pod | None = None
        self._find_containers()

    def _find_containers(self) -> None:
        spec, path, catalog = self.spec, self.spec_path, self.catalog
        containers: list[Container] = []
        accelerated: list[Container] = []
        for list_name in CONTAINER_LISTS:
            listed = spec.get(list_name)
            if listed and type(listed) is list:
                for index, raw in enumerate(listed):
                    if type(raw) is dict:
                        container = Container(raw, list_name, index, path, catalog)
                        containers.append(container)
                        if container.accelerators:
                            accelerated.append(container)
        self.containers = tuple(containers)
        self.accelerated = tuple(accelerated)
        """The containers that ask for accelerators by resource name."""
        self._accelerators: Mapping[str, Decimal] | None = None

    @classmethod
    def inside(
        cls,
        root: JSONObject,
        catalog: Catalog,
        *,
        metadata_path: Path,
        spec_path: Path,
        **known: Any,
    ) -> Pod:
        """The pod whose metadata and spec stand at these paths of ``root``; further arguments as for ``Pod``."""
        return cls(
            _map_at(root, metadata_path),
            _map_at(root, spec_path),
            catalog,
            metadata_path=metadata_path,
            spec_path=spec_path,
            root=root,
            **known,
        )

    def after(self, root: JSONObject) -> Pod:
        """The same pod in a changed copy of its root. What the copy shares with the root is as it was."""
        # Without the constructor, which would look for the containers.
        pod = Pod.__new__(Pod)
        pod.catalog = self.catalog
        pod.metadata_path = self.metadata_path
        pod.spec_path = self.spec_path
        pod.device_classes = self.device_classes
        pod.replicas = self.replicas
        pod.replicas_path = self.replicas_path
        pod.root = root
        pod.sources = self.sources
        pod.written = self.written
        pod.metadata = _map_at(root, self.metadata_path)
        pod.spec = _map_at(root, self.spec_path)
        # Not the pod before: its lists may be copies that have been written to since.
        pod._first = first = self._first or self
        if _has_same_containers(pod.spec, first.spec):
            pod.containers = first.containers
            pod.accelerated = first.accelerated
            pod._accelerators = first._accelerators
        else:
            pod._find_containers()
        return pod

    def field(self, *segments: str | int) -> Path:
        """The path of a field of the pod's spec in its root: what mutations write to."""
        return self.spec_path + segments

    def meta(self, *segments: str | int) -> Path:
        """The path of a field of the pod's metadata in its root."""
        return self.metadata_path + segments

    def written_at(self, path: Path) -> Path:
        """Where in the object the user wrote is what stands in the root at ``path``, or would be added there.

        Items of lists that mutations moved are found again by their names. What a mutation added is nowhere in the
        user's object; the path then ends at what holds it.
        """
        if self.root is not self.written:
            path = _before(path, self.root, self.written)
        if self.sources is None:
            return path
        for length in range(len(path), 0, -1):
            source = self.sources.get(path[:length])
            if source is not None:
                return source + path[length:]
        return path

    @property
    def place(self) -> Path:
        """Where the user wrote the pod's spec: what tells the pods of one object apart."""
        return self.spec_path if self.sources is None else self.sources.get(self.spec_path, self.spec_path)

    @property
    def labels(self) -> JSONObject:
        return mapping(self.metadata, "labels")

    @property
    def annotations(self) -> JSONObject:
        return mapping(self.metadata, "annotations")

    @property
    def security_context(self) -> JSONObject:
        return mapping(self.spec, "securityContext")

    @property
    def limits(self) -> JSONObject:
        """Pod-level limits (``spec.resources.limits``), which stand in for the containers'."""
        return mapping(mapping(self.spec, "resources"), "limits")

    @property
    def requests(self) -> JSONObject:
        """Pod-level requests (``spec.resources.requests``)."""
        return mapping(mapping(self.spec, "resources"), "requests")

    @property
    def tolerations(self) -> list[JSONObject]:
        return items(self.spec, "tolerations")

    @property
    def is_windows(self) -> bool:
        return mapping(self.spec, "os").get("name") == "windows"

    @property
    def accelerators(self) -> Mapping[str, Decimal]:
        """What the whole pod holds at once: resource name to count.

        Regular containers and sidecars add up; ordinary init containers run one at a time before the regular ones,
        so the largest of them counts, together with the sidecars started before it.
        Source: k8s.io/component-helpers ``resource.PodRequests``.
        """
        found = self._accelerators
        if found is None:
            using = self.accelerated
            found = using[0].accelerators if len(using) == 1 else _together(using)
            self._accelerators = found
        return found

    @property
    def claimed_device_classes(self) -> list[str | None]:
        """The DeviceClasses of the pod's resource claims, None for a claim whose class is not known."""
        classes: list[str | None] = []
        known: Mapping[str, tuple[str, ...]] = self.device_classes or {}
        for claim in items(self.spec, "resourceClaims"):
            reference = text(claim, "resourceClaimTemplateName") or text(claim, "resourceClaimName")
            classes.extend(known.get(reference) or (None,))
        return classes

    @property
    def requests_accelerator(self) -> bool:
        """Whether the pod asks for any accelerator, by resource name or by claim.

        A claim whose DeviceClass is not known counts: claims exist for devices.
        """
        if self.accelerated:
            return True
        if "resourceClaims" not in self.spec:
            return False
        return any(c is None or self.catalog.find_device_class(c) for c in self.claimed_device_classes)

    def accelerator_families(self) -> tuple[Accelerator, ...]:
        """The catalog entries of what the pod asks for, each once, in the order first met.

        Claims of unknown DeviceClass have none. Ephemeral containers cannot ask for resources.
        """
        find = self.catalog.find
        found: dict[str, Accelerator] = {}
        for container in self.accelerated:
            for resource in container.accelerators:
                accelerator = find(resource)
                if accelerator is not None:
                    found.setdefault(accelerator.name, accelerator)
        if "resourceClaims" in self.spec:
            for device_class in self.claimed_device_classes:
                claimed = self.catalog.find_device_class(device_class) if device_class else None
                if claimed is not None:
                    found.setdefault(claimed.name, claimed)
        return tuple(found.values())

    def as_object(self, namespace: str | None = None) -> JSONObject:
        """A Pod object with this metadata and spec, for expressions that want to see one. Shares the user's maps."""
        metadata: dict[str, Any] = dict(self.metadata)
        if namespace and "namespace" not in metadata:
            metadata["namespace"] = namespace
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": self.spec}


def _together(containers: Iterable[Container]) -> dict[str, Decimal]:
    """What these containers of one pod hold at once, at the most."""
    total: dict[str, Decimal] = {}
    sidecars: dict[str, Decimal] = {}
    largest_init: dict[str, Decimal] = {}
    for container in containers:
        for resource, count in container.accelerators.items():
            if container.list_name == "containers":
                total[resource] = total.get(resource, _ZERO) + count
            elif container.is_sidecar:
                sidecars[resource] = sidecars.get(resource, _ZERO) + count
                largest_init[resource] = max(largest_init.get(resource, _ZERO), sidecars[resource])
            else:
                together = count + sidecars.get(resource, _ZERO)
                largest_init[resource] = max(largest_init.get(resource, _ZERO), together)
    for resource, count in sidecars.items():
        total[resource] = total.get(resource, _ZERO) + count
    for resource, count in largest_init.items():
        total[resource] = max(total.get(resource, _ZERO), count)
    return total


def _map_at(root: JSONObject, path: Path) -> JSONObject:
    found = lookup(root, path)
    return found if type(found) is dict else _NO_MAP


def _has_same_containers(one: JSONObject, other: JSONObject) -> bool:
    for list_name in CONTAINER_LISTS:  # noqa: SIM110 - asked after every mutation, and a generator costs more
        if one.get(list_name) is not other.get(list_name):
            return False
    return True


def _before(path: Path, now: Any, before: Any) -> Path:
    """The path in ``before`` of what stands at ``path`` in ``now``, as far as it was there."""
    for depth, segment in enumerate(path):
        if now is before:
            # Nothing was changed from here on.
            return path
        if type(now) is dict and type(before) is dict:
            now, before = now.get(segment, MISSING), before.get(segment, MISSING)
        elif isinstance(segment, int) and type(now) is list and segment < len(now):
            index = _index_before(now[segment], segment, before)
            if index is None:
                return path[:depth]
            path = (*path[:depth], index, *path[depth + 1 :])
            now, before = now[segment], before[index]
        else:
            now, before = lookup(now, (segment,)), lookup(before, (segment,))
    return path


def _index_before(item: Any, index: int, before: Any) -> int | None:
    """Where a list's item was: at its own index, unless another item of a name is there now."""
    if type(before) is not list:
        return None
    name = _name(item)
    if name is MISSING:
        return index if index < len(before) else None
    if index < len(before) and _name(before[index]) == name:
        return index
    return next((i for i, other in enumerate(before) if _name(other) == name), None)


def _name(item: Any) -> Any:
    return item.get("name", MISSING) if type(item) is dict else MISSING
