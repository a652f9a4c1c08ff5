"""Load on a server: by wrk where it is installed, else by the small loader beside this module."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tests.support import REPOSITORY

CONNECTIONS: Final = 16

# At a given rate there are as many as are ever needed: the API server opens another where all are busy.
PACED_CONNECTIONS: Final = 64

# Of load at a given rate before what is measured.
LEAD_IN_SECONDS: Final = 1.0

_SCRIPT: Final = Path(__file__).with_name("wrk.lua")

# What a loader may take longer than it was asked to: connecting, and waiting for the last answers.
_SLACK_SECONDS: Final = 20


LoaderName = Literal["wrk", "python"]


class LoadError(Exception):
    """The load generator failed; the message has what it said."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One measurement. Latencies are milliseconds; ``cpu_seconds`` is what the loader itself used."""

    requests: int
    seconds: float
    errors: int
    p50: float
    p99: float
    p999: float
    cpu_seconds: float


class Loader:
    """Sends bodies over keep-alive TLS connections, each as soon as the last answer is there."""

    def __init__(self, core: int | None, which: LoaderName | None = None) -> None:
        """Raises LoadError where ``which`` is wrk and wrk is not there."""
        self._core = core
        self._wrk = shutil.which("wrk") if which != "python" else None
        if which == "wrk" and self._wrk is None:
            raise LoadError("wrk is not installed; it is a package of Debian and Ubuntu: apt install wrk")
        self.name = "wrk" if self._wrk else "own Python loader"
        if which is None and self._wrk is None:
            self.name += " (wrk is not installed: apt install wrk)"

    def run(self, port: int, target: str, bodies: Sequence[Path], seconds: float) -> Loaded:
        """Load the server on localhost. ``bodies`` are files, sent in rotation.

        Raises:
            LoadError: the loader failed.
        """
        whole = max(1, round(seconds)) if self._wrk else seconds
        argv = self._argv(port, target, bodies, seconds)
        figures, cpu_seconds = _run(self.name, argv, self._core, whole + _SLACK_SECONDS)
        return Loaded(
            requests=figures["requests"],
            seconds=figures["seconds"],
            errors=figures["errors"],
            p50=figures["p50"] / 1000,
            p99=figures["p99"] / 1000,
            p999=figures["p999"] / 1000,
            cpu_seconds=cpu_seconds,
        )

    def _argv(self, port: int, target: str, bodies: Sequence[Path], seconds: float) -> list[str]:
        files = [str(body) for body in bodies]
        if self._wrk:
            # wrk takes whole seconds only.
            return [
                self._wrk,
                "--threads",
                "1",
                "--connections",
                str(CONNECTIONS),
                "--duration",
                f"{max(1, round(seconds))}s",
                "--timeout",
                "10s",
                "--script",
                str(_SCRIPT),
                f"https://127.0.0.1:{port}{target}",
                "--",
                *files,
            ]
        return python_loader(port, target, CONNECTIONS, seconds, bodies)


def python_loader(
    port: int, target: str, connections: int, seconds: float, bodies: Sequence[Path], *options: str
) -> list[str]:
    """The command line of our own loader; ``options`` are those of ``load_python``."""
    return [
        *(sys.executable, "-m", "tests.bench.load_python"),
        *("127.0.0.1", str(port), target, str(connections), str(seconds)),
        *map(str, bodies),
        *options,
    ]


@dataclass(frozen=True, slots=True)
class Window:
    """What became of the reviews that were due within a part of the time. Latencies are milliseconds."""

    requests: int
    errors: int
    p50: float
    p99: float
    p999: float
    longest: float


@dataclass(frozen=True, slots=True)
class Paced:
    """One measurement at a given rate: ``whole``, and by parts. ``late`` is the 99th percentile of how much later than
    it could the loader itself sent a review, in milliseconds."""

    whole: Window
    windows: tuple[Window, ...]
    late: float
    cpu_seconds: float


def run_paced(
    core: int | None,
    port: int,
    target: str,
    bodies: Sequence[Path],
    *,
    seconds: float,
    rate: float,
    start: float | None = None,
    windows: Sequence[float] = (),
) -> Paced:
    """Load the server on localhost with ``rate`` reviews a second, see ``load_python``.

    ``start`` is when to begin to measure (``time.perf_counter()``), ``LEAD_IN_SECONDS`` after the load begins;
    ``windows`` are the ends of parts, in seconds from there.

    Raises:
        LoadError: the loader failed, or there is no rate, as the server answered nothing when that was found out.
    """
    if rate <= 0:
        raise LoadError("the server answered nothing under full load, so there is no half of it")
    options = ["--rate", str(rate), "--lead-in", str(LEAD_IN_SECONDS)]
    if start is not None:
        options += ["--start", str(start)]
    if windows:
        options += ["--windows", *map(str, windows)]
    argv = python_loader(port, target, PACED_CONNECTIONS, seconds, bodies, *options)
    figures, cpu_seconds = _run("own Python loader", argv, core, seconds + _SLACK_SECONDS)
    return Paced(
        _window(figures),
        tuple(_window(part) for part in figures["windows"]),
        figures["late"] / 1000,
        cpu_seconds,
    )


def _window(figures: dict[str, Any]) -> Window:
    latencies = (figures[key] / 1000 for key in ("p50", "p99", "p999", "max"))
    return Window(figures["requests"], figures["errors"], *latencies)


def run_creates(
    port: int, target: str, body: Path, *, clients: int, seconds: float, certificate: tuple[Path, Path]
) -> Loaded:
    """Create an object again and again at an API server on localhost, with so many clients at once.

    Raises:
        LoadError: the loader failed.
    """
    client = ("--client", *map(str, certificate), "--expect", "201")
    argv = python_loader(port, target, clients, seconds, [body], *client)
    figures, cpu_seconds = _run("own Python loader", argv, None, seconds + _SLACK_SECONDS)
    latencies = (figures[key] / 1000 for key in ("p50", "p99", "p999"))
    return Loaded(figures["requests"], figures["seconds"], figures["errors"], *latencies, cpu_seconds)


def _run(name: str, argv: list[str], core: int | None, timeout: float) -> tuple[dict[str, Any], float]:
    """Run a loader; what it measured, and the CPU time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = _output(name, argv, core, timeout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = next((line for line in answer.splitlines() if line.startswith("RESULT ")), None)
    if result is None:
        raise LoadError(f"{name} gave no result:\n{answer}")
    figures: dict[str, Any] = json.loads(result.removeprefix("RESULT "))
    return figures, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _output(name: str, argv: list[str], core: int | None, timeout: float) -> str:
    process = subprocess.Popen(
        argv,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    try:
        answer, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise LoadError(f"{name} did not end in time") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise LoadError(f"{name} failed with status {process.returncode}:\n{answer}")
    return answer
