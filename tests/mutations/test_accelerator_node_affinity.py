"""accelerator-node-affinity: a pod with accelerators is sent to nodes that have them, without losing what it
chose."""

from __future__ import annotations

from typing import Any

from tests.mutations.support import (
    compiled,
    container,
    deployment,
    gpu_container,
    mutate,
    pod,
    refused,
    table,
)
from webhook.kube.shape import JSONObject
from webhook.mutations.accelerator_node_affinity import AcceleratorNodeAffinity

REQUIRED = compiled(AcceleratorNodeAffinity)
PREFERRED = compiled(AcceleratorNodeAffinity, {"required": False, "preferred": {"weight": 70}})

PRESENT = {"key": "nvidia.com/gpu.present", "operator": "In", "values": ["true"]}
ZONE = {"key": "zone", "operator": "In", "values": ["a"]}
ON_NODE = {"key": "metadata.name", "operator": "In", "values": ["node-1"]}


def required(*terms: Any) -> JSONObject:
    selector = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": selector}}


def preferred(*terms: JSONObject, weight: int = 70) -> JSONObject:
    weighted = [{"weight": weight, "preference": {"matchExpressions": [term]}} for term in terms]
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": weighted}}


def affinity(obj: JSONObject, rule: Any = REQUIRED) -> Any:
    return mutate(rule, obj)["spec"].get("affinity")


@table(
    {
        "no affinity": (None, required({"matchExpressions": [PRESENT]})),
        "empty affinity": ({}, required({"matchExpressions": [PRESENT]})),
        "null node affinity": ({"nodeAffinity": None}, required({"matchExpressions": [PRESENT]})),
        "pod affinity stays": (
            {"podAffinity": {"x": 1}},
            {"podAffinity": {"x": 1}, **required({"matchExpressions": [PRESENT]})},
        ),
        "one term": (
            required({"matchExpressions": [ZONE]}),
            required({"matchExpressions": [ZONE, PRESENT]}),
        ),
        "every term": (
            required({"matchExpressions": [ZONE]}, {"matchFields": [ON_NODE]}),
            required(
                {"matchExpressions": [ZONE, PRESENT]},
                {"matchFields": [ON_NODE], "matchExpressions": [PRESENT]},
            ),
        ),
        "a term that has the label is left": (
            required({"matchExpressions": [{**PRESENT, "operator": "NotIn"}]}, {"matchExpressions": [ZONE]}),
            required(
                {"matchExpressions": [{**PRESENT, "operator": "NotIn"}]},
                {"matchExpressions": [ZONE, PRESENT]},
            ),
        ),
        "an empty term matches nothing and is left": (
            required({}, {"matchExpressions": []}, {"matchExpressions": [ZONE]}),
            required({}, {"matchExpressions": []}, {"matchExpressions": [ZONE, PRESENT]}),
        ),
        "no terms": (required(), required()),
        "terms of the wrong type": (required("x", None), required("x", None)),
        "expressions of the wrong type": (
            required({"matchExpressions": "x"}),
            required({"matchExpressions": "x"}),
        ),
        "affinity of the wrong type": ("x", "x"),
    },
    "before, after",
)
def test_required_expressions_go_into_every_term(before: Any, after: Any) -> None:
    spec = {} if before is None else {"affinity": before}
    assert affinity(pod(gpu_container(), **spec)) == after


@table(
    {
        "AMD": ("amd.com/gpu", {"key": "amd.com/gpu.device-id", "operator": "Exists"}),
        "MIG": ("nvidia.com/mig-1g.5gb", PRESENT),
        "TPU": ("google.com/tpu", {"key": "cloud.google.com/gke-tpu-accelerator", "operator": "Exists"}),
    },
    "resource, expression",
)
def test_the_expression_is_the_catalogs(resource: str, expression: JSONObject) -> None:
    assert affinity(pod(gpu_container(resource=resource))) == required({"matchExpressions": [expression]})


def test_two_families_are_both_required() -> None:
    obj = pod(gpu_container("a"), gpu_container("b", resource="amd.com/gpu"))
    terms = affinity(obj)["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert [e["key"] for e in terms[0]["matchExpressions"]] == [
        "nvidia.com/gpu.present",
        "amd.com/gpu.device-id",
    ]


@table(
    {
        "a pod without accelerators": (pod(container()),),
        "the label is in the node selector": (
            pod(gpu_container(), nodeSelector={"nvidia.com/gpu.present": "false"}),
        ),
        "a pod that has its node": (pod(gpu_container(), nodeName="node-1"),),
        "an ephemeral container": (pod(ephemeralContainers=[gpu_container("debug")]),),
        "a claim of an unknown class": (
            pod(resourceClaims=[{"name": "dev", "resourceClaimTemplateName": "unknown"}]),
        ),
    },
    "obj",
)
def test_nothing_is_required_for(obj: JSONObject) -> None:
    assert mutate(REQUIRED, obj) == obj
    assert mutate(PREFERRED, obj) == obj


def test_another_label_in_the_node_selector_does_not_stand_in() -> None:
    obj = pod(gpu_container(), nodeSelector={"accelerator": "nvidia-tesla-v100"})
    assert affinity(obj) == required({"matchExpressions": [PRESENT]})


def test_a_claim_of_a_known_class_counts() -> None:
    obj = pod(resourceClaims=[{"name": "dev", "resourceClaimTemplateName": "one-gpu"}])
    assert affinity(obj) == required({"matchExpressions": [PRESENT]})


def test_a_template_gets_it_too() -> None:
    template = mutate(REQUIRED, deployment(pod(gpu_container())))["spec"]["template"]
    assert template["spec"]["affinity"] == required({"matchExpressions": [PRESENT]})


@table(
    {
        "nothing said": (None, preferred(PRESENT)),
        "something else preferred": (preferred(ZONE, weight=1), None),
        "the same preferred": (preferred(PRESENT, weight=3), preferred(PRESENT, weight=3)),
        "the label required": (
            required({"matchExpressions": [PRESENT]}),
            required({"matchExpressions": [PRESENT]}),
        ),
    },
    "before, after",
)
def test_preferred_terms_are_added_where_the_label_is_not_chosen(before: Any, after: Any) -> None:
    found = affinity(pod(gpu_container(), **({} if before is None else {"affinity": before})), PREFERRED)
    if after is None:
        terms = found["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        assert [term["weight"] for term in terms] == [1, 70]
    else:
        assert found == after


def test_required_and_other_conditions_preferred() -> None:
    wanted = {"resource": "nvidia.com/*", **ZONE}
    rule = compiled(AcceleratorNodeAffinity, {"preferred": {"weight": 5, "nodeAffinity": [wanted]}})
    found = affinity(pod(gpu_container()), rule)["nodeAffinity"]
    assert found == {
        **required({"matchExpressions": [PRESENT]})["nodeAffinity"],
        **preferred(ZONE, weight=5)["nodeAffinity"],
    }
    assert "preferred" not in str(affinity(pod(gpu_container(resource="amd.com/gpu")), rule))


@table(
    {
        "by name": ("nvidia.com/gpu", "nvidia.com/gpu", "pool"),
        "by glob": ("nvidia.com/mig-*", "nvidia.com/mig-1g.5gb", "pool"),
        "others keep the catalog's": ("nvidia.com/mig-*", "nvidia.com/gpu", "nvidia.com/gpu.present"),
    },
    "glob, resource, key",
)
def test_own_conditions_replace_the_catalogs(glob: str, resource: str, key: str) -> None:
    own = {"resource": glob, "key": "pool", "operator": "In", "values": ["gpu"]}
    rule = compiled(AcceleratorNodeAffinity, {"nodeAffinity": [own]})
    terms = affinity(pod(gpu_container(resource=resource)), rule)["nodeAffinity"]
    terms = terms["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [e["key"] for e in terms[0]["matchExpressions"]] == [key]


def test_own_conditions_by_device_class() -> None:
    own = {"resource": "gpu.nvidia.com", "key": "pool", "operator": "Exists"}
    rule = compiled(AcceleratorNodeAffinity, {"nodeAffinity": [own]})
    obj = pod(resourceClaims=[{"name": "dev", "resourceClaimTemplateName": "one-gpu"}])
    assert affinity(obj, rule) == required({"matchExpressions": [{"key": "pool", "operator": "Exists"}]})


def expression(**fields: Any) -> JSONObject:
    return {"nodeAffinity": [{"resource": "nvidia.com/gpu", "key": "pool", "operator": "Exists", **fields}]}


@table(
    {
        "neither required nor preferred": ({"required": False}, "", "nothing"),
        "preferring what is required": ({"preferred": {"weight": 1}}, "preferred", "required: false"),
        "unknown resource": (
            expression(resource="nvidia.com/gpus"),
            "nodeAffinity[0].resource",
            "AcceleratorCatalog",
        ),
        "bad key": (expression(key="a b"), "nodeAffinity[0].key", "a b"),
        "In without values": (expression(operator="In"), "nodeAffinity[0].values", "at least one"),
        "Exists with values": (expression(values=["a"]), "nodeAffinity[0].values", "no values"),
        "Gt with text": (expression(operator="Gt", values=["many"]), "nodeAffinity[0].values", "number"),
        "bad value": (expression(operator="In", values=["a b"]), "nodeAffinity[0].values[0]", "a b"),
        "bad preference": (
            {"preferred": {"weight": 1, **expression(key="")}},
            "preferred.nodeAffinity[0].key",
            "must be a name",
        ),
    },
    "parameters, field, says",
)
def test_conditions_that_cannot_be_meant_are_refused(parameters: JSONObject, field: str, says: str) -> None:
    error = refused(AcceleratorNodeAffinity, parameters)
    assert error.field == field
    assert says in str(error)
