"""Answering admission calls: from the bytes of a request to the bytes of its answer.

Nothing here decides anything about an object: ``engine.review`` does. This is about who may be answered at
all, in which mode, and about keeping to the caller's time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypeVar

from aiohttp import web

from webhook.adapters.namespaces import Namespace, NamespaceLookupError, Namespaces, namespace_from_object
from webhook.engine.decision import Decision, Facts
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.kube.envelope import decode_without_managed_fields
from webhook.kube.gvk import NAMESPACE
from webhook.kube.review import AdmissionRequest, MalformedReview, decode, encode
from webhook.policy.findings import Mode
from webhook.server.bodies import broken_off, busy, check_headers, read_body
from webhook.server.calls import Call
from webhook.server.limits import INLINE_LIMIT, Gate
from webhook.server.record import Recorder
from webhook.server.replies import CallError, Reply

logger: Final = logging.getLogger("gpuward.admission")

T = TypeVar("T")

_NO_NAMESPACE: Final = Namespace()

# Of a uid that is no UUID, so much is repeated in a message or a log line.
_UID_SHOWN: Final = 64


class Admission:
    """Answers admission calls with the policies in force."""

    def __init__(
        self,
        *,
        ruleset: Callable[[], Ruleset],
        namespaces: Namespaces,
        recorder: Recorder,
        gate: Gate,
        default_mode: Mode | None = None,
        exempt: Collection[str] = (),
    ) -> None:
        """``ruleset`` gives the policies in force. ``default_mode`` is the mode of namespaces without the
        label, and of objects without a namespace. Requests in ``exempt`` namespaces are allowed unseen."""
        self._ruleset: Final = ruleset
        self._namespaces: Final = namespaces
        self._recorder: Final = recorder
        self._gate: Final = gate
        self._default_mode: Final = default_mode
        self._exempt: Final = frozenset(exempt)
        # One thread: the interpreter runs one at a time anyway, and the next large body can wait for this
        # one.
        self._aside: Final = ThreadPoolExecutor(1, thread_name_prefix="review")
        self._loop: Final = asyncio.get_running_loop()

    def close(self) -> None:
        """Let go of the thread for large bodies."""
        self._aside.shutdown(wait=False, cancel_futures=True)

    async def answer(self, request: web.BaseRequest, call: Call) -> Reply:
        """The answer to one admission call.

        Raises:
            CallError: there is none: the call is malformed, too large, too slow or one too many, or something
                here failed.
        """
        started = time.perf_counter()
        check_headers(request)
        gate = self._gate
        if gate.in_flight >= gate.limit:
            raise busy()
        gate.in_flight += 1
        try:
            content = request.content
            if content.is_eof():
                # The usual case: the body came with the headers. No timer, no waiting.
                body = content.read_nowait()
            else:
                body = await read_body(request, gate, call.seconds)
            return await self._review(body, call, started)
        except web.RequestPayloadError:
            raise broken_off() from None
        finally:
            gate.in_flight -= 1

    async def _review(self, body: bytes, call: Call, started: float) -> Reply:
        uid = ""
        large = len(body) > INLINE_LIMIT
        ruleset = self._ruleset()
        read = decode if ruleset.reads_managed_fields else decode_without_managed_fields
        try:
            asked = await self._in_thread(started, call, read, body) if large else read(body)
            uid = asked.uid
            # A request for a Namespace object has its name as the namespace.
            if asked.namespace in self._exempt:
                mode, decision = None, Decision()
            else:
                namespace = self._namespace(asked)
                if namespace is None:
                    namespace = await self._find(asked.namespace, call, started)
                mode = call.mode or namespace.mode or self._default_mode
                facts = Facts(mode, namespace.labels, namespace.object, datetime.now(UTC))
                judged = (asked, ruleset, facts, call.phase)
                decision = await self._in_thread(started, call, review, *judged) if large else review(*judged)
            answer = encode(
                uid,
                allowed=decision.allowed,
                message=decision.message,
                warnings=decision.warnings,
                patch=decision.patch,
                audit_annotations=decision.audit_annotations,
            )
        except MalformedReview as error:
            raise CallError(400, str(error), uid=error.uid) from None
        except CallError:
            raise
        except Exception as error:
            shown = uid[:_UID_SHOWN]
            logger.exception("a review failed", extra={"fields": {"uid": shown, "webhook": call.webhook}})
            raise CallError(
                500, f"internal error while reviewing request {shown or 'of unknown uid'}"
            ) from error
        self._recorder.reviewed(call, asked, decision, mode, time.perf_counter() - started)
        return Reply(200, answer)

    async def _in_thread(
        self, started: float, call: Call, function: Callable[..., T], *arguments: object
    ) -> T:
        """Run something long where it keeps no other caller waiting, for as long as this one waits."""
        try:
            async with asyncio.timeout(_left(started, call)):
                return await self._loop.run_in_executor(self._aside, function, *arguments)
        except TimeoutError:
            raise CallError(504, "the review did not end within the time the caller gives it") from None

    def _namespace(self, asked: AdmissionRequest) -> Namespace | None:
        """The namespace of a request, as far as it is known here. What is in none has one that says nothing."""
        if asked.kind == NAMESPACE:
            # The object is its own namespace: what it is about to be, or was. Not its mode, which is about what is
            # in it.
            return replace(namespace_from_object(asked.obj or asked.old_object or {}), mode=None)
        return self._namespaces.get(asked.namespace) if asked.namespace else _NO_NAMESPACE

    async def _find(self, name: str, call: Call, started: float) -> Namespace:
        """A namespace that is not known here, from the cluster.

        Where the cluster does not answer, policies that select namespaces by label cannot be judged.
        ``enforce`` then fails the call, so that the API server asks again or does what the webhook's
        failurePolicy says. Everything else goes on as if the namespace had no labels, as it must not hold
        anybody up.
        """
        try:
            return await self._namespaces.find(name, _left(started, call)) or _NO_NAMESPACE
        except NamespaceLookupError as error:
            fields = {"namespace": name, "error": str(error)}
            logger.warning("the labels of a namespace are not known", extra={"fields": fields})
            if call.mode is Mode.ENFORCE:
                message = (
                    "the labels of the request's namespace could not be read from the API server; try again"
                )
                raise CallError(503, message, ("Retry-After: 1",)) from None
            return _NO_NAMESPACE


def _left(started: float, call: Call) -> float:
    """The seconds that are left of a call's time."""
    return max(0.0, started + call.seconds - time.perf_counter())
