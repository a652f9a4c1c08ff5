"""Objects of an ML namespace other than pods, from `kubectl apply` on a real API server to a decision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cluster import ControlPlane
from tests.e2e.serving import Served
from tests.support import POLICIES

RBAC = "rbac.authorization.k8s.io"


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server that calls gpuward with the shipped policies."""
    folder = tmp_path_factory.mktemp("gpuward")
    arguments = ("--policies", str(POLICIES), "--kubeconfig", str(control_plane.kubeconfig))
    with Served(folder, *arguments) as served:
        control_plane.install_webhooks(served.url, served.ca_pem)
        yield control_plane
        control_plane.remove_webhooks()


@pytest.fixture
def ml(cluster: ControlPlane) -> str:
    """A namespace of an ML team."""
    return cluster.create_namespace("objects-", {"gpuward.dev/mode": "enforce", "workload": "ml"})


def role(*rules: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "Role",
        "metadata": {"name": "notebook", **metadata},
        "rules": list(rules),
    }


READS_SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
READS_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}


def network_policy(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "training"},
        "spec": {"podSelector": {"matchLabels": {"tier": "ml-training"}}, **spec},
    }


def test_a_role_that_allows_too_much_is_refused_with_everything_that_is_wrong(
    cluster: ControlPlane, ml: str
) -> None:
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    done = cluster.apply(role(everything, READS_SECRETS), ml, check=False)
    assert done.returncode != 0
    assert "Role notebook breaks 4 rules" in done.stderr
    assert "rules[0].verbs[0]: " in done.stderr
    assert "rules[1].resources[0]: the role may read secrets (get)" in done.stderr
    cluster.apply(role(READS_PODS), ml)


def test_other_namespaces_may_have_such_roles(cluster: ControlPlane) -> None:
    other = cluster.create_namespace("objects-", {"gpuward.dev/mode": "enforce"})
    cluster.apply(role(READS_SECRETS), other)


def test_a_binding_to_cluster_admin_is_refused(cluster: ControlPlane, ml: str) -> None:
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "works-for-me"},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": ml}],
    }
    done = cluster.apply(binding, ml, check=False)
    assert done.returncode != 0
    assert "roleRef.name: " in done.stderr


def test_a_role_that_is_older_than_the_policy_can_be_labelled_only_if_it_is_mended(
    cluster: ControlPlane,
) -> None:
    where = cluster.create_namespace("objects-", {"gpuward.dev/mode": "enforce"})
    cluster.apply(role(READS_SECRETS), where)
    cluster.kubectl("label", "namespace", where, "workload=ml")
    path = f"/apis/{RBAC}/v1/namespaces/{where}/roles/notebook"

    def refused() -> bool:
        done = cluster.kubectl(
            "label", "role", "notebook", "-n", where, "a=b", "--dry-run=server", check=False
        )
        return done.returncode != 0

    # The server learns of the namespace's label through a watch.
    cluster.wait_for(refused, what="the role to be judged")
    finalizers = {"metadata": {"finalizers": ["acme.example/cleanup"]}}
    cluster.api("PATCH", path, finalizers, content_type="application/merge-patch+json")
    cluster.api(
        "PATCH", path, {"metadata": {"finalizers": None}}, content_type="application/merge-patch+json"
    )
    cluster.apply(role(READS_PODS, labels={"a": "b"}), where)


OPEN: dict[str, tuple[dict[str, Any], str]] = {
    "an empty rule": (
        network_policy(policyTypes=["Ingress", "Egress"], ingress=[{}]),
        "spec.ingress[0]: an empty rule allows connections from everybody",
    ),
    "an empty list of peers": (
        network_policy(policyTypes=["Ingress", "Egress"], ingress=[{"from": []}]),
        "spec.ingress[0]",
    ),
    "an empty podSelector": (
        network_policy(policyTypes=["Ingress", "Egress"], ingress=[{"from": [{"podSelector": {}}]}]),
        "spec.ingress[0].from[0].podSelector: all pods (the podSelector is empty)",
    ),
    "no policyTypes": (
        network_policy(ingress=[]),
        "spec.policyTypes: egress of tier ml-training is not isolated",
    ),
}


@pytest.mark.parametrize(("obj", "warning"), OPEN.values(), ids=OPEN.keys())
def test_a_network_policy_that_opens_a_tier_is_warned_about(
    cluster: ControlPlane, ml: str, obj: dict[str, Any], warning: str
) -> None:
    done = cluster.apply(obj, ml)
    assert f"Warning: {warning}" in done.stderr


def test_a_network_policy_that_isolates_a_tier_is_admitted_in_silence(cluster: ControlPlane, ml: str) -> None:
    done = cluster.apply(
        network_policy(
            ingress=[{"from": [{"podSelector": {"matchLabels": {"tier": "ml-serving"}}}]}],
            egress=[
                {"to": [{"podSelector": {"matchLabels": {"tier": "data-storage"}}}]},
                {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
            ],
        ),
        ml,
    )
    assert "Warning" not in done.stderr


def test_an_autoscaler_without_bounds_is_warned_about_in_either_version(
    cluster: ControlPlane, ml: str
) -> None:
    for version in ("v1", "v2"):
        done = cluster.apply(
            {
                "apiVersion": f"autoscaling/{version}",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": f"ranker-{version}"},
                "spec": {
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "ranker"},
                    "maxReplicas": 1000,
                },
            },
            ml,
        )
        assert "Warning: spec.maxReplicas: maxReplicas is 1000" in done.stderr


def test_an_ingress_without_tls_is_warned_about(cluster: ControlPlane, ml: str) -> None:
    backend = {"service": {"name": "ranker", "port": {"number": 80}}}
    done = cluster.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": "ranker"},
            "spec": {
                "rules": [
                    {
                        "host": "ranker.example.com",
                        "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
                    }
                ]
            },
        },
        ml,
    )
    assert "Warning: spec.rules[0].host: ranker.example.com is served without TLS" in done.stderr
