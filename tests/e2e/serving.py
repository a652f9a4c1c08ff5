"""gpuward as a process, for the tests that need it to be one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import trustme

from tests.support import REPOSITORY

READY = re.compile(r"serving admission on https://\S+?:(\d+)")
ADMIN = re.compile(r"health and metrics on (http://\S+?),")
START_SECONDS = 20
STOP_SECONDS = 15


class Serving:
    """One `gpuward serve` with these arguments and environment variables. A context manager."""

    wrapper: Sequence[str] = ()
    """A program, with its arguments, that starts another with something changed: `prlimit`, `env`, a shell."""

    start_seconds: float = START_SECONDS
    """How long it may take until it is ready."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._command = [sys.executable, "-m", "webhook", "serve", *arguments]
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        self.port = 0
        self.log: list[str] = []

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [*self.wrapper, *self._command], cwd=REPOSITORY, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self._environment,
        )  # fmt: skip
        ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(ready,), daemon=True)
        self._reader.start()
        deadline = time.monotonic() + self.start_seconds
        while not ready.wait(0.05):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                self.process.wait()
                self.__exit__()
                raise RuntimeError("gpuward serve did not start:\n" + "".join(self.log))
        return self

    def _read(self, ready: threading.Event) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._keep(line)
            if found := READY.search(line):
                self.port = int(found[1])
                ready.set()

    def _keep(self, line: str) -> None:
        """What is done with each line that it prints."""
        self.log.append(line)

    @property
    def admin_url(self) -> str:
        """Of health and metrics, where there is an `--admin-port`."""
        return next(found[1] for line in self.log if (found := ADMIN.search(line)))

    def stop(self) -> int:
        """Ends it as Kubernetes does, and returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        finally:
            self.process.kill()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()


class Served(Serving):
    """One `gpuward serve` on 127.0.0.1 with a certificate of its own, or one of the cluster's. A context manager."""

    def __init__(self, folder: Path, *arguments: str, own_certificate: bool = True) -> None:
        """`arguments` come last and so win. Without `own_certificate` they say where there is one."""
        self.folder = folder
        authority = trustme.CA()
        pair = authority.issue_cert("127.0.0.1", "localhost")
        folder.mkdir(parents=True, exist_ok=True)
        pair.private_key_pem.write_to_path(folder / "tls.key")
        for index, blob in enumerate(pair.cert_chain_pems):
            blob.write_to_path(folder / "tls.crt", append=index > 0)
        self.ca_pem = authority.cert_pem.bytes()
        self.ca_file = folder / "ca.crt"
        self.ca_file.write_bytes(self.ca_pem)
        files = ("--tls-cert", str(folder / "tls.crt"), "--tls-key", str(folder / "tls.key"))
        super().__init__(
            [
                "--host", "127.0.0.1", "--port", "0", "--admin-port", "0", "--drain-delay", "0",
                *(files if own_certificate else ()), *arguments,
            ]
        )  # fmt: skip

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"
