"""From the kinds of a policy to the resources that Kubernetes' admission policies match."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from webhook.kube.gvk import POD, GroupVersionKind
from webhook.kube.kinds import KNOWN, Kind
from webhook.kube.resources import resource_for
from webhook.kube.shape import JSONObject
from webhook.policy.match import KindPattern, parse_kind
from webhook.policy.rule import ObjectCheck

# Kubernetes' own workloads with one pod template each, as ``variables`` knows to find it.
TEMPLATES: Final[tuple[Kind, ...]] = (
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("", "PodTemplate"),
    ("", "ReplicationController"),
)

# Through these a pod's containers change; other subresources carry no pod to judge.
_POD_RESOURCES: Final = ("pods", "pods/ephemeralcontainers", "pods/resize")


class Kinds(Struct, frozen=True):
    """The kinds of a policy; none written stands for everything that describes pods."""

    patterns: tuple[KindPattern, ...]

    @classmethod
    def of(
        cls, written: Iterable[str], declared: Iterable[Kind], checks: Iterable[ObjectCheck] = ()
    ) -> Kinds:
        """The kinds that are ``written``, or else those that the checks are about."""
        known = tuple(declared)
        found = [parse_kind(kind, known) for kind in written] or [
            KindPattern(group, "*", kind) for check in checks for group, kind in check.kinds
        ]
        return cls(tuple(dict.fromkeys(found)))

    @property
    def has_pods(self) -> bool:
        return not self.patterns or any(pattern.matches(POD) for pattern in self.patterns)

    def versions_of(self, kind: Kind) -> list[str]:
        """The API versions in which the policy is about a kind; ``*`` for all, none where it is not about it."""
        if not self.patterns:
            return ["*"]
        group, name = kind
        return list(
            dict.fromkeys(
                pattern.version
                for pattern in self.patterns
                if pattern.group in ("*", group) and pattern.kind in ("*", name)
            )
        )

    def others(self) -> list[str]:
        """The patterns that are about neither pods nor ``TEMPLATES`` alone, for people."""
        own = {("", "Pod"), *TEMPLATES}
        return [
            "/".join(part for part in pattern if part)
            for pattern in self.patterns
            if (pattern.group, pattern.kind) not in own
        ]


def pod_rules(kinds: Kinds, operations: Sequence[str], *, templates: bool) -> list[JSONObject]:
    """The ``resourceRules`` for pods, and for the templates of Kubernetes' own workloads."""
    rules = []
    if kinds.has_pods:
        rules.append(_rule([""], ["v1"], _POD_RESOURCES, operations, "Namespaced"))
    if templates:
        by_group: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for group, kind in TEMPLATES:
            if versions := kinds.versions_of((group, kind)):
                found = ["*"] if "*" in versions else sorted(versions)
                by_group.setdefault((group, tuple(found)), []).append(_plural(group, kind))
        rules += [
            _rule([group], versions, resources, operations, "Namespaced")
            for (group, versions), resources in by_group.items()
        ]
    return rules


def object_rules(kinds: Kinds, operations: Sequence[str], *, namespaced: bool) -> list[JSONObject]:
    """The ``resourceRules`` for objects of the kinds themselves."""
    scope = "Namespaced" if namespaced else "*"
    rules = []
    for pattern in kinds.patterns:
        resources = ["*"] if pattern.kind == "*" else [_plural(pattern.group, pattern.kind)]
        if pattern.matches(POD):
            resources += _POD_RESOURCES[1:]
        rules.append(_rule([pattern.group], [pattern.version], resources, operations, scope))
    return rules


def guessed(kinds: Kinds) -> Iterator[str]:
    """The kinds, of custom resources nobody knows here, whose resources' names are a guess; each as a sentence."""
    for pattern in kinds.patterns:
        if pattern.kind != "*" and pattern.group not in KNOWN:
            resource = _plural(pattern.group, pattern.kind)
            yield f"{pattern.kind} of {pattern.group} is taken to be the resource {resource}"


def _plural(group: str, kind: str) -> str:
    return resource_for(GroupVersionKind(group, "", kind)).resource


def _rule(
    groups: Sequence[str],
    versions: Sequence[str],
    resources: Sequence[str],
    operations: Sequence[str],
    scope: str,
) -> dict[str, Any]:
    return {
        "apiGroups": list(groups),
        "apiVersions": list(versions),
        "operations": list(operations),
        "resources": list(resources),
        "scope": scope,
    }
