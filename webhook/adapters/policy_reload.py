"""Policies that follow their files: read again when their content changes, in force at once or not at all.

Policies that are custom resources follow the cluster, and are compiled together with the files.

Files are polled: the folder may be a ConfigMap (whose ``..data`` link is swapped for another), a network file
system or a bind mount, and none of these tells of changes reliably.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from webhook.adapters import policy_files
from webhook.adapters.policy_documents import Pause, PolicyFileProblem, no_pause
from webhook.adapters.policy_resources import Merging, PolicyResources, Verdict
from webhook.adapters.rest import Rest
from webhook.engine.ruleset import Ruleset

logger: Final = logging.getLogger("gpuward.policies")

# Resources are often applied many at once; each by itself would be a set of its own.
_SETTLE_SECONDS: Final = 0.1

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
        judged: Callable[[Sequence[Verdict]], None] = lambda _: None,
    ) -> None:
        """``ruleset`` and ``digest`` are what ``policy_files.load`` gave for ``path``. ``reloaded`` is told
        of each further reading: the new set, or None for one that cannot be used; ``judged`` is told what came of
        each resource."""
        self.ruleset = ruleset
        """The set in force. It is replaced as a whole: whoever holds one can go on with it."""
        self.problems: tuple[str, ...] = ()
        """What is wrong with the files as they are now; empty while the set in force is theirs."""
        self.loaded_at = time.time()
        """When the set in force was read (Unix time)."""
        self.resources: PolicyResources | None = None
        """Policies that come from the cluster besides. To be given before ``run``."""
        self.resource_problems: tuple[str, ...] = ()
        """What is wrong with resources as they are now."""
        self.resources_loaded = -1
        """Which version of the resources has been compiled, good or bad; -1 for none yet."""
        self._path: Final = path
        self._poll_seconds: Final = poll_seconds
        self._reloaded: Final = reloaded
        self._judged: Final = judged
        self._pause: Final = Rest()
        self._merging: Final = Merging(path, self._pause)
        self._asked: Final = asyncio.Event()
        self._stirred: Final = asyncio.Event()
        # Of what was last read, good or bad.
        self._digest = digest
        self._snapshot: Snapshot | None = None

    def ask(self) -> None:
        """Read the policies again now, changed or not."""
        self._asked.set()
        self._stirred.set()

    def resources_changed(self) -> None:
        """Look at the resources again soon."""
        self._stirred.set()

    async def run(self) -> None:
        """Follow the files and the resources for ever."""
        try:
            await self._follow()
        finally:
            # A thread that is compiling cannot be cancelled, and the process waits for it.
            self._pause.end()

    async def _follow(self) -> None:
        while True:
            asked = self._asked.is_set()
            self._asked.clear()
            self._stirred.clear()
            resources = self.resources
            if resources is not None and resources.synced:
                await self._follow_both(resources, asked=asked)
            else:
                await self._follow_files(asked=asked)
            try:
                async with asyncio.timeout(self._poll_seconds):
                    await self._stirred.wait()
            except TimeoutError:
                continue
            if resources is not None:
                await asyncio.sleep(_SETTLE_SECONDS)

    async def _follow_files(self, *, asked: bool) -> None:
        if not await asyncio.to_thread(self._have_changed, asked=asked):
            return
        self._take(*await asyncio.to_thread(self._load_files))

    def _load_files(self) -> tuple[Ruleset | None, str, Sequence[PolicyFileProblem]]:
        """In a thread, where all else that was read goes too: what is in force now, the digest and the problems."""
        more = self.resources is not None
        loaded = policy_files.load(self._path, more=more, pause=self._pause)
        return loaded.ruleset, loaded.digest, () if loaded.ruleset else loaded.problems

    async def _follow_both(self, resources: PolicyResources, *, asked: bool) -> None:
        version, listed = resources.version, resources.all()
        asked = asked or version != self.resources_loaded
        if not await asyncio.to_thread(self._have_changed, asked=asked):
            return
        merged = await asyncio.to_thread(self._merging.load, listed)
        self._complain(merged.verdicts)
        self._take(merged.loaded.ruleset, merged.loaded.digest, merged.files_problems)
        self.resources_loaded = version
        if merged.loaded.ruleset is not None:
            self._judged(merged.verdicts)

    def _have_changed(self, *, asked: bool) -> bool:
        """In a thread: whether the content of the files is another than that last read, or somebody asked."""
        snapshot = take_snapshot(self._path, self._pause)
        if not asked:
            if snapshot is not None and snapshot == self._snapshot:
                return False
            if policy_files.digest(self._path, pause=self._pause) == self._digest:
                self._snapshot = snapshot
                return False
        # Should the files change from here on, the next snapshot differs from this one.
        self._snapshot = snapshot
        return True

    def _take(self, ruleset: Ruleset | None, digest: str, problems: Sequence[PolicyFileProblem]) -> None:
        """Put a set into force, if it is one, and tell of the problems with the files."""
        self._digest = digest
        self.problems = tuple(str(problem) for problem in problems)
        if ruleset is not None:
            self.ruleset = ruleset
            self.loaded_at = time.time()
            fields = {"policies": list(ruleset.names())}
            logger.info("policies are reloaded", extra={"fields": fields})
        if problems:
            fields = {"problems": list(self.problems)}
            logger.error("the policies cannot be used; those before stay", extra={"fields": fields})
        self._reloaded(None if problems else ruleset)

    def _complain(self, verdicts: Sequence[Verdict]) -> None:
        problems = tuple(str(problem) for verdict in verdicts for problem in verdict.problems)
        if problems and problems != self.resource_problems:
            logger.error(
                "policy resources cannot be used; their last good versions stay",
                extra={"fields": {"problems": list(problems)}},
            )
        self.resource_problems = problems


def take_snapshot(path: Path, pause: Pause = no_pause) -> Snapshot | None:
    """What the files below ``path`` look like from outside; None where they cannot be looked at.

    Links are followed, and what starts with a dot is skipped: a mounted ConfigMap has its versions in such
    folders, and its files link to those of the current one.
    """
    try:
        return tuple(_looks(os.fspath(path), pause))
    except OSError:
        return None


def _looks(path: str, pause: Pause) -> Iterator[tuple[str, int, int, int, int]]:
    pause()
    # Strings and one call for each file, as this is asked every second beside the reviews.
    status = os.stat(path)  # noqa: PTH116 - a Path for each file takes longer than asking
    yield path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    if stat.S_ISDIR(status.st_mode):
        for name in sorted(os.listdir(path)):  # noqa: PTH208 - as above
            if not name.startswith("."):
                yield from _looks(f"{path}/{name}", pause)
