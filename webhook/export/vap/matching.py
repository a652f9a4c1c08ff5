"""Whom a policy is about, in the words of Kubernetes' admission policies.

What can be asked before a policy's variables exist becomes a match condition; the rest, the pod's labels and
accelerators and what asks for the namespace, one variable that every validation asks first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from webhook.engine.ruleset import CLUSTERS_OWN
from webhook.export.vap.cel import among, every, labels_equal, labels_selected, text, texts
from webhook.export.vap.expressions import Authors, grouped
from webhook.kube.kinds import Kind
from webhook.kube.shape import JSONObject
from webhook.policy.match import parse_kind

if TYPE_CHECKING:
    from webhook.policy.model import BreakGlassSpec, ExceptionMatch, Match

_NAMESPACE: Final = "request.?namespace.orValue('')"
_METADATA: Final = "(object == null ? dyn(oldObject.metadata) : dyn(object.metadata))"
_NAME: Final = (
    "(request.?name.orValue('') != '' ? request.name"
    f" : {_METADATA}.?name.orValue({_METADATA}.?generateName.orValue('')))"
)
_USER: Final = "request.userInfo.?username.orValue('')"
_GROUPS: Final = "request.userInfo.?groups.orValue([])"
_NAMESPACE_LABELS: Final = "namespaceObject.metadata.?labels.orValue({})"

# Both are let go whatever the policies say: an update to what is being deleted removes finalizers, and a static
# pod runs whatever is answered.
_ALWAYS: Final = (
    ("not-being-deleted", "request.operation != 'UPDATE' || !has(object.metadata.deletionTimestamp)"),
    (
        "no-mirror-pod",
        "object == null || !('kubernetes.io/config.mirror' in object.metadata.?annotations.orValue({}))",
    ),
)


class Matching(Struct):
    """``conditions`` are the policy's matchConditions; ``applies`` are further ones, which need variables."""

    conditions: list[JSONObject] = field(default_factory=list)
    applies: list[str] = field(default_factory=list)

    def add(self, name: str, expression: str) -> None:
        self.conditions.append({"name": name, "expression": expression})


def matching(
    match: Match, exclude: Sequence[Match], authors: Authors, declared: Sequence[Kind], *, pods: bool
) -> Matching:
    """What a policy's ``match`` and ``exclude`` blocks say, kinds, operations and namespaceSelector of ``match`` aside.

    Raises:
        Inexpressible: a condition uses what Kubernetes lacks.
    """
    found = Matching()
    for name, expression in _ALWAYS:
        if pods or name == "not-being-deleted":
            found.add(name, expression)
    for name, expression in _of_request(match):
        found.add(name, expression)
    found.applies += _of_subject(match, pods=pods)
    for i, condition in enumerate(match.conditions):
        expression = authors.export(condition.expression, "bool")
        if authors.asks_more_than_a_condition_may(condition.expression):
            found.applies.append(grouped(expression))
        else:
            found.add(f"condition-{i}", expression)
    for block in exclude:
        found.applies.append(f"!({every(_block(block, authors, declared, pods=pods)) or 'true'})")
    return found


def _of_request(match: Match | ExceptionMatch) -> list[tuple[str, str]]:
    """Conditions on the request alone, each with a name."""
    found = []
    if match.namespaces:
        # Objects without a namespace match none, not even *.
        found.append(("namespaces", f"{_NAMESPACE} != '' && {among(_NAMESPACE, match.namespaces)}"))
    if match.names:
        found.append(("names", among(_NAME, match.names)))
    if match.users:
        found.append(("users", among(_USER, match.users)))
    if match.groups:
        found.append(("groups", f"{_GROUPS}.exists(g, {among('g', match.groups)})"))
    return found


def _of_subject(match: Match, *, pods: bool) -> list[str]:
    """Conditions on the pod, or on the object."""
    found = []
    if match.objectSelector is not None:
        found += labels_selected("variables.labels", match.objectSelector)
    if pods and match.accelerators != "Any":
        found.append(f"{'' if match.accelerators == 'Required' else '!'}variables.requestsAccelerator")
    return found


def _block(block: Match, authors: Authors, declared: Sequence[Kind], *, pods: bool) -> list[str]:
    """All conditions of an ``exclude`` block."""
    found = _where(block, declared)
    if block.names_operations and "*" not in block.operations:
        found.append(f"request.operation in {texts(block.operations)}")
    found += [expression for _, expression in _of_request(block)]
    found += _of_subject(block, pods=pods)
    found += [grouped(authors.export(condition.expression, "bool")) for condition in block.conditions]
    return found


def _where(match: Match | ExceptionMatch, declared: Sequence[Kind]) -> list[str]:
    """Conditions on the kind and on the namespace's labels."""
    found = []
    if match.kinds:
        kinds = [
            every(
                f"request.kind.{part} == {text(value)}"
                for part, value in zip(("group", "version", "kind"), parse_kind(kind, declared), strict=True)
                if value != "*"
            )
            or "true"
            for kind in match.kinds
        ]
        found.append("(" + " || ".join(f"({kind})" for kind in kinds) + ")")
    if match.namespaceSelector is not None:
        # Objects without a namespace have none of its labels.
        found += ["namespaceObject != null", *labels_selected(_NAMESPACE_LABELS, match.namespaceSelector)]
    return found


def excepted(match: ExceptionMatch, expires: date | None, declared: Sequence[Kind]) -> str:
    """Whether an exception is for the request and the pod's (or object's) labels, and still holds."""
    conditions = _where(match, declared)
    if match.operations and "*" not in match.operations:
        conditions.append(f"request.operation in {texts(match.operations)}")
    conditions += [expression for _, expression in _of_request(match)]
    conditions += labels_equal("variables.labels", match.labels)
    return every([*conditions, *_until(expires)]) or "true"


def not_broken(glass: BreakGlassSpec) -> str:
    """Whether nobody whom an entry of break-glass is for makes the request."""
    who = [
        *([_is_one(_USER, glass.users)] if glass.users else []),
        *([f"{_GROUPS}.exists(g, {_is_one('g', glass.groups)})"] if glass.groups else []),
    ]
    anybody = " || ".join(who)
    where = [among(_NAMESPACE, glass.namespaces)] if glass.namespaces else []
    return f"!({every([f'({anybody})', *where, *_until(glass.expires)])})"


def _is_one(name: str, patterns: Sequence[str]) -> str:
    """Whether a user or group is meant: one of the cluster's own only by a pattern that begins as they do."""
    of_cluster = [pattern for pattern in patterns if pattern.startswith(CLUSTERS_OWN)]
    others = [pattern for pattern in patterns if not pattern.startswith(CLUSTERS_OWN)]
    yes, no = (among(name, found) if found else "false" for found in (of_cluster, others))
    return f"({name}.startsWith({text(CLUSTERS_OWN)}) ? {yes} : {no})"


def _until(expires: date | None) -> list[str]:
    """That the day (UTC) is not over.

    The API server itself sets the time of creation before it asks admission policies. CEL has no other clock, so
    updates are never within the time.
    """
    if expires is None:
        return []
    # What has no such time, as no API server has seen it, is as late as can be.
    created = "object.metadata.?creationTimestamp.orValue('9999-12-31T00:00:00Z')"
    end = f"timestamp('{expires.isoformat()}T00:00:00Z') + duration('24h')"
    return ["request.operation == 'CREATE'", f"timestamp({created}) < {end}"]
