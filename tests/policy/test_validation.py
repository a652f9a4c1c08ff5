"""Parameters of rules, and pydantic's errors in words of our own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, get_args

import pytest
from msgspec import field
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import PydanticKnownError, core_schema

from webhook.kube.path import Path
from webhook.kube.pod import Pod
from webhook.policy.constraints import Ge, Le, MaxLen, MinLen, Pattern
from webhook.policy.findings import Violation
from webhook.policy.mistakes import _in_our_words
from webhook.policy.problems import InvalidPolicy, Problem, did_you_mean
from webhook.policy.rule import Check, NoParameters, ParameterError, Rule
from webhook.policy.strict import Strict
from webhook.policy.validation import validate_parameters


class Color(StrEnum):
    RED = "red"
    GREEN = "green"


class Inner(Strict, frozen=True):
    cpu: str = ""
    count: int | None = None


class Parameters(Strict, frozen=True, kw_only=True):
    names: tuple[str, ...] = ()
    inner: Inner | None = None
    inners: tuple[Inner, ...] = ()
    quantity: str | int | float | None = None
    either: Inner | str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    few: Annotated[tuple[str, ...], MinLen(1), MaxLen(2)] = ("a",)
    color: Color = Color.RED
    on: bool = False
    share: Annotated[float, Ge(0), Le(1)] = 0.5
    odd: Annotated[int, Field(gt=0, lt=10)] = 1
    even: Annotated[int, Field(multiple_of=2)] = 2
    keys: Mapping[Annotated[str, Pattern("^[a-z]+$")], int] = field(default_factory=dict)
    kind: Literal["a"] = "a"
    unique: frozenset[str] = frozenset()
    anything: Any = None


class Needy(Strict, frozen=True, kw_only=True, rename={"unusualName": "unusual-name"}):
    must: str
    """Required."""
    unusualName: str = ""  # noqa: N815 - as fields of Kubernetes are written

    def __post_init__(self) -> None:
        if self.must == "no":
            raise ParameterError("must not be no", "must")
        if self.must == "never":
            raise ParameterError("not this way", "list[0].deep")


def rule(parameters: type[Any]) -> type[Rule]:
    class Example(Check):
        name = "example"
        title = "An example"
        Parameters = parameters

        def __call__(self, pod: Pod) -> Iterable[Violation]:
            return ()

    return Example


WHERE: Path = ("spec", "validate", 0, "parameters")


def problems(data: Any, parameters: type[Any] = Parameters) -> list[Problem]:
    with pytest.raises(InvalidPolicy) as raised:
        validate_parameters(rule(parameters), data, WHERE)
    return list(raised.value.problems)


def test_parameters_are_read_into_the_dataclass() -> None:
    read = validate_parameters(
        rule(Parameters),
        {"names": ["a"], "inner": {"cpu": "1"}, "color": "green", "share": 1, "unique": ["x"], "quantity": 2},
        WHERE,
    )
    assert read == Parameters(
        names=("a",), inner=Inner("1"), color=Color.GREEN, share=1.0, unique=frozenset({"x"}), quantity=2
    )


MISTAKES = [
    ({"name": []}, "name", 'unknown field "name"; did you mean "names"?'),
    ({"names": "a"}, "names", 'must be a list, not "a"; write ["a"]'),
    ({"names": ["a", 1]}, "names[1]", "must be a string, not the number 1; put it in quotes"),
    ({"inner": "x"}, "inner", 'must be a map, not "x"; its fields are cpu, count'),
    ({"inner": {"cpuu": "1"}}, "inner.cpuu", 'unknown field "cpuu"; did you mean "cpu"?'),
    ({"inner": {"count": "3"}}, "inner.count", 'must be a whole number, not "3"; write it without quotes'),
    ({"inner": {"count": "three"}}, "inner.count", 'must be a whole number, not "three"'),
    ({"inner": {"count": 1.5}}, "inner.count", "must be a whole number, not the number 1.5"),
    ({"inner": {"count": True}}, "inner.count", "must be a whole number, not true"),
    ({"inners": [{}, {"x": 1}]}, "inners[1].x", 'unknown field "x"; known here: cpu, count'),
    ({"quantity": []}, "quantity", "must be a string or a number, not a list"),
    ({"quantity": False}, "quantity", "must be a string or a number, not false"),
    ({"either": 1}, "either", "must be a map or a string, not the number 1"),
    ({"either": {"cpuu": "1"}}, "either.cpuu", 'unknown field "cpuu"; did you mean "cpu"?'),
    ({"labels": {"a": None}}, "labels.a", "must be a string, but has no value; give it one or leave the field out"),
    ({"labels": ["a"]}, "labels", "must be a map, not a list"),
    ({"few": []}, "few", "must have at least 1 entry"),
    ({"few": ["a", "b", "c"]}, "few", "must have at most 2 entries"),
    ({"color": "Red"}, "color", 'must be one of red, green, not "Red"; did you mean "red"?'),
    ({"on": "true"}, "on", 'must be true or false, not "true"; write it without quotes'),
    ({"on": 1}, "on", "must be true or false, not the number 1"),
    ({"share": 2}, "share", "must be at most 1, not the number 2"),
    ({"share": -1}, "share", "must be at least 0, not the number -1"),
    ({"share": "0.5"}, "share", 'must be a number, not "0.5"; write it without quotes'),
    ({"odd": 0}, "odd", "must be greater than 0, not the number 0"),
    ({"odd": 10}, "odd", "must be less than 10, not the number 10"),
    ({"even": 3}, "even", "must be a multiple of 2, not the number 3"),
    ({"keys": {"A": 1}}, "keys.A", 'must match the pattern ^[a-z]+$, not "A"'),
    ({"kind": "b"}, "kind", 'must be a, not "b"'),
    ({"unique": {}}, "unique", "must be a list, not a map"),
    (None, "", "must be a map, but has no value; give it one or leave the field out"),
    ([], "", "must be a map, not a list"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "field", "message"), MISTAKES, ids=[str(data)[:40] for data, _, _ in MISTAKES]
)
def test_mistake_is_told_once_and_in_plain_words(data: Any, field: str, message: str) -> None:
    where = "spec.validate[0].parameters" + (f".{field}" if field else "")
    assert list(map(str, problems(data))) == [f"{where}: {message}"]


def test_key_at_fault_is_told_apart_from_its_value() -> None:
    assert [problem.on_key for problem in problems({"names": 1})] == [False]
    assert [problem.on_key for problem in problems({"nemes": 1})] == [True]
    assert [problem.on_key for problem in problems({"keys": {"A": 1}})] == [True]


def test_all_mistakes_are_told_at_once() -> None:
    found = problems({"names": 1, "inner": {"x": 1, "count": "1"}, "quantity": [], "either": [], "zz": 1})
    assert len(found) == 6


@pytest.mark.parametrize("data", [{"strict": True}, {"": 1}])
def test_rule_without_parameters_takes_none(data: Any) -> None:
    (problem,) = problems(data, NoParameters)
    assert problem.suggestion == "nothing can be set here"
    assert validate_parameters(rule(NoParameters), {}, WHERE) == NoParameters()


NEEDY = [
    pytest.param({}, ["must: is required"], id="missing"),
    pytest.param({"mst": "x"}, ['mst: unknown field "mst"; did you mean "must"?'], id="misspelt, and so not missing"),
    pytest.param(
        {"must": "x", "unusualName": "x"}, ['unusualName: unknown field "unusualName"; did you mean "unusual-name"?'],
        id="alias",
    ),
    pytest.param({"must": "no"}, ["must: must not be no"], id="refused by the parameters themselves"),
    pytest.param({"must": "never"}, ["list[0].deep: not this way"], id="refused with a path"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), NEEDY)
def test_parameters_can_be_missing_misspelt_or_refused(data: Any, expected: list[str]) -> None:
    assert [
        str(found).removeprefix("spec.validate[0].parameters.") for found in problems(data, Needy)
    ] == expected


CONTEXTS: dict[str, Any] = {
    "gt": 1, "ge": 1, "lt": 1, "le": 1, "multiple_of": 2, "min_length": 1, "max_length": 1, "pattern": "x",
    "expected": "x", "error": "x", "class_name": "X", "field_type": "List", "actual_length": 0, "expected_schemes": "x",
    "discriminator": "x", "tag": "x", "expected_tags": "x", "class": "X", "encoding": "utf-8", "encoding_error": "x",
    "expected_version": 4, "max_digits": 1, "decimal_places": 1, "whole_digits": 1, "tz_expected": 1, "tz_actual": 2,
    "method_name": "x", "attribute": "x", "mapping_type": "x", "nan": 1,
}  # fmt: skip


@pytest.mark.parametrize("kind", get_args(core_schema.ErrorType))
def test_no_error_of_pydantic_reaches_people_as_it_is(kind: str) -> None:
    if kind in ("value_error", "assertion_error"):
        return  # their text is ours
    message = _in_our_words(PydanticKnownError(kind, CONTEXTS).message())
    assert "should" not in message.split(" ")[:2]
    assert not message.startswith("input")


def test_errors_of_types_that_nothing_here_uses_are_still_readable() -> None:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(bytes).validate_json(b"[]", strict=True)
    message = _in_our_words(raised.value.errors()[0]["msg"])
    assert message == "must be a valid bytes"


SUGGESTIONS = [
    ("acton", ["action", "match"], 'did you mean "action"?'),
    ("ACTION", ["action"], 'did you mean "action"?'),
    ("match_labels", ["matchLabels"], 'did you mean "matchLabels"?'),
    ("acelerator-tolerations", ["accelerator-tolerations"], 'did you mean "accelerator-tolerations"?'),
    ("zzz", ["action", "match"], ""),
    ("", ["action"], ""),
    ("x", [], ""),
]


@pytest.mark.parametrize(("word", "known", "expected"), SUGGESTIONS)
def test_nearest_word_is_suggested(word: str, known: list[str], expected: str) -> None:
    assert did_you_mean(word, known) == expected


def test_suggesting_takes_no_time_on_a_very_long_word() -> None:
    assert did_you_mean("a" * 1_000_000, ["b" * 1_000_000, "action"]) == ""
