"""HTTP connections: aiohttp's, with errors told our way.

aiohttp logs and answers what it cannot parse with pieces of it. What arrives here can be the rest of
somebody's Secret, so neither the log nor the answer has any of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from aiohttp import web

from webhook.server.limits import HEAD_SECONDS
from webhook.server.replies import CallError, Reply, refuse

logger: Final = logging.getLogger("gpuward.server")

# Longer than the 90 seconds for which the API server's client keeps an idle connection (Go, net/http): were
# it shorter, a call could be on its way just when its connection is closed here, and be lost.
KEEP_ALIVE_SECONDS: Final = 120

# Who has asked so lately will ask again, and is not sent away for somebody who has yet to say anything.
RECENT_SECONDS: Final = 10.0

# What a refused caller still sends is read and thrown away for so long, so that it gets to read the answer.
_LINGER_SECONDS: Final = 2


_HEAD_IS_LATE: Final = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


Admits = Callable[[asyncio.BaseTransport], bool]
"""Whether the caller at the other end of a new connection is served."""


class Connection(web.RequestHandler):
    """One connection of one client."""

    __slots__ = ("_admits", "_closed", "_late", "heard")

    def __init__(self, admits: Admits | None, manager: Listener, **options: Any) -> None:
        super().__init__(manager, **options)
        self._admits: Final = admits
        self._closed: Final = manager.closed
        self._late: asyncio.TimerHandle | None = None
        self.heard = 0.0
        """When the last request came, in the time of the event loop; 0 before the first."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or end at once where the caller is none that is served."""
        super().connection_made(transport)
        if self._admits is not None and not self._admits(transport):
            _abort(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        if self._late is not None:
            self._late.cancel()
            self._late = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; a head that has begun has to be whole before long."""
        super().data_received(data)
        if not self.is_waiting:
            self.heard = self._loop.time()
            if self._late is not None:
                self._late.cancel()
                self._late = None
        elif self._late is None:
            self._late = self._loop.call_later(HEAD_SECONDS, self._head_is_late)

    @property
    def is_waiting(self) -> bool:
        """Whether nothing is under way: no request has come, or the last one is answered."""
        waiter = self._waiter
        if self._force_close:
            return False
        if waiter is None:
            # At the very beginning it does not wait yet. Later this is a request under way.
            return self._request_count == 0
        return not waiter.done()

    def _head_is_late(self) -> None:
        self._late = None
        if self.is_waiting and self.transport is not None:
            self.transport.write(_HEAD_IS_LATE)
            self.force_close()
            self._closed("slow")

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
        self,
        handler: Callable[[web.BaseRequest], Awaitable[Reply]],
        admits: Admits | None = None,
        *,
        closed: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``closed`` is told of each connection that is ended or not taken, and why: ``slow`` (to send a head),
        ``idle`` (while another needs its place), ``full`` (all are busy)."""
        super().__init__(handler)
        self._admits: Final = admits
        self.closed: Final = closed
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

    def make_room(self) -> bool:
        """Close the connection that is the least loss; whether there was one on which nothing is under way.

        First go those on which nothing was ever asked, then those that have been silent for longest, and for
        RECENT_SECONDS: an API server uses the connection that it used last, and opens another where one has gone.
        """
        long_ago = self._event_loop.time() - RECENT_SECONDS
        waiting = [
            one
            for one in self.connections
            if isinstance(one, Connection) and one.is_waiting and one.heard < long_ago
        ]
        if not waiting:
            return False
        # In the order in which they were opened, so of those that are alike the oldest goes.
        least = min(waiting, key=_worth)
        if least.transport is not None:
            # First, as closing alone would wait for the TLS goodbye of somebody who may never send it.
            _abort(least.transport)
        least.force_close()
        self.closed("idle")
        return True


def _abort(transport: asyncio.BaseTransport) -> None:
    # uvloop's transport over TLS is one and does not say so: no isinstance.
    cast("asyncio.Transport", transport).abort()


def _worth(connection: Connection) -> float:
    return connection.heard
