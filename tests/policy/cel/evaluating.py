"""Shorthand for tests that evaluate one expression."""

from __future__ import annotations

from typing import Any

from webhook.policy.cel import Environment, Returns, Scope

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "train",
        "labels": {"team": "vision"},
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
    },
    "spec": {
        "replicas": 2,
        "fraction": 0.5,
        "containers": [
            {"name": "main", "image": "registry.example/train:1", "resources": {"limits": {"memory": "8Gi"}}},
            {"name": "log", "image": "busybox"},
        ],
    },
}


def evaluate(expression: str, returns: Returns = "any", scope: Scope | None = None) -> Any:
    """The value of an expression over a pod, or over the scope given."""
    return Environment().compile(expression, returns).evaluate(scope or Scope(object=POD))
