"""What an expression must satisfy beyond the library's type check, so that it means what it means to Kubernetes.

Source: k8s.io/apiserver ``pkg/cel/environment/base.go`` (homogeneous literals, valid regular expressions and formats)
and the limits of this package.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, NoReturn

from . import construct, engine, formatting, regex, tree, values
from .celtype import DURATION, DYN, OPAQUE_NAMES, QUANTITY, CelType
from .functions import MARK
from .tree import Call, Checked, Comprehension, Constant, Expr, ListExpr, Struct

if TYPE_CHECKING:
    from cel_expr_python import cel

Report = Callable[[str, Expr], NoReturn]

MAX_NESTED_LOOPS = 4
"""How deep ``all``, ``map`` and their like may be nested."""
_COMPARISONS = frozenset(
    (
        "_==_",
        "_!=_",
        "@in",
        "indexOf",
        "lastIndexOf",
        "distinct",
        "sets.contains",
        "sets.equivalent",
        "sets.intersects",
    )
)


def check(checked: Checked, report: Report) -> None:
    """Reports the first thing that is wrong with an expression: ``report`` raises the error, at a node of the tree."""
    _check_loops(checked.expr, 0, report)
    formatted = set(_format_arguments(checked.expr))
    constructed = set(_constructed(checked.expr))
    for node in tree.walk(checked.expr):
        match node:
            case Constant(_, str(text)):
                _check_text(text, node, report)
            case Constant(_, float(number)) if math.isinf(number):
                report("invalid double literal", node)
            case Call(_, "int", (argument,)) if checked.type_of(argument) == DURATION:
                report("int() of a duration is not supported; write getSeconds() or getMilliseconds()", node)
            case ListExpr():
                if node.id not in formatted:
                    _check_same_type([_element(checked, node, i) for i in range(len(node.elements))], report)
            case Struct(message="") if node.id not in constructed:
                _check_same_type([(e.key, checked.type_of(e.key)) for e in node.entries if e.key], report)
                _check_same_type([_entry(checked, entry) for entry in node.entries], report)
            case Struct() if node.message:
                report(f"{node.message}{{...}} objects are not supported", node)
            case Call(_, "cel.@mapInsert"):
                report(
                    "transformMap() and transformMapEntry() are not supported: the library cannot run them",
                    node,
                )
            case Call():
                _check_opaque(checked, node, report)
                _check_pattern(node, report)
                if node.function == "format":
                    formatting.check(checked, node, report)


def _check_loops(expr: Expr, depth: int, report: Report) -> None:
    if isinstance(expr, Comprehension) and not (isinstance(expr.range, ListExpr) and not expr.range.elements):
        depth += 1
        if depth > MAX_NESTED_LOOPS:
            report(f"loops such as all() and map() are nested more than {MAX_NESTED_LOOPS} deep", expr)
    for child in tree.children(expr):
        # The range is evaluated before the loop begins.
        is_range = isinstance(expr, Comprehension) and child is expr.range
        _check_loops(child, depth - 1 if is_range else depth, report)


def _check_text(text: str, node: Expr, report: Report) -> None:
    if "\0" in text:
        report("a string that contains NUL is not supported", node)
    if MARK in text:
        report("a string that contains the noncharacter U+FDD0 is not supported", node)


def _element(checked: Checked, node: ListExpr, index: int) -> tuple[Expr, CelType]:
    element = node.elements[index]
    kind = checked.type_of(element)
    return element, kind.parameters[0] if index in node.optional_indices and kind.parameters else kind


def _entry(checked: Checked, entry: tree.Entry) -> tuple[Expr, CelType]:
    kind = checked.type_of(entry.value)
    return entry.value, kind.parameters[0] if entry.optional and kind.parameters else kind


def _check_same_type(elements: list[tuple[Expr, CelType]], report: Report) -> None:
    """Kubernetes wants the elements of a literal to have one type, where dyn is a type too."""
    for element, kind in elements[1:]:
        expected = elements[0][1]
        if not _equivalent(expected, kind):
            report(f"expected type '{expected}' but found '{kind}'", element)


def _equivalent(left: CelType, right: CelType) -> bool:
    if left == right:
        return True
    # The type of an empty list or map is open here, where Kubernetes has inferred it.
    if left.name == right.name and left.name in ("list", "map"):
        pairs = zip(left.parameters, right.parameters, strict=True)
        return all(a == DYN or b == DYN or _equivalent(a, b) for a, b in pairs)
    return False


def _check_opaque(checked: Checked, call: Call, report: Report) -> None:
    """Kubernetes-typed values are strings at run time, which must not show."""
    kinds = [checked.type_of(operand) for operand in call.operands]
    opaque = next((kind for kind in kinds if kind.contains(OPAQUE_NAMES)), None)
    if opaque is None:
        return
    result = checked.type_of(call)
    if call.function == "type":
        report(f"type() of a {opaque} is not supported", call)
    if not result.contains(OPAQUE_NAMES) and _contains_dyn(result):
        report(f"a {opaque} cannot be mixed with dyn values; convert both sides to {opaque}", call)
    nested = any(kind != QUANTITY and kind.contains(frozenset((QUANTITY.name,))) for kind in kinds)
    if nested and call.function in _COMPARISONS:
        report(f"lists and maps of {QUANTITY} cannot be compared; compare their elements", call)


def _contains_dyn(kind: CelType) -> bool:
    return kind.contains(frozenset((DYN.name,)))


def _check_pattern(call: Call, report: Report) -> None:
    position = regex.PATTERN_ARGUMENTS.get(call.function)
    if position is None or position >= len(call.operands):
        return
    match call.operands[position]:
        case Constant(_, str(pattern)) as node:
            error = _pattern_error(pattern)
            if error is not None:
                report(error, node)


def _pattern_error(pattern: str) -> str | None:
    result = _matcher().eval(engine.activation({"a0": "", "a1": pattern}))
    return None if result.type().name() == "BOOL" else values.error_text(result)


@cache
def _matcher() -> cel.Expression:
    return engine.runtime().compile("a0.matches(a1)")


def _format_arguments(expr: Expr) -> Iterator[int]:
    for node in tree.walk(expr):
        if isinstance(node, Call) and node.function == "format" and isinstance(node.args[0], ListExpr):
            yield node.args[0].id


def _constructed(expr: Expr) -> Iterator[int]:
    """The literals that are the fields of an ``Object{...}`` or a ``JSONPatch{...}``."""
    for node in tree.walk(expr):
        if isinstance(node, Call) and node.function.startswith(construct.PREFIX):
            yield node.args[0].id
