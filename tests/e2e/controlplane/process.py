"""One program of the control plane as a child process that cannot outlive its parent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import die_with_parent

TAIL_BYTES = 6000


class Process:
    """A program with its own process group and a log file that survives restarts.

    On Linux the kernel kills it when the *thread* that started it ends, however that happens, so start it
    from the main thread or from one that lives as long as the process should.
    """

    def __init__(
        self, name: str, argv: Sequence[str | Path], log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = log
        self._argv = [str(part) for part in argv]
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the program; one that cannot be run ends at once and says why in the log."""
        # -I and -S: the wrapper needs nothing that is installed, and starts in a few ms without.
        wrapper = [sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid())]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*wrapper, *self._argv],
                env=self._environment,
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Its own session: Ctrl-C at the terminal reaches the tests, which then stop things in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int | None:
        """The process id; None before the start and after the stop."""
        return self._process.pid if self._process else None

    def exit_status(self) -> int | None:
        """The exit status of a process that ended by itself; None while it runs or when it was stopped."""
        return self._process.poll() if self._process else None

    def terminate(self) -> None:
        """Asks the process to end (SIGTERM) and does not wait."""
        self._signal(signal.SIGTERM)

    def stop(self, grace: float) -> None:
        """SIGTERM, then SIGKILL to the process group after `grace` seconds. Nothing if it does not run."""
        self.terminate()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
        self.kill()

    def kill(self) -> None:
        """Ends the process group at once (SIGKILL), as a crash would. Nothing if it does not run."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        self._process = None

    def tail(self) -> str:
        """The end of the log, for error messages."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return "(no log)"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
