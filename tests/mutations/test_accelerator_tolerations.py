"""accelerator-tolerations: the tolerations of what a pod requests, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mutations.support import (
    compiled,
    container,
    deployment,
    gpu_container,
    keeps,
    mutate,
    pod,
    refused,
    table,
)
from webhook.kube.shape import JSONObject
from webhook.mutations.accelerator_tolerations import AcceleratorTolerations

RULE = compiled(AcceleratorTolerations)
WITH_SKU = compiled(AcceleratorTolerations, {"additionalTaints": [{"key": "sku"}]})


def tolerates(key: str, effect: str = "NoSchedule") -> JSONObject:
    return {"key": key, "operator": "Exists", "effect": effect}


NVIDIA = tolerates("nvidia.com/gpu")


def added(obj: JSONObject, rule: Any = RULE) -> list[Any]:
    before = obj["spec"].get("tolerations") or []
    after = mutate(rule, obj)["spec"].get("tolerations") or []
    assert keeps(before, after[: len(before)])
    return list(after[len(before) :])


def claiming(template: str, **spec: Any) -> JSONObject:
    claims = [{"name": "dev", "resourceClaimTemplateName": template}]
    return pod(container(resources={"claims": [{"name": "dev"}]}), resourceClaims=claims, **spec)


@table(
    {
        "a whole GPU": ([gpu_container()], [NVIDIA]),
        "a MIG slice": ([gpu_container(resource="nvidia.com/mig-1g.5gb")], [NVIDIA]),
        "a MIG slice with media engines": ([gpu_container(resource="nvidia.com/mig-1g.10gb.me")], [NVIDIA]),
        "a shared GPU": ([gpu_container(resource="nvidia.com/gpu.shared")], [NVIDIA]),
        "requested, without a limit": ([container(resources={"requests": {"nvidia.com/gpu": 1}})], [NVIDIA]),
        "TPU": ([gpu_container(resource="google.com/tpu", count=4)], [tolerates("google.com/tpu")]),
        "Neuron core, whose taint has another name": (
            [gpu_container(resource="aws.amazon.com/neuroncore")],
            [tolerates("aws.amazon.com/neuron")],
        ),
        "Intel, two taints": (
            [gpu_container(resource="gpu.intel.com/i915")],
            [tolerates("gpu.intel.com/i915"), tolerates("gpu.intel.com/xe")],
        ),
        "two containers, one family": (
            [gpu_container("a"), gpu_container("b", resource="nvidia.com/mig-1g.5gb")],
            [NVIDIA],
        ),
        "two families": (
            [gpu_container("a"), gpu_container("b", resource="amd.com/gpu")],
            [NVIDIA, tolerates("amd.com/gpu")],
        ),
        "none": ([container()], []),
        "zero of them": ([gpu_container(count="0")], []),
        "a network device only": ([gpu_container(resource="rdma/hca")], []),
        "not a number": ([gpu_container(count="many")], []),
    },
    "containers, expected",
)
def test_what_is_requested_is_tolerated(containers: list[JSONObject], expected: list[JSONObject]) -> None:
    assert added(pod(*containers)) == expected


def test_an_init_container_counts() -> None:
    assert added(pod(container(), initContainers=[gpu_container("warm-up")])) == [NVIDIA]


def test_an_ephemeral_container_does_not() -> None:
    assert added(pod(ephemeralContainers=[gpu_container("debug")]), WITH_SKU) == []


def test_a_template_gets_them_too() -> None:
    template = mutate(RULE, deployment(pod(gpu_container())))["spec"]["template"]
    assert template["spec"]["tolerations"] == [NVIDIA]


@table(
    {
        "of a GPU": ("one-gpu", [NVIDIA]),
        "of a network device": ("fast-network", []),
        "of an unknown class": ("unknown", []),
    },
    "template, expected",
)
def test_a_claim_counts_by_its_device_class(template: str, expected: list[JSONObject]) -> None:
    assert added(claiming(template)) == expected


@table(
    {
        "the same": (NVIDIA, True),
        "any effect": ({"key": "nvidia.com/gpu", "operator": "Exists"}, True),
        "any effect, written out": ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": ""}, True),
        "null effect": ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": None}, True),
        "everything": ({"operator": "Exists"}, True),
        "everything with that effect": ({"operator": "Exists", "key": "", "effect": "NoSchedule"}, True),
        "everything with another effect": ({"operator": "Exists", "effect": "NoExecute"}, False),
        "another effect": (tolerates("nvidia.com/gpu", "NoExecute"), False),
        "another key": (tolerates("nvidia.com/mig"), False),
        "one value": (
            {"key": "nvidia.com/gpu", "operator": "Equal", "value": "present", "effect": "NoSchedule"},
            False,
        ),
        "one value, operator left out": ({"key": "nvidia.com/gpu", "value": "present"}, False),
        "a comparison": ({"key": "nvidia.com/gpu", "operator": "Gt", "value": "1"}, False),
        "no toleration at all": ("Exists", False),
    },
    "standing, covers",
)
def test_an_equivalent_toleration_is_enough(standing: Any, covers: bool) -> None:
    assert added(pod(gpu_container(), tolerations=[standing])) == ([] if covers else [NVIDIA])


@pytest.mark.parametrize("tolerations", ["all of them", {"key": "x"}, 5], ids=["text", "map", "number"])
def test_something_else_in_the_place_of_the_list_is_left_to_the_api_server(tolerations: Any) -> None:
    obj = pod(gpu_container(), tolerations=tolerations)
    assert mutate(RULE, obj) == obj


def test_null_is_an_absent_list() -> None:
    assert mutate(RULE, pod(gpu_container(), tolerations=None))["spec"]["tolerations"] == [NVIDIA]


@table(
    {
        "any value": ({"key": "sku"}, [tolerates("sku")]),
        "another effect": ({"key": "spot", "effect": "NoExecute"}, [tolerates("spot", "NoExecute")]),
        "one value": (
            {"key": "sku", "value": "gpu"},
            [{"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}],
        ),
    },
    "taint, expected",
)
def test_additional_taints_of_accelerator_nodes(taint: JSONObject, expected: list[JSONObject]) -> None:
    rule = compiled(AcceleratorTolerations, {"additionalTaints": [taint]})
    assert added(pod(gpu_container()), rule) == [NVIDIA, *expected]
    assert added(pod(container()), rule) == []


@table(
    {
        "the value": ({"key": "sku", "operator": "Equal", "value": "gpu"}, True),
        "the value, operator left out": ({"key": "sku", "value": "gpu", "effect": "NoSchedule"}, True),
        "any value": ({"key": "sku", "operator": "Exists"}, True),
        "another value": ({"key": "sku", "operator": "Equal", "value": "highmem"}, False),
        "no value": ({"key": "sku", "operator": "Equal"}, False),
    },
    "standing, covers",
)
def test_a_taint_with_one_value_is_covered_by_a_toleration_of_it(standing: JSONObject, covers: bool) -> None:
    rule = compiled(AcceleratorTolerations, {"additionalTaints": [{"key": "sku", "value": "gpu"}]})
    assert len(added(pod(gpu_container(), tolerations=[standing, NVIDIA]), rule)) == (0 if covers else 1)


def test_a_claim_of_an_unknown_class_gets_what_all_accelerators_get() -> None:
    assert added(claiming("unknown"), WITH_SKU) == [tolerates("sku")]
    assert added(claiming("fast-network"), WITH_SKU) == []


def test_an_additional_taint_that_the_catalog_has_is_tolerated_once() -> None:
    rule = compiled(
        AcceleratorTolerations, {"additionalTaints": [{"key": "nvidia.com/gpu"}, {"key": "nvidia.com/gpu"}]}
    )
    assert added(pod(gpu_container()), rule) == [NVIDIA]


@table(
    {
        "key": ({"key": "not a key"}, "additionalTaints[0].key", "not a key"),
        "empty key": ({"key": ""}, "additionalTaints[0].key", "must be a name"),
        "prefix": ({"key": "Big.Corp/gpu"}, "additionalTaints[0].key", "Big.Corp"),
        "value": ({"key": "sku", "value": "a b"}, "additionalTaints[0].value", "a b"),
    },
    "taint, field, says",
)
def test_taints_that_no_node_can_have_are_refused(taint: JSONObject, field: str, says: str) -> None:
    error = refused(AcceleratorTolerations, {"additionalTaints": [taint]})
    assert error.field == field
    assert says in str(error)
