"""Running policy cases: the same review as everywhere, compared with what the case expects."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import to_builtins

from webhook.engine.decision import Decision, Facts
from webhook.engine.offline import request_for
from webhook.engine.review import review
from webhook.engine.ruleset import CompiledPolicy, Ruleset
from webhook.engine.subjects import State, Subjects, select
from webhook.engine.surroundings import Surroundings
from webhook.kube.path import MISSING, lookup, parse
from webhook.kube.resources import parse_resource
from webhook.kube.review import AdmissionRequest
from webhook.policy.findings import Finding

if TYPE_CHECKING:
    from webhook.policy.case import CaseSpec, ExpectedFinding


class Difference(NamedTuple):
    """One thing that is not as a case expects it: what it is, and both as plain data.

    ``what`` is ``outcome``, ``findings``, ``patch``, ``fields``, ``object``, ``exceptions`` or ``breakGlass``. Of
    findings, only what the case writes about them is there.
    """

    what: str
    expected: Any
    actual: Any


def run_case(spec: CaseSpec, ruleset: Ruleset) -> tuple[Decision, list[Difference]]:
    """Review the case's object and say what differs from what it expects; nothing differs in a case that passes."""
    request, facts = _question(spec)
    decision = review(request, ruleset, facts)
    differences = [
        *_outcome(spec, decision),
        *_findings(spec, decision),
        *_changes(spec, decision),
        *_let_pass(spec, decision),
    ]
    return decision, differences


def policies_about(spec: CaseSpec, ruleset: Ruleset) -> frozenset[str]:
    """The names of the policies that match the case's object, or a pod in it; of Kubernetes' own, all."""
    request, facts = _question(spec)
    subjects = Subjects(request, ruleset, facts)
    state = subjects.original()
    found = {
        chosen.policy.name
        for chosen in select(ruleset, request, facts).policies
        if _applies(chosen.policy, subjects, state)
    }
    return frozenset(found | set(ruleset.kubernetes.names() if ruleset.kubernetes is not None else ()))


def _applies(policy: CompiledPolicy, subjects: Subjects, state: State) -> bool:
    try:
        if any(subjects.applies_to_pod(policy, pod, state) for pod in state.pods):
            return True
        on_object = policy.object_checks or any(not rule.on_pods for rule in policy.expressions)
        return bool(on_object) and subjects.applies_to_object(policy, state)
    except Exception:  # noqa: BLE001 - a condition that cannot be evaluated; the review has a finding for it
        return False


def _question(spec: CaseSpec) -> tuple[AdmissionRequest, Facts]:
    """What is asked in a case, and what is known besides."""
    request = request_for(
        spec.object,
        old_object=spec.oldObject,
        default_namespace=spec.namespace.name,
        operation=spec.operation,
        subresource=spec.subresource,
        resource=parse_resource(spec.resource) if spec.resource else None,
        username=spec.user.name,
        groups=tuple(spec.user.groups),
    )
    now = datetime.combine(spec.today, time(), UTC) if spec.today is not None else None
    return request, Surroundings(spec.objects, spec.namespace.labels).facts(request, spec.mode, now)


def outcome(decision: Decision) -> str:
    """What happened, in the words of ``expect``."""
    if not decision.allowed:
        return "deny"
    if decision.findings:
        return "warn"
    return "mutate" if decision.patch else "allow"


def _outcome(spec: CaseSpec, decision: Decision) -> list[Difference]:
    got = outcome(decision)
    if got == spec.expect:
        return []
    differences = [Difference("outcome", spec.expect, got)]
    if spec.findings is None and decision.findings:
        differences.append(Difference("findings", [], [_written(finding) for finding in decision.findings]))
    if got == "mutate":
        differences.append(Difference("object", spec.object, decision.object))
    return differences


def _written(finding: Finding) -> dict[str, str]:
    """A finding as a case writes it, with everything that can be written about it."""
    return {
        "rule": finding.rule,
        "policy": finding.policy,
        "path": finding.field,
        "reason": finding.reason,
        "action": finding.action.value,
        "message": finding.message,
    }


def _findings(spec: CaseSpec, decision: Decision) -> list[Difference]:
    if spec.findings is None:
        return []
    left = list(decision.findings)
    expected: list[dict[str, Any]] = []
    found: list[dict[str, Any] | None] = []
    for wanted in spec.findings:
        match = next((finding for finding in left if _same(wanted, finding)), None)
        if match is not None:
            left.remove(match)
        expected.append(to_builtins(wanted))
        found.append(expected[-1] if match is not None else None)
    if None not in found and not left:
        return []
    # One that was expected is shown beside what came nearest to it: the rule's next finding.
    for i, wanted in enumerate(spec.findings):
        near = next((finding for finding in left if finding.rule == wanted.rule), None)
        if found[i] is None and near is not None:
            left.remove(near)
            found[i] = {key: value for key, value in _written(near).items() if key in expected[i]}
    actual = [finding for finding in found if finding is not None]
    return [Difference("findings", expected, actual + [_written(finding) for finding in left])]


def _same(expected: ExpectedFinding, finding: Finding) -> bool:
    return (
        expected.rule == finding.rule
        and expected.policy in (None, finding.policy)
        and expected.path in (None, finding.field)
        and expected.reason in (None, finding.reason)
        and expected.action in (None, finding.action)
        and (expected.message is None or expected.message in finding.message)
    )


def _changes(spec: CaseSpec, decision: Decision) -> list[Difference]:
    differences = []
    if spec.patch is not None and list(decision.patch) != spec.patch:
        differences.append(Difference("patch", spec.patch, list(decision.patch)))
    actual: dict[str, Any] = {}
    for field in spec.fields:
        value = lookup(decision.object, parse(field))
        actual[field] = None if value is MISSING else value
    if actual != spec.fields:
        differences.append(Difference("fields", spec.fields, actual))
    return differences


def _let_pass(spec: CaseSpec, decision: Decision) -> list[Difference]:
    differences = []
    used = sorted({use.exception for use in decision.exempted})
    if spec.exceptions is not None and sorted(set(spec.exceptions)) != used:
        differences.append(Difference("exceptions", sorted(spec.exceptions), used))
    entry = decision.break_glass.name if decision.break_glass is not None else None
    if spec.breakGlass not in (None, entry):
        differences.append(Difference("breakGlass", spec.breakGlass, entry))
    return differences
