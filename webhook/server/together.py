"""Doing what several callers want step by step, each step for all of them.

A review runs through more code and data than the processor's caches hold, and so do the HTTP and TLS around it. Where
every call does all of it before the next one begins, each finds the caches full of something else, and takes half as
long again: see docs/decisions/0028-reviews-are-done-together.md.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Together(Generic[Item, Result]):
    """Takes items while they come, and does them when a turn of the event loop has brought no more."""

    def __init__(
        self,
        steps: Sequence[Callable[[Item], Result | None]],
        failure: Callable[[Item, Exception], Exception],
        limit: int,
    ) -> None:
        """To be made in the event loop it will run in.

        The first of the ``steps`` that gives a result for an item is the last one for it; at the latest that is the
        last of them. ``failure`` makes of what a step raises what is raised to who waits for the item. At most so many
        items are done together that their sizes add up to ``limit``, but always one; and for more than that nobody is
        kept waiting.
        """
        self._steps: Final = tuple(steps)
        self._failure: Final = failure
        self._limit: Final = limit
        self._loop: Final = asyncio.get_running_loop()
        self._waiting: Final[deque[tuple[asyncio.Future[Result], Item, int]]] = deque()
        self._size = 0
        # How many were waiting a turn ago.
        self._seen = 0

    def take(self, item: Item, size: int) -> asyncio.Future[Result]:
        """The result for an item, in a moment."""
        if not self._waiting:
            self._loop.call_soon(self._turn)
        future: asyncio.Future[Result] = self._loop.create_future()
        self._waiting.append((future, item, size))
        self._size += size
        return future

    def _turn(self) -> None:
        """Wait for another turn as long as each brings more: a turn with nothing to do takes microseconds, and those
        who call at the same time are served together."""
        count = len(self._waiting)
        try:
            if count > self._seen and self._size < self._limit:
                self._seen = count
            else:
                self._seen = 0
                self._do(self._next())
        finally:
            # Whatever went wrong with some, the others get their turn.
            if self._waiting:
                self._loop.call_soon(self._turn)

    def _next(self) -> list[tuple[asyncio.Future[Result], Item]]:
        """The items to do now; what is left comes behind the answers of these."""
        waiting = self._waiting
        group: list[tuple[asyncio.Future[Result], Item]] = []
        room = self._limit
        while waiting and (not group or waiting[0][2] <= room):
            future, item, size = waiting.popleft()
            group.append((future, item))
            room -= size
            self._size -= size
        return group

    def _do(self, group: list[tuple[asyncio.Future[Result], Item]]) -> None:
        for step in self._steps:
            left: list[tuple[asyncio.Future[Result], Item]] = []
            for one in group:
                future, item = one
                if future.done():
                    # Its caller has gone.
                    continue
                try:
                    result = step(item)
                except Exception as error:  # noqa: BLE001 - whoever waits for it gets it, and the others their results
                    future.set_exception(self._failure(item, error))
                else:
                    if result is None:
                        left.append(one)
                    else:
                        future.set_result(result)
            group = left
        # An error knows the frames it came through, this one too, and the future knows the error: without this they
        # would keep each other, and the item, until the garbage collector comes by.
        del future, item, one
