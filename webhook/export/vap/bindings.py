"""The ladder of modes as bindings: what is done about a violation depends on the namespace's label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.kube.shape import JSONObject
from webhook.policy.findings import EFFECTIVE_ACTION, MODE_LABEL, Action, Mode

# What a binding does, and how it is called.
_DONE: Final = {
    Action.ENFORCE: ("Deny", "enforce"),
    Action.WARN: ("Warn", "warn"),
    Action.AUDIT: ("Audit", "audit"),
}


def bindings(policy: str, action: Action) -> Iterator[JSONObject]:
    """A binding for each thing that is done anywhere: the weaker of the policy's action and the namespace's mode."""
    for effective, (done, name) in _DONE.items():
        modes = [mode.value for mode in Mode if EFFECTIVE_ACTION[action, mode] is effective]
        if not modes:
            continue
        yield {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {
                "name": f"{policy}-{name}",
                "labels": {"app.kubernetes.io/managed-by": "gpuward"},
            },
            "spec": {
                "policyName": policy,
                "validationActions": [done],
                "matchResources": {
                    "namespaceSelector": {
                        "matchExpressions": [{"key": MODE_LABEL, "operator": "In", "values": modes}]
                    }
                },
            },
        }
