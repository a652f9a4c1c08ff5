"""The servers to compare with, as a program: aiohttp on uvloop over TLS that does as little as it can.

    python -m tests.bench.reference_server constant|decode CERTIFICATE KEY PORT

``constant`` reads the body and answers the same every time: what any webhook in Python costs. ``decode``
reads the review and answers that it is allowed, with gpuward's own reading and writing of reviews: the
difference to gpuward itself is then the policies, and gpuward's handling of calls.
"""

from __future__ import annotations

import asyncio
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


def _application(what: str) -> web.Application:
    application = web.Application()
    if what == "constant":
        application.router.add_post("/review", _constant)
        return application

    # Imported here so that the constant server's memory is its own.
    from webhook.kube.review import MalformedReview, decode, encode

    async def _decode(request: web.Request) -> web.Response:
        try:
            review = decode(await request.read())
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
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    what, certificate, key, port = sys.argv[1:]
    if what not in ("constant", "decode"):
        sys.exit(f"no server {what}")
    uvloop.run(_serve(what, certificate, key, int(port)))
