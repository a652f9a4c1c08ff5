"""What platform engineers do on purpose: no admission may fail."""

from __future__ import annotations

from tests.e2e.certificates import stored

from .fleet import Fleet, measured, until
from .report import Row


def rolling_restart(fleet: Fleet, rounds: int = 1) -> Row:
    """Each replica is replaced as the chart's Deployment does it: a new one is ready before an old one has to stop."""
    row = Row(f"rolling restart of {len(fleet.replicas)} replicas, {rounds}x", "none failed")
    with fleet.pods(clients=8) as load:
        row.expect(until(load), "the load did not begin")
        for _ in range(rounds * len(fleet.replicas)):
            oldest = fleet.replicas[0]
            fleet.start()
            fleet.settle_endpoints()
            row.expect(fleet.stop(oldest) == 0, "a replica did not stop well")
            row.expect(until(load), "nothing came through after a replica had been replaced")
    row.expect(not load.failures, "admissions failed")
    return measured(row, load)


def certificates(fleet: Fleet, *, ca: bool) -> Row:
    """`gpuward certs rotate` while pods are created."""
    row = Row("rotation of the CA and its leaf" if ca else "rotation of the leaf", "none failed")
    before = stored(fleet.cluster, fleet.namespace)
    with fleet.pods() as load:
        row.expect(until(load), "the load did not begin")
        row.expect(fleet.certs("rotate", *(["--ca"] if ca else [])) == 0, "certs rotate failed")
        fleet.settle()
        row.expect(until(load), "nothing came through after the rotation")
    after = stored(fleet.cluster, fleet.namespace)
    row.expect(after.chain != before.chain, "the leaf is the same")
    row.expect((after.bundle != before.bundle) == ca, "the CA is not as it should be")
    row.expect(not load.failures, "admissions failed")
    return measured(row, load)
