"""Examples of rules at work, from the cases of the policies that come with gpuward.

Rules that no shipped policy uses have policies with cases of their own, in the folder ``examples`` of the package.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

import webhook
from webhook.adapters.policy_cases import CaseFile, read_cases
from webhook.adapters.policy_documents import LoadedPolicies, Written
from webhook.adapters.policy_files import load, shipped_policies_path
from webhook.engine.cases import policies_about, run_case
from webhook.engine.decision import Decision
from webhook.engine.offline import kind_of
from webhook.engine.ruleset import CompiledPolicy, Ruleset
from webhook.kube.shape import JSONObject
from webhook.policy.case import CaseSpec
from webhook.policy.findings import Finding
from webhook.policy.rule import Mutation, Rule

EXAMPLES: Final = Path(webhook.__file__).parent / "examples"


class Example(Struct, frozen=True):
    """A rule as one policy uses it, and what it makes of one object.

    ``entries`` are the rule's entries in the policy, ``file`` is where that is written. Of a check: ``obj`` breaks it,
    as ``findings`` say, and ``good`` does not; there is none where nothing can follow it. Of a mutation: ``obj``
    becomes ``good``.
    """

    policy: str
    file: str
    entries: tuple[JSONObject, ...]
    obj: JSONObject
    findings: tuple[Finding, ...]
    good: JSONObject | None


def example_of(rule: type[Rule]) -> Example | None:
    """The best example there is of a rule; None where no case shows it."""
    found = [example for loaded in _sets() for example in _examples(rule, loaded)]
    return min(found, key=_preference, default=None)


def _preference(example: Example) -> tuple[bool, int, float, int]:
    """What makes the better example: one with a good object, few findings, little difference between the two, a short
    object."""
    difference = (
        round(1 - _likeness(example.obj, example.good), 1) if example.findings and example.good else 0
    )
    return example.good is None, len(example.findings), difference, _length(example.obj)


@cache
def _sets() -> tuple[LoadedPolicies, ...]:
    return (load(shipped_policies_path()), load(EXAMPLES))


def _examples(rule: type[Rule], loaded: LoadedPolicies) -> Iterator[Example]:
    for policy, written in loaded.policies:
        alone = _alone(rule, policy)
        if alone is None:
            continue
        ran = list(_run(alone, written, loaded))
        entries = tuple(_entries(rule, written))
        for spec, decision in ran:
            if issubclass(rule, Mutation):
                if decision.patch and spec.object and decision.object:
                    yield Example(policy.name, written.file, entries, spec.object, (), decision.object)
            elif decision.findings and spec.object:
                good = _nearest_good(spec.object, ran, loaded.ruleset_of([alone]))
                yield Example(policy.name, written.file, entries, spec.object, decision.findings, good)


def _alone(rule: type[Rule], policy: CompiledPolicy) -> CompiledPolicy | None:
    """The policy with this rule alone, if it uses it; a check still sees what the policy's mutations leave."""
    if issubclass(rule, Mutation):
        mutations = tuple(used for used in policy.mutations if used.name == rule.name)
        alone = replace(policy, mutations=mutations, checks=(), object_checks=(), expressions=())
        return alone if mutations else None
    checks = tuple(used for used in policy.checks if used.name == rule.name)
    object_checks = tuple(used for used in policy.object_checks if used.name == rule.name)
    alone = replace(policy, checks=checks, object_checks=object_checks, expressions=())
    return alone if checks or object_checks else None


def _entries(rule: type[Rule], written: Written) -> Iterator[JSONObject]:
    section = "mutate" if issubclass(rule, Mutation) else "validate"
    for entry in written.data["spec"].get(section, ()):
        if entry.get("rule") == rule.name and "expression" not in entry:
            yield entry


def _run(
    alone: CompiledPolicy, written: Written, loaded: LoadedPolicies
) -> Iterator[tuple[CaseSpec, Decision]]:
    """The cases that create an object in an enforced namespace, and what the rule alone decides about them."""
    ruleset = loaded.ruleset_of([alone])
    for item in read_cases(Path(written.file).parent):
        if isinstance(item, CaseFile):
            spec = item.case.spec
            if spec.operation == "CREATE" and spec.mode == "enforce":
                yield spec, run_case(spec, ruleset)[0]


def _nearest_good(
    bad: JSONObject, ran: list[tuple[CaseSpec, Decision]], ruleset: Ruleset
) -> JSONObject | None:
    """Of the objects the rule lets pass, the one most like this one: so that what makes the difference shows."""
    passed = [
        spec.object
        for spec, decision in ran
        if spec.object
        and _is_judged(spec.object, ruleset)
        and not decision.findings
        and not decision.exempted
        and policies_about(spec, ruleset)
    ]
    return max(
        passed, key=lambda obj: (obj.get("kind") == bad.get("kind"), _likeness(obj, bad)), default=None
    )


def _is_judged(obj: JSONObject, ruleset: Ruleset) -> bool:
    """Whether the rule that is there alone has anything to do with objects of this kind."""
    group, _, kind = kind_of(obj)
    checks = [rule.check for policy in ruleset.policies for rule in policy.object_checks]
    return not checks or any((group, kind) in check.kinds for check in checks)


def _likeness(one: JSONObject, other: JSONObject) -> float:
    return SequenceMatcher(None, list(_leaves(one)), list(_leaves(other)), autojunk=False).ratio()


def _leaves(value: object, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, f"{path}[]")
    else:
        yield f"{path}={value}"


def _length(obj: JSONObject) -> int:
    return sum(1 for _ in _leaves(obj))
