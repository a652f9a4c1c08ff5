"""What a kubelet and the EndpointSlice controller do for pods: a replica that is ready is an endpoint, and no other."""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.request
from typing import Final, Self

from tests.e2e.cluster import ApiError, ControlPlane
from tests.e2e.serving import Served

# The kubelet asks every 2 seconds in the chart; here the same in less time. As there, two answers in a row that are
# not 200, or do not come in time, make a replica unready.
PROBE_SECONDS: Final = 0.3
_PROBE_TIMEOUT_SECONDS: Final = 1.0
_FAILURE_THRESHOLD: Final = 2


class Endpoints:
    """Keeps the endpoints of a Service; ``follow`` and ``forget`` say which replicas there are. A context manager."""

    def __init__(self, cluster: ControlPlane, namespace: str, service: str) -> None:
        assert cluster.address is not None
        self._cluster = cluster
        self._address = cluster.address
        self._service = (namespace, service)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._replicas: dict[int, tuple[Served, int]] = {}  # by port, with the probes that failed in a row
        self._ready: set[int] = set()
        self._published: set[int] | None = None
        self.changed_at: dict[int, float] = {}
        """By port: when a replica became an endpoint, or ceased to be one (``time.monotonic``)."""

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def follow(self, replica: Served) -> None:
        """From now on it is an endpoint while it is ready."""
        with self._lock:
            self._replicas[replica.port] = (replica, 0)

    def forget(self, replica: Served) -> None:
        """Its pod is gone."""
        with self._lock:
            self._replicas.pop(replica.port, None)

    def are(self, *replicas: Served) -> bool:
        """Whether exactly these are published."""
        return self._published == {replica.port for replica in replicas}

    def _run(self) -> None:
        while not self._stop.wait(PROBE_SECONDS):
            with self._lock:
                replicas = dict(self._replicas)
            # Side by side: one that does not answer must not keep the others waiting.
            probes = [threading.Thread(target=self._probe, args=(port,), daemon=True) for port in replicas]
            for probe in probes:
                probe.start()
            for probe in probes:
                probe.join()
            self._ready &= set(self._replicas)
            if self._ready != self._published:
                # The API server may be away just now: tried again with the next probe.
                with contextlib.suppress(OSError, ApiError):
                    self._publish(set(self._ready))

    def _probe(self, port: int) -> None:
        replica, failed = self._replicas.get(port, (None, 0))
        if replica is None:
            return
        try:
            with urllib.request.urlopen(f"{replica.admin_url}/readyz", timeout=_PROBE_TIMEOUT_SECONDS):
                failed = 0
        except OSError:
            failed += 1
        with self._lock:
            if port in self._replicas:
                self._replicas[port] = (replica, failed)
        if not failed:
            self._ready.add(port)
        elif failed >= _FAILURE_THRESHOLD:
            self._ready.discard(port)

    def _publish(self, ready: set[int]) -> None:
        endpoints = [(self._address, port) for port in sorted(ready)]
        self._cluster.publish_service(*self._service, endpoints)
        for port in ready ^ (self._published or set()):
            self.changed_at[port] = time.monotonic()
        self._published = ready
