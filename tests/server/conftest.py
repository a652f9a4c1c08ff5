"""A server to call: the real program in a process of its own, and reviews to send it."""

from __future__ import annotations

import asyncio
import io
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.serving import Served
from tests.server.reviews import Answer
from tests.support import POLICIES

ADMIN = re.compile(r"health and metrics on (http://\S+?),")


@dataclass(frozen=True)
class Caller:
    """Calls one server, as the API server does: over TLS, with connections kept alive."""

    served: Served
    session: aiohttp.ClientSession
    trust: ssl.SSLContext

    @property
    def admin(self) -> str:
        return next(found[1] for line in self.served.log if (found := ADMIN.search(line)))

    async def post(self, path: str, body: bytes, **options: object) -> Answer:
        headers = {"Content-Type": "application/json"}
        # A file-like body, as aiohttp warns of large ones in one piece.
        return await self.request("POST", path, data=io.BytesIO(body), **{"headers": headers, **options})

    async def request(self, method: str, path: str, **options: object) -> Answer:
        async with self.session.request(
            method, self.served.url + path, ssl=self.trust, **options
        ) as response:  # type: ignore[arg-type]
            return Answer(response.status, dict(response.headers), await response.read())

    async def get(self, url: str) -> Answer:
        """A page of the admin port (or any other)."""
        async with self.session.get(url) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TLS connection, for what no HTTP client would send."""
        return await asyncio.open_connection("127.0.0.1", self.served.port, ssl=self.trust, limit=2**24)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """gpuward with the shipped policies, enforcing everywhere. At the end it must still be alive and stop well."""
    folder = tmp_path_factory.mktemp("served")
    arguments = (
        "--policies",
        str(POLICIES),
        "--no-cluster",
        "--default-mode",
        "enforce",
        "--admin-port",
        "auto",
    )
    with Served(folder, *arguments) as server:
        yield server
        assert server.stop() == 0, "".join(server.log)


@pytest.fixture
async def caller(served: Served) -> AsyncIterator[Caller]:
    async with calling(served) as caller:
        yield caller


class calling:  # noqa: N801  # reads as a verb: async with calling(server)
    """A ``Caller`` for as long as the block runs."""

    def __init__(self, served: Served) -> None:
        self._caller = Caller(served, aiohttp.ClientSession(), trust(served.ca_file))

    async def __aenter__(self) -> Caller:
        return self._caller

    async def __aexit__(self, *_: object) -> None:
        await self._caller.session.close()


def trust(ca: Path) -> ssl.SSLContext:
    """Trust in one CA and no other."""
    return ssl.create_default_context(cafile=str(ca))
