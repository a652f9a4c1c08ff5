"""The documents of Kubernetes' own admission policies, with Kubernetes' names.

Source: k8s.io/api ``admissionregistration/v1``. What the API server demands beyond the types of fields is in
``validation``. A null is an absent field, as to the API server.
"""

from __future__ import annotations

from typing import Literal

from webhook.policy.model import LabelSelector, NonEmpty
from webhook.policy.strict import Strict

GROUP = "admissionregistration.k8s.io"

ApiVersion = Literal["admissionregistration.k8s.io/v1", "admissionregistration.k8s.io/v1beta1"]

# The mutating kinds were alpha in Kubernetes 1.32 and 1.33, in the same form.
MutatingApiVersion = Literal[
    "admissionregistration.k8s.io/v1",
    "admissionregistration.k8s.io/v1beta1",
    "admissionregistration.k8s.io/v1alpha1",
]


class ObjectMeta(Strict, frozen=True, kw_only=True):
    """The object's name, labels and annotations."""

    name: NonEmpty
    """Unique among the objects of the kind."""
    labels: dict[str, str] | None = None
    """Labels, for your own use."""
    annotations: dict[str, str] | None = None
    """``gpuward.dev/title``, ``gpuward.dev/category`` and ``gpuward.dev/severity`` (critical, high, medium, low,
    info) are shown to people; others are for your own use."""
    namespace: str | None = None
    """Nothing: these objects live in no namespace."""


class NamedRuleWithOperations(Strict, frozen=True, kw_only=True):
    """Resources and operations. All parts must match."""

    apiGroups: list[str] | None = None
    """API groups; ``""`` is the core group, ``*`` all groups."""
    apiVersions: list[str] | None = None
    """API versions; ``*`` is all versions."""
    resources: list[str] | None = None
    """Resources by their plural, such as ``pods``, and subresources, such as ``pods/exec``. ``*`` is every
    resource without its subresources, ``pods/*`` the subresources of pods, ``*/*`` everything."""
    operations: list[Literal["CREATE", "UPDATE", "DELETE", "CONNECT", "*"]] | None = None
    """What is being done."""
    scope: Literal["Cluster", "Namespaced", "*"] | None = None
    """Whether objects in namespaces match, those outside, or both (the default)."""
    resourceNames: list[str] | None = None
    """Names of objects; without it, all."""


class MatchResources(Strict, frozen=True, kw_only=True):
    """Which requests match. Every part that is given must hold."""

    resourceRules: list[NamedRuleWithOperations] | None = None
    """Resources and operations; one of the rules must match."""
    excludeResourceRules: list[NamedRuleWithOperations] | None = None
    """What is left out. Wins over ``resourceRules``."""
    namespaceSelector: LabelSelector | None = None
    """On the labels of the namespace. Objects outside namespaces always match."""
    objectSelector: LabelSelector | None = None
    """On the labels of the object, before or after the request."""
    matchPolicy: Literal["Exact", "Equivalent"] | None = None
    """Whether the same object in another API version matches too (``Equivalent``, the default)."""


class ParamKind(Strict, frozen=True, kw_only=True):
    """The kind of the objects that hold parameters."""

    apiVersion: str | None = None
    """The group and version, such as ``v1``."""
    kind: str | None = None
    """The kind, such as ``ConfigMap``."""


class ParamRef(Strict, frozen=True, kw_only=True):
    """Which objects hold the parameters."""

    name: str | None = None
    """The name of the one object."""
    namespace: str | None = None
    """Its namespace; without it, that of the request."""
    selector: LabelSelector | None = None
    """In place of ``name``: all objects with these labels. The policy is evaluated with each."""
    parameterNotFoundAction: Literal["Allow", "Deny"] | None = None
    """What happens where there is no such object: the policy does not apply, or it fails."""


class MatchCondition(Strict, frozen=True, kw_only=True):
    """A CEL expression that must be true for the policy to apply."""

    name: str | None = None
    """What the condition is called."""
    expression: str | None = None
    """CEL over ``object``, ``oldObject``, ``request`` and, with a ``paramKind``, ``params``; gives a bool."""


class Variable(Strict, frozen=True, kw_only=True):
    """A named CEL expression, for others to use as ``variables.NAME``."""

    name: str | None = None
    """The name, a CEL identifier."""
    expression: str | None = None
    """CEL; may use variables defined before it."""


class Validation(Strict, frozen=True, kw_only=True):
    """A CEL expression that must be true."""

    expression: str | None = None
    """CEL over ``object``, ``oldObject``, ``request``, ``namespaceObject``, ``variables`` and, with a
    ``paramKind``, ``params``; gives a bool."""
    message: str | None = None
    """What to tell the author of the object when the expression is false."""
    messageExpression: str | None = None
    """CEL that gives the message; ``message`` is the fallback."""
    reason: Literal["Forbidden", "Invalid", "RequestEntityTooLarge"] | None = None
    """The kind of refusal; ``Invalid`` where it is not written."""


class AuditAnnotation(Strict, frozen=True, kw_only=True):
    """A CEL expression whose text goes into the audit log."""

    key: str | None = None
    """The annotation's name, after that of the policy."""
    valueExpression: str | None = None
    """CEL that gives the text; null and empty texts are left out."""


class ValidatingAdmissionPolicySpec(Strict, frozen=True, kw_only=True):
    """What a ValidatingAdmissionPolicy is about and what it demands."""

    failurePolicy: Literal["Fail", "Ignore"] | None = None
    """What happens where the policy itself fails (a CEL evaluation error, no parameters): as a violation (the
    default), or passed over."""
    paramKind: ParamKind | None = None
    """The kind of the objects that hold parameters."""
    matchConstraints: MatchResources | None = None
    """Which requests the policy is about."""
    matchConditions: list[MatchCondition] | None = None
    """CEL expressions that must all be true for the policy to apply."""
    variables: list[Variable] | None = None
    """CEL expressions with a name."""
    validations: list[Validation] | None = None
    """CEL expressions that must all be true."""
    auditAnnotations: list[AuditAnnotation] | None = None
    """Texts for the audit log."""


class ValidatingAdmissionPolicy(Strict, frozen=True, kw_only=True):
    """Kubernetes' ValidatingAdmissionPolicy."""

    apiVersion: ApiVersion
    """The version of the format."""
    kind: Literal["ValidatingAdmissionPolicy"]
    """The kind of document."""
    metadata: ObjectMeta
    """The policy's name."""
    spec: ValidatingAdmissionPolicySpec
    """What the policy does."""


class ValidatingAdmissionPolicyBindingSpec(Strict, frozen=True, kw_only=True):
    """Where a ValidatingAdmissionPolicy is in force, and what comes of its violations."""

    policyName: str | None = None
    """The policy."""
    paramRef: ParamRef | None = None
    """The parameters."""
    matchResources: MatchResources | None = None
    """Narrows what the policy is about."""
    validationActions: list[Literal["Deny", "Warn", "Audit"]] | None = None
    """What comes of a violation: the request is denied, its author is warned, it is recorded."""


class ValidatingAdmissionPolicyBinding(Strict, frozen=True, kw_only=True):
    """Kubernetes' ValidatingAdmissionPolicyBinding."""

    apiVersion: ApiVersion
    """The version of the format."""
    kind: Literal["ValidatingAdmissionPolicyBinding"]
    """The kind of document."""
    metadata: ObjectMeta
    """The binding's name."""
    spec: ValidatingAdmissionPolicyBindingSpec
    """Where the policy is in force."""


class ApplyConfiguration(Strict, frozen=True, kw_only=True):
    """An apply configuration, made by an expression."""

    expression: str | None = None
    """CEL over what ``variables`` may use and ``variables``; gives an ``Object{...}``, which is merged into the
    object."""


class JSONPatch(Strict, frozen=True, kw_only=True):
    """A JSON Patch, made by an expression."""

    expression: str | None = None
    """CEL over what ``variables`` may use and ``variables``; gives a list of ``JSONPatch{...}``, each an operation of
    RFC 6902."""


class Mutation(Strict, frozen=True, kw_only=True):
    """One change."""

    patchType: Literal["ApplyConfiguration", "JSONPatch"] | None = None
    """Which of the two it is."""
    applyConfiguration: ApplyConfiguration | None = None
    """What to merge into the object."""
    jsonPatch: JSONPatch | None = None
    """What to do to the object."""


class MutatingRuleWithOperations(NamedRuleWithOperations, frozen=True, kw_only=True):
    """Resources and operations. All parts must match."""

    operations: list[Literal["CREATE", "UPDATE", "CONNECT", "*"]] | None = None  # type: ignore[assignment]  # fewer
    """What is being done. What is deleted cannot be changed."""


class MutatingMatchResources(MatchResources, frozen=True, kw_only=True):
    """Which requests match. Every part that is given must hold."""

    resourceRules: list[MutatingRuleWithOperations] | None = None  # type: ignore[assignment]  # narrower
    """Resources and operations; one of the rules must match."""


class MutatingAdmissionPolicySpec(Strict, frozen=True, kw_only=True):
    """What a MutatingAdmissionPolicy is about and what it changes."""

    failurePolicy: Literal["Fail", "Ignore"] | None = None
    """What happens where the policy itself fails (a CEL evaluation error, a patch that does not apply, no parameters):
    as a violation (the default), or passed over."""
    paramKind: ParamKind | None = None
    """The kind of the objects that hold parameters."""
    matchConstraints: MutatingMatchResources | None = None
    """Which requests the policy is about."""
    matchConditions: list[MatchCondition] | None = None
    """CEL expressions that must all be true for the policy to apply."""
    variables: list[Variable] | None = None
    """CEL expressions with a name."""
    mutations: list[Mutation] | None = None
    """The changes, made in this order."""
    reinvocationPolicy: Literal["Never", "IfNeeded"] | None = None
    """Whether the changes are made a second time (IfNeeded) where others may have changed the object after them."""


class MutatingAdmissionPolicy(Strict, frozen=True, kw_only=True):
    """Kubernetes' MutatingAdmissionPolicy."""

    apiVersion: MutatingApiVersion
    """The version of the format."""
    kind: Literal["MutatingAdmissionPolicy"]
    """The kind of document."""
    metadata: ObjectMeta
    """The policy's name."""
    spec: MutatingAdmissionPolicySpec
    """What the policy does."""


class MutatingAdmissionPolicyBindingSpec(Strict, frozen=True, kw_only=True):
    """Where a MutatingAdmissionPolicy is in force."""

    policyName: str | None = None
    """The policy."""
    paramRef: ParamRef | None = None
    """The parameters."""
    matchResources: MatchResources | None = None
    """Narrows what the policy is about."""


class MutatingAdmissionPolicyBinding(Strict, frozen=True, kw_only=True):
    """Kubernetes' MutatingAdmissionPolicyBinding."""

    apiVersion: MutatingApiVersion
    """The version of the format."""
    kind: Literal["MutatingAdmissionPolicyBinding"]
    """The kind of document."""
    metadata: ObjectMeta
    """The binding's name."""
    spec: MutatingAdmissionPolicyBindingSpec
    """Where the policy is in force."""
