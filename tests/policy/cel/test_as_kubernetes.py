"""Every function, operator and macro against what the API server's own code makes of the same expression.

``kubernetes/recorded.jsonl`` was written by ``kubernetes/main.go`` (``go run .`` there writes it anew) with the CEL
packages of Kubernetes 1.36. Its expressions are those of Kubernetes' tests, those of the documentation, and a random
choice of mutated addresses, URLs, versions, quantities, names and texts.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from webhook.policy.cel import CelCompileError, CelEvaluationError, Environment, Scope, engine, library, tree

_FOLDER = Path(__file__).parent / "kubernetes"

# Where this package gives another answer, with the reason. Each is an error that says so, or gives what Kubernetes does
# not have; none is another value, but for those marked so.
_DIFFERENCES = {
    "the library cannot build maps in a loop": [
        "object.metadata.labels.transformMap(k, v, v + k)",
        "object.metadata.labels.transformMap(k, v, k == 'a', v + k)",
        "object.metadata.labels.transformMapEntry(k, v, {v: k})",
        "{'a': 1, 'b': 2}.transformMap(k, v, v + 1)",
        "{'a': 1, 'b': 2}.transformMap(k, v, v < 5, v + 1)",
        "{'a': 1, 'b': 2}.transformMapEntry(k, v, v < 5, {k: v + 1})",
        "{'a': 1, 'b': 2}.transformMapEntry(k, v, {k: v + 1})",
    ],
    "Kubernetes' types have no names here": [
        'type(cidr("192.168.0.0/24")) == net.CIDR',
        'type(ip("192.168.0.1")) == net.IP',
    ],
    "%e is written differently": ["'%e'.format([1.5])"],
    "%s of what is nested in lists and maps is written differently": [
        "'%s'.format([object.spec])",
        "'%s'.format([object.spec.containers])",
        "'%s'.format([[[1],[2]]])",
        "'%s'.format([[[]]])",
        "'%s'.format([[b'a']])",
        "'%s'.format([[duration('1.5s')]])",
        "'%s'.format([[1.5, 2.0, 'x']])",
    ],
    "%f takes numbers only": ["'%f'.format(['NaN'])"],
    "a precision is bounded": ["'%.200f'.format([1.0])"],
    "a floating point index": ["object.l[?0.0].orValue(5)"],
    "strings.reverse() is an addition": ["'gums'.reverse()"],
    "a field's name in backticks is an addition": [
        "object.`s`",
        "object.metadata.labels.`a`",
        "has(object.metadata.labels.`a`)",
    ],
    "int() of a duration, nanoseconds in Kubernetes": ["int(duration('90s'))"],
    "another value: a timestamp does not remember its zone": [
        "string(timestamp('2020-01-01T02:00:00+02:00'))"
    ],
}
_KNOWN = {expression for expressions in _DIFFERENCES.values() for expression in expressions}


_QUANTITY_TEXT = re.compile(r'uantity\("[+-]?\.?(?![0-9.])')


def _has_quantity_without_digits(expression: str) -> bool:
    """Kubernetes reads ``k``, ``-`` or ``e3`` as zero, against its own documentation."""
    return _QUANTITY_TEXT.search(expression) is not None


def _recorded() -> list[dict[str, Any]]:
    with (_FOLDER / "recorded.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _same(left: Any, right: Any) -> bool:
    """Equality that knows 1 from 1.0 and from true."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    return bool(left == right)


def _outcome(environment: Environment, scope: Scope, expression: str) -> dict[str, Any]:
    try:
        return {"value": environment.compile(expression, "any").evaluate(scope)}
    except CelCompileError as error:
        return {"compile": error.message}
    except CelEvaluationError as error:
        return {"error": error.message}


def _agree(kubernetes: dict[str, Any], here: dict[str, Any]) -> bool:
    if "value" in kubernetes:
        return "value" in here and _same(kubernetes["value"], here["value"])
    if "error" in kubernetes:
        # A literal that cannot be converted is found when the expression is loaded.
        return "value" not in here
    return "compile" in here


def test_every_recorded_expression_gives_what_kubernetes_gives() -> None:
    inputs = json.loads((_FOLDER / "inputs.json").read_text(encoding="utf-8"))
    scope = Scope(
        object=inputs["object"],
        request=inputs["request"],
        namespace_object=inputs["namespaceObject"],
        params=None,
    )
    environment = Environment()
    unexpected, known = [], set()
    for kubernetes in _recorded():
        expression = kubernetes["expression"]
        here = _outcome(environment, scope, expression)
        if _agree(kubernetes, here):
            continue
        if expression in _KNOWN:
            known.add(expression)
        elif not (_has_quantity_without_digits(expression) and here.get("value", False) is False):
            unexpected.append((expression, kubernetes, here))
    assert not unexpected, "\n".join(map(str, unexpected))
    assert known == _KNOWN, "a difference that is none any more"


def test_the_record_has_every_overload_of_every_function() -> None:
    recorded: set[str] = set()
    environment = engine.checker(())
    for entry in _recorded():
        if "compile" not in entry and entry["expression"] not in _KNOWN:
            compiled = environment.compile(entry["expression"])
            for overloads in tree.decode(compiled.serialize()).overloads.values():
                recorded |= set(overloads)
    declared = {overload.id for entry in library.FUNCTIONS for overload in entry.overloads}
    assert declared - recorded == set()
