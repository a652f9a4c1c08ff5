"""Policy documents: what may be written, and what is said about what may not."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins

from tests.strategies import json_values
from webhook.kube.path import MISSING, Path, lookup, parse
from webhook.policy import model
from webhook.policy.case import PolicyCase
from webhook.policy.findings import Action
from webhook.policy.model import AcceleratorCatalog, Policy
from webhook.policy.problems import InvalidPolicy, Problem
from webhook.policy.strict import Strict
from webhook.policy.validation import validate_document, validate_policy

FULL: dict[str, Any] = {
    "apiVersion": "gpuward.dev/v1alpha1",
    "kind": "Policy",
    "metadata": {
        "name": "gpu-scheduling",
        "labels": {"team": "ml"},
        "annotations": {"gpuward.dev/title": "T"},
    },
    "spec": {
        "action": "Warn",
        "failurePolicy": "Ignore",
        "match": {
            "kinds": ["Pod", "apps/v1/Deployment"],
            "operations": ["CREATE"],
            "namespaces": ["ml-*"],
            "names": ["train-*"],
            "namespaceSelector": {"matchLabels": {"workload": "ml"}},
            "objectSelector": {
                "matchExpressions": [
                    {"key": "app", "operator": "In", "values": ["a"]},
                    {"key": "skip", "operator": "DoesNotExist"},
                ]
            },
            "users": ["system:serviceaccount:ci:*"],
            "groups": ["ml"],
            "accelerators": "Required",
            "conditions": [{"name": "c", "expression": "true"}],
        },
        "exclude": [{"namespaces": ["kube-system"]}],
        "variables": [{"name": "v", "expression": "1"}],
        "mutate": [{"rule": "labels", "parameters": {"values": {"a": "b"}}}],
        "validate": [
            {"rule": "require-limits", "severity": "high"},
            {
                "rule": "mine",
                "expression": "true",
                "message": "m",
                "messageExpression": "'m'",
                "reason": "some-reason",
                "field": "spec",
                "subject": "Object",
            },
        ],
        "exceptions": [
            {
                "name": "legacy",
                "reason": "ML-1",
                "expires": "2027-03-31",
                "match": {
                    "namespaces": ["a"],
                    "names": ["b"],
                    "labels": {"c": "d"},
                    "users": ["u"],
                    "groups": ["g"],
                },
                "rules": ["mine"],
            }
        ],
    },
}

SMALLEST: dict[str, Any] = {
    "apiVersion": "gpuward.dev/v1alpha1",
    "kind": "Policy",
    "metadata": {"name": "p"},
    "spec": {"validate": [{"rule": "no-privileged"}]},
}


def with_change(path: Path, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(FULL)
    parent: Any = document
    for segment in path[:-1]:
        parent = parent[segment]
    if value is MISSING:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return document


def problems_of(document: Any) -> tuple[Problem, ...]:
    """What is wrong with a document; nothing where it is taken."""
    try:
        validate_policy(document)
    except InvalidPolicy as invalid:
        return invalid.problems or pytest.fail("refused without a reason")
    return ()


def problems(document: Any, kind: type[Strict] = Policy) -> list[str]:
    with pytest.raises(InvalidPolicy) as raised:
        validate_document(kind, document)
    return [str(problem) for problem in raised.value.problems]


def within(written: Any, read: Any) -> bool:
    """Whether what is written is in what was read, which has more: what holds by default."""
    if isinstance(written, dict):
        return all(key in read and within(value, read[key]) for key, value in written.items())
    if isinstance(written, list):
        return len(written) == len(read) and all(map(within, written, read))
    return bool(written == read)


def test_full_policy_is_read_as_it_is_written() -> None:
    policy = validate_policy(FULL)
    assert policy.spec.action is Action.WARN
    assert policy.spec.exceptions[0].expires == date(2027, 3, 31)
    assert within(FULL, to_builtins(policy))


def test_defaults_are_those_that_the_documentation_promises() -> None:
    spec = validate_policy(SMALLEST).spec
    assert (spec.action, spec.failurePolicy, spec.mutate, spec.exceptions) == ("Enforce", "Fail", [], [])
    assert (spec.match.operations, spec.match.accelerators, spec.match.kinds) == (
        ("CREATE", "UPDATE"),
        "Any",
        [],
    )
    assert spec.validate_[0].parameters == {}


NAME = "must be lower case letters, digits, '-' and '.', with a letter or digit at both ends"
DATE = "must be a date, such as 2027-03-31"

# Where something else is written (or nothing), and what is said; the path only where it is another.
MISTAKES = [
    ("kind", "Pod", 'must be Policy, not "Pod"', None),
    ("apiVersion", MISSING, "is required", None),
    ("spec", None, "must be a map, but has no value; give it one or leave the field out", None),
    ("spec.action", "WARN", 'must be one of Enforce, Warn, Audit, not "WARN"; did you mean "Warn"?', None),
    ("spec.action", 3, "must be one of Enforce, Warn, Audit, not the number 3", None),
    ("spec.action", None, "must be one of Enforce, Warn, Audit, but has no value", None),
    ("spec.validate_", [], 'unknown field "validate_"; did you mean "validate"?', None),
    ("spec.Mutate", [], 'unknown field "Mutate"; did you mean "mutate"?', None),
    ("metadata.zzz", {}, 'unknown field "zzz"; known here: name, labels, annotations', None),
    (
        "spec.match.name_space_selector",
        {},
        'unknown field "name_space_selector"; did you mean "namespaceSelector"?',
        None,
    ),
    ("spec.match.kinds", "Pod", 'must be a list, not "Pod"; write ["Pod"]', None),
    (
        "spec.match.kinds",
        "Pod, " * 20,
        (f"must be a list, not \"{'Pod, ' * 12}...\"; write each entry on a line with '- '"),
        None,
    ),
    ("spec.match.kinds", ["Pod", ""], "must not be empty", "spec.match.kinds[1]"),
    (
        "spec.match.kinds",
        [1.5],
        "must be a string, not the number 1.5; put it in quotes",
        "spec.match.kinds[0]",
    ),
    ("spec.match.kinds", {}, "must be a list, not a map", None),
    (
        "spec.match.operations[0]",
        "create",
        'must be one of CREATE, UPDATE, DELETE, CONNECT, *, not "create"; did you mean "CREATE"?',
        None,
    ),
    (
        "spec.match.objectSelector.matchExpressions[0].values",
        [],
        "operator In needs at least one value",
        "spec.match.objectSelector.matchExpressions[0]",
    ),
    (
        "spec.match.objectSelector.matchExpressions[1].values",
        ["x"],
        "operator DoesNotExist takes no values",
        "spec.match.objectSelector.matchExpressions[1]",
    ),
    (
        "spec.match.namespaceSelector.matchLabels",
        {"a": True},
        "must be a string, not true; put it in quotes",
        "spec.match.namespaceSelector.matchLabels.a",
    ),
    (
        "spec.match.namespaceSelector.matchLabels",
        {"x.io/a": 1},
        "must be a string, not the number 1; put it in quotes",
        "spec.match.namespaceSelector.matchLabels[x.io/a]",
    ),
    ("metadata.name", "UPPER", f'{NAME}, not "UPPER"', None),
    ("metadata.name", "a\n", f'{NAME}, not "a\\n"', None),
    (
        "metadata.name",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "must be no longer than 253 characters",
        None,
    ),
    (
        "spec.variables[0].name",
        "1st",
        "must be a CEL identifier: letters, digits and '_', not starting with a digit, not \"1st\"",
        None,
    ),
    (
        "spec.validate[1].reason",
        "No Reason",
        (
            "must be lower case letters, digits and '-', with a letter or digit at both ends, not "
            '"No Reason"'
        ),
        None,
    ),
    ("spec.validate[0]", {}, "needs a `rule` or an `expression`", None),
    ("spec.mutate[0]", "labels", 'must be a map, not "labels"; its fields are rule, parameters', None),
    (
        "spec.validate[0].subject",
        "Pod",
        "`subject` goes with `expression`, not with `rule`",
        "spec.validate[0]",
    ),
    (
        "spec.validate[1].parameters",
        {"a": 1},
        "`parameters` go with `rule`, not with `expression`",
        "spec.validate[1]",
    ),
    ("spec.exceptions[0].expires", "31.3.2027", f'{DATE}, not "31.3.2027"', None),
    ("spec.exceptions[0].expires", "2027-03-31T12:00:00Z", f'{DATE}, not "2027-03-31T12:00:00Z"', None),
    ("spec.exceptions[0].expires", "2027-03-31T00:00:00Z", f'{DATE}, not "2027-03-31T00:00:00Z"', None),
    ("spec.exceptions[0].expires", 20270331, "must be a date, not the number 20270331", None),
    ("spec.exceptions[0].reason", MISSING, "is required", None),
    ("spec.exceptions[0].reson", "x", 'unknown field "reson"; did you mean "reason"?', None),
    ("spec", {"mutate": [], "validate": []}, "needs at least one rule under `mutate` or `validate`", None),
    ("spec", {"mutate": [{"rle": "x"}]}, 'unknown field "rle"; did you mean "rule"?', "spec.mutate[0].rle"),
]


@pytest.mark.parametrize(
    ("field", "value", "message", "at"),
    MISTAKES,
    ids=[f"{m[0]} {'absent' if m[1] is MISSING else repr(m[1]):.30}" for m in MISTAKES],
)
def test_mistake_is_told_in_plain_words(field: str, value: Any, message: str, at: str | None) -> None:
    assert problems(with_change(parse(field), value)) == [f"{at or field}: {message}"]


def test_all_mistakes_are_told_at_once() -> None:
    document = with_change(("spec", "action"), "warn")
    document["spec"]["match"]["kind"] = []
    document["metadata"]["name"] = 1
    assert len(problems(document)) == 3


@pytest.mark.parametrize("document", [None, [], "text", 1, True], ids=repr)
def test_what_is_no_map_is_no_policy(document: Any) -> None:
    (message,) = problems(document)
    assert message.startswith("must be a map, ")


def test_what_json_cannot_say_is_no_policy() -> None:
    assert problems({"spec": {1, 2}})[0].startswith("cannot be written as JSON: ")


def test_catalog_and_case_are_documents_too() -> None:
    metadata = {"apiVersion": "gpuward.dev/v1alpha1", "metadata": {"name": "x"}}
    assert validate_document(AcceleratorCatalog, {**metadata, "kind": "AcceleratorCatalog", "spec": {}})
    assert validate_document(
        PolicyCase, {**metadata, "kind": "PolicyCase", "spec": {"expect": "allow", "object": {}}}
    )
    broken = {
        **metadata,
        "kind": "AcceleratorCatalog",
        "spec": {"accelerators": [{"name": "x", "taints": "a"}]},
    }
    (message,) = problems(broken, AcceleratorCatalog)
    assert message == 'spec.accelerators[0].taints: must be a list, not "a"; write ["a"]'


def test_models_cannot_be_changed() -> None:
    policy = validate_policy(SMALLEST)
    with pytest.raises(AttributeError, match="immutable"):
        policy.spec.action = Action.AUDIT  # type: ignore[misc]  # the point of the test


def all_models() -> list[type[Strict]]:
    return [value for value in vars(model).values() if isinstance(value, type) and issubclass(value, Strict)]


@pytest.mark.parametrize("cls", all_models(), ids=lambda cls: cls.__name__)
def test_every_model_refuses_unknown_fields(cls: type[Strict]) -> None:
    with pytest.raises(InvalidPolicy) as raised:
        validate_document(cls, {"surely-unknown": 1})
    assert any(problem.on_key and problem.path == ("surely-unknown",) for problem in raised.value.problems)


any_json = json_values(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    st.text(max_size=5),
    most=3,
    leaves=6,
)


def all_paths(value: Any, path: Path = ()) -> list[Path]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in [(*path, key), *all_paths(item, (*path, key))]]


@given(st.sampled_from(all_paths(FULL)), any_json)
def test_any_value_anywhere_is_taken_or_refused_with_a_place(path: Path, value: Any) -> None:
    document = with_change(path, value)
    for problem in problems_of(document):
        # The place is in the document, or one step (a missing field) beyond it.
        assert lookup(document, problem.path[:-1]) is not MISSING
        assert "Input" not in problem.message
        assert "pydantic" not in str(problem)
