"""A small load generator, as a program, for machines without wrk.

    python -m tests.bench.load_python HOST PORT TARGET CONNECTIONS SECONDS BODY-FILE...

Every connection sends its next review when the answer to the last one is there, as wrk does. One thread,
sockets without an event loop: it has to be quicker than the server that it measures, and the report says if
it was not. Prints the same line as wrk.lua.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Final

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNK: Final = 64 * 1024

# How long the last answers are waited for once time is up.
_GRACE_SECONDS: Final = 2.0


class Connection:
    """One keep-alive connection with one request under way."""

    __slots__ = ("_answer", "_expected", "_unsent", "sent_at", "socket", "status")

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        plain = socket.create_connection(address, timeout=10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket: Final = context.wrap_socket(plain, server_hostname="localhost")
        self.socket.setblocking(False)
        self._unsent = memoryview(b"")
        self._answer = b""
        self._expected = 0
        self.sent_at = 0
        self.status = 0

    def send(self, request: bytes) -> None:
        """Start a request."""
        self._answer = b""
        self._expected = 0
        self._unsent = memoryview(request)
        self.sent_at = time.perf_counter_ns()
        self._write()

    def _write(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass

    def advance(self) -> bool:
        """Take what has arrived, and whether the answer is whole now; its status is in ``status``.

        Raises:
            ConnectionError: the server closed the connection, or answered something that is no such answer.
        """
        if self._unsent:
            self._write()
        while True:
            try:
                piece = self.socket.recv(_CHUNK)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            if not piece:
                raise ConnectionResetError("the server closed the connection")
            self._answer += piece
            if not self._expected:
                self._read_head()
            if self._expected and len(self._answer) >= self._expected:
                return True

    def _read_head(self) -> None:
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._answer, 0, end)
        if length is None:
            raise ConnectionError("an answer without Content-Length")
        self.status = int(self._answer[9:12])
        self._expected = end + 4 + int(length[1])

    @property
    def wants(self) -> int:
        """What to wait for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)


class Load:
    """What has been measured."""

    def __init__(self) -> None:
        self.latencies: list[int] = []
        self.errors = 0

    def run(self, connections: list[Connection], requests: Iterator[bytes], seconds: float) -> float:
        """Keep every connection busy for so long; returns the seconds it took."""
        with selectors.DefaultSelector() as selector:
            start = time.perf_counter()
            end = start + seconds
            for connection in connections:
                connection.send(next(requests))
                selector.register(connection.socket, connection.wants, connection)
            while selector.get_map() and (now := time.perf_counter()) < end + _GRACE_SECONDS:
                for key, _ in selector.select(0.1):
                    if not self._advance(key.data, requests, more=now < end):
                        selector.unregister(key.fileobj)
                    elif key.events != key.data.wants:
                        selector.modify(key.fileobj, key.data.wants, key.data)
            self.errors += len(selector.get_map())
            return time.perf_counter() - start

    def _advance(self, connection: Connection, requests: Iterator[bytes], *, more: bool) -> bool:
        """Whether the connection has something under way afterwards."""
        try:
            if not connection.advance():
                return True
        except OSError:
            self.errors += 1
            return False
        self.latencies.append(time.perf_counter_ns() - connection.sent_at)
        self.errors += connection.status != 200
        if more:
            connection.send(next(requests))
        return more

    def result(self, seconds: float) -> dict[str, float]:
        """The measurements in wrk.lua's words, latencies in microseconds."""
        ordered = sorted(self.latencies) or [0]

        def percentile(share: float) -> float:
            return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1000

        return {
            "requests": len(self.latencies),
            "seconds": seconds,
            "errors": self.errors,
            "p50": percentile(0.5),
            "p99": percentile(0.99),
            "p999": percentile(0.999),
            "max": ordered[-1] / 1000,
        }


def format_request(target: str, body: bytes) -> bytes:
    """An HTTP/1.1 request with this body."""
    head = (
        f"POST {target} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "\r\n",
    )
    return "\r\n".join(head).encode() + body


def main() -> None:
    host, port, target, connections, seconds, *files = sys.argv[1:]
    context = ssl.create_default_context()
    # The caller has made sure of whom it talks to; what is measured is the server.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    requests = [format_request(target, Path(file).read_bytes()) for file in files]
    load = Load()
    opened = [Connection((host, int(port)), context) for _ in range(int(connections))]
    took = load.run(opened, cycle(requests), float(seconds))
    print("RESULT", json.dumps(load.result(took)))


if __name__ == "__main__":
    main()
