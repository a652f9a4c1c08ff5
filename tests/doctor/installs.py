"""A good installation, and its parts by name for tests that break them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from certs.mint import Pair, mint_ca, mint_leaf
from tests.support import POLICIES
from webhook.adapters import policy_files
from webhook.doctor import Diagnosis, Installation, examine
from webhook.engine.ruleset import Ruleset

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
NAMES = ("gpuward.gpuward-system.svc",)

Object = dict[str, Any]


@cache
def authority(name: str = "gpuward CA", days: int = 365) -> Pair:
    return mint_ca(name, NOW - timedelta(days=1), timedelta(days=days))


@cache
def ruleset() -> Ruleset:
    loaded = policy_files.load(POLICIES)
    assert loaded.ruleset is not None
    return loaded.ruleset


def encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def entry(webhook: str, mode: str) -> Object:
    """One entry as the manifests have it."""
    return {
        "name": f"{webhook}-{mode}.gpuward.dev",
        "clientConfig": {
            "service": {"namespace": "gpuward-system", "name": "gpuward", "path": f"/{webhook}/{mode}"},
            "caBundle": encoded(authority().certificate),
        },
        "failurePolicy": "Fail" if (webhook, mode) == ("validate", "enforce") else "Ignore",
        "timeoutSeconds": 3,
        "sideEffects": "None",
        "matchPolicy": "Equivalent",
        "admissionReviewVersions": ["v1"],
        **({"reinvocationPolicy": "IfNeeded"} if webhook == "mutate" else {}),
        "namespaceSelector": {
            "matchExpressions": [
                {"key": "gpuward.dev/mode", "operator": "In", "values": [mode]},
                {
                    "key": "kubernetes.io/metadata.name",
                    "operator": "NotIn",
                    "values": ["gpuward-system", "kube-system", "kube-public", "kube-node-lease"],
                },
            ]
        },
        "matchConditions": [
            {"name": "not-by-a-node", "expression": "!('system:nodes' in request.userInfo.groups)"}
        ],
        "rules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "resources": ["pods"],
                "operations": ["CREATE"],
                "scope": "Namespaced",
            }
        ],
    }


class Install:
    """A good installation to be broken: its objects as ``install["Kind name"]``."""

    def __init__(self) -> None:
        text = (Path(__file__).parent / "install.yaml").read_text(encoding="utf-8")
        self.objects: list[Object] = list(yaml.safe_load_all(text))
        modes = ("audit", "warn", "enforce")
        self["MutatingWebhookConfiguration gpuward"]["webhooks"] = [entry("mutate", mode) for mode in modes]
        self["ValidatingWebhookConfiguration gpuward"]["webhooks"] = [
            entry("validate", mode) for mode in modes
        ]
        self.serve(mint_leaf(authority(), NAMES, NOW))
        self.whole = True
        self.server_version = "v1.36.3"
        self.unread: dict[str, str] = {}

    def __getitem__(self, called: str) -> Object:
        kind, name = called.split()
        return next(o for o in self.objects if (o["kind"], o["metadata"]["name"]) == (kind, name))

    def remove(self, called: str) -> None:
        self.objects.remove(self[called])

    def add(self, obj: Object) -> None:
        self.objects.append(obj)

    def serve(self, pair: Pair) -> None:
        """Put a serving certificate into the Secret."""
        self.objects = [obj for obj in self.objects if obj["kind"] != "Secret"]
        self.add(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "gpuward-certs", "namespace": "gpuward-system"},
                "data": {"tls.crt": encoded(pair.certificate), "tls.key": encoded(pair.key)},
            }
        )

    @property
    def mutating(self) -> list[Object]:
        webhooks: list[Object] = self["MutatingWebhookConfiguration gpuward"]["webhooks"]
        return webhooks

    @property
    def validating(self) -> list[Object]:
        webhooks: list[Object] = self["ValidatingWebhookConfiguration gpuward"]["webhooks"]
        return webhooks

    @property
    def enforcing(self) -> Object:
        """The one entry with failurePolicy Fail."""
        return self.validating[2]

    @property
    def deployment(self) -> Object:
        return self["Deployment gpuward"]

    @property
    def pod(self) -> Object:
        pod: Object = self.deployment["spec"]["template"]["spec"]
        return pod

    @property
    def container(self) -> Object:
        container: Object = self.pod["containers"][0]
        return container

    def label(self, namespace: str, labels: Mapping[str, str]) -> None:
        self[f"Namespace {namespace}"]["metadata"]["labels"].update(labels)

    def installation(self) -> Installation:
        return Installation(
            tuple(self.objects),
            NOW,
            whole=self.whole,
            server_version=self.server_version,
            ruleset=ruleset(),
            unread=self.unread,
        )

    def examined(self) -> list[Diagnosis]:
        return examine(self.installation())
