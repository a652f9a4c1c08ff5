"""What cannot be said in Kubernetes' policies is listed, and what can be is not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.export.exporting import exported, policies_of, read_back
from tests.export.policies import CHECKS, policy
from webhook.policy.model import BreakGlass, PolicyException
from webhook.policy.validation import validate_document

POD = {"kinds": ["Pod"]}


def _reasons(document: dict[str, Any], **how: Any) -> dict[str, str]:
    return {entry.rule: entry.reason for entry in exported(document, **how).left_out}


@pytest.mark.parametrize(
    ("expression", "lacking"),
    [
        ("math.greatest(1, 2) == 2", "math"),
        ("base64.encode(b'a') == 'YQ=='", "base64"),
        ("cel.bind(x, 1, x == 1)", "cel.bind"),
        ("object.metadata.name.reverse() == 'a'", "reverse"),
        ("object.metadata.labels.`a/b` == 'c'", "backticks"),
        ("variables.sum > 1", "math.* (in the variable sum)"),
    ],
)
def test_what_kubernetes_lacks_is_left_out(expression: str, lacking: str) -> None:
    variables = [{"name": "sum", "expression": "math.greatest(1, 2)"}]
    document = policy("p", [{"expression": expression}, *CHECKS["no-privileged"]], variables=variables)
    result = exported(document)
    assert [entry.rule for entry in result.left_out] == ["expression-0"]
    assert lacking.removesuffix("*") in result.left_out[0].reason
    (only,) = policies_of(result.objects)
    assert "expression-0" not in str(only)
    assert "math" not in str(only["spec"])


def test_what_stands_in_texts_is_not_what_kubernetes_lacks() -> None:
    document = policy("p", [{"expression": "object.metadata.name != 'math.abs(1)' // cel.bind(x)"}])
    assert not exported(document).left_out


def test_condition_that_cannot_be_exported_leaves_out_the_policy() -> None:
    conditions = [{"name": "c", "expression": "math.greatest(1, 2) == 2"}]
    document = policy("p", CHECKS["no-privileged"], match={"conditions": conditions})
    assert "math" in _reasons(document)[""]
    assert not exported(document).objects


def test_message_that_cannot_be_exported_is_the_fixed_one() -> None:
    rule = {"expression": "false", "message": "no", "messageExpression": "string(math.abs(1))"}
    result = exported(policy("p", [rule]))
    assert "messageExpression" not in policies_of(result.objects)[0]["spec"]["validations"][0]
    assert "math" in result.notes[0].text


def test_mutations_are_left_out() -> None:
    document = policy("p", CHECKS["no-privileged"], mutate=[{"rule": "accelerator-tolerations"}])
    assert "MutatingAdmissionPolicy" in _reasons(document)["accelerator-tolerations"]
    assert len(policies_of(exported(document).objects)) == 1


def test_rules_without_a_translation_are_left_out() -> None:
    document = policy("p", [{"rule": "pod-security", "parameters": {"level": "baseline"}}])
    assert "pod-security.kubernetes.io/enforce" in _reasons(document)["pod-security"]
    document = policy("p", [{"rule": "monitor-release-label"}])
    assert _reasons(document) == {"monitor-release-label": "there is no translation of this rule into CEL"}


@pytest.mark.parametrize("pattern", ["(?=a).*", "a++", "(?i)x", r"\bx", "(?P<n>a)", "x{2}+", "(?<!a)b"])
def test_pattern_that_re2_may_read_otherwise_is_left_out(pattern: str) -> None:
    document = policy(
        "p", [{"rule": "required-labels", "parameters": {"labels": [{"key": "a", "pattern": pattern}]}}]
    )
    assert "RE2" in _reasons(document)["required-labels"]


@pytest.mark.parametrize("pattern", [r"\d{2,3}[a-z_.-]+?(?:x|y)*", "a|b", r"[^a]\.b\w?", "(a)(b)"])
def test_pattern_that_both_know_is_exported(pattern: str) -> None:
    document = policy(
        "p", [{"rule": "required-labels", "parameters": {"labels": [{"key": "a", "pattern": pattern}]}}]
    )
    assert not _reasons(document)
    read_back(exported(document).objects)


def test_policy_about_workloads_alone_needs_templates() -> None:
    document = policy("p", CHECKS["no-privileged"], match={"kinds": ["Deployment", "CronJob"]})
    assert "--templates" in _reasons(document)[""]
    (only,) = policies_of(exported(document, templates=True).objects)
    resources = [rule["resources"] for rule in only["spec"]["matchConstraints"]["resourceRules"]]
    assert resources == [["deployments"], ["cronjobs"]]


def test_policy_about_custom_workloads_is_left_out_or_noted() -> None:
    document = policy("p", CHECKS["no-privileged"], match={"kinds": ["PyTorchJob"]})
    assert "other kinds" in _reasons(document, templates=True)[""]
    document = policy("p", CHECKS["no-privileged"], match={"kinds": ["PyTorchJob", "Pod"]})
    assert "PyTorchJob" in exported(document).notes[0].text


@pytest.mark.parametrize("operations", [["DELETE"], ["CONNECT"]])
def test_operations_that_judge_no_pods_are_left_out(operations: list[str]) -> None:
    document = policy("p", CHECKS["no-privileged"], match={"operations": operations})
    assert "created and updated" in _reasons(document)[""]


def test_conditions_keep_a_policy_to_pods() -> None:
    conditions = [{"name": "c", "expression": "has(object.spec.hostNetwork)"}]
    result = exported(policy("p", CHECKS["no-privileged"], match={"conditions": conditions}), templates=True)
    assert "only pods are judged" in result.notes[0].text
    (only,) = policies_of(result.objects)
    assert len(only["spec"]["matchConstraints"]["resourceRules"]) == 1


def test_exceptions_that_have_expired_are_left_out() -> None:
    exceptions = [{"name": "old", "reason": "r", "expires": "2026-11-26", "match": {"names": ["x"]}}]
    result = exported(policy("p", CHECKS["no-privileged"], exceptions=exceptions))
    assert "expired on 2026-11-26" in result.notes[0].text
    assert "exception" not in str(policies_of(result.objects)[0]["spec"])


def test_exception_on_its_last_day_holds_for_what_is_created() -> None:
    exceptions = [{"name": "late", "reason": "r", "expires": "2026-11-27", "match": {"names": ["x"]}}]
    result = exported(policy("p", CHECKS["no-privileged"], exceptions=exceptions))
    assert "holds until 2026-11-27" in result.notes[0].text
    assert "timestamp('2026-11-27T00:00:00Z') + duration('24h')" in str(result.objects)


def test_exceptions_in_documents_of_their_own_are_exported() -> None:
    document = {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "PolicyException",
        "metadata": {"name": "shared"},
        "spec": {
            "policies": ["p*"],
            "rules": ["no-priv*"],
            "reason": "r",
            "match": {
                "kinds": ["Pod"],
                "operations": ["CREATE"],
                "namespaceSelector": {"matchLabels": {"a": "b"}},
            },
        },
    }
    shared = (validate_document(PolicyException, document),)
    result = exported(
        policy("p", [*CHECKS["no-privileged"], *CHECKS["no-host-namespaces"]]), exceptions=shared
    )
    validations = policies_of(result.objects)[0]["spec"]["validations"]
    assert ["exception0" in each["expression"] for each in validations] == [True, True, True, False]
    read_back(result.objects)
    other = exported(policy("q", CHECKS["no-privileged"]), exceptions=shared)
    assert "exception" not in str(other.objects)


def test_break_glass_is_a_match_condition() -> None:
    document = {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "BreakGlass",
        "metadata": {"name": "on-call"},
        "spec": {
            "groups": ["on-call", "system:masters"],
            "users": ["root*"],
            "reason": "r",
            "expires": "2027-01-01",
        },
    }
    glass = (validate_document(BreakGlass, document),)
    result = exported(policy("p", CHECKS["no-privileged"]), break_glass=glass)
    (condition,) = [
        each for each in policies_of(result.objects)[0]["spec"]["matchConditions"] if "glass" in each["name"]
    ]
    assert "g.startsWith('system:') ? g == 'system:masters' : g == 'on-call'" in condition["expression"]
    assert any("without a record" in note.text for note in result.notes)
    read_back(result.objects)


def test_custom_kinds_whose_resource_is_a_guess_are_noted() -> None:
    document = policy("p", [{"expression": "object.spec.x == 1"}], match={"kinds": ["acme.example/v1/Fancy"]})
    result = exported(document)
    assert result.notes[0].text == "Fancy of acme.example is taken to be the resource fancies"
    (only,) = policies_of(result.objects)
    assert only["metadata"]["name"] == "p.objects.gpuward.dev"
    assert only["spec"]["matchConstraints"]["resourceRules"][0]["resources"] == ["fancies"]


def test_policy_about_pods_and_objects_becomes_two() -> None:
    rules = [*CHECKS["no-privileged"], {"expression": "object.metadata.name != 'x'", "subject": "Object"}]
    document = policy(
        "p", rules, match={"kinds": ["Pod", "Deployment"], "namespaceSelector": {"matchLabels": {"a": "b"}}}
    )
    found = policies_of(exported(document).objects)
    assert [each["metadata"]["name"] for each in found] == ["p.pods.gpuward.dev", "p.objects.gpuward.dev"]
    assert all(
        each["spec"]["matchConstraints"]["namespaceSelector"] == {"matchLabels": {"a": "b"}} for each in found
    )
    read_back(exported(document).objects)


def test_name_that_is_too_long_is_left_out() -> None:
    assert "too long" in _reasons(policy("p" * 240, CHECKS["no-privileged"]))[""]


def test_failure_policy_and_labels_are_kept() -> None:
    document = policy("p", CHECKS["no-privileged"], failurePolicy="Ignore")
    document["metadata"] |= {"labels": {"team": "ml"}, "annotations": {"gpuward.dev/title": "t"}}
    (only,) = policies_of(exported(document).objects)
    assert only["spec"]["failurePolicy"] == "Ignore"
    assert only["metadata"]["labels"]["team"] == "ml"
    assert only["metadata"]["annotations"] == {"gpuward.dev/title": "t", "gpuward.dev/policy": "p"}
