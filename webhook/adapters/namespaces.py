"""The namespaces of the cluster: a watched cache, and one live read where it does not know a name yet.

Admission requests do not carry the labels of their namespace, and a webhook cannot ask for them each time.
Source: Kubernetes API concepts, "Efficient detection of changes".
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from webhook.adapters.cluster import Cluster, ClusterError
from webhook.kube.shape import JSONObject, items, mapping, text
from webhook.policy.findings import MODE_LABEL, Mode

if TYPE_CHECKING:
    from aiohttp import StreamReader

logger: Final = logging.getLogger("gpuward.namespaces")

_PATH: Final = "/api/v1/namespaces"
_PAGE: Final = 500
_LIST_SECONDS: Final = 30.0

# The API server ends a watch after this many seconds, a different number each time, so that replicas and
# restarts do not all come back at once (client-go does the same, reflector.go minWatchTimeout).
_WATCH_SECONDS: Final = (300, 600)

# A watch that says nothing for so long is dead, however open its connection looks: the API server sends a
# bookmark about once a minute (k8s.io/apiserver storage/cacher, defaultBookmarkFrequency). This bounds how
# stale the cache can be while the API server can be reached.
WATCH_IDLE_SECONDS: Final = 75.0

_BACKOFF_SECONDS: Final = (0.2, 10.0)

# How long the answer of a live read holds. By then the watch has brought the namespace into the cache; a name
# that was not there may be made at any time, so that is believed for a moment only.
_FOUND_SECONDS: Final = 5.0
_ABSENT_SECONDS: Final = 1.0
_READ_SECONDS: Final = 5.0
_READS_AT_ONCE: Final = 16
_MEMO_LIMIT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace as reviews see it: its labels, the whole object where it is known, and its mode.

    ``mode`` is None where it has not opted in. A label with a value that is no mode counts as audit: whoever
    set it wanted something, and audit cannot hurt.
    """

    labels: Mapping[str, Any] = field(default_factory=dict)
    object: JSONObject | None = None
    mode: Mode | None = None


def namespace_from_object(obj: JSONObject) -> Namespace:
    """The namespace that a Namespace object describes. Logs a mode that is none."""
    metadata = mapping(obj, "metadata")
    labels = mapping(metadata, "labels")
    value = labels.get(MODE_LABEL)
    mode = None
    if value is not None:
        try:
            mode = Mode(value)
        except ValueError:
            mode = Mode.AUDIT
            logger.warning(
                "the namespace's mode is none of audit, warn and enforce; it counts as audit",
                extra={"fields": {"namespace": text(metadata, "name"), "label": MODE_LABEL}},
            )
    return Namespace(labels, obj, mode)


class NamespaceLookupError(Exception):
    """The cluster did not say in time whether there is such a namespace, or what it is like."""


class Namespaces(Protocol):
    """A source of namespaces."""

    def get(self, name: str) -> Namespace | None:
        """The namespace as it is known here and now; None where it is not."""
        ...

    async def find(self, name: str, seconds: float) -> Namespace | None:
        """Ask the cluster, waiting for at most ``seconds``. None where there is no such namespace.

        Raises:
            NamespaceLookupError: there was no answer.
        """
        ...


class EveryNamespace:
    """Stands in where there is no cluster: every namespace is there, without labels."""

    def __init__(self) -> None:
        self._one: Final = Namespace()

    def get(self, name: str) -> Namespace | None:  # noqa: ARG002  # they are all the same
        """The same empty namespace for every name."""
        return self._one

    async def find(self, name: str, seconds: float) -> Namespace | None:  # noqa: ARG002  # as above
        """The same empty namespace for every name."""
        return self._one


class _ExpiredError(Exception):
    """The resource version to go on from is too old: everything has to be listed again."""


class ClusterNamespaces:
    """The namespaces of a cluster, kept up to date by ``run``; before it lists them, each is read live."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster: Final = cluster
        self._known: dict[str, Namespace] = {}
        self._memo: dict[str, tuple[float, Namespace | None]] = {}
        self._reads: dict[str, asyncio.Task[Namespace | None]] = {}
        self._places: Final = asyncio.Semaphore(_READS_AT_ONCE)
        self.synced = False
        """Whether all namespaces have been listed once."""
        self.failures = 0
        """How often listing or watching failed."""
        self.problem = ""
        """What is wrong with the connection now; empty while all is well."""
        self._heard = 0.0
        self._version = ""
        self._attempts = 0

    def __len__(self) -> int:
        return len(self._known)

    @property
    def silent_seconds(self) -> float:
        """How long ago the API server last said something about namespaces."""
        return time.monotonic() - self._heard

    # Asking

    def get(self, name: str) -> Namespace | None:
        """The namespace as the watch or a live read of a moment ago showed it; None for any other name."""
        found = self._known.get(name)
        if found is None and self._memo:
            remembered = self._memo.get(name)
            if remembered is not None and remembered[0] > time.monotonic():
                return remembered[1]
        return found

    async def find(self, name: str, seconds: float) -> Namespace | None:
        """Read a namespace from the API server, see ``Namespaces.find``; simultaneous calls share it."""
        remembered = self._memo.get(name)
        if remembered is not None and remembered[0] > time.monotonic():
            return remembered[1]
        read = self._reads.get(name)
        if read is None:
            read = self._reads[name] = asyncio.create_task(self._read(name))
            read.add_done_callback(lambda done: self._read_done(name, done))
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(read)
        except TimeoutError:
            raise NamespaceLookupError(f"no answer within {seconds:.1f} s") from None

    async def _read(self, name: str) -> Namespace | None:
        try:
            async with self._places:
                obj = await self._cluster.get_json(f"{_PATH}/{name}", seconds=_READ_SECONDS)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise NamespaceLookupError(str(error)) from error
        return namespace_from_object(_slim(obj))

    def _read_done(self, name: str, done: asyncio.Task[Namespace | None]) -> None:
        del self._reads[name]
        if done.cancelled() or done.exception() is not None:
            return
        found = done.result()
        if len(self._memo) >= _MEMO_LIMIT:
            self._memo.clear()
        lifetime = _ABSENT_SECONDS if found is None else _FOUND_SECONDS
        self._memo[name] = (time.monotonic() + lifetime, found)

    # Keeping up to date

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
                if error.status == 410:
                    self._version = ""
                self._complain(str(error))
                # The settings may be what is wrong: read them again next time.
                await self._cluster.reset()
            await asyncio.sleep(_backoff(self._attempts))

    async def _list(self) -> None:
        known: dict[str, Namespace] = {}
        query = [("limit", str(_PAGE))]
        while True:
            page = await self._cluster.get_json(_PATH, query, seconds=_LIST_SECONDS)
            known.update(self._named(items(page, "items")))
            metadata = mapping(page, "metadata")
            if not metadata.get("continue"):
                break
            query = [("limit", str(_PAGE)), ("continue", text(metadata, "continue"))]
        self._known = known
        self._memo.clear()
        self._version = text(metadata, "resourceVersion")
        self._all_well()
        if not self.synced:
            self.synced = True
            logger.info("namespaces are listed and watched", extra={"fields": {"namespaces": len(known)}})

    def _named(self, objects: Iterable[JSONObject]) -> dict[str, Namespace]:
        return {text(mapping(obj, "metadata"), "name"): namespace_from_object(_slim(obj)) for obj in objects}

    async def _watch(self) -> None:
        """Follow the changes after ``version`` until the API server ends the watch."""
        seconds = random.randint(*_WATCH_SECONDS)  # noqa: S311  # spreads load, guards nothing
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self._version),
            ("timeoutSeconds", str(seconds)),
        ]
        async with self._cluster.get(_PATH, query, seconds=seconds + WATCH_IDLE_SECONDS) as response:
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
                self._apply(kind, obj)
                self._version = text(mapping(obj, "metadata"), "resourceVersion") or self._version
                self._all_well()

    def _apply(self, kind: str, obj: JSONObject) -> None:
        name = text(mapping(obj, "metadata"), "name")
        if kind in ("ADDED", "MODIFIED"):
            self._known[name] = namespace_from_object(_slim(obj))
        elif kind == "DELETED":
            self._known.pop(name, None)
        else:
            return
        self._memo.pop(name, None)

    def _all_well(self) -> None:
        self._heard = time.monotonic()
        self._attempts = 0
        if self.problem:
            logger.info("namespaces are watched again")
            self.problem = ""

    def _complain(self, problem: str) -> None:
        self.failures += 1
        self._attempts += 1
        if problem != self.problem:
            logger.warning(
                "namespaces cannot be listed or watched; trying again", extra={"fields": {"error": problem}}
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


def _slim(obj: JSONObject) -> JSONObject:
    """The object without its managedFields: half of its size, and nobody's business here."""
    metadata = obj.get("metadata")
    if type(metadata) is dict:
        metadata.pop("managedFields", None)
    return obj


def _backoff(attempt: int) -> float:
    first, longest = _BACKOFF_SECONDS
    # The exponent is bounded: after days of trying, 2**attempt is no float any more.
    return min(longest, first * 2.0 ** min(attempt, 16)) * random.uniform(0.5, 1.0)  # noqa: S311  # as above
