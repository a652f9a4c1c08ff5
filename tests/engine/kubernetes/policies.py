"""Kubernetes' own policies, made for tests from what a test is about, and reviews by them."""

from __future__ import annotations

from typing import Any

from webhook.engine.decision import Decision, Facts, Phase
from webhook.engine.kubernetes.admission import KubernetesAdmission
from webhook.engine.kubernetes.load import CompiledSet, compile_set
from webhook.engine.offline import request_for
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.kube.accelerators import Catalog
from webhook.policy.findings import Mode

JSON = dict[str, Any]

EVERYTHING: JSON = {
    "apiGroups": ["*"],
    "apiVersions": ["*"],
    "operations": ["*"],
    "resources": ["*/*"],
}


def vap(name: str = "policy", *validations: str, rules: list[JSON] | None = None, **spec: Any) -> JSON:
    """A ValidatingAdmissionPolicy about everything, unless ``rules`` or ``matchConstraints`` say otherwise."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": rules or [EVERYTHING]},
            "validations": [{"expression": expression} for expression in validations],
            **spec,
        },
    }


def binding(policy: str = "policy", *actions: str, name: str | None = None, **spec: Any) -> JSON:
    """A binding of the policy with these actions, Deny where there are none."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name or policy},
        "spec": {"policyName": policy, "validationActions": list(actions) or ["Deny"], **spec},
    }


def map_policy(name: str = "policy", *mutations: str, rules: list[JSON] | None = None, **spec: Any) -> JSON:
    """A MutatingAdmissionPolicy about everything; a mutation that begins with ``[`` is a JSON Patch."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": rules or [EVERYTHING]},
            "mutations": [mutation(expression) for expression in mutations],
            "reinvocationPolicy": "Never",
            **spec,
        },
    }


def mutation(expression: str) -> JSON:
    if expression.startswith("["):
        return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def map_binding(policy: str = "policy", name: str | None = None, **spec: Any) -> JSON:
    """A binding of the policy."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name or policy},
        "spec": {"policyName": policy, **spec},
    }


def config_map(name: str, data: dict[str, str] | None = None, **metadata: Any) -> JSON:
    """A ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        "data": data or {},
    }


def compiled(*documents: JSON) -> CompiledSet:
    """The set, which must have no problems."""
    found = compile_set(documents)
    assert [str(problem) for _, problem in found.problems] == []
    assert found.unknown == ()
    return found


def problems(*documents: JSON) -> list[str]:
    """What is wrong with the documents."""
    return [str(problem) for _, problem in compile_set(documents).problems]


def warnings(*documents: JSON) -> list[str]:
    """What is hardly meant in the documents."""
    return [str(problem) for _, problem in compile_set(documents).warnings]


def ruleset(*documents: JSON) -> Ruleset:
    """The policies in force, and no others."""
    found = compiled(*documents)
    admission = KubernetesAdmission(
        [policy for _, policy in found.validating], [policy for _, policy in found.mutating]
    )
    return Ruleset((), Catalog([]), kubernetes=admission)


def judge(
    documents: list[JSON],
    obj: JSON | None,
    *,
    mode: Mode | None = Mode.ENFORCE,
    namespace_labels: dict[str, str] | None = None,
    phase: Phase = Phase.BOTH,
    **request: Any,
) -> Decision:
    """The decision about an object; ``request`` is as for ``request_for``."""
    return review(
        request_for(obj, **request),
        ruleset(*documents),
        Facts(mode=mode, namespace_labels=namespace_labels or {}),
        phase,
    )
