"""An expression costs a bounded amount, whatever the object."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import json_values
from webhook.policy.cel import (
    MAX_EXPRESSION_LENGTH,
    CelCompileError,
    CelEvaluationError,
    Environment,
    Scope,
    budget,
)

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


_COMPARED = "more is compared than the expression may: objects or lists that large, too often"
_READ = "more is searched and changed in loops than the expression may"
_LONG = "a text that long is looked for in a text that long"
_GIVEN = "functions are given more text than the expression may"
_MADE = "more is put together in loops than the expression may"

# Nearly a megabyte: long lists of small maps, maps of texts, and a long text.
LARGE: dict[str, Any] = {
    "containers": [{"name": f"c{i}", "image": "x" * 20} for i in range(9900)],
    "maps": [{f"k{i}": "v" * 30 for i in range(40)} for _ in range(300)],
    "big": "ab" * 300_000,
    "part": "ab" * 30_000,
    "needle": "ab" * 15_000 + "c",
    "url": "http://a/" + "b" * 600_000,
    "base64": "QUFB" * 150_000,
    "n": list(range(900)),
}

COSTLY = {
    "==": ("object.containers.all(c, object.containers == oldObject.containers)", _COMPARED),
    "!=": ("!object.n.exists(n, object.maps != oldObject.maps)", _COMPARED),
    "== of everything": ("object.n.all(n, object == oldObject)", _COMPARED),
    "== of what is made": ("object.n.all(n, [object, object] == [oldObject, oldObject])", _COMPARED),
    "== of maps that are made": ("object.n.all(n, {'a': object} == {'a': oldObject})", _COMPARED),
    "== of variables": ("object.n.all(n, variables.all == oldObject.containers)", _COMPARED),
    "in": ("object.n.all(n, object.maps in [oldObject.maps])", _COMPARED),
    "in a long list": ("object.maps.all(a, object.n.all(n, a in oldObject.maps))", _COMPARED),
    "indexOf": ("object.n.all(n, [object.maps].indexOf(oldObject.maps) == 0)", _COMPARED),
    "lastIndexOf": ("object.n.all(n, [object.maps].lastIndexOf(oldObject.maps) == 0)", _COMPARED),
    "sets.contains": ("sets.contains(object.maps, oldObject.maps)", _COMPARED),
    "sets.equivalent": ("object.n.all(n, sets.equivalent([object.maps], [oldObject.maps]))", _COMPARED),
    "sets.intersects": ("object.n.all(n, sets.intersects([object.maps], [oldObject.maps]))", _COMPARED),
    "distinct": ("object.maps.distinct().size() > 0", _COMPARED),
    "distinct in a loop": (
        "object.n.all(n, [object.maps, oldObject.maps].distinct().size() == 1)",
        _COMPARED,
    ),
    "+ of texts": ("object.n.map(n, object.big + object.big).size() > 0", _MADE),
    "+ of what is bound": ("object.n.map(n, cel.bind(x, object.big, x + x)).size() > 0", _MADE),
    "== of optionals": ("object.n.all(n, object.?maps == oldObject.?maps)", _COMPARED),
    "an optional in a list": ("object.n.all(n, object.?maps in [oldObject.?maps])", _COMPARED),
    "url": ("object.n.all(n, url('http://a/' + object.big).getHost() == 'a')", _GIVEN),
    "quote": ("object.n.map(n, strings.quote(object.big)).size() > 0", _MADE),
    "url of a long text": ("object.n.all(n, url(object.url).getHost() == 'a')", _GIVEN),
    "isURL": ("object.n.all(n, isURL(object.url))", _GIVEN),
    "semver": ("object.n.all(n, !isSemver(object.big))", _GIVEN),
    "+ of several": ("object.n.map(n, 'a' + object.big + 'b' + object.big).size() > 0", _MADE),
    "+ of lists": ("object.n.map(n, object.containers + object.containers).size() > 0", _MADE),
    "replace": ("object.n.map(n, object.part.replace('a', 'bbb')).size() > 0", _MADE),
    "upperAscii": ("object.n.map(n, object.part.upperAscii()).size() > 0", _MADE),
    "split": ("object.n.map(n, object.part.split('')).size() > 0", _MADE),
    "join": ("object.n.map(n, [object.big, object.big].join(',')).size() > 0", _MADE),
    "format": ("object.n.map(n, '%s'.format([object.big])).size() > 0", _MADE),
    "string": ("object.n.map(n, string(object.big)).size() > 0", _MADE),
    "bytes": ("object.n.all(n, bytes(object.big) == bytes(oldObject.big))", _MADE),
    "base64": ("object.n.map(n, base64.encode(bytes(object.big))).size() > 0", _MADE),
    "base64.decode": ("object.n.map(n, base64.decode(object.base64)).size() > 0", _MADE),
    "matches": ("object.n.all(n, object.n.all(m, m > 9 || !object.part.matches('(a|b)*c$')))", _READ),
    "contains": ("object.n.all(n, object.n.all(m, m > 9 || !object.part.contains('ac')))", _READ),
    "a long text is looked for": ("object.n.all(n, !object.part.contains(object.needle))", _LONG),
    "a place is looked for": ("object.n.all(n, object.part.indexOf(object.needle) < 0)", _LONG),
    "a separator is looked for": ("object.n.all(n, object.part.split(object.needle).size() == 1)", _LONG),
    "a long text in a longer, once": ("object.big.contains(oldObject.big + 'c' + object.big)", _LONG),
    "find": ("object.n.all(n, object.n.all(m, m > 9 || object.part.find('c') == ''))", _READ),
    "sort": ("object.n.all(n, object.n.all(m, m > 9 || object.n.sort()[0] == 0))", _READ),
    "size": ("object.n.all(n, object.big.size() > 0)", _READ),
}


@pytest.mark.parametrize(("expression", "message"), COSTLY.values(), ids=COSTLY)
def test_what_would_cost_too_much_in_a_loop_ends_with_an_error(expression: str, message: str) -> None:
    """Without the bounds each takes from ten seconds to hours, or gigabytes."""
    program = Environment([("all", "object.containers")]).compile(expression)
    with pytest.raises(CelEvaluationError) as caught:
        program.evaluate(Scope(object=LARGE, old_object=copy.deepcopy(LARGE)))
    assert caught.value.message in (message, "the expression takes more than 10000 loop steps")


_POD = {
    "containers": [
        {"name": f"c{i}", "image": "registry.example/train:1", "resources": {"limits": {"cpu": "1"}}}
        for i in range(90)
    ],
    "data": {f"k{i}": "v" * 1000 for i in range(500)},
    "n": list(range(1000)),
}


@pytest.mark.parametrize(
    "expression",
    [
        "object.containers.all(c, oldObject.containers.exists(o, o == c))",
        "object.containers.all(c, c in oldObject.containers)",
        "object.containers.all(c, c.resources == oldObject.containers[0].resources)",
        "object.data.all(k, object.data[k] == oldObject.data[k])",
        "object.containers.all(c, object.containers == oldObject.containers)",
        "object.containers.map(c, c.name + '=' + c.image).join(',').size() > 90",
        "object.containers.distinct().size() == 90",
        "sets.equivalent(object.containers, oldObject.containers)",
        "object.data.all(k, object.data[k].contains('v') && object.data[k].size() == 1000)",
        "object.n.all(i, i in oldObject.n)",
        "object.n.map(i, string(i)).join('').size() > 0",
        "object == oldObject",
    ],
)
def test_what_people_write_is_far_within_the_bounds(expression: str) -> None:
    assert evaluate(expression, scope=Scope(object=_POD, old_object=copy.deepcopy(_POD))) is True


def test_an_evaluation_leaves_nothing_of_its_budget_to_the_next() -> None:
    scope = Scope(object=LARGE, old_object=copy.deepcopy(LARGE))
    costly = Environment().compile("object.n.all(n, object == oldObject)")
    for _ in range(2):
        with pytest.raises(CelEvaluationError, match="more is compared"):
            costly.evaluate(scope)
        assert Environment().compile("[1].all(x, object == oldObject)").evaluate(scope) is True


values = json_values(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text("ab", max_size=3),
    st.text("ab", max_size=2),
    most=3,
    leaves=8,
)


@pytest.mark.parametrize("compared", [50_000_000, 5_000], ids=["estimated", "weighed"])
@given(values, values)
def test_comparing_in_a_loop_is_comparing(compared: int, one: Any, other: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "MAX_COMPARED", compared)
        scope = Scope(object={"a": one, "b": other, "more": "x" * 10_000})
        for comparison in (
            "object.a == object.b",
            "object.a != object.b",
            "object.a in [object.b, object.a]",
            "object.a in [object.b]",
        ):
            alone = evaluate(comparison, scope=scope)
            assert evaluate(f"[1].all(x, {comparison})", scope=scope) is alone, comparison
