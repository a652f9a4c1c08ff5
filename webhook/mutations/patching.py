"""What the two escape hatches, ``json-patch`` and ``merge-patch``, have in common."""

from __future__ import annotations

from typing import Any, Final

from webhook.kube.path import MISSING, render
from webhook.kube.pod import Pod
from webhook.policy.draft import Draft
from webhook.policy.rule import ParameterError

_SERVER_OWNED: Final = "it is the API server's to set, and is ignored or refused in a patch"
_IDENTITY: Final = "it says which object this is; a webhook cannot change that"
_PRIORITY: Final = "the API server works it out from spec.priorityClassName; set that instead"

# (root, field) to the reason why a patch must leave it alone.
_FORBIDDEN: Final = {
    ("metadata", "name"): _IDENTITY,
    ("metadata", "generateName"): _IDENTITY,
    ("metadata", "namespace"): _IDENTITY,
    ("metadata", "uid"): _IDENTITY,
    ("metadata", "resourceVersion"): _SERVER_OWNED,
    ("metadata", "generation"): _SERVER_OWNED,
    ("metadata", "creationTimestamp"): _SERVER_OWNED,
    ("metadata", "deletionTimestamp"): _SERVER_OWNED,
    ("metadata", "deletionGracePeriodSeconds"): _SERVER_OWNED,
    ("metadata", "managedFields"): _SERVER_OWNED,
    ("metadata", "selfLink"): _SERVER_OWNED,
    ("spec", "priority"): _PRIORITY,
    ("spec", "preemptionPolicy"): _PRIORITY,
}


def refuse_forbidden(root: str, field: str, at: str) -> None:
    """Refuse a field of a pod's metadata or spec that no patch may touch.

    Raises:
        ParameterError: naming ``at``, the parameter, and the reason.
    """
    reason = _FORBIDDEN.get((root, field))
    if reason is not None:
        raise ParameterError(f"must not touch {render((root, field))}: {reason}", at)


def fresh(value: Any) -> Any:
    """A copy of a JSON value that shares nothing with it."""
    if type(value) is dict:
        return {key: fresh(member) for key, member in value.items()}
    if type(value) is list:
        return [fresh(item) for item in value]
    return value


def priority_class(pod: Pod, draft: Draft) -> Any:
    """The pod's priorityClassName as it is now, None where it has none."""
    found = draft.get(pod.field("priorityClassName"))
    return None if found is MISSING or found == "" else found


def clear_priority_of(before: Any, pod: Pod, draft: Draft) -> None:
    """Where the pod has another priority class than ``before``, remove what followed from that one.

    The Priority plugin has filled in ``priority`` and ``preemptionPolicy`` before webhooks are asked. It runs
    again afterwards, and refuses a pod whose numbers are not those of its class. Source: k8s.io/kubernetes
    plugin/pkg/admission/priority (admitPod).
    """
    if priority_class(pod, draft) != before:
        draft.remove(pod.field("priority"))
        draft.remove(pod.field("preemptionPolicy"))
