"""Updates are judged for what they change.

An object that broke a rule before the rule existed must still be scalable, relabelled and deleted: a controller that
removes a finalizer, or somebody who scales a Deployment down, did not make the violation. So a finding about a part
that the update leaves as it was warns instead of refusing. Pod Security admission does the same for pods
(k8s.io/pod-security-admission ``admission.isSignificantPodUpdate``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from webhook.engine.subjects import Subjects
from webhook.kube.path import lookup
from webhook.kube.pod import Pod
from webhook.kube.shape import JSONObject, mapping
from webhook.policy.findings import Action, Finding

# What the API server and controllers write by themselves.
_NOT_THE_USERS: Final = frozenset({"metadata", "status"})


def weaken(findings: list[Finding], subjects: Subjects) -> list[Finding]:
    """The findings, those that an update did not introduce weakened from Enforce to Warn."""
    request = subjects.request
    if request.operation != "UPDATE" or request.old_object is None or request.obj is None:
        return findings
    return [
        replace(finding, action=Action.WARN)
        if finding.action is Action.ENFORCE
        and not finding.error
        and _is_old(finding, subjects, request.old_object)
        else finding
        for finding in findings
    ]


def _is_old(finding: Finding, subjects: Subjects, old: JSONObject) -> bool:
    new = subjects.request.obj
    assert new is not None
    if subjects.is_pod:
        return _same_in_pod(finding, new, old)
    pod = next((pod for pod in subjects.original.pods if _inside(finding, pod)), None)
    if pod is not None:
        # The whole template: a new image in it makes new pods, and those will break the rule again.
        return bool(
            lookup(new, pod.spec_path) == lookup(old, pod.spec_path)
            and lookup(new, pod.metadata_path) == lookup(old, pod.metadata_path)
        )
    return _same_object(new, old)


def _inside(finding: Finding, pod: Pod) -> bool:
    for root in (pod.spec_path, pod.metadata_path):
        # A template of a bare PodSpec shares the object's own metadata, which says nothing about the template.
        if finding.path[: len(root)] == root and root != ("metadata",):
            return True
    return False


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
