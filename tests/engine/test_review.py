"""The engine: modes, mutation and validation, updates, exceptions, failing rules."""

from __future__ import annotations

import copy
import gc
from datetime import UTC, date, datetime
from typing import Any

import jsonpatch
import pytest

from tests.engine.policies import (
    Crashes,
    HalfCrashes,
    NeedsTeam,
    NoHostNetwork,
    OnlyKnownImages,
    SetTeam,
    block,
    deployment,
    pod,
    policy,
    request,
    ruleset,
)
from webhook.engine.decision import Decision, Facts, Phase
from webhook.engine.review import review
from webhook.engine.ruleset import CompiledException
from webhook.policy.findings import Action, Mode
from webhook.policy.match import Names

ENFORCE = Facts(mode=Mode.ENFORCE)


def reasons(decision: Decision) -> list[str]:
    return [finding.reason for finding in decision.findings]


def test_a_namespace_that_has_not_opted_in_is_left_alone() -> None:
    decision = review(
        request(pod(hostNetwork=True)), ruleset(policy(NoHostNetwork, SetTeam)), Facts(mode=None)
    )
    assert decision.allowed
    assert not decision.findings
    assert not decision.patch


@pytest.mark.parametrize(
    ("mode", "action", "allowed", "effective", "warns", "patches"),
    [
        (Mode.ENFORCE, Action.ENFORCE, False, Action.ENFORCE, False, True),
        (Mode.ENFORCE, Action.WARN, True, Action.WARN, True, True),
        (Mode.ENFORCE, Action.AUDIT, True, Action.AUDIT, False, False),
        (Mode.WARN, Action.ENFORCE, True, Action.WARN, True, True),
        (Mode.WARN, Action.AUDIT, True, Action.AUDIT, False, False),
        (Mode.AUDIT, Action.ENFORCE, True, Action.AUDIT, False, False),
        (Mode.AUDIT, Action.WARN, True, Action.AUDIT, False, False),
    ],
)
def test_the_weaker_of_policy_action_and_namespace_mode_counts(
    mode: Mode, action: Action, allowed: bool, effective: Action, warns: bool, patches: bool
) -> None:
    obj = pod(hostNetwork=True)
    decision = review(request(obj), ruleset(policy(NoHostNetwork, SetTeam, action=action)), Facts(mode=mode))
    assert decision.allowed is allowed
    assert [finding.action for finding in decision.findings] == [effective]
    assert bool(decision.warnings) is warns
    assert bool(decision.patch) is patches
    assert bool(decision.would_patch) is not patches
    assert bool(decision.message) is not allowed


def test_every_violation_is_in_one_message_with_its_path() -> None:
    obj = pod(hostNetwork=True, initContainers=[{"name": "fetch", "image": "bad"}])
    decision = review(request(obj), ruleset(policy(NoHostNetwork, NeedsTeam, OnlyKnownImages)), ENFORCE)
    assert decision.message.splitlines() == [
        "gpuward: Pod train breaks 3 rules:",
        "- spec.hostNetwork: on the host's network [p/no-host-network]",
        "- metadata.labels.team: no team [p/needs-team]",
        "- spec.initContainers[0].image: bad image in fetch [p/known-images]",
    ]


def test_checks_see_the_pod_as_mutations_left_it() -> None:
    decision = review(
        request(pod()), ruleset(policy(NeedsTeam, name="a"), policy(SetTeam, name="z")), ENFORCE
    )
    assert decision.allowed
    assert not decision.findings
    assert decision.patch == ({"op": "add", "path": "/metadata/labels", "value": {"team": "default"}},)
    assert decision.mutated_by == (("z", "set-team"),)


def test_the_decision_changes_nothing_of_the_request_and_its_patch_gives_its_object() -> None:
    obj = pod()
    before = copy.deepcopy(obj)
    decision = review(request(obj), ruleset(policy(SetTeam)), ENFORCE)
    assert obj == before
    assert jsonpatch.apply_patch(obj, list(decision.patch)) == decision.object


def test_mutate_answers_with_the_patch_and_judges_nothing() -> None:
    decision = review(
        request(pod(hostNetwork=True)), ruleset(policy(NoHostNetwork, SetTeam)), ENFORCE, Phase.MUTATE
    )
    assert decision.allowed
    assert decision.patch
    assert not decision.findings


def test_validate_judges_the_pod_as_it_arrives() -> None:
    decision = review(request(pod()), ruleset(policy(NeedsTeam, SetTeam)), ENFORCE, Phase.VALIDATE)
    assert not decision.allowed
    assert not decision.patch


def test_validate_in_audit_judges_the_pod_as_it_would_be() -> None:
    decision = review(
        request(pod()), ruleset(policy(NeedsTeam, SetTeam)), Facts(mode=Mode.AUDIT), Phase.VALIDATE
    )
    assert decision.allowed
    assert not decision.findings
    assert not decision.patch
    assert decision.would_patch


def test_what_an_audit_policy_would_change_helps_only_audit_policies() -> None:
    policies = ruleset(
        policy(SetTeam, name="a", action=Action.AUDIT),
        policy(NeedsTeam, name="b", action=Action.AUDIT),
        policy(NeedsTeam, name="c", action=Action.ENFORCE),
    )
    decision = review(request(pod()), policies, ENFORCE)
    assert [finding.policy for finding in decision.findings] == ["c"]
    assert not decision.allowed


def test_a_deployment_is_judged_as_its_pods_will_be_and_never_changed() -> None:
    obj = deployment(pod(hostNetwork=True))
    decision = review(request(obj), ruleset(policy(NoHostNetwork, NeedsTeam, SetTeam)), ENFORCE)
    assert [finding.field for finding in decision.findings] == ["spec.template.spec.hostNetwork"]
    assert not decision.allowed
    assert not decision.patch
    assert decision.object == obj


def test_pods_are_mutated_only_when_they_are_created() -> None:
    obj = pod()
    for changes in (
        {"operation": "UPDATE", "old_object": obj},
        {"operation": "UPDATE", "old_object": obj, "subresource": "resize"},
    ):
        assert not review(request(obj, **changes), ruleset(policy(SetTeam)), ENFORCE).patch


@pytest.mark.parametrize("subresource", ["status", "binding", "eviction", "exec", "log"])
def test_subresources_that_carry_no_pod_spec_are_let_through(subresource: str) -> None:
    obj = pod(hostNetwork=True)
    decision = review(
        request(obj, operation="UPDATE", old_object=pod(), subresource=subresource),
        ruleset(policy(NoHostNetwork)),
        ENFORCE,
    )
    assert decision.allowed


def test_mirror_pods_are_left_alone() -> None:
    obj = pod(
        hostNetwork=True, metadata={"name": "etcd", "annotations": {"kubernetes.io/config.mirror": "x"}}
    )
    assert review(request(obj), ruleset(policy(NoHostNetwork, SetTeam)), ENFORCE) == Decision(object=obj)


def test_a_pod_that_is_being_deleted_is_let_go() -> None:
    metadata = {"name": "train", "deletionTimestamp": "2026-11-21T00:00:00Z"}
    obj = pod(hostNetwork=True, metadata=metadata)
    decision = review(
        request(obj, operation="UPDATE", old_object=pod()), ruleset(policy(NoHostNetwork)), ENFORCE
    )
    assert decision.allowed


UPDATES: dict[str, tuple[dict[str, Any], dict[str, Any], list[Action]]] = {
    "a pod's labels change, its old spec only warns": (
        pod(hostNetwork=True, metadata={"name": "x", "labels": {"team": "a"}}),
        pod(hostNetwork=True, metadata={"name": "x", "labels": {"team": "b"}}),
        [Action.WARN],
    ),
    "a pod loses its label": (
        pod(metadata={"name": "x", "labels": {"team": "a"}}),
        pod(metadata={"name": "x"}),
        [Action.ENFORCE],
    ),
    "a bad debug container joins a bad pod": (
        pod(containers=[{"name": "main", "image": "bad"}], metadata={"name": "x", "labels": {"team": "a"}}),
        pod(
            containers=[{"name": "main", "image": "bad"}],
            ephemeralContainers=[{"name": "debug", "image": "worse"}],
            metadata={"name": "x", "labels": {"team": "a"}},
        ),
        [Action.WARN, Action.ENFORCE],
    ),
    "a bad Deployment is scaled": (
        deployment(pod(hostNetwork=True, metadata={"labels": {"team": "a"}}), replicas=1),
        deployment(pod(hostNetwork=True, metadata={"labels": {"team": "a"}}), replicas=0),
        [Action.WARN],
    ),
    "a bad Deployment gets a new image": (
        deployment(
            pod(
                hostNetwork=True,
                metadata={"labels": {"team": "a"}},
                containers=[{"name": "m", "image": "old"}],
            )
        ),
        deployment(pod(hostNetwork=True, metadata={"labels": {"team": "a"}})),
        [Action.ENFORCE],
    ),
    "a Deployment turns bad": (
        deployment(pod(metadata={"labels": {"team": "a"}})),
        deployment(pod(hostNetwork=True, metadata={"labels": {"team": "a"}})),
        [Action.ENFORCE],
    ),
}


@pytest.mark.parametrize(("old", "new", "actions"), UPDATES.values(), ids=UPDATES.keys())
def test_an_update_is_refused_for_what_it_changes(
    old: dict[str, Any], new: dict[str, Any], actions: list[Action]
) -> None:
    policies = ruleset(policy(NoHostNetwork, NeedsTeam, OnlyKnownImages))
    decision = review(request(new, operation="UPDATE", old_object=old), policies, ENFORCE)
    assert [finding.action for finding in decision.findings] == actions


def exception(**fields: Any) -> CompiledException:
    return CompiledException(
        **{
            "name": "legacy",
            "reason": "ticket ML-123",
            "expires": None,
            "namespaces": Names(()),
            "names": Names(()),
            "labels": {},
            "users": Names(()),
            "groups": Names(()),
            "rules": frozenset({"no-host-network"}),
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("fields", "holds"),
    [
        ({}, True),
        ({"namespaces": ["ml*"]}, True),
        ({"namespaces": ["web"]}, False),
        ({"names": ["train"]}, True),
        ({"labels": {"app": "x"}}, False),
        ({"users": ["ada"]}, True),
        ({"groups": ["ops"]}, False),
        ({"rules": frozenset()}, True),
        ({"rules": frozenset({"needs-team"})}, False),
        ({"expires": date(2026, 11, 21)}, True),
        ({"expires": date(2026, 11, 20)}, False),
    ],
    ids=str,
)
def test_an_exception_holds_for_whom_and_until_when_it_says(fields: dict[str, Any], holds: bool) -> None:
    given = {key: Names(value) if isinstance(value, list) else value for key, value in fields.items()}
    facts = Facts(mode=Mode.ENFORCE, now=datetime(2026, 11, 21, 23, 59, tzinfo=UTC))
    policies = ruleset(policy(NoHostNetwork, exceptions=[exception(**given)]))
    decision = review(request(pod(hostNetwork=True), username="ada"), policies, facts)
    assert decision.allowed is holds
    assert [(use.rule, use.exception) for use in decision.exempted] == (
        [("no-host-network", "legacy")] if holds else []
    )


def test_a_failing_check_is_a_finding_and_others_still_judge() -> None:
    decision = review(request(pod()), ruleset(policy(Crashes, NeedsTeam)), ENFORCE)
    assert reasons(decision) == ["first", "rule-failed", "team-missing"]
    assert not decision.allowed
    assert "secret" not in decision.message


def test_a_failing_check_of_a_policy_that_ignores_failures_only_records() -> None:
    decision = review(request(pod()), ruleset(policy(Crashes, fail_closed=False)), ENFORCE)
    assert [(f.reason, f.action) for f in decision.findings if f.error] == [("rule-failed", Action.AUDIT)]


def test_a_failing_mutation_leaves_no_half_changes_and_never_refuses() -> None:
    policies = ruleset(policy(SetTeam, HalfCrashes, name="a"), policy(NeedsTeam, name="b"))
    decision = review(request(pod()), policies, ENFORCE)
    assert decision.allowed
    assert decision.patch == ({"op": "add", "path": "/metadata/labels", "value": {"team": "default"}},)
    assert [(f.rule, f.reason, f.action) for f in decision.findings] == [
        ("half-crashes", "rule-failed", Action.WARN)
    ]


@pytest.mark.parametrize(
    ("match", "fields", "matches"),
    [
        ({}, {}, True),
        ({"namespaces": ["ml"]}, {}, True),
        ({"namespaces": ["team-*", "m?"]}, {}, True),
        ({"namespaces": ["web"]}, {}, False),
        ({"operations": ["UPDATE"]}, {}, False),
        ({"operations": ["*"]}, {}, True),
        ({"kinds": ["Pod"]}, {}, True),
        ({"kinds": ["apps/v1/Deployment"]}, {}, False),
        ({"kinds": ["*"]}, {}, True),
        ({"names": ["tr*"]}, {}, True),
        ({"names": ["serve"]}, {}, False),
        ({"users": ["system:serviceaccount:ci:*"]}, {"username": "system:serviceaccount:ci:bot"}, True),
        ({"users": ["ada"]}, {"username": "eve"}, False),
        ({"groups": ["vision"]}, {"groups": ("a", "vision")}, True),
        ({"groups": ["vision"]}, {"groups": ()}, False),
        ({"accelerators": "Required"}, {}, False),
        ({"accelerators": "None"}, {}, True),
        ({"objectSelector": {"matchLabels": {"app": "x"}}}, {}, True),
        (
            {"objectSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]}},
            {},
            False,
        ),
        (
            {"objectSelector": {"matchExpressions": [{"key": "gone", "operator": "NotIn", "values": ["x"]}]}},
            {},
            True,
        ),
        ({"objectSelector": {"matchExpressions": [{"key": "gone", "operator": "DoesNotExist"}]}}, {}, True),
        ({"namespaceSelector": {"matchLabels": {"workload": "ml"}}}, {}, True),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ml"}}}, {}, True),
        (
            {
                "namespaceSelector": {
                    "matchExpressions": [{"key": "workload", "operator": "In", "values": ["web"]}]
                }
            },
            {},
            False,
        ),
        ({"namespaceSelector": {"matchExpressions": [{"key": "workload", "operator": "Exists"}]}}, {}, True),
    ],
    ids=str,
)
def test_a_policy_applies_to_what_it_matches(
    match: dict[str, Any], fields: dict[str, Any], matches: bool
) -> None:
    obj = pod(hostNetwork=True, metadata={"name": "train", "labels": {"app": "x"}})
    facts = Facts(mode=Mode.ENFORCE, namespace_labels={"workload": "ml"})
    policies = ruleset(policy(NoHostNetwork, match=block(**match)))
    assert review(request(obj, **fields), policies, facts).allowed is not matches
    # The same block as an exclusion: what it matches is left out.
    policies = ruleset(policy(NoHostNetwork, exclude=[block(excludes=True, **match)]))
    assert review(request(obj, **fields), policies, facts).allowed is matches


@pytest.mark.parametrize(
    ("resources", "claims", "requested"),
    [
        ({"limits": {"nvidia.com/gpu": 1}}, [], True),
        ({"requests": {"nvidia.com/mig-1g.5gb": "1"}}, [], True),
        ({"limits": {"nvidia.com/gpu": "0"}}, [], False),
        ({"limits": {"example.com/foo": 1}}, [], False),
        ({}, [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}], True),
    ],
    ids=str,
)
def test_accelerators_are_requested_by_name_or_claim(
    resources: Any, claims: list[Any], requested: bool
) -> None:
    obj = pod(
        hostNetwork=True,
        containers=[{"name": "m", "image": "good", "resources": resources}],
        resourceClaims=claims,
    )
    policies = ruleset(policy(NoHostNetwork, match=block(accelerators="Required")))
    assert review(request(obj), policies, ENFORCE).allowed is not requested


def test_thousands_of_violations_make_a_message_of_bounded_size() -> None:
    obj = pod(containers=[{"name": f"c{i}", "image": "bad" * 50} for i in range(10_000)])
    decision = review(request(obj), ruleset(policy(OnlyKnownImages)), ENFORCE)
    assert len(decision.findings) == 10_000
    assert decision.message.endswith("- and 9900 more")
    decision = review(request(obj), ruleset(policy(OnlyKnownImages)), Facts(mode=Mode.WARN))
    assert sum(map(len, decision.warnings)) <= 4096
    assert max(map(len, decision.warnings)) <= 256
    assert "more violations" in decision.warnings[-1]


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize(
    "obj", [pod(hostNetwork=True), deployment(pod(hostNetwork=True))], ids=["pod", "workload"]
)
def test_a_review_leaves_nothing_to_the_garbage_collector(phase: Phase, obj: dict[str, Any]) -> None:
    policies = ruleset(
        policy(NoHostNetwork, SetTeam, name="a"), policy(NeedsTeam, name="b", action=Action.AUDIT)
    )
    review(request(obj), policies, ENFORCE, phase)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            review(request(obj), policies, ENFORCE, phase)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_policies_follow_the_labels_of_a_namespace_as_they_change() -> None:
    policies = ruleset(
        policy(NoHostNetwork, match=block(namespaceSelector={"matchLabels": {"workload": "ml"}}))
    )
    asked = request(pod(hostNetwork=True))

    def refused(**labels: Any) -> bool:
        return not review(asked, policies, Facts(mode=Mode.ENFORCE, namespace_labels=labels)).allowed

    for _ in range(2):
        assert refused(workload="ml")
        assert not refused(workload="web")
        assert not refused()
        # No label has such a value; whatever it is, it is not `ml`.
        assert not refused(workload={"ml": []})
        assert refused(workload="ml", other=["x"])
