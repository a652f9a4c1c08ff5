"""ValidatingAdmissionPolicies in a review: what they find, and what comes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.kubernetes.policies import EVERYTHING, binding, config_map, judge, ruleset, vap
from tests.strategies import json_values
from webhook.engine.decision import Facts, Phase
from webhook.engine.offline import request_for
from webhook.engine.review import review
from webhook.kube.gvk import GroupVersionKind
from webhook.kube.resources import GroupVersionResource
from webhook.kube.review import AdmissionRequest
from webhook.policy.findings import Action, Mode

FALSE = "object.metadata.name == 'never'"


def found(decision: Any) -> list[tuple[str, str, Action, str]]:
    return [(f.policy, f.rule, f.action, f.message) for f in decision.findings]


def test_a_violation_is_a_finding_of_the_validation() -> None:
    decision = judge([vap("names", "true", FALSE), binding("names")], config_map("x"))
    assert not decision.allowed
    assert found(decision) == [("names", "validations[1]", Action.ENFORCE, f"failed expression: {FALSE}")]
    assert decision.findings[0].reason == "Invalid"
    assert "[names/validations[1]]" in decision.message


def test_what_holds_is_allowed() -> None:
    decision = judge([vap("names", "object.metadata.name == 'x'"), binding("names")], config_map("x"))
    assert decision.allowed
    assert decision.findings == ()


@pytest.mark.parametrize(
    ("actions", "mode", "expected"),
    [
        (["Deny"], Mode.ENFORCE, Action.ENFORCE),
        (["Deny"], Mode.WARN, Action.WARN),
        (["Deny"], Mode.AUDIT, Action.AUDIT),
        (["Warn"], Mode.ENFORCE, Action.WARN),
        (["Warn"], Mode.AUDIT, Action.AUDIT),
        (["Audit"], Mode.ENFORCE, Action.AUDIT),
        (["Audit", "Deny"], Mode.ENFORCE, Action.ENFORCE),
        (["Audit", "Warn"], Mode.ENFORCE, Action.WARN),
    ],
)
def test_the_mode_is_a_ceiling_over_the_actions(actions: list[str], mode: Mode, expected: Action) -> None:
    decision = judge([vap("p", FALSE), binding("p", *actions)], config_map("x"), mode=mode)
    assert [finding.action for finding in decision.findings] == [expected]
    assert decision.allowed is (expected is not Action.ENFORCE)
    assert bool(decision.warnings) is (expected is Action.WARN)


def test_a_namespace_that_has_not_opted_in_is_left_alone() -> None:
    assert judge([vap("p", FALSE), binding("p")], config_map("x"), mode=None).findings == ()


def test_a_policy_without_a_binding_is_in_force_nowhere() -> None:
    assert judge([vap("p", FALSE)], config_map("x")).findings == ()


def test_mutation_asks_no_validating_policy() -> None:
    assert judge([vap("p", FALSE), binding("p")], config_map("x"), phase=Phase.MUTATE).findings == ()


def test_an_update_is_judged_as_a_whole_also_where_it_leaves_the_violation_as_it_was() -> None:
    old = config_map("x", resourceVersion="1")
    decision = judge([vap("p", FALSE), binding("p")], config_map("x"), old_object=old, operation="UPDATE")
    assert [finding.action for finding in decision.findings] == [Action.ENFORCE]


@pytest.mark.parametrize("subresource", ["status", "binding", "exec", "log"])
def test_every_subresource_is_judged(subresource: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}}
    assert judge([vap("p", FALSE), binding("p")], pod, subresource=subresource).findings


def test_what_is_being_deleted_is_judged() -> None:
    obj = config_map("x", deletionTimestamp="2026-11-27T00:00:00Z")
    assert judge([vap("p", FALSE), binding("p")], obj, old_object=obj, operation="UPDATE").findings


def test_a_deletion_has_no_object_and_is_judged_by_what_was_there() -> None:
    policy = vap("p", "object == null && oldObject.metadata.name != 'x'")
    decision = judge([policy, binding("p")], None, old_object=config_map("x"), operation="DELETE")
    assert not decision.allowed
    assert decision.object is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"message": " must be never "}, "must be never"),
        ({"messageExpression": "'not ' + object.metadata.name"}, "not x"),
        ({"messageExpression": "object.data.absent == 'a' ? 'b' : 'c'", "message": "m"}, "m"),
        ({"messageExpression": "'  '", "message": "m"}, "m"),
        ({"messageExpression": "'a\\nb'", "message": "m"}, "m"),
        ({"messageExpression": "' a\\n'", "message": "m"}, "a"),
        ({"messageExpression": "'x'.replace('x', '" + 5121 * "y" + "')"}, f"failed expression: {FALSE}"),
    ],
    ids=["message", "computed", "fails", "blank", "two lines", "trimmed", "too long"],
)
def test_the_message_is_the_first_that_can_be_had(fields: dict[str, str], message: str) -> None:
    policy = vap("p", validations=[{"expression": FALSE, **fields}])
    assert [f.message for f in judge([policy, binding("p")], config_map("x")).findings] == [message]


FAILS = "object.spec.absent == 1"


@pytest.mark.parametrize(
    ("failure_policy", "actions", "expected"),
    [
        ("Fail", ["Deny"], Action.ENFORCE),
        ("Fail", ["Warn"], Action.WARN),
        ("Fail", ["Audit"], Action.AUDIT),
        ("Ignore", ["Deny"], Action.AUDIT),
    ],
)
def test_an_expression_that_fails_follows_the_failure_policy(
    failure_policy: str, actions: list[str], expected: Action
) -> None:
    policy = vap("p", FAILS, "true", failurePolicy=failure_policy)
    (finding,) = judge([policy, binding("p", *actions)], config_map("x")).findings
    assert (finding.rule, finding.action, finding.error) == ("validations[0]", expected, True)
    assert "no such key: spec" in finding.message


@pytest.mark.parametrize(
    ("conditions", "failure_policy", "judged"),
    [
        (["true"], "Fail", "judged"),
        (["true", "false"], "Fail", "passed"),
        (["object.no.where == 1", "false"], "Fail", "passed"),
        (["false", "object.no.where == 1"], "Fail", "passed"),
        (["true", "object.no.where == 1"], "Fail", "failed"),
        (["true", "object.no.where == 1"], "Ignore", "recorded"),
        (["namespaceObject == null"], "Fail", "judged"),
    ],
)
def test_a_false_condition_outweighs_one_that_fails(
    conditions: list[str], failure_policy: str, judged: str
) -> None:
    policy = vap(
        "p",
        FALSE,
        failurePolicy=failure_policy,
        matchConditions=[{"name": f"c{i}", "expression": e} for i, e in enumerate(conditions)],
    )
    decision = judge([policy, binding("p")], config_map("x"))
    expected = {
        "judged": [("validations[0]", Action.ENFORCE)],
        "passed": [],
        "failed": [("matchConditions", Action.ENFORCE)],
        "recorded": [("matchConditions", Action.AUDIT)],
    }[judged]
    assert [(f.rule, f.action) for f in decision.findings] == expected


def test_audit_annotations_go_into_the_decision() -> None:
    policy = vap(
        "p",
        auditAnnotations=[
            {"key": "name", "valueExpression": "' ' + object.metadata.name + ' '"},
            {"key": "nothing", "valueExpression": "null"},
            {"key": "blank", "valueExpression": "''"},
        ],
    )
    decision = judge([policy, binding("p", "Audit")], config_map("x"))
    assert decision.findings == ()
    assert decision.audit_annotations == {"p.name": "x"}


def test_an_audit_annotation_that_fails_denies_whatever_the_actions_are() -> None:
    policy = vap("p", auditAnnotations=[{"key": "k", "valueExpression": "string(object.absent)"}])
    (finding,) = judge([policy, binding("p", "Audit")], config_map("x")).findings
    assert (finding.rule, finding.action) == ("auditAnnotations[0]", Action.ENFORCE)


def test_a_binding_that_audits_records_its_violations() -> None:
    decision = judge([vap("p", "true", FALSE), binding("p", "Deny", "Audit")], config_map("x"))
    assert json.loads(decision.audit_annotations["validation_failure"]) == [
        {
            "message": f"failed expression: {FALSE}",
            "policy": "p",
            "binding": "p",
            "expressionIndex": 1,
            "validationActions": ["Deny", "Audit"],
        }
    ]


PARAMS = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
MAXIMUM = "object.metadata.name.size() <= int(params.data.max)"


def ref(name: str | None = "limits", action: str = "Deny", **fields: Any) -> dict[str, Any]:
    given = {"name": name, "parameterNotFoundAction": action, **fields}
    return {"paramRef": {key: value for key, value in given.items() if value is not None}}


def test_parameters_come_from_the_namespace_of_the_request() -> None:
    documents = [
        vap("p", MAXIMUM, **PARAMS),
        binding("p", **ref()),
        config_map("limits", {"max": "3"}),
        config_map("limits", {"max": "9"}, namespace="wide"),
    ]
    assert not judge(documents, config_map("long")).allowed
    assert judge(documents, config_map("long", namespace="wide")).allowed
    (finding,) = judge(documents, config_map("x", namespace="elsewhere")).findings
    assert (finding.rule, finding.action) == ("paramRef", Action.ENFORCE)
    assert "no parameters for it in namespace elsewhere" in finding.message


def test_parameters_that_may_be_absent_leave_the_policy_out() -> None:
    documents = [vap("p", MAXIMUM, **PARAMS), binding("p", **ref(action="Allow"))]
    assert judge(documents, config_map("long")).findings == ()


def test_parameters_that_are_absent_deny_also_where_the_binding_only_warns() -> None:
    documents = [vap("p", MAXIMUM, **PARAMS), binding("p", "Warn", **ref())]
    assert not judge(documents, config_map("long")).allowed
    documents[0]["spec"]["failurePolicy"] = "Ignore"
    assert judge(documents, config_map("long")).allowed


def test_every_selected_parameter_is_evaluated() -> None:
    documents = [
        vap(
            "p",
            validations=[{"expression": MAXIMUM, "messageExpression": "string(params.metadata.name)"}],
            **PARAMS,
        ),
        binding("p", **ref(None, namespace="default", selector={"matchLabels": {"use": "p"}})),
        config_map("b", {"max": "1"}, labels={"use": "p"}),
        config_map("a", {"max": "2"}, labels={"use": "p"}),
        config_map("c", {"max": "0"}),
    ]
    assert [f.message for f in judge(documents, config_map("long")).findings] == ["a", "b"]


def test_parameters_of_a_namespace_cannot_be_had_for_what_lives_in_none() -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
    documents = [vap("p", "true", **PARAMS), binding("p", **ref()), config_map("limits")]
    (finding,) = judge(documents, node).findings
    assert "set paramRef.namespace" in finding.message


def test_without_a_reference_the_parameters_are_null() -> None:
    documents = [vap("p", "params == null", **PARAMS), binding("p")]
    assert judge(documents, config_map("x")).findings == ()


def test_each_binding_is_in_force_by_itself_and_named_where_there_are_several() -> None:
    only_x = {
        "resourceRules": [{**vap()["spec"]["matchConstraints"]["resourceRules"][0], "resourceNames": ["x"]}]
    }
    documents = [
        vap("p", FALSE),
        binding("p", "Warn", name="everywhere"),
        binding("p", "Deny", name="x", matchResources=only_x),
    ]
    assert found(judge(documents, config_map("y"))) == [
        ("p", "validations[0]", Action.WARN, f"failed expression: {FALSE} (binding everywhere)")
    ]
    assert [f.action for f in judge(documents, config_map("x")).findings] == [Action.WARN, Action.ENFORCE]


def test_variables_are_there_for_validations_messages_and_annotations() -> None:
    policy = vap(
        "p",
        variables=[
            {"name": "name", "expression": "object.metadata.name"},
            {"name": "long", "expression": "size(string(variables.name)) > 3"},
        ],
        validations=[
            {"expression": "!variables.long", "messageExpression": "string(variables.name) + ' is long'"}
        ],
        auditAnnotations=[{"key": "name", "valueExpression": "string(variables.name)"}],
    )
    decision = judge([policy, binding("p")], config_map("long"))
    assert [f.message for f in decision.findings] == ["long is long"]
    assert decision.audit_annotations["p.name"] == "long"


@pytest.mark.parametrize(("failure_policy", "allowed"), [("Fail", False), ("Ignore", True)])
def test_an_object_that_would_have_to_be_converted_fails(failure_policy: str, allowed: bool) -> None:
    only_v1 = [{**EVERYTHING, "apiGroups": ["autoscaling"], "apiVersions": ["v1"]}]
    policy = vap("p", "true", rules=only_v1, failurePolicy=failure_policy)
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x"}}
    decision = judge([policy, binding("p", "Warn")], scaler)
    assert decision.allowed is allowed
    (finding,) = decision.findings
    assert finding.rule == "matchConstraints"
    assert "converts no objects" in finding.message


@pytest.mark.parametrize("metadata", [{"name": "default", "labels": {"a": "b"}}, None])
def test_a_namespace_from_a_manifest_has_the_label_with_its_name(metadata: dict[str, Any] | None) -> None:
    expression = (
        "namespaceObject.metadata.labels['kubernetes.io/metadata.name'] == 'default'"
        " && namespaceObject.metadata.labels['a'] == 'b'"
    )
    namespace = metadata and {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    facts = Facts(Mode.ENFORCE, namespace_labels={"a": "b"}, namespace_object=namespace)
    documents = [vap("p", expression), binding("p")]
    assert review(request_for(config_map("x")), ruleset(*documents), facts).findings == ()


def test_who_asks_is_empty_offline_and_no_error() -> None:
    policy = vap("p", "request.userInfo.username == '' && request.userInfo.groups == []")
    assert judge([policy, binding("p")], config_map("x")).findings == ()


def test_the_resource_of_a_scale_can_be_told() -> None:
    scale = {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "x"},
        "spec": {"replicas": 9},
    }
    rules = [{**EVERYTHING, "apiGroups": ["apps"], "resources": ["deployments/scale"]}]
    documents = [vap("p", "object.spec.replicas < 5", rules=rules), binding("p")]
    request = {"operation": "UPDATE", "subresource": "scale"}
    resource = GroupVersionResource("apps", "v1", "deployments")
    assert not judge(documents, scale, resource=resource, **request).allowed
    assert judge(documents, scale, **request).allowed


JSON_VALUES = json_values(
    st.none()
    | st.booleans()
    | st.integers(-3, 2**70)
    | st.floats(allow_nan=False)
    | st.text("aé\0", max_size=3),
    st.sampled_from(["metadata", "labels", "name", "spec", "x", "app"]),
    most=3,
    leaves=8,
)
OBJECTS = st.dictionaries(
    st.sampled_from(["metadata", "spec", "kind", "apiVersion"]), JSON_VALUES, max_size=4
)
EXPRESSIVE = ruleset(
    vap(
        "p",
        matchConditions=[{"name": "c", "expression": "object.metadata.name != 'a'"}],
        variables=[{"name": "n", "expression": "object.spec.x + 1"}],
        validations=[
            {"expression": "variables.n > 2", "messageExpression": "string(variables.n)"},
            {"expression": "object.spec.all(x, has(x.name))"},
            {"expression": "object == oldObject"},
        ],
        auditAnnotations=[{"key": "k", "valueExpression": "string(object.metadata.name)"}],
    ),
    binding("p", "Deny", "Audit", matchResources={"objectSelector": {"matchLabels": {"app": "a"}}}),
    vap("q", failurePolicy="Ignore", validations=[{"expression": "size(object.spec) > 0"}]),
    binding("q", "Warn"),
)


@given(
    OBJECTS, OBJECTS, st.dictionaries(st.sampled_from(["resource", "requestResource", "name"]), JSON_VALUES)
)
def test_no_object_is_too_odd(obj: dict[str, Any], old: dict[str, Any], raw: dict[str, Any]) -> None:
    request = AdmissionRequest(
        GroupVersionKind("", "v1", "Pod"), "UPDATE", "team", "x", obj=obj, old_object=old, raw=raw
    )
    decision = review(request, EXPRESSIVE, Facts(Mode.ENFORCE))
    assert decision.allowed == all(finding.action is not Action.ENFORCE for finding in decision.findings)


def test_admission_policies_themselves_are_never_judged() -> None:
    assert judge([vap("p", FALSE), binding("p")], vap("other", "true")).findings == ()


@pytest.mark.parametrize(
    ("expression", "obj"),
    [
        (
            "request.namespace == 'team' && namespaceObject.metadata.labels.a == 'b'",
            config_map("x", namespace="team"),
        ),
        (
            "request.resource.resource == 'configmaps' && request.requestKind.kind == 'ConfigMap'",
            config_map("x"),
        ),
        (
            "!has(request.subResource) && request.name == 'x' && request.operation == 'CREATE'",
            config_map("x"),
        ),
        (
            "!has(request.namespace) && namespaceObject == null",
            {"apiVersion": "v1", "kind": "Node", "metadata": {}},
        ),
        (
            "request.namespace == 'n' && request.name == 'n' && namespaceObject == null",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}},
        ),
        ("oldObject == null && request.options == null && !request.dryRun", config_map("x")),
    ],
)
def test_the_request_is_as_in_the_api_server(expression: str, obj: dict[str, Any]) -> None:
    decision = judge([vap("p", expression), binding("p")], obj, namespace_labels={"a": "b"})
    assert [f.message for f in decision.findings] == []
