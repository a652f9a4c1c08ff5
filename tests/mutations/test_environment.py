"""environment: variables where there are none of that name, and on the containers they are meant for."""

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
from webhook.mutations.environment import Environment

VOID = {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}
FRACTION = {"name": "GPU_MEMORY_FRACTION", "value": "0.8"}
DEBUG = {"name": "NCCL_DEBUG", "value": "WARN"}

BY_USE = compiled(
    Environment,
    {"variables": [VOID | {"containers": "NonAccelerator"}, FRACTION | {"containers": "Accelerator"}, DEBUG]},
)


def rule(*variables: JSONObject, **parameters: Any) -> Any:
    return compiled(Environment, {"variables": list(variables), **parameters})


def environments(obj: JSONObject, using: Any) -> dict[str, Any]:
    """The environment of each container by its name."""
    spec = mutate(using, obj)["spec"]
    lists = ("initContainers", "containers", "ephemeralContainers")
    return {c["name"]: c.get("env") for kind in lists for c in spec.get(kind, ())}


@table(
    {
        "none": ({}, [DEBUG]),
        "null": ({"env": None}, [DEBUG]),
        "others stay first": ({"env": [FRACTION]}, [FRACTION, DEBUG]),
        "the same": ({"env": [DEBUG]}, [DEBUG]),
        "another value": (
            {"env": [{"name": "NCCL_DEBUG", "value": "INFO"}]},
            [{"name": "NCCL_DEBUG", "value": "INFO"}],
        ),
        "an empty value": ({"env": [{"name": "NCCL_DEBUG"}]}, [{"name": "NCCL_DEBUG"}]),
        "items of the wrong type": (
            {"env": ["x", {"name": ["NCCL_DEBUG"]}]},
            ["x", {"name": ["NCCL_DEBUG"]}, DEBUG],
        ),
        "wrong type": ({"env": "NCCL_DEBUG=INFO"}, "NCCL_DEBUG=INFO"),
    },
    "fields, expected",
)
def test_variables_are_added_where_absent(fields: JSONObject, expected: Any) -> None:
    assert environments(pod(container(**fields)), rule(DEBUG)) == {"main": expected}


def test_accelerators_decide_who_gets_what() -> None:
    obj = pod(
        gpu_container("train"),
        container("exporter"),
        gpu_container("slice", resource="nvidia.com/mig-1g.5gb"),
        gpu_container("zero", count="0"),
        initContainers=[container("fetch"), gpu_container("warm-up")],
    )
    assert environments(obj, BY_USE) == {
        "fetch": [VOID, DEBUG],
        "warm-up": [FRACTION, DEBUG],
        "train": [FRACTION, DEBUG],
        "exporter": [VOID, DEBUG],
        "slice": [FRACTION, DEBUG],
        "zero": [VOID, DEBUG],
    }


@table(
    {
        "a GPU": ("one-gpu", [FRACTION, DEBUG]),
        "of an unknown class, which may be a GPU": ("unknown", [FRACTION, DEBUG]),
        "a network device": ("fast-network", [VOID, DEBUG]),
    },
    "template, expected",
)
def test_a_container_with_a_claim_is_not_cut_off_from_its_device(
    template: str, expected: list[JSONObject]
) -> None:
    obj = pod(
        container("train", resources={"claims": [{"name": "dev"}]}),
        container("exporter"),
        resourceClaims=[{"name": "dev", "resourceClaimTemplateName": template}],
    )
    assert environments(obj, BY_USE) == {"train": expected, "exporter": [VOID, DEBUG]}


def test_init_containers_are_a_choice_and_sidecars_are_not() -> None:
    obj = pod(
        initContainers=[container("init"), container("sidecar", restartPolicy="Always")],
        ephemeralContainers=[container("debug")],
    )
    assert environments(obj, rule(DEBUG)) == {
        "init": [DEBUG],
        "sidecar": [DEBUG],
        "main": [DEBUG],
        "debug": None,
    }
    without = rule(DEBUG, includeInitContainers=False)
    assert environments(obj, without) == {"init": None, "sidecar": [DEBUG], "main": [DEBUG], "debug": None}


def test_what_comes_from_elsewhere_is_not_overruled_unless_asked() -> None:
    obj = pod(container("a", envFrom=[{"configMapRef": {"name": "x"}}]), container("b", envFrom=[]))
    assert environments(obj, rule(DEBUG)) == {"a": None, "b": [DEBUG]}
    assert environments(obj, rule(DEBUG, skipContainersWithEnvFrom=False)) == {"a": [DEBUG], "b": [DEBUG]}


@table(
    {
        "a field": (
            {"fieldRef": {"fieldPath": "metadata.labels['team']"}},
            {"fieldRef": {"fieldPath": "metadata.labels['team']", "apiVersion": "v1"}},
        ),
        "a resource": (
            {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
            {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
        ),
        "a ConfigMap": (
            {"configMapKeyRef": {"name": "nccl", "key": "debug", "optional": True}},
            {"configMapKeyRef": {"name": "nccl", "key": "debug", "optional": True}},
        ),
        "a Secret": (
            {"secretKeyRef": {"name": "hub", "key": "token", "optional": False}},
            {"secretKeyRef": {"name": "hub", "key": "token", "optional": False}},
        ),
    },
    "source, expected",
)
def test_values_can_come_from_the_pod_and_its_namespace(source: JSONObject, expected: JSONObject) -> None:
    found = environments(pod(), rule({"name": "X", "valueFrom": source}))
    assert found == {"main": [{"name": "X", "valueFrom": expected}]}


def test_one_name_can_have_a_value_for_each_kind_of_container() -> None:
    both = rule(VOID | {"containers": "NonAccelerator"}, VOID | {"value": "all", "containers": "Accelerator"})
    found = environments(pod(gpu_container("train"), container("log")), both)
    assert {name: env[0]["value"] for name, env in found.items()} == {"train": "all", "log": "void"}


def test_a_template_gets_them_too() -> None:
    template = mutate(rule(DEBUG), deployment(pod()))["spec"]["template"]
    assert template["spec"]["containers"][0]["env"] == [DEBUG]


def variable(**fields: Any) -> list[JSONObject]:
    return [{"name": "X", "value": "1"} | fields]


def value_from(**source: Any) -> list[JSONObject]:
    return [{"name": "X", "valueFrom": source}]


@table(
    {
        "name with a digit first": (variable(name="1X"), "variables[0].name", "must be a name such as"),
        "name with an equals sign": (variable(name="A=B"), "variables[0].name", "must be a name such as"),
        "name of a folder": (variable(name="..x"), "variables[0].name", "must be a name such as"),
        "neither": ([{"name": "X"}], "variables[0]", "either value or valueFrom"),
        "both": (variable(valueFrom={"fieldRef": {"fieldPath": "metadata.name"}}), "variables[0]", "either"),
        "no source": (value_from(), "variables[0].valueFrom", "exactly one"),
        "two sources": (
            value_from(fieldRef={"fieldPath": "metadata.name"}, secretKeyRef={"name": "a", "key": "b"}),
            "variables[0].valueFrom",
            "exactly one",
        ),
        "unknown field": (
            value_from(fieldRef={"fieldPath": "spec.image"}),
            "variables[0].valueFrom.fieldRef.fieldPath",
            "status.podIP",
        ),
        "bad label": (
            value_from(fieldRef={"fieldPath": "metadata.labels['a b']"}),
            "variables[0].valueFrom.fieldRef.fieldPath",
            "a b",
        ),
        "other version": (
            value_from(fieldRef={"fieldPath": "metadata.name", "apiVersion": "v2"}),
            "variables[0].valueFrom.fieldRef.apiVersion",
            "v1",
        ),
        "resource without a side": (
            value_from(resourceFieldRef={"resource": "memory"}),
            "variables[0].valueFrom.resourceFieldRef.resource",
            "limits.memory",
        ),
        "accelerator as a resource": (
            value_from(resourceFieldRef={"resource": "limits.nvidia.com/gpu"}),
            "variables[0].valueFrom.resourceFieldRef.resource",
            "limits.memory",
        ),
        "unit of memory for CPU": (
            value_from(resourceFieldRef={"resource": "limits.cpu", "divisor": "1Mi"}),
            "variables[0].valueFrom.resourceFieldRef.divisor",
            "1m",
        ),
        "twice": (variable() + variable(), "variables[1].name", "twice"),
        "twice for some": (variable() + variable(containers="Accelerator"), "variables[1].name", "twice"),
    },
    "variables, field, says",
)
def test_variables_that_cannot_be_meant_are_refused(variables: Any, field: str, says: str) -> None:
    error = refused(Environment, {"variables": variables})
    assert error.field == field
    assert says in str(error)
