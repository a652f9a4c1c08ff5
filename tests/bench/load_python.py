"""A small load generator, as a program: for machines without wrk, and for what wrk cannot do.

    python -m tests.bench.load_python HOST PORT TARGET CONNECTIONS SECONDS [OPTION...] BODY-FILE...

Every connection sends its next review when the answer to the last one is there, as wrk does. With ``--rate``,
reviews are due at times that do not depend on the server (exponential gaps, seeded: as from many independent
callers), and a latency counts from when its review was due, not from when a connection was free to send it:
what waits because the server is behind is counted (no coordinated omission). What was due in the ``--lead-in`` before
the measurement is sent and not counted: a machine that has idled takes a tenth of a second to get going.

One thread, sockets without an event loop: it has to be quicker than the server that it measures, and the
report says if it was not. Prints the same line as wrk.lua.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import selectors
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Final

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
# Of an answer in chunks, JSON has no such bytes itself. Source: RFC 9112, section 7.1.
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"
_CHUNK: Final = 64 * 1024

# How long the last answers are waited for once time is up.
_GRACE_SECONDS: Final = 2.0


class Connection:
    """One keep-alive connection with one request under way."""

    __slots__ = ("_answer", "_chunked", "_expected", "_unsent", "due_at", "sent_at", "socket", "status")

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        plain = socket.create_connection(address, timeout=10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket: Final = context.wrap_socket(plain, server_hostname="localhost")
        self.socket.setblocking(False)
        self._unsent = memoryview(b"")
        self._answer = b""
        self._expected = 0
        self._chunked = False
        self.sent_at = 0
        self.due_at = 0
        self.status = 0

    def send(self, request: bytes) -> None:
        """Start a request."""
        self._answer = b""
        self._expected = 0
        self._chunked = False
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
            if not self._expected and not self._chunked:
                self._read_head()
            if self._expected and len(self._answer) >= self._expected:
                return True
            if self._chunked and self._answer.endswith(_LAST_CHUNK):
                return True

    def _read_head(self) -> None:
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            return
        self.status = int(self._answer[9:12])
        length = _LENGTH.search(self._answer, 0, end)
        if length is not None:
            self._expected = end + 4 + int(length[1])
        elif _CHUNKED.search(self._answer, 0, end):
            self._chunked = True
        else:
            raise ConnectionError("an answer without an end")

    @property
    def wants(self) -> int:
        """What to wait for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)


class Load:
    """What has been measured. ``expected`` is the status of an answer that is none of the errors."""

    def __init__(self, expected: int = 200) -> None:
        self.latencies: list[int] = []
        self.errors = 0
        self._expected: Final = expected

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
        self.errors += connection.status != self._expected
        if more:
            connection.send(next(requests))
        return more

    def result(self, seconds: float) -> dict[str, float]:
        """The measurements in wrk.lua's words, latencies in microseconds."""
        return {
            "requests": len(self.latencies),
            "seconds": seconds,
            "errors": self.errors,
            **_percentiles(self.latencies),
        }


class PacedLoad:
    """Reviews that are due at given times, whatever the server does."""

    def __init__(self, arrivals: Sequence[float], start: float, windows: Sequence[float]) -> None:
        """``arrivals`` are seconds after ``start`` (of ``time.perf_counter``), in order; what is due before it is not
        counted. ``windows`` are the ends, in the same seconds, of the parts that are reported each by itself."""
        self._due: Final = [int((start + arrival) * 1e9) for arrival in arrivals]
        self._start_ns: Final = int(start * 1e9)
        self._windows: Final = [int(end * 1e9) for end in windows]
        self._answered: list[tuple[int, int, bool]] = []  # due, latency, right
        self._late: list[int] = []
        self._lost = 0

    def run(self, connections: list[Connection], requests: Iterator[bytes]) -> float:
        """Send everything; returns the seconds from the start to the last answer."""
        # select(2) waits for microseconds, epoll(2) for whole milliseconds.
        with selectors.SelectSelector() as selector:
            for connection in connections:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            idle = list(connections)
            due = deque(self._due)
            end = self._due[-1] + int(_GRACE_SECONDS * 1e9)
            while (due or len(idle) < len(selector.get_map())) and (now := time.perf_counter_ns()) < end:
                while due and idle and due[0] <= now:
                    self._send(idle.pop(), due.popleft(), next(requests), selector)
                wait = (due[0] - time.perf_counter_ns()) / 1e9 if due and idle else 0.1
                for key, _ in selector.select(max(0.0, wait)):
                    self._advance(key.data, idle, selector)
                if not selector.get_map():
                    break
            self._lost += len(due) + len(selector.get_map()) - len(idle)
        return (time.perf_counter_ns() - self._start_ns) / 1e9

    def _send(
        self, connection: Connection, due: int, request: bytes, selector: selectors.BaseSelector
    ) -> None:
        # The connection was free since ``sent_at`` at most: how far this program is behind, not the server.
        free = max(due, connection.due_at)
        connection.send(request)
        if due >= self._start_ns:
            self._late.append(connection.sent_at - free)
        connection.due_at = due
        if connection.wants != selectors.EVENT_READ:
            selector.modify(connection.socket, connection.wants, connection)

    def _advance(
        self, connection: Connection, idle: list[Connection], selector: selectors.BaseSelector
    ) -> None:
        try:
            whole = connection.advance()
        except OSError:
            selector.unregister(connection.socket)
            if connection in idle:
                idle.remove(connection)
            else:
                self._lost += 1
            return
        selector.modify(connection.socket, connection.wants, connection)
        if whole:
            now = time.perf_counter_ns()
            self._answered.append((connection.due_at, now - connection.due_at, connection.status == 200))
            connection.due_at = now
            idle.append(connection)

    def result(self, seconds: float) -> dict[str, object]:
        """As ``Load.result``; ``windows`` has the same for each of them, ``late`` how late reviews were sent (p99)."""
        return {
            "seconds": seconds,
            **self._part(0, sys.maxsize, self._lost),
            "late": _percentiles(self._late)["p99"],
            "lost": self._lost,
            "windows": [self._part(a, b) for a, b in zip([0, *self._windows], self._windows, strict=False)],
        }

    def _part(self, start: int, end: int, lost: int = 0) -> dict[str, float]:
        part = [answer for answer in self._answered if start <= answer[0] - self._start_ns < end]
        return {
            "requests": len(part),
            "errors": sum(not right for _, _, right in part) + lost,
            **_percentiles([latency for _, latency, _ in part]),
        }


def _percentiles(latencies: Sequence[int]) -> dict[str, float]:
    """In microseconds, of nanoseconds."""
    ordered = sorted(latencies) or [0]

    def percentile(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1000

    return {
        "p50": percentile(0.5),
        "p99": percentile(0.99),
        "p999": percentile(0.999),
        "max": ordered[-1] / 1000,
    }


def arrivals(rate: float, seconds: float, seed: int = 1) -> list[float]:
    """When reviews are due, in seconds from the start: ``rate`` a second on average, with exponential gaps."""
    chance = random.Random(seed)
    times = []
    now = chance.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += chance.expovariate(rate)
    return times


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
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load_python")
    add = parser.add_argument
    add("host")
    add("port", type=int)
    add("target")
    add("connections", type=int)
    add("seconds", type=float)
    add("bodies", nargs="+", type=Path)
    add("--rate", type=float, help="so many a second, not as fast as it goes")
    add("--start", type=float, help="with --rate: when to begin, of time.perf_counter()")
    add(
        "--windows",
        type=float,
        nargs="*",
        default=[],
        help="with --rate: ends of parts, seconds from the start",
    )
    add(
        "--lead-in",
        type=float,
        default=0.0,
        help="with --rate: seconds of load before the start, not counted",
    )
    add("--client", type=Path, nargs=2, help="a client certificate and its key, PEM")
    add("--expect", type=int, default=200, help="the status of a right answer")
    args = parser.parse_args()

    context = ssl.create_default_context()
    # The caller has made sure of whom it talks to; what is measured is the server.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if args.client:
        context.load_cert_chain(*args.client)
    requests = cycle([format_request(args.target, file.read_bytes()) for file in args.bodies])
    opened = [Connection((args.host, args.port), context) for _ in range(args.connections)]
    result: dict[str, Any]
    if args.rate:
        lead_in = args.lead_in
        start = args.start or time.perf_counter() + lead_in
        due = [arrival - lead_in for arrival in arrivals(args.rate, lead_in + args.seconds)]
        paced = PacedLoad(due, start, args.windows)
        result = paced.result(paced.run(opened, requests))
    else:
        load = Load(args.expect)
        result = load.result(load.run(opened, requests, args.seconds))
    print("RESULT", json.dumps(result))


if __name__ == "__main__":
    main()
