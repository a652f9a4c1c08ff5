"""What the API server demands of an admission policy beyond the types of its fields, CEL aside.

Source: k8s.io/kubernetes ``pkg/apis/admissionregistration/validation``, k8s.io/apimachinery ``pkg/util/validation`` and
``pkg/apis/meta/v1/validation``, v1.36. Each function yields one problem a mistake, with its path in the document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from webhook.kube.names import (
    annotation_key_problem,
    is_subdomain,
    label_key_problem,
    label_value_problem,
)
from webhook.kube.path import Path
from webhook.policy.kubernetes.documents import (
    AuditAnnotation,
    MatchCondition,
    MatchResources,
    MutatingAdmissionPolicy,
    MutatingAdmissionPolicyBinding,
    Mutation,
    NamedRuleWithOperations,
    ObjectMeta,
    ParamKind,
    ParamRef,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
    Validation,
    Variable,
)
from webhook.policy.model import LabelSelector
from webhook.policy.problems import Problem

MAX_MATCH_CONDITIONS: Final = 64
MAX_AUDIT_ANNOTATIONS: Final = 20
MAX_VALUE_EXPRESSION_BYTES: Final = 5 * 1024

_VERSION: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_IDENTIFIER: Final = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
# fmt: off
_RESERVED: Final = frozenset((
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
    "let", "loop", "package", "namespace", "return", "var", "void", "while",
))
# fmt: on

_IS_SUBDOMAIN: Final = (
    "must be lower case letters, digits, '-' and '.', with a letter or digit at both ends of each part"
)
_IS_QUALIFIED: Final = (
    "must be letters, digits, '-', '_' and '.', with a letter or digit at both ends, and at most 63 of them; a DNS name"
    " and '/' may come before it"
)


def validating_policy_problems(policy: ValidatingAdmissionPolicy) -> Iterator[Problem]:
    """The mistakes in a ValidatingAdmissionPolicy."""
    spec = policy.spec
    yield from _policy_problems(policy)
    if not spec.validations and not spec.auditAnnotations:
        yield Problem(("spec",), "needs at least one entry under `validations` or `auditAnnotations`")
    for i, validation in enumerate(spec.validations or ()):
        yield from _validation_problems(validation, ("spec", "validations", i))
    yield from _audit_annotation_problems(
        spec.auditAnnotations or (), policy.metadata.name, ("spec", "auditAnnotations")
    )


def validating_binding_problems(binding: ValidatingAdmissionPolicyBinding) -> Iterator[Problem]:
    """The mistakes in a ValidatingAdmissionPolicyBinding by itself."""
    spec = binding.spec
    yield from metadata_problems(binding.metadata)
    yield from binding_problems(spec.policyName, spec.paramRef, spec.matchResources)
    path: Path = ("spec", "validationActions")
    actions = spec.validationActions or ()
    yield from _duplicates(actions, path, "action")
    if "Deny" in actions and "Warn" in actions:
        yield Problem(path, "must not have both Deny and Warn", "a denied request says what is wrong anyway")
    if not actions:
        yield Problem(path, "is required", "write at least one of Deny, Warn and Audit")


def mutating_policy_problems(policy: MutatingAdmissionPolicy) -> Iterator[Problem]:
    """The mistakes in a MutatingAdmissionPolicy."""
    spec = policy.spec
    yield from _policy_problems(policy)
    if not spec.mutations:
        yield Problem(("spec", "mutations"), "is required", "write at least one mutation")
    for i, mutation in enumerate(spec.mutations or ()):
        yield from _mutation_problems(mutation, ("spec", "mutations", i))
    if spec.reinvocationPolicy is None:
        yield Problem(("spec", "reinvocationPolicy"), "is required", "write Never or IfNeeded")


def mutating_binding_problems(binding: MutatingAdmissionPolicyBinding) -> Iterator[Problem]:
    """The mistakes in a MutatingAdmissionPolicyBinding by itself."""
    spec = binding.spec
    yield from metadata_problems(binding.metadata)
    yield from binding_problems(spec.policyName, spec.paramRef, spec.matchResources)


def _policy_problems(policy: ValidatingAdmissionPolicy | MutatingAdmissionPolicy) -> Iterator[Problem]:
    """What is wrong with the parts that every kind of policy has."""
    spec = policy.spec
    yield from metadata_problems(policy.metadata)
    yield from param_kind_problems(spec.paramKind, ("spec", "paramKind"))
    yield from match_constraints_problems(spec.matchConstraints, ("spec", "matchConstraints"))
    yield from match_condition_problems(spec.matchConditions or (), ("spec", "matchConditions"))
    yield from variable_problems(spec.variables or (), ("spec", "variables"))


def binding_problems(
    policy_name: str | None, param_ref: ParamRef | None, resources: MatchResources | None
) -> Iterator[Problem]:
    """What is wrong with the parts that every kind of binding has."""
    if not policy_name:
        yield Problem(("spec", "policyName"), "is required")
    elif not is_subdomain(policy_name):
        yield Problem(("spec", "policyName"), _IS_SUBDOMAIN)
    if param_ref is not None:
        yield from _param_ref_problems(param_ref, ("spec", "paramRef"))
    if resources is not None:
        yield from match_resources_problems(resources, ("spec", "matchResources"))


def is_identifier(name: str) -> bool:
    """Whether a name is an identifier of CEL."""
    return _IDENTIFIER.fullmatch(name) is not None and name not in _RESERVED


def metadata_problems(metadata: ObjectMeta) -> Iterator[Problem]:
    """What is wrong with the name and labels of an object that lives in no namespace."""
    if not is_subdomain(metadata.name):
        yield Problem(("metadata", "name"), _IS_SUBDOMAIN)
    if metadata.namespace:
        yield Problem(
            ("metadata", "namespace"), "must not be there: the object lives in no namespace", on_key=True
        )
    for key, value in (metadata.labels or {}).items():
        yield from _label_problems(key, (value,), ("metadata", "labels", key))
    for key in metadata.annotations or ():
        if annotation_key_problem(key):
            yield Problem(("metadata", "annotations", key), _IS_QUALIFIED, on_key=True)


def param_kind_problems(kind: ParamKind | None, path: Path) -> Iterator[Problem]:
    """What is wrong with the name of a kind."""
    if kind is None:
        return
    if not kind.apiVersion:
        yield Problem((*path, "apiVersion"), "is required")
    else:
        group, slash, version = kind.apiVersion.rpartition("/")
        if (slash and not is_subdomain(group)) or not _VERSION.fullmatch(version) or len(version) > 63:
            yield Problem((*path, "apiVersion"), "must be a group and version, such as v1 or example.com/v1")
    if not kind.kind:
        yield Problem((*path, "kind"), "is required")
    elif not _VERSION.fullmatch(kind.kind.lower()) or len(kind.kind) > 63:
        yield Problem((*path, "kind"), "must be a kind, such as ConfigMap")


def match_constraints_problems(constraints: MatchResources | None, path: Path) -> Iterator[Problem]:
    """What is wrong with a policy's ``matchConstraints``."""
    if constraints is None:
        yield Problem(path, "is required", "say under resourceRules what the policy is about")
        return
    yield from match_resources_problems(constraints, path)
    if not constraints.resourceRules:
        yield Problem(
            (*path, "resourceRules"), "is required", "at least one rule must say what the policy is about"
        )


def match_resources_problems(resources: MatchResources, path: Path) -> Iterator[Problem]:
    """What is wrong with the resources and selectors of a policy or binding."""
    for name in ("namespaceSelector", "objectSelector"):
        yield from _selector_problems(getattr(resources, name), (*path, name))
    for name in ("resourceRules", "excludeResourceRules"):
        for i, rule in enumerate(getattr(resources, name) or ()):
            yield from _rule_problems(rule, (*path, name, i))


def _rule_problems(rule: NamedRuleWithOperations, path: Path) -> Iterator[Problem]:
    for name, what in (
        ("apiGroups", "API groups"),
        ("apiVersions", "API versions"),
        ("operations", "operations"),
    ):
        entries: Sequence[str] = getattr(rule, name) or ()
        if not entries:
            yield Problem(
                (*path, name), "is required", 'write ["*"] for all' if name != "apiGroups" else _GROUPS
            )
        if len(entries) > 1 and "*" in entries:
            yield Problem((*path, name), f"must not name other {what} besides *")
    for i, version in enumerate(rule.apiVersions or ()):
        if not version:
            yield Problem((*path, "apiVersions", i), "must not be empty")
    yield from _resources_problems(rule.resources or (), (*path, "resources"))
    names = rule.resourceNames or ()
    yield from _duplicates(names, (*path, "resourceNames"), "name")
    for i, name in enumerate(names):
        if not is_path_segment(name):
            yield Problem((*path, "resourceNames", i), _IS_SEGMENT)


_GROUPS: Final = 'write [""] for the core group, ["*"] for all'
_IS_SEGMENT: Final = 'must be the name of an object: not empty, not "." or "..", and without "/" and "%"'


def is_path_segment(name: str) -> bool:
    """Whether a name can stand in the path of a URL, as names of objects must."""
    return name not in ("", ".", "..") and "/" not in name and "%" not in name


def _resources_problems(resources: Sequence[str], path: Path) -> Iterator[Problem]:
    if not resources:
        yield Problem(path, "is required", "name resources by their plural, such as pods or deployments")
    any_sub: set[str] = set()
    any_resource: set[str] = set()
    plain = False
    for i, written in enumerate(resources):
        if not written:
            yield Problem((*path, i), "must not be empty")
            continue
        resource, slash, sub = written.partition("/")
        if not slash:
            plain = written != "*"
            continue
        if resource in any_sub:
            yield Problem((*path, i), f'must not be there besides "{resource}/*", which covers it')
        if sub in any_resource:
            yield Problem((*path, i), f'must not be there besides "*/{sub}", which covers it')
        if sub == "*":
            any_sub.add(resource)
        if resource == "*":
            any_resource.add(sub)
    if len(resources) > 1 and "*/*" in resources:
        yield Problem(path, 'must not name other resources besides "*/*"')
    if "*" in resources and plain:
        yield Problem(path, 'must not name other resources without subresources besides "*"')


def _selector_problems(selector: LabelSelector | None, path: Path) -> Iterator[Problem]:
    if selector is None:
        return
    for key, value in selector.matchLabels.items():
        yield from _label_problems(key, (value,), (*path, "matchLabels", key))
    for i, expression in enumerate(selector.matchExpressions):
        where: Path = (*path, "matchExpressions", i)
        if label_key_problem(expression.key):
            yield Problem((*where, "key"), _IS_QUALIFIED)
        for j, value in enumerate(expression.values):
            if label_value_problem(value):
                yield Problem((*where, "values", j), _IS_LABEL_VALUE)


_IS_LABEL_VALUE: Final = (
    "must be the value of a label: at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both"
    " ends"
)


def _label_problems(key: str, values: Iterable[str], path: Path) -> Iterator[Problem]:
    if label_key_problem(key):
        yield Problem(path, _IS_QUALIFIED, on_key=True)
    if any(map(label_value_problem, values)):
        yield Problem(path, _IS_LABEL_VALUE)


def match_condition_problems(conditions: Sequence[MatchCondition], path: Path) -> Iterator[Problem]:
    """What is wrong with ``matchConditions``."""
    if len(conditions) > MAX_MATCH_CONDITIONS:
        yield Problem(path, f"must have at most {MAX_MATCH_CONDITIONS} entries")
    for i, condition in enumerate(conditions):
        if not condition.name:
            yield Problem((*path, i, "name"), "is required")
        elif label_key_problem(condition.name):
            yield Problem((*path, i, "name"), _IS_QUALIFIED)
        if not (condition.expression or "").strip():
            yield Problem((*path, i, "expression"), "is required")
    yield from _duplicates([c.name for c in conditions], path, "condition", "name")


def variable_problems(variables: Sequence[Variable], path: Path) -> Iterator[Problem]:
    """What is wrong with ``variables``."""
    for i, variable in enumerate(variables):
        name = variable.name or ""
        if not name.strip():
            yield Problem((*path, i, "name"), "is required")
        elif not is_identifier(name):
            yield Problem(
                (*path, i, "name"),
                "must be a CEL identifier: letters, digits and '_', not starting with a digit, and no word of CEL",
            )
        if not (variable.expression or "").strip():
            yield Problem((*path, i, "expression"), "is required")
    yield from _duplicates([v.name for v in variables], path, "variable", "name")


def _validation_problems(validation: Validation, path: Path) -> Iterator[Problem]:
    if not (validation.expression or "").strip():
        yield Problem((*path, "expression"), "is required")
    if validation.messageExpression and not validation.messageExpression.strip():
        yield Problem((*path, "messageExpression"), "must not be blank")
    message = validation.message or ""
    if message and not message.strip():
        yield Problem((*path, "message"), "must not be blank")
    elif re.search(r"[\n\r]", message.strip()):
        yield Problem((*path, "message"), "must be a single line")


def _mutation_problems(mutation: Mutation, path: Path) -> Iterator[Problem]:
    if mutation.patchType is None:
        yield Problem((*path, "patchType"), "is required", "write ApplyConfiguration or JSONPatch")
        return
    wanted, other = "applyConfiguration", "jsonPatch"
    if mutation.patchType == "JSONPatch":
        wanted, other = other, wanted
    given = getattr(mutation, wanted)
    if given is None:
        yield Problem((*path, wanted), f"is required where patchType is {mutation.patchType}")
    elif not (given.expression or "").strip():
        yield Problem((*path, wanted, "expression"), "is required")
    if getattr(mutation, other) is not None:
        yield Problem(
            (*path, other), f"must not be there where patchType is {mutation.patchType}", on_key=True
        )


def _audit_annotation_problems(
    annotations: Sequence[AuditAnnotation], policy: str, path: Path
) -> Iterator[Problem]:
    if len(annotations) > MAX_AUDIT_ANNOTATIONS:
        yield Problem(path, f"must have at most {MAX_AUDIT_ANNOTATIONS} entries")
    for i, annotation in enumerate(annotations):
        if not annotation.key:
            yield Problem((*path, i, "key"), "is required")
        elif "/" in annotation.key or label_key_problem(f"{policy}/{annotation.key}"):
            yield Problem(
                (*path, i, "key"),
                "must be at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends",
            )
        expression = (annotation.valueExpression or "").strip()
        if not expression:
            yield Problem((*path, i, "valueExpression"), "is required")
        elif len(expression.encode()) > MAX_VALUE_EXPRESSION_BYTES:
            yield Problem(
                (*path, i, "valueExpression"), f"must be no longer than {MAX_VALUE_EXPRESSION_BYTES} bytes"
            )
    yield from _duplicates([a.key for a in annotations], path, "annotation", "key")


def _param_ref_problems(ref: ParamRef, path: Path) -> Iterator[Problem]:
    if ref.name and not is_path_segment(ref.name):
        yield Problem((*path, "name"), _IS_SEGMENT)
    if ref.name and ref.selector is not None:
        yield Problem((*path, "selector"), "must not be there besides `name`", on_key=True)
    if not ref.name and ref.selector is None:
        yield Problem(path, "needs a `name` or a `selector`")
    yield from _selector_problems(ref.selector, (*path, "selector"))
    if ref.parameterNotFoundAction is None:
        yield Problem((*path, "parameterNotFoundAction"), "is required", "write Allow or Deny")


def _duplicates(entries: Sequence[Any], path: Path, what: str, key: str | None = None) -> Iterator[Problem]:
    """Entries of a list that are there already; ``key`` is the field of an entry that is compared."""
    first: dict[Any, int] = {}
    for i, entry in enumerate(entries):
        if entry and entry in first:
            where = (*path, i) if key is None else (*path, i, key)
            yield Problem(where, f'there is another {what} "{entry}"', "each must be there once")
        first.setdefault(entry, i)
