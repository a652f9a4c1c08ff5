"""What is kept of an answered request: counts, and a line in the log where something was found."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from webhook.adapters.metrics import Metrics
from webhook.engine.decision import BrokenGlass, Decision, Exempted
from webhook.kube.gvk import GroupVersionKind
from webhook.kube.review import AdmissionRequest
from webhook.policy.findings import Finding, Mode
from webhook.policy.match import object_name
from webhook.server.calls import Call
from webhook.server.replies import CallError

logger: Final = logging.getLogger("gpuward.admission")

# Enough to see what is wrong; a pod with a thousand bad containers must not write a megabyte.
_FINDINGS_SHOWN: Final = 20

# Of a uid that is no UUID.
_UID_SHOWN: Final = 64


class Answered(NamedTuple):
    """One answered request: who did what to which object, and what came of it.

    It holds names, paths and rules, and nothing of the object. That also lets the object go before the next one
    is decoded: with those of a few calls alive at once, all of them fall out of the processor's cache, and a
    review takes twice as long.
    """

    webhook: str
    uid: str
    operation: str
    kind: GroupVersionKind
    subresource: str
    namespace: str
    name: str
    user: str
    dry_run: bool
    mode: str
    result: str
    findings: tuple[Finding, ...]
    mutated_by: tuple[tuple[str, str], ...]
    exempted: tuple[Exempted, ...]
    break_glass: BrokenGlass | None
    seconds: float


def _answered(
    call: Call, asked: AdmissionRequest, decision: Decision, mode: Mode | None, seconds: float
) -> Answered:
    """What is worth keeping of a request and its decision."""
    return Answered(
        call.webhook,
        asked.uid,
        asked.operation,
        asked.kind,
        asked.subresource,
        asked.namespace,
        object_name(asked),
        asked.username,
        asked.dry_run,
        mode.value if mode is not None else "none",
        _result(decision),
        decision.findings,
        decision.mutated_by,
        decision.exempted,
        decision.break_glass,
        seconds,
    )


def _result(decision: Decision) -> str:
    if not decision.allowed:
        return "denied"
    if decision.break_glass is not None:
        return "break_glass"
    if decision.warnings:
        return "warned"
    return "patched" if decision.patch else "allowed"


class Recorder:
    """Counts and logs what was answered."""

    def __init__(self, metrics: Metrics) -> None:
        """To be made in the event loop that the server runs in."""
        self._metrics: Final = metrics
        self._loop: Final = asyncio.get_running_loop()
        self._untold: Final[list[Answered]] = []

    def reviewed(
        self, call: Call, asked: AdmissionRequest, decision: Decision, mode: Mode | None, seconds: float
    ) -> None:
        """Record one review. A dry run is counted as that, and nothing of what it found.

        What there is to say beyond that one more was answered waits until the answer is on its way.
        """
        result = "dry_run" if asked.dry_run else _result(decision)
        shown = mode.value if mode is not None else "none"
        self._metrics.reviewed(call.webhook, asked.operation, asked.kind, shown, result, seconds)
        if (
            decision.findings
            or decision.mutated_by
            or decision.exempted
            or decision.break_glass is not None
            or logger.isEnabledFor(logging.DEBUG)
        ):
            if not self._untold:
                # The next turn of the loop sends the answers, the one after that is for this.
                self._loop.call_soon(self._loop.call_soon, self._tell_all)
            self._untold.append(_answered(call, asked, decision, mode, seconds))

    def _tell_all(self) -> None:
        for what in self._untold:
            self._tell(what)
        self._untold.clear()

    def _tell(self, what: Answered) -> None:
        if not what.dry_run:
            if what.findings or what.mutated_by:
                self._metrics.found(what.findings, {policy for policy, _ in what.mutated_by})
            if what.exempted or what.break_glass is not None:
                self._metrics.let_pass(what.exempted, what.break_glass)
        level = logging.INFO if what.findings or what.exempted else logging.DEBUG
        if what.break_glass is not None:
            level = logging.INFO if what.dry_run else logging.WARNING
        if logger.isEnabledFor(level):
            logger.log(level, what.result, extra={"fields": _fields(what)})

    def failed(self, webhook: str, error: CallError) -> None:
        """Record one call that got no review. Its message may quote the call, so it is not logged."""
        self._metrics.call_failed(webhook, error.status)
        level = logging.WARNING if error.status in (408, 503, 504) else logging.INFO
        if logger.isEnabledFor(level):
            fields = {"code": error.status, "reason": HTTPStatus(error.status).phrase}
            if webhook:
                fields["webhook"] = webhook
            if error.uid:
                fields["uid"] = error.uid[:_UID_SHOWN]
            logger.log(level, "call refused", extra={"fields": fields})


def _fields(what: Answered) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "uid": what.uid[:_UID_SHOWN],
        "webhook": what.webhook,
        "operation": what.operation,
        "kind": str(what.kind),
        "namespace": what.namespace,
        "name": what.name,
        "user": what.user,
        "mode": what.mode,
        "allowed": what.result != "denied",
        "milliseconds": round(what.seconds * 1000, 3),
    }
    if what.subresource:
        fields["subresource"] = what.subresource
    if what.dry_run:
        fields["dryRun"] = True
    if what.findings:
        fields["findings"] = [_finding(finding) for finding in what.findings[:_FINDINGS_SHOWN]]
        if len(what.findings) > _FINDINGS_SHOWN:
            fields["moreFindings"] = len(what.findings) - _FINDINGS_SHOWN
    if what.mutated_by:
        fields["mutatedBy"] = [f"{policy}/{rule}" for policy, rule in what.mutated_by]
    if what.exempted:
        fields["exceptions"] = [
            {"policy": use.policy, "rule": use.rule, "exception": use.exception}
            for use in what.exempted[:_FINDINGS_SHOWN]
        ]
        if len(what.exempted) > _FINDINGS_SHOWN:
            fields["moreExceptions"] = len(what.exempted) - _FINDINGS_SHOWN
    if what.break_glass is not None:
        fields["breakGlass"] = what.break_glass.name
    return fields


def _finding(finding: Finding) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "policy": finding.policy,
        "rule": finding.rule,
        "action": finding.action.value,
        "path": finding.field,
        "reason": finding.reason,
    }
    if finding.error:
        shown["error"] = True
    return shown
