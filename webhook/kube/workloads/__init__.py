"""Where pods are inside the objects that make them.

``WORKLOADS`` names, for each kind known to carry pods, what finds them; a kind that nobody named is searched for
what has a pod's shape. What is found becomes a ``Pod``, in one of two ways:

- A pod template that stands in one place is seen where it stands: the pod's root is the object itself, and what
  mutations would change of its pods is changed in a copy of the object.
- A pod whose parts stand in several places, or beside what is no part of it, is put together as the Pod object that
  the controller would make. Rules judge and mutations change that object. Changing the user's object instead
  cannot be right: a toleration added to one template of a workflow takes away those of the whole workflow from it.
  As nothing of a workload is ever patched, nothing is lost; only the paths of findings are led back to where the
  user wrote, or would write, what they are about (``Pod.written_at``).

Either way rules see an ordinary pod, and a finding's path is one in the object the user wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Final

from webhook.kube.accelerators import Catalog
from webhook.kube.gvk import GroupVersionKind, parse_api_version
from webhook.kube.kinds import BUILT_IN, Kind
from webhook.kube.pod import Pod
from webhook.kube.shape import JSONObject, mapping, text
from webhook.kube.workloads.discovery import Search
from webhook.kube.workloads.parts import Described, Found
from webhook.kube.workloads.paths import Finder
from webhook.kube.workloads.table import WORKLOADS

# No real object describes more pods, and looking at each of a hundred thousand would take minutes.
MOST_PODS: Final = 2_000

# Whole objects inside others (a workload in an AppWrapper) are not nested any deeper than this.
_EMBEDDED: Final = 4

# Their objects have pods' shapes in them to say what pods must be like.
POLICY_GROUPS: Final = frozenset(
    {
        "constraints.gatekeeper.sh",
        "gpuward.dev",
        "kyverno.io",
        "mutations.gatekeeper.sh",
        "policies.kubewarden.io",
        "policies.kyverno.io",
        "templates.gatekeeper.sh",
    }
)

Finders = Mapping[Kind, Finder]

_NOTHING: Final[Finders] = {}


def carries_pods(kind: GroupVersionKind) -> bool:
    """Whether objects of this kind are known to describe pods: Pod itself or a kind of ``WORKLOADS``."""
    return (kind.group, kind.kind) in WORKLOADS or (kind.group, kind.kind) == ("", "Pod")


def may_carry_pods(kind: GroupVersionKind) -> bool:
    """Whether objects of this kind can describe pods: the known ones, and any custom resource.

    Built-in kinds that describe none (ConfigMap, Secret, Lease ...) cannot, so that they cost nothing; neither can
    policies about pods.
    """
    if kind.group in BUILT_IN or kind.group in POLICY_GROUPS:
        return carries_pods(kind)
    return True


def find_pods(
    kind: GroupVersionKind,
    obj: JSONObject,
    catalog: Catalog,
    device_classes: Mapping[str, tuple[str, ...]] | None = None,
    own: Finders = _NOTHING,
) -> tuple[Pod, ...]:
    """Every pod an object describes: itself if it is a Pod, else one for each of its pod templates.

    ``own`` finds the pods of kinds that were described in configuration. A template that is absent or no map is left
    out, and so are those beyond ``MOST_PODS``. ``Pod.written_at`` leads to paths from the root of ``obj``.
    """
    if kind.kind == "Pod" and kind.group == "":
        metadata, spec = mapping(obj, "metadata"), mapping(obj, "spec")
        return (Pod(metadata, spec, catalog, device_classes=device_classes, root=obj),)
    return tuple(
        Pod.inside(
            obj if found.root is None else found.root,
            catalog,
            metadata_path=found.metadata_path,
            spec_path=found.spec_path,
            device_classes=device_classes,
            replicas=found.replicas,
            replicas_path=found.replicas_path,
            sources=found.sources,
        )
        for found in islice(_Describing(own).pods(kind, obj, 0), MOST_PODS)
    )


class _Describing:
    """Finding the pods of one object, and of the objects inside it."""

    __slots__ = ("_own", "_search")

    def __init__(self, own: Finders) -> None:
        self._own = own
        self._search = Search()

    def pods(self, kind: GroupVersionKind, obj: JSONObject, depth: int) -> Iterator[Described]:
        for found in self._find(kind, obj):
            if isinstance(found, Described):
                yield found
            elif depth < _EMBEDDED:
                for pod in self._embedded(found.obj, depth + 1):
                    yield pod.below(found.path)

    def _embedded(self, obj: JSONObject, depth: int) -> Iterator[Described]:
        kind = parse_api_version(text(obj, "apiVersion"), text(obj, "kind"))
        if (kind.group, kind.kind) == ("", "Pod"):
            yield Described()
        else:
            yield from self.pods(kind, obj, depth)

    def _find(self, kind: GroupVersionKind, obj: JSONObject) -> Iterator[Found]:
        name = (kind.group, kind.kind)
        own = self._own.get(name)
        if own is not None:
            return own.find(obj)
        if name in WORKLOADS:
            found = WORKLOADS[name].find(obj)
            first = next(found, None)
            if first is not None:
                return chain((first,), found)
        # Also a known kind in whose known places nothing stands: it may be of a version that has them elsewhere.
        return self._search.find(obj) if kind.group not in BUILT_IN and may_carry_pods(kind) else iter(())
