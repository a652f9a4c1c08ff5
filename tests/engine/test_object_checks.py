"""Checks of objects as they are: which policies match them, what they judge, and what is an error at load."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.engine.policies import (
    CONTEXT,
    CrashesOnSecrets,
    Frozen,
    NeedsTeam,
    NoNodePorts,
    SetTeam,
    block,
    deployment,
    pod,
    policy,
    request,
    ruleset,
)
from webhook.engine.compile import compile_policy
from webhook.engine.decision import Decision, Facts
from webhook.engine.review import review
from webhook.engine.ruleset import CompiledException, CompiledPolicy
from webhook.kube.gvk import GroupVersionKind
from webhook.kube.path import render
from webhook.policy.findings import Action, Mode
from webhook.policy.match import Names
from webhook.policy.problems import InvalidPolicy

ENFORCE = Facts(mode=Mode.ENFORCE)
KINDS = ["Service", "Secret", "Pod"]
RELEASE = {"rule": "monitor-release-label"}
NO_PRIVILEGED = {"rule": "no-privileged"}


def service(type_: str = "NodePort", **fields: Any) -> dict[str, Any]:
    metadata = fields.pop("metadata", {"name": "web"})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"type": type_, **fields},
    }


def secret() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}


def monitor(kind: str = "ServiceMonitor", **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": kind,
        "metadata": {"name": "m", "labels": labels},
    }


def found(decision: Decision) -> list[tuple[str, str, str]]:
    return [(f.rule, render(f.path), f.reason) for f in decision.findings]


def compiled(*validate: dict[str, Any], **spec: Any) -> CompiledPolicy:
    document = {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": "p"},
        "spec": {"validate": list(validate), **spec},
    }
    return compile_policy(document, CONTEXT)


def admits(made: CompiledPolicy, kind: str, group: str = "monitoring.coreos.com") -> bool:
    return made.match.matcher.admits(GroupVersionKind(group, "v1", kind), "CREATE", "ml")


# --- judging ------------------------------------------------------------------------------------------------


def test_an_object_is_judged_as_it_is_with_paths_from_its_root() -> None:
    rules = ruleset(policy(NoNodePorts, match=block(kinds=KINDS)))
    decision = review(request(service()), rules, ENFORCE)
    assert not decision.allowed
    assert found(decision) == [("no-node-ports", "spec.type", "node-port")]
    # The namespace is the request's: the object's own may be missing.
    assert decision.findings[0].message == "a node port in ml"
    assert "Service web breaks 1 rule" in decision.message
    assert review(request(service("ClusterIP")), rules, ENFORCE).findings == ()


def test_a_check_judges_its_own_kinds_and_pods_are_judged_by_the_others() -> None:
    rules = ruleset(policy(NoNodePorts, NeedsTeam, match=block(kinds=KINDS)))
    assert [f.rule for f in review(request(service()), rules, ENFORCE).findings] == ["no-node-ports"]
    assert [f.rule for f in review(request(pod()), rules, ENFORCE).findings] == ["needs-team"]
    other = {
        "apiVersion": "apps/v1",
        "kind": "Service",
        "metadata": {"name": "x"},
        "spec": {"type": "NodePort"},
    }
    any_kind = ruleset(policy(NoNodePorts, match=block(kinds=["*"])))
    assert review(request(other), any_kind, ENFORCE).findings == ()


@pytest.mark.parametrize(
    ("mode", "action", "allowed", "effective"),
    [
        (Mode.ENFORCE, Action.ENFORCE, False, Action.ENFORCE),
        (Mode.WARN, Action.ENFORCE, True, Action.WARN),
        (Mode.ENFORCE, Action.AUDIT, True, Action.AUDIT),
    ],
)
def test_modes_hold_for_objects_too(mode: Mode, action: Action, allowed: bool, effective: Action) -> None:
    rules = ruleset(policy(NoNodePorts, action=action, match=block(kinds=KINDS)))
    decision = review(request(service()), rules, Facts(mode=mode))
    assert (decision.allowed, decision.findings[0].action) == (allowed, effective)


def test_selectors_and_exclusions_are_about_the_objects_own_labels() -> None:
    labelled = service(metadata={"name": "web", "labels": {"app": "web"}})
    selector = {"matchLabels": {"app": "web"}}
    selecting = ruleset(policy(NoNodePorts, match=block(kinds=KINDS, objectSelector=selector)))
    assert review(request(labelled), selecting, ENFORCE).findings
    assert not review(request(service()), selecting, ENFORCE).findings
    excluding = ruleset(
        policy(NoNodePorts, match=block(kinds=KINDS), exclude=[block(excludes=True, objectSelector=selector)])
    )
    assert not review(request(labelled), excluding, ENFORCE).findings
    assert review(request(service()), excluding, ENFORCE).findings


def test_an_exception_frees_an_object_and_is_recorded_only_where_the_rule_would_judge() -> None:
    exception = CompiledException(
        name="legacy", reason="ticket", expires=None, namespaces=Names(()), names=Names(()),
        labels={"app": "web"}, users=Names(()), groups=Names(()), rules=frozenset({"no-node-ports"}),
    )  # fmt: skip
    rules = ruleset(policy(NoNodePorts, CrashesOnSecrets, match=block(kinds=KINDS), exceptions=[exception]))
    facts = Facts(mode=Mode.ENFORCE, now=datetime(2027, 1, 1, tzinfo=UTC))
    freed = review(request(service(metadata={"name": "web", "labels": {"app": "web"}})), rules, facts)
    assert freed.findings == ()
    assert [use.rule for use in freed.exempted] == ["no-node-ports"]
    assert review(request(service()), rules, facts).findings
    labelled = {**secret(), "metadata": {"name": "s", "labels": {"app": "web"}}}
    assert review(request(labelled), rules, facts).exempted == ()


UPDATES: dict[str, tuple[dict[str, Any], bool]] = {
    "status": ({"status": {"loadBalancer": {}}}, True),
    "an annotation": ({"metadata": {"name": "web", "annotations": {"a": "b"}}}, False),
    "a label": ({"metadata": {"name": "web", "labels": {"a": "b"}}}, False),
    "the spec": ({"spec": {"type": "NodePort", "sessionAffinity": "None"}}, False),
    "a finalizer": ({"metadata": {"name": "web", "finalizers": ["a/b"]}}, True),
}


@pytest.mark.parametrize(("change", "allowed"), UPDATES.values(), ids=UPDATES.keys())
def test_an_update_is_refused_only_if_it_changes_the_object(change: dict[str, Any], allowed: bool) -> None:
    rules = ruleset(policy(NoNodePorts, match=block(kinds=KINDS)))
    updated = request(service() | change, operation="UPDATE", old_object=service())
    decision = review(updated, rules, ENFORCE)
    assert decision.findings
    assert decision.allowed is allowed


def test_what_a_check_saw_an_update_bring_about_is_refused_whatever_changed() -> None:
    rules = ruleset(policy(Frozen, match=block(kinds=["Service"])))
    owned = service(metadata={"name": "web", "ownerReferences": [{"kind": "Namespace", "name": "gone"}]})
    decision = review(request(owned, operation="UPDATE", old_object=service()), rules, ENFORCE)
    assert [f.reason for f in decision.findings] == ["changed"]
    assert not decision.allowed


def test_a_check_of_objects_that_fails_is_a_finding_and_others_still_judge() -> None:
    rules = ruleset(policy(CrashesOnSecrets, name="a", match=block(kinds=KINDS)))
    decision = review(request(secret()), rules, ENFORCE)
    assert [f.reason for f in decision.findings] == ["first", "rule-failed"]
    assert "secret value" not in decision.message
    open_ = ruleset(policy(CrashesOnSecrets, match=block(kinds=KINDS), fail_closed=False))
    assert [f.action for f in review(request(secret()), open_, ENFORCE).findings] == [
        Action.ENFORCE,
        Action.AUDIT,
    ]


def test_nothing_is_judged_where_there_is_no_object() -> None:
    rules = ruleset(policy(NoNodePorts, match=block(kinds=KINDS, operations=["*"])))
    deleted = request(None, operation="DELETE", old_object=service())
    assert review(deleted, rules, ENFORCE).findings == ()


# --- kinds --------------------------------------------------------------------------------------------------


def test_a_policy_of_object_checks_matches_the_kinds_they_judge_and_no_pods() -> None:
    made = compiled(RELEASE)
    assert admits(made, "ServiceMonitor")
    assert admits(made, "PodMonitor")
    assert not admits(made, "PrometheusRule")
    assert not admits(made, "Pod", "")
    assert not admits(made, "PyTorchJob", "kubeflow.org")
    assert [rule.name for rule in made.object_checks] == ["monitor-release-label"]
    assert made.checks == ()


def test_a_policy_of_both_matches_pods_and_the_kinds_its_checks_judge() -> None:
    made = compiled(RELEASE, NO_PRIVILEGED)
    assert admits(made, "ServiceMonitor")
    assert admits(made, "Pod", "")
    assert admits(made, "PyTorchJob", "kubeflow.org")
    assert not admits(made, "ConfigMap", "")
    mutating = compiled(RELEASE, mutate=[{"rule": "labels", "parameters": {"values": {"a": "b"}}}])
    assert admits(mutating, "Pod", "")


def test_kinds_that_are_named_narrow_what_a_check_judges() -> None:
    made = compiled(RELEASE, match={"kinds": ["ServiceMonitor"]})
    assert admits(made, "ServiceMonitor")
    assert not admits(made, "PodMonitor")
    assert [f.rule for f in review(request(monitor()), ruleset(made), ENFORCE).findings] == [
        "monitor-release-label"
    ]
    assert review(request(monitor(release="prometheus")), ruleset(made), ENFORCE).findings == ()


def test_an_expression_among_object_checks_is_about_the_object() -> None:
    expression = {"expression": "object.kind == 'PodMonitor'"}
    made = compiled(RELEASE, expression)
    assert not made.expressions[0].on_pods
    assert not admits(made, "Pod", "")
    decision = review(request(monitor(release="x")), ruleset(made), ENFORCE)
    assert [f.rule for f in decision.findings] == ["expression-1"]
    about_pods = compiled(RELEASE, {**expression, "subject": "Pod"})
    assert about_pods.expressions[0].on_pods
    assert admits(about_pods, "Pod", "")


MISTAKES: dict[str, tuple[tuple[dict[str, Any], ...], dict[str, Any], list[str]]] = {
    "a kind that no rule judges": (
        (RELEASE,),
        {"match": {"kinds": ["Ingress", "ServiceMonitor"]}},
        [
            (
                "spec.match.kinds[0]: none of the policy's rules judges Ingress: "
                "monitor-release-label judges PodMonitor and ServiceMonitor"
            )
        ],
    ),
    "a kind without pods for a check of pods": (
        (NO_PRIVILEGED,),
        {"match": {"kinds": ["ConfigMap"]}},
        ["spec.match.kinds[0]: none of the policy's rules judges ConfigMap: no-privileged judges pods"],
    ),
    "a check of pods among kinds without": (
        (RELEASE, NO_PRIVILEGED),
        {"match": {"kinds": ["Service"]}},
        [
            (
                "spec.match.kinds[0]: none of the policy's rules judges Service: "
                "monitor-release-label judges PodMonitor and ServiceMonitor; no-privileged judges pods"
            )
        ],
    ),
    "a check of objects that the kinds leave out": (
        (NO_PRIVILEGED, RELEASE),
        {"match": {"kinds": ["Pod", "Deployment"]}},
        [
            (
                "spec.validate[1]: monitor-release-label judges PodMonitor and ServiceMonitor; "
                "match.kinds names Pod, Deployment"
            )
        ],
    ),
    "accelerators of what has no pods": (
        (RELEASE,),
        {"match": {"accelerators": "Required"}},
        ["spec.match.accelerators: is about pods, and none of the policy's rules judges pods; leave it out"],
    ),
}


@pytest.mark.parametrize(("validate", "spec", "messages"), MISTAKES.values(), ids=MISTAKES.keys())
def test_rules_and_kinds_that_have_nothing_to_do_with_each_other_are_errors(
    validate: tuple[dict[str, Any], ...], spec: dict[str, Any], messages: list[str]
) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        compiled(*validate, **spec)
    assert [str(problem) for problem in refused.value.problems] == messages


@pytest.mark.parametrize(
    ("validate", "kinds"),
    [
        ((RELEASE, NO_PRIVILEGED), ["*"]),
        ((RELEASE,), ["monitoring.coreos.com/v1/*"]),
        ((NO_PRIVILEGED,), ["example.com/v1/Anything"]),
        ((RELEASE, {"expression": "true"}), ["ServiceMonitor", "Service"]),
        (({"expression": "true"},), ["ConfigMap"]),
    ],
    ids=[
        "any kind",
        "any of a group",
        "custom resources may carry pods",
        "an expression judges all",
        "CEL alone",
    ],
)
def test_kinds_that_some_rule_judges_are_accepted(
    validate: tuple[dict[str, Any], ...], kinds: list[str]
) -> None:
    assert compiled(*validate, match={"kinds": kinds}).match.matcher.kinds


def test_policies_of_objects_cost_pods_nothing_and_the_other_way_round() -> None:
    rules = ruleset(compiled(RELEASE), policy(NeedsTeam, name="pods"), policy(SetTeam, name="mutates"))
    of_pod = rules.candidates(GroupVersionKind("", "v1", "Pod"), "CREATE", "ml")
    assert [made.name for made in of_pod] == ["mutates", "pods"]
    of_monitor = request(monitor())
    assert "p" in [made.name for made in rules.candidates(of_monitor.kind, "CREATE", "ml")]
    assert not review(request(deployment(pod())), ruleset(compiled(RELEASE)), ENFORCE).findings
