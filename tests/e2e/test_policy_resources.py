"""Policies that are custom resources, on a real API server: in force in seconds, and never worse than before."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import REPOSITORY
from webhook.policy.crd import PLURALS

from .cluster import ControlPlane
from .serving import Served

CRDS = REPOSITORY / "manifests" / "crds"
NAMES = [f"crd/{plural}.gpuward.dev" for plural in PLURALS.values()]
FILE_POLICY = """\
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: from-a-file}
spec:
  match: {kinds: [Pod]}
  validate:
    - rule: no-host
      expression: "!has(object.metadata.labels.forbiddenByFile)"
      message: a file says no
"""


def policy(name: str, label: str, **spec: Any) -> dict[str, Any]:
    """A policy that refuses pods with a label."""
    rule = {
        "rule": "no-label",
        "expression": f"!has(object.metadata.labels.{label})",
        "message": f"{name} says no",
    }
    return {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": name},
        "spec": {"match": {"kinds": ["Pod"]}, "validate": [rule], **spec},
    }


@pytest.fixture(scope="module")
def served(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ControlPlane, Path, str]]:
    """A server of two processes that follows files and resources, and a namespace that enforces."""
    control_plane.kubectl("apply", "--server-side", "-k", str(CRDS))
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *NAMES)
    folder = tmp_path_factory.mktemp("resources")
    policies = folder / "policies"
    policies.mkdir()
    (policies / "policy.yaml").write_text(FILE_POLICY)
    arguments = [
        "--policies",
        str(policies),
        "--kubeconfig",
        str(control_plane.kubeconfig),
        "--policy-resources",
    ]
    with Served(folder, *arguments, "--workers", "2") as server:
        control_plane.install_webhooks(server.url, server.ca_pem)
        yield (
            control_plane,
            policies,
            control_plane.create_namespace("resources-", {"gpuward.dev/mode": "enforce"}),
        )
        control_plane.remove_webhooks()
    control_plane.kubectl("delete", "--wait", "-k", str(CRDS))


@pytest.fixture
def cluster(served: tuple[ControlPlane, Path, str]) -> Iterator[ControlPlane]:
    """The cluster; no resource outlives its test."""
    yield served[0]
    served[0].kubectl(
        "delete", "policies,policyexceptions,acceleratorcatalogs,workloadcatalogs", "--all", "--wait"
    )
    (served[1] / "policy.yaml").write_text(FILE_POLICY)


@pytest.fixture
def namespace(served: tuple[ControlPlane, Path, str]) -> str:
    return served[2]


def verdict(cluster: ControlPlane, namespace: str, label: str) -> str:
    """What is said to a pod with this label: the message of the refusal, or nothing."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "tried-", "labels": {label: "yes"}},
        "spec": {"containers": [{"name": "main", "image": "ghcr.io/acme/trainer:1"}]},
    }
    done = cluster.kubectl(
        "create", "-n", namespace, "--dry-run=server", "-f", "-", input=json.dumps(pod), check=False
    )
    return done.stderr if done.returncode else ""


def refused(cluster: ControlPlane, namespace: str, label: str, by: str) -> bool:
    """Whether both processes refuse it: several calls, each on a connection of its own or not."""
    return all(f"{by} says no" in verdict(cluster, namespace, label) for _ in range(4))


def admitted(cluster: ControlPlane, namespace: str, label: str) -> bool:
    return not any(verdict(cluster, namespace, label) for _ in range(4))


def ready(cluster: ControlPlane, name: str, plural: str = "policies") -> dict[str, Any]:
    """The condition Ready of the current generation, or nothing."""
    live = cluster.api("GET", f"/apis/gpuward.dev/v1alpha1/{plural}/{name}")
    for condition in live.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready" and condition["observedGeneration"] == live["metadata"]["generation"]:
            return dict(condition)
    return {}


def wait_ready(cluster: ControlPlane, name: str, status: str, plural: str = "policies") -> dict[str, Any]:
    def seen() -> dict[str, Any] | None:
        condition = ready(cluster, name, plural)
        return condition if condition.get("status") == status else None

    return cluster.wait_for(seen, 20, f"{name} to be Ready={status}")


def test_a_policy_is_enforced_outlives_a_mistake_and_goes(cluster: ControlPlane, namespace: str) -> None:
    assert admitted(cluster, namespace, "one")
    cluster.apply(policy("life", "one"))
    cluster.wait_for(lambda: refused(cluster, namespace, "one", "life"), 20, "the policy to be enforced")
    condition = wait_ready(cluster, "life", "True")
    assert (condition["reason"], condition["message"]) == ("Compiled", "it is in force")

    broken = policy("life", "one", validate=[{"rule": "max-accelerator", "parameters": {"perPod": 1}}])
    cluster.apply(broken)
    condition = wait_ready(cluster, "life", "False")
    assert condition["reason"] == "Invalid"
    assert condition["message"] == (
        'spec.validate[0].rule: unknown rule "max-accelerator"; did you mean "max-accelerators"?'
    )
    assert refused(cluster, namespace, "one", "life"), "the last good version is gone"

    # Others are taken all the same.
    cluster.apply(policy("other", "two"))
    cluster.wait_for(lambda: refused(cluster, namespace, "two", "other"), 20, "another policy to be enforced")
    assert refused(cluster, namespace, "one", "life")

    cluster.apply(policy("life", "three"))
    cluster.wait_for(lambda: admitted(cluster, namespace, "one"), 20, "the mended version to hold")
    assert refused(cluster, namespace, "three", "life")
    wait_ready(cluster, "life", "True")

    cluster.kubectl("delete", "policy", "life")
    cluster.wait_for(lambda: admitted(cluster, namespace, "three"), 20, "the policy to be gone")
    assert refused(cluster, namespace, "two", "other")


def test_one_that_never_compiled_is_left_out_and_says_where_in_its_expression(
    cluster: ControlPlane, namespace: str
) -> None:
    bad = policy("never", "four", variables=[{"name": "a", "expression": "1 +"}])
    cluster.apply([bad, policy("fine", "five")])
    condition = wait_ready(cluster, "never", "False")
    assert condition["message"].startswith("spec.variables[0].expression: CEL: ")
    assert "(line 1, column " in condition["message"]
    wait_ready(cluster, "fine", "True")
    assert refused(cluster, namespace, "five", "fine")
    assert admitted(cluster, namespace, "four")


def test_a_file_holds_against_a_resource_of_its_name(cluster: ControlPlane, namespace: str) -> None:
    cluster.apply(policy("from-a-file", "six"))
    condition = wait_ready(cluster, "from-a-file", "False")
    assert condition["reason"] == "NameTaken"
    assert 'policy.yaml:3 is called "from-a-file" too' in condition["message"]
    assert "a file says no" in verdict(cluster, namespace, "forbiddenByFile")
    assert admitted(cluster, namespace, "six")


def test_catalogs_are_taken_and_used_by_policies(cluster: ControlPlane) -> None:
    catalog = {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "WorkloadCatalog",
        "metadata": {"name": "ours"},
        "spec": {
            "workloads": [{"kind": "example.com/v1/Training", "templates": [{"path": "spec.template"}]}]
        },
    }
    using = policy("using", "seven", match={"kinds": ["Training"]})
    cluster.apply(using)
    assert 'unknown kind "Training"' in wait_ready(cluster, "using", "False")["message"]
    cluster.apply(catalog)
    wait_ready(cluster, "ours", "True", "workloadcatalogs")
    wait_ready(cluster, "using", "True")


def test_an_exception_holds_while_it_is_there(cluster: ControlPlane, namespace: str) -> None:
    exception = {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "PolicyException",
        "metadata": {"name": "let-it"},
        "spec": {"reason": "a test", "policies": ["strict"], "match": {"namespaces": [namespace]}},
    }
    cluster.apply([policy("strict", "twelve"), exception])
    wait_ready(cluster, "let-it", "True", "policyexceptions")
    cluster.wait_for(lambda: admitted(cluster, namespace, "twelve"), 20, "the exception to hold")
    cluster.kubectl("delete", "policyexception", "let-it")
    cluster.wait_for(lambda: refused(cluster, namespace, "twelve", "strict"), 20, "the policy to be enforced")


def test_statuses_settle(cluster: ControlPlane, served: tuple[ControlPlane, Path, str]) -> None:
    """Two processes write, and then nobody does; a file that changes nothing for a resource writes nothing."""
    cluster.apply([policy("still", "eight"), policy("bad", "nine", validate=[{"rule": "nothing"}])])
    wait_ready(cluster, "still", "True")
    wait_ready(cluster, "bad", "False")
    time.sleep(1.5)
    before = versions(cluster)
    (served[1] / "policy.yaml").write_text(FILE_POLICY + "# changed\n")
    time.sleep(4)
    assert versions(cluster) == before
    managers = cluster.api("GET", "/apis/gpuward.dev/v1alpha1/policies/still")["metadata"]["managedFields"]
    (status,) = [one for one in managers if one.get("subresource") == "status"]
    assert (status["manager"], status["operation"]) == ("gpuward", "Apply")


def versions(cluster: ControlPlane) -> dict[str, str]:
    listed = cluster.api("GET", "/apis/gpuward.dev/v1alpha1/policies")
    return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in listed["items"]}


def test_broken_files_do_not_stop_resources(
    cluster: ControlPlane, namespace: str, served: tuple[ControlPlane, Path, str]
) -> None:
    (served[1] / "policy.yaml").write_text(FILE_POLICY.replace("expression", "expresion"))
    time.sleep(2)
    cluster.apply(policy("despite", "ten"))
    cluster.wait_for(lambda: refused(cluster, namespace, "ten", "despite"), 20, "the resource to be enforced")
    assert "a file says no" in verdict(cluster, namespace, "forbiddenByFile")


def test_without_the_definitions_it_serves_and_finds_them_later(
    cluster: ControlPlane, tmp_path: Path
) -> None:
    cluster.kubectl("delete", "--wait", "-k", str(CRDS))
    empty = tmp_path / "policies"
    empty.mkdir()
    arguments = ["--policies", str(empty), "--kubeconfig", str(cluster.kubeconfig), "--policy-resources"]
    with Served(tmp_path, *arguments):
        cluster.kubectl("apply", "--server-side", "-k", str(CRDS))
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *NAMES)
        document = copy.deepcopy(policy("late", "eleven"))
        cluster.apply(document)
        wait_ready(cluster, "late", "True")
