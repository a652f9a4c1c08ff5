"""One worker and two, on all cores together with the load."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.bench import machine
from tests.bench.load import Loader, LoadError
from tests.bench.served import WARM_UP_SECONDS, start_targets, write_bodies
from tests.bench.servers import ServerError, Target, check_answers
from tests.bench.settings import Settings, summary
from tests.bench.tables import spread, table

WORKERS: Final = (1, 2)


def measure(bodies: tuple[bytes, ...], settings: Settings) -> dict[str, Any]:
    """Reviews a second with one process and with two, the constant server's beside gpuward's.

    Raises:
        LoadError: the load generator failed.
        ServerError: a server does not start, or answers wrongly.
    """
    loader = Loader(None, settings.loader)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gpuward-bench-")))
        files = write_bodies(folder / "bodies", bodies)
        cases: list[tuple[str, int, Target]] = []
        for workers in WORKERS:
            place = folder / str(workers)
            place.mkdir()
            for target in start_targets(stack, place, None, workers=workers):
                check_answers(target, bodies)
                loader.run(target.server.port, target.path, files, WARM_UP_SECONDS)
                cases.append((target.name, workers, target))
        cases.sort(key=lambda case: case[0])
        rounds = []
        for number in range(settings.rounds):
            settings.say(f"workers: round {number + 1} of {settings.rounds}")
            turn = cases[number % len(cases) :] + cases[: number % len(cases)]
            rounds.append(
                [
                    {"server": name, "workers": workers, **_measure(target, loader, files, settings.seconds)}
                    for name, workers, target in turn
                ]
            )
    return {
        "loader": loader.name,
        "cores": len(os.sched_getaffinity(0)),
        "rounds": rounds,
        "summary": [_summarise(rounds, name, workers) for name, workers, _ in cases],
    }


def _measure(target: Target, loader: Loader, files: list[Path], seconds: float) -> dict[str, float]:
    pid = target.server.pid
    each_before, started = _each_cpu(pid), time.perf_counter()
    try:
        loaded = loader.run(target.server.port, target.path, files, seconds)
    except LoadError as error:
        raise ServerError(f"{target.name}: {error}\n{target.server.process.tail()}") from None
    elapsed = time.perf_counter() - started
    used = {process: now - each_before.get(process, 0.0) for process, now in _each_cpu(pid).items()}
    return {
        "perSecond": loaded.requests / loaded.seconds,
        "cpuMicroseconds": sum(used.values()) / max(1, loaded.requests) * 1e6,
        "loaderMicroseconds": loaded.cpu_seconds / max(1, loaded.requests) * 1e6,
        "loaderBusy": loaded.cpu_seconds / elapsed,
        # Of the two busiest: gpuward's third process watches over the others.
        "balance": _balance(sorted(used.values())[-2:]),
        "errors": loaded.errors,
        "residentBytes": machine.resident_bytes(pid),
    }


def _each_cpu(pid: int) -> dict[int, float]:
    return {process: machine.own_cpu_seconds(process) for process in machine.process_tree(pid)}


def _balance(used: list[float]) -> float:
    """What the less busy process did of what the busier one did."""
    return used[0] / used[-1] if used[-1] else 0.0


def _summarise(rounds: list[list[dict[str, Any]]], name: str, workers: int) -> dict[str, Any]:
    def of(some: list[dict[str, Any]], count: int) -> dict[str, Any]:
        return next(each for each in some if each["server"] == name and each["workers"] == count)

    own = [of(each, workers) for each in rounds]
    figures = ("perSecond", "cpuMicroseconds", "loaderMicroseconds", "loaderBusy", "balance", "residentBytes")
    medians = {key: median(each[key] for each in own) for key in figures}
    alone = [of(each, WORKERS[0]) for each in rounds]
    return {
        "server": name,
        "workers": workers,
        **medians,
        "errors": sum(each["errors"] for each in own),
        "speedUp": summary([a["perSecond"] / b["perSecond"] for a, b in zip(own, alone, strict=True)]),
        "mostSpeedUp": _most(median(each["cpuMicroseconds"] for each in alone), medians, workers),
    }


def _most(alone: float, own: dict[str, float], workers: int) -> float:
    """The speed-up that the cores allow. One worker takes a core for itself; two and the loader share what there is."""
    cores = len(os.sched_getaffinity(0))
    shared = own["cpuMicroseconds"] + own["loaderMicroseconds"]
    return min(workers, cores * alone / shared)


def render(measured: dict[str, Any]) -> Iterator[str]:
    """One table."""
    rows = []
    for each in measured["summary"]:
        more = each["workers"] > WORKERS[0]
        rows.append(
            [
                f"{each['server']}, {each['workers']}",
                f"{each['perSecond']:,.0f}",
                spread(each["speedUp"]) if more else "",
                f"{each['mostSpeedUp']:.2f}" if more else "",
                f"{each['cpuMicroseconds']:.0f}",
                f"{each['loaderMicroseconds']:.0f}",
                f"{each['balance']:.2f}" if more else "",
                f"{each['residentBytes'] / 1e6:.0f}",
                str(each["errors"]),
            ]
        )
    yield (
        f"One process and two, {measured['cores']} cores shared with the load, median of "
        f"{len(measured['rounds'])} rounds:\n\n"
        + table(
            ("server, processes", "reviews/s", "speed-up (min-max)", "most possible", "CPU µs a review",
             "loader's CPU µs", "balance", "RSS MB, all", "errors"),
            rows,
        )
    )  # fmt: skip
