"""Taking connections: as many as there is room for, and what is done when there is none.

asyncio's own server takes every connection there is. Somebody who opens thousands and sends nothing then leaves the
process without file descriptors, and the API server without an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import ssl
import struct
from typing import Final

from webhook.server.connections import Listener
from webhook.server.limits import RESERVED_FILES

logger: Final = logging.getLogger("gpuward.server")

_HANDSHAKE_SECONDS: Final = 10
_GOODBYE_SECONDS: Final = 2

# A handshake takes milliseconds. One that is still under way after so long gives its place to a new connection, if
# there is no other.
_PATIENCE_SECONDS: Final = 1.0

# Connections that are taken in one turn of the event loop; then those that are open get theirs.
_AT_ONCE: Final = 32

# How long to leave new connections in the kernel's queue when the process, or the machine, has no file left.
_NO_FILE_SECONDS: Final = 0.5

# With it, close() ends a connection with a reset: its caller knows at once, and nothing of it stays here (socket(7)).
_RESET: Final = struct.pack("ii", 1, 0)


class Acceptor:
    """Takes connections from a socket for a ``Listener``, from ``start`` to ``stop``; at most ``limit`` are open."""

    def __init__(
        self, listening: socket.socket, listener: Listener, limit: int, context: ssl.SSLContext | None = None
    ) -> None:
        """With ``context`` a connection shakes hands first. One of ``limit`` is taken from then on, not before."""
        self._listening: Final = listening
        self._listener: Final = listener
        self._limit: Final = limit
        self._context: Final = context
        self._loop: Final = asyncio.get_running_loop()
        # Handshakes, the oldest first, with the time at which they began.
        self._beginning: Final[dict[asyncio.Task[None], tuple[float, socket.socket]]] = {}
        self._pause: asyncio.TimerHandle | None = None
        self._stopped = False

    @property
    def open(self) -> int:
        """Connections that are open, those that still shake hands among them."""
        return len(self._listener.connections) + len(self._beginning)

    def start(self) -> None:
        """Begin to take connections."""
        self._pause = None
        if not self._stopped:
            self._loop.add_reader(self._listening, self._accept)

    def stop(self) -> None:
        """Take what has arrived already, and nothing more."""
        if self._stopped:
            return
        self._accept()
        self._stopped = True
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    def close(self) -> None:
        """Stop, and let go of connections that still shake hands."""
        self.stop()
        for _, connection in self._beginning.values():
            _break_off(connection)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Whoever waits in the queue is served when a connection has ended.
                logger.warning("no connection can be taken", extra={"fields": {"error": error.strerror}})
                self._loop.remove_reader(self._listening)
                self._pause = self._loop.call_later(_NO_FILE_SECONDS, self.start)
                return
            full = self.open >= self._limit
            if full and not self._make_room():
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                connection.close()
                self._listener.closed("full")
                continue
            connection.setblocking(False)
            task = self._loop.create_task(self._begin(connection))
            self._beginning[task] = self._loop.time(), connection
            task.add_done_callback(lambda done: self._beginning.pop(done, None))
            if full:
                # The one that had to go has gone by the next turn.
                return

    def _make_room(self) -> bool:
        task, (began, connection) = next(iter(self._beginning.items()), (None, (0.0, None)))
        if task is not None and connection is not None and self._loop.time() - began > _PATIENCE_SECONDS:
            del self._beginning[task]
            _break_off(connection)
            self._listener.closed("slow")
            return True
        return self._listener.make_room()

    async def _begin(self, connection: socket.socket) -> None:
        timeouts = (
            {"ssl_handshake_timeout": _HANDSHAKE_SECONDS, "ssl_shutdown_timeout": _GOODBYE_SECONDS}
            if self._context is not None
            else {}
        )
        try:
            await self._loop.connect_accepted_socket(
                self._listener, connection, ssl=self._context, **timeouts
            )
        except (OSError, TimeoutError) as error:
            # Somebody who does not trust us, speaks no TLS or has gone.
            logger.debug("a connection failed", extra={"fields": {"error": type(error).__name__}})
            connection.close()


def _break_off(connection: socket.socket) -> None:
    """End a handshake. The event loop has the socket, so it is told by the socket, as if the caller had gone."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def allow_files(wanted: int) -> int:
    """Raise the soft limit of open files towards ``wanted``, as far as the hard one lets; returns how many may be open.

    Container runtimes start processes with a soft limit of 1,024 and a hard one of half a million or more. The soft
    one is for programs that use select(2); who does not is meant to raise it (systemd.exec(5), LimitNOFILE).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        except (OSError, ValueError):
            return soft
        return raised
    return soft


def connection_limit(wanted: int) -> int:
    """How many connections a process can take of the ``wanted``: one needs a file, and other things need some too."""
    possible = max(1, allow_files(wanted + RESERVED_FILES) - RESERVED_FILES)
    if possible < wanted:
        fields = {"wanted": wanted, "possible": possible}
        logger.warning("fewer connections are taken, as few files may be open", extra={"fields": fields})
    return min(wanted, possible)
