"""Break-glass: who passes whatever the policies say, and what is kept of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.engine.policies import (
    CATALOG,
    NeedsTeam,
    NoHostNetwork,
    SetTeam,
    deployment,
    pod,
    policy,
    request,
)
from webhook.engine.break_glass import compile_break_glass
from webhook.engine.decision import BrokenGlass, Decision, Facts, Phase
from webhook.engine.review import review
from webhook.engine.ruleset import CompiledBreakGlass, CompiledPolicy, Ruleset
from webhook.policy.findings import Action, Mode
from webhook.policy.problems import InvalidPolicy

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ENFORCE = Facts(mode=Mode.ENFORCE, now=NOW)
USED = BrokenGlass("on-call", "emergencies, see the runbook")


def entry(**spec: Any) -> CompiledBreakGlass:
    who = {} if {"users", "groups"} & spec.keys() else {"users": ["ada"]}
    return compile_break_glass(
        {
            "apiVersion": "gpuward.dev/v1alpha1",
            "kind": "BreakGlass",
            "metadata": {"name": "on-call"},
            "spec": {"reason": USED.reason, **who, **spec},
        }
    )


def judge(
    *policies: CompiledPolicy,
    glass: CompiledBreakGlass | None = None,
    obj: Any = None,
    facts: Facts = ENFORCE,
    phase: Phase = Phase.BOTH,
    **fields: Any,
) -> Decision:
    rules = Ruleset(policies, CATALOG, break_glass=[glass or entry()])
    asked = request(obj or pod(hostNetwork=True), **{"username": "ada", **fields})
    return review(asked, rules, facts, phase)


def test_the_object_is_admitted_and_everything_that_is_wrong_is_recorded() -> None:
    decision = judge(policy(NoHostNetwork, NeedsTeam))
    assert decision.allowed
    assert decision.message == ""
    assert [(f.rule, f.action) for f in decision.findings] == [
        ("no-host-network", Action.AUDIT),
        ("needs-team", Action.AUDIT),
    ]
    assert decision.break_glass == USED
    assert decision.warnings == (
        (
            'break-glass "on-call": policies only record this, and change nothing; '
            "reason: emergencies, see the runbook"
        ),
    )
    assert decision.audit_annotations["break-glass"] == "on-call: emergencies, see the runbook"
    assert "p/no-host-network" in decision.audit_annotations["violations"]


@pytest.mark.parametrize("phase", list(Phase))
def test_nothing_of_the_object_is_changed(phase: Phase) -> None:
    obj = pod()
    decision = judge(policy(SetTeam), obj=obj, phase=phase)
    assert not decision.patch
    assert decision.object == obj
    assert decision.would_patch
    assert decision.break_glass == USED
    assert len(decision.warnings) == 1


def test_workloads_pass_too() -> None:
    decision = judge(policy(NoHostNetwork), obj=deployment(pod(hostNetwork=True)))
    assert decision.allowed
    assert decision.break_glass == USED


@pytest.mark.parametrize(
    ("policies", "obj", "mode"),
    [
        ([policy(NoHostNetwork)], pod(), Mode.ENFORCE),
        ([policy(NoHostNetwork, action=Action.AUDIT)], pod(hostNetwork=True), Mode.ENFORCE),
        ([policy(NoHostNetwork)], pod(hostNetwork=True), Mode.AUDIT),
        ([policy(SetTeam)], deployment(pod()), Mode.ENFORCE),
    ],
    ids=["nothing is wrong", "the policy only records", "the namespace only records", "nothing would change"],
)
def test_what_would_have_passed_anyway_is_no_use_of_it(
    policies: list[CompiledPolicy], obj: Any, mode: Mode
) -> None:
    decision = judge(*policies, obj=obj, facts=Facts(mode=mode, now=NOW))
    assert decision.allowed
    assert decision.break_glass is None
    assert not decision.warnings
    assert "break-glass" not in decision.audit_annotations


def test_only_those_policies_that_would_act_make_it_a_use() -> None:
    decision = judge(
        policy(NoHostNetwork, name="a", action=Action.AUDIT), policy(NeedsTeam, name="b", action=Action.WARN)
    )
    assert decision.break_glass == USED
    assert {finding.action for finding in decision.findings} == {Action.AUDIT}


@pytest.mark.parametrize(
    ("spec", "fields", "passes"),
    [
        ({"users": ["ada"]}, {}, True),
        ({"users": ["eve"]}, {}, False),
        ({"users": ["*@ops.example.com"]}, {"username": "ada@ops.example.com"}, True),
        ({"groups": ["sre-*"]}, {"groups": ("staff", "sre-emergency")}, True),
        ({"groups": ["sre-*"]}, {"groups": ("staff",)}, False),
        ({"users": ["eve"], "groups": ["sre"]}, {"groups": ("sre",)}, True),
        ({"users": ["ada"], "groups": ["sre"]}, {}, True),
        ({"namespaces": ["m*"]}, {}, True),
        ({"namespaces": ["web"]}, {}, False),
        ({"expires": "2026-11-21"}, {}, True),
        ({"expires": "2026-11-20"}, {}, False),
        ({"users": ["s*"]}, {"username": "system:serviceaccount:ml:default"}, False),
        ({"users": ["*:default"]}, {"username": "system:serviceaccount:ml:default"}, False),
        ({"users": ["?ystem:*"]}, {"username": "system:serviceaccount:ml:default"}, False),
        ({"groups": ["*accounts"]}, {"groups": ("system:serviceaccounts",)}, False),
        (
            {"users": ["system:serviceaccount:ops:*"]},
            {"username": "system:serviceaccount:ops:emergency"},
            True,
        ),
        (
            {"users": ["system:serviceaccount:ops:*"]},
            {"username": "system:serviceaccount:ops2:emergency"},
            False,
        ),
        ({"groups": ["system:masters"]}, {"groups": ("system:masters", "system:authenticated")}, True),
    ],
    ids=str,
)
def test_it_is_for_the_users_and_groups_it_names(
    spec: dict[str, Any], fields: dict[str, Any], passes: bool
) -> None:
    assert judge(policy(NoHostNetwork), glass=entry(**spec), **fields).allowed is passes


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("users", "*"),
        ("users", "**"),
        ("users", "?*"),
        ("users", "*[a-z]*"),
        ("users", "*-*"),
        ("groups", "*"),
        ("users", "system:*"),
        ("users", "system:serviceaccount:*"),
        ("users", "system:serviceaccount:*:admin"),
        ("users", "system:serviceaccount:m?:admin"),
        ("users", "system:serviceaccount:ops*"),
        ("users", "system:serviceaccount:kube-system:*"),
        ("users", "system:serviceaccount:kube-system:replicaset-controller"),
        ("users", "system:kube-controller-manager"),
        ("users", "system:anonymous"),
        ("users", "system:node:gpu-1"),
        ("groups", "system:*"),
        ("groups", "system:serviceaccounts:*"),
        ("groups", "system:authenticated"),
        ("groups", "system:serviceaccounts"),
        ("groups", "system:nodes"),
    ],
)
def test_who_is_everybody_cannot_be_meant(field: str, name: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        entry(**{field: [name]})
    (problem,) = refused.value.problems
    assert problem.path == ("spec", field, 0)
    assert f'"{name}" is ' in problem.message


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"users": [], "groups": []}, "spec: needs somebody under `users` or `groups`"),
        ({"reason": ""}, "spec.reason: must not be empty"),
        ({"user": ["ada"], "users": ["ada"]}, 'spec.user: unknown field "user"; did you mean "users"?'),
    ],
    ids=["nobody", "no reason", "a misspelt field"],
)
def test_its_mistakes_are_told_with_their_places(spec: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        entry(**spec)
    assert [str(problem) for problem in refused.value.problems] == [expected]
