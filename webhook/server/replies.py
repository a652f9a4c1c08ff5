"""What the server sends back: HTTP responses, written in one piece.

aiohttp's own ``Response`` builds a header map for every answer, which costs as much as decoding a small
review. The answers here have few kinds of headers, known beforehand.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import orjson
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"

# Kubernetes' names for HTTP codes, k8s.io/apimachinery pkg/apis/meta/v1, StatusReason.
_REASONS: Final = {
    400: "BadRequest",
    404: "NotFound",
    405: "MethodNotAllowed",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class Reply(web.StreamResponse):
    """A whole response. ``headers`` are further lines, each as ``Name: value``."""

    def __init__(
        self, status: int, body: bytes, content_type: str = JSON, headers: tuple[str, ...] = ()
    ) -> None:
        # The base class is not initialised: it would build the header map that this one is there to avoid.
        self._status = status
        self._reply_body: Final = body
        self._head: Final = _head(status, content_type, headers)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the response. Raises ConnectionResetError where the caller has gone."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the caller has closed the connection")
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        body = self._reply_body
        connection = b"" if self._keep_alive and request.version.minor else _connection(self._keep_alive)
        transport.write(
            b"%b%b%bContent-Length: %d\r\n\r\n%b"
            % (self._head, _date(), connection, len(body), b"" if request.method == "HEAD" else body)
        )
        if request.protocol.writing_paused:
            # A caller that sends and does not read must not pile up answers in memory.
            await request.writer.drain()
        self._eof_sent = True
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to do: ``prepare`` sent everything."""


class CallError(Exception):
    """A call that gets no review: HTTP status, a sentence for the caller, ``uid`` where it was read."""

    def __init__(self, status: int, message: str, headers: tuple[str, ...] = (), uid: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers
        self.uid = uid


def refuse(error: CallError) -> Reply:
    """The response to a call that gets no review.

    It is a Kubernetes ``Status``: the API server's client reads it and shows its message to the user.
    """
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"gpuward: {error.message}",
        "reason": _REASONS.get(error.status, "Unknown"),
        "code": error.status,
    }
    return Reply(error.status, orjson.dumps(body), JSON, error.headers)


_heads: Final[dict[tuple[int, str, tuple[str, ...]], bytes]] = {}


def _head(status: int, content_type: str, headers: tuple[str, ...]) -> bytes:
    key = (status, content_type, headers)
    head = _heads.get(key)
    if head is None:
        lines = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"Content-Type: {content_type}",
            *headers,
            "",
        )
        head = _heads[key] = "\r\n".join(lines).encode("ascii")
    return head


def _connection(keep_alive: bool) -> bytes:
    return b"Connection: keep-alive\r\n" if keep_alive else b"Connection: close\r\n"


_dated = 0
_date_line = b""


def _date() -> bytes:
    """The ``Date`` header (RFC 9110, 6.6.1), formatted once a second."""
    global _dated, _date_line
    now = int(time.time())
    if now != _dated:
        _date_line = f"Date: {formatdate(now, usegmt=True)}\r\n".encode("ascii")
        _dated = now
    return _date_line
