"""The chart on the real API server: every rendering is accepted, and one is installed, called, upgraded and removed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.generate import NAMESPACE, PLAIN, RELEASE
from tests.manifests.rendering import MATRIX, Object, chart

from .cluster import ApiError, ControlPlane, KubectlError
from .installation import Installation, Replica

# Kinds of others that the chart can make objects of.
CRDS = Path(__file__).resolve().parent / "crds"
POD_LIMITS = {"limits": {"cpu": "1", "memory": "1Gi"}}


# --- what is rendered is accepted -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kinds_of_others(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """A cluster that knows the Prometheus operator's and cert-manager's kinds."""
    control_plane.kubectl("apply", "-f", str(CRDS))
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRDS))
    control_plane.apply(RENDERED)
    yield control_plane
    control_plane.kubectl("delete", "namespace", "rendered", "--wait=false")
    control_plane.kubectl("delete", "-f", str(CRDS))


RENDERED = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "rendered"}}


def _names(cluster: ControlPlane, path: str) -> set[str]:
    return {item["metadata"]["name"] for item in cluster.api("GET", path)["items"]}


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_api_server_accepts_what_is_rendered(
    kinds_of_others: ControlPlane, helm: Path, values: tuple[str, ...]
) -> None:
    """Every object, in full: validated and defaulted as if it were made, unknown fields refused."""
    objects = chart(helm, *values, namespace="rendered")
    done = kinds_of_others.apply(objects, None, "--dry-run=server", "--validate=strict")
    assert len(done.stdout.splitlines()) == len(objects)
    assert done.stderr == ""


# --- one release, from its installation to its removal ----------------------------------------------------


@pytest.fixture(scope="module")
def installed(
    control_plane: ControlPlane, helm: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A release with its defaults; the last test here removes it."""
    installation = Installation(control_plane, helm, tmp_path_factory.mktemp("installed"))
    notes = installation.install()
    assert "kubectl delete validatingwebhookconfiguration gpuward" in notes
    yield installation
    if installation.configurations():
        installation.uninstall()
    control_plane.kubectl("delete", "namespace", NAMESPACE, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="module")
def replica(installed: Installation) -> Iterator[Replica]:
    """One replica among the endpoints."""
    with installed.replica() as running:
        installed.publish([running])
        installed.cluster.wait_for(lambda: _called(installed), 30, "the API server to call the replica")
        yield running
    installed.publish([])


def _called(installed: Installation) -> bool:
    namespace = installed.cluster.create_namespace("called-", {"gpuward.dev/mode": "enforce"})
    done = installed.cluster.apply(pod("probe"), namespace, "--dry-run=server", check=False)
    return "limits" in done.stderr


def pod(name: str, **resources: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "ghcr.io/acme/trainer:2026.11", **resources}]},
    }


def in_mode(installed: Installation, mode: str | None) -> str:
    return installed.cluster.create_namespace("chart-", {"gpuward.dev/mode": mode} if mode else {})


def test_deployment_is_held_to_the_restricted_standard(installed: Installation) -> None:
    """By Kubernetes' own admission: with the label that the notes tell of, its pods can be made."""
    label = ("pod-security.kubernetes.io/enforce=restricted", "--overwrite")
    installed.cluster.kubectl("label", "namespace", NAMESPACE, *label)
    installed.cluster.kubectl("-n", NAMESPACE, "rollout", "restart", "deployment/gpuward")
    revision = installed.deployment()["metadata"]["generation"]

    def made() -> list[Object]:
        pods = installed.object("api/v1/{}/pods")["items"]
        return (
            pods
            if len(pods) >= 2 and installed.deployment()["status"]["observedGeneration"] >= revision
            else []
        )

    if installed.cluster.has_controller_manager:
        installed.cluster.wait_for(made, 30, "the Deployment's pods")
        assert installed.object("api/v1/{}/pods")["items"][0]["spec"]["priority"] == 2_000_000_000


def test_enforce_refuses_and_says_what_is_wrong(installed: Installation, replica: Replica) -> None:
    namespace = in_mode(installed, "enforce")
    with pytest.raises(KubectlError, match=r"spec\.containers\[0\]\.resources\.limits"):
        installed.cluster.apply(pod("bad"), namespace)
    workload = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "bad"},
        "spec": {
            "selector": {"matchLabels": {"app": "bad"}},
            "template": {key: pod("bad")[key] for key in ("metadata", "spec")},
        },
    }
    workload["spec"]["template"]["metadata"].pop("name")  # type: ignore[index]  # all of them are maps
    with pytest.raises(KubectlError, match=r"spec\.template\.spec\.containers\[0\]\.resources\.limits"):
        installed.cluster.apply(workload, namespace)
    installed.cluster.apply(pod("good", resources=POD_LIMITS), namespace)
    made = installed.cluster.api("GET", f"/api/v1/namespaces/{namespace}/pods/good")
    assert made["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False, (
        "not mutated"
    )


def test_warn_lets_in_and_tells(installed: Installation, replica: Replica) -> None:
    done = installed.cluster.apply(pod("bad"), in_mode(installed, "warn"))
    assert "Warning:" in done.stderr
    assert "limits" in done.stderr


@pytest.mark.parametrize("mode", ["audit", "misspelt"])
def test_audit_and_what_is_no_mode_only_record(installed: Installation, replica: Replica, mode: str) -> None:
    namespace = in_mode(installed, mode)
    done = installed.cluster.apply(pod("bad"), namespace)
    assert done.stderr == ""
    recorded = installed.cluster.wait_for(lambda: _events(replica, namespace), what="the log to tell of it")
    assert {event["mode"] for event in recorded} == {"audit"}
    assert {finding["policy"] for event in recorded for finding in event["findings"]} >= {"limits-required"}


def _events(replica: Replica, namespace: str) -> list[Object]:
    """What a replica has logged of the reviews in a namespace."""
    events = (json.loads(line) for line in list(replica.log) if line.startswith("{"))
    return [event for event in events if event.get("namespace") == namespace and "findings" in event]


def test_others_are_not_asked_about(installed: Installation, replica: Replica) -> None:
    cluster = installed.cluster
    namespace = in_mode(installed, None)
    cluster.apply(pod("bad"), namespace)
    cluster.kubectl("label", "namespace", "kube-system", "gpuward.dev/mode=enforce")
    try:
        cluster.apply(pod("bad"), "kube-system", "--dry-run=server")
    finally:
        cluster.kubectl("label", "namespace", "kube-system", "gpuward.dev/mode-")
    assert not [line for line in replica.log if namespace in line or '"namespace":"kube-system"' in line]


def test_rights_of_the_chart_are_enough(installed: Installation, replica: Replica) -> None:
    """The replica runs under the chart's ServiceAccount; what it may not do it would have complained of."""
    assert not [line for line in replica.log if "forbidden" in line.lower()]


def test_while_it_is_down_nothing_is_held_up_but_what_enforce_must_see(
    installed: Installation, replica: Replica
) -> None:
    cluster = installed.cluster
    namespace, warned = in_mode(installed, "enforce"), in_mode(installed, "warn")
    finalized = pod("finalized", resources=POD_LIMITS)
    finalized["metadata"]["finalizers"] = ["example.com/hold"]
    cluster.apply([finalized, pod("held", resources=POD_LIMITS)], namespace)
    installed.publish([])
    assert replica.stop() == 0

    def refused() -> bool:
        done = cluster.apply(pod("new", resources=POD_LIMITS), namespace, "--dry-run=server", check=False)
        return "failed calling webhook" in done.stderr and "validate-enforce.gpuward.dev" in done.stderr

    cluster.wait_for(refused, 30, "validation in an enforce namespace to fail closed")
    path = f"/api/v1/namespaces/{namespace}/pods"
    merge = "application/merge-patch+json"
    # Controllers go on with what is there: status, finalizers, owners, deletion.
    cluster.api("PATCH", f"{path}/held/status", {"status": {"phase": "Failed"}}, content_type=merge)
    cluster.api(
        "PATCH", f"{path}/held", {"metadata": {"finalizers": ["example.com/hold"]}}, content_type=merge
    )
    cluster.api("PATCH", f"{path}/held", {"metadata": {"finalizers": []}}, content_type=merge)
    cluster.kubectl(
        "-n", namespace, "delete", "pod", "finalized", "--wait=false", "--force", "--grace-period=0"
    )
    cluster.api("PATCH", f"{path}/finalized", {"metadata": {"finalizers": []}}, content_type=merge)
    cluster.wait_for(lambda: _names(cluster, path) == {"held"}, 15, "the pod to be gone")
    # What is judged waits.
    with pytest.raises(ApiError, match="failed calling webhook"):
        cluster.api("PATCH", f"{path}/held", {"metadata": {"labels": {"app": "other"}}}, content_type=merge)
    # And nothing else.
    cluster.apply(pod("bad"), warned)
    cluster.apply(pod("bad"), in_mode(installed, "audit"))


def test_gate_opens_with_the_command_of_the_notes(installed: Installation) -> None:
    namespace = in_mode(installed, "enforce")
    installed.cluster.kubectl("delete", "validatingwebhookconfiguration", RELEASE)
    installed.cluster.settle_webhooks()
    installed.cluster.apply(pod("bad"), namespace)
    # helm upgrade brings it back.
    installed.upgrade("--reuse-values")
    assert len(installed.configurations()) == 2


def test_upgrade_keeps_what_gpuward_wrote_into_the_webhooks(
    control_plane: ControlPlane, helm: Path, installed: Installation
) -> None:
    """caBundle is no field of the chart: neither Helm nor kubectl apply takes it away."""
    bundle = installed.object("api/v1/{}/secrets/gpuward-certs")["data"]["ca.crt"]

    def trusted() -> set[tuple[int, str | None]]:
        return {
            (entry["timeoutSeconds"], entry["clientConfig"].get("caBundle"))
            for configuration in installed.configurations()
            for entry in configuration["webhooks"]
        }

    with (
        installed.replica()
    ):  # it has written it again, as the command of the notes took the configuration away
        control_plane.wait_for(lambda: trusted() == {(5, bundle)}, 30, "gpuward to write caBundle")
    installed.upgrade("--set", "replicas=3", "--set", "webhooks.timeoutSeconds=3")
    assert installed.deployment()["spec"]["replicas"] == 3
    assert trusted() == {(3, bundle)}
    # Left to the autoscaler, there are as many as before: where nobody says, Kubernetes makes it one.
    installed.upgrade("--reuse-values", "--set", "autoscaling.enabled=true")
    assert installed.deployment()["spec"]["replicas"] == 3
    installed.upgrade("--reuse-values", "--set", "autoscaling.enabled=false")
    # GitOps tools render the chart and apply it: once to take it over, once with a change.
    for seconds in (3, 4):
        rendered = chart(helm, f"webhooks.timeoutSeconds={seconds}")
        webhooks = [obj for obj in rendered if "Webhook" in obj["kind"]]
        control_plane.apply(webhooks)
        control_plane.apply(webhooks, None, "--server-side", "--force-conflicts", "--field-manager=gitops")
        assert trusted() == {(seconds, bundle)}


def test_uninstall_removes_the_webhooks_first(control_plane: ControlPlane, installed: Installation) -> None:
    before = control_plane.audit_log.stat().st_size
    installed.uninstall()
    control_plane.wait_for(
        lambda: _deleted(control_plane, before, "serviceaccounts"), 15, "helm's last deletion"
    )
    deleted = _deletions(control_plane, before)
    webhooks = [index for index, name in enumerate(deleted) if "webhookconfigurations" in name]
    # The one in force and the hook's, of each kind.
    assert len(webhooks) == 4
    assert deleted[0] == "validatingwebhookconfigurations"
    assert max(webhooks) < min(index for index in range(len(deleted)) if index not in webhooks)
    # What is refused no more can be made at once, and policies as custom resources are not lost.
    control_plane.apply(pod("bad"), in_mode(installed, "enforce"))
    definitions = _names(control_plane, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    assert "policies.gpuward.dev" in definitions
    control_plane.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def _deletions(cluster: ControlPlane, since: int) -> list[str]:
    """Resources of which objects of the release were deleted by Helm, in order."""
    with cluster.audit_log.open("rb") as log:
        log.seek(since)
        events = [json.loads(line) for line in log.read().splitlines() if line.endswith(b"}")]
    return [
        event["objectRef"]["resource"]
        for event in events
        if event["verb"] == "delete"
        and event.get("userAgent", "").startswith("Helm")
        and event["objectRef"].get("name", "").startswith(RELEASE)
        and event["responseStatus"]["code"] < 400
    ]


def _deleted(cluster: ControlPlane, since: int, resource: str) -> bool:
    return resource in _deletions(cluster, since)


def test_plain_manifests_install_and_are_removed_in_two_steps(control_plane: ControlPlane) -> None:
    control_plane.wait_for(
        lambda: NAMESPACE not in _names(control_plane, "/api/v1/namespaces"), 60, f"{NAMESPACE} to be gone"
    )
    control_plane.kubectl("apply", "-k", str(PLAIN))
    labels = control_plane.api("GET", f"/api/v1/namespaces/{NAMESPACE}")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    deployment = control_plane.api("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{RELEASE}")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "localhost/gpuward:0.1.0"
    control_plane.kubectl("delete", "-f", str(PLAIN / "webhooks.yaml"))
    rest = ("-f", str(PLAIN / "rbac.yaml"), "-f", str(PLAIN / "namespace.yaml"))
    control_plane.kubectl("delete", *rest, "--wait=false")
    for path in ("clusterroles", "clusterrolebindings"):
        assert RELEASE not in _names(control_plane, f"/apis/rbac.authorization.k8s.io/v1/{path}")
    definitions = _names(control_plane, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    assert "policies.gpuward.dev" in definitions
    control_plane.kubectl("delete", "-k", str(PLAIN), "--ignore-not-found", "--wait=false")
    for document in yaml.safe_load_all((PLAIN / "webhooks.yaml").read_text(encoding="utf-8")):
        plural = document["kind"].lower() + "s"
        assert RELEASE not in _names(control_plane, f"/apis/admissionregistration.k8s.io/v1/{plural}")
