"""Following one collection of the API: all its objects listed once, then every change as it happens.

Source: Kubernetes API concepts, "Efficient detection of changes".
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from webhook.adapters.cluster import Cluster, ClusterError
from webhook.kube.shape import JSONObject, items, mapping, text

if TYPE_CHECKING:
    from aiohttp import StreamReader

_LIST_SECONDS: Final = 30.0

# The API server ends a watch after this many seconds, a different number each time, so that replicas and
# restarts do not all come back at once (client-go does the same, reflector.go minWatchTimeout).
_WATCH_SECONDS: Final = (300, 600)

# A watch that says nothing for so long is dead, however open its connection looks: the API server sends a
# bookmark about once a minute (k8s.io/apiserver storage/cacher, defaultBookmarkFrequency). This bounds how
# stale what is kept can be while the API server can be reached.
WATCH_IDLE_SECONDS: Final = 75.0

_BACKOFF_SECONDS: Final = (0.2, 10.0)


class Keeper(Protocol):
    """Whoever keeps the objects of a collection. Objects come without their managedFields."""

    def listed(self, objects: Sequence[JSONObject]) -> None:
        """These are all objects there are."""
        ...

    def changed(self, obj: JSONObject) -> None:
        """An object was added, or is another now."""
        ...

    def deleted(self, obj: JSONObject) -> None:
        """An object is gone; this was its last state."""
        ...


class _ExpiredError(Exception):
    """The resource version to go on from is too old: everything has to be listed again."""


class ListWatch:
    """Keeps a ``Keeper`` up to date by ``run``, through restarts of the API server and changed credentials."""

    def __init__(
        self, cluster: Cluster, path: str, keeper: Keeper, logger: logging.Logger, *, optional: bool = False
    ) -> None:
        """``cluster`` is for this alone: after a failure its connection is closed.

        ``path`` is that of the collection, such as ``/api/v1/namespaces``; its last part names it in logs. One that
        is ``optional`` and not served by the API server (404) counts as empty at first, and is asked for again.
        """
        self.synced = False
        """Whether all objects have been listed once."""
        self.failures = 0
        """How often listing or watching failed."""
        self.problem = ""
        """What is wrong with the connection now; empty while all is well."""
        self._cluster: Final = cluster
        self._path: Final = path
        self._name: Final = path.rpartition("/")[2]
        self._keeper: Final = keeper
        self._logger: Final = logger
        self._optional: Final = optional
        self._heard = 0.0
        self._version = ""
        self._attempts = 0

    @property
    def silent_seconds(self) -> float:
        """How long ago the API server last said something about the collection."""
        return time.monotonic() - self._heard

    async def run(self) -> None:
        """List and watch for ever; errors are logged and tried again."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except _ExpiredError:
                self._version = ""
            except ClusterError as error:
                if error.status in (404, 410):
                    self._version = ""
                self._complain(str(error))
                if error.status == 404 and self._optional:
                    # Before the first list only: whoever removes the collection deletes its objects first, and the
                    # watch tells. An API server that is just starting may not know of it yet.
                    if not self.synced:
                        self._keeper.listed(())
                        self.synced = True
                else:
                    # The settings may be what is wrong: read them again next time.
                    await self._cluster.reset()
            await asyncio.sleep(_backoff(self._attempts))

    async def _list(self) -> None:
        objects: list[JSONObject] = []
        version = ""
        async for page in self._cluster.pages(self._path, seconds=_LIST_SECONDS):
            objects += (slim(obj) for obj in items(page, "items"))
            version = text(mapping(page, "metadata"), "resourceVersion")
        self._keeper.listed(objects)
        self._version = version
        self._all_well()
        if not self.synced:
            self.synced = True
            self._logger.info(
                "%s are listed and watched", self._name, extra={"fields": {self._name: len(objects)}}
            )

    async def _watch(self) -> None:
        """Follow the changes after ``version`` until the API server ends the watch."""
        seconds = random.randint(*_WATCH_SECONDS)  # noqa: S311  # spreads load, guards nothing
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self._version),
            ("timeoutSeconds", str(seconds)),
        ]
        async with self._cluster.get(self._path, query, seconds=seconds + WATCH_IDLE_SECONDS) as response:
            self._all_well()
            async for line in _lines(response.content):
                try:
                    event = orjson.loads(line)
                    kind, obj = event["type"], event["object"]
                except (orjson.JSONDecodeError, KeyError, TypeError):
                    raise ClusterError("the watch sent something that is no event") from None
                if kind == "ERROR":
                    if obj.get("code") == 410:
                        raise _ExpiredError
                    raise ClusterError(f"the watch ended: {text(obj, 'message')}", obj.get("code") or 0)
                if kind in ("ADDED", "MODIFIED"):
                    self._keeper.changed(slim(obj))
                elif kind == "DELETED":
                    self._keeper.deleted(slim(obj))
                self._version = text(mapping(obj, "metadata"), "resourceVersion") or self._version
                self._all_well()

    def _all_well(self) -> None:
        self._heard = time.monotonic()
        self._attempts = 0
        if self.problem:
            self._logger.info("%s are watched again", self._name)
            self.problem = ""

    def _complain(self, problem: str) -> None:
        self.failures += 1
        self._attempts += 1
        if problem != self.problem:
            self._logger.warning(
                "%s cannot be listed or watched; trying again",
                self._name,
                extra={"fields": {"error": problem}},
            )
            self.problem = problem


async def _lines(content: StreamReader) -> AsyncIterator[bytes]:
    """The lines of a stream, however long, until it ends.

    Raises:
        ClusterError: nothing came for WATCH_IDLE_SECONDS.
    """
    rest = b""
    while True:
        try:
            async with asyncio.timeout(WATCH_IDLE_SECONDS):
                chunk = await content.readany()
        except TimeoutError:
            raise ClusterError(f"the watch said nothing for {WATCH_IDLE_SECONDS:g} s") from None
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line


def slim(obj: JSONObject) -> JSONObject:
    """The object without its managedFields: half of its size, and nobody's business here."""
    metadata = obj.get("metadata")
    if type(metadata) is dict:
        metadata.pop("managedFields", None)
    return obj


def _backoff(attempt: int) -> float:
    first, longest = _BACKOFF_SECONDS
    # The exponent is bounded: after days of trying, 2**attempt is no float any more.
    return min(longest, first * 2.0 ** min(attempt, 16)) * random.uniform(0.5, 1.0)  # noqa: S311  # as above
