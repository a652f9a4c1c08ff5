"""required-labels: labels that must be there, with values of a certain form."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.required_labels import RequiredLabels
from webhook.kube.path import render
from webhook.kube.pod import Pod

from .pods import JUNK, Said, catalog, compiled, judge, refused, spec, table, violations

TEAM = {"labels": [{"key": "team"}]}
PATTERN = {"labels": [{"key": "team", "pattern": "[a-z]+"}]}
VALUES = {"labels": [{"key": "team", "allowedValues": ["vision", "speech"]}]}

PATH = "metadata.labels.team"
MISSING: Said = [("label-missing", PATH)]
VALUE: Said = [("label-value", PATH)]

CASES: dict[str, tuple[Any, Any, Said]] = {
    "there": (TEAM, {"team": "vision"}, []),
    "absent": (TEAM, {"app": "x"}, MISSING),
    "null": (TEAM, {"team": None}, MISSING),
    "empty": (TEAM, {"team": ""}, VALUE),
    "a number": (TEAM, {"team": 7}, VALUE),
    "a list": (TEAM, {"team": ["vision"]}, VALUE),
    "keys are compared exactly": (TEAM, {"Team": "vision"}, MISSING),
    "pattern matches": (PATTERN, {"team": "vision"}, []),
    "pattern matches the start only": (PATTERN, {"team": "vision2"}, VALUE),
    "pattern matches the end only": (PATTERN, {"team": "2vision"}, VALUE),
    "pattern and a trailing line break": (PATTERN, {"team": "vision\n"}, VALUE),
    "pattern decides on the empty value": ({"labels": [{"key": "team", "pattern": "x?"}]}, {"team": ""}, []),
    "pattern and a value longer than any label's": (PATTERN, {"team": "a" * 64}, VALUE),
    "pattern, absent": (PATTERN, {}, MISSING),
    "one of the values": (VALUES, {"team": "speech"}, []),
    "none of the values": (VALUES, {"team": "sales"}, VALUE),
    "values are compared exactly": (VALUES, {"team": "Vision"}, VALUE),
    "values and an unhashable": (VALUES, {"team": {"vision": 1}}, VALUE),
    "the empty value can be allowed": (
        {"labels": [{"key": "team", "allowedValues": ["", "vision"]}]},
        {"team": ""},
        [],
    ),
}


@table(CASES, "parameters, labels, said")
def test_a_required_label_is_there_with_a_fitting_value(parameters: Any, labels: Any, said: Said) -> None:
    assert judge(RequiredLabels, spec(), parameters, {"labels": labels}) == said


@pytest.mark.parametrize("junk", JUNK)
def test_labels_of_the_wrong_type_are_no_labels(junk: Any) -> None:
    assert judge(RequiredLabels, spec(), TEAM, {"labels": junk}) == MISSING


def test_every_label_is_reported_with_its_own_path() -> None:
    parameters = {"labels": [{"key": "team"}, {"key": "app.kubernetes.io/name"}, {"key": "owner"}]}
    assert judge(RequiredLabels, spec(), parameters, {"labels": {"owner": "me"}}) == [
        ("label-missing", "metadata.labels.team"),
        ("label-missing", "metadata.labels[app.kubernetes.io/name]"),
    ]


def test_in_a_workload_the_labels_of_the_template_count() -> None:
    pod = Pod({}, spec(), catalog(), metadata_path=("spec", "template", "metadata"))
    (violation,) = compiled(RequiredLabels, TEAM)(pod)
    assert render(violation.path) == "spec.template.metadata.labels.team"


MESSAGES: dict[str, tuple[Any, Any, str]] = {
    "missing": (TEAM, {}, 'the label "team" is missing; add it to the labels with a value'),
    "missing, pattern": (
        PATTERN,
        {},
        'the label "team" is missing; add it to the labels with a value that matches [a-z]+',
    ),
    "missing, values": (
        VALUES,
        {},
        'the label "team" is missing; add it to the labels with vision or speech',
    ),
    "empty": (TEAM, {"team": ""}, 'the label "team" has the value ""; write a value'),
    "pattern": (
        PATTERN,
        {"team": "V2"},
        'the label "team" has the value "V2"; write a value that matches [a-z]+',
    ),
    "values": (VALUES, {"team": "x"}, 'the label "team" has the value "x"; write vision or speech'),
    "a number": (TEAM, {"team": 7}, 'the label "team" is not text; put its value in quotes: "7"'),
}


@table(MESSAGES, "parameters, labels, message")
def test_the_message_says_what_to_write(parameters: Any, labels: Any, message: str) -> None:
    assert [v.message for v in violations(RequiredLabels, spec(), parameters, {"labels": labels})] == [
        message
    ]


BAD_PARAMETERS: dict[str, tuple[Any, str, str]] = {
    "pattern that is none": (
        {"key": "team", "pattern": "["},
        "labels[1].pattern",
        "not a regular expression",
    ),
    "pattern and values": (
        {"key": "team", "pattern": "a", "allowedValues": ["a"]},
        "labels[1].pattern",
        "either pattern or allowedValues",
    ),
    "a key no label can have": ({"key": "my team"}, "labels[1].key", "cannot be the key"),
    "a key with two slashes": ({"key": "a/b/c"}, "labels[1].key", "cannot be the key"),
    "a value no label can have": (
        {"key": "team", "allowedValues": ["two words"]},
        "labels[1].allowedValues",
        "cannot be the value",
    ),
    "the same key again": ({"key": "app"}, "labels[1].key", "demanded twice"),
}


@table(BAD_PARAMETERS, "label, field, message")
def test_parameters_that_cannot_be_meant_are_refused(label: Any, field: str, message: str) -> None:
    error = refused(RequiredLabels, {"labels": [{"key": "app"}, label]})
    assert error.field == field
    assert message in str(error)
