"""`make chaos`: everything that may go wrong, on a real API server, as a table. See docs/high-availability.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.bench import machine
from tests.e2e.certificates import DAMAGED, RUBBISH
from tests.e2e.cluster import ControlPlane
from tests.e2e.controlplane import assets

from . import api_server, clocks, crowds, hostile, planned, reload, unplanned
from .fleet import Fleet
from .report import Row, table

Run = Callable[[], Row]

_HOSTILE: Final = 1_000_000


class Stage:
    """What scenarios share, made when the first asks for it."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self.folder = folder
        self._cluster: ControlPlane | None = None
        self._fleets: ExitStack | None = None
        self._fleet: tuple[tuple[str, ...], Fleet] | None = None

    def cluster(self) -> ControlPlane:
        """The control plane."""
        if self._cluster is None:
            programs = assets.locate(_say)
            self._cluster = self._stack.enter_context(ControlPlane(programs, self.folder / "cluster"))
        return self._cluster

    def fleet(self, *arguments: str) -> Fleet:
        """Two replicas with these flags: those of before, or new ones where they had others."""
        cluster = self.cluster()  # first, as it has to outlive them
        if self._fleet is None or self._fleet[0] != arguments:
            if self._fleets is not None:
                self._fleets.close()
            self._fleets = self._stack.enter_context(ExitStack())
            folder = Path(tempfile.mkdtemp(prefix="fleet-", dir=self.folder))
            fleet = self._fleets.enter_context(Fleet(cluster, folder, *arguments))
            self._fleet = (arguments, fleet)
        return self._fleet[1]

    def many_policies(self) -> Path:
        """A folder of a thousand policies."""
        folder = self.folder / "policies"
        return folder if folder.exists() else reload.many_policies(folder)


def scenarios(stage: Stage) -> Iterator[tuple[str, Run]]:
    """Every scenario by a short name, in the order in which they run."""
    yield "rolling-restart", lambda: planned.rolling_restart(stage.fleet(), 2)
    yield "leaf-rotation", lambda: planned.certificates(stage.fleet(), ca=False)
    yield "ca-rotation", lambda: planned.certificates(stage.fleet(), ca=True)
    yield "kill", lambda: unplanned.killed(stage.fleet())
    yield "stop", lambda: unplanned.stopped(stage.fleet())
    for name in DAMAGED:
        yield f"secret-{_short(name)}", lambda name=name: unplanned.damaged_secret(stage.fleet(), name)
    yield "secret-deleted", lambda: unplanned.deleted_secret(stage.fleet())
    for name in RUBBISH:
        yield f"bundle-{_short(name)}", lambda name=name: unplanned.overwritten_bundle(stage.fleet(), name)
    for offset in ("+25m", "-25m"):
        yield f"clock{offset}", lambda offset=offset: clocks.skewed(stage.fleet(), offset)
    # An hour as by default: without news of its certificates for nearly so long, a replica is not ready.
    hour = ("--cert-overlap", "1h")
    yield "api-server-restart", lambda: api_server.restarted(stage.fleet(*hour))
    for name in api_server.TROUBLES:
        yield f"api-server-{_short(name)}", lambda name=name: api_server.disturbed(stage.fleet(*hour), name)
    yield (
        "reload",
        lambda: reload.reloaded(stage.fleet("--policies", str(stage.many_policies())), stage.many_policies()),
    )
    for crowd in (crowds.slow_heads, crowds.half_open, crowds.no_files, crowds.overload, crowds.full_disk):
        name = crowd.__name__.replace("_", "-")
        yield name, lambda crowd=crowd, name=name: crowd(stage.folder / name)
    yield "hostile", lambda: hostile.mutated_reviews(stage.folder / "hostile", _HOSTILE)


def _short(name: str) -> str:
    return name.lower().replace(" ", "-")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="this scenario, or all that begin so; again"
    )
    parser.add_argument("--list", action="store_true", help="the names of the scenarios")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table to a file")
    args = parser.parse_args()
    rows: list[Row] = []
    began = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="gpuward-chaos-") as folder, ExitStack() as stack:
        stage = Stage(stack, Path(folder))
        chosen = [
            (name, run)
            for name, run in scenarios(stage)
            if not args.only or name.startswith(tuple(args.only))
        ]
        if args.list:
            print("\n".join(name for name, _ in chosen))
            return 0
        for name, run in chosen:
            rows.append(_run(name, run))
        text = f"{_heading(began)}\n\n{table(rows)}\n"
        print(f"\n{text}", flush=True)
        if args.markdown is not None:
            args.markdown.write_text(text, encoding="utf-8")
    broken = [row.scenario for row in rows if row.broken]
    if broken:
        _say(f"chaos: not as expected: {', '.join(broken)}")
    return 1 if broken or not rows else 0


def _run(name: str, run: Run) -> Row:
    _say(f"{name} ...")
    started = time.monotonic()
    try:
        row = run()
    except Exception as error:  # noqa: BLE001  # the others are still to be seen
        traceback.print_exc()
        row = Row(
            name, "to be run to its end", broken=[f"{type(error).__name__}: {str(error).splitlines()[0]}"]
        )
    _say(f"  {' | '.join(row.cells())} ({time.monotonic() - started:.0f} s)")
    for note in row.notes:
        _say(f"    {note}")
    return row


def _heading(when: datetime) -> str:
    facts = machine.describe()
    return (
        f"{when:%Y-%m-%d}, {facts['cpu']}, {facts['cores']} cores, {facts['system']}, Python {facts['python']}, "
        f"load average at the end {facts['loadAverage'][0]:.1f}."
    )


def _say(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
