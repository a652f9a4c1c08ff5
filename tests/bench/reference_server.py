"""The servers to compare with, as a program: aiohttp on uvloop over TLS that does as little as it can.

    python -m tests.bench.reference_server constant|no-op|decode CERTIFICATE KEY PORT [PROCESSES]

``constant`` reads the body and answers the same every time: what any webhook in Python costs. ``decode``
reads the review and answers that it is allowed, with gpuward's own reading and writing of reviews: the
difference to gpuward itself is then the policies, and gpuward's handling of calls. ``no-op`` is ``constant``
with the uid of the request, which it cuts out of the bytes: an API server takes no other. ``GET /calls`` there
says how often it was called.

Several processes listen on the same port (SO_REUSEPORT), as gpuward's workers do.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys

import uvloop
from aiohttp import web

CONSTANT_UID = "00000000-0000-0000-0000-000000000000"
_CONSTANT = (
    b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1",'
    b'"response":{"uid":"' + CONSTANT_UID.encode() + b'","allowed":true}}'
)


async def _constant(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=_CONSTANT, content_type="application/json")


# The API server writes the uid first in a request, before anything that a user wrote.
_UID_KEY = b'"uid":"'
_BEFORE, _AFTER = _CONSTANT.split(CONSTANT_UID.encode())


class _NoOp:
    """Answers that everything is allowed, and counts."""

    def __init__(self) -> None:
        self._calls = 0

    async def review(self, request: web.Request) -> web.Response:
        body = await request.read()
        start = body.find(_UID_KEY) + len(_UID_KEY)
        uid = body[start : body.find(b'"', start)]
        self._calls += 1
        return web.Response(body=_BEFORE + uid + _AFTER, content_type="application/json")

    async def calls(self, request: web.Request) -> web.Response:
        return web.json_response(self._calls)


def _application(what: str) -> web.Application:
    application = web.Application()
    if what == "constant":
        application.router.add_post("/review", _constant)
        return application
    if what == "no-op":
        no_op = _NoOp()
        application.router.add_post("/review", no_op.review)
        application.router.add_get("/calls", no_op.calls)
        return application

    # Imported here so that the constant server's memory is its own.
    from webhook.kube.envelope import decode_without_managed_fields
    from webhook.kube.review import MalformedReview, encode

    async def _decode(request: web.Request) -> web.Response:
        try:
            review = decode_without_managed_fields(await request.read())
        except MalformedReview as error:
            # An answer, as gpuward gives one: an exception would make aiohttp close the connection.
            return web.Response(status=400, text=str(error))
        return web.Response(body=encode(review.uid, allowed=True), content_type="application/json")

    application.router.add_post("/review", _decode)
    return application


async def _serve(what: str, certificate: str, key: str, port: int) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    runner = web.AppRunner(_application(what), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context, reuse_port=True).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    what, certificate, key, port, *processes = sys.argv[1:]
    if what not in ("constant", "no-op", "decode"):
        sys.exit(f"no server {what}")
    for _ in range(int(processes[0]) - 1 if processes else 0):
        if os.fork() == 0:
            break
    uvloop.run(_serve(what, certificate, key, int(port)))
