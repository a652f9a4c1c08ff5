"""Exceptions: those in a policy, and those in documents of their own, which may be from rules of several policies."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from webhook.checks import CHECKS
from webhook.engine.ruleset import CompiledException, CompiledPolicy
from webhook.kube.path import Path
from webhook.kube.shape import JSONObject, mapping
from webhook.kube.workloads import Finders
from webhook.mutations import MUTATIONS
from webhook.policy.match import Names, label_selector, parse_kind
from webhook.policy.problems import InvalidPolicy, Problem, did_you_mean
from webhook.policy.unmatchable import unmatchable
from webhook.policy.validation import validate_document

if TYPE_CHECKING:
    from webhook.policy.model import InlineException, PolicyExceptionSpec

_LIBRARY = frozenset(rule.name for rule in (*CHECKS, *MUTATIONS))


def compile_exception(
    name: str,
    written: InlineException | PolicyExceptionSpec,
    path: Path,
    workloads: Finders,
    problems: list[Problem],
) -> CompiledException:
    """The exception that stands at ``path``, with its rules as they are written; what is wrong with its ``match`` is
    added to ``problems``."""
    match = written.match
    kinds = []
    for i, kind in enumerate(match.kinds):
        try:
            kinds.append(parse_kind(kind, workloads))
        except ValueError as error:
            problems.append(Problem((*path, "match", "kinds", i), str(error)))
    problems += [Problem((*path, "match", *inside), message) for inside, message in unmatchable(match)]
    return CompiledException(
        name=name,
        reason=written.reason,
        expires=written.expires,
        namespaces=Names(match.namespaces),
        names=Names(match.names),
        labels=dict(match.labels),
        users=Names(match.users),
        groups=Names(match.groups),
        rules=frozenset(written.rules),
        kinds=tuple(kinds),
        operations=frozenset(match.operations),
        namespace_selector=label_selector(match.namespaceSelector),
    )


def rule_names(policy: CompiledPolicy) -> frozenset[str]:
    """What a policy's rules are called."""
    rules = (policy.mutations, policy.checks, policy.object_checks, policy.expressions)
    return frozenset(rule.name for section in rules for rule in section)


def check_rules(rules: Iterable[str], own: Iterable[str], path: Path) -> Iterator[Problem]:
    """The entries of an exception's ``rules`` that name no rule: none of the policies' ``own`` and none of the
    library. One that only its policies do not have is no error: ``gpuward lint`` warns of it."""
    known = _LIBRARY | frozenset(own)
    for i, rule in enumerate(rules):
        if not any(map(Names([rule]).match, known)):
            yield Problem((*path, "rules", i), f'unknown rule "{rule}"', did_you_mean(rule, known))


class SharedException(Struct, frozen=True):
    """A document of kind PolicyException: ``policies`` and ``rules`` as they are written, names and globs."""

    compiled: CompiledException
    policies: tuple[str, ...]
    rules: tuple[str, ...]

    def for_policy(self, policy: CompiledPolicy) -> CompiledException | None:
        """What it is for one policy: the same, from those rules of it that are named. None where none is."""
        if not Names(self.policies).match(policy.name):
            return None
        if not self.rules:
            return self.compiled
        named = frozenset(filter(Names(self.rules).match, rule_names(policy)))
        return replace(self.compiled, rules=named) if named else None

    def idle_parts(self, policies: Iterable[CompiledPolicy]) -> Iterator[Problem]:
        """What it names and can never be for: rules that none of its policies has, policies with none of its rules."""
        chosen = [policy for policy in policies if Names(self.policies).match(policy.name)]
        for i, rule in enumerate(self.rules):
            if not any(map(Names([rule]).match, (own for policy in chosen for own in rule_names(policy)))):
                yield Problem(
                    ("spec", "rules", i), f'none of its policies has a rule "{rule}" to except from'
                )
        for i, name in enumerate(self.policies):
            named = [policy for policy in chosen if Names([name]).match(policy.name)]
            if named and not any(map(self.for_policy, named)):
                yield Problem(("spec", "policies", i), f'the policy "{name}" has none of its rules')


def unknown_names(
    document: JSONObject, policies: Mapping[str, CompiledPolicy | None], kubernetes: Collection[str]
) -> Iterator[Problem]:
    """The policies and rules that a document of kind PolicyException names and the policy set does not have.

    The document may have other mistakes. Of a policy that is broken itself, the rules are not known: it stands as None.
    ``kubernetes`` are the names of Kubernetes' own policies in the set, which know no exceptions.
    """
    spec = mapping(document, "spec")
    for i, name in enumerate(_list(spec, "policies")):
        if type(name) is not str or any(map(Names([name]).match, policies)):
            continue
        path: Path = ("spec", "policies", i)
        if any(map(Names([name]).match, kubernetes)):
            message = (
                f'"{name}" is a policy of Kubernetes\' own kinds, which are judged as the API server does it'
            )
            yield Problem(path, message, "leave objects out in its binding or its matchConditions")
        else:
            known = did_you_mean(name, policies) or _known_policies(policies)
            yield Problem(path, f'unknown policy "{name}"', known)
    if all(policies.values()):
        own = {rule for policy in policies.values() if policy for rule in rule_names(policy)}
        rules = [rule if type(rule) is str else "*" for rule in _list(spec, "rules")]
        yield from check_rules(rules, own, ("spec",))


def _list(spec: JSONObject, key: str) -> list[Any]:
    """Whatever is in a list, so that its entries keep their numbers."""
    value = spec.get(key)
    return value if type(value) is list else []


def _known_policies(policies: Iterable[str]) -> str:
    names = sorted(policies)
    return f"the policies of this set are {', '.join(names)}" if 0 < len(names) <= 10 else ""


def compile_shared_exception(document: JSONObject, workloads: Finders) -> SharedException:
    """Compile one document of kind PolicyException, given as plain data.

    Raises:
        InvalidPolicy: with every problem of its own; ``unknown_names`` has those with the policies.
    """
    from webhook.policy.model import PolicyException

    model = validate_document(PolicyException, document)
    problems: list[Problem] = []
    compiled = compile_exception(model.metadata.name, model.spec, ("spec",), workloads, problems)
    if problems:
        raise InvalidPolicy(problems)
    return SharedException(compiled, tuple(model.spec.policies), tuple(model.spec.rules))


def with_exceptions(policy: CompiledPolicy, shared: Iterable[SharedException]) -> CompiledPolicy:
    """The policy with those of the exceptions that are from its rules, after its own."""
    found = [exception for each in shared if (exception := each.for_policy(policy))]
    return replace(policy, exceptions=(*policy.exceptions, *found)) if found else policy
