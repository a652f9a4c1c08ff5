"""A cluster to rotate certificates in, without a cluster: one Secret, webhook configurations, replicas, and time.

The replicas run the real code. It stops before every call of the API, so that a test decides who goes on, and what
happens in between: time passes, clocks jump, processes die, answers are lost.
"""

from __future__ import annotations

import types
from base64 import b64decode, b64encode
from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509

from certs import install
from certs.inspect import is_valid_at, read_certificates, why_not_trusted
from certs.install import Installer, Place
from certs.renew import Seen, Step, Stored, Wanted, may_take, serves_what_is_stored
from webhook.adapters.cluster import Cluster, ClusterError

PLACE = Place("gpuward", "gpuward-certs", ("gpuward",))
NAME = "gpuward.gpuward.svc"
WANTED = Wanted(
    names=(NAME,),
    leaf_lifetime=timedelta(days=90),
    ca_lifetime=timedelta(days=365),
    trust_delay=timedelta(seconds=30),
    overlap=timedelta(hours=1),
)

# How far behind an API server may be that has not seen yet what was written.
LAG_SECONDS = 20.0


@types.coroutine
def _pause() -> Generator[None, None, None]:
    yield


class FakeCluster(Cluster):
    """One Secret and the configurations, with versions, as the API server keeps them."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 0
        self.lose_answers = 0
        """How many of the next writes are done, but their answer is lost."""
        self.refuse: dict[str, int] = {}
        """The status that is answered to writes of a path."""
        self.history: list[tuple[float, str, tuple[x509.Certificate, ...]]] = []
        """What each configuration trusted since when."""
        self.now = 0.0

    def add_configuration(self, kind: str, name: str, webhooks: int = 2, ca: bytes = b"") -> str:
        path = f"/apis/admissionregistration.k8s.io/v1/{kind}/{name}"
        service = {"namespace": "gpuward", "name": "gpuward", "path": "/"}
        client = {"service": service, **({"caBundle": b64encode(ca).decode()} if ca else {})}
        self._store(
            path,
            {
                "metadata": {"name": name},
                "webhooks": [
                    {"name": f"{index}.gpuward.dev", "clientConfig": dict(client)}
                    for index in range(webhooks)
                ],
            },
        )
        return path

    def overwrite_bundle(self, path: str, bundle: str, webhook: int = 0) -> None:
        obj = _copy(self.objects[path])
        obj["webhooks"][webhook]["clientConfig"]["caBundle"] = bundle
        self._store(path, obj)

    @property
    def secret(self) -> Stored | None:
        obj = self.objects.get(PLACE.path)
        return Stored.read(install.data_of(obj)) if obj is not None else None

    def put_secret(self, data: dict[str, bytes]) -> None:
        obj = self.objects[PLACE.path]
        self._store(
            PLACE.path, {**obj, "data": {key: b64encode(value).decode() for key, value in data.items()}}
        )

    def bundles(self) -> dict[str, list[tuple[x509.Certificate, ...]]]:
        return {
            path: [
                read_certificates(b64decode(webhook["clientConfig"].get("caBundle", ""), validate=False))
                for webhook in obj["webhooks"]
            ]
            for path, obj in self.objects.items()
            if "webhooks" in obj
        }

    def trusted_lately(self) -> list[tuple[x509.Certificate, ...]]:
        """All bundles by which some API server may judge now."""
        found: list[tuple[x509.Certificate, ...]] = []
        for path in self.bundles():
            own = [(since, bundle) for since, written, bundle in self.history if written == path]
            for index, (_, bundle) in enumerate(own):
                until = own[index + 1][0] if index + 1 < len(own) else float("inf")
                if until >= self.now - LAG_SECONDS:
                    found.append(bundle)
        return found

    # As the API server answers

    async def get_json(self, path: str, query: Sequence[tuple[str, str]] = (), *, seconds: float) -> Any:
        await _pause()
        if path not in self.objects:
            raise ClusterError(f"{path}: 404", 404)
        return _copy(self.objects[path])

    async def send_json(
        self, method: str, path: str, body: Any, *, content_type: str = "", seconds: float = 0
    ) -> Any:
        await _pause()
        if path in self.refuse:
            raise ClusterError(f"{path}: {self.refuse[path]}", self.refuse[path])
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                raise ClusterError(f"{path}: 409", 409)
            stored = self._store(path, body)
        elif path not in self.objects:
            raise ClusterError(f"{path}: 404", 404)
        elif method == "PUT":
            self._check(path, body["metadata"]["resourceVersion"])
            stored = self._store(path, body)
        else:
            changed = _copy(self.objects[path])
            for operation in body:
                *parents, last = operation["path"].strip("/").split("/")
                target: Any = changed
                for part in parents:
                    target = target[int(part)] if isinstance(target, list) else target[part]
                target[last] = operation["value"]
            self._check(path, changed["metadata"]["resourceVersion"])
            stored = self._store(path, changed)
        if self.lose_answers:
            self.lose_answers -= 1
            raise ClusterError(f"{path}: no answer within {seconds:g} s")
        return stored

    async def reset(self) -> None:
        """Nothing is open."""

    def _check(self, path: str, version: str) -> None:
        if self.objects[path]["metadata"]["resourceVersion"] != version:
            raise ClusterError(f"{path}: 409", 409)

    def _store(self, path: str, obj: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        obj = _copy(obj)
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.objects[path] = obj
        if "webhooks" in obj:
            for bundle in self.bundles()[path]:
                self.history.append((self.now, path, bundle))
        return _copy(obj)


def _copy(obj: Any) -> Any:
    if isinstance(obj, dict):
        return {key: _copy(value) for key, value in obj.items()}
    return [_copy(value) for value in obj] if isinstance(obj, list) else obj


@dataclass(eq=False)
class Replica:
    """One server: what it serves, and the look that it is in the middle of."""

    world: World
    installer: Installer
    serving: tuple[x509.Certificate, ...] = ()
    began: float = 0.0
    heard: float = float("-inf")
    running: Coroutine[Any, Any, Seen] | None = None

    def go_on(self) -> None:
        """Until the next call of the API."""
        if self.running is None:
            self.began = self.world.cluster.now
            self.running = self.installer.advance(self._take)
        try:
            self.running.send(None)
        except StopIteration as end:
            self.running = None
            if serves_what_is_stored(end.value):
                self.heard = self.began
        except ClusterError:
            self.running = None

    def look(self) -> None:
        """A whole look, or the rest of one."""
        self.go_on()
        while self.running is not None:
            self.go_on()

    def _take(self, seen: Seen) -> tuple[x509.Certificate, ...]:
        seen = replace(seen, serving=self.serving)
        if may_take(seen, self.installer.wanted):
            assert seen.stored is not None
            self.serving = seen.stored.chain
        return self.serving

    @property
    def is_called(self) -> bool:
        """Whether it is ready and so may be called: it serves something, and has news."""
        stale = WANTED.overlap.total_seconds() / 2
        return bool(self.serving) and self.world.cluster.now - self.heard <= stale


class World:
    """Time, the cluster and the replicas."""

    def __init__(self, wanted: Wanted = WANTED) -> None:
        self.cluster = FakeCluster()
        self.wanted = wanted
        self.jumped = timedelta(0)
        self.steps: list[Step] = []
        self.replicas: list[Replica] = []

    @property
    def clock(self) -> datetime:
        return datetime(2026, 11, 27, tzinfo=UTC) + timedelta(seconds=self.cluster.now) + self.jumped

    def pass_time(self, seconds: float) -> None:
        self.cluster.now += seconds

    def jump(self, by: timedelta) -> None:
        """Clocks show another time all at once; no time has passed."""
        self.jumped += by

    def start_replica(self) -> Replica:
        installer = Installer(
            self.cluster,
            PLACE,
            replace(self.wanted, jitter=0.1 * len(self.replicas)),
            clock=lambda: self.clock,
            monotonic=lambda: self.cluster.now,
            did=self.steps.append,
        )
        replica = Replica(self, installer)
        self.replicas.append(replica)
        return replica

    def kill(self, replica: Replica) -> None:
        if replica.running is not None:
            replica.running.close()
        self.replicas.remove(replica)

    def settle(self, rounds: int = 400) -> None:
        """Let all replicas look, every few seconds at first and then ever less often, until nothing is due."""
        for count in range(rounds):
            for replica in list(self.replicas):
                replica.look()
            if all(one.installer.decision.step is Step.KEEP and not one.installer.decision.reason for one in
                   self.replicas):  # fmt: skip
                return
            self.pass_time(5.0 if count < 30 else 600.0)
        reasons = [one.installer.decision for one in self.replicas]
        raise AssertionError(f"it does not come to rest: {reasons}")

    def refused(self) -> list[str]:
        """Why some API server would refuse some replica that it may call now."""
        return [
            reason
            for replica in self.replicas
            if replica.is_called and is_valid_at(replica.serving[0], self.clock)
            for bundle in self.cluster.trusted_lately()
            if (reason := why_not_trusted(replica.serving, bundle, NAME, self.clock))
        ]


def without_loop(monkeypatch: Any) -> None:
    """Let the code wait without an event loop: who goes on is the test's choice."""

    async def sleep(_: float) -> None:
        await _pause()

    monkeypatch.setattr(install, "asyncio", types.SimpleNamespace(sleep=sleep))
