"""What a worker tells the process that watches over it: how it is, and its metrics.

The two share a pair of sockets. A line with a number asks; the answer is one line, with the number and JSON. When
one process ends, however it ends, the other reads the end of the stream.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, TypedDict

import orjson

from webhook.adapters.metrics_merge import Family

# Metrics of a server with a thousand policies are about a megabyte.
_LINE_LIMIT: Final = 64 * 1024 * 1024


class Status(TypedDict):
    """How a worker is. A check is name, ready, detail."""

    ready: bool
    checks: list[tuple[str, bool, str]]
    policies: int
    metrics: list[Family]


async def tell(channel: socket.socket, status: Callable[[], Status]) -> None:
    """The worker's side: answer until the other side has gone."""
    reader, writer = await asyncio.open_connection(sock=channel)
    try:
        while question := await reader.readline():
            writer.write(b"%b %b\n" % (question.strip(), orjson.dumps(status())))
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


class Line:
    """The other side of one worker's channel."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel: Final = channel
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn: Final = asyncio.Lock()
        self._asked = 0
        self.last: Status | None = None
        """The last answer; None before the first."""

    async def ask(self, seconds: float) -> Status:
        """Ask the worker how it is.

        Raises:
            TimeoutError: it does not answer within ``seconds``.
            ConnectionError: it has gone.
        """
        async with asyncio.timeout(seconds), self._turn:
            if self._streams is None:
                self._streams = await asyncio.open_connection(sock=self._channel, limit=_LINE_LIMIT)
            reader, writer = self._streams
            self._asked += 1
            writer.write(b"%d\n" % self._asked)
            while True:
                number, _, answer = (await reader.readline()).partition(b" ")
                if not answer.endswith(b"\n"):
                    raise ConnectionResetError("the worker has gone")
                # The answer to a question that nobody waits for any more may come first.
                if int(number) == self._asked:
                    status: Status = orjson.loads(answer)
                    self.last = status
                    return status

    def close(self) -> None:
        """Hang up; the worker then ends too."""
        if self._streams is not None:
            self._streams[1].close()
        else:
            self._channel.close()
