"""What keeps an object from making an evaluation long or large.

The library ends an evaluation after 10,000 loop steps, which bounds nothing by itself: a step may sort a list or search
a text. So what a function may be given is bounded too, more closely within a loop. Kubernetes counts the cost of
everything instead, and ends an evaluation likewise. Every bound is an error of the evaluation that says so.
"""

from __future__ import annotations

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

_SET_FUNCTIONS = ("sets.contains", "sets.equivalent", "sets.intersects")


def _set_function(name: str, limit: int) -> str:
    return (
        f"cel.bind(l, a0, cel.bind(r, a1, size(l) * size(r) > {limit} "
        f"? fail('{name}() would compare more than {limit} pairs') : {name}(l, r)))"
    )


def _distinct(limit: int) -> str:
    return f"cel.bind(l, a0, size(l) > {limit} ? fail('distinct() of more than {limit} elements') : l.distinct())"


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
    f"cel.bind(l, a0, type(l) == list && size(l) > {_MAX_ELEMENTS_IN_LOOP} "
    f"? fail('a list of more than {_MAX_ELEMENTS_IN_LOOP} elements is searched or sorted within a loop') "
    f": type(l) == string && size(l) > {_MAX_TEXT_IN_LOOP} "
    f"? fail('a text of more than {_MAX_TEXT_IN_LOOP} characters is searched or changed within a loop') : l)"
)
"""What runs in place of an operand whose size a function's time depends on, within a loop."""

LONG_OPERANDS = {
    "@in": 1,
    **dict.fromkeys(("flatten", "join", "reverse", "slice", "sort"), 0),
    **dict.fromkeys(
        ("charAt", "contains", "find", "findAll", "indexOf", "lastIndexOf", "lowerAscii", "matches"), 0
    ),
    **dict.fromkeys(("replace", "split", "substring", "trim", "upperAscii"), 0),
}
"""Which operand of a function that is."""
