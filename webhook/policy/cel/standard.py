"""What the library runs itself, declared to the checker as Kubernetes has it.

The library's string extension, comparison operators and ``string()`` cannot be added to once they are declared, so
they are declared here: the operators with Kubernetes' comparisons between number types, ``string()`` with addresses,
the string functions beside Kubernetes' list functions of the same name. Source: cel-go ``ext/strings.go``, cel-spec
``doc/langdef.md``, k8s.io/apiserver ``pkg/cel/environment/base.go``.
"""

from __future__ import annotations

import re

from . import bounds
from .celtype import BOOL, BYTES, DOUBLE, DURATION, DYN, INT, STRING, TIMESTAMP, UINT, CelType, list_of
from .functions import Function, Overload, function

_ORDERED = (BOOL, INT, UINT, DOUBLE, STRING, BYTES, DURATION, TIMESTAMP)
_NUMBERS = (INT, UINT, DOUBLE)


def _comparison(operator: str, name: str) -> Function:
    pairs = [(kind, kind) for kind in _ORDERED]
    pairs += [(left, right) for left in _NUMBERS for right in _NUMBERS if left != right]
    return function(
        operator, *(Overload(f"{name}_{left}_{right}", (left, right), BOOL) for left, right in pairs)
    )


COMPARISON_OPERATORS = {
    "_<_": "less",
    "_<=_": "less_equals",
    "_>_": "greater",
    "_>=_": "greater_equals",
}


def _without_zeros(text: str) -> str:
    """A time or duration with no more digits in its fraction than it needs, as Go writes it."""
    return re.sub(r"(?:\.|(\.\d*?))0*(?=[a-zA-Z])", r"\1", text, count=1) if "." in text else text


HELPERS = (Overload("without_zeros", (STRING,), STRING, python=_without_zeros),)

DOUBLE_TO_STRING = "cel.bind(d, a0, d - d == 0.0 ? string(d) : d > 0.0 ? '+Inf' : d < 0.0 ? '-Inf' : 'NaN')"
TIME_TO_STRING = "without_zeros(string(a0))"

_CONVERSIONS = {DOUBLE: DOUBLE_TO_STRING, DURATION: TIME_TO_STRING, TIMESTAMP: TIME_TO_STRING}

STRING_CONVERSIONS = tuple(
    Overload(f"{kind}_to_string", (kind,), STRING, cel=_CONVERSIONS.get(kind)) for kind in _ORDERED
)


def _method(
    name: str, overload_id: str, result: CelType, *parameters: tuple[CelType, ...], cel: str = ""
) -> Function:
    """A method of a string; ``cel`` stands for each of its overloads, ``{rest}`` in it for the further operands."""
    overloads = []
    for rest in parameters:
        written = cel.replace("{rest}", "".join(f", a{index}" for index in range(2, len(rest) + 1))) or None
        overload_name = "_".join([f"string_{overload_id}", *map(str, rest)])
        overloads.append(Overload(overload_name, (STRING, *rest), result, member=True, cel=written))
    return function(name, *overloads)


# Kubernetes splits an empty string into nothing.
_SPLIT = "cel.bind(s, a0, cel.bind(p, a1, s == '' && p == '' ? [] : s.split(p{rest})))"
# Kubernetes counts a duration's milliseconds in all; the library, those beyond the last whole second.
_MILLISECONDS = "cel.bind(d, a0, d.getSeconds() * 1000 + d.getMilliseconds())"
_MILLISECONDS_OF_DYN = (
    "cel.bind(d, a0, type(d) == type(duration('0s')) "
    "? d.getSeconds() * 1000 + d.getMilliseconds() : d.getMilliseconds())"
)

FUNCTIONS = (
    *(_comparison(operator, name) for operator, name in COMPARISON_OPERATORS.items()),
    _method("charAt", "char_at", STRING, (INT,)),
    _method("lowerAscii", "lower_ascii", STRING, ()),
    _method("upperAscii", "upper_ascii", STRING, ()),
    _method("trim", "trim", STRING, ()),
    _method("split", "split", list_of(STRING), (STRING,), (STRING, INT), cel=_SPLIT),
    _method("substring", "substring", STRING, (INT,), (INT, INT)),
    _method("format", "format", STRING, (list_of(DYN),)),
    function(
        "replace",
        Overload("string_replace", (STRING, STRING, STRING), STRING, member=True, cel=bounds.REPLACE),
        Overload(
            "string_replace_limit",
            (STRING, STRING, STRING, INT),
            STRING,
            member=True,
            cel=bounds.REPLACE_SOME,
        ),
    ),
    function(
        "join",
        Overload("list_join", (list_of(STRING),), STRING, member=True),
        Overload("list_join_string", (list_of(STRING), STRING), STRING, member=True),
    ),
    function(
        "getMilliseconds",
        Overload("timestamp_to_milliseconds", (TIMESTAMP,), INT, member=True),
        Overload("timestamp_to_milliseconds_with_tz", (TIMESTAMP, STRING), INT, member=True),
        Overload("duration_to_milliseconds", (DURATION,), INT, member=True, cel=_MILLISECONDS),
        dynamic=_MILLISECONDS_OF_DYN,
    ),
    function("strings.quote", Overload("strings_quote", (STRING,), STRING)),
)

REDECLARED = (*COMPARISON_OPERATORS, "getMilliseconds", "string")
"""The standard functions that are declared here instead."""
