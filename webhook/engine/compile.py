"""Compiling a policy document: everything that can be wrong with it is found here, all at once, before it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from webhook.checks import CHECKS
from webhook.engine.ruleset import (
    Block,
    CheckRule,
    CompiledException,
    CompiledPolicy,
    ExpressionRule,
    MatchCondition,
    MutationRule,
    ObjectCheckRule,
)
from webhook.kube.kinds import Kind
from webhook.kube.path import Path
from webhook.kube.path import parse as parse_path
from webhook.kube.shape import JSONObject
from webhook.mutations import MUTATIONS
from webhook.policy.findings import Severity
from webhook.policy.match import KindPattern, Matcher, Names, parse_kind
from webhook.policy.problems import InvalidPolicy, Problem, did_you_mean
from webhook.policy.rule import (
    Check,
    Context,
    Mutation,
    ObjectCheck,
    ParameterError,
    Rule,
    Validation,
)
from webhook.policy.validation import validate_parameters, validate_policy

if TYPE_CHECKING:
    from webhook.policy.cel import Environment, Program
    from webhook.policy.model import Match, MutateRule, Policy, PolicyException, ValidateRule

TITLE: Final = "gpuward.dev/title"
CATEGORY: Final = "gpuward.dev/category"
SEVERITY: Final = "gpuward.dev/severity"

_CHECKS: Final[Mapping[str, type[Validation]]] = {check.name: check for check in CHECKS}
_MUTATIONS: Final[Mapping[str, type[Mutation]]] = {mutation.name: mutation for mutation in MUTATIONS}

R = TypeVar("R", bound=Rule)

_MATCH: Final[Path] = ("spec", "match")


def compile_policy(document: JSONObject, context: Context) -> CompiledPolicy:
    """Compile one ``kind: Policy`` document, given as plain data.

    Raises:
        InvalidPolicy: with every problem found: of form (unknown fields, wrong types), unknown rules, parameters
            that make no sense, kinds that do not exist, CEL that does not compile.
    """
    return _Compiler(validate_policy(document), context).compile()


class _Compiler:
    """Compiles one policy and collects its problems, so that the author sees them together."""

    def __init__(self, policy: Policy, context: Context) -> None:
        self.policy = policy
        self.context = context
        self.problems: list[Problem] = []
        self._environment: Environment | None = None
        self._object_checks = self._named_object_checks()
        self._about_pods = not self._object_checks or self._names_rules_of_pods()

    def compile(self) -> CompiledPolicy:
        spec = self.policy.spec
        annotations = self.policy.metadata.annotations
        severity = self._severity(annotations.get(SEVERITY))
        match = self._block(spec.match, _MATCH)
        exclude = [
            self._block(block, ("spec", "exclude", i), excludes=True) for i, block in enumerate(spec.exclude)
        ]
        if spec.variables:
            self._variables()
        mutations = [self._mutation(rule, ("spec", "mutate", i)) for i, rule in enumerate(spec.mutate)]
        checks: list[CheckRule] = []
        object_checks: list[ObjectCheckRule] = []
        expressions: list[ExpressionRule] = []
        for i, rule in enumerate(spec.validate_):
            path: Path = ("spec", "validate", i)
            if rule.expression is not None:
                expressions.extend(self._expression(rule, path, i, severity))
            else:
                for made in self._check(rule, path, severity):
                    if isinstance(made, CheckRule):
                        checks.append(made)
                    else:
                        object_checks.append(made)
        if not self.problems:
            self._rules_and_kinds_agree(match.matcher, expressions)
        exceptions = [self._exception(e, ("spec", "exceptions", i)) for i, e in enumerate(spec.exceptions)]
        if self.problems:
            raise InvalidPolicy(self.problems)
        return CompiledPolicy(
            name=self.policy.metadata.name,
            title=annotations.get(TITLE, self.policy.metadata.name),
            category=annotations.get(CATEGORY, ""),
            severity=severity or Severity.MEDIUM,
            action=spec.action,
            fail_closed=spec.failurePolicy == "Fail",
            match=match,
            exclude=tuple(exclude),
            mutations=tuple(rule for found in mutations for rule in found),
            checks=tuple(checks),
            expressions=tuple(expressions),
            exceptions=tuple(exceptions),
            object_checks=tuple(object_checks),
        )

    def _named_object_checks(self) -> dict[int, type[ObjectCheck]]:
        """The checks of objects that the policy names, by their index under ``validate``."""
        found: dict[int, type[ObjectCheck]] = {}
        for i, rule in enumerate(self.policy.spec.validate_):
            check = _CHECKS.get(rule.rule or "") if rule.expression is None else None
            if check is not None and issubclass(check, ObjectCheck):
                found[i] = check
        return found

    def _names_rules_of_pods(self) -> bool:
        """Whether, besides its checks of objects, the policy has rules that can only be about pods."""
        spec = self.policy.spec
        return bool(spec.mutate) or any(
            rule.subject == "Pod" if rule.expression is not None else i not in self._object_checks
            for i, rule in enumerate(spec.validate_)
        )

    def _rules_and_kinds_agree(self, matcher: Matcher, expressions: Sequence[ExpressionRule]) -> None:
        """Refuse kinds that no rule judges and rules that judge none of the kinds: they would be silent for ever."""
        spec = self.policy.spec
        on_objects = iter(not expression.on_pods for expression in expressions)
        # Each rule that does not judge objects of any kind, with its name and the kinds it judges; None stands for
        # those that carry pods.
        rules: list[tuple[Path, str, tuple[Kind, ...] | None]] = [
            (("spec", "mutate", i), rule.rule, None) for i, rule in enumerate(spec.mutate)
        ]
        any_kind = False
        for i, rule in enumerate(spec.validate_):
            path: Path = ("spec", "validate", i)
            if rule.expression is not None and next(on_objects):
                any_kind = True
            elif i in self._object_checks:
                rules.append((path, rule.rule or "", self._object_checks[i].kinds))
            else:
                rules.append((path, rule.rule or f"expression-{i}", None))
        if spec.match.accelerators != "Any" and all(kinds is not None for _, _, kinds in rules):
            message = "is about pods, and none of the policy's rules judges pods"
            self.problems.append(Problem((*_MATCH, "accelerators"), message, "leave it out"))
        unjudged = [
            i
            for i, pattern in enumerate(matcher.kinds)
            if not any_kind and not any(_judges(kinds, pattern) for _, _, kinds in rules)
        ]
        judged = "; ".join(dict.fromkeys(f"{name} judges {_kinds(kinds)}" for _, name, kinds in rules))
        for i in unjudged:
            message = f"none of the policy's rules judges {spec.match.kinds[i]}: {judged}"
            self.problems.append(Problem((*_MATCH, "kinds", i), message))
        if matcher.kinds and not unjudged:
            for path, name, kinds in rules:
                if not any(_judges(kinds, pattern) for pattern in matcher.kinds):
                    named = ", ".join(spec.match.kinds)
                    message = f"{name} judges {_kinds(kinds)}; match.kinds names {named}"
                    self.problems.append(Problem(path, message))

    def _severity(self, written: str | None) -> Severity | None:
        if written is None:
            return None
        try:
            return Severity(written)
        except ValueError:
            known = [severity.value for severity in Severity]
            self.problems.append(
                Problem(
                    ("metadata", "annotations", SEVERITY),
                    f'must be one of {", ".join(known)}, not "{written}"',
                    did_you_mean(written.lower(), known),
                )
            )
            return None

    def _block(self, match: Match, path: Path, *, excludes: bool = False) -> Block:
        readable: list[str] = []
        for i, kind in enumerate(match.kinds):
            try:
                parse_kind(kind, self.context.workloads)
                readable.append(kind)
            except ValueError as error:
                self.problems.append(Problem((*path, "kinds", i), str(error)))
        conditions = []
        for i, condition in enumerate(match.conditions):
            program = self._cel(condition.expression, (*path, "conditions", i, "expression"), "bool")
            if program is not None:
                conditions.append(MatchCondition(condition.name, program))
        # With a bad kind the policy is refused in the end; the rest of it is still looked at.
        matcher = Matcher(
            match.model_copy(update={"kinds": readable}),
            excludes=excludes,
            declared=self.context.workloads,
            pods=self._about_pods,
            object_kinds=[kind for check in self._object_checks.values() for kind in check.kinds],
        )
        return Block(matcher, tuple(conditions))

    def _find(
        self, name: str, known: Mapping[str, type[R]], other: Mapping[str, type[Rule]], path: Path
    ) -> type[R] | None:
        found = known.get(name)
        if found is None:
            here, there = ("validate", "mutate") if known is _CHECKS else ("mutate", "validate")
            if name in other:
                hint = f"it belongs under `{there}`, not under `{here}`"
            else:
                hint = did_you_mean(name, known) or f"`gpuward explain` lists the rules for `{here}`"
            self.problems.append(Problem((*path, "rule"), f'unknown rule "{name}"', hint))
        return found

    def _construct(self, rule: type[R], parameters: JSONObject, path: Path) -> R | None:
        where = (*path, "parameters")
        try:
            return rule(validate_parameters(rule, parameters, where), self.context)
        except InvalidPolicy as invalid:
            self.problems.extend(invalid.problems)
        except ParameterError as error:
            field: Path = parse_path(error.field)
            self.problems.append(Problem(where + field, str(error)))
        return None

    def _mutation(self, rule: MutateRule, path: Path) -> list[MutationRule]:
        found = self._find(rule.rule, _MUTATIONS, _CHECKS, path)
        made = self._construct(found, rule.parameters, path) if found else None
        return [MutationRule(rule.rule, made)] if made else []

    def _check(
        self, rule: ValidateRule, path: Path, severity: Severity | None
    ) -> list[CheckRule | ObjectCheckRule]:
        assert rule.rule is not None  # the model demands a rule or an expression
        found = self._find(rule.rule, _CHECKS, _MUTATIONS, path)
        made = self._construct(found, rule.parameters, path) if found else None
        if made is None:
            return []
        severity = rule.severity or severity or made.severity
        if isinstance(made, ObjectCheck):
            return [ObjectCheckRule(rule.rule, made, severity)]
        assert isinstance(made, Check)  # a validation is one or the other
        return [CheckRule(rule.rule, made, severity)]

    def _expression(
        self, rule: ValidateRule, path: Path, index: int, severity: Severity | None
    ) -> list[ExpressionRule]:
        assert rule.expression is not None
        program = self._cel(rule.expression, (*path, "expression"), "bool")
        message_program = None
        if rule.messageExpression is not None:
            message_program = self._cel(rule.messageExpression, (*path, "messageExpression"), "string")
        if program is None:
            return []
        subject = rule.subject or ("Object" if self._names_other_kinds() else "Pod")
        return [
            ExpressionRule(
                name=rule.rule or f"expression-{index}",
                program=program,
                message=rule.message or f"must satisfy: {rule.expression.strip()}",
                message_program=message_program,
                reason=rule.reason or "expression-false",
                path=parse_path(rule.field or ""),
                severity=rule.severity or severity or Severity.MEDIUM,
                on_pods=subject == "Pod",
            )
        ]

    def _names_other_kinds(self) -> bool:
        """Whether the policy names kinds itself, and not just Pod: then it means those objects, not their pods. So it
        does where all its other rules are checks of objects."""
        kinds = self.policy.spec.match.kinds
        if not kinds:
            return not self._about_pods
        return any(kind.rpartition("/")[2] != "Pod" for kind in kinds)

    def _exception(self, exception: PolicyException, path: Path) -> CompiledException:
        own = {rule.rule for rule in self.policy.spec.validate_ if rule.rule}
        known = own | set(_CHECKS) | set(_MUTATIONS)
        for i, rule in enumerate(exception.rules):
            if rule not in known:
                self.problems.append(
                    Problem((*path, "rules", i), f'unknown rule "{rule}"', did_you_mean(rule, known))
                )
        match = exception.match
        return CompiledException(
            name=exception.name,
            reason=exception.reason,
            expires=exception.expires,
            namespaces=Names(match.namespaces),
            names=Names(match.names),
            labels=dict(match.labels),
            users=Names(match.users),
            groups=Names(match.groups),
            rules=frozenset(exception.rules),
        )

    def _cel_environment(self, variables: Sequence[tuple[str, str]]) -> Environment:
        # Imported where the first expression is met: most policies have none, and the library is not small.
        from webhook.policy.cel import Environment

        return Environment(variables)

    def _variables(self) -> None:
        """Check the policy's variables one after the other, so that a mistake is shown where it is."""
        from webhook.policy.cel import CelCompileError

        good: list[tuple[str, str]] = []
        for i, variable in enumerate(self.policy.spec.variables):
            try:
                self._cel_environment([*good, (variable.name, variable.expression)])
                good.append((variable.name, variable.expression))
            except CelCompileError as error:
                self._cel_problem(("spec", "variables", i, "expression"), error)
        self._environment = self._cel_environment(good)

    def _cel(self, expression: str, path: Path, returns: str) -> Program | None:
        from webhook.policy.cel import CelCompileError

        if self._environment is None:
            self._environment = self._cel_environment(())
        try:
            return self._environment.compile(expression, returns=returns)  # type: ignore[arg-type]  # one of the literals
        except CelCompileError as error:
            self._cel_problem(path, error)
            return None

    def _cel_problem(self, path: Path, error: object) -> None:
        from webhook.policy.cel import CelCompileError

        assert isinstance(error, CelCompileError)
        self.problems.append(Problem(path, f"CEL: {error.message}", offset=(error.line, error.column)))


def _judges(kinds: tuple[Kind, ...] | None, pattern: KindPattern) -> bool:
    """Whether a rule that judges these kinds (None: pods) has anything to do with this entry of ``match.kinds``."""
    return pattern.may_carry_pods() if kinds is None else any(map(pattern.may_match, kinds))


def _kinds(kinds: tuple[Kind, ...] | None) -> str:
    if kinds is None:
        return "pods"
    names = list(dict.fromkeys(kind for _, kind in kinds))
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
