"""Compiling policies: everything that is wrong is told at once, with its place."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.policies import CONTEXT
from webhook.engine.compile import compile_policy
from webhook.policy.findings import Action, Severity
from webhook.policy.problems import InvalidPolicy


def document(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": "p"},
        "spec": {"validate": [{"rule": "no-privileged"}], **spec},
    }


def problems(doc: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidPolicy) as refused:
        compile_policy(doc, CONTEXT)
    return [str(problem) for problem in refused.value.problems]


def test_a_policy_is_compiled() -> None:
    doc = document(
        action="Warn",
        failurePolicy="Ignore",
        mutate=[{"rule": "resource-defaults", "parameters": {"cpu": "1"}}],
    )
    doc["metadata"]["annotations"] = {"gpuward.dev/title": "Title", "gpuward.dev/severity": "low"}
    compiled = compile_policy(doc, CONTEXT)
    assert (compiled.name, compiled.title, compiled.action) == ("p", "Title", Action.WARN)
    assert not compiled.fail_closed
    assert [rule.name for rule in compiled.mutations] == ["resource-defaults"]
    assert [(rule.name, rule.severity) for rule in compiled.checks] == [("no-privileged", Severity.LOW)]


@pytest.mark.parametrize(
    ("policy", "rule", "severity"),
    [(None, None, Severity.HIGH), ("low", None, Severity.LOW), ("low", "critical", Severity.CRITICAL)],
    ids=["the check's own", "the policy's", "the rule's"],
)
def test_the_nearest_severity_counts(policy: str | None, rule: str | None, severity: Severity) -> None:
    entry = {"rule": "no-host-path", **({"severity": rule} if rule else {})}
    doc = document(validate=[entry])
    if policy:
        doc["metadata"]["annotations"] = {"gpuward.dev/severity": policy}
    (check,) = compile_policy(doc, CONTEXT).checks
    assert check.severity is severity


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt check": (
        {"validate": [{"rule": "no-privilegd"}]},
        'spec.validate[0].rule: unknown rule "no-privilegd"; did you mean "no-privileged"?',
    ),
    "a mutation among the checks": (
        {"validate": [{"rule": "labels"}]},
        'spec.validate[0].rule: unknown rule "labels"; it belongs under `mutate`, not under `validate`',
    ),
    "a check among the mutations": (
        {"mutate": [{"rule": "no-privileged"}]},
        'spec.mutate[0].rule: unknown rule "no-privileged"; it belongs under `validate`, not under `mutate`',
    ),
    "a rule like no other": (
        {"validate": [{"rule": "zzz"}]},
        'spec.validate[0].rule: unknown rule "zzz"; `gpuward explain` lists the rules for `validate`',
    ),
    "a misspelt kind": (
        {"match": {"kinds": ["Deploymnt"]}},
        'spec.match.kinds[0]: unknown kind "Deploymnt"; did you mean "Deployment"?',
    ),
    "a kind of another group": (
        {"match": {"kinds": ["apps/v1/Job"]}},
        'spec.match.kinds[0]: group "apps" has no kind "Job"; did you mean "batch/v1/Job"?',
    ),
    "a kind without its version": (
        {"match": {"kinds": ["apps/Deployment"]}},
        (
            'spec.match.kinds[0]: "apps" in "apps/Deployment" is no API version; '
            "write group/version/Kind, such as apps/v1/Deployment"
        ),
    ),
    "a kind in an exclusion": (
        {"exclude": [{"kinds": ["Podd"]}]},
        'spec.exclude[0].kinds[0]: unknown kind "Podd"; did you mean "Pod"?',
    ),
    "an exception from a rule that is none": (
        {"exceptions": [{"name": "e", "reason": "r", "match": {}, "rules": ["no-privilege"]}]},
        'spec.exceptions[0].rules[0]: unknown rule "no-privilege"; did you mean "no-privileged"?',
    ),
}


@pytest.mark.parametrize(("spec", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_with_its_place_and_what_was_meant(spec: dict[str, Any], message: str) -> None:
    assert problems(document(**spec)) == [message]


def test_all_mistakes_are_told_at_once() -> None:
    doc = document(
        match={"kinds": ["Podd", "Job"]},
        mutate=[{"rule": "label"}, {"rule": "resource-defaults", "parameters": {"cpu": "lots"}}],
        validate=[{"rule": "no-privilegd"}, {"rule": "max-accelerators"}],
    )
    doc["metadata"]["annotations"] = {"gpuward.dev/severity": "hgh"}
    places = [message.split(":")[0] for message in problems(doc)]
    assert places == [
        "metadata.annotations[gpuward.dev/severity]",
        "spec.match.kinds[0]",
        "spec.mutate[0].rule",
        "spec.mutate[1].parameters.cpu",
        "spec.validate[0].rule",
        "spec.validate[1].parameters.perPod",
    ]


@pytest.mark.parametrize(
    ("written", "matches", "passes_by"),
    [
        ("Pod", ("", "v1", "Pod"), ("metrics.k8s.io", "v1", "Pod")),
        ("v1/Pod", ("", "v1", "Pod"), ("", "v2", "Pod")),
        ("Job", ("batch", "v1", "Job"), ("batch.volcano.sh", "v1alpha1", "Job")),
        ("batch/*/Job", ("batch", "v1beta1", "Job"), ("batch", "v1", "CronJob")),
        ("example.com/v1/Thing", ("example.com", "v1", "Thing"), ("example.org", "v1", "Thing")),
        ("apps/v1/*", ("apps", "v1", "DaemonSet"), ("batch", "v1", "Job")),
        ("PyTorchJob", ("kubeflow.org", "v1", "PyTorchJob"), ("", "v1", "PyTorchJob")),
    ],
)
def test_kinds_are_matched_by_group_version_and_kind(
    written: str, matches: tuple[str, str, str], passes_by: tuple[str, str, str]
) -> None:
    from webhook.kube.gvk import GroupVersionKind

    matcher = compile_policy(document(match={"kinds": [written]}), CONTEXT).match.matcher
    assert matcher.admits(GroupVersionKind(*matches), "CREATE", "ml")
    assert not matcher.admits(GroupVersionKind(*passes_by), "CREATE", "ml")


def test_conditions_and_expressions_share_the_variables() -> None:
    uses = "variables.team == 'ml'"
    doc = document(
        match={"conditions": [{"name": "ml", "expression": uses}]},
        exclude=[{"conditions": [{"name": "not", "expression": f"!({uses})"}]}],
        variables=[{"name": "team", "expression": "object.metadata.labels.team"}],
        validate=[{"expression": uses, "messageExpression": "'not ' + variables.team"}],
    )
    compiled = compile_policy(doc, CONTEXT)
    assert [condition.name for condition in compiled.match.conditions] == ["ml"]
    assert len(compiled.expressions) == 1


def test_a_variable_that_does_not_compile_is_told_once_and_not_where_it_is_used() -> None:
    doc = document(
        match={"conditions": [{"name": "c", "expression": "variables.bad == 1"}]},
        variables=[
            {"name": "bad", "expression": "1 + 'a'"},
            {"name": "worse", "expression": "variables.bad + 1"},
            {"name": "other", "expression": "object.spec.replicas +"},
        ],
        validate=[
            {"expression": "variables.worse == 1 && variables.missing"},
            {"expression": "variables.absent"},
        ],
    )
    assert [problem.split(": ")[0] for problem in problems(doc)] == [
        "spec.variables[0].expression",
        "spec.variables[2].expression",
        "spec.validate[1].expression",
    ]


@pytest.mark.parametrize(
    ("spec", "reads"),
    [
        ({}, False),
        ({"validate": [{"expression": "object.metadata.name != ''"}]}, False),
        ({"validate": [{"expression": "size(object.metadata.managedFields) < 9"}]}, True),
        ({"validate": [{"expression": "size(object.metadata) < 9"}]}, True),
        (
            {"match": {"conditions": [{"name": "c", "expression": "has(object.metadata.managedFields)"}]}},
            True,
        ),
        ({"exclude": [{"conditions": [{"name": "c", "expression": "object == oldObject"}]}]}, True),
        (
            {
                "variables": [{"name": "v", "expression": "object.metadata.managedFields"}],
                "validate": [{"expression": "variables.v.size() > 0"}],
            },
            True,
        ),
        (
            {
                "mutate": [
                    {
                        "rule": "annotations",
                        "parameters": {
                            "valueExpressions": {"by": "object.metadata.managedFields[0].manager"}
                        },
                    }
                ]
            },
            True,
        ),
    ],
)
def test_it_is_known_which_policies_look_at_managed_fields(spec: dict[str, Any], reads: bool) -> None:
    assert compile_policy(document(**spec), CONTEXT).reads_managed_fields is reads
