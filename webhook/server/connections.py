"""HTTP connections: aiohttp's, with errors told our way.

aiohttp logs and answers what it cannot parse with pieces of it. What arrives here can be the rest of
somebody's Secret, so neither the log nor the answer has any of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from webhook.server.replies import CallError, Reply, refuse

logger: Final = logging.getLogger("gpuward.server")

# Longer than the 90 seconds for which the API server's client keeps an idle connection (Go, net/http): were
# it shorter, a call could be on its way just when its connection is closed here, and be lost.
KEEP_ALIVE_SECONDS: Final = 120

# What a refused caller still sends is read and thrown away for so long, so that it gets to read the answer.
_LINGER_SECONDS: Final = 2


Admits = Callable[[asyncio.BaseTransport], bool]
"""Whether the caller at the other end of a new connection is served."""


class Connection(web.RequestHandler):
    """One connection of one client."""

    __slots__ = ("_admits",)

    def __init__(self, admits: Admits | None, manager: Listener, **options: Any) -> None:
        super().__init__(manager, **options)
        self._admits: Final = admits

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or end at once where the caller is none that is served."""
        super().connection_made(transport)
        if self._admits is not None and not self._admits(transport):
            assert isinstance(transport, asyncio.Transport)
            transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002  # says nothing that would help
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # it quotes what arrived
    ) -> web.StreamResponse:
        """The answer to what is no HTTP, or to a failure of the server's own; then the connection ends."""
        if status < 500:
            error = CallError(status, "this is no HTTP/1.1 request")
        else:
            error = CallError(500, "internal error")
            logger.error("a request failed", exc_info=exc)
        reply = refuse(error)
        reply.force_close()
        return reply


class Listener(web.Server):
    """Makes a ``Connection`` for each client; ``handler`` answers its requests."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[Reply]], admits: Admits | None = None
    ) -> None:
        super().__init__(handler)
        self._admits: Final = admits
        self._event_loop: Final = asyncio.get_running_loop()

    def __call__(self) -> web.RequestHandler:
        return Connection(
            self._admits,
            self,
            loop=self._event_loop,
            logger=logger,
            # The default is meant for people reading logs of a web site; here a decision log says more.
            access_log=None,  # documented as the way to have none
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            # A compressed body is refused; to unpack it first would be work for nothing.
            auto_decompress=False,
        )
