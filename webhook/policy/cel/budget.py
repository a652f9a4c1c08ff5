"""What an evaluation may still do: how much it may compare, read and build.

The library counts loop steps and nothing else, whatever a step does. The conditions in ``bounds`` ask here before they
do what takes longer the larger a value is. Sizes are in characters, those of a map or list as it is written.

How large a map or list is cannot be told without going through all of it, which takes longer than to compare it. So it
is first taken to be as large as everything that the expression can see; that suffices for nearly all. Only beyond is
it weighed, and only for as long as that is affordable.

An evaluation stays on one thread from beginning to end. Others may have their turn meanwhile, so each has a budget of
its own.
"""

from __future__ import annotations

import threading
from typing import Final

from .celtype import BOOL, INT
from .functions import Overload

MAX_COMPARED: Final = 50_000_000
"""How much may be compared by estimate, and as much again after weighing: together about a second."""

MAX_READ: Final = 100_000_000
"""How much text may be searched or changed in loops, where a list counts ten for each element: about a second."""

MAX_BUILT: Final = 20_000_000
"""How much text may be put together in loops, where a list counts ten for each element: memory, first of all."""


class _Budget(threading.local):
    """What is left to the evaluation on this thread."""

    size = 0
    """How large everything is that the expression can see."""
    estimated = MAX_COMPARED
    weighed = MAX_COMPARED
    read = MAX_READ
    built = MAX_BUILT


_left: Final = _Budget()


def start(size: int) -> None:
    """An evaluation begins on this thread, of an expression that sees ``size`` characters of JSON altogether."""
    _left.size = size
    _left.estimated = _left.weighed = MAX_COMPARED
    _left.read, _left.built = MAX_READ, MAX_BUILT


def _may_compare(times: int) -> bool:
    """Whether a map or list may be compared so many times, however large it is."""
    # What an expression has built itself may be in it too.
    size = times * (_left.size + MAX_BUILT - _left.built)
    if size > _left.estimated:
        return False
    _left.estimated -= size
    return True


def _may_weigh() -> bool:
    """Whether there is anything left to those that are weighed."""
    return _left.weighed > 0


def _may_compare_weighed(size: int, times: int) -> bool:
    """As ``may_compare``, for a map or list of this size."""
    # Weighing has taken its time, too.
    _left.weighed -= size * (times + 1)
    return _left.weighed > 0


def _may_read(size: int) -> bool:
    """Whether so much may be searched or changed."""
    _left.read -= size
    return _left.read > 0


def _may_keep(size: int) -> bool:
    """Whether so much may have been put together."""
    _left.built -= size
    return _left.built > 0


HELPERS: Final = (
    Overload("may_compare", (INT,), BOOL, python=_may_compare),
    Overload("may_weigh", (), BOOL, python=_may_weigh),
    Overload("may_compare_weighed", (INT, INT), BOOL, python=_may_compare_weighed),
    Overload("may_read", (INT,), BOOL, python=_may_read),
    Overload("may_keep", (INT,), BOOL, python=_may_keep),
)
"""What only the conditions in ``bounds`` call."""
