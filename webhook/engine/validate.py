"""Running checks: every policy's, on every pod and on the object itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from webhook.engine.errors import failed_rule
from webhook.engine.mutate import Mutated
from webhook.engine.ruleset import (
    CheckRule,
    CompiledPolicy,
    ExpressionRule,
    ObjectCheckRule,
    Selected,
    Selection,
)
from webhook.engine.subjects import State, Subjects
from webhook.kube.object import Object
from webhook.kube.path import Path
from webhook.kube.pod import Pod
from webhook.kube.shape import JSONObject, mapping
from webhook.policy.findings import Action, Finding, Violation


class Judged(NamedTuple):
    """A finding, and the pod it is about; None where it is about the object as a whole.

    ``introduced`` says that the rule itself has seen that an update brought it about.
    """

    finding: Finding
    pod: Pod | None
    introduced: bool = False


def validate(selection: Selection, subjects: Subjects, mutated: Mutated) -> list[Judged]:
    """Every finding of the selected policies, in their order.

    Policies that only record judge the object as their own mutations would have left it: that is what they would see
    if they were enforced.
    """
    # One list that all write to, and no generators: most rules find nothing, and then a call is all that is left.
    found: list[Judged] = []
    for chosen in selection.judging:
        state = mutated.recorded_state if chosen.action is Action.AUDIT else mutated.applied_state
        _judge(chosen, subjects, state, found)
    return found


def _judge(chosen: Selected, subjects: Subjects, state: State, found: list[Judged]) -> None:
    policy = chosen.policy
    pods: list[Pod] = []
    for pod in state.pods:
        try:
            if not (policy.about_every_pod or subjects.applies_to_pod(policy, pod, state)):
                continue
        except Exception as error:  # noqa: BLE001 - a condition that cannot be evaluated is a finding
            found.append(Judged(failed_rule(chosen, "match", error), pod))
            continue
        pods.append(pod)
        _judge_pod(chosen, subjects, state, pod, found)
    if pods and policy.workload_checks:
        _judge_workload(chosen, subjects, pods, found)
    if policy.judges_objects:
        _judge_object(chosen, subjects, state, found)


def _judge_pod(chosen: Selected, subjects: Subjects, state: State, pod: Pod, found: list[Judged]) -> None:
    policy = chosen.policy
    for rule in policy.checks:
        before = len(found)
        try:
            for violation in rule.check(pod):
                path = violation.path if subjects.is_pod else pod.written_at(violation.path)
                found.append(Judged(_finding(chosen, rule, violation, path), pod))
        except Exception as error:  # noqa: BLE001 - a rule's bug must never become the request's failure
            found.append(Judged(failed_rule(chosen, rule.name, error), pod))
        if policy.exceptions:
            _spare(found, before, rule.name, policy, subjects, pod.labels)
    for expression in policy.expressions:
        if expression.on_pods:
            before = len(found)
            found.extend(Judged(finding, pod) for finding in _evaluate(chosen, expression, state, pod))
            _spare(found, before, expression.name, policy, subjects, pod.labels)


def _spare(
    found: list[Judged],
    before: int,
    rule: str,
    policy: CompiledPolicy,
    subjects: Subjects,
    labels: JSONObject,
) -> None:
    """Take back what a rule has found, which stands after ``before``, if an exception frees from it. It is asked
    afterwards: an exception from a rule that has nothing to say is not used."""
    if len(found) > before and subjects.exempt(policy, rule, labels):
        del found[before:]


def _judge_workload(chosen: Selected, subjects: Subjects, pods: Sequence[Pod], found: list[Judged]) -> None:
    policy = chosen.policy
    for rule in policy.workload_checks:
        findings = _check_workload(chosen, rule, pods)
        if findings and policy.exceptions:
            concerned = [pod for pod in pods if not subjects.exempt(policy, rule.name, pod.labels)]
            if len(concerned) < len(pods):
                findings = _check_workload(chosen, rule, concerned)
        found.extend(Judged(finding, None) for finding in findings)


def _check_workload(chosen: Selected, rule: CheckRule, pods: Sequence[Pod]) -> list[Finding]:
    findings: list[Finding] = []
    try:
        for violation in rule.check.check_workload(pods):
            findings.append(_finding(chosen, rule, violation, violation.path))  # noqa: PERF401 - what it found before failing counts
    except Exception as error:  # noqa: BLE001 - as above
        findings.append(failed_rule(chosen, rule.name, error))
    return findings


def _judge_object(chosen: Selected, subjects: Subjects, state: State, found: list[Judged]) -> None:
    policy = chosen.policy
    try:
        if not subjects.applies_to_object(policy, state):
            return
    except Exception as error:  # noqa: BLE001 - a condition that cannot be evaluated is a finding
        found.append(Judged(failed_rule(chosen, "match", error), None))
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
                before = len(found)
                _check_object(chosen, rule, obj, found)
                _spare(found, before, rule.name, policy, subjects, labels)
    for expression in policy.expressions:
        if not expression.on_pods:
            before = len(found)
            found.extend(Judged(finding, None) for finding in _evaluate(chosen, expression, state, None))
            _spare(found, before, expression.name, policy, subjects, labels)


def _check_object(chosen: Selected, rule: ObjectCheckRule, obj: Object, found: list[Judged]) -> None:
    try:
        for violation in rule.check(obj):
            finding = _finding(chosen, rule, violation, violation.path)
            found.append(Judged(finding, None, introduced=rule.check.judges_changes))
    except Exception as error:  # noqa: BLE001 - as above
        found.append(Judged(failed_rule(chosen, rule.name, error), None))


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
