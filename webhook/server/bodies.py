"""Reading the body of a call: at most so much, and not for ever."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import hdrs, web

from webhook.server.limits import BODY_LIMIT, BODY_SECONDS, Gate
from webhook.server.replies import JSON, CallError

_MIB: Final = 1024 * 1024


def check_headers(request: web.BaseRequest) -> None:
    """Refuse what cannot be an admission call, before its body is read.

    Raises:
        CallError: 405 for another method than POST, 415 for a body that is not plain JSON, 413 for one that
            is too large by its own account.
    """
    if request.method != hdrs.METH_POST:
        raise CallError(405, f"reviews are asked for with POST, not {request.method[:20]}", ("Allow: POST",))
    headers = request.headers
    media_type = headers.get(hdrs.CONTENT_TYPE, "")
    if media_type != JSON and media_type.partition(";")[0].strip().lower() != JSON:
        raise CallError(415, "the body must be JSON, with Content-Type: application/json")
    if headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise CallError(415, "the body must be sent as it is, without Content-Encoding")
    length = headers.get(hdrs.CONTENT_LENGTH)
    # aiohttp has made sure that it is a number, and that no Transfer-Encoding stands beside it.
    if length is not None and int(length) > BODY_LIMIT:
        raise _too_large()


async def read_body(request: web.BaseRequest, gate: Gate, seconds: float) -> bytes:
    """The body of a call. ``seconds`` is how long the call may take altogether.

    Raises:
        CallError: 413 above BODY_LIMIT, 408 where it does not arrive in time, 400 where it breaks off, 503
            where too many bytes are arriving already.
    """
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(min(seconds, BODY_SECONDS)):
            while chunk := await request.content.readany():
                chunks.append(chunk)
                size += len(chunk)
                gate.buffered += len(chunk)
                if size > BODY_LIMIT:
                    raise _too_large()
                if gate.buffered > gate.buffered_limit:
                    raise busy()
    except TimeoutError:
        raise CallError(408, "the body did not arrive in time") from None
    except (web.RequestPayloadError, ConnectionError):
        raise broken_off() from None
    finally:
        gate.buffered -= size
    return b"".join(chunks)


def busy() -> CallError:
    """What a full server answers. The API server's client tries again after so many seconds."""
    message = "the server has as many reviews under way as it takes; try again"
    return CallError(503, message, ("Retry-After: 1",))


def _too_large() -> CallError:
    return CallError(413, f"the body is larger than any admission review, {BODY_LIMIT // _MIB} MiB")


def broken_off() -> CallError:
    """What a call gets whose body does not arrive whole; usually the caller is not there any more to read it."""
    return CallError(400, "the body is broken off, or its chunks are malformed")
