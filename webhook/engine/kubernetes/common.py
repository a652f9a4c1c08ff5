"""Compiling what every kind of admission policy has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from webhook.engine.compile import CATEGORY, SEVERITY, TITLE, severity_of
from webhook.engine.kubernetes.expressions import Expressions
from webhook.engine.kubernetes.policies import Binding
from webhook.policy.findings import Severity
from webhook.policy.kubernetes.documents import MutatingAdmissionPolicy, ValidatingAdmissionPolicy
from webhook.policy.kubernetes.matching import ResourceMatcher
from webhook.policy.problems import Problem


def common_parts(
    document: ValidatingAdmissionPolicy | MutatingAdmissionPolicy,
    bindings: Sequence[Binding],
    problems: list[Problem],
) -> tuple[Expressions, dict[str, Any]]:
    """The expressions of a policy, and the fields of an ``AdmissionPolicy``. What is wrong with its annotations,
    variables and match conditions is added to ``problems``."""
    spec, metadata = document.spec, document.metadata
    annotations = metadata.annotations or {}
    severity = severity_of(annotations.get(SEVERITY), problems)
    expressions = Expressions(spec.variables or (), has_params=spec.paramKind is not None, problems=problems)
    conditions = expressions.conditions(spec.matchConditions or (), ("spec", "matchConditions"))
    return expressions, {
        "name": metadata.name,
        "title": annotations.get(TITLE, metadata.name),
        "category": annotations.get(CATEGORY, ""),
        "severity": severity or Severity.MEDIUM,
        "fail_closed": spec.failurePolicy != "Ignore",
        "matcher": ResourceMatcher(spec.matchConstraints),
        "conditions": conditions,
        "bindings": tuple(bindings),
    }
