"""From `kubectl apply` on a real API server to a decision, with the shipped policies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cluster import ControlPlane, KubectlError
from tests.e2e.serving import Served
from tests.support import POLICIES

TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


@pytest.fixture(scope="module")
def gpuward(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """gpuward with the shipped policies, called by the API server for namespaces with a mode."""
    folder = tmp_path_factory.mktemp("gpuward")
    arguments = ("--policies", str(POLICIES), "--kubeconfig", str(control_plane.kubeconfig))
    with Served(folder, *arguments) as served:
        control_plane.install_webhooks(served.url, served.ca_pem)
        yield served
        control_plane.remove_webhooks()


@pytest.fixture
def cluster(control_plane: ControlPlane, gpuward: Served) -> ControlPlane:
    return control_plane


def namespace(cluster: ControlPlane, mode: str | None, **labels: str) -> str:
    return cluster.create_namespace("admission-", {**({"gpuward.dev/mode": mode} if mode else {}), **labels})


def pod(name: str, *, gpus: int = 0, limits: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    resources = {**(limits or {}), **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    container = {"name": "main", "image": "ghcr.io/acme/trainer:2026.11", "resources": {"limits": resources}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"team": "vision"}},
        "spec": {"containers": [container], **spec},
    }


def deployment(name: str, template: dict[str, Any]) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
        },
    }


SMALL = {"cpu": "500m", "memory": "1Gi"}


def stored(cluster: ControlPlane, where: str, name: str, resource: str = "pods") -> dict[str, Any]:
    group = "/api/v1" if resource == "pods" else "/apis/apps/v1"
    return cluster.api("GET", f"{group}/namespaces/{where}/{resource}/{name}")


def exists(cluster: ControlPlane, where: str, name: str, resource: str = "pods") -> bool:
    return (
        cluster.kubectl("get", resource, name, "-n", where, "--ignore-not-found", "-o", "name").stdout.strip()
        != ""
    )


def refusal(cluster: ControlPlane, obj: dict[str, Any], where: str) -> str:
    done = cluster.apply(obj, where, check=False)
    assert done.returncode != 0, f"was admitted: {done.stdout}"
    return done.stderr


@pytest.fixture
def gpu_node(full_control_plane: ControlPlane) -> Iterator[str]:
    name = "gpu-node-of-admission"
    full_control_plane.add_node(name, {"nvidia.com/gpu": "8", "cpu": "64", "memory": "512Gi"}, {}, [TAINT])
    yield name
    full_control_plane.kubectl("delete", "node", name)


def test_a_gpu_pod_comes_back_complete_and_binds_to_the_tainted_node(
    cluster: ControlPlane, full_control_plane: ControlPlane, gpu_node: str
) -> None:
    where = namespace(cluster, "enforce")
    cluster.apply(pod("train", gpus=2), where)
    spec = stored(cluster, where, "train")["spec"]
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]
    assert "nodeAffinity" in spec["affinity"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    main = spec["containers"][0]
    assert main["resources"] == {
        "requests": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "2"},
        "limits": {"cpu": "16", "memory": "64Gi", "nvidia.com/gpu": "2"},
    }
    assert main["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    bound = cluster.wait_for(
        lambda: stored(cluster, where, "train")["spec"].get("nodeName"), what="the GPU pod to be scheduled"
    )
    assert bound == gpu_node
    cluster.kubectl("delete", "pod", "train", "-n", where, "--force", "--grace-period=0")


def test_a_cpu_pod_stays_off_the_gpu_node(
    cluster: ControlPlane, full_control_plane: ControlPlane, gpu_node: str
) -> None:
    where = namespace(cluster, "enforce")
    cluster.apply(pod("web", limits=SMALL), where)

    def unschedulable() -> str | None:
        conditions = stored(cluster, where, "web").get("status", {}).get("conditions", [])
        return next(
            (c["message"] for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False"), None
        )

    assert "untolerated taint" in cluster.wait_for(
        unschedulable, what="the scheduler to pass the CPU pod over"
    )
    assert "nodeName" not in stored(cluster, where, "web")["spec"]


def test_a_pod_without_limits_is_rejected_with_every_reason_in_one_message(cluster: ControlPlane) -> None:
    where = namespace(cluster, "enforce")
    bad = pod("bad", hostNetwork=True, tolerations=[{"operator": "Exists"}])
    bad["spec"]["initContainers"] = [{"name": "fetch", "image": "curlimages/curl:8.17.0"}]
    message = refusal(cluster, bad, where)
    for expected in (
        "spec.initContainers[0].resources.limits",
        "spec.containers[0].resources.limits",
        "cpu",
        "memory",
        "spec.hostNetwork",
        "spec.tolerations[0]",
    ):
        assert expected in message
    assert not exists(cluster, where, "bad")


def test_a_deployment_is_rejected_at_apply(cluster: ControlPlane) -> None:
    where = namespace(cluster, "enforce")
    message = refusal(cluster, deployment("serve", pod("serve")), where)
    assert "spec.template.spec.containers[0].resources.limits" in message
    assert not exists(cluster, where, "serve", "deployments")


def test_a_good_deployment_is_stored_as_written_and_its_pods_are_completed(
    cluster: ControlPlane, full_control_plane: ControlPlane
) -> None:
    where = namespace(cluster, "enforce")
    cluster.apply(deployment("serve", pod("serve", gpus=1)), where)
    assert "tolerations" not in stored(cluster, where, "serve", "deployments")["spec"]["template"]["spec"]

    def made() -> list[dict[str, Any]]:
        pods: list[dict[str, Any]] = cluster.api("GET", f"/api/v1/namespaces/{where}/pods")["items"]
        return pods

    (only,) = cluster.wait_for(made, what="the Deployment's pod")
    assert any(t.get("key") == "nvidia.com/gpu" for t in only["spec"]["tolerations"])
    cluster.kubectl("delete", "deployment", "serve", "-n", where, "--cascade=foreground", "--wait=false")


def test_a_deployment_that_broke_the_rules_before_can_still_be_scaled(cluster: ControlPlane) -> None:
    where = namespace(cluster, None)
    cluster.apply(deployment("old", pod("old")), where)
    cluster.kubectl("label", "namespace", where, "gpuward.dev/mode=enforce")
    scaled = cluster.kubectl("patch", "deployment", "old", "-n", where, "-p", '{"spec": {"replicas": 0}}')
    assert "resources.limits" in scaled.stderr  # as a warning
    changed = cluster.kubectl(
        "set", "image", "deployment/old", "main=ghcr.io/acme/trainer:2026.12", "-n", where, check=False
    )
    assert changed.returncode != 0
    assert "resources.limits" in changed.stderr


def test_an_audit_namespace_admits_everything_unchanged(cluster: ControlPlane) -> None:
    where = namespace(cluster, "audit")
    done = cluster.apply(pod("bad", gpus=1, hostNetwork=True), where)
    assert "Warning" not in done.stderr
    spec = stored(cluster, where, "bad")["spec"]
    assert not any(t.get("key") == "nvidia.com/gpu" for t in spec["tolerations"])
    assert "cpu" not in spec["containers"][0]["resources"].get("limits", {})


def test_a_warn_namespace_changes_and_warns_and_admits(cluster: ControlPlane) -> None:
    where = namespace(cluster, "warn")
    done = cluster.apply(pod("bad", gpus=1, hostNetwork=True), where)
    assert "Warning: spec.hostNetwork" in done.stderr
    spec = stored(cluster, where, "bad")["spec"]
    assert any(t.get("key") == "nvidia.com/gpu" for t in spec["tolerations"])


def test_a_namespace_that_has_not_opted_in_is_left_alone(cluster: ControlPlane) -> None:
    where = namespace(cluster, None)
    done = cluster.apply(pod("bad", gpus=1, hostNetwork=True), where)
    assert "Warning" not in done.stderr
    assert not any(
        t.get("key") == "nvidia.com/gpu" for t in stored(cluster, where, "bad")["spec"]["tolerations"]
    )


def test_the_house_rules_follow_the_label_of_the_namespace(cluster: ControlPlane) -> None:
    where = namespace(cluster, "enforce", workload="ml")
    nameless = pod("train", gpus=1)
    del nameless["metadata"]["labels"]
    assert "metadata.labels.team" in refusal(cluster, nameless, where)
    cluster.kubectl("label", "namespace", where, "workload-")
    cluster.wait_for(
        lambda: cluster.apply(nameless, where, check=False).returncode == 0, what="the label to be gone"
    )


def test_a_server_side_dry_run_shows_the_result_and_stores_nothing(cluster: ControlPlane) -> None:
    where = namespace(cluster, "enforce")
    shown = cluster.apply(pod("train", gpus=1), where, "--dry-run=server", "-o", "yaml")
    assert "nvidia.com/gpu" in shown.stdout
    assert "allowPrivilegeEscalation: false" in shown.stdout
    assert not exists(cluster, where, "train")


def test_a_debug_container_is_validated(cluster: ControlPlane) -> None:
    where = namespace(cluster, "enforce")
    cluster.apply(pod("web", limits=SMALL), where)
    path = f"/api/v1/namespaces/{where}/pods/web/ephemeralcontainers"

    def debug(name: str, **fields: Any) -> None:
        containers = [{"name": name, "image": "busybox:1.37", "targetContainerName": "main", **fields}]
        cluster.api(
            "PATCH", path, {"spec": {"ephemeralContainers": containers}},
            content_type="application/strategic-merge-patch+json",
        )  # fmt: skip

    with pytest.raises(Exception, match=r"spec.ephemeralContainers\[0\].securityContext.privileged"):
        debug("root", securityContext={"privileged": True})
    debug("plain")
    assert stored(cluster, where, "web")["spec"]["ephemeralContainers"][0]["name"] == "plain"


def test_kubectl_debug_with_the_rights_of_the_node_is_rejected(cluster: ControlPlane) -> None:
    where = namespace(cluster, "enforce")
    cluster.apply(pod("web", limits=SMALL), where)
    arguments = ("debug", "web", "-n", where, "--image=busybox:1.37", "--target=main", "--attach=false")
    with pytest.raises(KubectlError, match="no-privileged"):
        cluster.kubectl(*arguments, "--profile=sysadmin")
    cluster.kubectl(*arguments, "--profile=general")


def test_a_pod_that_is_admitted_twice_is_changed_once(cluster: ControlPlane) -> None:
    where = namespace(cluster, "enforce")
    cluster.apply(pod("train", gpus=1), where)
    first = stored(cluster, where, "train")["spec"]
    copy = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "again"}, "spec": {**first}}
    copy["spec"].pop("nodeName", None)
    cluster.apply(copy, where)
    second = stored(cluster, where, "again")["spec"]
    for spec in (first, second):
        # The API server gives each pod a token volume of its own.
        spec.pop("volumes", None)
        for container in spec["containers"]:
            container.pop("volumeMounts", None)
    assert first == second
