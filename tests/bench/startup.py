"""From the start of the program to readiness, and memory: then, and after many reviews."""

from __future__ import annotations

import contextlib
import http.client
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.bench import machine
from tests.bench.load import Loader
from tests.bench.made import policies_elsewhere, write_policies
from tests.bench.served import gpuward_targets, write_bodies
from tests.bench.servers import Certificates, Server, ServerError, check_answers, launched, make_certificates
from tests.bench.settings import Settings, summary
from tests.bench.tables import spread, table

MORE: Final = (0, 100, 1000)

_POLL_SECONDS: Final = 0.002
_READY_SECONDS: Final = 30.0
_LOADS: Final = 4


def measure(bodies: tuple[bytes, ...], settings: Settings) -> dict[str, Any]:
    """Seconds until ``/readyz`` says so, with the shipped policies and more; memory then and as reviews go by.

    Raises:
        LoadError: the load generator failed.
        ServerError: the server does not start, or answers wrongly.
    """
    runs = 2 if settings.quick else 5
    starts = []
    with tempfile.TemporaryDirectory(prefix="gpuward-bench-") as name:
        folder = Path(name)
        certificates = make_certificates(folder)
        for count in MORE:
            settings.say(f"start-up: {count:,} policies more")
            policies = write_policies(folder / f"policies-{count}", policies_elsewhere("namespace", count))
            each = [_start(certificates, folder, policies, bodies) for _ in range(runs)]
            starts.append(
                {
                    "more": count,
                    "seconds": summary([one["seconds"] for one in each]),
                    "residentBytes": summary([one["residentBytes"] for one in each]),
                    "runs": each,
                }
            )
        settings.say("memory as reviews go by")
        memory = _memory(certificates, folder, bodies, settings)
    return {"starts": starts, "memory": memory}


def _start(
    certificates: Certificates, folder: Path, policies: Path, bodies: tuple[bytes, ...]
) -> dict[str, float]:
    started = time.perf_counter()
    with launched(certificates, folder, None, policies=policies) as server:
        _wait_until_ready(server)
        seconds = time.perf_counter() - started
        resident = machine.resident_bytes(server.pid)
        for target in gpuward_targets(server):
            check_answers(target, bodies)
        return {"seconds": seconds, "residentBytes": resident}


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        _ = server.pid  # says so where it has ended
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, _text = server.admin("/readyz")
            if status == 200:
                return
        if time.monotonic() > deadline:
            raise ServerError(f"gpuward is not ready:\n{server.process.tail()}")
        time.sleep(_POLL_SECONDS)


def _memory(
    certificates: Certificates, folder: Path, bodies: tuple[bytes, ...], settings: Settings
) -> list[dict[str, float]]:
    """Resident memory after each of several loads on both webhooks in turn, with all the reviews so far."""
    files = write_bodies(folder / "bodies", bodies)
    server_core, loader_core = machine.cores()
    loader = Loader(loader_core, settings.loader)
    with launched(certificates, folder, server_core) as server:
        _wait_until_ready(server)
        points = [{"reviews": 0, "residentBytes": machine.resident_bytes(server.pid)}]
        reviews = 0
        for _ in range(1 if settings.quick else _LOADS):
            for target in gpuward_targets(server):
                reviews += loader.run(server.port, target.path, files, settings.seconds).requests
            points.append({"reviews": reviews, "residentBytes": machine.resident_bytes(server.pid)})
    return points


def render(measured: dict[str, Any]) -> Iterator[str]:
    """A table of starts, a table of memory."""
    rows = [
        [
            f"shipped and {each['more']:,} more" if each["more"] else "shipped",
            spread(each["seconds"]),
            f"{each['residentBytes']['median'] / 1e6:.0f}",
        ]
        for each in measured["starts"]
    ]
    yield "From the start of the program to ready, one worker:\n\n" + table(
        ("policies", "seconds (min-max)", "RSS MB, ready"), rows
    )
    points = [[f"{each['reviews']:,}", f"{each['residentBytes'] / 1e6:.1f}"] for each in measured["memory"]]
    yield "Memory of one worker as reviews go by, all bodies in rotation:\n\n" + table(
        ("reviews so far", "RSS MB"), points
    )
