"""Which request goes where, on each of the two ports."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from webhook.server.admission import Admission
from webhook.server.calls import read_target
from webhook.server.health import Health
from webhook.server.record import Recorder
from webhook.server.replies import CallError, Reply, refuse


class WebhookApp:
    """The port that the API server calls: reviews, and health for those who can reach only this port."""

    def __init__(self, admission: Admission, health: Health, recorder: Recorder) -> None:
        self._admission: Final = admission
        self._health: Final = health
        self._recorder: Final = recorder
        self.closing = False
        """Whether each answer is the last one of its connection, as the server is about to stop."""

    async def answer(self, request: web.BaseRequest) -> Reply:
        """The answer to any request."""
        webhook = ""
        try:
            call = read_target(request.raw_path)
            webhook = call.webhook
            reply = await self._admission.answer(request, call)
        except CallError as error:
            reply = self._refuse(request, webhook, error)
        if self.closing:
            reply.force_close()
        return reply

    def _refuse(self, request: web.BaseRequest, webhook: str, error: CallError) -> Reply:
        if error.status == 404:
            try:
                health = self._health.answer(request)
            except CallError as refused:
                return refuse(refused)
            if health is not None:
                return health
        self._recorder.failed(webhook, error)
        return refuse(error)


class AdminApp:
    """The port for the kubelet and for Prometheus."""

    def __init__(self, health: Health) -> None:
        self._health: Final = health

    async def answer(self, request: web.BaseRequest) -> Reply:
        """The answer to any request."""
        try:
            reply = self._health.answer(request)
        except CallError as error:
            return refuse(error)
        return reply or refuse(
            CallError(404, "there is nothing at this address: /healthz, /readyz, /metrics")
        )
