"""Exceptions and break-glass on a real API server: who passes, what they are told, and who does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cluster import ControlPlane
from tests.e2e.serving import Served

POLICIES = """
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: limits}
spec:
  mutate: [{rule: labels, parameters: {values: {cost-center: research}}}]
  validate: [{rule: require-limits, parameters: {resources: [memory]}}]
---
apiVersion: gpuward.dev/v1alpha1
kind: PolicyException
metadata: {name: legacy}
spec:
  policies: [limits]
  rules: [require-limits]
  reason: until the chart is new
  match: {names: ["legacy-*"]}
---
apiVersion: gpuward.dev/v1alpha1
kind: BreakGlass
metadata: {name: on-call}
spec: {reason: emergencies only, groups: [sre-emergency]}
"""

# All of them may do everything by RBAC; only one is in the group.
ADA = ("--as", "ada", "--as-group", "system:masters", "--as-group", "sre-emergency")
EVE = ("--as", "eve", "--as-group", "system:masters")


@pytest.fixture(scope="module")
def gpuward(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("let-pass")
    (folder / "policies.yaml").write_text(POLICIES)
    arguments = ("--policies", str(folder / "policies.yaml"), "--kubeconfig", str(control_plane.kubeconfig))
    with Served(folder / "served", *arguments) as served:
        control_plane.install_webhooks(served.url, served.ca_pem)
        yield served
        control_plane.remove_webhooks()


@pytest.fixture
def where(control_plane: ControlPlane, gpuward: Served) -> str:
    return control_plane.create_namespace("let-pass-", {"gpuward.dev/mode": "enforce"})


def pod(name: str) -> dict[str, Any]:
    container = {"name": "main", "image": "ghcr.io/acme/trainer:2026.11"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container]},
    }


def labels(cluster: ControlPlane, where: str, name: str) -> dict[str, str]:
    found: dict[str, str] = cluster.api("GET", f"/api/v1/namespaces/{where}/pods/{name}")["metadata"].get(
        "labels", {}
    )
    return found


def logged(served: Served, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in served.log if line.startswith("{")]
    return [line for line in lines if line.get("name") == name]


def test_break_glass_admits_unchanged_with_one_warning_and_a_log_line(
    control_plane: ControlPlane, gpuward: Served, where: str
) -> None:
    done = control_plane.apply(pod("fix"), where, *ADA)
    assert done.stderr.count("break-glass") == 1
    assert (
        'Warning: break-glass "on-call": policies only record this, and change nothing; reason: emergencies only'
        in done.stderr
    )
    assert labels(control_plane, where, "fix") == {}
    # One line from each of the two webhooks.
    control_plane.wait_for(lambda: len(logged(gpuward, "fix")) == 2, what="the log")
    assert {line["breakGlass"] for line in logged(gpuward, "fix")} == {"on-call"}
    assert {(line["level"], line["user"]) for line in logged(gpuward, "fix")} == {("warning", "ada")}


def test_others_are_refused_and_changed_as_ever(control_plane: ControlPlane, where: str) -> None:
    done = control_plane.apply(pod("fix"), where, *EVE, check=False)
    assert done.returncode != 0
    assert "[limits/require-limits]" in done.stderr
    assert "break-glass" not in done.stderr


def test_an_exception_frees_from_its_rule_alone(
    control_plane: ControlPlane, gpuward: Served, where: str
) -> None:
    done = control_plane.apply(pod("legacy-trainer"), where, *EVE)
    assert "Warning" not in done.stderr
    assert labels(control_plane, where, "legacy-trainer") == {"cost-center": "research"}
    control_plane.wait_for(lambda: logged(gpuward, "legacy-trainer"), what="the log")
    (line,) = logged(gpuward, "legacy-trainer")
    assert line["exceptions"] == [{"policy": "limits", "rule": "require-limits", "exception": "legacy"}]
