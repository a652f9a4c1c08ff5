"""What this package relies on in the library that runs it, and what it keeps from going wrong there."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from webhook.policy.cel import (
    CelEvaluationError,
    Environment,
    Scope,
    bounds,
    engine,
    expansion,
    formatting,
    library,
    tree,
)
from webhook.policy.cel.celtype import BOOL, STRING
from webhook.policy.cel.functions import MARK, Overload, python_callable

from .evaluating import POD, evaluate


def test_the_library_is_imported_when_the_first_expression_is_compiled() -> None:
    program = (
        "import sys; from webhook.policy.cel import Environment, Scope; Scope(object={}); e = Environment();"
        "assert 'cel_expr_python' not in sys.modules; e.compile('true'); assert 'cel_expr_python' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the process's memory from /proc")
def test_memory_does_not_grow_over_a_hundred_thousand_evaluations() -> None:
    environment = Environment([("names", "object.spec.containers.map(c, c.name)")])
    programs = [
        environment.compile(expression, "any")
        for expression in (
            "variables.names.size() == 2",
            "object.spec.containers.all(c, has(c.image))",
            "object.nope",
            "quantity('1Gi').add(1).asInteger()",
            "object.metadata.name.find('[a-z]+')",
            "'%s'.format([object.metadata.labels])",
            "[dyn(null), dyn(object), dyn(1.5)]",
            "request.name",
        )
    ]

    def evaluate_all(times: int) -> None:
        for _ in range(times):
            scope = Scope(object=POD, request={"name": "n"})
            for program in programs:
                # An error is as likely to leak as a value.
                with suppress(CelEvaluationError):
                    program.evaluate(scope)

    evaluate_all(500)
    gc.collect()
    before = _resident_bytes()
    evaluate_all(12_500)
    gc.collect()
    # A leak of a hundred bytes an evaluation would be ten megabytes.
    assert _resident_bytes() - before < 8_000_000


def test_a_scope_used_a_hundred_thousand_times_stays_small() -> None:
    program = Environment().compile("object.spec.containers.all(c, c.name.size() > 0)")
    scope = Scope(object=POD)
    for _ in range(100_000):
        assert program.evaluate(scope) is True


def test_nulls_lose_no_reference_to_none() -> None:
    """The library hands out None without counting it, which on Python 3.11 ends the process after a while."""
    program = Environment().compile("[dyn(null), dyn({'a': null}), object]", "any")
    counted = sys.getrefcount(None)
    for _ in range(2_000):
        assert program.evaluate(Scope()) == [None, {"a": None}, None]
    assert sys.getrefcount(None) - counted > -1_000


def test_a_program_is_used_from_many_threads() -> None:
    program = Environment().compile(
        "object.n * 2 == object.twice && quantity(object.q).asInteger() == object.n"
    )
    answers: set[bool] = set()

    def work(n: int) -> None:
        for _ in range(300):
            answers.add(program.evaluate(Scope(object={"n": n, "twice": 2 * n, "q": str(n)})))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == {True}


@pytest.mark.parametrize(
    "expression",
    [
        "object.labels.map(k, k).join(',')",
        "object.labels.map(k, k != 'label-3', object.labels[k]).join(',')",
        "object.labels.filter(k, k != 'label-3').join(',')",
        "object.labels.transformList(k, v, k + v).join(',')",
        "object.labels.transformList(k, v, k != 'label-3', k + v).join(',')",
        "'%s'.format([object.labels])",
        "'%s'.format([object.labels.map(k, k)])",
    ],
)
def test_the_same_gives_the_same(expression: str) -> None:
    """The library has the keys of a map in another order every time."""
    labels = {f"label-{n}": str(n) for n in range(50)}
    values = {evaluate(expression, "string", Scope(object={"labels": labels})) for _ in range(5)}
    assert len(values) == 1
    assert values.pop().count("label-7") in (0, 1)


def test_a_map_comes_out_in_the_order_of_its_keys() -> None:
    assert list(evaluate("object", scope=Scope(object={"b": 1, "c": 2, "a": 3}))) == ["a", "b", "c"]


_WRITTEN_IN_CEL = sorted(
    {
        *(overload.cel for overload in library.OVERLOADS_BY_ID.values() if overload.cel),
        *(entry.dynamic for entry in library.FUNCTIONS if entry.dynamic),
        *bounds.BOUNDED.values(),
        *bounds.BOUNDED_IN_LOOP.values(),
        bounds.OPERAND_IN_LOOP,
        formatting.UNKNOWN_ARGUMENTS,
    }
)


@pytest.mark.parametrize("cel", _WRITTEN_IN_CEL)
def test_a_function_written_in_cel_compiles_and_evaluates_each_operand_once(cel: str) -> None:
    checked = tree.decode(engine.runtime().compile(cel).serialize())
    operands = [
        node.name
        for node in tree.walk(checked.expr)
        if isinstance(node, tree.Ident) and node.name in engine.OPERANDS
    ]
    assert sorted(operands) == sorted(set(operands)) == list(engine.OPERANDS[: len(operands)])


@pytest.mark.parametrize(
    "expression",
    [
        "object.metadata.name.find('a') != object.metadata.name.find('t')",
        "[[3, 1], [2]].map(l, l.min()).max() == 2",
        "['a'].indexOf(['a', 'b'].filter(l, ['a'].indexOf(l) == 0)[0]) == 0",
        "[1, 2].map(v, [v].indexOf(v)) == [0, 0]",
        "[1, 2].map(i, [5, i].indexOf(i)) == [1, 1]",
        "[1, 2].map(x, [x, x].sum()) == [2, 4]",
        "[[1]].all(result, result.sum() == 1)",
        "'a-b'.split('-').map(s, s.replace('a', s)).size() == 2",
    ],
)
def test_a_function_written_in_cel_hides_no_name_of_the_expression(expression: str) -> None:
    assert evaluate(expression, "bool") is True


def test_a_tree_survives_writing_and_reading() -> None:
    expression = (
        "[1, -2, 3u, 1.5, 'é', b'x', true, null].size() == 8 && {'a': 1, ?'b': object.?x}.a == 1 && "
        "has(object.y) && [?object.?x].size() == 0 && object.z[0].all(i, v, i < v) && -object.w == !true"
    )
    checked = tree.decode(engine.runtime().compile(expression).serialize())
    again = tree.decode(tree.encode(checked.expr))
    assert repr(_without_ids(again.expr)) == repr(_without_ids(checked.expr))


def _without_ids(expr: tree.Expr) -> tree.Expr:
    def clear(node: tree.Expr) -> tree.Expr:
        if isinstance(node, tree.Struct):
            node = replace(node, entries=tuple(replace(entry, id=0) for entry in node.entries))
        return replace(tree.map_children(node, clear), id=0)

    return clear(expr)


def test_a_kubernetes_value_never_shows_its_run_time_form() -> None:
    for expression in (
        "string(ip('::1'))",
        "string(cidr('10.0.0.0/8').masked())",
        "url('https://a/b').getHost()",
        "[quantity('1')].map(q, q.asInteger())",
        "format.named('dns1123Label').hasValue()",
    ):
        assert MARK not in str(evaluate(expression))


def test_a_python_function_gives_no_string_the_library_would_cut() -> None:
    call = python_callable(Overload("x", (STRING,), STRING, python=lambda text: text + "\0"), library.OPAQUES)
    with pytest.raises(Exception, match="NUL"):
        call("a")
    assert (
        python_callable(Overload("x", (STRING,), BOOL, python=lambda text: True), library.OPAQUES)("a")
        is True
    )


@pytest.mark.parametrize(
    ("expression", "reads"),
    [
        ("object.spec.x", False),
        ("object.metadata.name", False),
        ("has(object.metadata)", False),
        ("has(object.metadata.labels)", False),
        ("object.?spec.x", True),
        ("object.metadata", True),
        ("object.metadata.managedFields", True),
        ("oldObject['metadata']", True),
        ("object", True),
        ("params.object.metadata", False),
    ],
)
def test_which_expressions_need_managed_fields(expression: str, reads: bool) -> None:
    compiled = tree.decode(engine.runtime().compile(expression).serialize())
    assert expansion.reads_managed_fields(compiled.expr) is reads
