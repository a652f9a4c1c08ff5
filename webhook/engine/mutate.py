"""Running mutations: on a working copy of the object, for every pod in it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from webhook.engine.decision import Phase
from webhook.engine.errors import failed_rule
from webhook.engine.ruleset import CompiledPolicy, MutationRule, Selected, Selection
from webhook.engine.subjects import State, Subjects
from webhook.kube.pod import Pod
from webhook.policy.draft import Draft
from webhook.policy.findings import Finding


class Mutated(Struct, frozen=True):
    """The object after its mutations, and its pods.

    ``applied`` is what the request's answer may change, None where no mutation runs; ``recorded`` goes on from there
    with the mutations of policies that only record, or is None where those change nothing. ``applied_by`` and
    ``recorded_by`` name the (policy, rule) of each that changed something. ``errors`` are mutations that failed.
    """

    applied: Draft | None
    applied_state: State
    applied_by: tuple[tuple[str, str], ...]
    recorded: Draft | None
    recorded_by: tuple[tuple[str, str], ...]
    recorded_state: State
    errors: tuple[Finding, ...]


def run(selection: Selection, subjects: Subjects, original: State, phase: Phase) -> Mutated:
    """Run the mutations of the selected policies on the object in its ``original`` state.

    Which of them run is the answer to "what will these pods be like when the checks see them": pods are mutated once,
    when they are created; a pod that is only validated has been through it; templates are taken as the pods to come.
    """
    # A pod that arrives at /validate is final: mutations that are applied at all have been applied to it.
    applying = () if subjects.is_pod and phase is Phase.VALIDATE else selection.applying
    recording = selection.recording
    if not (applying or recording) or not _has_effect(subjects, original, phase):
        return Mutated(None, original, (), None, (), original, ())
    errors: list[Finding] = []
    drafts, state, applied_by = _apply(applying, subjects, original, errors)
    applied = drafts[id(subjects.request.obj)]
    if not recording:
        return Mutated(applied, state, applied_by, None, (), state, tuple(errors))
    drafts, recorded_state, recorded_by = _apply(recording, subjects, state, errors)
    recorded = drafts[id(subjects.request.obj)]
    return Mutated(
        applied,
        state,
        applied_by,
        recorded if recorded.changed else None,
        recorded_by,
        recorded_state,
        tuple(errors),
    )


def _has_effect(subjects: Subjects, original: State, phase: Phase) -> bool:
    """Whether pods come into being through this request. Most of a pod's spec cannot change afterwards."""
    if not original.pods:
        return False
    if subjects.is_pod:
        return subjects.request.operation == "CREATE" and not subjects.request.subresource
    # A template is changed for the checks that follow, and /mutate has none.
    return phase is not Phase.MUTATE


# A draft for each of a state's roots.
_Drafts = dict[int, Draft]


def _drafts(state: State) -> _Drafts:
    return {key: Draft(root) for key, root in state.roots().items()}


def _apply(
    selected: Sequence[Selected], subjects: Subjects, state: State, errors: list[Finding]
) -> tuple[_Drafts, State, tuple[tuple[str, str], ...]]:
    """Run every mutation in order; each sees what the ones before it made.

    A mutation that fails is left out, and with it whatever it had done: the rest starts again without it.
    """
    original = state
    failed: set[int] = set()
    while True:
        drafts, state = _drafts(original), original
        by: list[tuple[str, str]] = []
        crashed: MutationRule | None = None
        for chosen in selected:
            policy = chosen.policy
            for rule in policy.mutations:
                if id(rule) in failed:
                    continue
                try:
                    changed = _run_one(policy, rule, subjects, drafts, state)
                except Exception as error:  # noqa: BLE001 - a rule's bug must never become the request's failure
                    crashed = rule
                    failed.add(id(rule))
                    errors.append(failed_rule(chosen, rule.name, error, mutation=True))
                    break
                if changed:
                    by.append((policy.name, rule.name))
                    state = state.after({key: draft.object for key, draft in drafts.items()})
            if crashed is not None:
                break
        if crashed is None:
            return drafts, state, tuple(by)


def _run_one(
    policy: CompiledPolicy, rule: MutationRule, subjects: Subjects, drafts: _Drafts, state: State
) -> bool:
    """Run one mutation on all pods that its policy is about; whether it changed anything."""
    changed = False
    for pod in state.pods:
        if not (policy.about_every_pod or subjects.applies_to_pod(policy, pod, state)):
            continue
        draft = drafts[id(pod.written)]
        exception = policy.exceptions and subjects.exception(policy, rule.name, pod.labels)
        if not exception:
            before = draft.revision
            _call(rule, pod, draft, state)
            changed = changed or draft.revision != before
        elif _would_change(rule, pod, draft, state):
            subjects.used(policy, rule.name, exception)
    return changed


def _call(rule: MutationRule, pod: Pod, draft: Draft, state: State) -> None:
    if rule.mutation.computes:
        rule.mutation.compute(pod, draft, state.pod_scope(pod))
    else:
        rule.mutation(pod, draft)


def _would_change(rule: MutationRule, pod: Pod, draft: Draft, state: State) -> bool:
    """Whether a mutation that is not applied would have changed something, or failed."""
    aside = Draft(draft.object)
    try:
        _call(rule, pod, aside, state)
    except Exception:  # noqa: BLE001 - the pod is freed from what this rule does wrong as well
        return True
    return aside.changed
