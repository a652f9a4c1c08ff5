"""The one function in the middle: a request, the rules and the facts give a decision.

Synchronous, deterministic, no I/O and no clock. The server, the command line, the policy tests and the audit all
call it and differ only in where objects come from and where decisions go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from webhook.engine import messages, mutate, unchanged
from webhook.engine.decision import BrokenGlass, Decision, Facts, Phase
from webhook.engine.ruleset import NOTHING, CompiledBreakGlass, Ruleset, Selected, Selection
from webhook.engine.subjects import State, Subjects, select
from webhook.engine.validate import validate
from webhook.kube.gvk import NAMESPACE, POD
from webhook.kube.review import AdmissionRequest
from webhook.kube.shape import JSONObject, mapping
from webhook.policy.draft import Operation
from webhook.policy.findings import Action, Finding, Mode

if TYPE_CHECKING:
    from webhook.engine.kubernetes.policies import MutatingPolicy

# Subresources through which a pod's spec changes; others (status, binding, eviction, exec) carry no pod to judge.
_JUDGED_SUBRESOURCES: Final = frozenset({"", "ephemeralcontainers", "resize"})

# Unlike those of other kinds, the subresources of a namespace take changes of its labels.
# Source: k8s.io/kubernetes pkg/registry/core/namespace/strategy.go (PrepareForUpdate of status and finalize)
_NAMESPACE_SUBRESOURCES: Final = frozenset({"status", "finalize"})

# The API server's own copy of a static pod: the kubelet runs it whatever the answer is.
_MIRROR_POD: Final = "kubernetes.io/config.mirror"


def review(request: AdmissionRequest, ruleset: Ruleset, facts: Facts, phase: Phase = Phase.BOTH) -> Decision:
    """Decide about one admission request.

    Nothing of the request is changed. The decision's patch applies to ``request.obj`` (RFC 6902), and reviewing the
    patched object again gives no patch. A rule that fails is a finding of its own; this function does not raise.
    """
    if facts.mode is None:
        return Decision(object=request.obj)
    selected = NOTHING
    if _is_judged(request) and not _let_go(request):
        selected = select(ruleset, request, facts)
    # Kubernetes' own policies match by their own rules, whatever else is let through here.
    kubernetes = ruleset.kubernetes
    validating = () if kubernetes is None or phase is Phase.MUTATE else kubernetes.validating_for(request)
    mutating = () if kubernetes is None or phase is Phase.VALIDATE else kubernetes.mutating_for(request)
    if not selected.policies and not validating and not mutating:
        return Decision(object=request.obj)

    glass = ruleset.break_glass and _broken_by(request, ruleset, facts)
    if glass:
        strict = {chosen.policy.name for chosen in selected.policies if chosen.action is not Action.AUDIT}
        selected = Selection.of(Selected(chosen.policy, Action.AUDIT) for chosen in selected.policies)
    if mutating:
        changed = _mutate_all(mutating, selected, request, ruleset, facts, phase, recorded=bool(glass))
    else:
        subjects = Subjects(request, ruleset, facts)
        original = subjects.original()
        changed = _own(subjects, original, mutate.run(selected, subjects, original, phase), phase)
    subjects, mutated = changed.subjects, changed.mutated
    findings: list[Finding] = list(changed.errors)
    if phase is not Phase.MUTATE:
        findings += unchanged.weaken(validate(selected, subjects, mutated), subjects, changed.original)
    annotations: dict[str, str] = {}
    found: list[Finding] = []
    if validating:
        assert kubernetes is not None
        found, annotations = kubernetes.validate(validating, request, facts, changed.obj)
    used = None
    if glass:
        if (
            _would_matter(strict, findings, mutated, subjects)
            or changed.by_kubernetes
            or any(finding.action is not Action.AUDIT for finding in found)
        ):
            used = BrokenGlass(glass.name, glass.reason)
        found = [replace(finding, action=Action.AUDIT) for finding in found]
    return _decide(request, [*findings, *found], changed, used, annotations)


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


def _is_judged(request: AdmissionRequest) -> bool:
    """Whether what is sent is an object that policies are about, in full."""
    return request.subresource in _JUDGED_SUBRESOURCES or (
        request.kind == NAMESPACE and request.subresource in _NAMESPACE_SUBRESOURCES
    )


def _let_go(request: AdmissionRequest) -> bool:
    """Whether this is an object that must not be held up: one that is being deleted already, or a mirror pod.

    An update to an object with a deletion timestamp only removes finalizers; refusing it would keep it for ever.
    """
    metadata = mapping(request.obj or {}, "metadata")
    if request.operation == "UPDATE" and metadata.get("deletionTimestamp"):
        return True
    return request.kind == POD and _MIRROR_POD in mapping(metadata, "annotations")


class _Changed(Struct, frozen=True):
    """What mutations have made of a request: what is judged from here on, and what the answer says of it.

    ``obj`` is the object as it will be, ``by_kubernetes`` whether policies of Kubernetes' own changed anything.
    """

    subjects: Subjects
    original: State
    mutated: mutate.Mutated
    errors: tuple[Finding, ...]
    patch: tuple[Operation, ...]
    would_patch: tuple[Operation, ...]
    obj: JSONObject | None
    by: tuple[tuple[str, str], ...]
    by_kubernetes: bool = False


def _own(subjects: Subjects, original: State, mutated: mutate.Mutated, phase: Phase) -> _Changed:
    """What gpuward's own mutations have made."""
    patch: tuple[Operation, ...] = ()
    would: tuple[Operation, ...] = ()
    obj = subjects.request.obj
    # A controller's template is only judged as its pods would be: changing it would be drift to GitOps tools.
    if subjects.is_pod:
        would = tuple(mutated.recorded.operations) if mutated.recorded is not None else ()
        if phase is not Phase.VALIDATE and mutated.applied is not None and obj is not None:
            patch, obj = tuple(mutated.applied.operations), mutated.applied.object
    by = mutated.applied_by if subjects.is_pod else ()
    return _Changed(subjects, original, mutated, mutated.errors, patch, would, obj, by)


def _mutate_all(
    mutating: Sequence[MutatingPolicy],
    selected: Selection,
    request: AdmissionRequest,
    ruleset: Ruleset,
    facts: Facts,
    phase: Phase,
    *,
    recorded: bool,
) -> _Changed:
    """What Kubernetes' own policies and gpuward's have made, in the order in which the API server asks them: its own
    first, then gpuward's as a webhook's, then its own that ask for a second round.

    In a namespace that is only audited, and where they are only ``recorded``, nothing of it is in the answer.
    """
    # Imported where a ruleset has such policies; it has their data with it.
    from webhook.engine.kubernetes.changes import operations
    from webhook.engine.kubernetes.mutate import Rounds

    assert facts.mode is not None
    mode = Mode.AUDIT if recorded else facts.mode
    rounds = Rounds(mutating, request, facts, mode)
    subjects = Subjects(replace(request, obj=rounds.obj), ruleset, facts)
    original = subjects.original()
    own = _own(subjects, original, mutate.run(selected, subjects, original, phase), phase)
    only_recorded = mode is Mode.AUDIT
    before, patch = own.obj, own.patch
    if only_recorded and subjects.is_pod and own.mutated.recorded is not None:
        before, patch = own.mutated.recorded.object, own.would_patch
    assert before is not None  # there was an object, and no mutation takes it away
    after = rounds.second(before)
    further = operations(before, after)
    if further:
        # What follows sees the object as the API server would send it after all this.
        again = Subjects(replace(request, obj=after), ruleset, facts)
        again.exempted = subjects.exempted
        last = again.original()
        judged = _own(again, last, mutate.run(selected, again, last, Phase.VALIDATE), Phase.VALIDATE)
        own = replace(judged, errors=tuple(dict.fromkeys((*own.errors, *judged.errors))), by=own.by)
    else:
        after = before
    whole = (*operations(request.obj, rounds.obj), *patch, *further)
    return replace(
        own,
        errors=(*rounds.findings, *own.errors),
        patch=() if only_recorded else whole,
        would_patch=whole if only_recorded else own.would_patch,
        obj=request.obj if only_recorded else after,
        by=() if only_recorded else tuple(dict.fromkeys((*rounds.by, *own.by))),
        by_kubernetes=bool(rounds.by),
    )


def _decide(
    request: AdmissionRequest,
    findings: list[Finding],
    changed: _Changed,
    broken_glass: BrokenGlass | None,
    annotations: dict[str, str],
) -> Decision:
    exempted = changed.subjects.exempted
    if not (findings or annotations or changed.by or exempted or broken_glass):
        return Decision(object=changed.obj, would_patch=changed.would_patch)
    refused = [finding for finding in findings if finding.action is Action.ENFORCE]
    warned = [finding for finding in findings if finding.action is Action.WARN]
    if findings:
        annotations["violations"] = messages.violations_annotation(findings)
    if changed.by:
        annotations["mutated-by"] = ", ".join(f"{policy}/{rule}" for policy, rule in changed.by)
    if exempted:
        annotations["exceptions"] = messages.exceptions_annotation(exempted)
    notes = messages.warnings(warned) if warned else ()
    if broken_glass is not None:
        annotations["break-glass"] = messages.break_glass_annotation(broken_glass)
        notes = (messages.break_glass_warning(broken_glass),)
    return Decision(
        allowed=not refused,
        findings=tuple(findings),
        message=messages.refusal(request, refused) if refused else "",
        warnings=notes,
        patch=changed.patch,
        would_patch=changed.would_patch,
        object=changed.obj,
        mutated_by=changed.by,
        exempted=tuple(exempted),
        break_glass=broken_glass,
        audit_annotations=annotations,
    )
