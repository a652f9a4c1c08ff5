"""The control plane of these tests is a real one: it schedules, controls, admits and calls webhooks."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from .cluster import ControlPlane, ControlPlaneError, KubectlError
from .controlplane import assets

GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc, relies on Linux' prctl")
REFUSAL = "refused by the test webhook"


def pod(name: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "example.com/pause:3.10", **spec.pop("container", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], **spec},
    }


def gpu_pod(name: str, **spec: Any) -> dict[str, Any]:
    return pod(name, container={"resources": {"limits": {"nvidia.com/gpu": "1"}}}, **spec)


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    return control_plane.create_namespace("control-plane-")


@pytest.fixture
def gpu_node(full_control_plane: ControlPlane, namespace: str) -> Iterator[str]:
    name = f"gpu-of-{namespace}"
    full_control_plane.add_node(
        name, {"nvidia.com/gpu": "8"}, {"nvidia.com/gpu.present": "true"}, [GPU_TAINT]
    )
    yield name
    full_control_plane.kubectl("delete", "node", name)


def test_api_server_and_kubectl_are_the_release_that_was_asked_for(control_plane: ControlPlane) -> None:
    printed = control_plane.kubectl("version", "-o", "json")
    versions = json.loads(printed.stdout)
    assert versions["serverVersion"]["gitVersion"] == control_plane.assets.version
    assert "clientVersion" in versions
    assert (
        printed.stderr == ""
    )  # kubectl warns here about versions that it cannot compare or that are too far apart


def test_pod_can_be_made_at_once_in_a_new_namespace(control_plane: ControlPlane) -> None:
    made = control_plane.create_namespace("fresh-", {"gpuward.dev/mode": "audit"})
    control_plane.apply(pod("first"), made)
    stored = control_plane.api("GET", f"/api/v1/namespaces/{made}/pods/first")
    assert stored["spec"]["serviceAccountName"] == "default"
    labels = control_plane.api("GET", f"/api/v1/namespaces/{made}")["metadata"]["labels"]
    assert labels["gpuward.dev/mode"] == "audit"


def test_pod_binds_to_a_tainted_node_only_with_the_toleration(
    full_control_plane: ControlPlane, namespace: str, gpu_node: str
) -> None:
    tolerations = [{"key": GPU_TAINT["key"], "operator": "Exists", "effect": "NoSchedule"}]
    here = {"kubernetes.io/hostname": gpu_node}
    full_control_plane.apply(
        [
            gpu_pod("tolerates", nodeSelector=here, tolerations=tolerations),
            gpu_pod("does-not", nodeSelector=here),
        ],
        namespace,
    )

    def read(name: str) -> dict[str, Any]:
        return full_control_plane.api("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")

    bound_to = full_control_plane.wait_for(
        lambda: read("tolerates")["spec"].get("nodeName"), what="the binding"
    )
    assert bound_to == gpu_node

    def refusal() -> str | None:
        for condition in read("does-not").get("status", {}).get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return str(condition["message"])
        return None

    assert "untolerated taint" in full_control_plane.wait_for(refusal, what="the scheduler's verdict")
    assert "nodeName" not in read("does-not")["spec"]


def test_deployment_makes_pods_through_a_replica_set(
    full_control_plane: ControlPlane, namespace: str
) -> None:
    labels = {"app": "serving"}
    full_control_plane.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "serving"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod("unused")["spec"]},
            },
        },
        namespace,
    )

    def owners() -> list[str] | None:
        items = full_control_plane.api("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
        return [p["metadata"]["ownerReferences"][0]["kind"] for p in items] if len(items) == 2 else None

    assert full_control_plane.wait_for(owners, what="two pods") == ["ReplicaSet", "ReplicaSet"]


def test_validating_admission_policy_denies(control_plane: ControlPlane, namespace: str) -> None:
    name = f"no-latest-in-{namespace}"
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                    }
                ],
            },
            "validations": [
                {
                    "expression": "object.spec.containers.all(c, !c.image.endsWith(':latest'))",
                    "message": "write a version instead of latest",
                }
            ],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    control_plane.apply([policy, binding])
    latest = pod("latest", container={"image": "example.com/train:latest"})

    def refusal() -> str | None:
        tried = control_plane.apply(latest, namespace, "--dry-run=server", check=False)
        return tried.stderr if tried.returncode else None

    assert "write a version instead of latest" in control_plane.wait_for(
        refusal, what="the policy to be in force"
    )
    control_plane.apply(pod("pinned"), namespace)


@contextmanager
def refusing_webhook(
    control_plane: ControlPlane, ca: trustme.CA, *names: str
) -> Iterator[tuple[int, list[str]]]:
    """A webhook that refuses at /validate/... and allows at /mutate/...: its port and the paths called."""
    calls: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            path = self.path.partition("?")[0]
            calls.append(path)
            response = {"uid": review["request"]["uid"], "allowed": path.startswith("/mutate/")}
            if not response["allowed"]:
                response["status"] = {"code": 403, "reason": "Forbidden", "message": REFUSAL}
            body = json.dumps(
                {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
            )
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    with ThreadingHTTPServer(("", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1], calls
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def webhook_ca(control_plane: ControlPlane) -> Iterator[trustme.CA]:
    yield trustme.CA()
    control_plane.remove_webhooks()


def test_webhook_is_called_by_url_at_the_path_of_the_namespace_mode(
    control_plane: ControlPlane, namespace: str, webhook_ca: trustme.CA
) -> None:
    enforced = control_plane.create_namespace("enforced-", {"gpuward.dev/mode": "enforce"})
    with refusing_webhook(control_plane, webhook_ca, "127.0.0.1") as (port, calls):
        control_plane.install_webhooks(f"https://127.0.0.1:{port}", webhook_ca.cert_pem.bytes())
        with pytest.raises(KubectlError, match=REFUSAL):
            control_plane.apply(pod("refused"), enforced)
        assert calls == ["/mutate/enforce", "/validate/enforce"]
        control_plane.apply(pod("not-opted-in"), namespace)
        assert len(calls) == 2


@pytest.mark.parametrize(("mode", "blocked"), [("audit", False), ("warn", False), ("enforce", True)])
def test_webhook_that_is_down_blocks_enforced_namespaces_only(
    control_plane: ControlPlane, webhook_ca: trustme.CA, mode: str, blocked: bool
) -> None:
    labelled = control_plane.create_namespace(f"{mode}-", {"gpuward.dev/mode": mode})
    control_plane.install_webhooks("https://127.0.0.1:1", webhook_ca.cert_pem.bytes())
    tried = control_plane.apply(pod("a"), labelled, check=False)
    assert (tried.returncode != 0) is blocked, tried.stderr
    if blocked:
        assert "failed calling webhook" in tried.stderr
        assert "validate-enforce.gpuward.dev" in tried.stderr


def test_webhook_is_called_through_the_endpoints_of_its_service(
    control_plane: ControlPlane, webhook_ca: trustme.CA
) -> None:
    if control_plane.address is None:
        pytest.skip("this machine has no address but loopback, which the endpoints of a Service cannot have")
    system = control_plane.create_namespace("gpuward-system-")
    enforced = control_plane.create_namespace("enforced-", {"gpuward.dev/mode": "enforce"})
    with ExitStack() as stack:
        replicas = [
            stack.enter_context(refusing_webhook(control_plane, webhook_ca, f"gpuward.{system}.svc"))
            for _ in range(2)
        ]
        control_plane.publish_service(
            system, "gpuward", [(control_plane.address, port) for port, _ in replicas]
        )
        control_plane.install_webhooks(
            None, webhook_ca.cert_pem.bytes(), service=(system, "gpuward", 443), modes=["enforce"]
        )

        def refused_by_both() -> bool:
            tried = control_plane.apply(pod("refused"), enforced, check=False)
            assert tried.returncode != 0
            return all(calls for _, calls in replicas)

        control_plane.wait_for(refused_by_both, what="calls to both replicas")

        (_, gone), (port, stays) = replicas
        control_plane.publish_service(system, "gpuward", [(control_plane.address, port)])

        def ten_calls_avoid_the_one_that_left() -> bool:
            gone.clear()
            stays.clear()
            for _ in range(5):
                control_plane.apply(pod("refused"), enforced, check=False)
            return not gone and len(stays) == 10

        control_plane.wait_for(ten_calls_avoid_the_one_that_left, what="calls to the remaining replica alone")


@pytest.mark.parametrize("kill", [False, True], ids=["in order", "by a crash"])
def test_api_server_restarts_with_its_objects(
    control_plane: ControlPlane, namespace: str, kill: bool
) -> None:
    control_plane.apply(pod("survivor"), namespace)
    control_plane.restart_api_server(kill=kill)
    assert control_plane.api("GET", f"/api/v1/namespaces/{namespace}/pods/survivor")["kind"] == "Pod"
    control_plane.create_namespace("after-restart-")  # the controller manager found its way back


@linux_only
def test_start_that_fails_says_why_and_leaves_nothing_running(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    broken = ControlPlane(control_plane.assets, tmp_path, api_server_args=["--no-such-flag"])
    with pytest.raises(ControlPlaneError, match=r"kube-apiserver ended with status 1:(.|\n)*unknown flag"):
        broken.start()
    assert not (tmp_path / "etcd").exists()
    assert _processes_naming(str(tmp_path)) == []


@linux_only
def test_nothing_outlives_a_killed_test_run(control_plane: ControlPlane, tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path;"
        f"from {ControlPlane.__module__} import ControlPlane; from {assets.__name__} import locate;"
        "ControlPlane(locate(), Path(sys.argv[1])).start(); print('up', flush=True); time.sleep(600)"
    )
    package_root = Path(__file__).resolve().parents[len(__name__.split(".")) - 1]
    environment = {**os.environ, "PYTHONPATH": str(package_root)}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
    ) as run:
        try:
            assert run.stdout is not None
            assert run.stdout.readline() == "up\n"
            programs = 2 + control_plane.has_controller_manager + control_plane.has_scheduler
            assert len(_processes_naming(str(tmp_path))) == programs + 1  # and the run itself
        finally:
            run.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while left := _processes_naming(str(tmp_path)):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def _processes_naming(text: str) -> list[str]:
    """The command lines of the processes (zombies have none) that contain `text`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if text in command:
                found.append(command)
    return found
