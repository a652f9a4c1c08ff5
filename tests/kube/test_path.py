"""Field paths as people and patches write them."""

from __future__ import annotations

from typing import Any

import jsonpointer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.kube.path import MISSING, Path, json_pointer, lookup, parse, parse_json_pointer, render


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("spec", "hostNetwork"), "spec.hostNetwork"),
        (("spec", "containers", 0, "resources", "limits"), "spec.containers[0].resources.limits"),
        (("spec", "limits", "nvidia.com/gpu"), "spec.limits[nvidia.com/gpu]"),
        (("metadata", "labels", "team"), "metadata.labels.team"),
        (("spec", "pytorchReplicaSpecs", "Worker", "template"), "spec.pytorchReplicaSpecs.Worker.template"),
    ],
)
def test_paths_read_as_kubernetes_writes_them_and_back(path: Path, text: str) -> None:
    assert render(path) == text
    assert parse(text) == path


def test_keys_may_be_quoted() -> None:
    assert parse("metadata.annotations['a.b/c']") == ("metadata", "annotations", "a.b/c")


segments = st.lists(st.text(max_size=8), max_size=6)


@given(segments)
def test_json_pointers_survive_a_round_trip(path: list[str]) -> None:
    pointer = json_pointer(tuple(path))
    assert parse_json_pointer(pointer) == tuple(path)
    assert jsonpointer.JsonPointer(pointer).parts == path


@pytest.mark.parametrize("pointer", ["spec", "/a~2b", "/a~"])
def test_what_is_no_pointer_is_refused(pointer: str) -> None:
    with pytest.raises(ValueError, match="JSON Pointer"):
        parse_json_pointer(pointer)


@pytest.mark.parametrize(
    ("root", "path", "found"),
    [
        ({"a": [{"b": None}]}, ("a", 0, "b"), None),
        ({"a": [1]}, ("a", 1), MISSING),
        ({"a": [1]}, ("a", -1), MISSING),
        ({"a": "text"}, ("a", 0), MISSING),
        ({"a": [1]}, ("a", "0"), MISSING),
        ([], ("a",), MISSING),
        ({"a": 1}, (), {"a": 1}),
    ],
)
def test_lookup_tells_null_from_missing_and_survives_other_types(root: Any, path: Path, found: Any) -> None:
    assert lookup(root, path) == found
