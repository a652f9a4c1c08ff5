"""A policy of Kubernetes' own, enforced by gpuward as a webhook of the real API server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import ApiError, ControlPlane
from tests.e2e.serving import Served
from tests.engine.kubernetes.policies import binding, config_map, vap

NAME = "gpuward-kubernetes-policies"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"

POLICIES = [
    vap(
        "protected",
        rules=[
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE", "DELETE"],
                "resources": ["configmaps"],
            }
        ],
        matchConditions=[{"name": "not-the-clusters", "expression": "request.name != 'kube-root-ca.crt'"}],
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        variables=[{"name": "it", "expression": "request.operation == 'DELETE' ? oldObject : object"}],
        validations=[
            {
                "expression": "variables.it.metadata.name != params.data.name",
                "messageExpression": "string(params.data.name) + ' is protected in ' + namespaceObject.metadata.name",
            }
        ],
        auditAnnotations=[{"key": "named", "valueExpression": "string(variables.it.metadata.name)"}],
    ),
    binding(
        "protected",
        "Deny",
        "Audit",
        paramRef={"name": "protection", "namespace": "platform", "parameterNotFoundAction": "Deny"},
        matchResources={"namespaceSelector": {"matchLabels": {"team": "vision"}}},
    ),
    config_map("protection", {"name": "crown"}, namespace="platform"),
]


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The control plane, which asks gpuward about ConfigMaps."""
    folder = tmp_path_factory.mktemp("policies")
    (folder / "policies.yaml").write_text(yaml.safe_dump_all(POLICIES))
    arguments = ("--policies", str(folder), "--kubeconfig", str(control_plane.kubeconfig))
    with Served(tmp_path_factory.mktemp("served"), *arguments) as served:
        control_plane.api("POST", CONFIGURATIONS, _configuration(served))
        yield control_plane
        control_plane.api("DELETE", f"{CONFIGURATIONS}/{NAME}")


def _configuration(served: Served) -> dict[str, Any]:
    def webhook(mode: str) -> dict[str, Any]:
        return {
            "name": f"{mode}.kubernetes-policies.gpuward.dev",
            "clientConfig": {
                "url": f"{served.url}/validate/{mode}",
                "caBundle": base64.b64encode(served.ca_pem).decode(),
            },
            "namespaceSelector": {"matchLabels": {"gpuward.dev/mode": mode}},
            "rules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE", "DELETE"],
                    "resources": ["configmaps"],
                }
            ],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "timeoutSeconds": 5,
            "admissionReviewVersions": ["v1"],
        }

    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [webhook("enforce"), webhook("warn")],
    }


def _refusal(cluster: ControlPlane, method: str, path: str, body: dict[str, Any] | None = None) -> str:
    try:
        cluster.api(method, path, body)
    except ApiError as error:
        return str(error)
    return ""


def test_it_is_enforced_where_its_binding_says_and_the_namespace_has_opted_in(cluster: ControlPlane) -> None:
    old = cluster.create_namespace("kubernetes-policies-")
    maps = f"/api/v1/namespaces/{old}/configmaps"
    assert _refusal(cluster, "POST", maps, config_map("crown")) == ""
    cluster.kubectl("label", "namespace", old, "team=vision", "gpuward.dev/mode=enforce")
    # The webhook's configuration, and the label in the API server's and gpuward's view of the namespace.
    refusal = cluster.wait_for(
        lambda: _refusal(cluster, "DELETE", f"{maps}/crown?dryRun=All"), what="the deletion to be refused"
    )
    assert f"crown is protected in {old} [protected/validations[0]]" in refusal
    assert _refusal(cluster, "POST", maps, config_map("other")) == ""
    others = cluster.create_namespace("kubernetes-policies-", {"gpuward.dev/mode": "enforce"})
    assert _refusal(cluster, "POST", f"/api/v1/namespaces/{others}/configmaps", config_map("crown")) == ""


def test_its_audit_annotations_reach_the_audit_log_also_where_it_only_warns(cluster: ControlPlane) -> None:
    where = cluster.create_namespace("kubernetes-policies-", {"team": "vision", "gpuward.dev/mode": "warn"})
    done = cluster.wait_for(
        lambda: next(
            (
                done
                for done in [cluster.apply(config_map("crown"), where, "--dry-run=server")]
                if "Warning" in done.stderr
            ),
            None,
        ),
        what="the author to be warned",
    )
    assert f"Warning: crown is protected in {where} [protected/validations[0]]" in done.stderr
    events = [json.loads(line) for line in cluster.audit_log.read_text().splitlines()]
    annotations = [
        event["annotations"]
        for event in events
        if event["verb"] in ("create", "patch") and event.get("objectRef", {}).get("namespace") == where
    ]
    prefix = "warn.kubernetes-policies.gpuward.dev/"
    (last,) = [found for found in annotations if f"{prefix}protected.named" in found][-1:]
    assert last[f"{prefix}protected.named"] == "crown"
    assert json.loads(last[f"{prefix}validation_failure"])[0]["policy"] == "protected"
