"""Too many, too slow, too much: one server, and callers that do not behave beside one that does."""

from __future__ import annotations

import asyncio
import ssl
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.e2e.serving import Served
from tests.server.conftest import trust
from tests.server.reviews import BAD, GOOD, body, pod
from tests.support import POLICIES
from webhook.server.limits import HEAD_SECONDS, INLINE_LIMIT, RESERVED_FILES

from .fleet import metric
from .report import Row

_FLAGS: Final = (
    "--policies",
    str(POLICIES),
    "--no-cluster",
    "--default-mode",
    "enforce",
    "--admin-port",
    "auto",
)
_CALL_SECONDS: Final = 10.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Caller:
    """Somebody who calls one server now and then on a connection that is kept, as an API server does."""

    def __init__(self, served: Served, row: Row) -> None:
        self._served = served
        self._row = row
        self._tls = trust(served.ca_file)
        self._connection: Connection | None = None
        self.codes: Counter[int] = Counter()
        self.last_failure = 0.0

    async def call(self, sent: bytes = GOOD) -> int:
        """One call; 0 where there is no answer. What is no 200 counts as failed."""
        began = time.monotonic()
        code = 0
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                if self._connection is None:
                    self._connection = await connect(self._served, self._tls)
                code, _ = await ask(self._connection, sent)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self.hang_up()
        self.codes[code] += 1
        self._row.requests += 1
        self._row.worst = max(self._row.worst, time.monotonic() - began)
        if code != 200:
            self._row.failed += 1
            self.last_failure = time.monotonic()
        return code

    def hang_up(self) -> None:
        """The next call connects anew."""
        if self._connection is not None:
            self._connection[1].transport.abort()
            self._connection = None


async def connect(served: Served, tls: ssl.SSLContext | None) -> Connection:
    return await asyncio.open_connection("127.0.0.1", served.port, ssl=tls)


def head(length: int) -> bytes:
    lines = ("POST /validate?timeout=5s HTTP/1.1", "Host: x", "Content-Type: application/json")
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


async def ask(connection: Connection, sent: bytes) -> tuple[int, str]:
    """Status and headers of the answer to one call."""
    reader, writer = connection
    writer.write(head(len(sent)) + sent)
    answered = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    await reader.readexactly(int(answered.partition("content-length: ")[2].partition("\r\n")[0]))
    return int(answered.split(None, 2)[1]), answered


@asynccontextmanager
async def steadily(caller: Caller, pause: float = 0.02) -> AsyncIterator[None]:
    """Calls, one after the other, until the block ends."""

    async def run() -> None:
        while True:
            await caller.call()
            await asyncio.sleep(pause)

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        caller.hang_up()
        await asyncio.sleep(0)


async def _once_served(caller: Caller, seconds: float = 30) -> None:
    """Call until there is a good answer, for so long at most."""
    began = time.monotonic()
    while await caller.call() != 200 and time.monotonic() - began < seconds:  # noqa: ASYNC110  # it asks
        await asyncio.sleep(0.1)


class Crowd:
    """Connections that are opened and not used well."""

    def __init__(self, served: Served, *, tls: bool) -> None:
        self._served = served
        self._tls = trust(served.ca_file) if tls else None
        self.open: list[Connection] = []
        self.refused = 0

    async def grow(self, count: int, at_once: int = 25) -> None:
        for _ in range(0, count, at_once):
            came = await asyncio.gather(
                *(connect(self._served, self._tls) for _ in range(at_once)), return_exceptions=True
            )
            self.open += [one for one in came if not isinstance(one, BaseException)]
            self.refused += sum(isinstance(one, BaseException) for one in came)

    async def leave(self) -> None:
        for _, writer in self.open:
            writer.transport.abort()
        self.open.clear()
        await asyncio.sleep(0)


def _checked(served: Served, row: Row, caller: Caller) -> None:
    """What holds after every one of them."""
    with urllib.request.urlopen(f"{served.admin_url}/readyz", timeout=10) as response:
        row.expect(response.status == 200, "it is not ready afterwards")
    row.expect(served.process.poll() is None, "it ended")
    row.expect(set(caller.codes) == {200}, f"the good caller was answered {dict(caller.codes)}")


def slow_heads(folder: Path) -> Row:
    """Slow loris: a byte of the head now and then on each of many connections."""
    row = Row("300 slow-loris clients", f"good callers are served; slow ones end after {HEAD_SECONDS:.0f} s")

    async def run(served: Served) -> None:
        caller = Caller(served, row)
        async with steadily(caller):
            crowd = Crowd(served, tls=True)
            await crowd.grow(300)
            began = time.monotonic()
            for byte in head(10_000):
                for _, writer in crowd.open:
                    if not writer.is_closing():
                        writer.write(bytes([byte]))
                await asyncio.sleep(0.5)
                if _slow(served) >= len(crowd.open):
                    break
                if time.monotonic() - began > 60:
                    row.broken.append("slow connections stay open")
                    break
            row.recovery = time.monotonic() - began
            await crowd.leave()
        _checked(served, row, caller)

    return _run_on(row, folder, run)


def _slow(served: Served) -> float:
    return metric(served, 'gpuward_connections_closed_total{reason="slow"}')


def half_open(folder: Path) -> Row:
    """Connections without a handshake and without a request, many more than there is room for."""
    row = Row(
        "2,000 silent connections, room for 200", "good callers are served; the crowd pushes out itself"
    )

    async def run(served: Served) -> None:
        caller = Caller(served, row)
        async with steadily(caller):
            crowds = [Crowd(served, tls=True), Crowd(served, tls=False)]
            for _ in range(10):
                for crowd in crowds:
                    await crowd.grow(100)
            row.expect(
                metric(served, "gpuward_connections") <= 200, "more connections than the limit are open"
            )
            # A new good caller among them.
            began = time.monotonic()
            other = Caller(served, Row("", ""))
            await _once_served(other)
            row.recovery = time.monotonic() - began
            row.expect(other.codes[200], "a new caller was not served within 30 s")
            other.hang_up()
            row.found = f"{sum(crowd.refused for crowd in crowds)} of the crowd were not taken"
            for crowd in crowds:
                await crowd.leave()
        _checked(served, row, caller)

    return _run_on(row, folder, run, "--max-connections", "200")


def no_files(folder: Path) -> Row:
    """File descriptors run out, or would."""
    row = Row(
        f"300 connections, {RESERVED_FILES + 16} files may be open",
        "good callers are served, and it recovers",
    )

    async def run(served: Served) -> None:
        caller = Caller(served, row)
        async with steadily(caller):
            crowd = Crowd(served, tls=True)
            await crowd.grow(300)
            await asyncio.sleep(1)
            await crowd.leave()
            await asyncio.sleep(1)
        _checked(served, row, caller)
        row.found = f"{crowd.refused} of the crowd were not taken"

    return _run_on(row, folder, run, wrapper=("prlimit", f"--nofile={RESERVED_FILES + 16}"))


def overload(folder: Path) -> Row:
    """Ten times as many calls at once as it takes, and large ones, for ten seconds."""
    row = Row(
        "10x load: 600 calls at once, 60 are taken",
        "200 or 503 with Retry-After; then all are served at once",
    )
    large = body(
        pod(), oldObject={"metadata": {"annotations": {"fill": "x" * INLINE_LIMIT}}}, operation="UPDATE"
    )

    async def run(served: Served) -> None:
        tls = trust(served.ca_file)
        answers: Counter[str] = Counter()
        ends = time.monotonic() + 10

        async def hammer() -> None:
            connection: Connection | None = None
            while time.monotonic() < ends:
                began = time.monotonic()
                try:
                    async with asyncio.timeout(60):
                        connection = connection or await connect(served, tls)
                        code, headers = await ask(connection, large)
                    answers[f"{code}{' with Retry-After' if 'retry-after: 1' in headers else ''}"] += 1
                    row.worst = max(row.worst, time.monotonic() - began)
                    if code == 503:
                        await asyncio.sleep(1)
                except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                    answers[type(error).__name__] += 1
                    if connection is not None:
                        connection[1].transport.abort()
                        connection = None
            if connection is not None:
                connection[1].transport.abort()

        await asyncio.gather(*(hammer() for _ in range(600)))
        over = time.monotonic()
        row.requests = answers.total()
        unclear = {
            what: n for what, n in answers.items() if what not in ("200", "503 with Retry-After", "504")
        }
        row.failed = sum(unclear.values())
        row.expect(not unclear, f"other answers: {unclear}")
        row.expect(answers["503 with Retry-After"], "it shed nothing")
        after = Row("", "")
        caller = Caller(served, after)
        await _once_served(caller)
        row.recovery = time.monotonic() - over
        for _ in range(50):
            await caller.call()
        row.expect(caller.codes[200] >= 51, f"afterwards it answered {dict(caller.codes)}")
        caller.hang_up()
        row.found = ", ".join(f"{n:,} x {what}" for what, n in sorted(answers.items()))
        await asyncio.sleep(0)

    return _run_on(row, folder, run, "--max-in-flight", "60")


def full_disk(folder: Path) -> Row:
    """Standard error takes nothing: every write fails as on a full disk (full(4))."""
    row = Row("logs go to a full disk", "none failed; lines are dropped and counted")

    async def run(served: Served) -> None:
        caller = Caller(served, row)
        for _ in range(1000):
            await caller.call(BAD)
        caller.hang_up()
        await asyncio.sleep(0.5)
        dropped = metric(served, "gpuward_log_lines_dropped")
        row.expect(dropped, "no line was dropped")
        row.found = f"{dropped:,.0f} lines dropped"
        _checked(served, row, caller)

    return _run_on(row, folder, run, wrapper=("sh", "-c", 'exec "$@" 2>/dev/full', "sh"))


def _run_on(
    row: Row,
    folder: Path,
    run: Callable[[Served], Coroutine[None, None, None]],
    *arguments: str,
    wrapper: Sequence[str] = (),
) -> Row:
    """Start a server, run the scenario, and see that the server stops well and has logged no exception."""
    served = Served(folder, *_FLAGS, *arguments)
    served.wrapper = wrapper
    with served:
        asyncio.run(run(served))
        row.expect(served.stop() == 0, "it did not stop well")
    row.expect(
        not any('"stack"' in line or "Traceback" in line for line in served.log), "an exception in the log"
    )
    return row
