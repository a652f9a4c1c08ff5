"""What happens to replicas and to their certificates: failures stay small, and it comes back by itself."""

from __future__ import annotations

import signal
import time
from typing import Final

from tests.e2e.certificates import DAMAGED, RUBBISH, SECRET, overwrite_bundles, stored

from .fleet import Fleet, measured, until
from .load import Load, Outcome
from .report import Row

# From the write of an EndpointSlice to the API server's acting on it: a watch event, on a busy machine.
_HEARD_SECONDS: Final = 2.0

# timeoutSeconds of the webhooks, and time for the rest of a create.
_WEBHOOK_SECONDS: Final = 5.0


def killed(fleet: Fleet) -> Row:
    """`kill -9` of one replica. The API server does not repeat a POST whose connection broke, nor one that could not
    connect (client-go, Request.request: only GET is)."""
    row = Row(
        f"`kill -9` of one of {len(fleet.replicas)} replicas",
        "only calls on their way to it, until it is no endpoint any more",
    )
    with fleet.pods(clients=8) as load:
        row.expect(until(load), "the load did not begin")
        victim = fleet.replicas[0]
        port = victim.port
        died = time.monotonic()
        victim.process.kill()
        victim.process.wait()
        fleet.cluster.wait_for(
            lambda: fleet.endpoints.are(*fleet.replicas[1:]), 30, "the replica to be no endpoint any more"
        )
        row.expect(until(load, 100), "nothing came through afterwards")
    removed = fleet.endpoints.changed_at[port]
    fleet.lose(victim)
    late = [outcome for outcome in load.failures if outcome.began > removed + _HEARD_SECONDS]
    row.expect(not late, f"{len(late)} failed that began after it was gone from the endpoints")
    under_way = _failed_in_flight(load, died)
    row.found = (
        f"{under_way} under way, {len(load.failures) - under_way} sent to it before it was no endpoint "
        f"({removed - died:.1f} s)"
    )
    fleet.start()
    fleet.settle_endpoints()
    return measured(row, load, died)


def stopped(fleet: Fleet) -> Row:
    """SIGSTOP: connections stay open and nobody answers. Later it goes on as if nothing had been."""
    row = Row(
        f"`SIGSTOP` of one of {len(fleet.replicas)} replicas for 20 s",
        "calls on its connections, each after the webhook's timeout; then none",
    )
    with fleet.pods(clients=8) as load:
        row.expect(until(load), "the load did not begin")
        victim = fleet.replicas[0]
        began = time.monotonic()
        victim.process.send_signal(signal.SIGSTOP)
        try:
            fleet.cluster.wait_for(
                lambda: fleet.endpoints.are(*fleet.replicas[1:]), 30, "the replica to be no endpoint any more"
            )
            removed = fleet.endpoints.changed_at[victim.port]
            time.sleep(max(0.0, began + 20 - time.monotonic()))
            row.expect(until(load, 100), "nothing came through while it stood still")
        finally:
            victim.process.send_signal(signal.SIGCONT)
        fleet.settle_endpoints()
        continued = time.monotonic()
        row.expect(until(load, 100), "nothing came through after it went on")
    late = [outcome for outcome in load.failures if outcome.began > continued]
    row.expect(not late, f"{len(late)} failed after it went on")
    row.expect(victim.process.poll() is None, "it ended")
    # Two webhooks are called for a create, one after the other.
    row.expect(load.worst < 4 * _WEBHOOK_SECONDS, "a create took longer than its webhooks may")
    row.found = (
        f"no endpoint any more after {removed - began:.1f} s; the last failed call began {_last(load, began)}"
    )
    return measured(row, load, began)


def damaged_secret(fleet: Fleet, name: str) -> Row:
    """Somebody overwrites the Secret of the certificates, see ``certificates.DAMAGED``."""
    row = Row(f"Secret: {name}", "none failed, mended by itself")
    with fleet.pods() as load:
        row.expect(until(load), "the load did not begin")
        began = time.monotonic()
        fleet.damage(DAMAGED[name])
        fleet.settle()
        settled = time.monotonic() - began
        row.expect(until(load), "nothing came through afterwards")
    row.expect(not load.failures, "admissions failed")
    measured(row, load)
    row.recovery = settled
    return row


def deleted_secret(fleet: Fleet) -> Row:
    """Somebody deletes the Secret."""
    row = Row("Secret: deleted", "none failed, made anew by itself")
    path = f"/api/v1/namespaces/{fleet.namespace}/secrets/{SECRET}"
    before = fleet.cluster.api("GET", path)["metadata"]["uid"]
    with fleet.pods() as load:
        row.expect(until(load), "the load did not begin")
        began = time.monotonic()
        fleet.cluster.api("DELETE", path)
        fleet.cluster.wait_for(
            lambda: stored(fleet.cluster, fleet.namespace).bundle and fleet.cluster.api("GET", path),
            60,
            "the Secret",
        )
        row.expect(fleet.cluster.api("GET", path)["metadata"]["uid"] != before, "it is the old one")
        fleet.settle()
        settled = time.monotonic() - began
        row.expect(until(load), "nothing came through afterwards")
    row.expect(not load.failures, "admissions failed")
    measured(row, load)
    row.recovery = settled
    return row


def overwritten_bundle(fleet: Fleet, name: str) -> Row:
    """Somebody overwrites every `caBundle`: until it is mended, the API server trusts no replica."""
    row = Row(f"`caBundle` overwritten: {name}", "failures until it is mended, by itself")
    with fleet.pods() as load:
        row.expect(until(load), "the load did not begin")
        began = time.monotonic()
        overwrite_bundles(fleet.cluster, RUBBISH[name])
        fleet.settle()
        mended = time.monotonic()
        row.expect(until(load, 100), "nothing came through afterwards")
    late = [outcome for outcome in load.failures if outcome.began > mended + _HEARD_SECONDS]
    row.expect(not late, f"{len(late)} failed after it was mended")
    return measured(row, load, began)


def _failed_in_flight(load: Load, at: float) -> int:
    return sum(bool(outcome.failure) for outcome in load.in_flight(at))


def _last(load: Load, since: float) -> str:
    last: Outcome | None = max(load.failures, key=lambda outcome: outcome.began, default=None)
    return "never" if last is None else f"{max(0.0, last.began - since):.1f} s after it stopped"
