"""Health: alive, ready, and why not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.server.reviews import Answer
from webhook.server.app import AdminApp
from webhook.server.connections import Listener
from webhook.server.health import Health, State


@asynccontextmanager
async def admin(*states: State) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    checks = [(f"check-{number}", lambda state=state: state) for number, state in enumerate(states)]
    health = Health(checks, lambda accept: (f"metrics for {accept}".encode(), "text/plain; version=0.0.4"))
    listener = Listener(AdminApp(health).answer)
    server = await asyncio.get_running_loop().create_server(listener, "127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", session
    finally:
        server.close()
        await listener.shutdown(1)


async def fetch(where: tuple[str, aiohttp.ClientSession], path: str, method: str = "GET") -> Answer:
    url, session = where
    async with session.request(method, url + path, headers={"Accept": "text/x"}) as response:
        return Answer(response.status, dict(response.headers), await response.read())


GOOD, BAD = State(True, "5 of them"), State(False, "none yet")


async def test_alive_is_alive_whatever_the_checks_say() -> None:
    async with admin(BAD) as where:
        answer = await fetch(where, "/healthz")
        assert (answer.status, answer.body) == (200, b"ok\n")


async def test_ready_is_ready_in_one_word_and_tells_all_where_asked() -> None:
    async with admin(GOOD, GOOD) as where:
        answer = await fetch(where, "/readyz")
        assert (answer.status, answer.body) == (200, b"ok\n")
        answer = await fetch(where, "/readyz?verbose")
        assert answer.status == 200
        assert answer.body.decode().splitlines() == [
            "[+]check-0 ok: 5 of them",
            "[+]check-1 ok: 5 of them",
            "readyz check passed",
        ]


@pytest.mark.parametrize("query", ["", "?verbose"])
async def test_not_ready_says_which_check_and_why(query: str) -> None:
    async with admin(GOOD, BAD) as where:
        answer = await fetch(where, f"/readyz{query}")
        assert answer.status == 503
        assert answer.body.decode().splitlines() == [
            "[+]check-0 ok: 5 of them",
            "[-]check-1 failed: none yet",
            "readyz check failed",
        ]


async def test_metrics_come_as_they_are_asked_for() -> None:
    async with admin() as where:
        answer = await fetch(where, "/metrics")
        assert (answer.status, answer.body) == (200, b"metrics for text/x")
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_a_probe_may_ask_for_the_head_alone_and_nobody_may_write(path: str) -> None:
    async with admin(GOOD) as where:
        answer = await fetch(where, path, "HEAD")
        assert (answer.status, answer.body) == (200, b"")
        answer = await fetch(where, path, "POST")
        answer.is_status(405, path)
        assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/", "/readyz/etcd", "/validate"])
async def test_there_is_nothing_else_on_the_admin_port(path: str) -> None:
    async with admin(GOOD) as where:
        (await fetch(where, path)).is_status(404)
