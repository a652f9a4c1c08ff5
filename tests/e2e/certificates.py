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
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from certs.inspect import read_certificates
from certs.install import data_of
from certs.mint import mint_ca, mint_leaf
from certs.renew import Stored
from tests.support import POLICIES
from webhook.cli.main import main

from .cluster import ApiError, ControlPlane
from .controlplane import webhooks
from .serving import Served

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

    Beside it somebody who trusts what the API server is told to trust shakes hands with every replica, anew each
    time: the API server itself keeps its connections.
    """

    def __init__(
        self,
        cluster: ControlPlane,
        namespace: str,
        pod: Mapping[str, Any],
        servers: Sequence[tuple[str, int]],
        name: str,
    ) -> None:
        """`servers` are the addresses of all replicas, `name` is the one that the API server calls."""
        self._cluster = cluster
        self._path = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
        self._pod = pod
        self._servers = servers
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
            for server in self._servers:
                with (
                    socket.create_connection(server, timeout=10) as plain,
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


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "train", "labels": {"team": "vision"}},
    "spec": {
        "containers": [
            {
                "name": "main",
                "image": "ghcr.io/acme/trainer:2026.11",
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
            }
        ]
    },
}


# What somebody may have written into a `caBundle`.
RUBBISH = {
    "no PEM": b"rubbish",
    "empty": b"",
    "another CA": mint_ca("somebody else", datetime.now(UTC)).certificate,
}

LONG_AGO = datetime.now(UTC) - timedelta(days=500)
OLD_CA = mint_ca("of long ago", LONG_AGO)
FRESH_CA = mint_ca("of today", datetime.now(UTC))


def expired_leaf(before: Stored) -> dict[str, bytes]:
    ca = mint_ca("still good", datetime.now(UTC) - timedelta(days=100))
    leaf = mint_leaf(ca, ["x"], datetime.now(UTC) - timedelta(days=95))
    return {"ca.crt": ca.certificate, "ca.key": ca.key, "tls.crt": leaf.certificate, "tls.key": leaf.key}


def all_expired(before: Stored) -> dict[str, bytes]:
    leaf = mint_leaf(OLD_CA, ["x"], LONG_AGO)
    return {
        "ca.crt": OLD_CA.certificate, "ca.key": OLD_CA.key, "tls.crt": leaf.certificate, "tls.key": leaf.key
    }  # fmt: skip


def wrong_ca(before: Stored) -> dict[str, bytes]:
    return {**before.data(), "ca.crt": FRESH_CA.certificate}


def key_of_another(before: Stored) -> dict[str, bytes]:
    return {**before.data(), "tls.key": FRESH_CA.key}


# What may have become of the Secret.
DAMAGED: dict[str, Callable[[Stored], dict[str, bytes]]] = {
    "expired leaf": expired_leaf,
    "everything expired": all_expired,
    "wrong CA": wrong_ca,
    "key of another certificate": key_of_another,
    "no CA key": lambda before: {**before.data(), "ca.key": b""},
    "rubbish": lambda before: dict.fromkeys(before.data(), b"rubbish"),
    "empty": lambda before: dict.fromkeys(before.data(), b""),
}


class Installation:
    """gpuward in a namespace of its own, with as few rights as it needs, called through its Service."""

    def __init__(self, cluster: ControlPlane, folder: Path, *arguments: str) -> None:
        """One replica; `replicas` may be given more."""
        self.cluster = cluster
        self.namespace = cluster.create_namespace("gpuward-")
        self.enforced = cluster.create_namespace("enforced-", {"gpuward.dev/mode": "enforce"})
        self.name = f"{SERVICE}.{self.namespace}.svc"
        self.served = self.server(folder, *arguments)
        self.replicas = [self.served]

    def server(self, folder: Path, *arguments: str, kubeconfig: Path | None = None) -> Served:
        kubeconfig = kubeconfig or least_privilege(self.cluster, self.namespace)
        return Served(
            folder,
            *("--policies", str(POLICIES), "--kubeconfig", str(kubeconfig)),
            *("--cert-secret", f"{self.namespace}/{SECRET}", *QUICK),
            *("--cert-names", "127.0.0.1", "--admin-port", "auto", *arguments),
            own_certificate=False,
        )

    def install_webhooks(self, ca: bytes = b"") -> None:
        """As the chart does: the API server is told whom to call, and not yet whom to trust."""
        if self.cluster.address is None:
            self.cluster.install_webhooks(self.served.url, ca)
            return
        self.cluster.publish_service(
            self.namespace, SERVICE, [(self.cluster.address, served.port) for served in self.replicas]
        )
        self.cluster.install_webhooks(None, ca, service=(self.namespace, SERVICE, 443))

    def creates_a_pod(self) -> bool:
        """Whether a pod comes through the webhook, changed by it."""
        made = self.cluster.api("POST", f"/api/v1/namespaces/{self.enforced}/pods?dryRun=All", POD)
        # Without it, or before it is trusted, a pod comes through as it is: mutation is never in the way.
        context = made["spec"]["containers"][0].get("securityContext", {})
        return context.get("allowPrivilegeEscalation") is False

    def load(self) -> Load:
        return Load(
            self.cluster,
            self.enforced,
            POD,
            [("127.0.0.1", served.port) for served in self.replicas],
            self.name,
        )

    def damage(self, how: Callable[[Stored], dict[str, bytes]]) -> None:
        """Overwrite the Secret, with what `how` makes of it; see DAMAGED."""
        data = how(stored(self.cluster, self.namespace))
        body = {"data": {key: base64.b64encode(value).decode() for key, value in data.items()}}
        path = f"/api/v1/namespaces/{self.namespace}/secrets/{SECRET}"
        self.cluster.api("PATCH", path, body, content_type="application/merge-patch+json")

    def certs(self, *arguments: str) -> int:
        kubeconfig = ("--kubeconfig", str(self.cluster.kubeconfig))
        return main(["certs", *arguments, *kubeconfig, "--namespace", self.namespace])

    def is_ready(self) -> bool:
        return all(readiness(served.admin_url)[0] == 200 for served in self.replicas)

    def settle(self) -> None:
        """Until nothing is due any more and the server is ready."""

        def settled() -> bool:
            now = stored(self.cluster, self.namespace)
            return (
                len(now.bundle) == 1
                and now.is_of_signing_ca
                and all(read_certificates(one) == now.bundle for one in bundles(self.cluster))
                and self.is_ready()
            )

        self.cluster.wait_for(settled, 60, "the certificates to settle")
