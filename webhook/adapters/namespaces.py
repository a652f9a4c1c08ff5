"""The namespaces of the cluster: a watched cache, and one live read where it does not know a name yet.

Admission requests do not carry the labels of their namespace, and a webhook cannot ask for them each time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct, field

from webhook.adapters.cluster import Cluster, ClusterError
from webhook.adapters.list_watch import ListWatch, slim
from webhook.kube.shape import JSONObject, mapping, text
from webhook.policy.findings import MODE_LABEL, Mode

logger: Final = logging.getLogger("gpuward.namespaces")

_PATH: Final = "/api/v1/namespaces"

# How long the answer of a live read holds. By then the watch has brought the namespace into the cache; a name
# that was not there may be made at any time, so that is believed for a moment only.
_FOUND_SECONDS: Final = 5.0
_ABSENT_SECONDS: Final = 1.0
_READ_SECONDS: Final = 5.0
_READS_AT_ONCE: Final = 16
_MEMO_LIMIT: Final = 10_000


class Namespace(Struct, frozen=True):
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


class ClusterNamespaces:
    """The namespaces of a cluster, kept up to date by ``run``; before it lists them, each is read live."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster: Final = cluster
        self._known: dict[str, Namespace] = {}
        self._memo: dict[str, tuple[float, Namespace | None]] = {}
        self._reads: dict[str, asyncio.Task[Namespace | None]] = {}
        self._places: Final = asyncio.Semaphore(_READS_AT_ONCE)
        self._following: Final = ListWatch(cluster, _PATH, self, logger)

    @property
    def synced(self) -> bool:
        """Whether all namespaces have been listed once."""
        return self._following.synced

    @property
    def failures(self) -> int:
        """How often listing or watching failed."""
        return self._following.failures

    @property
    def problem(self) -> str:
        """What is wrong with the connection now; empty while all is well."""
        return self._following.problem

    def __len__(self) -> int:
        return len(self._known)

    @property
    def silent_seconds(self) -> float:
        """How long ago the API server last said something about namespaces."""
        return self._following.silent_seconds

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
        return namespace_from_object(slim(obj))

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
        await self._following.run()

    def listed(self, objects: Sequence[JSONObject]) -> None:
        """See ``list_watch.Keeper``."""
        self._known = {_name(obj): namespace_from_object(obj) for obj in objects}
        self._memo.clear()

    def changed(self, obj: JSONObject) -> None:
        """See ``list_watch.Keeper``."""
        self._known[_name(obj)] = namespace_from_object(obj)
        self._memo.pop(_name(obj), None)

    def deleted(self, obj: JSONObject) -> None:
        """See ``list_watch.Keeper``."""
        self._known.pop(_name(obj), None)
        self._memo.pop(_name(obj), None)


def _name(obj: JSONObject) -> str:
    return text(mapping(obj, "metadata"), "name")
