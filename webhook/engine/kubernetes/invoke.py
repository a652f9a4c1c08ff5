"""From the policies that match a request to what is evaluated: each binding, with each of its parameters.

Source: k8s.io/apiserver ``pkg/admission/plugin/policy/generic`` and ``pkg/admission/plugin/webhook/matchconditions``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec import Struct

from webhook.engine.kubernetes.incoming import Incoming
from webhook.engine.kubernetes.policies import AdmissionPolicy, Binding
from webhook.kube.shape import JSONObject
from webhook.policy.kubernetes.parameters import ParameterFailure

if TYPE_CHECKING:
    from webhook.policy.cel import Scope


class UnknownVersion(Exception):
    """An object that the API server would show to the policy in another version than it has here."""

    part = "matchConstraints"
    """What of the policy fails."""


class Invocation(Struct, frozen=True):
    """One evaluation of a policy: by a binding that matches, with one of its parameters (or null).

    Where there are no parameters and there must be, or the object is in another version, ``failure`` says
    so, and nothing can be evaluated.
    """

    binding: Binding
    params: JSONObject | None
    scope: Scope | None
    failure: ParameterFailure | UnknownVersion | None = None


def of_binding(policy: AdmissionPolicy, binding: Binding, message: str) -> str:
    """The message, with the binding it comes from where the policy has several."""
    return f"{message} (binding {binding.name})" if len(policy.bindings) > 1 else message


def invocations(policy: AdmissionPolicy, incoming: Incoming) -> Iterator[Invocation]:
    """The evaluations that a policy asks for; none where it does not match the request."""
    attributes = incoming.attributes
    if not policy.matcher.matches(attributes):
        return
    wanted = policy.matcher.wanted(attributes)
    for binding in policy.bindings:
        if binding.matcher is not None and not binding.matcher.matches(attributes):
            continue
        if wanted is not None:
            here = attributes.converted or attributes.resource
            message = f"it is about {wanted}, the object is of {here}, and gpuward converts no objects"
            yield Invocation(
                binding, None, None, UnknownVersion(f"{message}; name both versions in the policy")
            )
            continue
        if binding.parameters is None:
            yield Invocation(binding, None, incoming.scope())
            continue
        try:
            found = binding.parameters.of(attributes.namespace)
        except ParameterFailure as failure:
            yield Invocation(binding, None, None, failure)
            continue
        for params in found:
            yield Invocation(binding, params, incoming.scope(params))


def conditions_hold(policy: AdmissionPolicy, incoming: Incoming, invocation: Invocation) -> bool:
    """Whether every match condition is true. One that is false decides, whatever the others do.

    Raises:
        CelEvaluationError: none is false, and at least one gave no value. The error is the first one's.
    """
    error: Exception | None = None
    for condition in policy.conditions:
        scope = (
            incoming.scope_in_conditions(invocation.params)
            if condition.asks_for_namespace
            else invocation.scope
        )
        assert scope is not None  # without parameters there is nothing to evaluate
        try:
            if not condition.program.evaluate(scope):
                return False
        except Exception as failed:  # noqa: BLE001 - a condition that is false outweighs it, and it is raised below
            error = error or failed
    if error is not None:
        raise error
    return True
