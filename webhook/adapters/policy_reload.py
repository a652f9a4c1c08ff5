"""Policies that follow their files: read again when their content changes, in force at once or not at all.

Files are polled: the folder may be a ConfigMap (whose ``..data`` link is swapped for another), a network file
system or a bind mount, and none of these tells of changes reliably.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from webhook.adapters import policy_files
from webhook.adapters.policy_files import LoadedPolicies
from webhook.engine.ruleset import Ruleset

logger: Final = logging.getLogger("gpuward.policies")

# What is cheap to ask of a file and changes when its content does: which file it is, its size and its times.
Snapshot = tuple[tuple[str, int, int, int, int], ...]


class PolicyReload:
    """The policy set in force. ``run`` keeps it at what is on disk."""

    def __init__(
        self,
        path: Path,
        ruleset: Ruleset,
        digest: str,
        *,
        poll_seconds: float = 1.0,
        reloaded: Callable[[Ruleset | None], None] = lambda _: None,
    ) -> None:
        """``ruleset`` and ``digest`` are what ``policy_files.load`` gave for ``path``. ``reloaded`` is told
        of each further reading: the new set, or None for one that cannot be used."""
        self.ruleset = ruleset
        """The set in force. It is replaced as a whole: whoever holds one can go on with it."""
        self.problems: tuple[str, ...] = ()
        """What is wrong with the files as they are now; empty while the set in force is theirs."""
        self.loaded_at = time.time()
        """When the set in force was read (Unix time)."""
        self._path: Final = path
        self._poll_seconds: Final = poll_seconds
        self._reloaded: Final = reloaded
        self._asked: Final = asyncio.Event()
        # Of what was last read, good or bad.
        self._digest = digest
        self._snapshot: Snapshot | None = None

    def ask(self) -> None:
        """Read the policies again now, changed or not."""
        self._asked.set()

    async def run(self) -> None:
        """Follow the files for ever."""
        while True:
            asked = self._asked.is_set()
            self._asked.clear()
            loaded = await asyncio.to_thread(self._look, asked=asked)
            if loaded is not None:
                self._take(loaded)
            try:
                async with asyncio.timeout(self._poll_seconds):
                    await self._asked.wait()
            except TimeoutError:
                pass

    def _look(self, *, asked: bool) -> LoadedPolicies | None:
        """In a thread: the policies, where their content is another than that last read; else None."""
        snapshot = take_snapshot(self._path)
        if not asked:
            if snapshot is not None and snapshot == self._snapshot:
                return None
            if policy_files.digest(self._path) == self._digest:
                self._snapshot = snapshot
                return None
        # Should the files change from here on, the next snapshot differs from this one.
        self._snapshot = snapshot
        return policy_files.load(self._path)

    def _take(self, loaded: LoadedPolicies) -> None:
        self._digest = loaded.digest
        if loaded.ruleset is None:
            self.problems = tuple(str(problem) for problem in loaded.problems)
            fields = {"problems": list(self.problems)}
            logger.error("the policies cannot be used; those before stay", extra={"fields": fields})
        else:
            self.ruleset = loaded.ruleset
            self.loaded_at = time.time()
            self.problems = ()
            fields = {"policies": list(loaded.ruleset.names())}
            logger.info("policies are reloaded", extra={"fields": fields})
        self._reloaded(loaded.ruleset)


def take_snapshot(path: Path) -> Snapshot | None:
    """What the files below ``path`` look like from outside; None where they cannot be looked at.

    Links are followed, and what starts with a dot is skipped: a mounted ConfigMap has its versions in such
    folders, and its files link to those of the current one.
    """
    try:
        return tuple(_looks(path))
    except OSError:
        return None


def _looks(path: Path) -> Iterator[tuple[str, int, int, int, int]]:
    status = path.stat()
    yield str(path), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    if path.is_dir():
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        for name in names:
            yield from _looks(path / name)
