"""The one function in the middle: a request, the rules and the facts give a decision.

Synchronous, deterministic, no I/O and no clock. The server, the command line, the policy tests and the audit all
call it and differ only in where objects come from and where decisions go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from webhook.engine import messages, mutate, unchanged
from webhook.engine.decision import BrokenGlass, Decision, Facts, Phase
from webhook.engine.ruleset import CompiledBreakGlass, Ruleset
from webhook.engine.subjects import Selected, Subjects, select
from webhook.engine.validate import validate
from webhook.kube.gvk import POD
from webhook.kube.review import AdmissionRequest
from webhook.kube.shape import mapping
from webhook.policy.findings import Action, Finding

# Subresources through which a pod's spec changes; others (status, binding, eviction, exec) carry no pod to judge.
_JUDGED_SUBRESOURCES: Final = frozenset({"", "ephemeralcontainers", "resize"})

# The API server's own copy of a static pod: the kubelet runs it whatever the answer is.
_MIRROR_POD: Final = "kubernetes.io/config.mirror"


def review(request: AdmissionRequest, ruleset: Ruleset, facts: Facts, phase: Phase = Phase.BOTH) -> Decision:
    """Decide about one admission request.

    Nothing of the request is changed. The decision's patch applies to ``request.obj`` (RFC 6902), and reviewing the
    patched object again gives no patch. A rule that fails is a finding of its own; this function does not raise.
    """
    if facts.mode is None:
        return Decision(object=request.obj)
    selected: Sequence[Selected] = ()
    if request.subresource in _JUDGED_SUBRESOURCES and not _let_go(request):
        selected = select(
            ruleset.candidates(request.kind, request.operation, request.namespace), request, facts
        )
    # Kubernetes' own policies match by their own rules, whatever else is let through here.
    kubernetes = ruleset.kubernetes
    validating = () if kubernetes is None or phase is Phase.MUTATE else kubernetes.validating_for(request)
    if not selected and not validating:
        return Decision(object=request.obj)

    glass = ruleset.break_glass and _broken_by(request, ruleset, facts)
    if glass:
        strict = {chosen.policy.name for chosen in selected if chosen.action is not Action.AUDIT}
        selected = [Selected(chosen.policy, Action.AUDIT) for chosen in selected]
    subjects = Subjects(request, ruleset, facts)
    original = subjects.original()
    mutated = mutate.run(selected, subjects, original, phase)
    findings: list[Finding] = list(mutated.errors)
    if phase is not Phase.MUTATE:
        findings += unchanged.weaken(validate(selected, subjects, mutated), subjects, original)
    annotations: dict[str, str] = {}
    found: list[Finding] = []
    if validating:
        assert kubernetes is not None
        # A template is only judged as its pods would be; the object itself stays as it was written.
        final = mutated.applied.object if subjects.is_pod and request.obj is not None else request.obj
        found, annotations = kubernetes.validate(validating, request, facts, final)
    used = None
    if glass:
        if _would_matter(strict, findings, mutated, subjects) or any(
            finding.action is not Action.AUDIT for finding in found
        ):
            used = BrokenGlass(glass.name, glass.reason)
        found = [replace(finding, action=Action.AUDIT) for finding in found]
    return _decide(request, phase, [*findings, *found], subjects, mutated, used, annotations)


def _broken_by(request: AdmissionRequest, ruleset: Ruleset, facts: Facts) -> CompiledBreakGlass | None:
    """The break-glass entry that lets this request pass, if any."""
    today = facts.now.date() if facts.now is not None else None
    return next((entry for entry in ruleset.break_glass if entry.applies(request, today)), None)


def _would_matter(
    strict: set[str], findings: list[Finding], mutated: mutate.Mutated, subjects: Subjects
) -> bool:
    """Whether these policies, had they not been put aside, would have refused, warned or changed anything."""
    return any(finding.policy in strict for finding in findings) or (
        subjects.is_pod and any(policy in strict for policy, _ in mutated.recorded_by)
    )


def _let_go(request: AdmissionRequest) -> bool:
    """Whether this is an object that must not be held up: one that is being deleted already, or a mirror pod.

    An update to an object with a deletion timestamp only removes finalizers; refusing it would keep it for ever.
    """
    metadata = mapping(request.obj or {}, "metadata")
    if request.operation == "UPDATE" and metadata.get("deletionTimestamp"):
        return True
    return request.kind == POD and _MIRROR_POD in mapping(metadata, "annotations")


def _decide(
    request: AdmissionRequest,
    phase: Phase,
    findings: list[Finding],
    subjects: Subjects,
    mutated: mutate.Mutated,
    broken_glass: BrokenGlass | None,
    annotations: dict[str, str],
) -> Decision:
    refused = [finding for finding in findings if finding.action is Action.ENFORCE]
    warned = [finding for finding in findings if finding.action is Action.WARN]
    if findings:
        annotations["violations"] = messages.violations_annotation(findings)
    if mutated.applied_by and subjects.is_pod:
        annotations["mutated-by"] = ", ".join(f"{policy}/{rule}" for policy, rule in mutated.applied_by)
    if subjects.exempted:
        annotations["exceptions"] = messages.exceptions_annotation(subjects.exempted)
    notes = messages.warnings(warned) if warned else ()
    if broken_glass is not None:
        annotations["break-glass"] = messages.break_glass_annotation(broken_glass)
        notes = (messages.break_glass_warning(broken_glass),)
    return Decision(
        allowed=not refused,
        findings=tuple(findings),
        message=messages.refusal(request, refused) if refused else "",
        warnings=notes,
        # A controller's template is only judged as its pods would be: changing it would be drift to GitOps tools.
        patch=tuple(mutated.applied.operations) if subjects.is_pod and phase is not Phase.VALIDATE else (),
        would_patch=tuple(mutated.recorded.operations)
        if subjects.is_pod and mutated.recorded is not None
        else (),
        object=mutated.applied.object
        if subjects.is_pod and phase is not Phase.VALIDATE and request.obj is not None
        else request.obj,
        mutated_by=mutated.applied_by if subjects.is_pod else (),
        exempted=tuple(subjects.exempted),
        break_glass=broken_glass,
        audit_annotations=annotations,
    )
