"""The short form of what `make chaos` does: replicas come and go, and pods are created meanwhile.

That certificates are rotated under load is in `test_certificates`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos import planned, unplanned
from tests.chaos.fleet import Fleet
from tests.e2e.cluster import ControlPlane


@pytest.fixture(scope="module")
def fleet(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two replicas behind a Service."""
    if control_plane.address is None:
        pytest.skip("Services are called at an address of this machine that is not loopback; it has none")
    with Fleet(control_plane, tmp_path_factory.mktemp("fleet")) as running:
        yield running


def test_no_admission_fails_while_all_replicas_are_replaced(fleet: Fleet) -> None:
    row = planned.rolling_restart(fleet)
    assert row.broken == [], row.notes


def test_only_calls_on_their_way_to_a_killed_replica_fail(fleet: Fleet) -> None:
    row = unplanned.killed(fleet)
    assert row.broken == [], row.notes
