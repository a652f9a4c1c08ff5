"""Reviews over TLS: every server in turn, in several rounds, so that a disturbance meets all of them."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.bench import machine
from tests.bench.load import CONNECTIONS, Loader, LoaderName, LoadError
from tests.bench.servers import (
    Server,
    ServerError,
    Target,
    check_answers,
    gpuward_server,
    make_certificates,
    reference_server,
    tls,
)

CONSTANT, DECODE, VALIDATE, MUTATE = "constant", "decode and encode", "gpuward /validate", "gpuward /mutate"

WARM_UP_SECONDS: Final = 1.0

Measurement = dict[str, Any]


def measure(
    bodies: Mapping[str, tuple[bytes, ...]],
    *,
    seconds: float,
    rounds: int,
    loader_name: LoaderName | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measure every server with every set of bodies; ``say`` is told about progress.

    Where gpuward does not start, the reason is in ``failures`` and the others are measured all the same.

    Raises:
        LoadError: the load generator is not there.
        ServerError: a server of comparison does not start, or any server ends or answers wrongly.
    """
    cores = server_core, loader_core = machine.cores()
    loader = Loader(loader_core, loader_name)
    result: dict[str, Any] = {
        "loader": loader.name,
        "connections": CONNECTIONS,
        "serverCore": server_core,
        "loaderCore": loader_core,
        "failures": {},
    }
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gpuward-bench-")))
        files = {name: write_bodies(folder / name, contents) for name, contents in bodies.items()}
        targets = _start(stack, folder, server_core, result["failures"])
        result["tls"] = {target.name: tls(target.server) for target in targets}
        say(f"loader: {loader.name}, {CONNECTIONS} keep-alive connections")
        sets: list[dict[str, Any]] = []
        for name in bodies:
            answers = {target.name: check_answers(target, bodies[name]) for target in targets}
            sets.append({"bodies": name, "count": len(bodies[name]), "answers": answers, "rounds": []})
        for target in targets:
            loader.run(target.server.port, target.path, files[next(iter(files))], WARM_UP_SECONDS)
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for measured in sets:
                # Each round starts with another server, so that none always follows the same one.
                turn = targets[number % len(targets) :] + targets[: number % len(targets)]
                measured["rounds"].append(
                    {t.name: _measure(t, loader, files[measured["bodies"]], seconds, cores) for t in turn}
                )
        for measured in sets:
            measured["summary"] = {t.name: summarise(measured["rounds"], t.name) for t in targets}
        result["sets"] = sets
    return result


def write_bodies(folder: Path, contents: tuple[bytes, ...]) -> list[Path]:
    """Files with the bodies, in a new folder."""
    folder.mkdir()
    files = [folder / f"{i:03}.json" for i in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    return files


def _start(
    stack: contextlib.ExitStack, folder: Path, core: int | None, failures: dict[str, str]
) -> list[Target]:
    certificates = make_certificates(folder)
    constant = stack.enter_context(reference_server("constant", certificates, folder, core))
    decode = stack.enter_context(reference_server("decode", certificates, folder, core))
    targets = [Target(CONSTANT, constant, "/review", constant=True), Target(DECODE, decode, "/review")]
    try:
        gpuward = stack.enter_context(gpuward_server(certificates, folder, core))
    except ServerError as error:
        failures["gpuward"] = str(error)
        print(f"gpuward is not measured: {error}", file=sys.stderr)
    else:
        targets += gpuward_targets(gpuward)
    return targets


def gpuward_targets(server: Server) -> list[Target]:
    """Both webhooks, as the API server calls them: with the time it will wait."""
    return [
        Target(VALIDATE, server, "/validate/enforce?timeout=10s"),
        Target(MUTATE, server, "/mutate/enforce?timeout=10s"),
    ]


def start_targets(
    stack: contextlib.ExitStack, folder: Path, core: int | None, *, workers: int = 1
) -> list[Target]:
    """The constant server and gpuward, with so many processes each.

    Raises:
        ServerError: one does not start.
    """
    certificates = make_certificates(folder)
    constant = stack.enter_context(
        reference_server("constant", certificates, folder, core, processes=workers)
    )
    gpuward = stack.enter_context(gpuward_server(certificates, folder, core, workers=workers))
    return [Target(CONSTANT, constant, "/review", constant=True), *gpuward_targets(gpuward)]


def _measure(
    target: Target, loader: Loader, bodies: list[Path], seconds: float, cores: tuple[int | None, int | None]
) -> Measurement:
    pid = target.server.pid
    cpu, started = machine.cpu_seconds(pid), time.perf_counter()
    busy = [machine.core_seconds(core) for core in cores]
    try:
        loaded = loader.run(target.server.port, target.path, bodies, seconds)
    except LoadError as error:
        raise ServerError(f"{target.name}: {error}\n{target.server.process.tail()}") from None
    elapsed = time.perf_counter() - started
    cpu = machine.cpu_seconds(pid) - cpu
    busy_now = [machine.core_seconds(core) for core in cores]
    measurement: Measurement = {
        "requests": loaded.requests,
        "seconds": loaded.seconds,
        "errors": loaded.errors,
        "perSecond": loaded.requests / loaded.seconds,
        "cpuMicroseconds": cpu / max(1, loaded.requests) * 1e6,
        "p50": loaded.p50,
        "p99": loaded.p99,
        "p999": loaded.p999,
        "residentBytes": machine.resident_bytes(pid),
        "loaderBusy": loaded.cpu_seconds / elapsed,
    }
    # What else ran on the two cores, the hypervisor's other guests included: how far to trust the rest.
    for name, own, before, now in zip(
        ("othersOnServerCore", "othersOnLoaderCore"), (cpu, loaded.cpu_seconds), busy, busy_now, strict=True
    ):
        if before is not None and now is not None:
            measurement[name] = max(0.0, now - before - own) / elapsed
    return measurement


def summarise(rounds: list[dict[str, Measurement]], name: str) -> dict[str, Any]:
    """Medians over the rounds; the ratio is to the constant server of the same round, with its range."""
    own = [each[name] for each in rounds]
    ratios = [each[name]["perSecond"] / each[CONSTANT]["perSecond"] for each in rounds]
    return {
        **{key: median(m[key] for m in own) for key in own[0] if key not in ("requests", "errors")},
        "ratio": {"median": median(ratios), "min": min(ratios), "max": max(ratios)},
        "requests": sum(m["requests"] for m in own),
        "errors": sum(m["errors"] for m in own),
    }
