"""The webhook configurations under which gpuward is installed in the tests. Pure: objects out, no I/O.

One entry a namespace mode, whose path names the mode: the API server itself matches the namespace's label.
Only validation in `enforce` namespaces may block when the webhook is down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

MODES = ("audit", "warn", "enforce")
CONFIGURATION_NAME = "gpuward"
MODE_LABEL = "gpuward.dev/mode"

# What carries a pod template or changes a pod after its creation. Mutated are only pods being created.
VALIDATED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("", ("pods", "pods/ephemeralcontainers", "pods/resize", "replicationcontrollers", "podtemplates")),
    ("apps", ("deployments", "statefulsets", "daemonsets", "replicasets")),
    ("batch", ("jobs", "cronjobs")),
    # What is judged as it is.
    ("autoscaling", ("horizontalpodautoscalers",)),
    ("networking.k8s.io", ("ingresses", "networkpolicies")),
    ("rbac.authorization.k8s.io", ("rolebindings", "roles")),
)

Object = dict[str, Any]
ClientConfig = Callable[[str], Mapping[str, Any]]
"""From the path of an entry (`/validate/enforce`) to its `clientConfig`."""


def by_url(base_url: str, ca_bundle: str) -> ClientConfig:
    """Calls a webhook at `base_url` (https). `ca_bundle`: base64 of the PEM that signed its certificate."""
    return lambda path: {"url": base_url.rstrip("/") + path, "caBundle": ca_bundle}


def by_service(namespace: str, name: str, port: int, ca_bundle: str) -> ClientConfig:
    """Calls a webhook through its Service, as an installed one is called."""
    return lambda path: {
        "service": {"namespace": namespace, "name": name, "port": port, "path": path},
        "caBundle": ca_bundle,
    }


def webhook_configurations(
    client_config: ClientConfig, *, modes: Sequence[str] = MODES, timeout_seconds: int = 5
) -> tuple[Object, Object]:
    """The MutatingWebhookConfiguration and the ValidatingWebhookConfiguration, in this order."""
    mutating_rules = [_rule("", ("pods",), ("CREATE",))]
    validating_rules = [_rule(group, resources, ("CREATE", "UPDATE")) for group, resources in VALIDATED]

    def entry(operation: str, mode: str, rules: Sequence[Object]) -> Object:
        return {
            "name": f"{operation}-{mode}.gpuward.dev",
            "clientConfig": client_config(f"/{operation}/{mode}"),
            "namespaceSelector": {"matchLabels": {MODE_LABEL: mode}},
            "rules": rules,
            "failurePolicy": "Fail" if (operation, mode) == ("validate", "enforce") else "Ignore",
            "matchPolicy": "Equivalent",
            "sideEffects": "None",
            "timeoutSeconds": timeout_seconds,
            "admissionReviewVersions": ["v1"],
        }

    return (
        _configuration(
            "MutatingWebhookConfiguration",
            [{**entry("mutate", mode, mutating_rules), "reinvocationPolicy": "IfNeeded"} for mode in modes],
        ),
        _configuration(
            "ValidatingWebhookConfiguration", [entry("validate", mode, validating_rules) for mode in modes]
        ),
    )


def marker_configuration(kind: str, marker: str) -> Object:
    """A configuration of `kind` that refuses the ConfigMap named `marker` and nothing else.

    The API server learns of configurations through a watch, a moment after they were written, and in order:
    once this one bites, everything written before it is in force. It calls a port where nobody listens.
    """
    return _configuration(
        kind,
        [
            {
                "name": "settled.gpuward.dev",
                "clientConfig": {"url": "https://127.0.0.1:1/"},
                "matchConditions": [
                    {"name": "the-marker", "expression": f"object.metadata.name == '{marker}'"}
                ],
                "rules": [_rule("", ("configmaps",), ("CREATE",))],
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "timeoutSeconds": 1,
                "admissionReviewVersions": ["v1"],
            }
        ],
        name=marker,
    )


def _configuration(kind: str, webhooks: Sequence[Object], name: str = CONFIGURATION_NAME) -> Object:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "webhooks": list(webhooks),
    }


def _rule(group: str, resources: Sequence[str], operations: Sequence[str]) -> Object:
    return {
        "apiGroups": [group],
        "apiVersions": ["v1"],
        "resources": list(resources),
        "operations": list(operations),
        "scope": "Namespaced",
    }
