"""What is kept of an answered request: counts, and a line in the log where something was found."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any, Final

from msgspec import Struct

from webhook.adapters.logs import DirectLogWriter
from webhook.adapters.metrics import Metrics
from webhook.engine.decision import BrokenGlass, Decision, Exempted
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


class _Untold(Struct, frozen=True):
    """What there is to say about an answered request besides that there was one more.

    It holds names, paths and rules, and nothing of the object, which can go before the next one is decoded: with those
    of a few calls alive at once, all of them fall out of the processor's cache, and a review takes twice as long.
    """

    level: int
    result: str
    fields: dict[str, Any] | None
    dry_run: bool
    findings: tuple[Finding, ...]
    mutated_by: tuple[tuple[str, str], ...]
    exempted: tuple[Exempted, ...]
    break_glass: BrokenGlass | None


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

    def __init__(self, metrics: Metrics, log: DirectLogWriter) -> None:
        """To be made in the event loop that the server runs in."""
        self._metrics: Final = metrics
        self._log: Final = log
        self._loop: Final = asyncio.get_running_loop()
        self._untold: Final[list[_Untold]] = []

    def reviewed(
        self, call: Call, asked: AdmissionRequest, decision: Decision, mode: Mode | None, seconds: float
    ) -> None:
        """Record one review. A dry run is counted as that, and nothing of what it found.

        What there is to say beyond that one more was answered waits until the answer is on its way.
        """
        result = _result(decision)
        shown = str(mode) if mode is not None else "none"
        counted = "dry_run" if asked.dry_run else result
        self._metrics.reviewed(call.webhook, asked.operation, asked.kind, shown, counted, seconds)
        level = _level(asked, decision)
        is_shown = logger.isEnabledFor(level)
        if (
            is_shown
            or decision.findings
            or decision.mutated_by
            or decision.exempted
            or decision.break_glass is not None
        ):
            if not self._untold:
                # The next turn of the loop sends the answers, the one after that is for this.
                self._loop.call_soon(self._loop.call_soon, self._tell_all)
            fields = _fields(call, asked, decision, shown, seconds) if is_shown else None
            self._untold.append(
                _Untold(
                    level,
                    result,
                    fields,
                    asked.dry_run,
                    decision.findings,
                    decision.mutated_by,
                    decision.exempted,
                    decision.break_glass,
                )
            )

    def _tell_all(self) -> None:
        for what in self._untold:
            self._tell(what)
        self._untold.clear()

    def _tell(self, what: _Untold) -> None:
        if not what.dry_run:
            if what.findings or what.mutated_by:
                self._metrics.found(what.findings, {policy for policy, _ in what.mutated_by})
            if what.exempted or what.break_glass is not None:
                self._metrics.let_pass(what.exempted, what.break_glass)
        if what.fields is not None:
            self._log.say(what.level, what.result, what.fields)

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
            self._log.say(level, "call refused", fields)


def _level(asked: AdmissionRequest, decision: Decision) -> int:
    """How important a request is."""
    if decision.break_glass is not None:
        return logging.INFO if asked.dry_run else logging.WARNING
    return logging.INFO if decision.findings or decision.exempted else logging.DEBUG


def _fields(
    call: Call, asked: AdmissionRequest, decision: Decision, mode: str, seconds: float
) -> dict[str, Any]:
    """Who did what to which object, and what came of it, for the log."""
    fields: dict[str, Any] = {
        "uid": asked.uid[:_UID_SHOWN],
        "webhook": call.webhook,
        "operation": asked.operation,
        "kind": str(asked.kind),
        "namespace": asked.namespace,
        "name": object_name(asked),
        "user": asked.username,
        "mode": mode,
        "allowed": decision.allowed,
        "milliseconds": round(seconds * 1000, 3),
    }
    if asked.subresource:
        fields["subresource"] = asked.subresource
    if asked.dry_run:
        fields["dryRun"] = True
    if decision.findings:
        fields["findings"] = [_finding(finding) for finding in decision.findings[:_FINDINGS_SHOWN]]
        if len(decision.findings) > _FINDINGS_SHOWN:
            fields["moreFindings"] = len(decision.findings) - _FINDINGS_SHOWN
    if decision.mutated_by:
        fields["mutatedBy"] = [f"{policy}/{rule}" for policy, rule in decision.mutated_by]
    if decision.exempted:
        fields["exceptions"] = [
            {"policy": use.policy, "rule": use.rule, "exception": use.exception}
            for use in decision.exempted[:_FINDINGS_SHOWN]
        ]
        if len(decision.exempted) > _FINDINGS_SHOWN:
            fields["moreExceptions"] = len(decision.exempted) - _FINDINGS_SHOWN
    if decision.break_glass is not None:
        fields["breakGlass"] = decision.break_glass.name
    return fields


def _finding(finding: Finding) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "policy": finding.policy,
        "rule": finding.rule,
        "action": finding.action,
        "path": finding.field,
        "reason": finding.reason,
    }
    if finding.error:
        shown["error"] = True
    return shown
