"""What keeps an object from making an evaluation long or large.

The library ends an evaluation after 10,000 loop steps, which bounds nothing by itself: a step may sort a list, search a
text or compare two objects. So what a function may be given is bounded too, more closely within a loop, and what all
of them together do there is counted (``budget``). Kubernetes counts the cost of everything, and ends an evaluation
likewise. Every bound is an error of the evaluation that says so.
"""

from __future__ import annotations

from . import budget
from .celtype import BOOL, INT
from .functions import Overload

HELPERS = (
    Overload("may_compare", (INT,), BOOL, python=budget.may_compare),
    Overload("may_weigh", (), BOOL, python=budget.may_weigh),
    Overload("may_compare_weighed", (INT, INT), BOOL, python=budget.may_compare_weighed),
    Overload("may_read", (INT,), BOOL, python=budget.may_read),
    Overload("may_search", (INT,), BOOL, python=budget.may_search),
    Overload("may_keep", (INT,), BOOL, python=budget.may_keep),
)
"""What only the conditions here call."""

MAX_LOOP_STEPS = 10_000
"""The library's own bound, over all loops of an evaluation."""

MAX_COLLECTED = 1_000
"""The longest list or map that ``map``, ``filter`` and their like may loop over: the library copies the result for
every element, so that ten times as many take a hundred times as long."""

_MAX_PAIRS = 10_000_000
"""How many pairs of elements a set function may compare."""

_MAX_DISTINCT = 2_000
"""The longest list ``distinct`` may be given: it compares maps and lists pair by pair."""

_MAX_REPLACED = 4_000_000
"""The longest text ``replace`` may be able to make: an object of a megabyte must not become one of a terabyte. The
bound is on occurrences times replacement, as counting the occurrences would cost as much."""

# Within a loop, where each of the steps may do it again.
_MAX_PAIRS_IN_LOOP = 10_000
_MAX_DISTINCT_IN_LOOP = 100
_MAX_ELEMENTS_IN_LOOP = 1_000
_MAX_TEXT_IN_LOOP = 65_536

TOO_MANY_COLLECTED = (
    f"size(l) > {MAX_COLLECTED} "
    f"? fail('map() and filter() over more than {MAX_COLLECTED} elements are not supported')"
)
"""The beginning of a conditional over a loop's range, ``l``."""


def _affordable(value: str, times: str) -> str:
    """Whether a map or list may be compared so many times."""
    weighed = f"may_compare_weighed(size('%s'.format([{value}])), {times})"
    return f"(may_compare({times}) ? true : may_weigh() ? {weighed} : false)"


_TOO_MUCH_COMPARED = (
    "fail('more is compared than the expression may: objects or lists that large, too often')"
)

EQUAL_IN_LOOP = (
    "cel.bind(p, [a0, a1], (type(p[0]) == map || type(p[0]) == list) "
    # What an optional holds cannot be written out.
    f"&& !{_affordable('p[0]', '1')} || type(p[0]) == optional_type && !may_compare(1) "
    f"? {_TOO_MUCH_COMPARED} : p[0] == p[1])"
)
"""What runs in place of ``==`` of operands that may be maps or lists, within a loop."""

IN_IN_LOOP = (
    "cel.bind(p, [a0, a1], type(p[1]) == list && ((type(p[0]) == map || type(p[0]) == list) "
    f"&& !{_affordable('p[1]', '1')} || type(p[0]) == optional_type && !may_compare(1)) "
    f"? {_TOO_MUCH_COMPARED} : p[0] in p[1])"
)
"""What runs in place of ``in`` where the left operand may be a map or list, within a loop."""

FOUND = f"(type(v) == map || type(v) == list) && !{_affordable('l', '1')} ? {_TOO_MUCH_COMPARED} : {{}}"
"""What runs in place of looking for ``v`` in the list ``l``."""

_TOO_MUCH_MADE = "fail('more is put together in loops than the expression may')"
_TOO_MUCH_READ = "fail('more is searched and changed in loops than the expression may')"

# Asked before anything is made, too: a loop goes on after an error, and would make the next one all the same.
KEPT = (
    f"!may_keep(0) ? {_TOO_MUCH_MADE} : "
    "cel.bind(r, a0, (type(r) == string || type(r) == bytes) && size(r) > 1000 && !may_keep(size(r)) "
    f"|| type(r) == list && size(r) > 100 && !may_keep(10 * size(r)) ? {_TOO_MUCH_MADE} : r)"
)
"""What runs in place of something that makes a text or a list, within a loop."""

# Also asked beforehand: to give a text to Python is to copy it.
PYTHON_IN_LOOP = f"!may_read(0) ? fail('{budget.TOO_MUCH_GIVEN}') : a0"
"""What runs in place of a function in Python, within a loop; the function itself counts (``functions``)."""

SIZE_IN_LOOP = (
    f"cel.bind(l, a0, type(l) != string ? size(l) : !may_read(0) ? {_TOO_MUCH_READ} "
    f": cel.bind(n, size(l), n > 1000 && !may_read(n) ? {_TOO_MUCH_READ} : n))"
)
"""What runs in place of ``size`` of what may be a text, within a loop: its characters are counted each time."""

MAKERS = frozenset(
    (
        *("_+_", "base64.decode", "base64.encode", "bytes", "format", "join"),
        *("lowerAscii", "replace", "split", "string", "strings.quote", "upperAscii"),
    )
)
"""What does."""

_SET_FUNCTIONS = ("sets.contains", "sets.equivalent", "sets.intersects")


def _set_function(name: str, limit: int) -> str:
    return (
        f"cel.bind(l, a0, cel.bind(r, a1, size(l) * size(r) > {limit} "
        f"? fail('{name}() would compare more than {limit} pairs') "
        f": !{_affordable('l', 'size(r)')} ? {_TOO_MUCH_COMPARED} : {name}(l, r)))"
    )


def _distinct(limit: int) -> str:
    return (
        f"cel.bind(l, a0, size(l) > {limit} ? fail('distinct() of more than {limit} elements') "
        f": !{_affordable('l', 'size(l)')} ? {_TOO_MUCH_COMPARED} : l.distinct())"
    )


REPLACE = (
    f"cel.bind(s, a0, cel.bind(o, a1, cel.bind(n, a2, (size(s) + 1) * size(n) > {_MAX_REPLACED} "
    f"? fail('replace() may make more than {_MAX_REPLACED} characters here') : s.replace(o, n))))"
)
REPLACE_SOME = REPLACE.replace("s.replace(o, n)", "s.replace(o, n, a3)")

BOUNDED = {
    "lists.range": (
        f"cel.bind(n, a0, n > {MAX_LOOP_STEPS} "
        f"? fail('lists.range() of more than {MAX_LOOP_STEPS} elements') : lists.range(n))"
    ),
    "distinct": _distinct(_MAX_DISTINCT),
    **{name: _set_function(name, _MAX_PAIRS) for name in _SET_FUNCTIONS},
}
"""What runs in place of a function."""

BOUNDED_IN_LOOP = {
    **BOUNDED,
    "distinct": _distinct(_MAX_DISTINCT_IN_LOOP),
    **{name: _set_function(name, _MAX_PAIRS_IN_LOOP) for name in _SET_FUNCTIONS},
}
"""What runs in place of a function within a loop."""

OPERAND_IN_LOOP = (
    f"cel.bind(l, a0, type(l) == list ? (size(l) > {_MAX_ELEMENTS_IN_LOOP} "
    f"? fail('a list of more than {_MAX_ELEMENTS_IN_LOOP} elements is searched or sorted within a loop') "
    f": size(l) > 100 && !may_read(10 * size(l)) ? {_TOO_MUCH_READ} : l) "
    f": type(l) != string ? l : !may_read(0) ? {_TOO_MUCH_READ} : cel.bind(n, size(l), n <= 1000 ? l "
    f": !may_read(n) ? {_TOO_MUCH_READ} : n > {_MAX_TEXT_IN_LOOP} "
    f"? fail('a text of more than {_MAX_TEXT_IN_LOOP} characters is searched or changed within a loop') : l))"
)
"""What runs in place of an operand whose size a function's time depends on, within a loop."""

NEEDLE = (
    "cel.bind(l, a0, type(l) == string && size(l) > 1000 && !may_search(size(l)) "
    "? fail('a text that long is looked for in a text that long') : l)"
)
"""What runs in place of a text that is looked for in another."""

NEEDLES = frozenset(("contains", "indexOf", "lastIndexOf", "replace", "split"))
"""The functions whose second operand that is."""

LONG_OPERANDS = {
    "@in": 1,
    **dict.fromkeys(("flatten", "join", "reverse", "slice", "sort"), 0),
    **dict.fromkeys(
        ("charAt", "contains", "find", "findAll", "indexOf", "lastIndexOf", "lowerAscii", "matches"), 0
    ),
    **dict.fromkeys(("replace", "split", "substring", "trim", "upperAscii"), 0),
}
"""Which operand of a function that is."""
