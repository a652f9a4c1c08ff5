"""Compiled admission policies of Kubernetes and their bindings: immutable, and indexed by what they match."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from msgspec import Struct

from webhook.kube.resources import GroupVersionResource, is_admitted_by_policy
from webhook.policy.findings import Action, Severity
from webhook.policy.kubernetes.matching import ResourceMatcher
from webhook.policy.kubernetes.parameters import Parameters

if TYPE_CHECKING:
    from webhook.policy.cel import Program


class Condition(Struct, frozen=True):
    """One of a policy's ``matchConditions``."""

    name: str
    program: Program
    asks_for_namespace: bool
    """Whether it looks at ``namespaceObject``, which the API server does not give to match conditions: it is null."""


class Binding(Struct, frozen=True):
    """Where a policy is in force.

    ``matcher`` is None where the policy is in force for all that it matches, ``parameters`` where there are none: they
    are null then. ``actions`` are the validationActions as they are written, ``action`` is the strongest of them; the
    bindings of a mutating policy have none.
    """

    name: str
    matcher: ResourceMatcher | None
    parameters: Parameters | None
    action: Action = Action.ENFORCE
    actions: tuple[str, ...] = ()


class AdmissionPolicy(Struct, frozen=True):
    """What validating and mutating policies have in common. ``bindings`` are in the order of their names."""

    name: str
    title: str
    category: str
    severity: Severity
    fail_closed: bool
    matcher: ResourceMatcher
    conditions: tuple[Condition, ...]
    bindings: tuple[Binding, ...]


class ValidationRule(Struct, frozen=True):
    """One of a policy's ``validations``. ``name`` is its place, such as ``validations[0]``."""

    name: str
    program: Program
    message: str
    message_program: Program | None
    reason: str


class AuditAnnotationRule(Struct, frozen=True):
    """One of a policy's ``auditAnnotations``. ``annotation`` is the key in an AdmissionReview's response."""

    name: str
    key: str
    annotation: str
    program: Program


class ValidatingPolicy(AdmissionPolicy, frozen=True):
    """A ValidatingAdmissionPolicy with its bindings, ready to run."""

    validations: tuple[ValidationRule, ...]
    audit_annotations: tuple[AuditAnnotationRule, ...]


class MutationRule(Struct, frozen=True):
    """One of a policy's ``mutations``. ``name`` is its place, such as ``mutations[0]``.

    ``program`` gives an apply configuration, or JSON Patch operations where it ``patches``.
    """

    name: str
    program: Program
    patches: bool


class MutatingPolicy(AdmissionPolicy, frozen=True):
    """A MutatingAdmissionPolicy with its bindings, ready to run. ``reinvoked`` is whether it may run a second time."""

    mutations: tuple[MutationRule, ...]
    reinvoked: bool


P = TypeVar("P", bound=AdmissionPolicy)

# As for the Ruleset's own policies.
_MEMO_LIMIT: Final = 20_000


class AdmissionPolicies(Generic[P]):
    """The policies of one kind in force, in the order of their names. False where there are none.

    A policy without a binding is in force nowhere.
    """

    __slots__ = ("_memo", "policies")

    def __init__(self, policies: Iterable[P] = ()) -> None:
        self.policies: Final = tuple(sorted(policies, key=lambda policy: policy.name))
        self._memo: dict[tuple[GroupVersionResource, str, str, bool], tuple[P, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self.policies)

    def candidates(
        self, resource: GroupVersionResource, subresource: str, operation: str, *, namespaced: bool
    ) -> tuple[P, ...]:
        """The policies that can match requests of this resource and operation."""
        key = (resource, subresource, operation, namespaced)
        found = self._memo.get(key)
        if found is None:
            found = ()
            if is_admitted_by_policy(resource):
                found = tuple(
                    policy
                    for policy in self.policies
                    if policy.bindings
                    and policy.matcher.admits(resource, subresource, operation, namespaced=namespaced)
                )
            if len(self._memo) >= _MEMO_LIMIT:
                self._memo.clear()
            self._memo[key] = found
        return found
