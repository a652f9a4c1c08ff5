"""Compiling a ValidatingAdmissionPolicy and its bindings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from webhook.engine.kubernetes.common import common_parts
from webhook.engine.kubernetes.expressions import BOOL, STRING, STRING_OR_NULL, Expressions
from webhook.engine.kubernetes.policies import (
    AuditAnnotationRule,
    Binding,
    ValidatingPolicy,
    ValidationRule,
)
from webhook.kube.path import Path
from webhook.policy.findings import Action
from webhook.policy.kubernetes.documents import (
    AuditAnnotation,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
    Validation,
)
from webhook.policy.kubernetes.matching import ResourceMatcher
from webhook.policy.kubernetes.parameters import Parameters
from webhook.policy.problems import InvalidPolicy, Problem

_ACTIONS: Final = {"Deny": Action.ENFORCE, "Warn": Action.WARN, "Audit": Action.AUDIT}
_STRONGEST_FIRST: Final = ("Deny", "Warn", "Audit")

# The API server takes keys of at most this length from a webhook. Source: k8s.io/apiserver
# ``pkg/admission/attributes.go``: a qualified name, to which it adds the webhook's own name and "/".
_MAX_KEY: Final = 63


def compile_validating(document: ValidatingAdmissionPolicy, bindings: Sequence[Binding]) -> ValidatingPolicy:
    """Compile one policy, in force through these bindings.

    Raises:
        InvalidPolicy: with everything that is wrong with its CEL and annotations.
    """
    problems: list[Problem] = []
    expressions, parts = common_parts(document, bindings, problems)
    spec = document.spec
    validations = [
        rule for i, entry in enumerate(spec.validations or ()) for rule in _validation(entry, i, expressions)
    ]
    audit = [
        rule
        for i, entry in enumerate(spec.auditAnnotations or ())
        for rule in _audit_annotation(entry, i, document.metadata.name, expressions)
    ]
    if problems:
        raise InvalidPolicy(problems)
    return ValidatingPolicy(
        **parts,
        validations=tuple(validations),
        audit_annotations=tuple(audit),
    )


def compile_validating_binding(
    document: ValidatingAdmissionPolicyBinding, parameters: Parameters | None
) -> Binding:
    """Compile one binding, which must have no problems of its own."""
    spec = document.spec
    actions = spec.validationActions or ()
    return Binding(
        name=document.metadata.name,
        matcher=None if spec.matchResources is None else ResourceMatcher(spec.matchResources),
        parameters=parameters,
        action=next(_ACTIONS[action] for action in _STRONGEST_FIRST if action in actions),
        actions=tuple(actions),
    )


def _validation(validation: Validation, index: int, expressions: Expressions) -> list[ValidationRule]:
    path: Path = ("spec", "validations", index)
    program = expressions.compile(validation.expression, (*path, "expression"), BOOL)
    message_program = None
    if (validation.messageExpression or "").strip():
        message_program = expressions.compile(
            validation.messageExpression, (*path, "messageExpression"), STRING
        )
    if program is None:
        return []
    message = (validation.message or "").strip() or f"failed expression: {program.expression.strip()}"
    return [
        ValidationRule(
            f"validations[{index}]", program, message, message_program, validation.reason or "Invalid"
        )
    ]


def _audit_annotation(
    annotation: AuditAnnotation, index: int, policy: str, expressions: Expressions
) -> list[AuditAnnotationRule]:
    path: Path = ("spec", "auditAnnotations", index)
    program = expressions.compile(annotation.valueExpression, (*path, "valueExpression"), STRING_OR_NULL)
    if program is None:
        return []
    key = annotation.key or ""
    return [AuditAnnotationRule(f"auditAnnotations[{index}]", key, annotation_key(policy, key), program)]


def annotation_key(policy: str, key: str) -> str:
    """The key of an audit annotation in an AdmissionReview's response.

    The API server itself writes ``policy/key``. It puts a prefix before what a webhook answers, and then takes no
    second ``/`` and no more than 63 characters: so it is ``policy.key``, shortened where it must be.
    """
    whole = f"{policy}.{key}"
    if len(whole) <= _MAX_KEY:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{digest}.{whole[-(_MAX_KEY - 9) :].lstrip('-_.')}"
