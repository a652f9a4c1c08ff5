"""annotations: added where absent, and never more than Kubernetes takes."""

from __future__ import annotations

from typing import Any

from tests.mutations.support import compiled, deployment, mutate, pod, refused, table
from webhook.kube.shape import JSONObject
from webhook.mutations.annotations import Annotations

KEY = "karpenter.sh/do-not-disrupt"
RULE = compiled(Annotations, {"values": {KEY: "true", "note": "any text: é, and\nmore"}})


@table(
    {
        "none": ({}, {KEY: "true", "note": "any text: é, and\nmore"}),
        "another value": ({"annotations": {KEY: "false", "note": ""}}, {KEY: "false", "note": ""}),
        "null": ({"annotations": {KEY: None, "note": ""}}, {KEY: "true", "note": ""}),
        "wrong type": ({"annotations": "x"}, "x"),
    },
    "metadata, expected",
)
def test_annotations_are_added_where_absent(metadata: JSONObject, expected: Any) -> None:
    assert mutate(RULE, pod(metadata=metadata))["metadata"]["annotations"] == expected


def test_the_annotations_of_a_workload_are_those_of_its_template() -> None:
    after = mutate(RULE, deployment(pod()))
    assert after["spec"]["template"]["metadata"]["annotations"][KEY] == "true"
    assert "annotations" not in after["metadata"]


def test_what_does_not_fit_any_more_is_left_out() -> None:
    big = "x" * (256 * 1024 - len("big") - len(KEY) - len("true"))
    after = mutate(RULE, pod(metadata={"annotations": {"big": big}}))
    assert after["metadata"]["annotations"] == {"big": big, KEY: "true"}


@table(
    {
        "space in the key": ({"my note": "x"}, "values[my note]", "must be a name"),
        "too much": ({"note": "x" * 256 * 1024}, "values", "262,144"),
    },
    "values, field, says",
)
def test_annotations_that_kubernetes_refuses_are_refused_at_load(values: Any, field: str, says: str) -> None:
    error = refused(Annotations, {"values": values})
    assert error.field == field
    assert says in str(error)


def test_case_does_not_matter_in_keys_of_annotations() -> None:
    compiled(Annotations, {"values": {"Example.COM/Note": "x"}})
