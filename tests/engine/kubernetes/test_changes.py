"""The JSON Patch between two states of an object."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import json_values
from webhook.engine.kubernetes.changes import operations


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({"a": 1}, {"a": 1.0}, [], id="the-same-number"),
        pytest.param(
            {"a": 1}, {"a": True}, [{"op": "replace", "path": "/a", "value": True}], id="true-is-not-1"
        ),
        pytest.param({"a": None}, {}, [{"op": "remove", "path": "/a"}], id="null-is-something"),
        pytest.param(
            {}, {"a": {"b~/": 1}}, [{"op": "add", "path": "/a", "value": {"b~/": 1}}], id="a-new-map"
        ),
        pytest.param(
            {"l": [{"n": "a"}, {"n": "b"}]},
            {"l": [{"n": "a"}, {"n": "b", "x": 1}]},
            [{"op": "add", "path": "/l/1/x", "value": 1}],
            id="within-an-item",
        ),
        pytest.param({"l": [1]}, {"l": [1, 2]}, [{"op": "add", "path": "/l/-", "value": 2}], id="at-the-end"),
        pytest.param({"l": [1]}, {"l": [2, 1]}, [{"op": "add", "path": "/l/0", "value": 2}], id="in-front"),
        pytest.param(
            {"l": [1, 2, 3]},
            {"l": [3]},
            [{"op": "remove", "path": "/l/1"}, {"op": "remove", "path": "/l/0"}],
            id="gone",
        ),
        pytest.param(
            {"l": [1]}, {"l": {"a": 1}}, [{"op": "replace", "path": "/l", "value": {"a": 1}}], id="other-type"
        ),
    ],
)
def test_the_patch_has_only_what_changes(before: Any, after: Any, expected: list[dict[str, Any]]) -> None:
    assert list(operations(before, after)) == expected


documents: Any = json_values(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "b"]),
    st.sampled_from(["a", "b", "~/", "0"]),
    most=4,
    leaves=16,
)
objects = st.dictionaries(st.sampled_from(["a", "b", "c"]), documents, max_size=3)


@given(objects, objects)
def test_it_leads_from_one_state_to_the_other(before: Any, after: Any) -> None:
    untouched = copy.deepcopy((before, after))

    patched = jsonpatch.apply_patch(before, list(operations(before, after)))

    assert json.dumps(patched, sort_keys=True) == json.dumps(after, sort_keys=True)
    assert (before, after) == untouched


def test_what_two_states_share_is_not_looked_into() -> None:
    class Unreadable(dict[str, Any]):
        def __iter__(self) -> Any:
            raise AssertionError("looked into")

    shared = Unreadable(a=1)

    assert operations({"x": shared, "l": [shared]}, {"x": shared, "l": [shared, 1]}) == (
        {"op": "add", "path": "/l/-", "value": 1},
    )
