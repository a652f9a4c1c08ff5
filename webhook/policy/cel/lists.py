"""CEL's list functions of Kubernetes: ``isSorted``, ``sum``, ``min``, ``max``, ``indexOf``, ``lastIndexOf``.

Source: k8s.io/apiserver ``pkg/cel/library/lists.go``. (``sort``, ``distinct``, ``slice`` and their like are the
library's own extension.)
"""

from __future__ import annotations

from . import bounds
from .celtype import BOOL, BYTES, DOUBLE, DURATION, INT, STRING, TIMESTAMP, UINT, CelType, T, list_of
from .functions import Function, Overload, function

_COMPARABLE = (INT, UINT, DOUBLE, BOOL, DURATION, TIMESTAMP, STRING, BYTES)
_ZEROS = {INT: "0", UINT: "0u", DOUBLE: "0.0", DURATION: "duration('0s')"}

_IS_SORTED = "cel.bind(l, a0, lists.range(size(l)).all(i, i == 0 || l[i - 1] <= l[i]))"

# What is summed shows in the first element only, where the list's type does not tell.
_SUM_OF_ANYTHING = (
    "cel.bind(l, a0, size(l) == 0 ? 0 : type(l[0]) in [int, uint, double, type(duration('0s'))] "
    "? fold(l.slice(1, size(l)), l[0], result + x) : fail('no such overload: sum'))"
)


def _extreme(name: str, operator: str) -> str:
    step = f"x {operator} result ? x : result"
    return f"cel.bind(l, a0, size(l) == 0 ? fail('{name} called on empty list') : fold(l, l[0], {step}))"


def _of_each(
    kinds: tuple[CelType, ...], name: str, cel: str, result: CelType | None = None
) -> tuple[Overload, ...]:
    return tuple(
        Overload(
            f"list_{kind}_{name}_{result or kind}", (list_of(kind),), result or kind, member=True, cel=cel
        )
        for kind in kinds
    )


def _search(name: str, overload_id: str, first: bool) -> Function:
    places = "lists.range(size(l)).filter(i, l[i] == v)"
    found = bounds.FOUND.format(f"({places} + [-1])[0]" if first else f"([-1] + {places}).reverse()[0]")
    bind = "cel.bind(l, a0, cel.bind(v, a1, {}))"
    # Beyond the end of a string the library has an error where Kubernetes finds nothing, or the empty string.
    from_place = f"v == '' ? n : n >= size(l) ? -1 : l.{name}(v, n)"
    return function(
        name,
        Overload(f"string_{overload_id}_string_int", (STRING, STRING), INT, member=True),
        Overload(
            f"string_{overload_id}_string_int_int",
            (STRING, STRING, INT),
            INT,
            member=True,
            cel=bind.format(f"cel.bind(n, a2, {from_place})"),
        ),
        Overload(f"list_a_{overload_id}_int", (list_of(T), T), INT, member=True, cel=bind.format(found)),
        dynamic=bind.format(f"type(l) == list ? ({found}) : l.{name}(v)"),
    )


FUNCTIONS = (
    function("isSorted", *_of_each(_COMPARABLE, "is_sorted", _IS_SORTED, BOOL)),
    function("min", *_of_each(_COMPARABLE, "min", _extreme("min", "<"))),
    function("max", *_of_each(_COMPARABLE, "max", _extreme("max", ">"))),
    function(
        "sum",
        *(
            Overload(
                f"list_{kind}_sum_{kind}",
                (list_of(kind),),
                kind,
                member=True,
                cel=f"fold(a0, {zero}, result + x)",
            )
            for kind, zero in _ZEROS.items()
        ),
        dynamic=_SUM_OF_ANYTHING,
    ),
    _search("indexOf", "index_of", first=True),
    _search("lastIndexOf", "last_index_of", first=False),
)
