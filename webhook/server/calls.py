"""The addresses of the server: which review a caller asks for, in which mode, and how long it waits."""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

from webhook.engine.decision import Phase
from webhook.kube.duration import parse_duration
from webhook.policy.findings import Mode
from webhook.server.limits import DEFAULT_SECONDS, MAX_SECONDS
from webhook.server.replies import CallError

_PHASES: Final = {"mutate": Phase.MUTATE, "validate": Phase.VALIDATE}

# The answer has to travel back before the caller gives up: a tenth of its time, half a second at most.
_MARGIN_SHARE: Final = 0.1
_MARGIN_SECONDS: Final = 0.5


class Call(Struct, frozen=True):
    """What a request target asks for.

    ``webhook`` is ``mutate`` or ``validate``, ``mode`` None where the namespace's label decides, ``seconds``
    how long the handling may take.
    """

    webhook: str
    phase: Phase
    mode: Mode | None
    seconds: float


# The API server calls a handful of targets for ever; the bound only stops a flood of made-up ones.
@lru_cache(maxsize=256)
def read_target(target: str) -> Call:
    """What the target of a request (path and query) asks for.

    Raises:
        CallError: 404 where no review is at that address, 400 where the timeout is no duration.
    """
    try:
        url = urlsplit(target)
    except ValueError:
        raise CallError(404, "there is nothing at this address") from None
    webhook, _, mode = url.path.removeprefix("/").partition("/")
    phase = _PHASES.get(webhook)
    if phase is None or not url.path.startswith("/"):
        raise CallError(404, "there is nothing at this address; reviews are at /mutate and /validate")
    named = _mode(webhook, mode) if url.path.count("/") > 1 else None
    return Call(webhook, phase, named, _seconds(url.query))


def _mode(webhook: str, mode: str) -> Mode:
    try:
        return Mode(mode)
    except ValueError:
        addresses = ", ".join(f"/{webhook}/{known}" for known in Mode)
        message = (
            f"there is no such mode: use {addresses}, or /{webhook} for the mode of the namespace's label"
        )
        raise CallError(404, message) from None


def _seconds(query: str) -> float:
    given = parse_qs(query, keep_blank_values=True).get("timeout")
    if given is None:
        seconds = DEFAULT_SECONDS
    else:
        try:
            seconds = parse_duration(given[0])
        except ValueError as error:
            raise CallError(400, f"timeout: {error}") from None
        if seconds <= 0:
            raise CallError(400, "timeout: must be more than zero")
    seconds = min(seconds, MAX_SECONDS)
    return seconds - min(_MARGIN_SECONDS, seconds * _MARGIN_SHARE)
