"""Updates are judged for what they change.

An object that broke a rule before the rule existed must still be scalable, relabelled and deleted: a controller that
removes a finalizer, or somebody who scales a Deployment down, did not make the violation. So a finding about a part
that the update leaves as it was warns instead of refusing. Pod Security admission does the same for pods
(k8s.io/pod-security-admission ``admission.isSignificantPodUpdate``).
"""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from webhook.engine.subjects import State, Subjects
from webhook.engine.validate import Judged
from webhook.kube.path import lookup
from webhook.kube.pod import Pod
from webhook.kube.shape import JSONObject, mapping
from webhook.policy.findings import Action, Finding

# What the API server and controllers write by themselves.
_NOT_THE_USERS: Final = frozenset({"metadata", "status"})


def weaken(judged: list[Judged], subjects: Subjects, original: State) -> list[Finding]:
    """The findings, those that an update did not introduce weakened from Enforce to Warn."""
    request = subjects.request
    if request.operation != "UPDATE" or request.old_object is None or request.obj is None:
        return [one.finding for one in judged]
    before = {pod.place: pod for pod in original.pods}
    return [
        replace(finding, action=Action.WARN)
        if finding.action is Action.ENFORCE
        and not finding.error
        and not introduced
        and _is_old(finding, pod and before.get(pod.place), subjects, request.old_object)
        else finding
        for finding, pod, introduced in judged
    ]


def _is_old(finding: Finding, pod: Pod | None, subjects: Subjects, old: JSONObject) -> bool:
    new = subjects.request.obj
    assert new is not None
    if subjects.is_pod:
        return _same_in_pod(finding, new, old)
    if pod is None:
        return _same_object(new, old)
    # The whole template: a new image in it makes new pods, and those will break the rule again.
    old_pod = subjects.old_pod(pod)
    return old_pod is not None and old_pod.spec == pod.spec and old_pod.metadata == pod.metadata


def _same_in_pod(finding: Finding, new: JSONObject, old: JSONObject) -> bool:
    path = finding.path
    if path[:1] == ("metadata",):
        return bool(lookup(new, path[:2]) == lookup(old, path[:2]))
    if path[:1] != ("spec",):
        return _same_object(new, old)
    if path[:2] == ("spec", "ephemeralContainers") and len(path) > 2:
        return bool(lookup(new, path[:3]) == lookup(old, path[:3]))
    # Everything but the debug containers, which are added to a running pod and judged one by one.
    return _without(mapping(new, "spec"), "ephemeralContainers") == _without(
        mapping(old, "spec"), "ephemeralContainers"
    )


def _same_object(new: JSONObject, old: JSONObject) -> bool:
    if {k: v for k, v in new.items() if k not in _NOT_THE_USERS} != {
        k: v for k, v in old.items() if k not in _NOT_THE_USERS
    }:
        return False
    new_metadata, old_metadata = mapping(new, "metadata"), mapping(old, "metadata")
    return all(mapping(new_metadata, key) == mapping(old_metadata, key) for key in ("labels", "annotations"))


def _without(source: JSONObject, key: str) -> dict[str, Any]:
    return {k: v for k, v in source.items() if k != key}
