"""What an evaluation may still do: how much it may compare, read and build.

The library counts loop steps and nothing else, whatever a step does. The conditions in ``bounds`` ask here before they
do what takes longer the larger a value is, and so does every function in Python. Sizes are in characters, those of a
map or list as it is written.

How large a map or list is cannot be told without going through all of it, which takes longer than to compare it. So it
is first taken to be as large as everything that the expression can see; that suffices for nearly all. Only beyond is
it weighed, and only for as long as that is affordable.

An evaluation stays on one thread from beginning to end. Others may have their turn meanwhile, so the budget belongs to
the context.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Final

MAX_COMPARED: Final = 50_000_000
"""How much may be compared by estimate, and as much again after weighing: together about a second."""

MAX_READ: Final = 100_000_000
"""How much text may be searched or changed in loops, where a list counts ten for each element: about a second. What a
function in Python is given counts ten times, in loops or not: it takes as much longer."""

MAX_BUILT: Final = 20_000_000
"""How much text may be put together in loops, where a list counts ten for each element: memory, first of all."""

_IN_PYTHON: Final = 10

TOO_MUCH_GIVEN: Final = "functions are given more text than the expression may"
"""What is said where ``may_read_in_python`` says no."""

# Characters of a text that is looked for that are compared in the time in which one is read otherwise.
_TRIED_AT_ONCE: Final = 500


class _Budget:
    """What is left to an evaluation that sees ``size`` characters of JSON altogether."""

    __slots__ = ("built", "estimated", "read", "size", "weighed")

    def __init__(self, size: int) -> None:
        self.size = size
        self.estimated = self.weighed = MAX_COMPARED
        self.read, self.built = MAX_READ, MAX_BUILT


_current: Final[ContextVar[_Budget]] = ContextVar("budget")


def start(size: int) -> None:
    """An evaluation begins here, of an expression that sees ``size`` characters of JSON altogether."""
    _current.set(_Budget(size))


def may_compare(times: int) -> bool:
    """Whether a map or list may be compared so many times, however large it is."""
    left = _current.get()
    # What an expression has built itself may be in it too.
    size = times * (left.size + MAX_BUILT - left.built)
    if size > left.estimated:
        return False
    left.estimated -= size
    return True


def may_weigh() -> bool:
    """Whether there is anything left to those that are weighed."""
    return _current.get().weighed > 0


def may_compare_weighed(size: int, times: int) -> bool:
    """As ``may_compare``, for a map or list of this size."""
    left = _current.get()
    # Weighing has taken its time, too.
    left.weighed -= size * (times + 1)
    return left.weighed > 0


def may_read(size: int) -> bool:
    """Whether so much may be searched or changed."""
    left = _current.get()
    left.read -= size
    return left.read > 0


def may_search(size: int) -> bool:
    """Whether a text of this size may be looked for in another, at each place of which the library tries."""
    left = _current.get()
    return may_read(size * (left.size + MAX_BUILT - left.built) // _TRIED_AT_ONCE)


def may_keep(size: int) -> bool:
    """Whether so much may have been put together."""
    left = _current.get()
    left.built -= size
    return left.built > 0


def may_read_in_python(arguments: Iterable[object]) -> bool:
    """Whether a function in Python may be given these arguments."""
    return may_read(_IN_PYTHON * sum(len(text) for text in arguments if isinstance(text, str | bytes)))
