"""Values that expressions work out, in the mutations that take them."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest

from webhook.engine.compile import compile_policy
from webhook.engine.decision import Decision, Facts
from webhook.engine.offline import request_for
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.kube.accelerators import Catalog
from webhook.policy.findings import Action, Mode
from webhook.policy.problems import InvalidPolicy
from webhook.policy.rule import Context

JSON = dict[str, Any]

TEAM = "namespaceObject.metadata.labels[?'team'].orValue('')"


def policy(rule: str, parameters: JSON, **spec: Any) -> JSON:
    return {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": "p"},
        "spec": {"mutate": [{"rule": rule, "parameters": parameters}], **spec},
    }


def pod(**metadata: Any) -> JSON:
    containers = [{"name": "main", "image": "app:1"}, {"name": "side", "image": "app:2"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "train", "namespace": "ml", **metadata},
        "spec": {"containers": containers},
    }


def decide(document: JSON, obj: JSON, labels: dict[str, str] | None = None) -> Decision:
    compiled = compile_policy(document, Context(Catalog([])))
    ruleset = Ruleset([compiled], Catalog([]))
    facts = Facts(mode=Mode.ENFORCE, namespace_labels={"team": "vision"} if labels is None else labels)
    return review(request_for(obj), ruleset, facts)


def changed(document: JSON, obj: JSON, labels: dict[str, str] | None = None) -> Any:
    """The object afterwards; that the patch leads there, and that a second review finds nothing to do, is checked."""
    decision = decide(document, obj, labels)
    assert not decision.findings
    assert jsonpatch.apply_patch(obj, list(decision.patch)) == decision.object
    assert decision.object is not None
    assert decide(document, decision.object, labels).patch == ()
    return decision.object


def problems(document: JSON) -> list[str]:
    with pytest.raises(InvalidPolicy) as caught:
        compile_policy(document, Context(Catalog([])))
    return [str(problem) for problem in caught.value.problems]


def test_labels_are_copied_from_the_namespace_where_the_pod_has_none() -> None:
    copying = policy("labels", {"values": {"fixed": "yes"}, "valueExpressions": {"team": TEAM}})

    assert changed(copying, pod())["metadata"]["labels"] == {"fixed": "yes", "team": "vision"}
    assert changed(copying, pod(labels={"team": "own"}))["metadata"]["labels"] == {
        "team": "own",
        "fixed": "yes",
    }
    assert changed(copying, pod(), {})["metadata"]["labels"] == {"fixed": "yes"}


def test_annotations_may_use_the_policys_variables() -> None:
    document = policy(
        "annotations",
        {"valueExpressions": {"images": "variables.images.join(',')", "none": "null"}},
        variables=[{"name": "images", "expression": "object.spec.containers.map(c, string(c.image))"}],
    )

    assert changed(document, pod())["metadata"]["annotations"] == {"images": "app:1,app:2"}


def test_environment_variables_of_each_container() -> None:
    document = policy(
        "environment",
        {
            "variables": [
                {"name": "TEAM", "valueExpression": TEAM},
                {"name": "NONE", "valueExpression": "null"},
                {"name": "FIXED", "value": "1"},
            ]
        },
    )
    obj = pod()
    obj["spec"]["containers"][1]["env"] = [{"name": "TEAM", "value": "own"}]

    first, second = changed(document, obj)["spec"]["containers"]

    assert first["env"] == [{"name": "TEAM", "value": "vision"}, {"name": "FIXED", "value": "1"}]
    assert second["env"] == [{"name": "TEAM", "value": "own"}, {"name": "FIXED", "value": "1"}]


def test_a_patch_adds_what_is_worked_out_and_an_item_only_once() -> None:
    document = policy(
        "json-patch",
        {
            "operations": [
                {"op": "test", "path": "/spec/hostNetwork"},
                {
                    "op": "add",
                    "path": "/spec/tolerations/-",
                    "valueExpression": f"{{'key': 'team', 'operator': 'Equal', 'value': {TEAM}}}",
                },
                {
                    "op": "add",
                    "path": "/spec/terminationGracePeriodSeconds",
                    "valueExpression": "size(object.spec.containers) * 30",
                },
                {"op": "add", "path": "/spec/runtimeClassName", "valueExpression": "null"},
            ]
        },
    )

    spec = changed(document, pod())["spec"]

    assert spec["tolerations"] == [{"key": "team", "operator": "Equal", "value": "vision"}]
    assert spec["terminationGracePeriodSeconds"] == 60
    assert type(spec["terminationGracePeriodSeconds"]) is int
    assert "runtimeClassName" not in spec
    on_the_host = pod()
    on_the_host["spec"]["hostNetwork"] = True
    assert changed(document, on_the_host) == on_the_host


def test_a_merge_patch_may_be_worked_out_as_a_whole() -> None:
    patch = f"""Object{{
        metadata: Object.metadata{{labels: {{'team': {TEAM}}}}},
        spec: Object.spec{{nodeSelector: {{'zone': 'b', 'team': {TEAM}}}, terminationGracePeriodSeconds: 30.0}}
    }}"""
    document = policy("merge-patch", {"expression": f"{TEAM} == '' ? Object{{}} : {patch}"})
    obj = pod()
    obj["spec"]["nodeSelector"] = {"zone": "a"}

    made = changed(document, obj)

    assert made["spec"]["nodeSelector"] == {"zone": "a", "team": "vision"}
    assert made["metadata"]["labels"] == {"team": "vision"}
    assert type(made["spec"]["terminationGracePeriodSeconds"]) is int
    assert changed(document, obj, {}) == obj


def test_a_value_of_several_types_is_written_as_an_object() -> None:
    toleration = "Object.spec.tolerations{key: 'a', operator: 'Exists', tolerationSeconds: 30}"
    document = policy(
        "json-patch",
        {"operations": [{"op": "add", "path": "/spec/tolerations/-", "valueExpression": toleration}]},
    )

    assert changed(document, pod())["spec"]["tolerations"] == [
        {"key": "a", "operator": "Exists", "tolerationSeconds": 30}
    ]


def test_a_template_is_judged_with_what_its_pods_would_get() -> None:
    document = policy(
        "labels",
        {"valueExpressions": {"team": TEAM}},
        validate=[{"rule": "required-labels", "parameters": {"labels": [{"key": "team"}]}}],
    )
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "serve", "namespace": "ml"},
        "spec": {"template": {"spec": {"containers": [{"name": "main", "image": "app:1"}]}}},
    }

    assert decide(document, deployment).allowed
    assert not decide(document, deployment, {}).allowed


@pytest.mark.parametrize(
    ("rule", "parameters", "message"),
    [
        pytest.param(
            "labels", {"valueExpressions": {"a": "object.missing"}}, "no such key: missing", id="evaluation"
        ),
        pytest.param("labels", {"valueExpressions": {"a": "'no label!'"}}, "a: ", id="label-value"),
        pytest.param(
            "labels", {"valueExpressions": {"a": "dyn(1)"}}, "must evaluate to string or null", id="type"
        ),
        pytest.param(
            "merge-patch", {"expression": "dyn([1])"}, "a map with metadata and spec", id="no-patch"
        ),
        pytest.param(
            "merge-patch",
            {"expression": "{'metadata': {'name': 'x'}}"},
            "must not touch metadata.name",
            id="forbidden",
        ),
        pytest.param("merge-patch", {"expression": "{'spec': dyn(1)}"}, "spec must be a map", id="no-map"),
        pytest.param(
            "merge-patch",
            {"expression": "Object{spec: Object.spec{priorityClasName: 'a'}}"},
            'spec has no field "priorityClasName" in Kubernetes v1.36; did you mean "priorityClassName"?',
            id="misspelt",
        ),
        pytest.param(
            "json-patch",
            {"operations": [{"op": "add", "path": "/spec/hostUsers", "valueExpression": "'no'"}]},
            'spec.hostUsers: must be a boolean, not "no"',
            id="wrong-type",
        ),
    ],
)
def test_what_cannot_be_worked_out_is_a_failed_rule_and_refuses_nothing(
    rule: str, parameters: JSON, message: str
) -> None:
    decision = decide(policy(rule, parameters), pod())

    (finding,) = decision.findings
    assert message in finding.message
    assert (finding.error, finding.action) == (True, Action.WARN)
    assert decision.allowed
    assert decision.patch == ()


@pytest.mark.parametrize(
    ("rule", "parameters", "message"),
    [
        pytest.param(
            "labels",
            {"valueExpressions": {"a": "objec.x"}},
            "spec.mutate[0].parameters.valueExpressions.a: CEL: undeclared reference to 'objec'",
            id="name",
        ),
        pytest.param(
            "labels",
            {"valueExpressions": {"a": "1"}},
            "must evaluate to string or null but got int",
            id="type",
        ),
        pytest.param("labels", {"valueExpressions": {"a b": "''"}}, "valueExpressions", id="key"),
        pytest.param("labels", {}, "give values or valueExpressions", id="nothing"),
        pytest.param(
            "labels",
            {"values": {"a": "b"}, "valueExpressions": {"a": "''"}},
            "is given under values too",
            id="twice",
        ),
        pytest.param(
            "environment",
            {"variables": [{"name": "A", "value": "1", "valueExpression": "'1'"}]},
            "give either value or valueFrom, or valueExpression",
            id="both",
        ),
        pytest.param(
            "json-patch",
            {
                "operations": [
                    {"op": "replace", "path": "/spec/hostname", "valueExpression": "object.metadata.name"}
                ]
            },
            "only the value of add can be worked out",
            id="replace",
        ),
        pytest.param(
            "json-patch",
            {
                "operations": [
                    {
                        "op": "add",
                        "path": "/spec/volumes/-",
                        "valueExpression": "{'name': object.metadata.name}",
                    }
                ]
            },
            "must not be worked out from object",
            id="list-from-the-pod",
        ),
        pytest.param(
            "json-patch",
            {"operations": [{"op": "add", "path": "/metadata/name", "valueExpression": "'x'"}]},
            "must not touch metadata.name",
            id="forbidden",
        ),
        pytest.param(
            "merge-patch",
            {"expression": "{'spec': {}}", "overwrite": True},
            "must not overwrite",
            id="overwrite",
        ),
        pytest.param("merge-patch", {"expression": "1"}, "must evaluate to Object, or a map", id="no-map"),
        pytest.param("merge-patch", {}, "give either patch or expression", id="no-patch"),
    ],
)
def test_mistakes_are_found_at_load(rule: str, parameters: JSON, message: str) -> None:
    assert any(message in problem for problem in problems(policy(rule, parameters)))


def test_a_mistake_in_an_expression_has_its_place() -> None:
    with pytest.raises(InvalidPolicy) as caught:
        compile_policy(policy("labels", {"valueExpressions": {"a": "'x' +\n  objec"}}), Context(Catalog([])))

    assert [problem.offset for problem in caught.value.problems] == [(2, 3)]


def test_a_variable_that_is_wrong_is_told_once() -> None:
    document = policy(
        "labels", {"valueExpressions": {"a": "variables.v"}}, variables=[{"name": "v", "expression": "nope"}]
    )

    assert len(problems(document)) == 1
