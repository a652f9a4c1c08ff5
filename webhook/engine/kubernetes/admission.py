"""The admission policies of Kubernetes that are in force, as the engine uses them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from webhook.engine.decision import Facts
from webhook.engine.kubernetes.incoming import Incoming, namespace_of, resource_of
from webhook.engine.kubernetes.policies import AdmissionPolicies, MutatingPolicy, ValidatingPolicy
from webhook.engine.kubernetes.validate import judge
from webhook.kube.review import AdmissionRequest
from webhook.kube.shape import JSONObject
from webhook.policy.findings import Finding


class KubernetesAdmission:
    """What the API server has plugins for: policies by what they do. Immutable."""

    __slots__ = ("mutating", "validating")

    def __init__(
        self, validating: Iterable[ValidatingPolicy] = (), mutating: Iterable[MutatingPolicy] = ()
    ) -> None:
        self.validating: Final = AdmissionPolicies(validating)
        self.mutating: Final = AdmissionPolicies(mutating)

    def names(self) -> tuple[str, ...]:
        """The names of all policies."""
        return tuple(policy.name for policy in (*self.mutating.policies, *self.validating.policies))

    def mutating_for(self, request: AdmissionRequest) -> tuple[MutatingPolicy, ...]:
        """The mutating policies that can match the request; none where there is no object to change."""
        if request.obj is None or not self.mutating:
            return ()
        return self.mutating.candidates(
            resource_of(request),
            request.subresource,
            request.operation,
            namespaced=bool(namespace_of(request)),
        )

    def validating_for(self, request: AdmissionRequest) -> tuple[ValidatingPolicy, ...]:
        """The validating policies that can match the request."""
        return self.validating.candidates(
            resource_of(request),
            request.subresource,
            request.operation,
            namespaced=bool(namespace_of(request)),
        )

    @staticmethod
    def validate(
        policies: Iterable[ValidatingPolicy], request: AdmissionRequest, facts: Facts, obj: JSONObject | None
    ) -> tuple[list[Finding], dict[str, str]]:
        """The findings of these policies about the request, with its object in the state ``obj``, and their audit
        annotations. Does not raise."""
        assert facts.mode is not None  # a namespace that has not opted in is not judged
        verdict = judge(policies, Incoming(request, facts, obj), facts.mode)
        return verdict.findings, verdict.audit_annotations
