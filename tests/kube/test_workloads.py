"""Pods are found wherever a kind keeps them."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.kube.accelerators import Catalog
from webhook.kube.gvk import parse_api_version
from webhook.kube.path import lookup, render
from webhook.kube.workloads import WORKLOADS, carries_pods, find_pods

CATALOG = Catalog(())
SPEC = {"containers": [{"name": "main", "image": "x"}]}
TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": SPEC}


def nested(path: str, leaf: Any) -> dict[str, Any]:
    """An object with `leaf` at a dotted path; `0` makes a list of one."""
    value = leaf
    for segment in reversed(path.split(".")):
        value = [value] if segment == "0" else {segment: value}
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize(
    ("api_version", "kind", "path"),
    [
        ("v1", "ReplicationController", "spec.template"),
        ("v1", "PodTemplate", "template"),
        ("apps/v1", "Deployment", "spec.template"),
        ("apps/v1", "StatefulSet", "spec.template"),
        ("apps/v1", "DaemonSet", "spec.template"),
        ("apps/v1", "ReplicaSet", "spec.template"),
        ("batch/v1", "Job", "spec.template"),
        ("batch/v1", "CronJob", "spec.jobTemplate.spec.template"),
        ("kubeflow.org/v1", "PyTorchJob", "spec.pytorchReplicaSpecs.Worker.template"),
        ("kubeflow.org/v2beta1", "MPIJob", "spec.mpiReplicaSpecs.Launcher.template"),
        ("jobset.x-k8s.io/v1alpha2", "JobSet", "spec.replicatedJobs.0.template.spec.template"),
        ("ray.io/v1", "RayCluster", "spec.headGroupSpec.template"),
        ("ray.io/v1", "RayJob", "spec.rayClusterSpec.workerGroupSpecs.0.template"),
        ("ray.io/v1", "RayService", "spec.rayClusterConfig.headGroupSpec.template"),
        ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "spec.leaderWorkerTemplate.workerTemplate"),
        ("batch.volcano.sh/v1alpha1", "Job", "spec.tasks.0.template"),
    ],
)
def test_a_template_is_found_with_its_path(api_version: str, kind: str, path: str) -> None:
    obj = {"apiVersion": api_version, "kind": kind, **nested(path, TEMPLATE)}
    gvk = parse_api_version(api_version, kind)
    (pod,) = find_pods(gvk, obj, CATALOG)
    assert carries_pods(gvk)
    assert render(pod.spec_path) == f"{path}.spec".replace(".0", "[0]")
    assert lookup(obj, pod.spec_path) is pod.spec
    assert pod.labels == {"app": "x"}
    assert render(pod.containers[0].path) == f"{path}.spec.containers[0]".replace(".0.", "[0].")


def test_a_pod_is_its_own() -> None:
    obj = {"apiVersion": "v1", "kind": "Pod", **TEMPLATE}
    (pod,) = find_pods(parse_api_version("v1", "Pod"), obj, CATALOG)
    assert (pod.spec_path, pod.metadata_path) == (("spec",), ("metadata",))


def test_a_notebook_has_no_metadata_in_its_template() -> None:
    obj = {"metadata": {"labels": {"team": "a"}}, "spec": {"template": {"spec": SPEC}}}
    (pod,) = find_pods(parse_api_version("kubeflow.org/v1", "Notebook"), obj, CATALOG)
    assert (render(pod.spec_path), pod.labels) == ("spec.template.spec", {"team": "a"})


def test_an_inline_pod_spec_takes_the_metadata_of_its_object() -> None:
    obj = {"metadata": {"labels": {"team": "a"}}, "spec": {"predictor": SPEC}}
    (pod,) = find_pods(parse_api_version("serving.kserve.io/v1beta1", "InferenceService"), obj, CATALOG)
    assert render(pod.containers[0].path) == "spec.predictor.containers[0]"
    assert pod.labels == {"team": "a"}


def test_every_worker_group_has_its_own_pod() -> None:
    spec = {
        "headGroupSpec": {"template": TEMPLATE},
        "workerGroupSpecs": [{"template": TEMPLATE}, {"template": TEMPLATE}],
    }
    pods = find_pods(parse_api_version("ray.io/v1", "RayCluster"), {"spec": spec}, CATALOG)
    assert [render(pod.spec_path) for pod in pods] == [
        "spec.headGroupSpec.template.spec",
        "spec.workerGroupSpecs[0].template.spec",
        "spec.workerGroupSpecs[1].template.spec",
    ]


def test_the_same_kind_of_another_group_is_another_kind() -> None:
    assert not find_pods(
        parse_api_version("example.com/v1", "Job"), {"spec": {"template": TEMPLATE}}, CATALOG
    )


@pytest.mark.parametrize("broken", [None, "text", 7, [], {}, [None], {"x": None}, {"x": {"template": []}}])
@pytest.mark.parametrize("key", ["spec", "template", "containers"])
def test_odd_shapes_are_no_pods_and_no_crash(broken: Any, key: str) -> None:
    for group, kind in WORKLOADS:
        pods = find_pods(parse_api_version(f"{group}/v1" if group else "v1", kind), {key: broken}, CATALOG)
        assert all(not pod.containers for pod in pods)
