"""Answering admission calls: from the bytes of a request to the bytes of its answer.

Nothing here decides anything about an object: ``engine.review`` does. This is about who may be answered at
all, in which mode, and about keeping to the caller's time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final

from aiohttp import web
from msgspec.structs import replace

from webhook.adapters.namespaces import Namespace, NamespaceLookupError, Namespaces, namespace_from_object
from webhook.engine.decision import Decision, Facts
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.kube.envelope import decode_without_managed_fields
from webhook.kube.gvk import NAMESPACE, GroupVersionKind
from webhook.kube.review import AdmissionRequest, MalformedReview, decode, encode
from webhook.policy.findings import Mode
from webhook.server.bodies import broken_off, busy, check_headers, read_body
from webhook.server.calls import Call
from webhook.server.limits import INLINE_LIMIT, Gate
from webhook.server.record import Recorder
from webhook.server.replies import CallError, Reply
from webhook.server.together import Together

logger: Final = logging.getLogger("gpuward.admission")

_NO_NAMESPACE: Final = Namespace()

# Any namespace whose requests are allowed unseen.
_EXEMPT: Final = Namespace()

# Of a uid that is no UUID, so much is repeated in a message or a log line.
_UID_SHOWN: Final = 64

# The request of a call whose body has not been read yet.
_NOT_READ: Final = AdmissionRequest(GroupVersionKind("", "", ""))


class _NamespaceNotKnownError(Exception):
    """The namespace of a request has to be asked for."""

    def __init__(self, review: _Review) -> None:
        super().__init__()
        self.review: Final = review


class _Review:
    """One call under way: what is asked, and what has become known of it."""

    __slots__ = ("body", "call", "decision", "mode", "namespace", "request", "ruleset", "started")

    def __init__(self, call: Call, body: bytes, ruleset: Ruleset, started: float) -> None:
        self.call: Final = call
        self.body: Final = body
        self.ruleset: Final = ruleset
        self.started: Final = started
        self.request = _NOT_READ
        self.namespace: Namespace | None = None
        self.mode: Mode | None = None
        self.decision = Decision()

    @property
    def is_large(self) -> bool:
        """Whether it takes so long that others must not wait for it."""
        return len(self.body) > INLINE_LIMIT

    @property
    def seconds_left(self) -> float:
        """What is left of the caller's time."""
        return max(0.0, self.started + self.call.seconds - time.perf_counter())


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
        self._together: Final = Together[_Review, Reply](
            (self._read_and_look_up, self._judge, self._reply), _failure, INLINE_LIMIT
        )

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
                return await self._review(call, content.read_nowait(), started)
            return await self._review(call, await read_body(request, gate, call.seconds), started)
        except _NamespaceNotKnownError as error:
            return await self._review_alone(error.review)
        except web.RequestPayloadError:
            raise broken_off() from None
        finally:
            gate.in_flight -= 1

    def _review(self, call: Call, body: bytes, started: float) -> Awaitable[Reply]:
        """The reply to a body, in a while.

        Who waits for it keeps nothing of the review, so that all of it goes when it is done, out of memory that is
        still in the processor's cache.
        """
        one = _Review(call, body, self._ruleset(), started)
        return self._review_alone(one) if one.is_large else self._together.take(one, len(body))

    async def _review_alone(self, one: _Review) -> Reply:
        """A review that takes long or has to wait for something, from where it stands."""
        try:
            if one.request is _NOT_READ:
                await self._in_thread(one, self._read)
                one.namespace = self._namespace(one.request)
            if one.namespace is None:
                one.namespace = await self._find(one)
            if one.is_large:
                await self._in_thread(one, self._judge)
            else:
                self._judge(one)
            return self._reply(one)
        except Exception as error:  # noqa: BLE001 - every failure has its answer
            raise _failure(one, error) from None

    async def _in_thread(self, one: _Review, step: Callable[[_Review], None]) -> None:
        """Do something long where it keeps no other caller waiting, for as long as this one waits."""
        try:
            async with asyncio.timeout(one.seconds_left):
                await self._loop.run_in_executor(self._aside, step, one)
        except TimeoutError:
            raise CallError(504, "the review did not end within the time the caller gives it") from None

    # The steps of a review

    def _read(self, one: _Review) -> None:
        read = decode if one.ruleset.reads_managed_fields else decode_without_managed_fields
        one.request = read(one.body)

    def _read_and_look_up(self, one: _Review) -> None:
        self._read(one)
        one.namespace = self._namespace(one.request)
        if one.namespace is None:
            raise _NamespaceNotKnownError(one)

    def _judge(self, one: _Review) -> None:
        request, namespace, call = one.request, one.namespace, one.call
        assert namespace is not None
        if namespace is _EXEMPT:
            return
        one.mode = call.mode or namespace.mode or self._default_mode
        facts = Facts(one.mode, namespace.labels, namespace.object, datetime.now(UTC))
        one.decision = review(request, one.ruleset, facts, call.phase)

    def _reply(self, one: _Review) -> Reply:
        decision = one.decision
        answer = encode(
            one.request.uid,
            allowed=decision.allowed,
            message=decision.message,
            warnings=decision.warnings,
            patch=decision.patch,
            audit_annotations=decision.audit_annotations,
        )
        seconds = time.perf_counter() - one.started
        self._recorder.reviewed(one.call, one.request, decision, one.mode, seconds)
        return Reply(200, answer)

    def _namespace(self, asked: AdmissionRequest) -> Namespace | None:
        """The namespace of a request, as far as it is known here. What is in none has one that says nothing."""
        # A request for a Namespace object has its name as the namespace.
        if asked.namespace in self._exempt:
            return _EXEMPT
        if asked.kind == NAMESPACE:
            # The object is its own namespace: what it is about to be, or was. Not its mode, which is about what is
            # in it.
            return replace(namespace_from_object(asked.obj or asked.old_object or {}), mode=None)
        return self._namespaces.get(asked.namespace) if asked.namespace else _NO_NAMESPACE

    async def _find(self, one: _Review) -> Namespace:
        """A namespace that is not known here, from the cluster.

        Where the cluster does not answer, policies that select namespaces by label cannot be judged.
        ``enforce`` then fails the call, so that the API server asks again or does what the webhook's
        failurePolicy says. Everything else goes on as if the namespace had no labels, as it must not hold
        anybody up.
        """
        name = one.request.namespace
        try:
            return await self._namespaces.find(name, one.seconds_left) or _NO_NAMESPACE
        except NamespaceLookupError as error:
            fields = {"namespace": name, "error": str(error)}
            logger.warning("the labels of a namespace are not known", extra={"fields": fields})
            if one.call.mode is Mode.ENFORCE:
                message = (
                    "the labels of the request's namespace could not be read from the API server; try again"
                )
                raise CallError(503, message, ("Retry-After: 1",)) from None
            return _NO_NAMESPACE


def _failure(one: _Review, error: Exception) -> Exception:
    """What the caller of a review is told where a step of it has failed."""
    if isinstance(error, MalformedReview):
        return CallError(400, str(error), uid=error.uid)
    if isinstance(error, CallError | _NamespaceNotKnownError):
        return error
    shown = one.request.uid[:_UID_SHOWN]
    fields = {"uid": shown, "webhook": one.call.webhook}
    logger.error("a review failed", exc_info=error, extra={"fields": fields})
    return CallError(500, f"internal error while reviewing request {shown or 'of unknown uid'}")
