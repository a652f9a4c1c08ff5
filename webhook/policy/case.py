"""Policy cases: what a policy must say about an example, written beside the policy."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from msgspec import field

from webhook.policy.findings import Action, Mode
from webhook.policy.model import FieldPath, NonEmpty
from webhook.policy.rule import ParameterError
from webhook.policy.strict import Strict

_KINDS_AROUND = ("Namespace", "ResourceClaim", "ResourceClaimTemplate")


class ExpectedFinding(Strict, frozen=True, kw_only=True, omit_defaults=True):
    """A finding that must be there. What is not given is not compared."""

    rule: NonEmpty
    """The rule that finds it."""
    policy: NonEmpty | None = None
    """The policy the rule belongs to."""
    path: str | None = None
    """The field path, such as ``spec.containers[0].resources.limits``."""
    reason: str | None = None
    """The stable identifier of the kind of violation."""
    action: Action | None = None
    """The effective action."""
    message: str | None = None
    """A text the message contains."""


class CaseUser(Strict, frozen=True, kw_only=True):
    """Who makes the request."""

    name: str = "developer"
    """The user name."""
    groups: list[str] = field(default_factory=lambda: ["system:authenticated"])
    """The user's groups."""


class CaseNamespace(Strict, frozen=True, kw_only=True):
    """The namespace of the request."""

    name: NonEmpty = "default"
    """Its name, where the object names none."""
    labels: dict[str, str] = {}
    """Its labels."""


class CaseSpec(Strict, frozen=True, kw_only=True):
    """An object, the circumstances, and what must come of it."""

    expect: Literal["allow", "deny", "mutate", "warn"]
    """allow: admitted without findings and unchanged. mutate: admitted without findings and changed. warn: admitted
    with findings. deny: rejected."""
    object: dict[str, Any] | None = None
    """The object; none on DELETE."""
    oldObject: dict[str, Any] | None = None
    """The object before an update, or the one that is deleted."""
    operation: Literal["CREATE", "UPDATE", "DELETE", "CONNECT"] = "CREATE"
    """What is being done."""
    subresource: str = ""
    """The subresource, such as ``ephemeralcontainers``."""
    resource: str = ""
    """The resource, such as ``apps/v1/deployments``, where it is not that of the object's kind: a Scale is sent to
    many."""
    mode: Mode = Mode.ENFORCE
    """The namespace's mode."""
    namespace: CaseNamespace = CaseNamespace()
    """The namespace."""
    user: CaseUser = CaseUser()
    """Who asks."""
    objects: list[dict[str, Any]] = []
    """Other objects that are there: ResourceClaims and ResourceClaimTemplates that pods name, and the Namespace in
    place of ``namespace.labels``."""
    today: date | None = None
    """The day on which exceptions are judged; without it none has expired."""
    findings: list[ExpectedFinding] | None = None
    """The findings, all of them, in any order. Without it they are not compared."""
    patch: list[dict[str, Any]] | None = None
    """The JSON Patch, exactly. Without it only ``fields`` is compared."""
    fields: dict[FieldPath, Any] = {}
    """Field paths and the values that stand there afterwards; null means that there is nothing."""
    exceptions: list[NonEmpty] | None = None
    """The exceptions that free the object from rules, all of them. Without it they are not compared."""
    breakGlass: NonEmpty | None = None
    """The break-glass entry by which the object passes."""

    def __post_init__(self) -> None:
        if self.resource and (self.resource.count("/") not in (1, 2) or not all(self.resource.split("/"))):
            raise ParameterError(
                "must be a resource with its version, such as apps/v1/deployments", "resource"
            )
        for i, obj in enumerate(self.objects):
            if obj.get("kind") not in _KINDS_AROUND:
                kinds = ", ".join(_KINDS_AROUND)
                raise ParameterError(
                    f"must be an object of kind {kinds}; nothing else is looked at", f"objects[{i}]"
                )


class CaseMetadata(Strict, frozen=True, kw_only=True):
    """What the case is called."""

    name: NonEmpty
    """A sentence that says what happens."""


class PolicyCase(Strict, frozen=True, kw_only=True):
    """One example with the decision it must get."""

    apiVersion: Literal["gpuward.dev/v1alpha1"]
    """The version of this format."""
    kind: Literal["PolicyCase"]
    """The kind of document."""
    metadata: CaseMetadata
    """What the case is called."""
    spec: CaseSpec
    """The example and what must come of it."""
