"""Latency at half of a server's own greatest load: what callers of a server that is not overloaded see."""

from __future__ import annotations

import contextlib
import http.client
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from tests.bench import machine
from tests.bench.load import LEAD_IN_SECONDS, PACED_CONNECTIONS, Loader, LoadError, run_paced
from tests.bench.served import WARM_UP_SECONDS, start_targets, write_bodies
from tests.bench.servers import Server, ServerError, Target, check_answers
from tests.bench.settings import Settings
from tests.bench.tables import table

SHARE: Final = 0.5

# A loader that is later than this, in milliseconds, is what is measured.
LATE_LIMIT: Final = 0.5


# A part of a measurement, in seconds, that a pause of the machine may leave alone.
_PART_SECONDS: Final = 0.5

# The bound of gpuward's own histogram that is next to the target for the slowest in a hundred.
_QUICK_SECONDS: Final = 0.0025


def measure(bodies: Mapping[str, tuple[bytes, ...]], settings: Settings) -> dict[str, Any]:
    """Latencies of every server, each at ``SHARE`` of what it took at most in the same round.

    Raises:
        LoadError: the load generator failed.
        ServerError: a server does not start, or answers wrongly.
    """
    server_core, loader_core = machine.cores()
    loader = Loader(loader_core, settings.loader)
    sets: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gpuward-bench-")))
        targets = start_targets(stack, folder, server_core)
        for name, contents in bodies.items():
            files = write_bodies(folder / name, contents)
            for target in targets:
                check_answers(target, contents)
                loader.run(target.server.port, target.path, files, WARM_UP_SECONDS)
            rounds = []
            for number in range(settings.rounds):
                settings.say(f"half load, {name}: round {number + 1} of {settings.rounds}")
                turn = targets[number % len(targets) :] + targets[: number % len(targets)]
                rounds.append(
                    {t.name: _measure(t, loader, loader_core, files, settings.seconds) for t in turn}
                )
            summary = {t.name: _summarise([each[t.name] for each in rounds]) for t in targets}
            sets.append({"bodies": name, "count": len(contents), "rounds": rounds, "summary": summary})
    return {"share": SHARE, "connections": PACED_CONNECTIONS, "loader": loader.name, "sets": sets}


def _measure(
    target: Target, loader: Loader, core: int | None, files: list[Path], seconds: float
) -> dict[str, Any]:
    pid = target.server.pid
    try:
        most = loader.run(target.server.port, target.path, files, seconds)
        rate = SHARE * most.requests / most.seconds
        served = _served(target.server)
        cpu, started = machine.cpu_seconds(pid), time.perf_counter()
        # Twice as long: only so are there enough reviews for the slowest in a thousand.
        paced = run_paced(
            core,
            target.server.port,
            target.path,
            files,
            seconds=2 * seconds,
            rate=rate,
            windows=[_PART_SECONDS * (number + 1) for number in range(int(2 * seconds / _PART_SECONDS))],
        )
        elapsed = time.perf_counter() - started
        quick, every = (after - before for before, after in zip(served, _served(target.server), strict=True))
    except LoadError as error:
        raise ServerError(f"{target.name}: {error}\n{target.server.process.tail()}") from None
    return {
        "most": most.requests / most.seconds,
        "rate": rate,
        "cpuMicroseconds": (machine.cpu_seconds(pid) - cpu) / (rate * (LEAD_IN_SECONDS + 2 * seconds)) * 1e6,
        "loaderBusy": paced.cpu_seconds / elapsed,
        "late": paced.late,
        "quietest": min((part.p99 for part in paced.windows if part.requests), default=paced.whole.p99),
        # None for a server that does not say.
        "quick": quick / every if every else None,
        **asdict(paced.whole),
    }


def _served(server: Server) -> tuple[float, float]:
    """How many reviews the server says that it has answered within ``_QUICK_SECONDS`` from their headers, and how many
    at all; none where it does not say."""
    if not server.admin_port:
        return 0, 0
    try:
        _status, text = server.admin("/metrics")
    except (OSError, http.client.HTTPException) as error:
        raise ServerError(f"{server.name} does not give its metrics: {error}") from None
    counts = {_QUICK_SECONDS: 0.0, float("inf"): 0.0}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "gpuward_admission_duration_seconds_bucket":
                bound = float(sample.labels["le"])
                if bound in counts:
                    counts[bound] += sample.value
    return counts[_QUICK_SECONDS], counts[float("inf")]


def _summarise(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    counts = ("requests", "errors")
    others = (*counts, "quick", "quietest")
    quick = [each["quick"] for each in rounds if each["quick"] is not None]
    return {
        **{key: median(each[key] for each in rounds) for key in rounds[0] if key not in others},
        "quietest": min(each["quietest"] for each in rounds),
        "quick": median(quick) if quick else None,
        **{key: sum(each[key] for each in rounds) for key in counts},
    }


def render(measured: dict[str, Any]) -> Iterator[str]:
    """A table for each set of bodies, and what speaks against it."""
    for each in measured["sets"]:
        rows = [
            [
                name,
                f"{figures['rate']:,.0f}",
                *(f"{figures[key]:.2f}" for key in ("p50", "p99", "quietest", "p999", "longest")),
                "" if figures["quick"] is None else f"{figures['quick']:.2%}",
                f"{figures['cpuMicroseconds']:.0f}",
                f"{figures['late']:.2f}",
                str(figures["errors"]),
            ]
            for name, figures in each["summary"].items()
        ]
        yield (
            f"At {measured['share']:.0%} of each server's own greatest load, {each['bodies']}, "
            f"median of {len(each['rounds'])} rounds:\n\n"
            + table(
                ("server", "reviews/s", "p50 ms", "p99 ms", "its least in ½ s", "p99.9 ms", "longest ms",
                 "in 2.5 ms, by itself", "CPU µs a review", "loader late, p99 ms", "errors"),
                rows,
            )
        )  # fmt: skip
        for name, figures in each["summary"].items():
            if figures["late"] > LATE_LIMIT:
                late = f"{figures['late']:.2f} ms"
                yield f"**{name}: the loader sent 1 % of the reviews {late} late or more, which is in the latencies.**"
            if figures["errors"]:
                yield f"**{name}: {figures['errors']} of {figures['requests']} calls failed.**"
