"""Mutated reviews, sent to a server over TLS; what it answers, what it logs, how large it becomes."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench import machine
from tests.bench.bodies import ALL, load_bodies
from tests.e2e.serving import ADMIN, READY, Served
from tests.server.conftest import trust
from tests.support import POLICIES

from .mutate import MARKED, Mutator
from .report import Row

_CONNECTIONS: Final = 8
# Calls are sent together, as that costs the sender less; the server answers them one after the other.
_TOGETHER: Final = 8
_SEED: Final = 20261128
_TARGETS: Final = tuple(
    f"/{webhook}{mode}?timeout=10s"
    for webhook in ("mutate", "validate")
    for mode in ("", "/audit", "/warn", "/enforce")
)
_UNEXPECTED: Final = re.compile(r'"level":"error"|Traceback|internal error|"stack"')

# What is still growing when a fifth of the load has passed is no warming up any more.
_SETTLED_SHARE: Final = 0.2
_GROWTH_LIMIT: Final = 0.1


class Watched(Served):
    """A server whose log is looked through as it comes, and not kept: it is gigabytes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        super().__init__(folder, *arguments)
        self.lines = 0
        self.leaked: list[str] = []
        self.unexpected: list[str] = []

    def _keep(self, line: str) -> None:
        self.lines += 1
        if READY.search(line) or ADMIN.search(line):
            super()._keep(line)
        if any(marked in line for marked in MARKED):
            self.leaked.append(line[:2000])
        if _UNEXPECTED.search(line):
            self.unexpected.append(line[:2000])


@dataclass
class Sent:
    """What came of the calls."""

    codes: Counter[int] = field(default_factory=Counter)
    worst: float = 0.0
    broken_off: int = 0
    failing: list[bytes] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)


def mutated_reviews(folder: Path, count: int, seed: int = _SEED) -> Row:
    """So many mutated reviews, one after the other on each of a few connections."""
    bodies = load_bodies()
    row = Row(
        f"{count:,} mutated AdmissionReviews",
        "no 5xx but overload, no exception, memory flat, no Secret in the log",
    )
    arguments = (
        "--policies",
        str(POLICIES),
        "--no-cluster",
        "--default-mode",
        "enforce",
        "--admin-port",
        "auto",
    )
    with Watched(folder, *arguments) as served:
        began = time.monotonic()
        sent = asyncio.run(_send(served, list(bodies.sets[ALL]), count, seed))
        took = time.monotonic() - began
        errors = _rule_errors(served)
        row.expect(served.stop() == 0, "the server did not stop well")
    row.requests = sum(sent.codes.values())
    row.worst = sent.worst
    bad = {code: number for code, number in sent.codes.items() if code >= 500 and code != 503}
    row.failed = sum(bad.values()) + sent.broken_off
    row.expect(not bad, f"answers {bad}")
    row.expect(not sent.broken_off, f"{sent.broken_off} calls without an answer")
    row.expect(not served.unexpected, f"{len(served.unexpected)} unexpected lines in the log")
    row.expect(not served.leaked, f"a Secret's value in {len(served.leaked)} lines of the log")
    row.expect(not errors, f"rules that failed: {', '.join(errors)}")
    settled, end = sent.resident[int(len(sent.resident) * _SETTLED_SHARE)], sent.resident[-1]
    row.expect(end < settled * (1 + _GROWTH_LIMIT), "memory grew")
    codes = ", ".join(f"{number:,} of {code}" for code, number in sorted(sent.codes.items()))
    row.found = (
        f"{codes}; {settled / 1e6:.0f} MB after a fifth, {end / 1e6:.0f} MB at the end; {served.lines:,} lines of log; "
        f"{row.requests / took:,.0f}/s"
    )
    row.notes += [*served.unexpected[:5], *served.leaked[:5], *(repr(one[:3000]) for one in sent.failing[:5])]
    return row


async def _send(served: Served, reviews: list[bytes], count: int, seed: int) -> Sent:
    sent = Sent()
    every = max(_TOGETHER, count // _CONNECTIONS // 10)
    shares = [count // _CONNECTIONS + (index < count % _CONNECTIONS) for index in range(_CONNECTIONS)]
    senders = [
        _sender(served, iter(Mutator(reviews, seed + index)), share, sent, every)
        for index, share in enumerate(shares)
    ]
    await asyncio.gather(*senders)
    sent.resident.append(machine.resident_bytes(served.process.pid))
    return sent


async def _sender(served: Served, bodies: Iterator[bytes], count: int, sent: Sent, every: int) -> None:
    context = trust(served.ca_file)
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    for number in range(0, count, _TOGETHER):
        if connection is None:
            connection = await asyncio.open_connection("127.0.0.1", served.port, ssl=context)
        reader, writer = connection
        batch = [next(bodies) for _ in range(min(_TOGETHER, count - number))]
        began = time.monotonic()
        writer.write(
            b"".join(
                _call(_TARGETS[(number + index) % len(_TARGETS)], body) for index, body in enumerate(batch)
            )
        )
        for index, body in enumerate(batch):
            try:
                code = await _answer(reader)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                sent.broken_off += len(batch) - index
                sent.failing.append(body)
                writer.transport.abort()
                connection = None
                break
            sent.codes[code] += 1
            if code >= 500:
                sent.failing.append(body)
        sent.worst = max(sent.worst, time.monotonic() - began)
        if number % every < _TOGETHER:
            sent.resident.append(machine.resident_bytes(served.process.pid))
    if connection is not None:
        connection[1].transport.abort()
        await asyncio.sleep(0)


def _call(target: str, body: bytes) -> bytes:
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    return int(head.split(None, 2)[1])


def _rule_errors(served: Served) -> list[str]:
    """Rules that failed instead of judging, from the metrics."""
    with urllib.request.urlopen(f"{served.admin_url}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    return [line for line in lines if line.startswith("gpuward_rule_errors_total{")]
