"""Running checks: every policy's, on every pod and on the object itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from webhook.engine.errors import failed_rule
from webhook.engine.mutate import Mutated
from webhook.engine.ruleset import CheckRule, CompiledPolicy, ExpressionRule, ObjectCheckRule
from webhook.engine.subjects import Selected, State, Subjects
from webhook.kube.object import Object
from webhook.kube.path import Path
from webhook.kube.pod import Pod
from webhook.kube.shape import JSONObject, mapping
from webhook.policy.findings import Action, Finding, Violation


class Judged(NamedTuple):
    """A finding, and the pod it is about; None where it is about the object as a whole."""

    finding: Finding
    pod: Pod | None


def validate(selected: Sequence[Selected], subjects: Subjects, mutated: Mutated) -> list[Judged]:
    """Every finding of the selected policies, in their order.

    Policies that only record judge the object as their own mutations would have left it: that is what they would see
    if they were enforced.
    """
    findings: list[Judged] = []
    for chosen in selected:
        policy = chosen.policy
        if not policy.checks and not policy.expressions and not policy.object_checks:
            continue
        state = mutated.recorded_state if chosen.action is Action.AUDIT else mutated.applied_state
        findings.extend(_judge(chosen, subjects, state))
    return findings


def _judge(chosen: Selected, subjects: Subjects, state: State) -> Iterator[Judged]:
    policy = chosen.policy
    pods: list[Pod] = []
    for pod in state.pods:
        try:
            if not subjects.applies_to_pod(policy, pod, state):
                continue
        except Exception as error:  # noqa: BLE001 - a condition that cannot be evaluated is a finding
            yield Judged(failed_rule(chosen, "match", error), pod)
            continue
        pods.append(pod)
        for finding in _judge_pod(chosen, subjects, state, pod):
            yield Judged(finding, pod)
    if pods:
        for finding in _judge_workload(chosen, subjects, pods):
            yield Judged(finding, None)
    on_object = [expression for expression in policy.expressions if not expression.on_pods]
    if on_object or policy.object_checks:
        for finding in _judge_object(chosen, subjects, state, on_object):
            yield Judged(finding, None)


def _judge_pod(chosen: Selected, subjects: Subjects, state: State, pod: Pod) -> Iterator[Finding]:
    policy = chosen.policy
    for rule in policy.checks:
        found = _check(chosen, rule, subjects, pod)
        yield from _not_exempt(found, rule.name, policy, subjects, pod.labels) if policy.exceptions else found
    for expression in policy.expressions:
        if expression.on_pods:
            found = _evaluate(chosen, expression, state, pod)
            yield from (
                _not_exempt(found, expression.name, policy, subjects, pod.labels)
                if policy.exceptions
                else found
            )


def _not_exempt(
    found: Iterator[Finding], rule: str, policy: CompiledPolicy, subjects: Subjects, labels: JSONObject
) -> list[Finding]:
    """What a rule has found, unless an exception frees from it. It is asked afterwards: an exception from a rule that
    has nothing to say is not used."""
    findings = list(found)
    return [] if findings and subjects.exempt(policy, rule, labels) else findings


def _judge_workload(chosen: Selected, subjects: Subjects, pods: Sequence[Pod]) -> Iterator[Finding]:
    policy = chosen.policy
    for rule in policy.checks:
        found = _check_workload(chosen, rule, pods)
        if not policy.exceptions:
            yield from found
        elif findings := list(found):
            concerned = [pod for pod in pods if not subjects.exempt(policy, rule.name, pod.labels)]
            yield from findings if len(concerned) == len(pods) else _check_workload(chosen, rule, concerned)


def _check_workload(chosen: Selected, rule: CheckRule, pods: Sequence[Pod]) -> Iterator[Finding]:
    try:
        for violation in rule.check.check_workload(pods):
            yield _finding(chosen, rule, violation, violation.path)
    except Exception as error:  # noqa: BLE001 - a rule's bug must never become the request's failure
        yield failed_rule(chosen, rule.name, error)


def _judge_object(
    chosen: Selected, subjects: Subjects, state: State, expressions: Sequence[ExpressionRule]
) -> Iterator[Finding]:
    policy = chosen.policy
    try:
        if not subjects.applies_to_object(policy, state):
            return
    except Exception as error:  # noqa: BLE001 - a condition that cannot be evaluated is a finding
        yield failed_rule(chosen, "match", error)
        return
    labels = mapping(mapping(state.object or {}, "metadata"), "labels")
    request = subjects.request
    # A DELETE has no object to judge, but the one that goes.
    raw = state.object if state.object is not None else request.old_object
    if policy.object_checks and raw is not None:
        old = (
            None
            if request.old_object is None
            else Object(request.kind, request.namespace, request.old_object)
        )
        obj = Object(request.kind, request.namespace, raw, old)
        kind = (request.kind.group, request.kind.kind)
        for rule in policy.object_checks:
            if kind in rule.check.kinds and (state.object is not None or rule.check.judges_deletion):
                found = _check_object(chosen, rule, obj)
                yield from (
                    _not_exempt(found, rule.name, policy, subjects, labels) if policy.exceptions else found
                )
    for expression in expressions:
        found = _evaluate(chosen, expression, state, None)
        yield from (
            _not_exempt(found, expression.name, policy, subjects, labels) if policy.exceptions else found
        )


def _check(chosen: Selected, rule: CheckRule, subjects: Subjects, pod: Pod) -> Iterator[Finding]:
    try:
        for violation in rule.check(pod):
            path = violation.path if subjects.is_pod else pod.written_at(violation.path)
            yield _finding(chosen, rule, violation, path)
    except Exception as error:  # noqa: BLE001 - as above
        yield failed_rule(chosen, rule.name, error)


def _check_object(chosen: Selected, rule: ObjectCheckRule, obj: Object) -> Iterator[Finding]:
    try:
        for violation in rule.check(obj):
            yield _finding(chosen, rule, violation, violation.path)
    except Exception as error:  # noqa: BLE001 - as above
        yield failed_rule(chosen, rule.name, error)


def _finding(
    chosen: Selected, rule: CheckRule | ObjectCheckRule, violation: Violation, path: Path
) -> Finding:
    return Finding(
        chosen.policy.name,
        rule.name,
        rule.severity,
        chosen.action,
        path,
        violation.reason,
        violation.message,
    )


def _evaluate(chosen: Selected, rule: ExpressionRule, state: State, pod: Pod | None) -> Iterator[Finding]:
    try:
        scope = state.object_scope() if pod is None else state.pod_scope(pod)
        if rule.program.evaluate(scope):
            return
        message = rule.message
        if rule.message_program is not None:
            message = _computed_message(rule, scope) or message
    except Exception as error:  # noqa: BLE001 - as above
        yield failed_rule(chosen, rule.name, error)
        return
    path = rule.path
    if pod is not None and path:
        # The path of the rule starts at the pod; the pod may be a template deep in a workload.
        root = pod.metadata_path if path[0] == "metadata" else pod.spec_path
        path = pod.written_at(root + path[1:] if path[0] in ("metadata", "spec") else root + path)
    elif pod is not None and pod.place != ("spec",):
        path = pod.place
    yield Finding(chosen.policy.name, rule.name, rule.severity, chosen.action, path, rule.reason, message)


def _computed_message(rule: ExpressionRule, scope: object) -> str:
    """The message an expression computes, or nothing where it cannot: as in ValidatingAdmissionPolicy, where a
    messageExpression that fails, or gives an empty text or one with line breaks, falls back to ``message``."""
    assert rule.message_program is not None
    try:
        text = rule.message_program.evaluate(scope)  # type: ignore[arg-type]  # a Scope; typed as object to keep the import lazy
    except Exception:  # noqa: BLE001 - the fallback is the specified behaviour
        return ""
    return text.strip() if isinstance(text, str) and text.strip() and "\n" not in text.strip() else ""
