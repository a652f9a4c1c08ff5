"""Work beside the reviews that leaves the processor to them, see decision 0026."""

from __future__ import annotations

import threading
import time
from typing import Final

# Policies are compiled in a thread beside the reviews, which the interpreter runs in turn with them. A rest comes after
# so many seconds of work.
_WORK_SECONDS: Final = 0.001

# Work takes so much of the time that reviews leave, and of all time so much at least, so that it comes to its end
# however many reviews there are. Reviews wait ever longer as the last of a processor's time goes: a fifth of all time
# would be too much where they take three quarters.
_SHARE: Final = 0.2
_LEAST_SHARE: Final = 0.02


class Rest:
    """Leaves the processor to the reviews: who calls this between pieces of work rests in proportion to what it has
    worked since, and the longer the busier the process is."""

    def __init__(self) -> None:
        self._worked = time.thread_time()
        self._thread = 0
        # At the end of the last piece of work.
        self._since = time.monotonic()
        self._process = time.process_time()
        self._over: Final = threading.Event()

    def end(self) -> None:
        """No more rests: what is under way shall come to its end."""
        self._over.set()

    def __call__(self) -> None:
        """Rest, if there was work enough to need it."""
        worked, thread = time.thread_time(), threading.get_ident()
        if thread != self._thread:
            # Another thread has another clock.
            self._thread, self._worked = thread, worked
        elif (piece := worked - self._worked) >= _WORK_SECONDS:
            rest = piece / self._share(piece) - piece
            self._since, self._process = time.monotonic(), time.process_time()
            self._over.wait(rest)
            self._worked = time.thread_time()

    def _share(self, piece: float) -> float:
        """How much of the time the work may take, by what the process did besides since the last piece."""
        passed = time.monotonic() - self._since
        others = time.process_time() - self._process - piece
        left = 1 - others / passed if passed > 0 else 1.0
        return min(max(left * _SHARE, _LEAST_SHARE), _SHARE)
