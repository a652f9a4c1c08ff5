"""Replicas of gpuward behind a Service, with certificates that they look after themselves."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from tests.e2e.certificates import SERVICE, Installation, readiness
from tests.e2e.cluster import ControlPlane
from tests.e2e.serving import Served

from .endpoints import Endpoints
from .load import Load
from .report import Row

# A thousand policies take seconds to compile, and on a busy machine several times as many.
_START_SECONDS = 120.0

# Between the endpoint that goes and the call that is not made any more lie a probe or two, a write and a watch: well
# under a second here. In the chart it is five seconds before the signal, and five after it.
DRAIN = ("--drain-delay", "3s")


class Fleet(Installation):
    """So many replicas, each an endpoint while it is ready, called for pods in the namespace ``enforced``."""

    def __init__(self, cluster: ControlPlane, folder: Path, *arguments: str, replicas: int = 2) -> None:
        if cluster.address is None:
            raise RuntimeError(
                "Services are called at an address of this machine that is not loopback; it has none"
            )
        self._folder = folder
        self._arguments = arguments
        self._started = 1
        super().__init__(cluster, folder / "replica-1", *self._flags())
        self._wanted = replicas
        self.endpoints = Endpoints(cluster, self.namespace, SERVICE)
        self.gone: list[Served] = []

    def __enter__(self) -> Self:
        self.endpoints.__enter__()
        try:
            self._begin(self.served)
            while len(self.replicas) < self._wanted:
                self.start()
            self.cluster.install_webhooks(None, b"", service=(self.namespace, SERVICE, 443))
            self.cluster.wait_for(self.creates_a_pod, 60, "a pod to come through the webhook")
            self.settle()
            self.settle_endpoints()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.remove_webhooks()
        self.endpoints.__exit__()
        for replica in self.replicas:
            replica.__exit__()

    # Replicas

    def start(self, *further: str, kubeconfig: Path | None = None, wrapper: Sequence[str] = ()) -> Served:
        """One replica more, which is ready; started by ``wrapper``, see ``Serving``."""
        self._started += 1
        folder = self._folder / f"replica-{self._started}"
        served = self.server(folder, *self._flags(), *further, kubeconfig=kubeconfig)
        served.wrapper = wrapper
        self._begin(served)
        self.replicas.append(served)
        return served

    def stop(self, replica: Served) -> int:
        """One replica less, as Kubernetes does it; its exit status."""
        status = replica.stop()
        self.lose(replica)
        return status

    def lose(self, replica: Served) -> None:
        """One that has ended or is about to is none of ours any more."""
        self.replicas.remove(replica)
        self.gone.append(replica)
        self.endpoints.forget(replica)
        replica.__exit__()

    def settle_endpoints(self) -> None:
        """Until every replica, and nothing else, is an endpoint."""
        self.cluster.wait_for(lambda: self.endpoints.are(*self.replicas), 30, "the endpoints to settle")

    def readiness(self, replica: Served) -> str:
        return readiness(replica.admin_url)[1]

    def pods(self, *, clients: int = 4, pause: float = 0.02) -> Load:
        """The load: good pods, created as dry runs."""
        return Load(self.cluster, self.enforced, clients=clients, pause=pause)

    def log(self) -> str:
        """What all replicas have logged, those that are gone too."""
        return "".join(line for replica in (*self.replicas, *self.gone) for line in list(replica.log))

    def _begin(self, served: Served) -> Served:
        served.start_seconds = _START_SECONDS
        served.__enter__()
        self.endpoints.follow(served)
        return served

    def _flags(self) -> tuple[str, ...]:
        return ("--host", "0.0.0.0", *DRAIN, *self._arguments)


def metric(served: Served, sample: str) -> float:
    """The value of a sample of a server's metrics, named with its labels; 0 where there is none yet."""
    with urllib.request.urlopen(f"{served.admin_url}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} ")), 0.0)


def measured(row: Row, load: Load, since: float | None = None) -> Row:
    """A row with what a load met with; recovery is counted from ``since``."""
    row.requests = len(load.outcomes)
    row.failed = len(load.failures)
    row.worst = load.worst
    if since is not None:
        row.recovery = load.recovery(since)
    row.notes += sorted({outcome.failure[:300] for outcome in load.failures})[:10]
    return row


def until(
    load: Load, admitted: int = 40, seconds: float = 60, *, what: Callable[[], object] | None = None
) -> bool:
    """Wait until so many more creates have come through, and ``what`` holds; whether that was in time."""
    since = time.monotonic()
    while load.admitted_since(since) < admitted or not (what is None or what()):
        if time.monotonic() - since > seconds:
            return False
        time.sleep(0.05)
    return True
