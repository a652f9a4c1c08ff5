"""A namespace climbs the ladder, on a real API server: what the plan says is what happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from webhook.cli.main import main

from .cluster import ControlPlane


def deployment(name: str, team: str, **container: Any) -> dict[str, Any]:
    labels = {"app": name, "team": team}
    whole = {"name": "main", "image": "ghcr.io/example/app:1", **container}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [whole]}},
        },
    }


@pytest.fixture
def namespace(full_control_plane: ControlPlane) -> str:
    """A namespace in audit that runs a good and a bad workload."""
    name = full_control_plane.create_namespace("rollout-", {"gpuward.dev/mode": "audit"})
    limits = {"cpu": "1", "memory": "1Gi"}
    for obj in (
        deployment("good", "vision", resources={"limits": {**limits, "nvidia.com/gpu": "1"}}),
        deployment("bad", "nlp", resources={"limits": limits}, securityContext={"privileged": True}),
    ):
        full_control_plane.apply(obj, namespace=name)
    full_control_plane.wait_for(
        lambda: (
            len(
                json.loads(full_control_plane.kubectl("get", "pods", "-n", name, "-o", "json").stdout)[
                    "items"
                ]
            )
            == 2
        ),
        what="a pod of each Deployment",
    )
    return name


def _mode(control_plane: ControlPlane, namespace: str) -> str | None:
    found: str | None = control_plane.api("GET", f"/api/v1/namespaces/{namespace}")["metadata"]["labels"].get(
        "gpuward.dev/mode"
    )
    return found


def test_the_plan_names_who_would_be_rejected_and_changed(
    full_control_plane: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["rollout", "plan", "-n", namespace, "--kubeconfig", str(full_control_plane.kubeconfig)]
    assert main([*arguments, "-o", "json"]) == 1
    plan = json.loads(capsys.readouterr().out)
    assert (plan["mode"], plan["to"]) == ("audit", "enforce")
    found = {(one["kind"], one["name"]): one for one in plan["objects"]}
    bad, good = found["Deployment", "bad"], found["Deployment", "good"]
    assert not {kind for kind, _ in found} & {"ReplicaSet", "Pod"}, "what a Deployment made is told with it"
    assert (bad["owner"], bad["pods"]) == ("nlp", 1)
    assert "spec.template.spec.containers[0].securityContext.privileged" in {
        one["path"] for one in bad["rejected"]
    }
    assert not good["rejected"]
    assert "gpu-scheduling/accelerator-tolerations" in good["changedBy"]

    assert main(arguments) == 1
    text = capsys.readouterr().out
    assert "rejected: 1\n  Deployment bad (nlp, 1 pod)" in text
    assert "to talk to: nlp (1)" in text


def test_the_record_is_counted_with_the_plan(
    full_control_plane: ControlPlane, namespace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finding = {"policy": "security-baseline", "rule": "no-privileged", "action": "Audit"}
    line = {"namespace": namespace, "user": "ci", "kind": "batch/v1/Job", "findings": [finding]}
    log = tmp_path / "log"
    log.write_text(f"{json.dumps(line)}\nnot JSON\n", encoding="utf-8")
    main(
        [
            "rollout",
            "plan",
            "-n",
            namespace,
            "--kubeconfig",
            str(full_control_plane.kubeconfig),
            "--decisions",
            str(log),
        ]
    )
    text = capsys.readouterr().out
    assert "in the record: 1 request with findings, 1 to be rejected" in text
    assert "1 x batch/v1/Job by ci: security-baseline/no-privileged" in text


def test_a_namespace_climbs_one_rung_at_a_time_and_not_over_what_would_be_rejected(
    full_control_plane: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def set_mode(mode: str, *further: str) -> int:
        return main(
            ["rollout", "set", namespace, mode, "--kubeconfig", str(full_control_plane.kubeconfig), *further]
        )

    assert set_mode("enforce") == 1
    assert "would skip warn" in capsys.readouterr().err
    assert _mode(full_control_plane, namespace) == "audit"
    assert set_mode("warn") == 0
    assert _mode(full_control_plane, namespace) == "warn"
    assert set_mode("enforce") == 1
    assert "enforce would reject 1 workload" in capsys.readouterr().err
    assert _mode(full_control_plane, namespace) == "warn"
    full_control_plane.kubectl("delete", "deployment", "bad", "-n", namespace)
    # Pods wait for a kubelet, and there is none.
    full_control_plane.kubectl(
        "delete", "pods", "-l", "app=bad", "-n", namespace, "--force", "--grace-period=0"
    )
    full_control_plane.wait_for(
        lambda: (
            "bad"
            not in full_control_plane.kubectl("get", "replicasets,pods", "-n", namespace, "-o", "name").stdout
        ),
        what="the pods of the bad Deployment to go",
    )
    assert set_mode("enforce") == 0
    assert _mode(full_control_plane, namespace) == "enforce"
    assert set_mode("enforce") == 0
    assert set_mode("off") == 0
    assert _mode(full_control_plane, namespace) is None
    assert set_mode("enforce", "--force") == 0
    assert _mode(full_control_plane, namespace) == "enforce"


def test_a_namespace_that_does_not_exist_is_told(
    control_plane: ControlPlane, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rollout", "plan", "-n", "nowhere", "--kubeconfig", str(control_plane.kubeconfig)]) == 2
    assert 'namespaces "nowhere" not found' in capsys.readouterr().err
