"""What Helm, kustomize and kubectl print, piped into a review."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from webhook.cli.main import main

BAD = '{containers: [{name: main, image: "a:1", securityContext: {privileged: true}}]}'

HELM = f"""\
---
# Source: trainer/templates/serviceaccount.yaml
apiVersion: v1
kind: ServiceAccount
metadata:
  name: trainer
---
# Source: trainer/templates/empty.yaml
---
# Source: trainer/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: trainer
  labels: {{helm.sh/chart: trainer-0.1.0}}
spec:
  template:
    spec: {BAD}
---
# Source: trainer/templates/tests/test.yaml
apiVersion: v1
kind: Pod
metadata:
  name: trainer-test
  annotations: {{"helm.sh/hook": test}}
spec: {BAD}

"""
KUSTOMIZE = f"""\
apiVersion: v1
kind: Namespace
metadata:
  labels: {{workload: ml}}
  name: ml-team
---
apiVersion: batch/v1
kind: Job
metadata:
  name: train
  namespace: ml-team
spec:
  template:
    spec: {BAD}
"""
LISTS = f"""\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: PodList
  items:
  - {{apiVersion: v1, kind: Pod, metadata: {{name: one}}, spec: {BAD}}}
- {{apiVersion: v1, kind: ConfigMap, metadata: {{name: settings}}}}
---
{json.dumps({"apiVersion": "apps/v1", "kind": "DeploymentList", "items": []})}
"""

Review = Callable[[str], tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def review(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Review:
    def run(stream: str) -> tuple[int, list[dict[str, Any]]]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stream.encode())))
        status = main(["review", "-f", "-", "-o", "json"])
        printed = capsys.readouterr()
        assert printed.err == ""
        return status, json.loads(printed.out)

    return run


def seen(results: list[dict[str, Any]]) -> list[tuple[str, str, bool]]:
    return [(one["kind"], one["name"], one["allowed"]) for one in results]


def test_helm_template(review: Review) -> None:
    status, results = review(HELM)
    assert status == 1
    assert seen(results) == [
        ("ServiceAccount", "trainer", True), ("Deployment", "trainer", False), ("Pod", "trainer-test", False),
    ]  # fmt: skip


def test_helm_template_with_windows_line_ends(review: Review) -> None:
    assert seen(review(HELM.replace("\n", "\r\n"))[1]) == seen(review(HELM)[1])


def test_kustomize_build(review: Review) -> None:
    status, results = review(KUSTOMIZE)
    assert status == 1
    assert [one["namespace"] for one in results] == ["", "ml-team"]
    # The Namespace in the stream gives its labels: policies for `workload: ml` apply.
    assert {finding["policy"] for finding in results[1]["findings"]} >= {"ml-namespace", "security-baseline"}


def test_kubectl_get_prints_lists(review: Review) -> None:
    status, results = review(LISTS)
    assert status == 1
    assert seen(results) == [("Pod", "one", False), ("ConfigMap", "settings", True)]


def test_nothing_comes_out_of_a_chart(review: Review) -> None:
    assert review("---\n# Source: trainer/templates/empty.yaml\n") == (0, [])
