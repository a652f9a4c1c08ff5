"""Changing an object by MutatingAdmissionPolicies, as the API server does it.

Policies run in the order of their names (the API server has none), each on what those before it made. Which policies
and bindings are asked is decided on the object as it came, ``matchConditions`` on the object as it is by then. A
mutation that fails leaves the object as it was, and the policy's next one is tried all the same: with
``failurePolicy`` Fail the request is refused for it anyway.

Source: k8s.io/apiserver ``pkg/admission/plugin/policy/mutating``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from webhook.engine.decision import Facts
from webhook.engine.errors import failure, text_of
from webhook.engine.kubernetes.changes import changes
from webhook.engine.kubernetes.incoming import Incoming
from webhook.engine.kubernetes.invoke import Invocation, conditions_hold, invocations, of_binding
from webhook.engine.kubernetes.policies import MutatingPolicy, MutationRule
from webhook.kube.apply import CannotApply, apply, apply_operations, is_known, of, tidied
from webhook.kube.review import AdmissionRequest
from webhook.kube.shape import JSONObject, mapping, text
from webhook.policy.findings import EFFECTIVE_ACTION, Action, Finding, Mode

if TYPE_CHECKING:
    from webhook.policy.cel import Scope


class Rounds:
    """The two rounds of one request: the first before everything else, the second after gpuward's own mutations.

    In the second only those policies run that ask for it (``reinvocationPolicy: IfNeeded``) and ran in the first, and
    only where anything may have changed the object since: another policy of Kubernetes' or gpuward's.

    ``by`` names (policy, mutation) of every change, ``findings`` what went wrong.
    """

    __slots__ = ("_again", "_facts", "_mode", "_policies", "_ran", "_request", "by", "findings", "obj")

    def __init__(
        self, policies: Sequence[MutatingPolicy], request: AdmissionRequest, facts: Facts, mode: Mode
    ) -> None:
        """Makes the first round, of a request with an object in a namespace of this mode. ``obj`` is what it leaves."""
        self._policies = policies
        self._request = request
        self._facts = facts
        self._mode = mode
        first = mutate(policies, Incoming(request, facts, request.obj), mode)
        self.obj = first.obj
        self.by = tuple(dict.fromkeys(first.by))
        self.findings = tuple(first.findings)
        self._again = first.again
        self._ran = first.ran

    def second(self, obj: JSONObject) -> JSONObject:
        """The second round, on the object as it is by then."""
        again = [policy for policy in self._policies if policy.reinvoked]
        if not self._again or not (self._ran or obj is not self.obj):
            return obj
        found = mutate(again, Incoming(self._request, self._facts, obj), self._mode, self._again)
        self.by = tuple(dict.fromkeys((*self.by, *found.by)))
        self.findings = tuple(dict.fromkeys((*self.findings, *found.findings)))
        return found.obj


class Key(Struct, frozen=True):
    """One policy by one binding with one of its parameters."""

    policy: str
    binding: str
    namespace: str
    name: str


class Outcome(Struct):
    """What a run of policies left: the object, and what went wrong.

    ``by`` names (policy, mutation) of every change, ``again`` what may run a second time, and ``ran`` is whether any
    mutation was made at all, be it one without effect.
    """

    obj: JSONObject
    findings: list[Finding] = field(default_factory=list)
    by: list[tuple[str, str]] = field(default_factory=list)
    again: set[Key] = field(default_factory=set)
    ran: bool = False


def mutate(
    policies: Iterable[MutatingPolicy], incoming: Incoming, mode: Mode, only: set[Key] | None = None
) -> Outcome:
    """The object of the request after these policies, in a namespace of this mode. Does not raise.

    ``only`` is what runs in a second round: of all that matches, what was there in the first.
    """
    obj = incoming.attributes.obj
    assert obj is not None  # without an object there is nothing to change, and nobody asks
    outcome = Outcome(obj)
    chosen = [(policy, call) for policy in policies for call in invocations(policy, incoming)]
    for policy, call in chosen:
        incoming = _Run(policy, call, incoming, mode, outcome, only).run()
    return outcome


class _Run(Struct, frozen=True):
    """One invocation of a policy, on the object in the state of ``incoming``."""

    policy: MutatingPolicy
    invocation: Invocation
    incoming: Incoming
    mode: Mode
    outcome: Outcome
    only: set[Key] | None

    def run(self) -> Incoming:
        """The request with its object as this leaves it."""
        policy, call, outcome, incoming = self.policy, self.invocation, self.outcome, self.incoming
        if call.failure is not None:
            self._fail(call.failure.part, str(call.failure))
            return incoming
        key = _key(policy, call)
        if self.only is not None and key not in self.only:
            return incoming
        try:
            if not conditions_hold(policy, incoming, replace(call, scope=incoming.scope(call.params))):
                return incoming
        except Exception as error:  # noqa: BLE001 - a condition that cannot be evaluated is a finding
            self._fail("matchConditions", text_of(error, CannotApply))
            return incoming
        for rule in policy.mutations:
            try:
                changed = _changed(rule, outcome.obj, incoming.scope(call.params), incoming)
            except Exception as error:  # noqa: BLE001 - a mutation that fails is a finding
                self._fail(
                    rule.name,
                    text_of(error, CannotApply),
                    always=isinstance(error, CannotApply) and error.always,
                )
                continue
            outcome.ran = True
            if next(changes(outcome.obj, changed), None) is not None:
                outcome.by.append((policy.name, rule.name))
                outcome.obj = changed
                incoming = Incoming(incoming.request, incoming.facts, changed)
        if policy.reinvoked:
            outcome.again.add(key)
        return incoming

    def _fail(self, rule: str, detail: str, *, always: bool = False) -> None:
        """Take a failure: with failurePolicy Fail a violation, else only recorded."""
        policy = self.policy
        counts = policy.fail_closed or always
        action = EFFECTIVE_ACTION[Action.ENFORCE, self.mode] if counts else Action.AUDIT
        detail = of_binding(policy, self.invocation.binding, f"the policy could not be applied: {detail}")
        self.outcome.findings.append(failure(policy.name, rule, action, detail))


def _key(policy: MutatingPolicy, call: Invocation) -> Key:
    metadata = mapping(call.params or {}, "metadata")
    return Key(policy.name, call.binding.name, text(metadata, "namespace"), text(metadata, "name"))


def _changed(rule: MutationRule, obj: JSONObject, scope: Scope, incoming: Incoming) -> JSONObject:
    """The object after one mutation; the same one where it changes nothing.

    Raises:
        CannotApply: the mutation cannot be made.
        CelEvaluationError: the expression gives no value.
    """
    kind = of(incoming.request.kind)
    value = rule.program.evaluate(scope)
    if rule.patches:
        changed = apply_operations(obj, value, kind)
    else:
        # The object says itself which it is; Kubernetes puts the same into the configuration.
        said: JSONObject = {key: obj[key] for key in ("apiVersion", "kind") if key in obj}
        changed = apply(obj, {**value, **said}, kind)
    tidy: JSONObject = tidied(obj, changed, kind) if is_known(incoming.request.kind) else changed
    return tidy
