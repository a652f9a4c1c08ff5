"""An expression costs a bounded amount, whatever the object."""

from __future__ import annotations

import pytest

from webhook.policy.cel import MAX_EXPRESSION_LENGTH, CelCompileError, CelEvaluationError, Environment, Scope

from .evaluating import evaluate


def _loops(depth: int) -> str:
    return "[1].all(x, " * depth + "true" + ")" * depth


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("true" + " " * MAX_EXPRESSION_LENGTH, "the expression is 16388 characters long; 16384 is the most"),
        ("(" * 40 + "true" + ")" * 40, "the expression is nested more than 32 levels deep"),
        ("+".join(["'a'"] * 40) + " == ''", "the expression is nested more than 32 levels deep"),
        ("object" + ".a" * 40, "the expression is nested more than 32 levels deep"),
        (_loops(5), "loops such as all() and map() are nested more than 4 deep"),
        ("object" + ".find('a')" * 20 + " == ''", "the expression's functions are nested too deeply"),
        ("'%.200f'.format([1.0]) == ''", "a formatting clause's precision may be 100 at most"),
    ],
    ids=["length", "parentheses", "sum", "fields", "loops", "functions", "precision"],
)
def test_an_expression_that_is_too_large_is_refused_at_load(expression: str, message: str) -> None:
    with pytest.raises(CelCompileError) as caught:
        Environment().compile(expression)
    assert caught.value.message == message


@pytest.mark.parametrize(
    "expression",
    [
        "true" + " " * (MAX_EXPRESSION_LENGTH - 4),
        "(" * 20 + "true" + ")" * 20,
        " && ".join(["true"] * 1000),
        " || ".join(["object.a == 1"] * 500 + ["true"]),
        _loops(4),
        "[[1].all(x, true), [2].all(x, true)].all(x, [1].all(y, x))",
        "[1].map(x, x).map(x, x).map(x, x).map(x, x).map(x, x).map(x, x).size() == 1",
    ],
    ids=["length", "parentheses", "and", "or", "loops", "side by side", "one after the other"],
)
def test_an_expression_that_is_large_is_not(expression: str) -> None:
    assert evaluate(expression, scope=Scope(object={"a": 2})) is True


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("object.n.all(x, object.n.all(y, true))", "the expression takes more than 10000 loop steps"),
        ("object.n.map(x, x)", "map() and filter() over more than 1000 elements are not supported"),
        ("object.n.filter(x, true)", "map() and filter() over more than 1000 elements are not supported"),
        (
            "object.n.transformList(i, x, x)",
            "map() and filter() over more than 1000 elements are not supported",
        ),
        ("object.n.sortBy(x, -x)", "map() and filter() over more than 1000 elements are not supported"),
        ("lists.range(object.huge)", "lists.range() of more than 10000 elements"),
        (
            "object.text.replace('a', object.text).size()",
            "replace() may make more than 4000000 characters here",
        ),
        (
            "object.text.replace('a', object.text, 9999).size()",
            "replace() may make more than 4000000 characters here",
        ),
    ],
)
def test_an_object_that_would_cost_too_much_is_an_error(expression: str, message: str | None) -> None:
    scope = Scope(
        object={
            "n": list(range(2000)),
            "many": list(range(6000)),
            "keys": {str(n): n for n in range(5000)},
            "huge": 2**40,
            "text": "a" * 100_000,
        }
    )
    if message is None:
        assert evaluate(expression, scope=scope) is True
        return
    with pytest.raises(CelEvaluationError) as caught:
        evaluate(expression, scope=scope)
    assert caught.value.message == message


def test_too_many_loop_steps_are_no_answer_even_where_another_is_known() -> None:
    with pytest.raises(CelEvaluationError, match="10000 loop steps"):
        evaluate(
            "object.n.all(x, object.n.all(y, true)) || true", scope=Scope(object={"n": list(range(2000))})
        )


def test_what_stays_within_the_limits_is_answered() -> None:
    scope = Scope(object={"n": list(range(1000)), "text": "ab" * 1000})
    assert evaluate("object.n.map(x, x * 2).sum()", scope=scope) == 999_000
    assert evaluate("lists.range(10000).size()", scope=scope) == 10_000
    assert evaluate("object.text.replace('a', 'xyz').size()", scope=scope) == 4_000
    assert evaluate("object.text.findAll('a').size()", scope=scope) == 1_000


def test_a_pattern_takes_linear_time() -> None:
    assert evaluate("object.matches('^(a+)+$')", scope=Scope(object="a" * 50_000 + "b")) is False
    assert evaluate("object.find('(a*)*b')", scope=Scope(object="a" * 5_000)) == ""
