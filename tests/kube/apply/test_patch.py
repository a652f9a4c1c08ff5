"""JSON Patch as Kubernetes applies it in admission policies."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import json_values
from webhook.kube.apply import CannotApply, apply_operations, of
from webhook.kube.gvk import POD, GroupVersionKind

TRAINING = of(GroupVersionKind("kubeflow.org", "v1", "PyTorchJob"))


def pod() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "labels": {"x/y": "1"}},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}]},
    }


def test_operations_are_made_in_order_and_the_object_is_not_changed() -> None:
    live = pod()
    operations = [
        {"op": "add", "path": "/metadata/annotations", "value": {}},
        {"op": "add", "path": "/metadata/annotations/a~1b", "value": "c"},
        {"op": "add", "path": "/spec/containers/-", "value": {"name": "c"}},
        {"op": "add", "path": "/spec/containers/0", "value": {"name": "z"}},
        {"op": "replace", "path": "/spec/containers/-1/image", "value": "x"},
        {"op": "remove", "path": "/spec/containers/1"},
        {"op": "copy", "from": "/metadata/name", "path": "/spec/hostname"},
        {"op": "move", "from": "/metadata/labels/x~1y", "path": "/metadata/labels/z"},
        {"op": "test", "path": "/metadata/generateName"},
        {"op": "test", "path": "/metadata/name", "value": "a"},
    ]

    assert apply_operations(live, operations, of(POD)) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "labels": {"z": "1"}, "annotations": {"a/b": "c"}},
        "spec": {"containers": [{"name": "z"}, {"name": "b"}, {"name": "c", "image": "x"}], "hostname": "a"},
    }
    assert live == pod()


@pytest.mark.parametrize("test", [{"value": "b"}, {"value": 1}, {"value": None}, {}])
def test_a_failed_test_leaves_the_object_and_is_no_error(test: dict[str, Any]) -> None:
    live = pod()
    operations = [
        {"op": "remove", "path": "/metadata/labels"},
        {"op": "test", "path": "/metadata/name", **test},
    ]

    assert apply_operations(live, operations, of(POD)) is live


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        pytest.param(
            {"op": "add", "path": "/metadata/annotations/a", "value": "b"},
            "nothing that could hold 'a'",
            id="add-below-nothing",
        ),
        pytest.param(
            {"op": "add", "path": "/spec/containers/9", "value": {}}, "none at 9", id="add-far-behind-the-end"
        ),
        pytest.param(
            {"op": "add", "path": "/spec/containers/x", "value": {}}, "'x' is no index", id="no-index"
        ),
        pytest.param(
            {"op": "replace", "path": "/spec/containers/-", "value": {}}, "none at -", id="replace-the-end"
        ),
        pytest.param(
            {"op": "remove", "path": "/metadata/annotations"}, "nothing at /metadata/annotations", id="remove"
        ),
        pytest.param(
            {"op": "remove", "path": "/spec/containers/2"}, "has 2 items and none at 2", id="remove-index"
        ),
        pytest.param(
            {"op": "test", "path": "/a/b/c", "value": 1}, "nothing at /a/b/c", id="test-below-nothing"
        ),
        pytest.param({"op": "move", "from": "/a", "path": "/b"}, "nothing at /a", id="move"),
        pytest.param(
            {"op": "add", "path": "metadata", "value": 1}, "it must start with '/'", id="no-pointer"
        ),
        pytest.param({"op": "", "path": ""}, "unknown op ''", id="no-op"),
    ],
)
def test_an_operation_that_does_not_apply_is_an_error(operation: dict[str, Any], message: str) -> None:
    with pytest.raises(CannotApply) as caught:
        apply_operations(pod(), [operation], of(POD))

    assert message in str(caught.value)
    assert str(caught.value).startswith("operation 0: ")
    assert not caught.value.always


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        pytest.param(
            {"op": "add", "path": "/spec/contaners", "value": []}, 'unknown field "spec.contaners"', id="path"
        ),
        pytest.param(
            {"op": "add", "path": "/spec/containers/-", "value": {"name": "x", "imagex": "y"}},
            ".spec.containers[-].imagex: field not declared",
            id="value",
        ),
        pytest.param(
            {"op": "add", "path": "/spec/hostNetwork", "value": "yes"},
            'expected boolean, got "yes"',
            id="type",
        ),
        pytest.param(
            {"op": "replace", "path": "/kind", "value": "Job"},
            "may not change apiVersion and kind",
            id="kind",
        ),
        pytest.param(
            {"op": "replace", "path": "", "value": {}}, "may not change apiVersion and kind", id="all"
        ),
    ],
)
def test_a_result_that_is_no_such_object_is_refused_always(operation: dict[str, Any], message: str) -> None:
    with pytest.raises(CannotApply) as caught:
        apply_operations(pod(), [operation], of(POD))

    assert message in str(caught.value)
    assert caught.value.always


def test_a_kind_without_schema_takes_any_field() -> None:
    live = {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "spec": {"a": [1]}}

    patched = apply_operations(live, [{"op": "add", "path": "/spec/a/-", "value": {"b": [None]}}], TRAINING)

    assert patched["spec"] == {"a": [1, {"b": [None]}]}


documents: Any = json_values(
    st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "b"]),
    st.sampled_from(["a", "b", "0"]),
    most=3,
    leaves=10,
)
objects = st.dictionaries(st.sampled_from(["a", "b", "c"]), documents, max_size=3)
pointers = st.lists(st.sampled_from(["a", "b", "0", "-", "9", "~1"]), max_size=3).map(
    lambda steps: "".join("/" + step for step in steps)
)
operations = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "?"]), "path": pointers},
    optional={"from": pointers, "value": documents | st.none()},
)


@given(objects, objects)
def test_a_patch_means_what_it_means_elsewhere(one: dict[str, Any], other: dict[str, Any]) -> None:
    before = copy.deepcopy(one)

    assert apply_operations(one, jsonpatch.make_patch(one, other).patch, TRAINING) == other
    assert one == before


@given(objects, st.lists(operations, max_size=4))
def test_no_patch_is_a_crash(obj: dict[str, Any], patch: list[dict[str, Any]]) -> None:
    before = copy.deepcopy(obj)
    for kind in (of(POD), TRAINING):
        try:
            apply_operations(obj, patch, kind)
        except CannotApply:
            continue
    assert obj == before
