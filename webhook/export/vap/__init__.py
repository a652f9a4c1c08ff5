"""gpuward's policies as Kubernetes' ValidatingAdmissionPolicies.

    export_policy(policy, compiled, target, setting) -> Exported(objects, left_out, notes)

A policy becomes up to two ValidatingAdmissionPolicies: one about pods (``pods``; with ``templates`` also about the pod
templates of Kubernetes' own workloads) and one about objects themselves (``objects``), each with a binding for every
thing that may be done about a violation, chosen by the namespace's mode. What cannot be said there is left out and
listed with the reason: never silently, and never said less strictly.

- ``rules`` has a translation into CEL for each check; ``expressions`` takes the author's own CEL over.
- ``matching`` says whom a policy is about, ``kinds`` which resources that means, ``variables`` what all expressions
  share.

Source: k8s.io/api admissionregistration/v1; kubernetes.io "Validating Admission Policy".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field, to_builtins

from webhook.engine.exceptions import rule_names
from webhook.engine.ruleset import CompiledPolicy
from webhook.export.vap import variables
from webhook.export.vap.bindings import bindings
from webhook.export.vap.cel import every, text
from webhook.export.vap.expressions import Authors, grouped
from webhook.export.vap.kinds import Kinds, guessed, object_rules, pod_rules
from webhook.export.vap.matching import Matching, excepted, matching, not_broken
from webhook.export.vap.parts import Demand, Exported, Inexpressible, LeftOut, Note, Setting, Target
from webhook.export.vap.rules import NO_TRANSLATION, translate
from webhook.kube.path import Path
from webhook.kube.path import parse as parse_path
from webhook.kube.shape import JSONObject
from webhook.policy.match import Names
from webhook.policy.rule import Check, ObjectCheck

if TYPE_CHECKING:
    from webhook.policy.model import ExceptionMatch, Policy, ValidateRule

__all__ = ["Exported", "LeftOut", "Note", "Setting", "Target", "export_policy"]

DOMAIN: Final = "gpuward.dev"
_ONLY_CREATED: Final = "only for objects that are created: Kubernetes' CEL has no clock for updates"
# Source: k8s.io/apiserver pkg/apis/admissionregistration/validation.
_MOST_CONDITIONS: Final = 64
_LONGEST_NAME: Final = 253
_MUTATED: Final = (
    "a ValidatingAdmissionPolicy changes nothing; keep the mutation in gpuward, or write it as a "
    "MutatingAdmissionPolicy"
)


def export_policy(policy: Policy, compiled: CompiledPolicy, target: Target, setting: Setting) -> Exported:
    """One policy. ``compiled`` is the same policy."""
    return _Exporter(policy, compiled, target, setting).export()


class _Validation(Struct):
    """One validation, before it is known which variables it needs. ``given`` are variables of its own."""

    expression: str
    message: str
    message_expression: str = ""
    given: dict[str, str] = field(default_factory=dict)


class _Exception(Struct, frozen=True):
    """One exception, of the policy itself or in a document of its own; without ``rules``, from all of them."""

    name: str
    match: ExceptionMatch
    expires: date | None
    rules: frozenset[str]


class _Rule(Struct, frozen=True):
    """One entry of ``validate``. ``check`` is None where it is an expression."""

    name: str
    written: ValidateRule
    check: Check | ObjectCheck | None
    on_pods: bool


def _rules(policy: Policy, compiled: CompiledPolicy) -> Iterator[_Rule]:
    # The compiled rules of each sort are in the order in which they are written.
    checks, objects, expressions = (
        iter(compiled.checks),
        iter(compiled.object_checks),
        iter(compiled.expressions),
    )
    about_objects = {rule.name for rule in compiled.object_checks}
    for written in policy.spec.validate_:
        if written.expression is not None:
            expression = next(expressions)
            yield _Rule(expression.name, written, None, expression.on_pods)
        elif written.rule in about_objects:
            object_rule = next(objects)
            yield _Rule(object_rule.name, written, object_rule.check, False)
        else:
            rule = next(checks)
            yield _Rule(rule.name, written, rule.check, True)


class _Exporter:
    def __init__(self, policy: Policy, compiled: CompiledPolicy, target: Target, setting: Setting) -> None:
        self.policy = policy
        self.compiled = compiled
        self.target = target
        self.setting = setting
        self.name = policy.metadata.name
        self.rules = tuple(_rules(policy, compiled))
        # Where none are written, those that the policy's checks of objects are about, if it has no other rules.
        about_objects = (
            () if any(rule.on_pods for rule in self.rules) or policy.spec.mutate else compiled.object_checks
        )
        self.kinds = Kinds.of(
            policy.spec.match.kinds, setting.declared, [rule.check for rule in about_objects]
        )
        self.authors = Authors(policy.spec.variables)
        self.left_out: list[LeftOut] = []
        self.notes: list[Note] = []
        self.excepted: dict[str, _Exception] = {}

    def export(self) -> Exported:
        spec = self.policy.spec
        for mutation in spec.mutate:
            self._leave_out(mutation.rule, _MUTATED)
        objects: list[JSONObject] = []
        for rule in self.rules:
            if isinstance(rule.check, ObjectCheck):
                self._leave_out(rule.name, NO_TRANSLATION)
        if spec.validate_:
            self._exceptions()
            objects += self._about_pods()
            objects += self._about_objects()
        return Exported(tuple(objects), tuple(dict.fromkeys(self.left_out)), tuple(dict.fromkeys(self.notes)))

    def _leave_out(self, rule: str, reason: str) -> None:
        self.left_out.append(LeftOut(self.name, rule, reason))

    def _note(self, rule: str, note: str) -> None:
        self.notes.append(Note(self.name, rule, note))

    # Exceptions

    def _exceptions(self) -> None:
        for i, exception in enumerate(self._all_exceptions()):
            expires = exception.expires
            called = f'the exception "{exception.name}"'
            if expires is not None and expires < self.setting.today:
                self._note("", f"{called} expired on {expires} and is left out")
                continue
            if expires is not None:
                self._note("", f"{called} holds until {expires}, and {_ONLY_CREATED}")
            self.excepted[f"exception{i}"] = exception

    def _all_exceptions(self) -> Iterator[_Exception]:
        for own in self.policy.spec.exceptions:
            yield _Exception(own.name, own.match, own.expires, frozenset(own.rules))
        names = rule_names(self.compiled)
        for shared in self.setting.exceptions:
            spec = shared.spec
            covered = frozenset(filter(Names(spec.rules).match, names)) if spec.rules else frozenset()
            if Names(spec.policies).match(self.name) and (covered or not spec.rules):
                yield _Exception(shared.metadata.name, spec.match, spec.expires, covered)

    def _exception_variables(self) -> dict[str, str]:
        return {
            name: excepted(exception.match, exception.expires, self.setting.declared)
            for name, exception in self.excepted.items()
        }

    def _break_glass(self, matched: Matching) -> None:
        for i, entry in enumerate(self.setting.break_glass):
            name, expires = entry.metadata.name, entry.spec.expires
            called = f'the break-glass entry "{name}"'
            if expires is not None and expires < self.setting.today:
                self._note("", f"{called} expired on {expires} and is left out")
                continue
            self._note("", f"{called} lets its users pass without a record")
            if expires is not None:
                self._note("", f"{called} holds until {expires}, and {_ONLY_CREATED}")
            matched.add(f"break-glass-{i}", not_broken(entry.spec))

    def _guarded(self, rule: str, expression: str, matched: Matching) -> str:
        """The expression, true for what the policy is not about and for what is excepted from the rule."""
        covering = [
            f"variables.{name}"
            for name, exception in self.excepted.items()
            if not exception.rules or rule in exception.rules
        ]
        guarded = " || ".join([*covering, expression])
        # Not ||, which would pass over an error on its left.
        return f"variables.applies ? ({guarded}) : true" if matched.applies else guarded

    # Policies about pods

    def _about_pods(self) -> Iterator[JSONObject]:
        rules = [rule for rule in self.rules if rule.on_pods]
        if not rules:
            return
        target = self._pod_target()
        operations = _operations(self.policy.spec.match.operations, ("CREATE", "UPDATE"))
        resources = pod_rules(self.kinds, operations, templates=target.templates) if operations else []
        self._say_what_is_not_judged(resources)
        if not resources:
            return
        try:
            matched = self._matching(pods=True)
        except Inexpressible as reason:
            self._leave_out("", f"match: {reason}")
            return
        validations: list[_Validation] = []
        for index, rule in enumerate(rules):
            try:
                if isinstance(rule.check, Check):
                    prefix = f"{_identifier(rule.name)}{index}"
                    demands = translate(rule.check, target)
                    validations += [self._demanded(rule.name, prefix, demand, matched) for demand in demands]
                else:
                    validations.append(self._expression(rule.name, rule.written, matched, target))
            except Inexpressible as reason:
                self._leave_out(rule.name, str(reason))
        known = variables.shared(target)
        yield from self._documents("pods", resources, matched, known, validations)

    def _pod_target(self) -> Target:
        match = self.policy.spec.match
        conditional = match.conditions or any(block.conditions for block in self.policy.spec.exclude)
        if self.target.templates and conditional:
            self._note(
                "", "only pods are judged: the policy's conditions are about pods, and templates are none"
            )
            return Target(self.target.catalog)
        return self.target

    def _say_what_is_not_judged(self, resources: Sequence[JSONObject]) -> None:
        """What the policy is about besides pods, where it names kinds itself."""
        match = self.policy.spec.match
        if not _operations(match.operations, ("CREATE", "UPDATE")):
            self._leave_out(
                "", "pods are judged when they are created and updated, which the policy is not about"
            )
            return
        if not self.kinds.patterns:
            return
        if not resources:
            how = (
                "" if self.target.templates else "; --templates exports what Kubernetes' own workloads carry"
            )
            self._leave_out("", f"its rules judge pods, and it is about other kinds{how}")
        elif others := [kind for kind in self.kinds.others() if kind != "*"]:
            self._note("", f"the pods that {', '.join(others)} describe are judged when they are created")

    def _matching(self, *, pods: bool) -> Matching:
        match = self.policy.spec.match
        found = matching(match, self.policy.spec.exclude, self.authors, self.setting.declared, pods=pods)
        self._break_glass(found)
        return found

    def _demanded(self, rule: str, prefix: str, demand: Demand, matched: Matching) -> _Validation:
        name = f"{prefix}_{demand.name}"
        unchanged = {"spec": "specUnchanged", "labels": "labelsUnchanged", "workload": "workloadUnchanged"}
        guard = unchanged.get(demand.about)
        culprits = f"variables.{guard} ? [] : ({demand.culprits})" if guard else demand.culprits
        return _Validation(
            self._guarded(rule, f"size(variables.{name}) == 0", matched),
            f"{demand.wrong}; {demand.instead}",
            f"{text(demand.wrong + ': ')} + variables.{name}.join(', ') + {text('; ' + demand.instead)}",
            {name: culprits},
        )

    def _expression(self, name: str, rule: ValidateRule, matched: Matching, target: Target) -> _Validation:
        assert rule.expression is not None
        expression = self.authors.export(rule.expression, "bool")
        path = parse_path(rule.field or "")
        guard = _unchanged_in_pod(path)
        if target.templates:
            self._note(name, "judged on pods only, not on templates: it is about an object that is a pod")
            expression = f"object.kind == 'Pod' ? {grouped(expression)} : true"
        return self._authored(name, rule, expression, guard, matched)

    def _authored(
        self, name: str, rule: ValidateRule, expression: str, unchanged: str, matched: Matching
    ) -> _Validation:
        message_expression = ""
        if rule.messageExpression is not None:
            try:
                message_expression = self.authors.export(rule.messageExpression, "string")
            except Inexpressible as reason:
                self._note(name, f"its message is the fixed one: {reason}")
        message = rule.message or f"must satisfy: {rule.expression}"
        # The expression first: where it fails, that nothing changed is no excuse.
        guarded = f"{grouped(expression)} ? true : {unchanged}"
        return _Validation(
            self._guarded(name, f"({guarded})" if self.excepted or matched.applies else guarded, matched),
            " ".join(message.split()),
            message_expression,
            self.authors.written,
        )

    # Policies about objects themselves

    def _about_objects(self) -> Iterator[JSONObject]:
        rules = [rule for rule in self.rules if rule.check is None and not rule.on_pods]
        if not rules:
            return
        if not self.kinds.patterns:
            for rule in rules:
                why = "it is about objects of every kind that describes pods; name kinds in match.kinds"
                self._leave_out(rule.name, why)
            return
        match = self.policy.spec.match
        operations = _operations(match.operations, ("CREATE", "UPDATE", "DELETE"))
        if not operations:
            self._leave_out("", "CONNECT carries no object to judge")
            return
        try:
            matched = self._matching(pods=False)
        except Inexpressible as reason:
            self._leave_out("", f"match: {reason}")
            return
        namespaced = bool(
            match.namespaces or (match.namespaceSelector and to_builtins(match.namespaceSelector))
        )
        resources = object_rules(self.kinds, operations, namespaced=namespaced)
        for guess in guessed(self.kinds):
            self._note("", guess)
        validations: list[_Validation] = []
        for rule in rules:
            try:
                expression = self.authors.export(rule.written.expression or "", "bool")
            except Inexpressible as reason:
                self._leave_out(rule.name, str(reason))
                continue
            guard = "variables.objectUnchanged"
            if self.kinds.has_pods:
                in_pod = _unchanged_in_pod(parse_path(rule.written.field or ""))
                guard = f"(request.kind.kind == 'Pod' ? {in_pod} : {guard})"
            validations.append(self._authored(rule.name, rule.written, expression, guard, matched))
        yield from self._documents("objects", resources, matched, variables.OBJECTS, validations)

    # Documents

    def _documents(
        self,
        about: str,
        resources: Sequence[JSONObject],
        matched: Matching,
        known: Mapping[str, str],
        validations: Sequence[_Validation],
    ) -> Iterator[JSONObject]:
        if not validations:
            return
        name = f"{self.name}.{about}.{DOMAIN}"
        if len(name) > _LONGEST_NAME - len("-enforce"):
            self._leave_out("", f"its name is too long: {name} must leave room for -enforce")
            return
        ours = {**known, **self._exception_variables()}
        if matched.applies:
            ours["applies"] = every(matched.applies)
        for validation in validations:
            ours |= {n: e for n, e in validation.given.items() if n not in self.authors.written}
        if len(matched.conditions) > _MOST_CONDITIONS:
            self._leave_out("", f"Kubernetes takes {_MOST_CONDITIONS} match conditions at most")
            return
        theirs = self.authors.written
        used = [
            *(v.expression for v in validations),
            *(v.message_expression for v in validations),
            *(str(condition["expression"]) for condition in matched.conditions),
        ]
        renamed = _Renamed(ours, theirs)
        chosen = variables.needed(
            {**theirs, **renamed.definitions}, [renamed.text(written) for written in used]
        )
        metadata = self.policy.metadata
        constraints: JSONObject = {"resourceRules": list(resources), "matchPolicy": "Equivalent"}
        if (selector := self.policy.spec.match.namespaceSelector) is not None:
            constraints["namespaceSelector"] = to_builtins(selector)
        spec: dict[str, Any] = {
            "failurePolicy": self.policy.spec.failurePolicy,
            "matchConstraints": constraints,
            "matchConditions": matched.conditions,
            "variables": [{"name": n, "expression": e} for n, e in chosen.items()],
            "validations": [_rendered(validation, renamed) for validation in validations],
        }
        yield {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {
                "name": name,
                "labels": {**metadata.labels, "app.kubernetes.io/managed-by": "gpuward"},
                "annotations": {**metadata.annotations, f"{DOMAIN}/policy": self.name},
            },
            "spec": {key: value for key, value in spec.items() if value != []},
        }
        yield from bindings(name, self.policy.spec.action)


class _Renamed:
    """Variables of the export whose names the policy's author uses for others, under names nobody uses."""

    def __init__(self, ours: Mapping[str, str], theirs: Mapping[str, str]) -> None:
        self._names = {name: name for name in ours}
        for name in ours:
            while self._names[name] in theirs or (self._names[name] != name and self._names[name] in ours):
                self._names[name] += "_"
        self.definitions = {self._names[name]: self.text(written) for name, written in ours.items()}

    def text(self, written: str) -> str:
        return variables.USED.sub(lambda match: f"variables.{self._names.get(match[1], match[1])}", written)


def _rendered(validation: _Validation, renamed: _Renamed) -> JSONObject:
    rendered = {"expression": renamed.text(validation.expression), "message": validation.message}
    if validation.message_expression:
        rendered["messageExpression"] = renamed.text(validation.message_expression)
    return {**rendered, "reason": "Forbidden"}


def _operations(written: Sequence[str], possible: Sequence[str]) -> list[str]:
    return [operation for operation in possible if "*" in written or operation in written]


def _identifier(rule: str) -> str:
    first, *others = re.split(r"[^A-Za-z0-9]+", rule)
    return first + "".join(part.capitalize() for part in others)


def _unchanged_in_pod(path: Path) -> str:
    """Whether an update leaves what an expression about a pod is about: as in ``webhook.engine.unchanged``."""
    if path[:1] == ("metadata",):
        key = f"[?{text(str(path[1]))}]" if len(path) > 1 else ""
        return f"(request.operation == 'UPDATE' && dyn(object.metadata){key} == dyn(oldObject.metadata){key})"
    return "variables.specUnchanged" if path[:1] == ("spec",) else "variables.objectUnchanged"
