"""A replica whose clock is wrong: it looks after the same certificates as the others."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from tests.e2e.certificates import stored

from .fleet import Fleet, measured, until
from .report import Row

# Debian's libfaketime; one file for each architecture.
_LIBRARIES: Final = tuple(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def faketime(offset: str) -> tuple[str, ...] | None:
    """What starts a program with a clock that is off by so much, such as `+25m`; None without libfaketime."""
    if not _LIBRARIES:
        return None
    # Timeouts and timers go by the monotonic clock, which nobody sets.
    return ("env", f"LD_PRELOAD={_LIBRARIES[0]}", f"FAKETIME={offset}", "FAKETIME_DONT_FAKE_MONOTONIC=1")


def skewed(fleet: Fleet, offset: str, expected: str = "none failed") -> Row:
    """One replica more, whose clock is wrong, for a while and through a rotation."""
    row = Row(f"a third replica's clock is off by {offset}", expected)
    wrapper = faketime(offset)
    if wrapper is None:
        row.broken.append("not run: it needs libfaketime (Debian: apt-get install libfaketime)")
        return row
    before = stored(fleet.cluster, fleet.namespace)
    with fleet.pods() as load:
        row.expect(until(load), "the load did not begin")
        replica = fleet.start(wrapper=wrapper)
        fleet.settle_endpoints()
        time.sleep(5)
        row.expect(
            stored(fleet.cluster, fleet.namespace).chain == before.chain, "it replaced a good certificate"
        )
        row.expect(fleet.certs("rotate", "--ca") == 0, "certs rotate failed")
        began = time.monotonic()
        fleet.settle()
        row.recovery = time.monotonic() - began
        row.expect(until(load), "nothing came through after the rotation")
        row.expect(fleet.stop(replica) == 0, "the replica did not stop well")
    row.expect(not load.failures, "admissions failed")
    recovery = row.recovery
    measured(row, load)
    row.recovery = recovery
    return row
