"""What a mode would do to what a namespace runs already: whom it would reject, and whose pods it would change.

Objects are judged as if they were created now: pods and workloads that run are never touched by a change of mode, the
next pod of each is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from webhook.engine.decision import Decision, Facts, Phase
from webhook.engine.offline import kind_of, request_for
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.kube.gvk import POD, GroupVersionKind
from webhook.kube.pod import Pod
from webhook.kube.shape import JSONObject, items, mapping, text
from webhook.kube.workloads import find_pods
from webhook.policy.findings import Action, Finding

# The labels by which cost tools attribute a pod, the most telling first. Source: Kubecost and OpenCost, "Allocation".
OWNER_LABELS: Final = ("owner", "team", "department", "cost-center")
NOBODY: Final = "no owner"

# What a controller or the API server writes into an object after its creation.
_WRITTEN_SINCE: Final = frozenset({"status"})


class Planned(Struct, frozen=True):
    """One workload, or one object besides, and what would become of it.

    ``pods`` is how many pods of it run. ``rejected_for`` are the findings for which it, or its next pod, would be
    rejected, ``warned_for`` those it would be admitted with. ``changed_by`` names (policy, rule) of the mutations that
    its next pod would get.
    """

    kind: GroupVersionKind
    name: str
    owner: str
    pods: int
    rejected_for: tuple[Finding, ...]
    warned_for: tuple[Finding, ...]
    changed_by: tuple[tuple[str, str], ...]


def plan(objects: Sequence[JSONObject], ruleset: Ruleset, facts: Facts) -> list[Planned]:
    """What would become of the objects of one namespace.

    ``facts`` are the namespace's, with the mode to come. What another of the objects made (the pods of a Job) is told
    with its maker. Sorted by kind and name.
    """
    by_uid = {uid: obj for obj in objects if (uid := text(mapping(obj, "metadata"), "uid"))}
    running: dict[int, int] = {}
    tops: dict[int, JSONObject] = {}
    for obj in objects:
        top = _maker(obj, by_uid)
        tops[id(top)] = top
        if kind_of(obj) == POD and mapping(obj, "status").get("phase") not in ("Succeeded", "Failed"):
            running[id(top)] = running.get(id(top), 0) + 1
    planned = [_planned(top, running.get(key, 0), ruleset, facts) for key, top in tops.items()]
    return sorted(planned, key=lambda one: (one.kind.kind, one.kind.group, one.name))


def _maker(obj: JSONObject, by_uid: dict[str, JSONObject]) -> JSONObject:
    """The topmost of the objects that made this one."""
    seen = 0
    while seen < len(by_uid):
        seen += 1
        references = items(mapping(obj, "metadata"), "ownerReferences")
        controller = next((one for one in references if one.get("controller") is True), None)
        above = by_uid.get(text(controller, "uid")) if controller else None
        if above is None:
            break
        obj = above
    return obj


def _planned(obj: JSONObject, running: int, ruleset: Ruleset, facts: Facts) -> Planned:
    request = request_for({key: value for key, value in obj.items() if key not in _WRITTEN_SINCE})
    decision = review(request, ruleset, facts)
    pods = find_pods(request.kind, obj, ruleset.catalog, facts.device_classes, ruleset.workloads)
    findings = tuple(dict.fromkeys(decision.findings))
    return Planned(
        kind=request.kind,
        name=request.name,
        owner=_owner(obj, pods, facts),
        pods=running,
        rejected_for=tuple(finding for finding in findings if finding.action is Action.ENFORCE),
        warned_for=tuple(finding for finding in findings if finding.action is Action.WARN),
        changed_by=tuple(
            dict.fromkeys(_changes(decision, request.kind, pods, ruleset, facts, request.namespace))
        ),
    )


def _changes(
    decision: Decision,
    kind: GroupVersionKind,
    pods: Iterable[Pod],
    ruleset: Ruleset,
    facts: Facts,
    namespace: str,
) -> Iterator[tuple[str, str]]:
    """The mutations of the object itself, and of the pods it makes: templates are never changed, their pods are."""
    yield from decision.mutated_by
    if kind == POD:
        return
    for pod in pods:
        request = request_for(pod.as_object(namespace), default_namespace=namespace)
        yield from review(request, ruleset, facts, Phase.MUTATE).mutated_by


def _owner(obj: JSONObject, pods: Sequence[Pod], facts: Facts) -> str:
    """Whom to talk to. A pod's label beats its workload's, and that its namespace's."""
    places: list[Any] = [pod.labels for pod in pods]
    places += [mapping(mapping(obj, "metadata"), "labels"), facts.namespace_labels]
    for labels in places:
        for key in OWNER_LABELS:
            if isinstance(value := labels.get(key), str) and value:
                return value
    return NOBODY
