"""The servers under test: started, pinned, asked whether they answer what they should, stopped."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from certs.mint import mint_ca, mint_leaf
from tests.bench.reference_server import CONSTANT_UID
from tests.e2e.controlplane.process import Process
from tests.support import POLICIES, REPOSITORY

_READY_SECONDS: Final = 20.0


class ServerError(Exception):
    """A server did not start, or answered something it should not; the message says what."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of one throw-away CA and a certificate of localhost: the same for every server under test."""

    ca: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """Mint the certificates into a folder."""
    now = datetime.now(UTC)
    ca = mint_ca("gpuward benchmark", now)
    leaf = mint_leaf(ca, ["localhost", "127.0.0.1"], now)
    made = Certificates(folder / "ca.crt", folder / "tls.crt", folder / "tls.key")
    made.ca.write_bytes(ca.certificate)
    made.certificate.write_bytes(leaf.certificate)
    made.key.touch(mode=0o600)
    made.key.write_bytes(leaf.key)
    return made


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    name: str
    process: Process
    port: int
    certificates: Certificates
    admin_port: int = 0
    """Of /readyz and /metrics, where it has them."""

    @property
    def pid(self) -> int:
        """Its process id.

        Raises:
            ServerError: it has ended.
        """
        pid = self.process.pid
        if pid is None or self.process.exit_status() is not None:
            raise ServerError(f"{self.name} has ended:\n{self.process.tail()}")
        return pid

    def admin(self, path: str) -> tuple[int, str]:
        """Status and text of what the admin port has at a path.

        Raises:
            OSError, http.client.HTTPException: it does not answer.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to measure: an address of a server."""

    name: str
    server: Server
    path: str
    constant: bool = False


@contextlib.contextmanager
def reference_server(
    what: str, certificates: Certificates, folder: Path, core: int | None, *, processes: int = 1
) -> Iterator[Server]:
    """One of the servers of comparison, see ``reference_server.py``."""
    port = free_port()
    argv: list[str | Path] = [
        sys.executable,
        "-m",
        "tests.bench.reference_server",
        what,
        certificates.certificate,
        certificates.key,
        str(port),
        str(processes),
    ]
    with _running(what, argv, port, certificates, folder, core, "/review") as server:
        yield server


@contextlib.contextmanager
def gpuward_server(
    certificates: Certificates,
    folder: Path,
    core: int | None,
    *,
    policies: Path = POLICIES,
    workers: int = 1,
    kubeconfig: Path | None = None,
) -> Iterator[Server]:
    """gpuward as it is shipped: one worker, the shipped policies, no cluster but the one of ``kubeconfig``."""
    with launched(
        certificates, folder, core, policies=policies, workers=workers, kubeconfig=kubeconfig
    ) as server:
        _wait(server, "/validate/enforce")
        yield server


@contextlib.contextmanager
def launched(
    certificates: Certificates,
    folder: Path,
    core: int | None,
    *,
    policies: Path = POLICIES,
    workers: int = 1,
    kubeconfig: Path | None = None,
) -> Iterator[Server]:
    """``gpuward_server`` as soon as its program runs, before it is ready."""
    port, admin_port = free_port(), free_port()
    argv: list[str | Path] = [
        sys.executable,
        "-m",
        "webhook",
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--admin-port",
        str(admin_port),
        "--workers",
        str(workers),
        "--policies",
        policies,
        "--tls-cert",
        certificates.certificate,
        "--tls-key",
        certificates.key,
        *(("--kubeconfig", kubeconfig) if kubeconfig else ("--no-cluster", "--default-mode", "enforce")),
    ]
    with _started("gpuward", argv, port, certificates, folder, core, admin_port) as server:
        yield server


@contextlib.contextmanager
def _running(
    name: str,
    argv: Sequence[str | Path],
    port: int,
    certificates: Certificates,
    folder: Path,
    core: int | None,
    path: str,
) -> Iterator[Server]:
    with _started(name, argv, port, certificates, folder, core) as server:
        _wait(server, path)
        yield server


@contextlib.contextmanager
def _started(
    name: str,
    argv: Sequence[str | Path],
    port: int,
    certificates: Certificates,
    folder: Path,
    core: int | None,
    admin_port: int = 0,
) -> Iterator[Server]:
    log = folder / f"{name}.log"
    process = Process(name, argv, log, {**os.environ, "PYTHONPATH": str(REPOSITORY)})
    server = Server(name, process, port, certificates, admin_port)
    process.start()
    try:
        if core is not None:
            os.sched_setaffinity(server.pid, {core})
        yield server
    finally:
        # Nothing of it is to be kept, and draining would only take time.
        process.kill()


def free_port() -> int:
    """A port of localhost that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(server: Server, path: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        _ = server.pid  # says so where it has ended
        try:
            # Any answer means that it listens with its certificate and calls its handlers.
            ask(server, path, [b"{}"])
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{server.name} does not answer: {error}\n{server.process.tail()}"
                ) from None
            time.sleep(0.05)
        else:
            return


@contextlib.contextmanager
def asking(server: Server, target: str) -> Iterator[Callable[[bytes], tuple[int, bytes]]]:
    """Sends a body and gives status and body of the answer, all on one connection."""
    context = ssl.create_default_context(cafile=str(server.certificates.ca))
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=5, context=context)

    def ask_once(body: bytes) -> tuple[int, bytes]:
        connection.request("POST", target, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()

    with contextlib.closing(connection):
        yield ask_once


def ask(server: Server, target: str, bodies: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """Send bodies one after the other; status and body of each answer."""
    with asking(server, target) as ask_once:
        return [ask_once(body) for body in bodies]


def tls(server: Server) -> str:
    """Protocol version and cipher that the server agrees on."""
    context = ssl.create_default_context(cafile=str(server.certificates.ca))
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        cipher = secured.cipher()
        return f"{secured.version()} {cipher[0] if cipher else 'unknown'}"


def check_answers(target: Target, bodies: Sequence[bytes]) -> dict[str, int]:
    """Ask each body once and count what came back: what is quick because it fails must not pass as quick.

    Raises:
        ServerError: an answer is no AdmissionReview to its request.
    """
    counts = {"allowed": 0, "refused": 0, "patched": 0}
    for body, (status, answer) in zip(bodies, ask(target.server, target.path, bodies), strict=True):
        response = _response(target, status, answer)
        uid = CONSTANT_UID if target.constant else orjson.loads(body)["request"]["uid"]
        if response.get("uid") != uid:
            raise ServerError(f"{target.name} answered the request {uid} with {answer[:200]!r}")
        counts["allowed" if response.get("allowed") is True else "refused"] += 1
        counts["patched"] += "patch" in response
    return counts


def _response(target: Target, status: int, answer: bytes) -> dict[str, Any]:
    try:
        if status == 200:
            response: dict[str, Any] = orjson.loads(answer)["response"]
            return response
    except (ValueError, KeyError, TypeError):
        pass
    raise ServerError(f"{target.name} answered with status {status}: {answer[:200]!r}")
