"""The server's application in the test's own event loop, with namespaces and policies of the test's choice."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.server.reviews import Answer
from webhook.adapters import policy_files
from webhook.adapters.logs import DirectLogWriter
from webhook.adapters.metrics import Metrics
from webhook.adapters.namespaces import Namespace, NamespaceLookupError, Namespaces, namespace_from_object
from webhook.engine.ruleset import Ruleset
from webhook.policy.findings import Mode
from webhook.server.accept import Acceptor
from webhook.server.admission import Admission
from webhook.server.app import WebhookApp
from webhook.server.connections import Listener
from webhook.server.health import Health
from webhook.server.limits import MAX_CONNECTIONS, Gate
from webhook.server.record import Recorder
from webhook.server.run import bind


class FakeNamespaces:
    """Namespaces by name with their labels. Those in ``live`` are known to the cluster only, ``unreachable`` ones
    make it fall silent; ``asked`` lists the live reads."""

    def __init__(
        self,
        known: Mapping[str, Mapping[str, str]] | None = None,
        live: Mapping[str, Mapping[str, str]] | None = None,
        unreachable: frozenset[str] = frozenset(),
    ) -> None:
        self.known = dict(known or {})
        self.live = dict(live or {})
        self.unreachable = unreachable
        self.asked: list[tuple[str, float]] = []

    def get(self, name: str) -> Namespace | None:
        return _namespace(name, self.known[name]) if name in self.known else None

    async def find(self, name: str, seconds: float) -> Namespace | None:
        self.asked.append((name, seconds))
        if name in self.unreachable:
            raise NamespaceLookupError("no route to host")
        return _namespace(name, self.live[name]) if name in self.live else None


def _namespace(name: str, labels: Mapping[str, str]) -> Namespace:
    return namespace_from_object(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels)}}
    )


@dataclass
class Running:
    """A server and a client of it."""

    url: str
    session: aiohttp.ClientSession
    metrics: Metrics
    gate: Gate
    app: WebhookApp
    port: int
    open_connections: Callable[[], int]
    log: io.StringIO

    async def post(self, path: str, body: bytes) -> Answer:
        headers = {"Content-Type": "application/json"}
        async with self.session.post(self.url + path, data=body, headers=headers) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    def logged(self) -> list[dict[str, Any]]:
        """The lines of the admission log."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def metric(self, name: str, **labels: str) -> float:
        """The value of one sample; 0 where there is none yet."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def running(
    ruleset: Ruleset,
    namespaces: Namespaces | None = None,
    *,
    default_mode: Mode | None = None,
    exempt: tuple[str, ...] = (),
    gate: Gate | None = None,
    max_connections: int = MAX_CONNECTIONS,
) -> AsyncIterator[Running]:
    """A server on a free port, without TLS."""
    gate = gate or Gate()
    metrics = Metrics("test")
    log = io.StringIO()
    recorder = Recorder(metrics, DirectLogWriter(log))
    admission = Admission(
        ruleset=lambda: ruleset,
        namespaces=namespaces or FakeNamespaces({"ml-team": {}}),
        recorder=recorder,
        gate=gate,
        default_mode=default_mode,
        exempt=exempt,
    )
    app = WebhookApp(admission, Health([]), recorder)
    listener = Listener(app.answer, closed=metrics.connection_closed)
    (listening,) = bind("127.0.0.1", 0)
    port = listening.getsockname()[1]
    acceptor = Acceptor(listening, listener, max_connections)
    acceptor.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Running(
                f"http://127.0.0.1:{port}", session, metrics, gate, app, port, lambda: acceptor.open, log
            )
    finally:
        acceptor.close()
        await listener.shutdown(1)
        admission.close()


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait until something holds; fails where it does not within ``seconds``."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # the condition is somebody else's state
            await asyncio.sleep(0.01)


async def until_it(condition: Callable[[], Awaitable[object]], seconds: float = 20) -> None:
    """``until`` for what has to be asked for."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.02)


def ruleset_of(folder: Path, *policies: str) -> Ruleset:
    """The policies of these YAML texts."""
    for index, policy in enumerate(policies):
        (folder / f"{index}.yaml").write_text(policy)
    loaded = policy_files.load(folder)
    assert loaded.ruleset is not None, "\n".join(map(str, loaded.problems))
    return loaded.ruleset


NO_PRIVILEGED = """
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: no-privileged}
spec:
  validate: [{rule: no-privileged}]
"""

ML_ONLY = """
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: ml-only}
spec:
  match: {namespaceSelector: {matchLabels: {team: ml}}}
  validate: [{rule: no-privileged}]
"""


def samples(metrics: Metrics, name: str) -> dict[tuple[Any, ...], float]:
    """All samples of a metric: label values to value."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == name
    }
