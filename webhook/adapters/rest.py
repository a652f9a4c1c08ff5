"""Work beside the reviews that leaves the processor to them, see decision 0026."""

from __future__ import annotations

import threading
import time
from typing import Final

# Policies are compiled in a thread beside the reviews, which the interpreter runs in turn with them. After so many
# seconds of it comes a rest of so many times as long: a thousand policies then take a second instead of a quarter of
# one, and reviews wait hardly longer than without.
_WORK_SECONDS: Final = 0.001
_REST: Final = 4.0


class Rest:
    """Leaves the processor to the reviews: who calls this between pieces of work rests ``_REST`` times as long as it
    has worked since."""

    def __init__(self) -> None:
        self._worked = time.thread_time()
        self._thread = 0
        self._over: Final = threading.Event()

    def end(self) -> None:
        """No more rests: what is under way shall come to its end."""
        self._over.set()

    def __call__(self) -> None:
        """Rest, if there was work enough to need it."""
        now, thread = time.thread_time(), threading.get_ident()
        worked = now - self._worked
        if thread != self._thread:
            # Another thread has another clock.
            self._thread, self._worked = thread, now
        elif worked >= _WORK_SECONDS:
            self._over.wait(worked * _REST)
            self._worked = time.thread_time()
