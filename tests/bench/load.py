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
from typing import Final, Literal

from tests.support import REPOSITORY

CONNECTIONS: Final = 16

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
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        answer = self._start(self._argv(port, target, bodies, seconds), whole + _SLACK_SECONDS)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = next((line for line in answer.splitlines() if line.startswith("RESULT ")), None)
        if result is None:
            raise LoadError(f"{self.name} gave no result:\n{answer}")
        figures = json.loads(result.removeprefix("RESULT "))
        return Loaded(
            requests=figures["requests"],
            seconds=figures["seconds"],
            errors=figures["errors"],
            p50=figures["p50"] / 1000,
            p99=figures["p99"] / 1000,
            p999=figures["p999"] / 1000,
            cpu_seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
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
        return [
            sys.executable,
            "-m",
            "tests.bench.load_python",
            "127.0.0.1",
            str(port),
            target,
            str(CONNECTIONS),
            str(seconds),
            *files,
        ]

    def _start(self, argv: list[str], timeout: float) -> str:
        process = subprocess.Popen(
            argv,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        if self._core is not None:
            os.sched_setaffinity(process.pid, {self._core})
        try:
            answer, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise LoadError(f"{self.name} did not end in time") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            raise LoadError(f"{self.name} failed with status {process.returncode}:\n{answer}")
        return answer
