"""Exceptions in documents of their own: from which policies and rules, for which objects."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from tests.engine.policies import (
    CONTEXT,
    Crashes,
    HalfCrashes,
    NeedsTeam,
    NoHostNetwork,
    SetTeam,
    deployment,
    pod,
    policy,
    request,
    ruleset,
)
from webhook.engine.compile import compile_policy
from webhook.engine.decision import Decision, Facts
from webhook.engine.exceptions import (
    SharedException,
    compile_shared_exception,
    unknown_names,
    with_exceptions,
)
from webhook.engine.review import review
from webhook.engine.ruleset import CompiledPolicy
from webhook.policy.findings import Mode
from webhook.policy.problems import InvalidPolicy

ENFORCE = Facts(mode=Mode.ENFORCE)


def document(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "PolicyException",
        "metadata": {"name": "legacy"},
        "spec": {"policies": ["p"], "reason": "ticket ML-123", "match": {}, **spec},
    }


def compiled(**spec: Any) -> SharedException:
    return compile_shared_exception(document(**spec), {})


def judge(
    exception: SharedException,
    *policies: CompiledPolicy,
    obj: Any = None,
    facts: Facts = ENFORCE,
    **fields: Any,
) -> Decision:
    rules = ruleset(*(with_exceptions(each, [exception]) for each in policies))
    return review(request(obj or pod(hostNetwork=True), **fields), rules, facts)


@pytest.mark.parametrize(
    ("policies", "rules", "left"),
    [
        (["a"], ["no-host-network"], ["a/needs-team", "b/no-host-network", "b/needs-team"]),
        (["a", "b"], ["no-host-network"], ["a/needs-team", "b/needs-team"]),
        (["*"], ["no-*"], ["a/needs-team", "b/needs-team"]),
        (["a"], [], ["b/no-host-network", "b/needs-team"]),
        (["?"], ["*"], []),
    ],
    ids=str,
)
def test_it_is_from_the_rules_and_policies_that_it_names(
    policies: list[str], rules: list[str], left: list[str]
) -> None:
    both = (policy(NoHostNetwork, NeedsTeam, name="a"), policy(NoHostNetwork, NeedsTeam, name="b"))
    decision = judge(compiled(policies=policies, rules=rules), *both)
    assert [f"{finding.policy}/{finding.rule}" for finding in decision.findings] == left
    assert {(use.exception, use.reason) for use in decision.exempted} == {("legacy", "ticket ML-123")}


def test_a_mutation_can_be_excepted_from() -> None:
    decision = judge(compiled(rules=["set-team"]), policy(SetTeam))
    assert not decision.patch
    assert [use.rule for use in decision.exempted] == ["set-team"]


@pytest.mark.parametrize(
    ("match", "fields", "labels", "holds"),
    [
        ({"kinds": ["Pod"]}, {}, {}, True),
        ({"kinds": ["Deployment"]}, {}, {}, False),
        ({"kinds": ["apps/v1/Deployment", "v1/Pod"]}, {}, {}, True),
        ({"operations": ["CREATE"]}, {}, {}, True),
        ({"operations": ["DELETE", "*"]}, {}, {}, True),
        ({"operations": ["UPDATE"]}, {}, {}, False),
        ({"namespaceSelector": {"matchLabels": {"team": "ml"}}}, {}, {"team": "ml"}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "ml"}}}, {}, {"team": "web"}, False),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ml"}}}, {}, {}, True),
        ({"namespaceSelector": {}}, {"namespace": ""}, {"team": "ml"}, False),
        ({"users": ["ada"]}, {"username": "ada"}, {}, True),
        ({"users": ["ada"], "groups": ["ops"]}, {"username": "ada"}, {}, False),
    ],
    ids=str,
)
def test_every_part_of_its_match_must_hold(
    match: dict[str, Any], fields: dict[str, Any], labels: Mapping[str, str], holds: bool
) -> None:
    facts = Facts(mode=Mode.ENFORCE, namespace_labels=labels)
    decision = judge(compiled(match=match), policy(NoHostNetwork), facts=facts, **fields)
    assert decision.allowed is holds
    assert bool(decision.exempted) is holds


def test_each_use_is_in_the_audit_annotations() -> None:
    decision = judge(compiled(), policy(NoHostNetwork, NeedsTeam))
    assert decision.audit_annotations == {"exceptions": "p/no-host-network: legacy, p/needs-team: legacy"}


def test_the_same_match_can_stand_in_a_policy() -> None:
    entry = {
        "name": "inline",
        "reason": "r",
        "match": {"kinds": ["Deployment"], "operations": ["CREATE"], "namespaceSelector": {}},
    }
    doc = {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": "p"},
        "spec": {"validate": [{"rule": "no-host-namespaces"}], "exceptions": [entry]},
    }
    rules = ruleset(compile_policy(doc, CONTEXT))
    assert not review(request(pod(hostNetwork=True)), rules, ENFORCE).allowed


def problems(**spec: Any) -> list[str]:
    known = {"p": policy(NoHostNetwork, NeedsTeam), "other": policy(SetTeam, name="other")}
    return [str(problem) for problem in unknown_names(document(**spec), known, ["replica-limit"])]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"policies": ["oter"]}, ['spec.policies[0]: unknown policy "oter"; did you mean "other"?']),
        (
            {"policies": ["p", "zzz-*"]},
            ['spec.policies[1]: unknown policy "zzz-*"; the policies of this set are other, p'],
        ),
        (
            {"rules": ["needs-team", "need-team"]},
            ['spec.rules[1]: unknown rule "need-team"; did you mean "needs-team"?'],
        ),
        ({"rules": ["zzz-*"]}, ['spec.rules[0]: unknown rule "zzz-*"']),
        ({"rules": ["no-host-path"]}, []),
        (
            {"policies": ["replica-*"]},
            [
                ('spec.policies[0]: "replica-*" is a policy of Kubernetes\' own kinds, which are judged as the API '
                "server does it; leave objects out in its binding or its matchConditions")
            ],
        ),
        ({"policies": [7, "p"], "rules": {"a": 1}}, []),
    ],
    ids=[
        "a misspelt policy", "a glob over none", "a misspelt rule", "a glob over no rule", "of the library",
        "of Kubernetes", "of another form",
    ],
)  # fmt: skip
def test_names_that_nothing_has_are_problems(spec: dict[str, Any], expected: list[str]) -> None:
    assert problems(**spec) == expected


def test_the_rules_of_a_broken_policy_are_not_called_unknown() -> None:
    exception = document(policies=["p", "broken"], rules=["its-own"])
    assert list(unknown_names(exception, {"p": policy(NoHostNetwork), "broken": None}, ())) == []


def test_what_can_never_apply_is_named() -> None:
    exception = compiled(policies=["p", "other"], rules=["needs-team", "no-host-path"])
    idle = exception.idle_parts([policy(NoHostNetwork, NeedsTeam), policy(SetTeam, name="other")])
    assert [str(problem) for problem in idle] == [
        'spec.rules[1]: none of its policies has a rule "no-host-path" to except from',
        'spec.policies[1]: the policy "other" has none of its rules',
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"reason": ""}, "spec.reason: must not be empty"),
        ({"policies": []}, "spec.policies: must have at least 1 entry"),
        ({"match": {"kinds": ["Podd"]}}, 'spec.match.kinds[0]: unknown kind "Podd"; did you mean "Pod"?'),
        ({"rule": ["x"]}, 'spec.rule: unknown field "rule"; did you mean "rules"?'),
        ({"expires": "soon"}, 'spec.expires: must be a date, such as 2027-03-31, not "soon"'),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_its_own_mistakes_are_told_with_their_places(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        compiled(**changes)
    assert [str(problem) for problem in refused.value.problems] == [expected]


def test_it_holds_until_its_last_day() -> None:
    assert compiled(expires="2027-03-31").compiled.expires == date(2027, 3, 31)


@pytest.mark.parametrize(
    ("rule", "obj"),
    [
        (NoHostNetwork, pod()),
        (NoHostNetwork, deployment(pod())),
        (SetTeam, pod(metadata={"name": "x", "labels": {"team": "a"}})),
    ],
    ids=["a check that finds nothing", "in a workload", "a mutation that changes nothing"],
)
def test_an_exception_from_a_rule_that_has_nothing_to_say_is_not_used(rule: Any, obj: Any) -> None:
    decision = judge(compiled(), policy(rule), obj=obj)
    assert decision.allowed
    assert not decision.exempted


def test_a_rule_that_fails_is_excepted_from_like_any_other() -> None:
    decision = judge(compiled(), policy(Crashes, HalfCrashes))
    assert not decision.findings
    assert not decision.patch
    assert {use.rule for use in decision.exempted} == {"crashes", "half-crashes"}


@pytest.mark.parametrize(
    ("rules", "freed"),
    [
        (["no-*"], ["no-host-namespaces", "no-privileged"]),
        (["no-host-*"], ["no-host-namespaces"]),
        (["drop-*"], []),
    ],
    ids=str,
)
def test_an_exception_in_a_policy_may_name_its_rules_by_globs(rules: list[str], freed: list[str]) -> None:
    doc = {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": "p"},
        "spec": {
            "validate": [{"rule": "no-host-namespaces"}, {"rule": "no-privileged"}],
            "exceptions": [{"name": "x", "reason": "r", "match": {}, "rules": rules}],
        },
    }
    container = {"name": "main", "image": "good", "securityContext": {"privileged": True}}
    obj = pod(hostNetwork=True, containers=[container])
    decision = review(request(obj), ruleset(compile_policy(doc, CONTEXT)), ENFORCE)
    assert sorted(use.rule for use in decision.exempted) == freed
    assert decision.allowed is (len(freed) == 2)
