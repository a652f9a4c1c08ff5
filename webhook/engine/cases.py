"""Running policy cases: the same review as everywhere, compared with what the case expects."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any

from webhook.engine.decision import Decision, Facts
from webhook.engine.offline import request_for
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.kube.path import MISSING, lookup, parse
from webhook.policy.findings import Finding

if TYPE_CHECKING:
    from webhook.policy.case import CaseSpec, ExpectedFinding


def run_case(spec: CaseSpec, ruleset: Ruleset) -> tuple[Decision, list[str]]:
    """Review the case's object and say what differs from what it expects; nothing differs in a case that passes."""
    request = request_for(
        spec.object,
        old_object=spec.oldObject,
        default_namespace=spec.namespace.name,
        operation=spec.operation,
        subresource=spec.subresource,
        username=spec.user.name,
        groups=tuple(spec.user.groups),
    )
    now = datetime.combine(spec.today, time(), UTC) if spec.today is not None else None
    decision = review(
        request, ruleset, Facts(mode=spec.mode, namespace_labels=spec.namespace.labels, now=now)
    )
    differences = [
        *_outcome(spec, decision),
        *_findings(spec, decision),
        *_changes(spec, decision),
    ]
    return decision, differences


def outcome(decision: Decision) -> str:
    """What happened, in the words of ``expect``."""
    if not decision.allowed:
        return "deny"
    if decision.findings:
        return "warn"
    return "mutate" if decision.patch else "allow"


def _outcome(spec: CaseSpec, decision: Decision) -> list[str]:
    got = outcome(decision)
    if got == spec.expect:
        return []
    return [f"expected {spec.expect}, got {got}", *(f"  found {describe(f)}" for f in decision.findings)]


def describe(finding: Finding) -> str:
    """A finding in one line of a report on differences."""
    return f"{finding.policy}/{finding.rule} {finding.field or '-'} ({finding.reason}): {finding.message}"


def _findings(spec: CaseSpec, decision: Decision) -> list[str]:
    if spec.findings is None:
        return []
    left = list(decision.findings)
    differences = []
    for expected in spec.findings:
        found = next((finding for finding in left if _same(expected, finding)), None)
        if found is None:
            wanted = expected.model_dump(exclude_none=True, mode="json")
            differences.append(f"missing finding: {', '.join(f'{k}={v}' for k, v in wanted.items())}")
        else:
            left.remove(found)
    return differences + [f"unexpected finding: {describe(finding)}" for finding in left]


def _same(expected: ExpectedFinding, finding: Finding) -> bool:
    return (
        expected.rule == finding.rule
        and expected.policy in (None, finding.policy)
        and expected.path in (None, finding.field)
        and expected.reason in (None, finding.reason)
        and expected.action in (None, finding.action)
        and (expected.message is None or expected.message in finding.message)
    )


def _changes(spec: CaseSpec, decision: Decision) -> list[str]:
    differences = []
    if spec.patch is not None and list(decision.patch) != spec.patch:
        differences.append("the patch differs:")
        differences += [f"  - {operation}" for operation in spec.patch if operation not in decision.patch]
        differences += [f"  + {operation}" for operation in decision.patch if operation not in spec.patch]
    for field, expected in spec.fields.items():
        got: Any = lookup(decision.object, parse(field))
        if got is MISSING:
            got = None
        if got != expected:
            differences.append(f"{field}: expected {expected!r}, got {got!r}")
    return differences
