"""labels: added where absent, and only ones that Kubernetes takes."""

from __future__ import annotations

from typing import Any

from tests.mutations.support import compiled, deployment, mutate, pod, refused, table
from webhook.kube.shape import JSONObject
from webhook.mutations.labels import Labels

RULE = compiled(Labels, {"values": {"team": "ml", "example.com/tier": ""}})


@table(
    {
        "no labels": ({}, {"team": "ml", "example.com/tier": ""}),
        "null": ({"labels": None}, {"team": "ml", "example.com/tier": ""}),
        "others": ({"labels": {"app": "x"}}, {"app": "x", "team": "ml", "example.com/tier": ""}),
        "the same": ({"labels": {"team": "ml"}}, {"team": "ml", "example.com/tier": ""}),
        "another value": ({"labels": {"team": "vision"}}, {"team": "vision", "example.com/tier": ""}),
        "an empty value": ({"labels": {"team": ""}}, {"team": "", "example.com/tier": ""}),
        "wrong type": ({"labels": ["team"]}, ["team"]),
    },
    "metadata, expected",
)
def test_labels_are_added_where_absent(metadata: JSONObject, expected: Any) -> None:
    assert mutate(RULE, pod(metadata=metadata))["metadata"]["labels"] == expected


def test_a_pod_without_metadata_gets_some() -> None:
    obj = pod()
    del obj["metadata"]
    assert mutate(RULE, obj)["metadata"] == {"labels": {"team": "ml", "example.com/tier": ""}}


def test_the_labels_of_a_workload_are_those_of_its_template() -> None:
    after = mutate(RULE, deployment(pod()))
    assert after["spec"]["template"]["metadata"]["labels"]["team"] == "ml"
    assert "labels" not in after["metadata"]


@table(
    {
        "space in the key": ({"my team": "x"}, "values[my team]", "letters, digits"),
        "empty key": ({"": "x"}, "values[]", "must be a name"),
        "two prefixes": ({"a/b/c": "x"}, "values[a/b/c]", '"a/b"'),
        "upper case in the prefix": ({"Example.com/x": "x"}, "values[Example.com/x]", "Example.com"),
        "long key": ({"k" * 64: "x"}, f"values.{'k' * 64}", "at most 63"),
        "long prefix": ({"a." * 127 + "b/x": "x"}, None, "must have a DNS name"),
        "space in the value": ({"team": "a b"}, "values.team", "an annotation takes any text"),
        "long value": ({"team": "v" * 64}, "values.team", "at most 63"),
        "dash at the end": ({"team": "a-"}, "values.team", "at both ends"),
        "line break at the end": ({"team": "a\n"}, "values.team", "at both ends"),
        "letters of other scripts": ({"team": "é"}, "values.team", "letters, digits"),
    },
    "values, field, says",
)
def test_labels_that_kubernetes_refuses_are_refused_at_load(
    values: Any, field: str | None, says: str
) -> None:
    error = refused(Labels, {"values": values})
    assert says in str(error)
    assert field is None or error.field == field


def test_longest_and_oddest_keys_that_kubernetes_takes() -> None:
    prefix = ".".join(["a" * 49] * 5)
    compiled(Labels, {"values": {f"{prefix}/{'k' * 63}": "V_1.x-y", "0": "0", "a.b_c-d": "v" * 63}})
