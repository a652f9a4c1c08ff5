"""Health: is the process alive, is it ready to be called, and what do its metrics say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import hdrs, web
from msgspec import Struct

from webhook.server.replies import TEXT, CallError, Reply


class State(Struct, frozen=True):
    """How one part of the server is: good or not, and a few words for whoever looks."""

    ready: bool
    detail: str


Check = tuple[str, Callable[[], State]]


class Health:
    """Answers ``/healthz``, ``/readyz`` and, where there are any, ``/metrics``."""

    def __init__(
        self, checks: Sequence[Check], metrics: Callable[[str], tuple[bytes, str]] | None = None
    ) -> None:
        """``checks`` are named; all must be ready. ``metrics`` gives the body for an ``Accept`` header, and
        its content type."""
        self._checks: Final = tuple(checks)
        self._metrics: Final = metrics

    def is_ready(self) -> bool:
        """Whether every check is ready now."""
        return all(check().ready for _, check in self._checks)

    def answer(self, request: web.BaseRequest) -> Reply | None:
        """The answer to a request for one of the addresses; None for another address.

        Raises:
            CallError: 405 for another method than GET.
        """
        path, _, query = request.raw_path.partition("?")
        metrics = self._metrics if path == "/metrics" else None
        if path not in ("/healthz", "/readyz") and metrics is None:
            return None
        if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
            raise CallError(405, f"{path} is read with GET", ("Allow: GET, HEAD",))
        if metrics is not None:
            body, content_type = metrics(request.headers.get(hdrs.ACCEPT, ""))
            return Reply(200, body, content_type)
        if path == "/healthz":
            return Reply(200, b"ok\n", TEXT)
        return self._readiness(verbose="verbose" in query.split("&"))

    def _readiness(self, *, verbose: bool) -> Reply:
        """In the words of the API server's own ``/readyz``: a line for each check, [+] or [-]."""
        states = [(name, check()) for name, check in self._checks]
        ready = all(state.ready for _, state in states)
        if ready and not verbose:
            return Reply(200, b"ok\n", TEXT)
        lines = [
            f"[{'+' if state.ready else '-'}]{name} {'ok' if state.ready else 'failed'}: {state.detail}"
            for name, state in states
        ]
        lines.append("readyz check passed" if ready else "readyz check failed")
        return Reply(200 if ready else 503, ("\n".join(lines) + "\n").encode(), TEXT)
