"""A real Kubernetes control plane for one test session: etcd, API server, controller manager and scheduler.

There is no kubelet: pods are bound to nodes by the real scheduler and then stay `Pending`. Deleting a bound
pod waits for a kubelet, so use `kubectl delete pod --force --grace-period=0`.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import json
import secrets
import shutil
import ssl
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from .controlplane import webhooks
from .controlplane.assets import Assets
from .controlplane.credentials import Credentials
from .controlplane.process import Process
from .controlplane.programs import Programs

T = TypeVar("T")
Object = Mapping[str, Any]

START_SECONDS = 60  # it takes about 4; a loaded machine gets its time
STOP_GRACE_SECONDS = 5
POLL_SECONDS = 0.03

NODE_CAPACITY = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "1000Gi", "pods": "110"}


class ControlPlaneError(Exception):
    """The control plane did not start, died, or was not in time. Carries the ends of the logs."""


class KubectlError(Exception):
    """kubectl ended with another status than 0."""

    def __init__(self, completed: subprocess.CompletedProcess[str]) -> None:
        arguments = " ".join(completed.args[1:])
        super().__init__(f"kubectl {arguments} ended with {completed.returncode}:\n{completed.stderr}")
        self.completed = completed


class ApiError(Exception):
    """The API server answered with an error; `status` is the HTTP status, `body` the `Status` object."""

    def __init__(self, method: str, path: str, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{method} {path}: {status} {body.get('message', body)}")
        self.status = status
        self.body = body


class ControlPlane:
    """A control plane that lives in `folder` (certificates, logs, data) from `start()` to `stop()`.

    `controlplane.programs` says how it is configured. `api_server_args` are further flags for the API server.
    """

    def __init__(
        self,
        assets: Assets,
        folder: Path,
        *,
        api_server_args: Sequence[str] = (),
    ) -> None:
        self.assets = assets
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.credentials = Credentials(folder / "pki")
        self.ca = self.credentials.ca
        """The file of the CA that signed the API server's certificate (PEM)."""

        self._programs = Programs(
            assets,
            folder,
            self.credentials,
            api_server_args=api_server_args,
        )
        self.address = self._programs.address
        """An address of this machine, for the endpoints of Services; None where it has loopback alone."""

        self.url = self._programs.url
        """Of the API server."""

        self.kubeconfig = self.credentials.kubeconfig(self.url, "admin", ["system:masters"])
        """For a cluster administrator."""

        self.audit_log = self._programs.audit_log
        """The API server's audit log, one JSON event a line, of everything but reads, at level Metadata."""

        self._tls = ssl.create_default_context(cafile=str(self.ca))
        self._tls.load_cert_chain(*self.credentials.client("e2e-harness", ["system:masters"]))
        self._started: list[Process] = []

    # Life

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts everything and returns when pods can be made and scheduled. Raises ControlPlaneError."""
        try:
            self._start(self._programs.etcd)
            self.wait_for(self._etcd_healthy, START_SECONDS, "etcd to be healthy")
            self._start_api_server()
            self._start_components()
            self._wait_for_default_service_account("default")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops all, clients before servers, and deletes etcd's data. The logs stay. May be called twice."""
        self._stop_components()
        for process in (self._programs.api_server, self._programs.etcd):
            process.stop(STOP_GRACE_SECONDS)
        self._started.clear()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def stop_api_server(self, *, kill: bool = False) -> None:
        """Stops the API server: SIGTERM and a grace, or like a crash with `kill`."""
        if self._programs.api_server in self._started:
            self._started.remove(self._programs.api_server)
        if kill:
            self._programs.api_server.kill()
        else:
            self._programs.api_server.stop(STOP_GRACE_SECONDS)

    def start_api_server(self) -> None:
        """Starts a stopped API server on its port, and returns when the cluster works as before.

        The controller manager and the scheduler start anew with it: left alone, they would try again ever
        less often, up to 30 s apart, and the next test would wait for them. Raises ControlPlaneError.
        """
        self._start_api_server()
        self._stop_components()
        self._start_components()

    def restart_api_server(self, *, kill: bool = False) -> None:
        """`stop_api_server`, then `start_api_server`."""
        self.stop_api_server(kill=kill)
        self.start_api_server()

    @property
    def has_controller_manager(self) -> bool:
        """Whether controllers run: without, Deployments make no pods and nodes are not watched."""
        return self._programs.controller_manager is not None

    @property
    def has_scheduler(self) -> bool:
        """Whether pods are bound to nodes."""
        return self._programs.scheduler is not None

    def wait_for(self, predicate: Callable[[], T | None], timeout: float = 15, what: str = "") -> T:
        """Calls `predicate` until it returns something true, which is returned.

        Errors of the API, of kubectl and of the network count as "not yet". Raises ControlPlaneError after
        `timeout` seconds or as soon as a program of the control plane has died.
        """
        deadline = time.monotonic() + timeout
        last: object = None
        while True:
            try:
                if result := predicate():
                    return result
                last = result
            except (ApiError, KubectlError, OSError, http.client.HTTPException) as error:
                last = error
            for process in self._started:
                if (status := process.exit_status()) is not None:
                    raise ControlPlaneError(f"{process.name} ended with status {status}:\n{process.tail()}")
            if time.monotonic() > deadline:
                what = what or getattr(predicate, "__name__", "the condition")
                raise ControlPlaneError(f"waited {timeout:g} s for {what}; last: {last!r}\n{self._tails()}")
            time.sleep(POLL_SECONDS)

    # Talking to the cluster

    def kubectl(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        check: bool = True,
        timeout: float = 30,
    ) -> subprocess.CompletedProcess[str]:
        """Runs kubectl as the administrator (`--as`, `--as-group` for others), output captured as text.

        Raises KubectlError for a status other than 0 unless `check` is false, subprocess.TimeoutExpired after
        `timeout` seconds.
        """
        completed = subprocess.run(
            [str(self.assets.kubectl), *args],
            input=input,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={
                **self._programs.environment,
                "KUBECONFIG": str(self.kubeconfig),
                "KUBECACHEDIR": str(self.folder / "kubectl-cache"),
            },
        )
        if check and completed.returncode != 0:
            raise KubectlError(completed)
        return completed

    def apply(
        self,
        manifests: str | Object | Iterable[Object],
        namespace: str | None = None,
        *args: str,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """`kubectl apply` of YAML text or of objects, with further `args` such as `--dry-run=server`."""
        if isinstance(manifests, Mapping):
            manifests = [manifests]
        if not isinstance(manifests, str):
            manifests = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        scope = ["--namespace", namespace] if namespace else []
        return self.kubectl("apply", *scope, "-f", "-", *args, input=manifests, check=check)

    def api(
        self,
        method: str,
        path: str,
        body: Object | Sequence[Any] | None = None,
        *,
        content_type: str = "application/json",
        timeout: float = 15,
    ) -> dict[str, Any]:
        """The decoded answer to one call of the API as an administrator, for polling.

        Raises ApiError for an HTTP status of 400 and above, OSError when the server cannot be reached.
        """
        status, text = self._raw(method, path, body, content_type=content_type, timeout=timeout)
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"message": text.decode(errors="replace")}
        if status >= 400:
            raise ApiError(method, path, status, answer)
        assert isinstance(answer, dict)
        return answer

    def connection(self, timeout: float = 15) -> http.client.HTTPSConnection:
        """A connection to the API server as an administrator, for what `api` does not show: headers, impersonation."""
        return http.client.HTTPSConnection(
            "127.0.0.1", self._programs.port, context=self._tls, timeout=timeout
        )

    # Things that tests need

    def create_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """Makes a namespace in which pods can be made at once, and returns its name.

        A `name` that ends with `-` gets a random ending (generateName). Raises ApiError if it exists.
        """
        key = "generateName" if name.endswith("-") else "name"
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {key: name, "labels": dict(labels or {})},
        }
        made: str = self.api("POST", "/api/v1/namespaces", namespace)["metadata"]["name"]
        self._wait_for_default_service_account(made)
        return made

    def add_node(
        self,
        name: str,
        capacity: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Mapping[str, str]] = (),
    ) -> dict[str, Any]:
        """Makes a ready node to which the scheduler can bind pods, and returns it.

        `capacity` (such as `{"nvidia.com/gpu": "8"}`) comes on top of NODE_CAPACITY, and all of it is
        allocatable.
        """
        resources = {**NODE_CAPACITY, **(capacity or {})}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux",
                    "kubernetes.io/arch": "amd64",
                    **(labels or {}),
                },
            },
            "spec": {"taints": [dict(taint) for taint in taints]},
            "status": {
                "capacity": resources,
                "allocatable": resources,
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            },
        }
        path = f"/api/v1/nodes/{name}"
        self.api("POST", "/api/v1/nodes", node)
        if not self.has_controller_manager:
            # Admission (TaintNodesByCondition) taints every new node as not ready; nobody here takes it back.
            self.api("PATCH", path, {"spec": node["spec"]}, content_type="application/merge-patch+json")

        def ready() -> dict[str, Any] | None:
            got = self.api("GET", path)
            keys = {taint["key"] for taint in got["spec"].get("taints", [])}
            return None if any(key.startswith("node.kubernetes.io/") for key in keys) else got

        return self.wait_for(ready, what=f"node {name} to lose its not-ready taint")

    def publish_service(
        self, namespace: str, name: str, endpoints: Iterable[tuple[str, int]], *, port: int = 443
    ) -> None:
        """Makes or changes a Service without selector whose ready endpoints are these addresses and ports.

        Addresses must not be loopback (use `address`). One EndpointSlice an endpoint, since a slice has one
        port: replicas on one machine differ by it.
        """
        self._server_side_apply(
            f"/api/v1/namespaces/{namespace}/services/{name}",
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"ports": [{"name": "https", "port": port, "protocol": "TCP"}]},
            },
        )
        self.publish_endpoints(namespace, name, endpoints)

    def publish_endpoints(
        self, namespace: str, name: str, endpoints: Iterable[tuple[str, int]], *, port_name: str = "https"
    ) -> None:
        """Makes these addresses and ports the ready endpoints of an existing Service's port, and no others.

        Endpoints that Kubernetes itself makes of the Service's pods are left alone: without a kubelet no pod is ready.
        """
        wanted = list(endpoints)
        labels = {
            "kubernetes.io/service-name": name,
            "endpointslice.kubernetes.io/managed-by": "gpuward-e2e",
        }
        slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        selector = urllib.parse.quote(",".join(f"{key}={value}" for key, value in labels.items()))
        names = {
            f"{name}-{target}-{address.replace(':', '-')}": (address, target) for address, target in wanted
        }
        for slice_name, (address, target) in names.items():
            self._server_side_apply(
                f"{slices}/{slice_name}",
                {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {
                        "name": slice_name,
                        "labels": labels,
                    },
                    "addressType": "IPv6" if ":" in address else "IPv4",
                    "ports": [{"name": port_name, "port": target, "protocol": "TCP"}],
                    "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
                },
            )
        for existing in self.api("GET", f"{slices}?labelSelector={selector}")["items"]:
            if existing["metadata"]["name"] not in names:
                self.api("DELETE", f"{slices}/{existing['metadata']['name']}")
        if self._minor < 33:
            # API servers of these releases call Services through the Endpoints object. The controller writes it when
            # pods of the Service change, of which none ever becomes ready here.
            self._server_side_apply(
                f"/api/v1/namespaces/{namespace}/endpoints/{name}",
                {
                    "apiVersion": "v1",
                    "kind": "Endpoints",
                    "metadata": {"name": name},
                    "subsets": [
                        {
                            "addresses": [{"ip": address}],
                            "ports": [{"name": port_name, "port": target, "protocol": "TCP"}],
                        }
                        for address, target in wanted
                    ],
                },
            )

    @property
    def _minor(self) -> int:
        return int(self.assets.version.split(".")[1])

    def install_webhooks(
        self,
        base_url: str | None,
        ca_pem: bytes | str,
        *,
        service: tuple[str, str, int] | None = None,
        modes: Sequence[str] = webhooks.MODES,
        timeout_seconds: int = 5,
    ) -> None:
        """Makes or replaces gpuward's webhook configurations, and returns when the API server acts on them.

        The webhook is called at `base_url`, or through `service` (namespace, name, port) when that is None;
        `ca_pem` signed its certificate.
        """
        bundle = base64.b64encode(ca_pem if isinstance(ca_pem, bytes) else ca_pem.encode()).decode()
        if (base_url is None) == (service is None):
            raise ValueError("give either base_url or service")
        client = webhooks.by_service(*service, bundle) if service else webhooks.by_url(base_url or "", bundle)
        for configuration in webhooks.webhook_configurations(
            client, modes=modes, timeout_seconds=timeout_seconds
        ):
            self._server_side_apply(_webhook_path(configuration), configuration)
        self.settle_webhooks()

    def remove_webhooks(self) -> None:
        """Deletes gpuward's webhook configurations if they exist, and returns when they are out of force."""
        for configuration in webhooks.webhook_configurations(lambda path: {}):
            self._delete_if_exists(_webhook_path(configuration))
        self.settle_webhooks()

    def settle_webhooks(self) -> None:
        """Returns when the API server acts on the webhook configurations as they are now."""
        for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
            marker = f"gpuward-settled-{secrets.token_hex(4)}"
            configuration = webhooks.marker_configuration(kind, marker)
            self._server_side_apply(_webhook_path(configuration), configuration)
            try:
                self.wait_for(
                    functools.partial(self._refused, marker), what=f"the API server to see each {kind}"
                )
            finally:
                self._delete_if_exists(_webhook_path(configuration))

    # Internals

    def _refused(self, config_map: str) -> bool:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": config_map}}
        try:
            self.api("POST", "/api/v1/namespaces/default/configmaps?dryRun=All", body)
        except ApiError as error:
            return "settled.gpuward.dev" in str(error)
        return False

    def _server_side_apply(self, path: str, body: Object) -> None:
        self.api(
            "PATCH",
            f"{path}?fieldManager=gpuward-e2e&force=true",
            body,
            content_type="application/apply-patch+yaml",
        )

    def _delete_if_exists(self, path: str) -> None:
        try:
            self.api("DELETE", path)
        except ApiError as error:
            if error.status != 404:
                raise

    def _wait_for_default_service_account(self, namespace: str) -> None:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        if not self.has_controller_manager:
            with contextlib.suppress(ApiError):  # it is there already
                self.api("POST", path, {"metadata": {"name": "default"}})
        self.wait_for(
            lambda: self.api("GET", f"{path}/default"), what=f"ServiceAccount default in {namespace}"
        )

    def _raw(
        self,
        method: str,
        path: str,
        body: Object | Sequence[Any] | None = None,
        *,
        content_type: str = "application/json",
        timeout: float = 15,
    ) -> tuple[int, bytes]:
        connection = self.connection(timeout)
        with contextlib.closing(connection):
            payload = None if body is None else json.dumps(body)
            connection.request(
                method, path, payload, {"Content-Type": content_type, "Accept": "application/json"}
            )
            response = connection.getresponse()
            return response.status, response.read()

    def _healthy(self, port: int) -> bool:
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=self._tls, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200

    def _etcd_healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._programs.etcd_port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/health")
            return connection.getresponse().status == 200

    def _start_api_server(self) -> None:
        self._start(self._programs.api_server)
        self.wait_for(
            lambda: self._raw("GET", "/readyz")[0] == 200, START_SECONDS, "kube-apiserver to be ready"
        )

    def _start_components(self) -> None:
        for process, _ in self._programs.components:
            self._start(process)
        for process, port in self._programs.components:
            self.wait_for(
                functools.partial(self._healthy, port), START_SECONDS, f"{process.name} to be healthy"
            )

    def _stop_components(self) -> None:
        for process, _ in self._programs.components:
            process.terminate()
        for process, _ in self._programs.components:
            process.stop(STOP_GRACE_SECONDS)
            if process in self._started:
                self._started.remove(process)

    def _start(self, process: Process) -> None:
        process.start()
        self._started.append(process)

    def _tails(self) -> str:
        return "\n".join(f"--- end of {process.log}\n{process.tail()}" for process in self._started)


def _webhook_path(configuration: Object) -> str:
    plural = configuration["kind"].lower() + "s"
    return f"/apis/admissionregistration.k8s.io/v1/{plural}/{configuration['metadata']['name']}"
