"""Merging apply configurations: what Kubernetes makes of each."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import json_values
from webhook.kube.apply import CannotApply, apply, of
from webhook.kube.gvk import POD, GroupVersionKind

DEPLOYMENT = GroupVersionKind("apps", "v1", "Deployment")
SERVICE = GroupVersionKind("", "v1", "Service")
TRAINING = GroupVersionKind("kubeflow.org", "v1", "PyTorchJob")


def template(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": spec}}}


def container(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "main", **fields}]}}


def env(**values: str) -> list[dict[str, str]]:
    """Variables by name; what stands before a double underscore is the name, so that one can be there twice."""
    return [{"name": name.partition("__")[0], "value": value} for name, value in values.items()]


def finalizers(*names: str) -> dict[str, Any]:
    return {"metadata": {"finalizers": list(names)}}


@pytest.mark.parametrize(
    ("kind", "live", "change", "expected"),
    [
        pytest.param(
            DEPLOYMENT,
            {"kind": "Deployment", "spec": {"replicas": 2, "paused": True}},
            {"spec": {"replicas": 3}},
            {"kind": "Deployment", "spec": {"replicas": 3, "paused": True}},
            id="fields-of-a-structure",
        ),
        pytest.param(
            POD,
            {"metadata": {"name": "a"}},
            {"metadata": {"labels": {"x": "1"}, "annotations": {}}},
            {"metadata": {"name": "a", "labels": {"x": "1"}, "annotations": {}}},
            id="maps-that-were-not-there",
        ),
        pytest.param(
            POD,
            {"metadata": {"labels": {"x": "0", "y": "0"}}},
            {"metadata": {"labels": {"x": "1", "z": "1"}}},
            {"metadata": {"labels": {"x": "1", "y": "0", "z": "1"}}},
            id="labels",
        ),
        pytest.param(
            DEPLOYMENT,
            template(volumes=[{"name": "x"}, {"name": "y"}]),
            template(volumes=[{"name": "y", "hostPath": {"path": "a"}}]),
            template(volumes=[{"name": "x"}, {"name": "y", "hostPath": {"path": "a"}}]),
            id="volumes-by-name",
        ),
        pytest.param(
            POD,
            container(env=env(a="1", b="1")),
            container(env=env(b="2", c="2")),
            container(env=env(a="1", b="2", c="2")),
            id="env-by-name",
        ),
        pytest.param(
            POD,
            container(env=env(a="1", a__="2", b="1")),
            container(env=env(a="3")),
            container(env=env(a="3", b="1")),
            id="an-item-that-is-there-twice-is-replaced-by-one",
        ),
        pytest.param(
            POD,
            container(env=env(a="1", a__="2", b="1")),
            container(env=env(b="3")),
            container(env=env(a="1", a__="2", b="3")),
            id="items-that-are-there-twice-stay-where-not-touched",
        ),
        pytest.param(
            POD,
            container(ports=[{"containerPort": 80, "protocol": "TCP", "name": "web"}]),
            container(
                ports=[{"containerPort": 80, "hostPort": 8080}, {"containerPort": 80, "protocol": "UDP"}]
            ),
            container(
                ports=[
                    {"containerPort": 80, "protocol": "TCP", "name": "web", "hostPort": 8080},
                    {"containerPort": 80, "protocol": "UDP"},
                ]
            ),
            id="ports-by-number-and-protocol-which-is-TCP-where-absent",
        ),
        pytest.param(POD, finalizers("a", "b"), finalizers("b", "c"), finalizers("a", "b", "c"), id="a-set"),
        pytest.param(
            POD,
            finalizers("a", "b", "c", "d"),
            finalizers("c", "a"),
            finalizers("b", "c", "d", "a"),
            id="the-order-is-that-of-the-change",
        ),
        pytest.param(
            POD,
            finalizers("x", "y"),
            finalizers("new", "x", "mid", "y"),
            finalizers("new", "x", "mid", "y"),
            id="new-items-stand-where-the-change-has-them",
        ),
        pytest.param(POD, container(env=[]), container(env=[]), container(env=[]), id="empty-lists"),
        pytest.param(POD, {}, {}, {}, id="nothing"),
        pytest.param(
            SERVICE,
            {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}},
            {"spec": {"ports": [{"port": 80, "targetPort": "web"}]}},
            {"spec": {"ports": [{"port": 80, "targetPort": "web"}]}},
            id="a-number-or-a-string",
        ),
        pytest.param(
            POD,
            {"spec": "of another type", "unknown": [1]},
            {"spec": {"hostNetwork": True}},
            {"spec": {"hostNetwork": True}, "unknown": [1]},
            id="what-is-of-another-type-is-replaced-and-the-unknown-kept",
        ),
        pytest.param(
            TRAINING,
            {"spec": {"runPolicy": {"ttl": 1}}, "metadata": {"finalizers": ["a"]}},
            {"spec": {"runPolicy": {"clean": True}}, "metadata": {"finalizers": ["b"], "labels": {"x": "y"}}},
            {
                "spec": {"runPolicy": {"ttl": 1, "clean": True}},
                "metadata": {"finalizers": ["a", "b"], "labels": {"x": "y"}},
            },
            id="maps-and-metadata-of-a-kind-without-schema",
        ),
    ],
)
def test_a_configuration_is_merged(
    kind: GroupVersionKind, live: dict[str, Any], change: dict[str, Any], expected: dict[str, Any]
) -> None:
    before = copy.deepcopy((live, change))

    assert apply(live, change, of(kind)) == expected
    assert (live, change) == before


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        pytest.param(
            DEPLOYMENT,
            {"spec": {"selector": {"matchLabels": {"l": "v"}}}},
            "may not mutate atomic arrays, maps or structs: .spec.selector",
            id="atomic-structure",
        ),
        pytest.param(
            POD,
            {"spec": {"nodeSelector": {"a": "b"}}},
            "atomic arrays, maps or structs: .spec.nodeSelector",
            id="atomic-map",
        ),
        pytest.param(
            POD,
            {"spec": {"tolerations": [], "containers": [{"name": "a", "args": ["x"]}]}},
            "maps or structs: .spec.tolerations, .spec.containers[0].args",
            id="atomic-lists",
        ),
        pytest.param(
            POD,
            container(env=[{"name": "a", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
            "maps or structs: .spec.containers[0].env[0].valueFrom.secretKeyRef",
            id="atomic-structure-in-a-list",
        ),
        pytest.param(
            DEPLOYMENT,
            {"spec": {"replicasx": 1}},
            ".spec.replicasx: field not declared in schema",
            id="unknown-field",
        ),
        pytest.param(
            DEPLOYMENT, {"spec": {"replicas": "1"}}, '.spec.replicas: expected integer, got "1"', id="number"
        ),
        pytest.param(
            DEPLOYMENT,
            {"spec": {"replicas": 1.5}},
            ".spec.replicas: expected integer, got 1.5",
            id="fraction",
        ),
        pytest.param(
            DEPLOYMENT, {"spec": {"paused": 1}}, ".spec.paused: expected boolean, got 1", id="boolean"
        ),
        pytest.param(
            POD, {"metadata": {"labels": {"a": True}}}, "labels.a: expected string, got true", id="string"
        ),
        pytest.param(POD, {"metadata": {"labels": ["a"]}}, "labels: expected map, got a list", id="map"),
        pytest.param(POD, {"spec": {"containers": {}}}, "containers: expected list, got a map", id="list"),
        pytest.param(
            POD,
            {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}},
            '.spec.containers: duplicate entries for key {"name": "a"}',
            id="twice",
        ),
        pytest.param(
            POD, {"spec": {"containers": ["a"]}}, ".spec.containers[0]: must be a map with name", id="no-map"
        ),
        pytest.param(
            POD,
            finalizers(["a"]),
            "the items of a set must be scalars",
            id="list-in-a-set",  # type: ignore[arg-type]  # on purpose
        ),
        pytest.param(
            TRAINING,
            {"spec": {"workers": {"template": {"containers": [{"name": "a"}]}}}},
            ".spec.workers.template.containers (the schema of this kind is not known here",
            id="list-of-a-kind-without-schema",
        ),
    ],
)
def test_what_kubernetes_refuses_is_refused(
    kind: GroupVersionKind, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(CannotApply) as caught:
        apply({"spec": {}}, change, of(kind))

    assert message in str(caught.value)


def test_an_object_whose_items_cannot_be_told_apart_is_an_error() -> None:
    with pytest.raises(CannotApply, match="element 0: must be a map with name"):
        apply({"spec": {"containers": ["?"]}}, container(image="x"), of(POD))


def test_what_is_not_touched_is_not_copied() -> None:
    live = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}}
    change = {"spec": {"containers": [{"name": "b", "image": "x"}]}}

    merged = apply(live, change, of(POD))

    assert merged["metadata"] is live["metadata"]
    assert merged["spec"]["containers"][0] is live["spec"]["containers"][0]
    assert apply(merged, change, of(POD)) is merged


# Laws, on pods of a few names, so that items meet

names = st.sampled_from(["a", "b", "c", "d"])
texts = st.sampled_from(["1", "2"])


def named_lists(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    items = st.fixed_dictionaries({"name": names}, optional=fields)
    return st.lists(items, max_size=4, unique_by=lambda item: str(item["name"]))


ports = st.lists(
    st.fixed_dictionaries(
        {"containerPort": st.sampled_from([80, 443])},
        optional={"protocol": st.sampled_from(["TCP", "UDP"]), "hostPort": st.integers(1, 3)},
    ),
    max_size=3,
    unique_by=lambda port: (port["containerPort"], port.get("protocol", "TCP")),
)
metadata = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.dictionaries(names, texts, max_size=3),
        "finalizers": st.lists(names, max_size=4, unique=True),
    },
)
specs = st.fixed_dictionaries(
    {},
    optional={
        "hostNetwork": st.booleans(),
        "containers": named_lists(image=texts, env=named_lists(value=texts), ports=ports),
        "volumes": named_lists(),
    },
)
configurations = st.fixed_dictionaries({}, optional={"metadata": metadata, "spec": specs})
odd: Any = json_values(
    st.none() | st.booleans() | st.integers() | st.text(max_size=2),
    st.sampled_from(["metadata", "spec", "containers", "name", "labels", "x"]),
    most=3,
    leaves=12,
)


def in_any_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: in_any_order(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted(map(in_any_order, value), key=lambda item: json.dumps(item, sort_keys=True))
    return value


@given(configurations, configurations)
def test_applying_twice_is_applying_once(live: dict[str, Any], change: dict[str, Any]) -> None:
    once = apply(live, change, of(POD))

    assert apply(once, change, of(POD)) is once


@given(configurations)
def test_what_is_there_already_changes_nothing(live: dict[str, Any]) -> None:
    assert apply(live, copy.deepcopy(live), of(POD)) is live


@given(configurations, configurations)
def test_items_of_both_sides_are_there_once_each(live: dict[str, Any], change: dict[str, Any]) -> None:
    merged = apply(live, change, of(POD))

    def container_names(obj: dict[str, Any]) -> list[str]:
        return [item["name"] for item in obj.get("spec", {}).get("containers", ())]

    assert sorted(container_names(merged)) == sorted({*container_names(live), *container_names(change)})


@given(configurations, configurations, configurations)
def test_the_grouping_does_not_matter_but_for_the_order_of_lists(
    first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]
) -> None:
    left = apply(apply(first, second, of(POD)), third, of(POD))
    right = apply(first, apply(second, third, of(POD)), of(POD))

    assert in_any_order(left) == in_any_order(right)


@given(odd, odd)
def test_no_json_is_a_crash(live: Any, change: Any) -> None:
    for kind in (POD, TRAINING):
        try:
            apply(
                live if isinstance(live, dict) else {}, change if isinstance(change, dict) else {}, of(kind)
            )
        except CannotApply:
            continue
