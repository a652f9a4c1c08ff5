"""max-accelerators: bounds for a container, for a pod and for a workload."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.max_accelerators import MaxAccelerators
from webhook.kube.path import render
from webhook.kube.pod import Pod
from webhook.policy.findings import Violation

from .pods import (
    Said,
    catalog,
    compiled,
    container,
    judge,
    limits,
    refused,
    requests,
    spec,
    table,
    violations,
)

GPU = "nvidia.com/gpu"


def gpus(count: Any, name: str = "train", **fields: Any) -> dict[str, Any]:
    return container(name, resources=limits(gpu=count), **fields)


PER_CONTAINER: dict[str, tuple[Any, Said]] = {
    "none": (container(), []),
    "at the bound": (gpus(8), []),
    "above": (gpus(9), [("too-many-per-container", f"spec.containers[0].resources.limits[{GPU}]")]),
    "above as text": (gpus("9"), [("too-many-per-container", f"spec.containers[0].resources.limits[{GPU}]")]),
    "requested only": (
        container(resources=requests(gpu=9)),
        [("too-many-per-container", f"spec.containers[0].resources.requests[{GPU}]")],
    ),
    "above in sum over names": (
        container(resources={"limits": {GPU: 8, "nvidia.com/mig-1g.5gb": 1}}),
        [("too-many-per-container", "spec.containers[0].resources")],
    ),
    "other resources do not count": (container(resources={"limits": {"rdma/hca": 16, "cpu": "64"}}), []),
    "malformed counts are none": (gpus("many"), []),
}


@table(PER_CONTAINER, "made, said")
def test_a_container_stays_within_its_bound(made: Any, said: Said) -> None:
    assert judge(MaxAccelerators, spec(made), {"perContainer": 8}) == said


PER_POD: dict[str, tuple[Any, bool]] = {
    "none": (spec(), True),
    "one container at the bound": (spec(gpus(8)), True),
    "containers add up": (spec(gpus(4), gpus(5)), False),
    "ordinary init containers run before": (spec(gpus(8), initContainers=[gpus(8)]), True),
    "the largest init container counts": (spec(gpus(1), initContainers=[gpus(9)]), False),
    "init containers do not add up": (spec(gpus(1), initContainers=[gpus(5), gpus(5)]), True),
    "sidecars add to regular ones": (
        spec(gpus(4), initContainers=[gpus(5, restartPolicy="Always")]),
        False,
    ),
    "sidecars add to later init containers": (
        spec(initContainers=[gpus(4, restartPolicy="Always"), gpus(5)]),
        False,
    ),
    "sidecars do not add to earlier init containers": (
        spec(initContainers=[gpus(5), gpus(4, restartPolicy="Always")]),
        True,
    ),
    "ephemeral containers can have none": (spec(gpus(8), ephemeralContainers=[gpus(8)]), True),
    "claims have no number here": (
        spec(resourceClaims=[{"name": str(i), "resourceClaimName": str(i)} for i in range(20)]),
        True,
    ),
}


@table(PER_POD, "pod, admitted")
def test_a_pod_is_counted_as_the_scheduler_counts_it(pod: Any, admitted: bool) -> None:
    assert judge(MaxAccelerators, pod, {"perPod": 8}) == ([] if admitted else [("too-many-per-pod", "spec")])


def test_both_bounds_are_reported_together() -> None:
    pod = spec(gpus(5, "a"), gpus(9, "b"))
    assert violations(MaxAccelerators, pod, {"perContainer": 8, "perPod": 12}) == [
        Violation(
            "too-many-per-container",
            ("spec", "containers", 1, "resources", "limits", GPU),
            (
                'container "b" asks for 9 of nvidia.com/gpu, and one container may have 8; '
                "lower the limit, or use more pods"
            ),
        ),
        Violation(
            "too-many-per-pod",
            ("spec",),
            (
                "the pod asks for 14 of nvidia.com/gpu, and one pod may have 12; "
                "lower the limits, or use more pods"
            ),
        ),
    ]


def test_the_message_tells_several_accelerators_apart() -> None:
    pod = spec(container(resources={"limits": {GPU: "1", "nvidia.com/mig-1g.5gb": "2"}}))
    (violation,) = violations(MaxAccelerators, pod, {"perPod": 2})
    assert "3 accelerators (1 nvidia.com/gpu, 2 nvidia.com/mig-1g.5gb)" in violation.message


def test_zero_allows_none() -> None:
    assert judge(MaxAccelerators, spec(gpus(1)), {"perPod": 0}) == [("too-many-per-pod", "spec")]


@pytest.mark.parametrize(
    ("resources", "admitted"),
    [
        ([GPU], True),
        (["nvidia.com/mig-*"], False),
        (["nvidia.com/*"], False),
        (["amd.com/gpu"], True),
        (["amd.com/gpu", "nvidia.com/mig-1g.?gb"], False),
    ],
)
def test_only_selected_resources_count(resources: list[str], admitted: bool) -> None:
    pod = spec(container(resources={"limits": {GPU: 1, "nvidia.com/mig-1g.5gb": 7}}))
    said = judge(MaxAccelerators, pod, {"perPod": 2, "resources": resources})
    assert said == ([] if admitted else [("too-many-per-pod", "spec")])


def template(count: Any, replicas: int, name: str = "Worker") -> Pod:
    """A pod template of a PyTorchJob."""
    at = ("spec", "pytorchReplicaSpecs", name)
    return Pod(
        {},
        spec(gpus(count)),
        catalog(),
        spec_path=(*at, "template", "spec"),
        replicas=replicas,
        replicas_path=(*at, "replicas"),
    )


PER_WORKLOAD: dict[str, tuple[list[Pod], str | None]] = {
    "no pods": ([], None),
    "none asked for": ([template(0, 100)], None),
    "at the bound": ([template(8, 4)], None),
    "above": ([template(8, 5)], "spec.pytorchReplicaSpecs.Worker.replicas"),
    "templates add up": (
        [template(1, 1, "Master"), template(8, 4)],
        "spec.pytorchReplicaSpecs.Worker.replicas",
    ),
    "the largest share is named": (
        [template(8, 5, "Master"), template(1, 1)],
        "spec.pytorchReplicaSpecs.Master.replicas",
    ),
    "none while scaled to none": ([template(8, 0), template(8, 4)], None),
    "a pod is a workload of one": ([Pod({}, spec(gpus(33)), catalog())], "spec"),
}


@table(PER_WORKLOAD, "pods, where")
def test_all_pods_of_a_workload_are_counted_together(pods: list[Pod], where: str | None) -> None:
    found = list(compiled(MaxAccelerators, {"perWorkload": 32}).check_workload(pods))
    expected = [] if where is None else [("too-many-per-workload", where)]
    assert [(violation.reason, render(violation.path)) for violation in found] == expected


def test_the_message_says_what_most_of_a_workload_is_for() -> None:
    check = compiled(MaxAccelerators, {"perPod": 8, "perWorkload": 32})
    (violation,) = check.check_workload([template(1, 1, "Master"), template(8, 4)])
    assert violation.message == (
        "all pods of the workload together ask for 33 of nvidia.com/gpu, and one workload may have 32; "
        "most are for 4 pods with 8 each: lower one of the two"
    )


def test_only_selected_resources_of_a_workload_count() -> None:
    check = compiled(MaxAccelerators, {"perWorkload": 0, "resources": ["amd.com/gpu"]})
    assert list(check.check_workload([template(8, 4)])) == []


def test_without_a_bound_for_workloads_they_are_not_looked_at() -> None:
    assert list(compiled(MaxAccelerators, {"perPod": 1}).check_workload([template(8, 100)])) == []


BAD_PARAMETERS: dict[str, tuple[Any, str, str]] = {
    "no bound": ({}, "perPod", "nothing is bounded"),
    "no bound but resources": ({"resources": [GPU]}, "perPod", "nothing is bounded"),
    "pod above workload": ({"perPod": 9, "perWorkload": 8}, "perPod", "never be reached"),
    "container above workload": (
        {"perContainer": 9, "perWorkload": 8},
        "perContainer",
        "perContainer is above perWorkload",
    ),
    "container above pod": ({"perContainer": 9, "perPod": 8}, "perContainer", "never be reached"),
    "misspelt resource": (
        {"perPod": 8, "resources": [GPU, "nvida.com/gpu"]},
        "resources[1]",
        "nvida.com/gpu",
    ),
    "glob that matches nothing": (
        {"perPod": 8, "resources": ["nvidia.com/gpus*"]},
        "resources[0]",
        "catalog",
    ),
    "not an accelerator": ({"perPod": 8, "resources": ["cpu"]}, "resources[0]", "catalog"),
    "empty name": ({"perPod": 8, "resources": [""]}, "resources[0]", "catalog"),
}


@table(BAD_PARAMETERS, "parameters, field, message")
def test_parameters_that_cannot_be_meant_are_refused(parameters: Any, field: str, message: str) -> None:
    error = refused(MaxAccelerators, parameters)
    assert error.field == field
    assert message in str(error)


@pytest.mark.parametrize("name", ["*", "*/gpu", "nvidia.com/mig-[12]g.*", "*mig-1g.5gb", "google.com/tp?"])
def test_globs_that_can_match_an_accelerator_are_taken(name: str) -> None:
    assert judge(MaxAccelerators, spec(), {"perPod": 8, "resources": [name]}) == []
