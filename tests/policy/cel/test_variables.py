"""Composed variables: ``variables.NAME``."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.policy.cel import CelCompileError, CelEvaluationError, Environment, Scope

from .evaluating import POD


def _evaluate(variables: list[tuple[str, str]], expression: str) -> Any:
    return (
        Environment(variables).compile(expression, "any").evaluate(Scope(object=POD, request={"name": "n"}))
    )


@pytest.mark.parametrize(
    ("variables", "expression", "value"),
    [
        ([("a", "1")], "variables.a", 1),
        ([("a", "1"), ("b", "variables.a + 1"), ("c", "variables.a + variables.b")], "variables.c", 3),
        ([("names", "object.spec.containers.map(c, c.name)")], "variables.names", ["main", "log"]),
        (
            [("names", "object.spec.containers.map(c, c.name)")],
            "object.spec.containers.all(c, c.name in variables.names)",
            True,
        ),
        (
            [("q", "quantity('1Gi')")],
            "variables.q.isGreaterThan(quantity('1G')) && variables.q == quantity('1024Mi')",
            True,
        ),
        ([("q", "[quantity('1'), quantity('2')]")], "variables.q.exists(q, q == quantity('2'))", True),
        ([("o", "object.?nope")], "variables.o.orValue('d')", "d"),
        ([("o", "object.?nope")], "has(variables.o) && !variables.o.hasValue()", True),
        (
            [("t", "timestamp('2020-01-01T00:00:00.000000001Z')")],
            "string(variables.t)",
            "2020-01-01T00:00:00.000000001Z",
        ),
        ([("u", "18446744073709551615u")], "variables.u == 18446744073709551615u", True),
        ([("n", "null")], "variables.n == null", True),
        ([("m", "{'a': {'b': 1}}")], "variables.m.a.b + variables.m['a']['b']", 2),
        ([("m", "{'a': 1}")], "has(variables.m.a) && !has(variables.m.b)", True),
        ([("r", "request.name")], "variables.r.size()", 1),
        ([("u", "request.userInfo")], "has(variables.u.username)", None),
        ([("x", "object.spec")], "variables.?x.replicas.orValue(0)", 2),
        ([("a", "1")], "[5].map(variables, variables + 1)", [6]),
        ([("label", "object.metadata.labels.team")], "variables.label == 'vision' ? 'y' : 'n'", "y"),
    ],
)
def test_a_variable_is_its_expression(variables: list[tuple[str, str]], expression: str, value: Any) -> None:
    if value is None:
        with pytest.raises(CelEvaluationError, match="no such key: userInfo"):
            _evaluate(variables, expression)
    else:
        assert _evaluate(variables, expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("true || variables.bad", True),
        ("variables.bad || true", True),
        ("false && variables.bad", False),
        ("has(object.nope) ? variables.bad : true", True),
        ("[].all(x, variables.bad)", True),
        ("variables.worse || true", True),
    ],
)
def test_a_variable_nobody_asks_for_is_not_evaluated(expression: str, value: bool) -> None:
    variables = [("bad", "1 / (size(object.spec.containers) - 2) == 1"), ("worse", "variables.bad")]
    assert _evaluate(variables, expression) is value


def test_a_variable_that_fails_fails_the_expression_that_asks_for_it() -> None:
    with pytest.raises(CelEvaluationError, match="division by zero"):
        _evaluate([("bad", "1 / (size(object.spec.containers) - 2) == 1")], "variables.bad")


def test_a_variable_is_evaluated_once_however_often_an_expression_asks_for_it() -> None:
    # 9,000 of the 10,000 loop steps an evaluation has: a second time would be too much.
    variables = [("costly", "lists.range(9000).all(x, x >= 0)"), ("same", "variables.costly")]
    environment = Environment(variables)
    program = environment.compile("variables.costly && variables.same && [1, 2, 3].all(x, variables.costly)")
    scope = Scope()
    assert program.evaluate(scope) is True
    assert program.evaluate(scope) is True


@pytest.mark.parametrize(
    ("variables", "variable", "message", "column"),
    [
        ([("a", "1 +")], "a", "variable 'a': syntax error: the expression ends too early", 4),
        (
            [("a", "1"), ("b", "'x' + variables.a")],
            "b",
            "variable 'b': found no matching overload for '_+_' applied to '(string, int)'",
            5,
        ),
        (
            [("a", "variables.b"), ("b", "1")],
            "a",
            "variable 'a': undefined variable 'b'; no variables are defined",
            10,
        ),
        (
            [("x", "1"), ("a", "variables.b"), ("b", "1")],
            "a",
            "variable 'a': undefined variable 'b'; a variable must be defined before it is used",
            10,
        ),
        ([("a", "variables.a")], "a", "variable 'a': undefined variable 'a'; no variables are defined", 10),
        (
            [("replicas", "1"), ("b", "variables.replica")],
            "b",
            "variable 'b': undefined variable 'replica'; did you mean 'replicas'?",
            10,
        ),
        ([("a", "1"), ("a", "2")], "a", "variable 'a': there is another variable of that name", 1),
        (
            [("a-b", "1")],
            "a-b",
            "variable 'a-b': a variable's name must be letters, digits and _, not beginning with a digit",
            1,
        ),
    ],
)
def test_a_bad_variable_is_named(
    variables: list[tuple[str, str]], variable: str, message: str, column: int
) -> None:
    with pytest.raises(CelCompileError) as caught:
        Environment(variables)
    error = caught.value
    assert (error.variable, error.message, error.column) == (variable, message, column)


def test_the_type_of_a_variable_is_known_where_it_is_used() -> None:
    environment = Environment([("n", "size(object.spec.containers)")])
    with pytest.raises(CelCompileError) as caught:
        environment.compile("object.a == 1 &&\n variables.n == 'x'")
    assert (caught.value.line, caught.value.column) == (2, 14)
    assert caught.value.message == "found no matching overload for '_==_' applied to '(int, string)'"


def test_environments_do_not_see_each_others_variables() -> None:
    assert Environment([("a", "1")]).compile("variables.a", "any").evaluate(Scope()) == 1
    assert Environment([("a", "2")]).compile("variables.a", "any").evaluate(Scope()) == 2
    with pytest.raises(CelCompileError):
        Environment().compile("variables.a", "any")
