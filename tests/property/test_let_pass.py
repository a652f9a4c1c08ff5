"""The laws of exceptions and break-glass, with the shipped policies, on any pod."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.engine.policies import deployment
from tests.strategies import pods
from tests.support import shipped_ruleset
from webhook.engine.break_glass import compile_break_glass
from webhook.engine.decision import Decision, Facts
from webhook.engine.exceptions import compile_shared_exception, rule_names, with_exceptions
from webhook.engine.offline import request_for
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.policy.findings import Action, Mode

ENFORCE = Facts(mode=Mode.ENFORCE, namespace_labels={"workload": "ml"})
RULES = sorted((policy.name, rule) for policy in shipped_ruleset().policies for rule in rule_names(policy))


@cache
def without(policy: str, rule: str) -> Ruleset:
    """The shipped policies, one of them without one of its rules."""
    shipped = shipped_ruleset()
    left = [
        replace(
            each,
            **{
                section: tuple(entry for entry in getattr(each, section) if entry.name != rule)
                for section in ("mutations", "checks", "object_checks", "expressions")
            },
        )
        if each.name == policy
        else each
        for each in shipped.policies
    ]
    return Ruleset(left, shipped.catalog)


@cache
def excepted(policy: str, rule: str) -> Ruleset:
    """The shipped policies with an exception from one rule for everything."""
    shipped = shipped_ruleset()
    spec = {"policies": [policy], "rules": [rule], "reason": "law", "match": {}}
    document = {
        "apiVersion": "gpuward.dev/v1alpha1", "kind": "PolicyException", "metadata": {"name": "x"}, "spec": spec,
    }  # fmt: skip
    exception = compile_shared_exception(document, {})
    return Ruleset((with_exceptions(each, [exception]) for each in shipped.policies), shipped.catalog)


@cache
def broken() -> Ruleset:
    """The shipped policies with a break-glass entry for the user ada."""
    shipped = shipped_ruleset()
    document = {
        "apiVersion": "gpuward.dev/v1alpha1", "kind": "BreakGlass", "metadata": {"name": "x"},
        "spec": {"users": ["ada"], "reason": "law"},
    }  # fmt: skip
    return Ruleset(shipped.policies, shipped.catalog, break_glass=[compile_break_glass(document)])


def judge(obj: dict[str, Any], ruleset: Ruleset, user: str = "ada", facts: Facts = ENFORCE) -> Decision:
    return review(request_for(obj, username=user), ruleset, facts)


def objects(pod: dict[str, Any], in_workload: bool) -> dict[str, Any]:
    return deployment(pod) if in_workload and {"metadata", "spec"} <= pod.keys() else pod


@settings(max_examples=50)
@given(pods(), st.booleans(), st.sampled_from(RULES))
def test_an_exception_from_a_rule_is_the_policy_without_that_rule(
    pod: dict[str, Any], in_workload: bool, which: tuple[str, str]
) -> None:
    obj = objects(pod, in_workload)
    freed, left = judge(obj, excepted(*which)), judge(obj, without(*which))
    assert (freed.allowed, freed.findings, freed.patch, freed.object) == (
        left.allowed,
        left.findings,
        left.patch,
        left.object,
    )
    # Where it made a difference, its use is told.
    full = judge(obj, shipped_ruleset())
    changed = (freed.findings, freed.patch) != (full.findings, full.patch)
    assert {(use.policy, use.rule) for use in freed.exempted} <= {which}
    if changed:
        assert freed.exempted


@settings(max_examples=50)
@given(pods(), st.booleans())
def test_break_glass_admits_everything_unchanged_and_records_what_audit_would(
    pod: dict[str, Any], in_workload: bool
) -> None:
    obj = objects(pod, in_workload)
    passed = judge(obj, broken())
    audited = judge(obj, shipped_ruleset(), facts=replace(ENFORCE, mode=Mode.AUDIT))
    assert passed.allowed
    assert passed.patch == ()
    assert passed.object == obj
    assert {finding.action for finding in passed.findings} <= {Action.AUDIT}
    assert (passed.findings, passed.would_patch) == (audited.findings, audited.would_patch)
    full = judge(obj, shipped_ruleset())
    assert (passed.break_glass is None) == (not passed.warnings)
    if not full.allowed or full.patch:
        assert passed.break_glass is not None


@settings(max_examples=50)
@given(pods(), st.booleans())
def test_break_glass_of_others_changes_nothing(pod: dict[str, Any], in_workload: bool) -> None:
    obj = objects(pod, in_workload)
    assert judge(obj, broken(), user="eve") == judge(obj, shipped_ruleset(), user="eve")
