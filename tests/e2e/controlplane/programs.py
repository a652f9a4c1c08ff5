"""The programs of a control plane: where each listens, and its command line."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .assets import Assets
from .credentials import Credentials
from .network import free_ports, own_address
from .process import Process

# Stands in where the machine has no address but loopback, which Kubernetes refuses to advertise (RFC 5737).
NO_ADDRESS = "192.0.2.1"

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "None", "verbs": ["get", "list", "watch"]}, {"level": "Metadata"}],
}


class Component(NamedTuple):
    """A program that is a client of the API server, and the port that says on localhost how it is."""

    process: Process
    port: int


class Programs:
    """etcd, the API server and, where there are such, the controller manager and the scheduler; none is started.

    Configured as kubeadm configures one where that can matter to a webhook: Node and RBAC authorizers, the
    default admission plugins and features, one ServiceAccount a controller. What differs: the API server
    calls Services through their EndpointSlices (there is no kube-proxy), nodes need no heartbeat, etcd does
    not sync to disk.

    `api_server_args` are further flags for the API server; a flag given again wins over the one above.
    """

    def __init__(
        self,
        assets: Assets,
        folder: Path,
        credentials: Credentials,
        *,
        api_server_args: Sequence[str] = (),
    ) -> None:
        """`folder` is for their data and logs. Raises OSError if there are no free ports."""
        self._assets = assets
        self._folder = folder
        self._credentials = credentials
        self.address = own_address()
        """An address of this machine, for the endpoints of Services; None where it has loopback alone."""

        self._ports = iter(free_ports(5))
        self.port = next(self._ports)
        self.url = f"https://127.0.0.1:{self.port}"
        """Of the API server."""

        self.audit_log = folder / "audit.log"
        # A clean environment: a proxy in the developer's would stand between the API server and the webhooks.
        self.environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder)}
        self.etcd = self._make_etcd()
        self.api_server = self._make_api_server(api_server_args)
        self.controller_manager = self._make_controller_manager()
        self.scheduler = self._make_scheduler()

    @property
    def components(self) -> list[Component]:
        """The controller manager and the scheduler, as far as they are there."""
        return [component for component in (self.controller_manager, self.scheduler) if component is not None]

    def _process(self, name: str, argv: Sequence[str | Path]) -> Process:
        return Process(name, argv, self._folder / f"{name}.log", self.environment)

    def _make_etcd(self) -> Process:
        self.etcd_port = next(self._ports)
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{next(self._ports)}"
        return self._process(
            "etcd",
            [
                self._assets.etcd,
                f"--data-dir={self._folder / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--unsafe-no-fsync",
                # The only member elects itself after an election timeout, 1 s by default.
                "--heartbeat-interval=10",
                "--election-timeout=100",
                "--log-level=warn",
            ],
        )

    def _make_api_server(self, further: Sequence[str]) -> Process:
        certificate, key = self._credentials.server(
            "kube-apiserver", "127.0.0.1", "localhost", "kubernetes.default.svc", "10.96.0.1"
        )
        signing_key = self._signing_key = self._credentials.service_account_key()
        proxy_certificate, proxy_key = self._credentials.client("front-proxy-client")
        audit_policy = self._folder / "audit-policy.json"
        audit_policy.write_text(json.dumps(AUDIT_POLICY))
        return self._process(
            "kube-apiserver",
            [
                self._assets.api_server,
                f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
                "--bind-address=127.0.0.1",
                f"--advertise-address={self.address or NO_ADDRESS}",
                f"--secure-port={self.port}",
                f"--tls-cert-file={certificate}",
                f"--tls-private-key-file={key}",
                f"--client-ca-file={self._credentials.ca}",
                "--authorization-mode=Node,RBAC",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--service-account-key-file={signing_key}",
                f"--service-account-signing-key-file={signing_key}",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--enable-aggregator-routing=true",
                f"--requestheader-client-ca-file={self._credentials.ca}",
                "--requestheader-allowed-names=front-proxy-client",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-username-headers=X-Remote-User",
                f"--proxy-client-cert-file={proxy_certificate}",
                f"--proxy-client-key-file={proxy_key}",
                "--shutdown-watch-termination-grace-period=1s",
                "--allow-privileged=true",
                f"--audit-policy-file={audit_policy}",
                f"--audit-log-path={self.audit_log}",
                *further,
            ],
        )

    def _make_controller_manager(self) -> Component | None:
        if self._assets.controller_manager is None:
            return None
        name, port = "kube-controller-manager", next(self._ports)
        flags = self._component_flags(name, port)
        process = self._process(
            name,
            [
                self._assets.controller_manager,
                *flags,
                "--use-service-account-credentials=true",
                # Or the start of 40 controllers, several requests each, waits 5 s on its own rate limit.
                "--kube-api-qps=1000",
                "--kube-api-burst=1000",
                # The default is a folder of the machine, which it would create.
                f"--flex-volume-plugin-dir={self._folder / 'flexvolume'}",
                f"--service-account-private-key-file={self._signing_key}",
                f"--root-ca-file={self._credentials.ca}",
                # No kubelet sends heartbeats: a node stays as ready as it was made.
                "--node-monitor-grace-period=24h",
            ],
        )
        return Component(process, port)

    def _make_scheduler(self) -> Component | None:
        if self._assets.scheduler is None:
            return None
        name, port = "kube-scheduler", next(self._ports)
        flags = self._component_flags(name, port)
        return Component(self._process(name, [self._assets.scheduler, *flags]), port)

    def _component_flags(self, name: str, port: int) -> list[str]:
        kubeconfig = self._credentials.kubeconfig(self.url, f"system:{name}")
        certificate, key = self._credentials.server(name, "127.0.0.1")
        return [
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--leader-elect=false",
        ]
