"""The API server goes away, becomes slow, drops its watches: what a replica knows stays, and is renewed."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from typing import Final

from tests.e2e.cluster import ControlPlane
from tests.e2e.serving import Served
from tests.server.reviews import body, pod
from webhook.adapters.list_watch import WATCH_IDLE_SECONDS

from .fleet import Fleet, measured, until
from .proxy import Proxy
from .report import Row

# The longest pause between two tries (list_watch), and time to connect and list on a busy machine.
_RETRY_SECONDS: Final = 10.0
_CONNECT_SECONDS: Final = 10.0

_PRIVILEGED: Final = pod({"name": "app", "image": "app:1", "securityContext": {"privileged": True}})


class Mode:
    """A namespace whose mode is changed; ``seen_by`` says whether a replica has heard of it."""

    def __init__(self, cluster: ControlPlane) -> None:
        self._cluster = cluster
        self._namespace = cluster.create_namespace("mode-", {"gpuward.dev/mode": "audit"})
        self._body = body(_PRIVILEGED, namespace=self._namespace)

    def enforce(self) -> None:
        """Change it. Until then a bad pod is only recorded."""
        path = f"/api/v1/namespaces/{self._namespace}"
        patch = {"metadata": {"labels": {"gpuward.dev/mode": "enforce"}}}
        self._cluster.api("PATCH", path, patch, content_type="application/merge-patch+json")

    def is_enforced_by(self, replica: Served) -> bool:
        """Whether a replica refuses a bad pod, asked at the address where the label decides."""
        anybody = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", replica.port, context=anybody, timeout=10)
        with closing(connection):
            connection.request("POST", "/validate", self._body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
        return answer["response"]["allowed"] is False


def restarted(fleet: Fleet) -> Row:
    """The API server is killed, and comes back after five seconds."""
    row = Row(
        "API server killed, back after 5 s",
        "none failed once it is back; mode changes are seen; no replica ends",
    )
    cluster, mode = fleet.cluster, Mode(fleet.cluster)
    row.expect(not any(map(mode.is_enforced_by, fleet.replicas)), "audit refuses")
    with fleet.pods() as load:
        row.expect(until(load), "the load did not begin")
        cluster.stop_api_server(kill=True)
        time.sleep(5)
        cluster.start_api_server()
        back = time.monotonic()
        mode.enforce()
        row.recovery = _seen(row, mode, fleet.replicas, _RETRY_SECONDS + _CONNECT_SECONDS)
        row.expect(until(load, 100), "nothing came through afterwards")
    away = [outcome for outcome in load.failures if outcome.began <= back]
    recovery = row.recovery
    measured(row, load)
    row.recovery = recovery
    row.failed = len(load.failures) - len(away)
    row.expect(not row.failed, "admissions failed after it was back")
    row.expect(all(replica.process.poll() is None for replica in fleet.replicas), "a replica ended")
    row.found = f"{len(away)} creates got no answer while it was away; a change of mode was seen after the time stated"
    return row


def disturbed(fleet: Fleet, name: str) -> Row:
    """What is between one of three replicas and the API server becomes bad."""
    trouble, bound = TROUBLES[name]
    row = Row(
        f"one replica's way to the API server: {name}",
        f"none failed; a mode is stale for {bound:.0f} s at most",
    )
    user = f"gpuward-of-{fleet.namespace}"
    with Proxy(fleet.cluster.url) as proxy:
        replica = fleet.start(kubeconfig=fleet.cluster.credentials.kubeconfig(proxy.url, user))
        fleet.settle_endpoints()
        mode = Mode(fleet.cluster)
        row.expect(not mode.is_enforced_by(replica), "audit refuses")
        with fleet.pods() as load:
            row.expect(until(load), "the load did not begin")
            trouble(proxy)
            mode.enforce()
            recovery = _seen(row, mode, [replica], bound)
            row.expect(until(load), "nothing came through afterwards")
        row.expect(replica.process.poll() is None, "the replica ended")
        proxy.delay = 0.0
        row.expect(fleet.stop(replica) == 0, "the replica did not stop well")
    row.expect(not load.failures, "admissions failed")
    measured(row, load)
    row.recovery = recovery
    return row


def _seen(row: Row, mode: Mode, replicas: list[Served], bound: float) -> float:
    """How long it took until all of them acted on the mode."""
    began = time.monotonic()
    while not all(mode.is_enforced_by(replica) for replica in replicas):
        if time.monotonic() - began > bound:
            row.broken.append(f"the mode was stale for more than {bound:.0f} s")
            break
        time.sleep(0.1)
    return time.monotonic() - began


def _slow(proxy: Proxy) -> None:
    proxy.delay = 1.0


def _broken(proxy: Proxy) -> None:
    for _ in range(5):
        proxy.drop()
        time.sleep(0.5)


def _silent(proxy: Proxy) -> None:
    proxy.silence()


TROUBLES: Final[dict[str, tuple[Callable[[Proxy], None], float]]] = {
    "each piece is 1 s late": (_slow, _CONNECT_SECONDS),
    "connections broken five times": (_broken, _RETRY_SECONDS + _CONNECT_SECONDS),
    "connections silent, not closed": (_silent, WATCH_IDLE_SECONDS + _RETRY_SECONDS + _CONNECT_SECONDS),
}
