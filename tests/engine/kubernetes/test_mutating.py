"""MutatingAdmissionPolicies: what they change, in which order, and what comes of their failures."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest

from webhook.engine.break_glass import compile_break_glass
from webhook.engine.compile import compile_policy
from webhook.engine.decision import Decision, Facts, Phase
from webhook.engine.kubernetes.admission import KubernetesAdmission
from webhook.engine.offline import request_for
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.kube.accelerators import Catalog
from webhook.policy.findings import Action, Mode
from webhook.policy.rule import Context

from .policies import (
    EVERYTHING,
    JSON,
    compiled,
    config_map,
    judge,
    map_binding,
    map_policy,
    problems,
    warnings,
)

LABEL = "Object{metadata: Object.metadata{labels: {'seen': 'yes'}}}"


def pod(**metadata: Any) -> JSON:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "train", "namespace": "ml", **metadata},
        "spec": {"containers": [{"name": "main", "image": "app:1"}]},
    }


def deployment(**spec: Any) -> JSON:
    template = {"spec": {"containers": [{"name": "main", "image": "app:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "serve", "namespace": "ml"},
        "spec": {"replicas": 1, "template": template, **spec},
    }


def own_label(value: str, key: str = "own") -> JSON:
    """A policy of gpuward's own that adds a label."""
    return {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": "own"},
        "spec": {"mutate": [{"rule": "labels", "parameters": {"values": {key: value}}}]},
    }


def judge_with_own(
    documents: list[JSON], own: list[JSON], obj: JSON, mode: Mode = Mode.ENFORCE, phase: Phase = Phase.BOTH
) -> Decision:
    context = Context(Catalog([]))
    found = compiled(*documents)
    admission = KubernetesAdmission(
        [policy for _, policy in found.validating], [policy for _, policy in found.mutating]
    )
    ruleset = Ruleset(
        [compile_policy(document, context) for document in own], Catalog([]), kubernetes=admission
    )
    return review(request_for(obj), ruleset, Facts(mode=mode), phase)


def applied(obj: JSON, decision: Decision) -> Any:
    return jsonpatch.apply_patch(obj, list(decision.patch))


def test_an_apply_configuration_changes_an_object_of_any_kind() -> None:
    obj = deployment()
    decision = judge(
        [map_policy("p", "Object{spec: Object.spec{replicas: object.spec.replicas + 2}}"), map_binding("p")],
        obj,
    )

    assert decision.patch == ({"op": "replace", "path": "/spec/replicas", "value": 3},)
    assert decision.object == applied(obj, decision) == deployment(replicas=3)
    assert decision.mutated_by == (("p", "mutations[0]"),)
    assert decision.allowed
    assert not decision.findings


def test_the_patch_has_only_what_changes() -> None:
    expression = """Object{spec: Object.spec{
        initContainers: [Object.spec.initContainers{name: 'proxy', image: 'mesh:1', restartPolicy: 'Always'}],
        containers: object.spec.containers.map(c, Object.spec.containers{
            name: c.name, env: [Object.spec.containers.env{name: 'MESH', value: 'on'}]})}}"""
    obj = pod()
    decision = judge([map_policy("p", expression), map_binding("p")], obj)

    assert decision.patch == (
        {"op": "add", "path": "/spec/containers/0/env", "value": [{"name": "MESH", "value": "on"}]},
        {
            "op": "add",
            "path": "/spec/initContainers",
            "value": [{"name": "proxy", "image": "mesh:1", "restartPolicy": "Always"}],
        },
    )
    assert applied(obj, decision) == decision.object


def test_a_mutation_without_effect_is_no_patch() -> None:
    decision = judge([map_policy("p", LABEL), map_binding("p")], pod(labels={"seen": "yes"}))

    assert decision.patch == ()
    assert decision.mutated_by == ()


def test_mutations_and_policies_see_what_those_before_them_made() -> None:
    documents = [
        map_policy(
            "b",
            "[JSONPatch{op: 'add', path: '/metadata/labels/b', value: object.metadata.labels.a2 + '!'}]",
            matchConditions=[{"name": "after-a", "expression": "has(object.metadata.labels)"}],
        ),
        map_policy(
            "a",
            "[JSONPatch{op: 'add', path: '/metadata/labels', value: {'a1': 'x'}}]",
            "[JSONPatch{op: 'add', path: '/metadata/labels/a2', value: object.metadata.labels.a1 + variables.v}]",
            variables=[{"name": "v", "expression": "string(size(object.metadata.labels))"}],
        ),
        map_binding("a"),
        map_binding("b"),
    ]

    decision = judge(documents, pod())

    assert decision.object is not None
    assert decision.object["metadata"]["labels"] == {"a1": "x", "a2": "x1", "b": "x1!"}
    assert decision.mutated_by == (("a", "mutations[0]"), ("a", "mutations[1]"), ("b", "mutations[0]"))


def test_selectors_look_at_the_object_as_it_came() -> None:
    documents = [
        map_policy("a", LABEL),
        map_binding("a"),
        map_policy(
            "b",
            "Object{metadata: Object.metadata{labels: {'b': 'yes'}}}",
            matchConstraints={
                "resourceRules": [EVERYTHING],
                "objectSelector": {"matchLabels": {"seen": "yes"}},
            },
        ),
        map_binding("b"),
    ]

    decision = judge(documents, pod())

    assert decision.object is not None
    assert decision.object["metadata"]["labels"] == {"seen": "yes"}


@pytest.mark.parametrize(("policy", "expected"), [("Never", "1"), ("IfNeeded", "2")])
def test_a_policy_runs_again_where_it_asks_for_that(policy: str, expected: str) -> None:
    counting = """Object{metadata: Object.metadata{annotations: {'n': string(int(
        object.metadata.?annotations['n'].orValue('0')) + 1)}}}"""

    decision = judge([map_policy("p", counting, reinvocationPolicy=policy), map_binding("p")], pod())

    assert decision.object is not None
    assert decision.object["metadata"]["annotations"] == {"n": expected}


@pytest.mark.parametrize(("policy", "expected"), [("Never", "none"), ("IfNeeded", "own")])
def test_own_mutations_come_between_the_rounds(policy: str, expected: str) -> None:
    """The API server asks webhooks after its own policies, and then its own again."""
    documents = [
        map_policy(
            "p",
            "Object{metadata: Object.metadata{labels: {'copy': object.metadata.?labels['own'].orValue('none')}}}",
            reinvocationPolicy=policy,
        ),
        map_binding("p"),
    ]
    obj = pod()

    decision = judge_with_own(documents, [own_label("own")], obj)

    assert decision.object is not None
    assert decision.object["metadata"]["labels"] == {"own": "own", "copy": expected}
    assert applied(obj, decision) == decision.object
    assert decision.mutated_by == (("p", "mutations[0]"), ("own", "labels"))


def test_own_mutations_see_what_kubernetes_policies_made_and_do_not_overwrite_it() -> None:
    documents = [
        map_policy("p", "Object{metadata: Object.metadata{labels: {'own': 'theirs'}}}"),
        map_binding("p"),
    ]

    decision = judge_with_own(documents, [own_label("ours")], pod())

    assert decision.object is not None
    assert decision.object["metadata"]["labels"] == {"own": "theirs"}


def test_validations_see_the_object_after_all_rounds() -> None:
    documents = [
        map_policy("p", LABEL),
        map_binding("p"),
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "v"},
            "spec": {
                "matchConstraints": {"resourceRules": [EVERYTHING]},
                "validations": [{"expression": "object.metadata.labels.seen == 'yes'"}],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": "v"},
            "spec": {"policyName": "v", "validationActions": ["Deny"]},
        },
    ]

    assert judge(documents, deployment()).allowed
    assert not judge(documents, deployment(), phase=Phase.VALIDATE).allowed


def test_only_the_mutating_half_changes() -> None:
    documents = [map_policy("p", LABEL), map_binding("p")]

    assert judge(documents, pod(), phase=Phase.MUTATE).patch
    assert not judge(documents, pod(), phase=Phase.VALIDATE).patch


def test_a_template_is_not_changed_by_own_mutations_besides() -> None:
    decision = judge_with_own([map_policy("p", LABEL), map_binding("p")], [own_label("x")], deployment())

    assert [operation["path"] for operation in decision.patch] == ["/metadata/labels"]


def test_an_audited_namespace_is_only_told_what_would_change() -> None:
    obj = pod()
    decision = judge_with_own([map_policy("p", LABEL), map_binding("p")], [own_label("x")], obj, Mode.AUDIT)

    assert decision.patch == ()
    assert decision.object == obj
    assert jsonpatch.apply_patch(obj, list(decision.would_patch))["metadata"]["labels"] == {
        "seen": "yes",
        "own": "x",
    }


@pytest.mark.parametrize("subresource", ["", "resize"])
def test_updates_are_changed_too(subresource: str) -> None:
    decision = judge(
        [map_policy("p", LABEL), map_binding("p")],
        pod(),
        operation="UPDATE",
        old_object=pod(),
        subresource=subresource,
    )

    assert [operation["path"] for operation in decision.patch] == ["/metadata/labels"]


def test_what_is_deleted_has_nothing_to_change() -> None:
    decision = judge([map_policy("p", LABEL), map_binding("p")], None, operation="DELETE", old_object=pod())

    assert decision.patch == ()
    assert decision.object is None


def test_parameters_are_there() -> None:
    documents = [
        map_policy(
            "p",
            "Object{metadata: Object.metadata{labels: {'tier': params.data.tier}}}",
            paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        ),
        map_binding("p", paramRef={"name": "tier", "namespace": "ops", "parameterNotFoundAction": "Deny"}),
        config_map("tier", {"tier": "gold"}, namespace="ops"),
    ]

    decision = judge(documents, pod())

    assert decision.object is not None
    assert decision.object["metadata"]["labels"] == {"tier": "gold"}


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        pytest.param("Object{spec: Object.spec{a: object.missing}}", "no such key: missing", id="evaluation"),
        pytest.param(
            "Object{spec: Object.spec{tolerations: [Object.spec.tolerations{key: 'x'}]}}",
            "may not mutate atomic arrays, maps or structs: .spec.tolerations",
            id="atomic",
        ),
        pytest.param(
            "Object{spec: Object.spec{nope: 1}}", ".spec.nope: field not declared in schema", id="field"
        ),
        pytest.param("[JSONPatch{op: 'remove', path: '/spec/volumes'}]", "operation 0: remove", id="patch"),
    ],
)
def test_a_failure_refuses_or_is_passed_over_as_the_policy_says(expression: str, message: str) -> None:
    failing = judge([map_policy("p", expression, LABEL), map_binding("p")], pod())
    passing = judge([map_policy("p", expression, LABEL, failurePolicy="Ignore"), map_binding("p")], pod())

    assert not failing.allowed
    assert message in failing.message
    (finding,) = failing.findings
    assert (finding.rule, finding.action, finding.error) == ("mutations[0]", Action.ENFORCE, True)
    assert passing.allowed
    assert [finding.action for finding in passing.findings] == [Action.AUDIT]
    # The policy's other mutations are made all the same.
    assert [operation["path"] for operation in passing.patch] == ["/metadata/labels"]


def test_a_patch_that_makes_no_such_object_refuses_whatever_the_policy_says() -> None:
    """The API server reads the result strictly, and answers with an internal error."""
    expression = "[JSONPatch{op: 'add', path: '/spec/nope', value: 1}]"

    decision = judge([map_policy("p", expression, failurePolicy="Ignore"), map_binding("p")], pod())

    assert not decision.allowed
    assert 'unknown field "spec.nope"' in decision.message


def test_a_condition_or_parameter_that_fails_is_a_failure() -> None:
    conditions = [{"name": "c", "expression": "object.missing == 1"}]
    ref = {"name": "none", "namespace": "ops", "parameterNotFoundAction": "Deny"}
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}

    condition = judge([map_policy("p", LABEL, matchConditions=conditions), map_binding("p")], pod())
    parameter = judge([map_policy("p", LABEL, paramKind=kind), map_binding("p", paramRef=ref)], pod())

    assert [finding.rule for finding in condition.findings] == ["matchConditions"]
    assert [finding.rule for finding in parameter.findings] == ["paramRef"]
    assert not condition.allowed
    assert not parameter.allowed
    assert condition.patch == parameter.patch == ()


def test_the_namespace_mode_is_a_ceiling_for_failures() -> None:
    documents = [map_policy("p", "Object{spec: Object.spec{a: object.missing}}"), map_binding("p")]

    decision = judge(documents, pod(), mode=Mode.WARN)

    assert decision.allowed
    assert decision.warnings


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param(
            map_policy("p", "Object{spec: Object.spec{c: [Object.spec.d{}]}}"),
            "spec.mutations[0].applyConfiguration.expression: CEL: field 'c' of Object.spec takes Object.spec.c{...}",
            id="path",
        ),
        pytest.param(
            map_policy("p", "object"),
            "applyConfiguration.expression: CEL: must evaluate to Object but got dyn",
            id="type",
        ),
        pytest.param(
            map_policy("p", "[]"), "jsonPatch.expression: CEL: must evaluate to list(JSONPatch)", id="untyped"
        ),
        pytest.param(map_policy("p"), "spec.mutations: is required", id="no-mutations"),
        pytest.param(
            map_policy("p", mutations=[{"jsonPatch": {"expression": "[]"}}]),
            "spec.mutations[0].patchType: is required",
            id="no-type",
        ),
        pytest.param(
            map_policy(
                "p", mutations=[{"patchType": "JSONPatch", "applyConfiguration": {"expression": "x"}}]
            ),
            "spec.mutations[0].jsonPatch: is required where patchType is JSONPatch",
            id="other-type",
        ),
        pytest.param(
            map_policy("p", LABEL, rules=[{**EVERYTHING, "operations": ["DELETE"]}]),
            "spec.matchConstraints.resourceRules[0].operations[0]",
            id="delete",
        ),
        pytest.param(
            map_policy("p", LABEL, reinvocationPolicy=None),
            "spec.reinvocationPolicy: is required; write Never or IfNeeded",
            id="no-reinvocation",
        ),
        pytest.param(
            map_policy("p", LABEL, reinvocationPolicy="Always"), "spec.reinvocationPolicy", id="reinvocation"
        ),
        pytest.param(
            map_policy("p", "Object{spec: Object.spec{a: params.x}}"),
            "undeclared reference to 'params'",
            id="params",
        ),
    ],
)
def test_mistakes_are_found_at_load(document: JSON, message: str) -> None:
    assert any(message in problem for problem in problems(document, map_binding("p")))


def test_bindings_and_policies_must_meet() -> None:
    (found,) = problems(map_policy("p", LABEL), map_binding("q"))

    assert 'there is no MutatingAdmissionPolicy "q" here' in found
    assert any(
        "no MutatingAdmissionPolicyBinding names it" in warning
        for warning in warnings(map_policy("p", LABEL))
    )


def test_older_versions_are_accepted() -> None:
    for version in ("v1beta1", "v1alpha1"):
        documents = [map_policy("p", LABEL), map_binding("p")]
        for document in documents:
            document["apiVersion"] = f"admissionregistration.k8s.io/{version}"
        assert judge(documents, pod()).patch


def test_who_breaks_the_glass_is_admitted_as_they_wrote_it() -> None:
    glass = compile_break_glass(
        {
            "apiVersion": "gpuward.dev/v1alpha1",
            "kind": "BreakGlass",
            "metadata": {"name": "on-call"},
            "spec": {"reason": "emergencies", "users": ["ada"]},
        }
    )
    found = compiled(map_policy("p", LABEL), map_binding("p"))
    admission = KubernetesAdmission((), [policy for _, policy in found.mutating])
    ruleset = Ruleset((), Catalog([]), break_glass=[glass], kubernetes=admission)

    decision = review(request_for(pod(), username="ada"), ruleset, Facts(mode=Mode.ENFORCE))

    assert decision.patch == ()
    assert decision.would_patch
    assert decision.break_glass is not None


def test_a_second_round_follows_own_mutations_where_the_first_could_do_nothing() -> None:
    documents = [
        map_policy(
            "p",
            "Object{metadata: Object.metadata{annotations: {'copy': object.metadata.labels.own}}}",
            reinvocationPolicy="IfNeeded",
            failurePolicy="Ignore",
        ),
        map_binding("p"),
    ]

    decision = judge_with_own(documents, [own_label("own")], pod())

    assert decision.object is not None
    assert decision.object["metadata"]["annotations"] == {"copy": "own"}
