"""The doctor on a release in a real cluster, silent where all is well; the guard of the gate, as the chart has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from manifests.generate import NAMESPACE, RELEASE
from tests.support import REPOSITORY
from webhook.cli.main import main

from .cluster import ControlPlane, KubectlError
from .installation import Installation, Replica

# There is no kubelet: processes stand in for the Deployment's pods, which are never ready.
WITHOUT_KUBELET = {"replicas-missing"}

DEVELOPER = ("--as", "ada", "--as-group", "developers", "--as-group", "system:authenticated")
PLATFORM = ("--as", "grace", "--as-group", "gpuward:admins", "--as-group", "system:authenticated")

PRIVILEGED = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "notebook"},
    "spec": {
        "containers": [
            {
                "name": "notebook",
                "image": "ghcr.io/example/notebook:1",
                "securityContext": {"privileged": True},
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
            }
        ]
    },
}

NAMESPACE_EDITORS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: namespace-editors}
rules:
  - apiGroups: [""]
    resources: [namespaces, namespaces/status, namespaces/finalize]
    verbs: [get, create, update, patch, delete]
  - {apiGroups: [gpuward.dev], resources: ["*"], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: namespace-editors}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: namespace-editors}
subjects:
  - {kind: Group, name: developers, apiGroup: rbac.authorization.k8s.io}
  - {kind: Group, name: "gpuward:admins", apiGroup: rbac.authorization.k8s.io}
"""


@pytest.fixture(scope="module")
def installed(
    full_control_plane_of_module: ControlPlane, helm: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A release that guards the gate."""
    installation = Installation(full_control_plane_of_module, helm, tmp_path_factory.mktemp("doctor"))
    # What a rotation waits for, in seconds instead of minutes.
    quick = "server.extraArgs={--cert-poll=200ms,--cert-trust-delay=1s,--cert-overlap=4s}"
    # The port of the API server's endpoints, which the pods must reach, is any here.
    reached = f"networkPolicy.apiServerPorts={{443,{urlsplit(installation.cluster.url).port}}}"
    installation.install("--set", "webhooks.guard=true", "--set", quick, "--set", reached)
    yield installation
    installation.uninstall()
    installation.cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="module")
def full_control_plane_of_module(control_plane: ControlPlane) -> ControlPlane:
    if not control_plane.has_controller_manager:
        pytest.skip(
            "without controllers there are no ServiceAccount tokens' accounts and no pods of a Deployment"
        )
    return control_plane


@pytest.fixture(scope="module")
def replica(installed: Installation) -> Iterator[Replica]:
    with installed.replica() as running:
        installed.publish([running])
        installed.cluster.wait_for(lambda: _trusted(installed), 60, "the API server to be told of the CA")
        yield running
    installed.publish([])


def _trusted(installation: Installation) -> bool:
    return all(
        webhook["clientConfig"].get("caBundle")
        for configuration in installation.configurations()
        for webhook in configuration["webhooks"]
    )


def examine(installation: Installation, capsys: pytest.CaptureFixture[str]) -> set[str]:
    capsys.readouterr()
    main(["doctor", "--kubeconfig", str(installation.cluster.kubeconfig), "-o", "json"])
    shown = capsys.readouterr()
    assert "could not be read" not in shown.err
    # Other tests leave namespaces behind, some of them labelled oddly.
    return {
        one["code"]
        for one in json.loads(shown.out)
        if one["level"] != "note" and (one["kind"] != "Namespace" or one["name"] == "kube-system")
    }


def test_the_doctor_finds_nothing_wrong_with_a_release(
    installed: Installation, replica: Replica, capsys: pytest.CaptureFixture[str]
) -> None:
    assert examine(installed, capsys) == WITHOUT_KUBELET


def test_the_doctor_sees_what_is_wrong_in_the_cluster(
    installed: Installation, replica: Replica, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = installed.cluster
    cluster.kubectl("label", "namespace", "kube-system", "gpuward.dev/mode=enforced")
    # The chart's default, which is right in most clusters and not in this one.
    network = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies/{RELEASE}"
    egress = cluster.api("GET", network)["spec"]["egress"]
    usual = [{"ports": [{"port": port, "protocol": "TCP"} for port in (443, 6443)]}]
    merge = "application/merge-patch+json"
    cluster.api("PATCH", network, {"spec": {"egress": usual}}, content_type=merge)
    path = f"/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{RELEASE}"
    before = cluster.api("GET", path)["webhooks"]
    patch = [
        {"op": "replace", "path": f"/webhooks/{i}/timeoutSeconds", "value": 30} for i in range(len(before))
    ]
    cluster.api("PATCH", path, patch, content_type="application/json-patch+json")
    installed.publish([])
    try:
        found = examine(installed, capsys)
        assert {"unknown-mode", "long-timeout", "no-endpoints", "network-policy-shuts-api-server"} <= found
    finally:
        cluster.kubectl("label", "namespace", "kube-system", "gpuward.dev/mode-")
        cluster.api("PATCH", network, {"spec": {"egress": egress}}, content_type=merge)
        undo = [
            {"op": "replace", "path": f"/webhooks/{i}/timeoutSeconds", "value": webhook["timeoutSeconds"]}
            for i, webhook in enumerate(before)
        ]
        cluster.api("PATCH", path, undo, content_type="application/json-patch+json")
        installed.publish([replica])
    assert examine(installed, capsys) == WITHOUT_KUBELET


def test_an_account_that_may_read_little_is_told_what_was_left_out(
    installed: Installation, replica: Replica, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = installed.cluster
    token = cluster.kubectl("create", "token", "default", "-n", NAMESPACE).stdout.strip()
    kubeconfig = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json").stdout)
    kubeconfig["users"][0]["user"] = {"token": token}
    file = tmp_path / "config"
    file.write_text(json.dumps(kubeconfig), encoding="utf-8")
    assert main(["doctor", "--kubeconfig", str(file)]) == 2
    shown = capsys.readouterr().err
    assert "objects of kind ValidatingWebhookConfiguration could not be read" in shown


@pytest.mark.parametrize("further", [(), ("--ca",)], ids=["the leaf", "the CA as well"])
def test_the_certificates_of_a_release_are_rotated_while_it_enforces(
    installed: Installation,
    replica: Replica,
    further: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster = installed.cluster
    name = cluster.create_namespace("rotated-", {"gpuward.dev/mode": "enforce"})
    secret = f"/api/v1/namespaces/{NAMESPACE}/secrets/{RELEASE}-certs"
    before = cluster.api("GET", secret)["data"]
    rotated = [
        "certs",
        "rotate",
        "--wait",
        "-n",
        NAMESPACE,
        "--kubeconfig",
        str(cluster.kubeconfig),
        *further,
    ]
    assert main(rotated) == 0
    after = cluster.api("GET", secret)["data"]
    assert after["tls.crt"] != before["tls.crt"]
    assert (after["ca.crt"] != before["ca.crt"]) is bool(further)
    with pytest.raises(KubectlError, match="no-privileged"):
        cluster.apply(PRIVILEGED, name, "--dry-run=server")
    assert examine(installed, capsys) == WITHOUT_KUBELET


def test_a_plan_is_made_by_the_policies_that_the_cluster_has(
    installed: Installation, replica: Replica, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = installed.cluster
    name = cluster.create_namespace("planned-", {"gpuward.dev/mode": "warn"})
    limits = {"limits": {"cpu": "1", "memory": "1Gi"}}
    container = {"name": "main", "image": "ghcr.io/example/app:1", "resources": limits}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"}, "spec": {"containers": [container]}},
        name,
    )
    plan = ["rollout", "plan", "-n", name, "--kubeconfig", str(cluster.kubeconfig)]
    assert main(plan) == 0
    assert (
        f"judged by what the cluster has: ConfigMap {NAMESPACE}/{RELEASE}-policies" in capsys.readouterr().err
    )
    forbidding = {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": "none-of-these"},
        "spec": {
            "match": {"namespaces": [name]},
            "validate": [{"expression": "false", "message": "not here"}],
        },
    }
    cluster.kubectl("wait", "--for=condition=Established", "crd/policies.gpuward.dev", "--timeout=30s")
    cluster.apply(forbidding)
    try:
        assert main(plan) == 1
        assert "not here" in capsys.readouterr().out
        setting = ["rollout", "set", name, "enforce", "--kubeconfig", str(cluster.kubeconfig)]
        assert main(setting) == 1
        assert "enforce would reject 1 workload" in capsys.readouterr().err
        # Other policies, to see what would become of them.
        assert main([*plan, "--policies", str(REPOSITORY / "policies")]) == 0
    finally:
        cluster.kubectl("delete", "policies.gpuward.dev", "none-of-these")


def test_only_the_platform_team_changes_modes(installed: Installation, replica: Replica) -> None:
    cluster = installed.cluster
    cluster.apply(NAMESPACE_EDITORS)
    name = cluster.create_namespace("guarded-", {"gpuward.dev/mode": "enforce"})
    cluster.wait_for(lambda: _refused(cluster, name, "gpuward.dev/mode=audit"), 30, "the guard to be called")
    for change in ("gpuward.dev/mode-", "gpuward.dev/mode=warn", "gpuward.dev/other=x"):
        with pytest.raises(KubectlError, match="may not be"):
            cluster.kubectl("label", "namespace", name, change, "--overwrite", *DEVELOPER)
    for subresource in ("status", "finalize"):
        path = f"/api/v1/namespaces/{name}/{subresource}"
        namespace = cluster.api("GET", f"/api/v1/namespaces/{name}")
        del namespace["metadata"]["labels"]["gpuward.dev/mode"]
        with pytest.raises(KubectlError, match="may not be removed"):
            cluster.kubectl("replace", "--raw", path, "-f", "-", *DEVELOPER, input=json.dumps(namespace))
    cluster.kubectl("label", "namespace", name, "team=vision", *DEVELOPER)
    cluster.kubectl("label", "namespace", name, "gpuward.dev/mode=warn", "--overwrite", *PLATFORM)
    with pytest.raises(KubectlError, match="may not be"):
        cluster.apply(_namespace(f"{name}-2", {"gpuward.dev/mode": "audit"}), None, *DEVELOPER)
    cluster.apply(_namespace(f"{name}-3", {}), None, *DEVELOPER)
    cluster.kubectl("delete", "namespace", f"{name}-3", "--wait=false", *DEVELOPER)


def test_only_the_platform_team_writes_policies(installed: Installation, replica: Replica) -> None:
    cluster = installed.cluster
    cluster.apply(NAMESPACE_EDITORS)
    cluster.kubectl("wait", "--for=condition=Established", "crd/policies.gpuward.dev", "--timeout=30s")
    policy = {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": "house-rules"},
        "spec": {"validate": [{"rule": "no-latest-tag"}]},
    }
    cluster.wait_for(
        lambda: (
            "may not be created"
            in cluster.apply(policy, None, *DEVELOPER, "--dry-run=server", check=False).stderr
        ),
        30,
        "the guard to be called",
    )
    cluster.apply(policy, None, *PLATFORM)
    path = "/apis/gpuward.dev/v1alpha1/policies"
    for deletion in (
        ("policies.gpuward.dev", "house-rules"),
        ("--raw", path),
        ("policies.gpuward.dev", "--all"),
    ):
        with pytest.raises(KubectlError, match="may not be"):
            cluster.kubectl("delete", *deletion, *DEVELOPER)
    gone = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "name": "gone",
        "uid": "11111111-1111-1111-1111-111111111111",
    }
    owned = json.dumps({"metadata": {"ownerReferences": [gone]}})
    patch = ("patch", "policies.gpuward.dev", "house-rules", "--type=merge", "--patch", owned)
    with pytest.raises(KubectlError, match="may not be"):
        cluster.kubectl(*patch, *DEVELOPER)
    since = cluster.audit_log.stat().st_size
    cluster.kubectl(*patch, *PLATFORM)
    cluster.wait_for(lambda: _collector_refused(cluster, since), 60, "the garbage collector to be refused")
    assert cluster.api("GET", f"{path}/house-rules")["metadata"]["name"] == "house-rules"
    cluster.kubectl("delete", "policies.gpuward.dev", "house-rules", *PLATFORM)


def _namespace(name: str, labels: dict[str, str]) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _refused(cluster: ControlPlane, name: str, change: str) -> bool:
    done = cluster.kubectl(
        "label", "namespace", name, change, "--overwrite", "--dry-run=server", *DEVELOPER, check=False
    )
    return done.returncode != 0 and "may not be changed" in done.stderr


def _collector_refused(cluster: ControlPlane, since: int) -> bool:
    """Whether the garbage collector has tried to delete a policy since then, and might not."""
    with cluster.audit_log.open("rb") as log:
        log.seek(since)
        events = [json.loads(line) for line in log.read().splitlines() if line.endswith(b"}")]
    return any(
        event["verb"] == "delete"
        and event["user"]["username"].endswith(":generic-garbage-collector")
        and event["objectRef"]["resource"] == "policies"
        and event["responseStatus"]["code"] == 403
        for event in events
    )
