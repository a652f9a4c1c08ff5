"""How many connections there are, who has to go for another, and how long the head of a request may take."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.serving import Served
from tests.server.conftest import calling
from tests.server.inprocess import NO_PRIVILEGED, Running, ruleset_of, running, samples, until, until_it
from tests.server.reviews import GOOD
from tests.server.test_connections import post, read_answer
from tests.support import POLICIES
from webhook.engine.ruleset import Ruleset
from webhook.server import accept
from webhook.server.limits import MAX_CONNECTIONS, RESERVED_FILES

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def ruleset(tmp_path: Path) -> Ruleset:
    return ruleset_of(tmp_path, NO_PRIVILEGED)


async def connect(server: Running) -> Connection:
    return await asyncio.open_connection("127.0.0.1", server.port)


async def ask(connection: Connection) -> int:
    connection[1].write(post(GOOD))
    return (await read_answer(connection[0]))[0]


async def is_closed(connection: Connection) -> bool:
    try:
        async with asyncio.timeout(10):
            return await connection[0].read() == b""
    except ConnectionError:
        return True


def close(*connections: Connection) -> None:
    for _, writer in connections:
        writer.transport.abort()


def closed(server: Running) -> dict[tuple[str, ...], float]:
    return samples(server.metrics, "gpuward_connections_closed_total")


async def test_a_connection_that_never_asked_goes_first_for_a_new_one(ruleset: Ruleset) -> None:
    async with running(ruleset, max_connections=3) as server:
        used, silent, other = [await connect(server) for _ in range(3)]
        assert await ask(used) == 200
        assert await ask(other) == 200
        new = await connect(server)
        assert await ask(new) == 200
        assert await is_closed(silent)
        assert await ask(other) == 200
        assert await ask(used) == 200
        assert closed(server) == {("idle",): 1}
        close(used, silent, other, new)


async def test_who_asked_a_moment_ago_is_not_sent_away(ruleset: Ruleset) -> None:
    async with running(ruleset, max_connections=1) as server:
        used = await connect(server)
        assert await ask(used) == 200
        with contextlib.suppress(ConnectionError):
            refused = await connect(server)
            assert await is_closed(refused)
            close(refused)
        assert await ask(used) == 200
        assert closed(server) == {("full",): 1}
        close(used)


async def test_of_those_that_asked_the_one_that_has_been_silent_for_longest_goes(
    ruleset: Ruleset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.server.connections.RECENT_SECONDS", 0.0)
    async with running(ruleset, max_connections=2) as server:
        first, second = [await connect(server) for _ in range(2)]
        for connection in (second, first):
            assert await ask(connection) == 200
            await asyncio.sleep(0.02)
        new = await connect(server)
        assert await ask(new) == 200
        assert await is_closed(second)
        assert await ask(first) == 200
        close(first, second, new)


async def test_where_all_are_busy_a_new_one_is_turned_away_at_once_and_taken_later(ruleset: Ruleset) -> None:
    async with running(ruleset, max_connections=1) as server:
        busy = await connect(server)
        busy[1].write(post(GOOD)[:-1])
        await until(lambda: server.gate.in_flight == 1)
        with contextlib.suppress(ConnectionError):
            refused = await connect(server)
            assert await is_closed(refused)
            close(refused)
        assert closed(server) == {("full",): 1}
        busy[1].write(GOOD[-1:])
        assert (await read_answer(busy[0]))[0] == 200
        busy[1].transport.abort()
        await until(lambda: not server.open_connections())
        new = await connect(server)
        assert await ask(new) == 200
        close(new)


@pytest.mark.parametrize("sent", [b"P", post(GOOD)[:60]], ids=["a byte", "half of it"])
@pytest.mark.parametrize("earlier", [0, 1], ids=["the first request", "a later one"])
async def test_a_head_that_does_not_come_whole_ends_its_connection(
    ruleset: Ruleset, monkeypatch: pytest.MonkeyPatch, sent: bytes, earlier: int
) -> None:
    monkeypatch.setattr("webhook.server.connections.HEAD_SECONDS", 0.2)
    async with running(ruleset) as server:
        slow = await connect(server)
        for _ in range(earlier):
            assert await ask(slow) == 200
        slow[1].write(sent)
        async with asyncio.timeout(10):
            answer = await slow[0].read()
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n")
        assert closed(server) == {("slow",): 1}
        close(slow)


async def test_bytes_now_and_then_do_not_put_off_the_end_of_a_slow_head(
    ruleset: Ruleset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.server.connections.HEAD_SECONDS", 0.3)
    async with running(ruleset) as server:
        slow = await connect(server)
        for byte in post(GOOD):
            slow[1].write(bytes([byte]))
            await asyncio.sleep(0.05)
            if closed(server):
                break
        assert closed(server) == {("slow",): 1}
        close(slow)


async def test_an_idle_connection_and_a_head_in_pieces_are_left_alone(
    ruleset: Ruleset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.server.connections.HEAD_SECONDS", 0.5)
    async with running(ruleset) as server:
        idle = await connect(server)
        for _ in range(2):
            idle[1].write(post(GOOD)[:20])
            await asyncio.sleep(0.05)
            idle[1].write(post(GOOD)[20:])
            assert (await read_answer(idle[0]))[0] == 200
            await asyncio.sleep(0.7)
        assert await ask(idle) == 200
        assert closed(server) == {}
        close(idle)


class Small(Served):
    """A server that may have few files open."""

    wrapper = ("prlimit", f"--nofile={RESERVED_FILES + 8}")


async def test_with_few_files_it_takes_fewer_connections_and_goes_on(tmp_path: Path) -> None:
    arguments = (
        "--policies",
        str(POLICIES),
        "--no-cluster",
        "--default-mode",
        "enforce",
        "--admin-port",
        "auto",
    )
    with Small(tmp_path, *arguments) as served:
        async with calling(served) as caller:
            crowd = []
            for _ in range(60):
                # None of them shakes hands; the first few are taken.
                with contextlib.suppress(ConnectionError):
                    crowd.append(await asyncio.open_connection("127.0.0.1", served.port))
            assert (await caller.get(f"{caller.admin}/readyz")).status == 200

            async def allowed() -> bool:
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    return (await caller.post("/validate", GOOD)).allowed
                return False

            await until_it(allowed)
            close(*crowd)
            assert (await caller.post("/validate", GOOD)).allowed
        assert any("fewer connections are taken" in line for line in served.log)
        assert served.stop() == 0


LIMITS = {
    "enough": (5000, 8000, 5000, 5000),
    "raised": (1024, 524_288, 3000, 3000),
    "as far as it goes": (256, 2000, 3000, 2000),
    "no hard limit": (1024, resource.RLIM_INFINITY, 3000, 3000),
    "none at all": (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 3000, 3000),
}


@pytest.mark.parametrize(("soft", "hard", "wanted", "allowed"), LIMITS.values(), ids=LIMITS)
def test_the_soft_limit_of_files_is_raised_to_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, wanted: int, allowed: int
) -> None:
    now = [(soft, hard)]
    monkeypatch.setattr(accept.resource, "getrlimit", lambda _: now[-1])
    monkeypatch.setattr(accept.resource, "setrlimit", lambda _, limits: now.append(limits))
    assert accept.allow_files(wanted) == allowed
    assert all(limits == (allowed, hard) for limits in now[1:])


def test_a_limit_that_may_not_be_raised_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("not permitted")

    monkeypatch.setattr(accept.resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(accept.resource, "setrlimit", refuse)
    assert accept.connection_limit(MAX_CONNECTIONS) == 1024 - RESERVED_FILES
