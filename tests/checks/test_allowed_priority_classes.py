"""allowed-priority-classes: the named classes, or none."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.allowed_priority_classes import AllowedPriorityClasses

from .pods import JUNK, judge, refused, spec, table, violations

CLASSES: dict[str, tuple[list[str], str, bool]] = {
    "by name": (["ml-high"], "ml-high", True),
    "another name": (["ml-high"], "ml-higher", False),
    "by glob": (["ml-*"], "ml-low", True),
    "not by glob": (["ml-*"], "html-x", False),
    "any": (["*"], "whatever", True),
    "a system class by name": (["system-node-critical"], "system-node-critical", True),
    "the other system class": (["system-node-critical"], "system-cluster-critical", False),
    "no system class by *": (["*"], "system-node-critical", False),
    "no system class by system-*": (["system-*"], "system-cluster-critical", False),
    "no system class by a glob beside other names": (["ml", "system-node-*"], "system-node-critical", False),
    "what begins otherwise is no system class": (["*"], "systematic", True),
    "none allowed": ([], "ml-high", False),
}


@table(CLASSES, "names, given, admitted")
def test_a_pod_has_an_allowed_class(names: list[str], given: str, admitted: bool) -> None:
    said = judge(AllowedPriorityClasses, spec(priorityClassName=given), {"names": names})
    assert said == ([] if admitted else [("priority-class-not-allowed", "spec.priorityClassName")])


ABSENT: dict[str, tuple[Any]] = {"absent": ({},), "empty": ({"priorityClassName": ""},)}


@table(ABSENT, "fields")
def test_no_class_is_fine_unless_one_is_required(fields: Any) -> None:
    pod = spec(**fields)
    assert judge(AllowedPriorityClasses, pod, {"names": ["ml-*"]}) == []
    assert judge(AllowedPriorityClasses, pod, {"names": []}) == []
    assert judge(AllowedPriorityClasses, pod, {"names": ["ml-*"], "required": True}) == [
        ("priority-class-missing", "spec.priorityClassName")
    ]


@pytest.mark.parametrize("junk", [j for j in JUNK if j != "junk"])
def test_a_class_of_the_wrong_type_is_none(junk: Any) -> None:
    assert judge(AllowedPriorityClasses, spec(priorityClassName=junk), {"names": []}) == []


MESSAGES: dict[str, tuple[Any, Any, str]] = {
    "not allowed": (
        {"names": ["ml-low", "ml-high"]},
        {"priorityClassName": "urgent"},
        'the priority class "urgent" is not allowed here; write ml-low or ml-high, or leave it out',
    ),
    "not allowed and required": (
        {"names": ["ml-*"], "required": True},
        {"priorityClassName": "urgent"},
        'the priority class "urgent" is not allowed here; write ml-*',
    ),
    "none allowed": (
        {"names": []},
        {"priorityClassName": "urgent"},
        'the priority class "urgent" is not allowed here; remove it',
    ),
    "missing": (
        {"names": ["ml-low"], "required": True},
        {},
        "the pod names no priority class; write ml-low as priorityClassName",
    ),
}


@table(MESSAGES, "parameters, fields, message")
def test_the_message_says_what_to_write(parameters: Any, fields: Any, message: str) -> None:
    assert [v.message for v in violations(AllowedPriorityClasses, spec(**fields), parameters)] == [message]


BAD_PARAMETERS: dict[str, tuple[Any, str]] = {
    "required and none allowed": ({"names": [], "required": True}, "names"),
    "an empty name": ({"names": ["ml", ""]}, "names[1]"),
}


@table(BAD_PARAMETERS, "parameters, field")
def test_parameters_that_cannot_be_meant_are_refused(parameters: Any, field: str) -> None:
    assert refused(AllowedPriorityClasses, parameters).field == field
