"""``string.format()`` as Kubernetes writes it, which differs from the library in numbers, lists and maps.

Where the format is a literal, as it nearly always is, each argument is put in terms the library formats alike. What
would come out differently is an error. Source: cel-go ``ext/formatting.go`` (Kubernetes uses version 2 of it).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

from . import standard
from .celtype import BOOL, BYTES, DOUBLE, DURATION, DYN, INT, NULL, STRING, TIMESTAMP, UINT, CelType
from .functions import Overload
from .tree import Call, Checked, Constant, Expr, ListExpr

Report = Callable[[str, Expr], NoReturn]

_CLAUSE = re.compile(r"%(?:\.(\d+))?(.?)", re.DOTALL)
_MAX_PRECISION = 100
_INTEGERS = frozenset((INT, UINT))

# What each clause takes; dyn is known at evaluation only.
_ACCEPTED = {
    "s": frozenset((STRING, BYTES, BOOL, INT, UINT, DOUBLE, NULL, DURATION, TIMESTAMP)),
    "d": _INTEGERS,
    "f": frozenset((DOUBLE,)),
    "b": _INTEGERS | {BOOL},
    "o": _INTEGERS,
    "x": _INTEGERS | {STRING, BYTES},
    "X": _INTEGERS | {STRING, BYTES},
}

_SCALAR = (
    "type({0}) == string ? strings.quote({0}) : type({0}) == double ? '%.6f'.format([{0}]) "
    ": type({0}) in [int, uint, bool] ? string({0}) : type({0}) == null_type ? 'null' "
    ": fail('%s takes a list or map of strings, numbers and booleans only')"
)
_LIST = f"'[' + l.map(x, {_SCALAR.format('x')}).join(', ') + ']'"
_ENTRY = f"({_SCALAR.format('k')}) + ':' + ({_SCALAR.format('l[k]')})"
_MAP = f"'{{' + l.map(k, {_ENTRY}).sort().join(', ') + '}}'"
_ANYTHING = f"cel.bind(l, a0, type(l) == double ? string(l) : type(l) == list ? {_LIST} : type(l) == map ? {_MAP} : l)"
_INTEGER = "cel.bind(l, a0, type(l) in [int, uint] ? l : fail('%d takes an integer'))"
_FIXED = (
    "cel.bind(l, a0, type(l) == double ? grouped('%.{precision}f'.format([l])) : fail('%f takes a double'))"
)
UNKNOWN_ARGUMENTS = (
    "cel.bind(l, a1, l.exists(x, type(x) in [double, list, map]) "
    "? fail('format() takes numbers with a fraction, lists and maps only where format and arguments are written out') "
    ": a0.format(l))"
)
"""What runs where the format or the list of arguments is not a literal."""


def _grouped(number: str) -> str:
    """A fixed-point number with its thousands apart."""
    sign, whole, point, fraction = re.fullmatch(r"(-?)([^.]*)(\.?)(.*)", number, re.DOTALL).groups()  # type: ignore[union-attr]
    if not whole.isdigit():
        return sign + {"Infinity": "∞", "inf": "∞"}.get(whole, "NaN")
    return f"{sign}{int(whole):,}{point}{fraction}"


HELPERS = (Overload("grouped", (STRING,), STRING, python=_grouped),)


def check(checked: Checked, call: Call, report: Report) -> None:
    """Reports a literal format that is wrong in itself, or does not fit its literal arguments."""
    clauses = _clauses(call)
    if clauses is None:
        return
    for precision, letter in clauses:
        if letter == "e":
            report("the formatting clause %e is not supported; use %f", call)
        if letter not in _ACCEPTED:
            report(f'could not parse formatting clause: unrecognized formatting clause "{letter}"', call)
        if int(precision[:4] or 0) > _MAX_PRECISION:
            report(f"a formatting clause's precision may be {_MAX_PRECISION} at most", call)
    arguments = call.args[0]
    if not isinstance(arguments, ListExpr):
        return
    expected, given = len(clauses), len(arguments.elements)
    if expected < given:
        report(f"too many arguments supplied to string.format (expected {expected}, got {given})", arguments)
    if expected > given:
        report(f"too few arguments supplied to string.format (expected {expected}, got {given})", arguments)
    for (_, letter), argument in zip(clauses, arguments.elements, strict=True):
        if not _accepts(letter, checked.type_of(argument)):
            report(
                f"error during formatting: %{letter} cannot be used on a {checked.type_of(argument)}",
                argument,
            )


def _accepts(letter: str, kind: CelType) -> bool:
    if kind == DYN or kind in _ACCEPTED[letter]:
        return True
    if letter == "s" and kind.name in ("list", "map"):
        return all(part in _ACCEPTED["s"] - {BYTES, DURATION, TIMESTAMP} | {DYN} for part in kind.parameters)
    return letter == "s" and kind.name == "type"


def _clauses(call: Call) -> list[tuple[str, str]] | None:
    """The precision and letter of each clause of a literal format."""
    match call.operands[0]:
        case Constant(_, str(text)):
            return [(precision, letter) for precision, letter in _CLAUSE.findall(text) if letter != "%"]
    return None


def expand(
    checked: Checked, call: Call, expanded: Call, instantiate: Callable[[str, tuple[Expr, ...]], Expr]
) -> Expr:
    """A checked call of ``format`` as the library may run it; ``expanded`` is the same call with its operands so."""
    clauses = _clauses(call)
    text, arguments = expanded.operands
    if clauses is None or not isinstance(arguments, ListExpr) or not isinstance(text, Constant):
        return instantiate(UNKNOWN_ARGUMENTS, expanded.operands)
    original = call.args[0]
    assert isinstance(original, ListExpr)
    elements = []
    for (precision, letter), before, after in zip(
        clauses, original.elements, arguments.elements, strict=True
    ):
        template = _template(letter, precision, checked.type_of(before))
        elements.append(after if template is None else instantiate(template, (after,)))
    # A number written with its thousands apart is a string by now.
    rewritten = _CLAUSE.sub(lambda match: "%s" if match[2] == "f" else match[0], str(text.value))
    return Call(
        expanded.id, "format", (ListExpr(arguments.id, tuple(elements)),), Constant(text.id, rewritten)
    )


def _template(letter: str, precision: str, kind: CelType) -> str | None:
    if letter == "f":
        return _FIXED.format(precision=precision or 6)
    if letter == "d" and kind not in _INTEGERS:
        return _INTEGER
    if letter == "s" and kind == DOUBLE:
        return standard.DOUBLE_TO_STRING
    if letter == "s" and (kind == DYN or kind.name in ("list", "map")):
        return _ANYTHING
    if letter == "s" and kind in (DURATION, TIMESTAMP):
        return standard.TIME_TO_STRING
    return None
