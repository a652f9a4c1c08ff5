"""Which requests the API server is told to send: the webhooks' rules, worked out from what gpuward can judge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from webhook.checks import CHECKS
from webhook.checks.protected_labels import ProtectedLabels
from webhook.checks.protected_objects import ProtectedObjects
from webhook.kube.gvk import GroupVersionKind
from webhook.kube.kinds import BUILT_IN, Kind
from webhook.kube.resources import is_cluster_scoped, plural
from webhook.kube.workloads.table import WORKLOADS
from webhook.policy.rule import ObjectCheck

Rule = dict[str, Any]

# A pod's own resource, and the two subresources that change what runs in it.
_PODS: Final = ("pods", "pods/ephemeralcontainers", "pods/resize")

# What changes the labels of a namespace: its subresources take them too.
_NAMESPACES: Final = ("namespaces", "namespaces/finalize", "namespaces/status")

# Of these groups the API server serves nothing any more; objects of theirs come from files only.
_GONE: Final = frozenset({"extensions"})

# The version that the built-in groups are asked for in, where it is not v1. With matchPolicy Equivalent requests in
# another are converted to it.
_VERSIONS: Final[Mapping[str, str]] = {"autoscaling": "v2"}


def rules() -> dict[str, list[Rule]]:
    """The rules by what they are about; operations and scope are the template's."""
    workloads = [kind for kind in WORKLOADS if kind[0] not in _GONE]
    guarded = [*ProtectedLabels.kinds, *ProtectedObjects.kinds]
    objects = [
        kind
        for check in CHECKS
        if issubclass(check, ObjectCheck)
        for kind in check.kinds
        if kind not in guarded
    ]
    return {
        "pods": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": list(_PODS)}],
        "workloads": _by_group(kind for kind in workloads if not _is_cluster_scoped(kind)),
        "objects": _by_group(kind for kind in objects if not _is_cluster_scoped(kind)),
        "clusterScoped": _by_group(kind for kind in (*workloads, *objects) if _is_cluster_scoped(kind)),
        "guarded": [
            {"apiGroups": [""], "apiVersions": ["v1"], "resources": list(_NAMESPACES)},
            *_by_group(kind for kind in guarded if kind not in ProtectedLabels.kinds),
        ],
    }


def _is_cluster_scoped(kind: Kind) -> bool:
    return is_cluster_scoped(GroupVersionKind(kind[0], "", kind[1]))


def _by_group(kinds: Iterable[Kind]) -> list[Rule]:
    groups: dict[str, set[str]] = {}
    for group, kind in kinds:
        groups.setdefault(group, set()).add(plural(group, kind))
    return [
        {"apiGroups": [group], "apiVersions": [_version(group)], "resources": sorted(resources)}
        for group, resources in sorted(groups.items())
    ]


def _version(group: str) -> str:
    """Custom resources are taken in every version: which ones a cluster has, and whether it can convert between them,
    depends on the operator's release."""
    return _VERSIONS.get(group, "v1") if group in BUILT_IN else "*"
