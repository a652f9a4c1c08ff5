"""Certificates in a cluster, for end-to-end tests: who may do what, what is stored, who is refused meanwhile."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from certs.install import data_of
from certs.renew import Stored

from .cluster import ApiError, ControlPlane
from .controlplane import webhooks

SECRET = "gpuward-certs"
SERVICE = "gpuward"
CONFIGURATIONS = tuple(
    f"/apis/admissionregistration.k8s.io/v1/{kind}/{webhooks.CONFIGURATION_NAME}"
    for kind in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
)
RBAC = "rbac.authorization.k8s.io"

# A rotation in seconds instead of an hour.
QUICK = ("--cert-poll", "300ms", "--cert-trust-delay", "1s", "--cert-overlap", "4s")


def least_privilege(cluster: ControlPlane, namespace: str, *, configurations: str = "get,patch") -> Path:
    """A kubeconfig of a user who may do what gpuward needs with `--cert-secret`, and nothing else."""
    user = f"gpuward-of-{namespace}"
    secrets = [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "verbs": ["get", "update"],
            "resourceNames": [SECRET],
        },
    ]
    cluster_wide = [
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
        {
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
            "verbs": configurations.split(","),
            "resourceNames": [webhooks.CONFIGURATION_NAME],
        },
    ]
    subjects = [{"kind": "User", "apiGroup": RBAC, "name": user}]
    for kind, name, rules, where in (
        ("Role", "gpuward", secrets, namespace),
        ("ClusterRole", user, cluster_wide, None),
    ):
        metadata = {"name": name, **({"namespace": where} if where else {})}
        cluster.apply(
            [
                {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata, "rules": rules},
                {
                    "apiVersion": f"{RBAC}/v1",
                    "kind": f"{kind}Binding",
                    "metadata": metadata,
                    "subjects": subjects,
                    "roleRef": {"kind": kind, "apiGroup": RBAC, "name": name},
                },
            ]
        )
    return cluster.credentials.kubeconfig(cluster.url, user)


def stored(cluster: ControlPlane, namespace: str) -> Stored:
    """What the Secret holds."""
    return Stored.read(data_of(cluster.api("GET", f"/api/v1/namespaces/{namespace}/secrets/{SECRET}")))


def bundles(cluster: ControlPlane) -> list[bytes]:
    """Every `caBundle`, PEM."""
    return [
        base64.b64decode(webhook["clientConfig"].get("caBundle", ""))
        for path in CONFIGURATIONS
        for webhook in cluster.api("GET", path)["webhooks"]
    ]


def overwrite_bundles(cluster: ControlPlane, pem: bytes) -> None:
    """Put `pem` into every `caBundle`, as somebody else's tool would."""
    written = base64.b64encode(pem).decode()
    for path in CONFIGURATIONS:
        count = len(cluster.api("GET", path)["webhooks"])
        patch = [
            {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": written}
            for index in range(count)
        ]
        cluster.api("PATCH", path, patch, content_type="application/json-patch+json")


def readiness(admin_url: str) -> tuple[int, str]:
    """Status and lines of `/readyz?verbose`."""
    try:
        with urllib.request.urlopen(f"{admin_url}/readyz?verbose", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Load:
    """Creates pods in a namespace as dry runs, one after the other, until the block ends; keeps the failures.

    Beside it somebody who trusts what the API server is told to trust shakes hands with the server, anew each time:
    the API server itself keeps its connections.
    """

    def __init__(
        self,
        cluster: ControlPlane,
        namespace: str,
        pod: Mapping[str, Any],
        server: tuple[str, int],
        name: str,
    ) -> None:
        self._cluster = cluster
        self._path = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
        self._pod = pod
        self._server = server
        self._name = name
        self._stop = threading.Event()
        self.admitted = 0
        self.handshakes = 0
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._threads = [
            threading.Thread(target=run, args=(once,), daemon=True)
            for run, once in ((self._run, self._create), (self._run, self._shake_hands))
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, once: Any) -> None:
        while not self._stop.is_set():
            try:
                once()
            except (OSError, ApiError) as error:
                self.failures.append(f"{time.strftime('%X')} {type(error).__name__}: {error}")
            time.sleep(0.02)

    def _create(self) -> None:
        self._cluster.api("POST", self._path, self._pod)
        self.admitted += 1

    def _shake_hands(self) -> None:
        for bundle in dict.fromkeys(bundles(self._cluster)):
            trust = ssl.create_default_context(cadata=bundle.decode())
            with (
                socket.create_connection(self._server, timeout=10) as plain,
                trust.wrap_socket(plain, server_hostname=self._name),
            ):
                self.handshakes += 1


@contextlib.contextmanager
def webhook_kubeconfig(folder: Path, certificate: Path, key: Path) -> Iterator[Path]:
    """Files with which an API server shows a client certificate to every webhook; yields the one for its flag
    `--admission-control-config-file`."""
    user = {"client-certificate": str(certificate), "client-key": str(key)}
    kubeconfig = folder / "webhooks.kubeconfig"
    kubeconfig.write_text(
        json.dumps({"apiVersion": "v1", "kind": "Config", "users": [{"name": "*", "user": user}]})
    )
    plugins = [
        {
            "name": name,
            "configuration": {
                "apiVersion": "apiserver.config.k8s.io/v1",
                "kind": "WebhookAdmissionConfiguration",
                "kubeConfigFile": str(kubeconfig),
            },
        }
        for name in ("ValidatingAdmissionWebhook", "MutatingAdmissionWebhook")
    ]
    file = folder / "admission.json"
    file.write_text(
        json.dumps(
            {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins}
        )
    )
    yield file
