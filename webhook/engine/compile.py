"""Compiling a policy document: everything that can be wrong with it is found here, all at once, before it is used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import structs
from msgspec.structs import replace

from webhook.checks import CHECKS
from webhook.engine.exceptions import check_rules, compile_exception
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
from webhook.kube.gvk import POD
from webhook.kube.kinds import Kind
from webhook.kube.path import Path
from webhook.kube.path import parse as parse_path
from webhook.kube.shape import JSONObject, items, mapping, text
from webhook.mutations import MUTATIONS
from webhook.policy.findings import Severity
from webhook.policy.match import KindPattern, Matcher, Names, parse_kind
from webhook.policy.places import impossible_field
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
from webhook.policy.unmatchable import leaves_out_everything, unmatchable
from webhook.policy.validation import validate_parameters, validate_policy

if TYPE_CHECKING:
    from webhook.policy.cel import CelCompileError, Environment, Program
    from webhook.policy.model import InlineException, Match, MutateRule, Policy, ValidateRule

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
    try:
        policy = validate_policy(document)
    except InvalidPolicy as invalid:
        raise InvalidPolicy([*invalid.problems, *_further_problems(document, invalid, context)]) from None
    return _Compiler(policy, context).compile()


def _further_problems(document: JSONObject, invalid: InvalidPolicy, context: Context) -> list[Problem]:
    """What else is wrong with a document that has mistakes of form: in the parts that have none."""
    from webhook.policy.salvage import Remains  # only where something is wrong

    remains = Remains(document, invalid.problems)
    if remains.policy is None:
        return []
    compiler = _Compiler(remains.policy, context)
    compiler.take_names_from(document)
    try:
        compiler.compile()
    except InvalidPolicy as further:
        problems = [replace(problem, path=remains.original(problem.path)) for problem in further.problems]
        known = {problem.path for problem in invalid.problems}
        return [p for p in problems if p.path not in known and not remains.is_consequence(p.path)]
    return []


def severity_of(written: str | None, problems: list[Problem]) -> Severity | None:
    """The severity a policy's annotation names. One that there is not is added to the problems."""
    if written is None:
        return None
    try:
        return Severity(written)
    except ValueError:
        known = [severity.value for severity in Severity]
        problems.append(
            Problem(
                ("metadata", "annotations", SEVERITY),
                f'must be one of {", ".join(known)}, not "{written}"',
                did_you_mean(written.lower(), known),
            )
        )
        return None


class _Compiler:
    """Compiles one policy and collects its problems, so that the author sees them together."""

    def __init__(self, policy: Policy, context: Context) -> None:
        self.policy = policy
        self.context = context
        self.problems: list[Problem] = []
        self._environment: Environment | None = None
        self._object_checks = self._named_object_checks()
        self._about_pods = not self._object_checks or self._names_rules_of_pods()
        self._is_whole = True
        self._reads_managed_fields = False
        # Variables that cannot be used: what mentions one of them is not judged for it.
        self._lost_variables: set[str] = set()
        self._rule_names = {
            rule.rule or f"expression-{i}"
            for i, rule in enumerate(policy.spec.validate_)
            if rule.rule or rule.expression
        } | {rule.rule for rule in policy.spec.mutate}

    def take_names_from(self, document: JSONObject) -> None:
        """The policy is only a part of this document: what it does not have may still be named in it."""
        self._is_whole = False
        spec = mapping(document, "spec")
        kept = {variable.name for variable in self.policy.spec.variables}
        self._lost_variables |= {text(variable, "name") for variable in items(spec, "variables")} - kept
        self._rule_names |= {text(rule, "rule") for rule in items(spec, "validate")}
        self._rule_names |= {f"expression-{i}" for i in range(len(items(spec, "validate")))}

    def compile(self) -> CompiledPolicy:
        spec = self.policy.spec
        annotations = self.policy.metadata.annotations
        severity = severity_of(annotations.get(SEVERITY), self.problems)
        if spec.variables:
            self._variables()
        match = self._block(spec.match, _MATCH)
        exclude = [
            self._block(block, ("spec", "exclude", i), excludes=True) for i, block in enumerate(spec.exclude)
        ]
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
        if not self.problems and self._is_whole:
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
            reads_managed_fields=self._reads_managed_fields,
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

    def _block(self, match: Match, path: Path, *, excludes: bool = False) -> Block:
        readable: list[str] = []
        self.problems += [Problem((*path, *inside), message) for inside, message in unmatchable(match)]
        if excludes and leaves_out_everything(match):
            message = "an empty block leaves out everything, and nothing is left to judge"
            self.problems.append(Problem(path, message, "say what to leave out, or remove it"))
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
            structs.replace(match, kinds=readable),
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
        try:
            made = rule(
                validate_parameters(rule, parameters, (*path, "parameters")),
                replace(self.context, compile=self._value),
            )
            # A rule may keep its surroundings, but not the compiler that lent it its expressions.
            made.context = self.context
        except InvalidPolicy as invalid:
            self.problems.extend(invalid.problems)
        except ParameterError as error:
            self.problems.append(_of_parameter(error, path))
        else:
            return made
        return None

    def _value(self, expression: str, field: str) -> Program:
        """The expression of a rule's parameter."""
        from webhook.policy.cel import CelCompileError, Environment

        if self._environment is None:
            self._environment = Environment()
        try:
            program = self._environment.compile(expression, "value")
            _forbid_params(expression)
        except CelCompileError as error:
            if self._uses_lost_variables(expression):
                raise InvalidPolicy([]) from None
            place = (error.line, error.column)
            raise ParameterError(f"CEL: {error.message}", field, place) from None
        return self._noted(program)

    def _mutation(self, rule: MutateRule, path: Path) -> list[MutationRule]:
        found = self._find(rule.rule, _MUTATIONS, _CHECKS, path)
        made = self._construct(found, rule.parameters, path) if found else None
        if made is None:
            return []
        self.problems += [_of_parameter(misfit, path) for misfit in made.misfits()]
        return [MutationRule(rule.rule, made)]

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
        if rule.field is not None and self._is_whole:
            self._field(rule.field, (*path, "field"), subject)
        if rule.rule in _CHECKS:
            message = f'"{rule.rule}" is a check of the library; beside an expression, it is the name of its findings'
            hint = "give the expression another name, or an entry of its own"
            self.problems.append(Problem((*path, "rule"), message, hint))
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

    def _field(self, field: str, path: Path, subject: str) -> None:
        """Refuse a field that none of the kinds that are judged has, where all of these are Kubernetes' own."""
        from webhook.kube.apply import kinds_of

        kinds = [POD]
        if subject == "Object":
            kinds = []
            for pattern in self._patterns():
                known = kinds_of(*pattern)
                if not known:
                    return
                kinds.extend(known)
        if message := impossible_field(parse_path(field), kinds):
            self.problems.append(Problem(path, message))

    def _patterns(self) -> Iterator[KindPattern]:
        """The kinds of the objects that the policy is about, without those that are misspelt."""
        for kind in self.policy.spec.match.kinds:
            with suppress(ValueError):
                yield parse_kind(kind, self.context.workloads)
        if not self.policy.spec.match.kinds:
            for check in self._object_checks.values():
                yield from (KindPattern(group, "*", kind) for group, kind in check.kinds)

    def _names_other_kinds(self) -> bool:
        """Whether the policy names kinds itself, and not just Pod: then it means those objects, not their pods. So it
        does where all its other rules are checks of objects."""
        kinds = self.policy.spec.match.kinds
        if not kinds:
            return not self._about_pods
        return any(kind.rpartition("/")[2] != "Pod" for kind in kinds)

    def _exception(self, exception: InlineException, path: Path) -> CompiledException:
        self.problems.extend(check_rules(exception.rules, self._rule_names, path))
        made = compile_exception(exception.name, exception, path, self.context.workloads, self.problems)
        # One that names no rule of the policy stays as it is written, and so applies to none.
        named = frozenset(filter(Names(exception.rules).match, self._rule_names)) if exception.rules else None
        return replace(made, rules=named) if named else made

    def _variables(self) -> None:
        """Compile the policy's variables; without those that cannot be, which the errors name."""
        # Imported where the first expression is met: most policies have none, and the library is not small.
        from webhook.policy.cel import CelCompileError, Environment

        left = dict(enumerate(self.policy.spec.variables))
        while self._environment is None:
            try:
                self._environment = Environment([(v.name, v.expression) for v in left.values()])
            except CelCompileError as error:
                # The last of those it can be: of two with one name, the second is one too many.
                at = max(
                    i for i, v in left.items() if (v.name, v.expression) == (error.variable, error.expression)
                )
                self._cel_problem(left.pop(at).expression, ("spec", "variables", at, "expression"), error)
                self._lost_variables.add(error.variable or "")
        for at, variable in left.items():
            try:
                _forbid_params(variable.expression)
            except CelCompileError as error:
                self._cel_problem(variable.expression, ("spec", "variables", at, "expression"), error)

    def _cel(self, expression: str, path: Path, returns: str) -> Program | None:
        from webhook.policy.cel import CelCompileError, Environment

        if self._environment is None:
            self._environment = Environment()
        try:
            program = self._environment.compile(expression, returns=returns)  # type: ignore[arg-type]  # one of the literals
            _forbid_params(expression)
        except CelCompileError as error:
            self._cel_problem(expression, path, error)
            return None
        return self._noted(program)

    def _noted(self, program: Program) -> Program:
        self._reads_managed_fields |= program.reads_managed_fields
        return program

    def _uses_lost_variables(self, expression: str) -> bool:
        used = re.findall(r"\bvariables\s*\.\s*\??(\w+)", expression)
        return not self._lost_variables.isdisjoint(used)

    def _cel_problem(self, expression: str, path: Path, error: CelCompileError) -> None:
        if not self._uses_lost_variables(expression):
            self.problems.append(Problem(path, f"CEL: {error.message}", offset=(error.line, error.column)))


def _of_parameter(error: ParameterError, path: Path) -> Problem:
    """What is wrong with a parameter of the rule at ``path``."""
    return Problem((*path, "parameters", *parse_path(error.field)), str(error), offset=error.offset)


def _forbid_params(expression: str) -> None:
    """Raises: CelCompileError: the expression, which compiles, uses ``params``, which nothing gives to a Policy."""
    from webhook.policy.cel import CelCompileError
    from webhook.policy.cel.names import free_names

    # Few expressions have the word in them, and only those are parsed once more.
    offset = free_names(expression).get("params") if "params" in expression else None
    if offset is not None:
        message = (
            "params are for ValidatingAdmissionPolicies with a paramKind; write the value into spec.variables"
        )
        raise CelCompileError.at(message, expression, offset)


def _judges(kinds: tuple[Kind, ...] | None, pattern: KindPattern) -> bool:
    """Whether a rule that judges these kinds (None: pods) has anything to do with this entry of ``match.kinds``."""
    return pattern.may_carry_pods() if kinds is None else any(map(pattern.may_match, kinds))


def _kinds(kinds: tuple[Kind, ...] | None) -> str:
    if kinds is None:
        return "pods"
    names = list(dict.fromkeys(kind for _, kind in kinds))
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
