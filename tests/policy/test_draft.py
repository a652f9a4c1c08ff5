"""A draft's operations lead from the original to its object, and the original is never touched."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import jsonpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.strategies import json_values
from webhook.kube.path import MISSING, Path, lookup
from webhook.policy.draft import Draft, json_equal

KEYS = ("a", "b", "c", "~x/y", "0")
SCALARS = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["", "v", "1"])
VALUES = json_values(SCALARS, st.sampled_from(KEYS), most=3)
# Values without null: what somebody would give as a default.
WRITTEN = json_values(SCALARS.filter(lambda scalar: scalar is not None), st.sampled_from(KEYS), most=3)
OBJECTS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)
WILD_PATHS = st.lists(st.sampled_from(KEYS) | st.integers(-1, 3), max_size=4).map(tuple)


def paths_of(node: Any, path: Path = ()) -> list[Path]:
    """Every path that exists."""
    found = [path]
    if isinstance(node, dict):
        children = list(node.items())
    elif isinstance(node, list):
        children = list(enumerate(node))
    else:
        children = []
    for key, child in children:
        found += paths_of(child, (*path, key))
    return found


def identical(one: Any, other: Any) -> bool:
    """Equal as JSON text: key order aside, with true and 1 told apart."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def filled(standing: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """A map with these defaults, those inside its maps as well."""
    result = dict(standing)
    for key, value in values.items():
        if standing.get(key) is None:
            result[key] = value
        elif isinstance(standing[key], dict) and isinstance(value, dict):
            result[key] = filled(standing[key], value)
    return result


class DraftLaws(RuleBasedStateMachine):
    """Random operations in random order; the laws hold after each."""

    @initialize(original=OBJECTS)
    def start(self, original: Any) -> None:
        self.original = original
        self.as_it_was = copy.deepcopy(original)
        self.draft = Draft(original)

    def path(self, data: Any) -> Path:
        """Mostly one that exists or leads one step on from one that does, sometimes any."""
        near = st.sampled_from(paths_of(self.draft.object)).flatmap(
            lambda path: (
                st.just(path) | (st.sampled_from(KEYS) | st.integers(0, 2)).map(lambda key: (*path, key))
            )
        )
        chosen: Path = data.draw(near | WILD_PATHS)
        return chosen

    def snapshot(self, path: Path) -> Any:
        """What is at a path, None where nothing is; does not change when the draft does."""
        found = self.draft.get(path)
        return None if found is MISSING else copy.deepcopy(found)

    def attempt(self, change: Callable[[], bool]) -> bool:
        before = copy.deepcopy(self.draft.object)
        operations, revision = len(self.draft.operations), self.draft.revision
        did = change()
        assert did or identical(self.draft.object, before)
        assert did or len(self.draft.operations) == operations
        assert (self.draft.revision > revision) == did
        return did

    @rule(data=st.data(), value=VALUES)
    def set_default(self, data: Any, value: Any) -> None:
        path = self.path(data)
        before = self.draft.get(path)
        did = self.attempt(lambda: self.draft.set_default(path, copy.deepcopy(value)))
        if did:
            assert before is MISSING or before is None
            assert identical(self.draft.get(path), value)
            assert not self.draft.set_default(path, copy.deepcopy(value))

    @rule(data=st.data(), values=st.dictionaries(st.sampled_from(KEYS), WRITTEN, max_size=3))
    def fill(self, data: Any, values: dict[str, Any]) -> None:
        path = self.path(data)
        before = self.snapshot(path)
        if self.attempt(lambda: self.draft.fill(path, copy.deepcopy(values))):
            assert identical(self.draft.get(path), filled(before or {}, values))
            assert not self.draft.fill(path, copy.deepcopy(values))

    @rule(data=st.data(), value=VALUES)
    def append(self, data: Any, value: Any) -> None:
        path = self.path(data)
        before = self.snapshot(path)
        if self.attempt(lambda: self.draft.append(path, copy.deepcopy(value))):
            assert identical(self.draft.get(path), [*(before or []), value])

    @rule(data=st.data(), value=VALUES)
    def insert(self, data: Any, value: Any) -> None:
        path = self.path(data)
        before = self.snapshot(path[:-1])
        if self.attempt(lambda: self.draft.insert(path, copy.deepcopy(value))):
            before.insert(path[-1], value)
            assert identical(self.draft.get(path[:-1]), before)

    @rule(data=st.data(), value=VALUES)
    def replace(self, data: Any, value: Any) -> None:
        path = self.path(data)
        before = self.draft.get(path) is not MISSING, self.snapshot(path)
        if self.attempt(lambda: self.draft.replace(path, copy.deepcopy(value))):
            existed, old = before
            assert existed
            assert not identical(old, value)
            assert identical(self.draft.get(path), value)

    @rule(data=st.data())
    def remove(self, data: Any) -> None:
        path = self.path(data)
        parent = self.snapshot(path[:-1])
        if self.attempt(lambda: self.draft.remove(path)):
            del parent[path[-1]]
            assert identical(self.draft.get(path[:-1]), parent)

    @invariant()
    def operations_lead_to_the_object(self) -> None:
        patched = jsonpatch.apply_patch(copy.deepcopy(self.original), self.draft.operations)
        assert identical(patched, self.draft.object)

    @invariant()
    def original_is_untouched(self) -> None:
        assert identical(self.original, self.as_it_was)

    @invariant()
    def operations_are_json(self) -> None:
        assert json.loads(json.dumps(self.draft.operations)) == self.draft.operations


TestDraftLaws = DraftLaws.TestCase
TestDraftLaws.settings = settings(deadline=None)


def test_a_new_draft_is_the_original_itself() -> None:
    original = {"spec": {}}
    draft = Draft(original)
    assert draft.object is original
    assert not draft.changed


def test_missing_parents_become_one_operation() -> None:
    draft = Draft({"spec": {}})
    draft.set_default(("spec", "affinity", "nodeAffinity", "x"), 1)
    draft.set_default(("spec", "affinity", "nodeAffinity", "y"), 2)
    draft.append(("spec", "affinity", "terms"), {})
    draft.replace(("spec", "affinity", "nodeAffinity", "x"), 3)
    draft.remove(("spec", "affinity", "nodeAffinity", "y"))
    assert draft.operations == [
        {"op": "add", "path": "/spec/affinity", "value": {"nodeAffinity": {"x": 3}, "terms": [{}]}}
    ]


def test_only_what_is_on_the_way_to_a_change_is_copied() -> None:
    original: dict[str, Any] = {
        "metadata": {"labels": {}},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}]},
    }
    draft = Draft(original)
    draft.set_default(("spec", "containers", 1, "image"), "x")
    assert draft.object["metadata"] is original["metadata"]
    assert draft.object["spec"]["containers"][0] is original["spec"]["containers"][0]
    assert draft.object["spec"]["containers"][1] is not original["spec"]["containers"][1]


@pytest.mark.parametrize(
    ("obj", "path"),
    [
        pytest.param({"a": "text"}, ("a", "b"), id="text where a map belongs"),
        pytest.param({"a": []}, ("a", "b"), id="list where a map belongs"),
        pytest.param({"a": {}}, ("a", 0), id="index into a map"),
        pytest.param({}, ("a", 0), id="item of an absent list"),
        pytest.param({}, ("a", 0, "b"), id="field of an item of an absent list"),
        pytest.param({"a": [1]}, ("a", 1), id="index behind the end"),
        pytest.param({"a": [None]}, ("a", -1), id="negative index"),
        pytest.param({}, (), id="the object itself"),
    ],
)
def test_a_path_that_does_not_fit_changes_nothing(obj: dict[str, Any], path: Path) -> None:
    as_it_was = copy.deepcopy(obj)
    draft = Draft(obj)
    assert not draft.set_default(path, 1)
    assert not draft.replace(path, 1)
    assert not draft.remove(path)
    assert not draft.changed
    assert draft.object is obj
    assert obj == as_it_was


def test_filling_makes_one_operation_for_each_first_absent_step() -> None:
    draft = Draft({"at": [{"limits": {"cpu": "1"}, "requests": None}]})
    assert draft.fill(
        ("at", 0), {"limits": {"cpu": "2", "memory": "2Gi"}, "requests": {"cpu": "1"}, "a": {"b": 1}}
    )
    assert draft.operations == [
        {"op": "add", "path": "/at/0/limits/memory", "value": "2Gi"},
        {"op": "add", "path": "/at/0/requests", "value": {"cpu": "1"}},
        {"op": "add", "path": "/at/0/a", "value": {"b": 1}},
    ]
    # What is inside an added value is part of it.
    assert draft.fill(("at", 0, "a"), {"c": {"d": 2}})
    assert draft.fill(("at", 0), {"a": {"c": {"e": 3}}})
    assert draft.operations[-1]["value"] == {"b": 1, "c": {"d": 2, "e": 3}}
    assert len(draft.operations) == 3


def test_the_object_itself_is_not_replaced() -> None:
    draft = Draft({"a": 1})
    assert not draft.replace((), {"b": 2})
    assert not draft.insert((), 1)
    assert draft.object == {"a": 1}


def test_a_null_item_of_a_list_is_not_absent_but_can_be_replaced() -> None:
    draft = Draft({"a": [None, 1]})
    assert not draft.set_default(("a", 0), 5)
    assert not draft.set_default(("a", 0, "b"), 5)
    assert draft.replace(("a", 0), 5)
    assert draft.operations == [{"op": "replace", "path": "/a/0", "value": 5}]


def test_a_second_draft_over_the_first_one_leaves_it_alone() -> None:
    first = Draft({"a": {}})
    first.set_default(("a", "list"), [1])
    second = Draft(first.object)
    second.append(("a", "list"), 2)
    assert first.object == {"a": {"list": [1]}}
    assert first.operations == [{"op": "add", "path": "/a/list", "value": [1]}]
    assert second.operations == [{"op": "add", "path": "/a/list/-", "value": 2}]


@given(one=VALUES, other=VALUES)
def test_json_equality_is_that_of_the_text(one: Any, other: Any) -> None:
    assert json_equal(one, other) == identical(one, other)
    assert json_equal(one, copy.deepcopy(one))


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        pytest.param(1, 1.0, True, id="one number, two spellings"),
        pytest.param([{"a": True}], [{"a": 1}], False, id="true is not 1"),
        pytest.param(0, False, False, id="false is not 0"),
        pytest.param("1", 1, False, id="text is no number"),
    ],
)
def test_json_equality(one: Any, other: Any, *, equal: bool) -> None:
    assert json_equal(one, other) is equal


def test_lookup_and_get_agree() -> None:
    draft = Draft({"a": {"b": [1]}})
    assert draft.get(("a", "b", 0)) == lookup(draft.object, ("a", "b", 0)) == 1
    assert draft.get(("a", "x")) is MISSING
