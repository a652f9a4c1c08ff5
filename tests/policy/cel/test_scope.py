"""What expressions see of the objects, and how null, missing and odd values behave."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from webhook.policy.cel import CelEvaluationError, Scope

from .evaluating import POD, evaluate


@pytest.mark.parametrize(
    ("scope", "expression", "value"),
    [
        (Scope(object=POD), "oldObject == null && object != null", True),
        (Scope(old_object=POD), "object == null && oldObject.metadata.name == 'train'", True),
        (Scope(object=POD, old_object=POD), "object == oldObject", True),
        (Scope(object=POD), "params == null", True),
        (Scope(params={"limit": 3}), "params.limit == 3", True),
        (Scope(), "request == null && namespaceObject == null", True),
        (Scope(request={"operation": "DELETE"}), "request.operation == 'DELETE'", True),
        (
            Scope(request={"object": POD, "oldObject": None, "name": "n"}),
            "dyn(request) == {'name': 'n'}",
            True,
        ),
        (
            Scope(namespace_object={"metadata": {"labels": {"a": "b"}}}),
            "namespaceObject.metadata.labels.a",
            "b",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_variables_of_an_admission(scope: Scope, expression: str, value: Any) -> None:
    assert evaluate(expression, scope=scope) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("object.spec.replicas == 2", True),
        ("object.spec.replicas == 2.0", True),
        ("object.spec.replicas > 1.5", True),
        ("object.spec.fraction < 1", True),
        ("type(object.spec.replicas) == int", True),
        ("type(object.spec.fraction) == double", True),
        ("has(object.metadata.labels.team)", True),
        ("has(object.metadata.labels.x)", False),
        ("has(object.metadata.name.x)", False),
        ("object.spec.?priorityClassName.orValue('')", ""),
        ("object.spec.?securityContext.?runAsNonRoot.orValue(false)", False),
        ("object.?metadata.?name.?x.orValue('none')", "none"),
        ("object.spec.containers.map(c, c.?resources.?limits.?memory.orValue('none'))", ["8Gi", "none"]),
        ("object.metadata", POD["metadata"]),
        ("object == object", True),
        ("object.metadata.managedFields[0].manager", "kubectl"),
        ("has(object.metadata.managedFields)", True),
        ("'managedFields' in object.metadata", True),
        ("size(object.metadata)", 3),
        ("object.exists(k, k == 'metadata' && 'managedFields' in object[k])", True),
    ],
)
def test_looking_at_an_object(expression: str, value: Any) -> None:
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("object.spec.nope", "no such key: nope"),
        ("object.metadata['nope']", "no such key: nope"),
        ("object.spec.containers[7]", "index out of bounds: 7, the list has 2 elements"),
        ("object.spec.containers.map(c, c.resources)", "no such key: resources"),
        ("1 / (object.spec.replicas - 2)", "division by zero"),
        ("object.metadata.name + 1", "no such overload: _+_(string, int64)"),
        ("sign(quantity(object.metadata.name))", "'train' is not a quantity"),
        ("object.metadata.name.isGreaterThan(quantity('1'))", "expected a kubernetes.Quantity, got a string"),
        ("ip(object.metadata.name).family()", "IP Address 'train' parse error during conversion from string"),
        ("[].min()", "min called on empty list"),
        ("object.?nope.value()", "optional.none() dereference"),
        ("int(object.metadata.name)", "cannot convert string to int"),
        ("9223372036854775807 + object.spec.replicas", "integer overflow"),
    ],
)
def test_an_expression_without_a_value_says_why(expression: str, message: str) -> None:
    with pytest.raises(CelEvaluationError) as caught:
        evaluate(expression)
    assert message in caught.value.message


def test_the_expression_is_in_the_error() -> None:
    with pytest.raises(CelEvaluationError) as caught:
        evaluate("object.nope")
    assert caught.value.expression == "object.nope"
    assert str(caught.value) == "no such key: nope"


@pytest.mark.parametrize(
    ("expression", "returns", "message"),
    [
        ("object.metadata.name", "bool", "must evaluate to bool but got string"),
        ("object.spec.replicas", "string", "must evaluate to string but got int"),
        ("object.spec.containers", "bool", "must evaluate to bool but got list"),
        ("dyn(null)", "bool", "must evaluate to bool but got null"),
        ("dyn(object.?nope)", "string", "the result is an optional; give its alternative with orValue()"),
        ("dyn(object.?nope)", "any", "the result is an optional; give its alternative with orValue()"),
        ("[dyn(object.?nope)]", "any", "the result is an optional; give its alternative with orValue()"),
        ("dyn(duration('1s'))", "any", "the result is a duration; convert it with string()"),
        ("dyn({1: 2})", "any", "the result is a map whose keys are not all strings"),
        ("1.0 / (object.spec.fraction - 0.5)", "any", "the result is inf, which JSON cannot hold"),
    ],
)
def test_the_type_of_a_dyn_result_is_checked_at_evaluation(
    expression: str, returns: Any, message: str
) -> None:
    with pytest.raises(CelEvaluationError) as caught:
        evaluate(expression, returns)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("value", "expression", "expected"),
    [
        (2**63 - 1, "object.v == 9223372036854775807", True),
        (2**63, "type(object.v) == double", True),
        (-(2**63) - 1, "type(object.v) == double", True),
        (2**80, "object.v > 1.0", True),
        ("1234567890123456789012345678901234567890", "object.v.size()", 40),
        ("\\u0000", "object.v.size()", 6),
        ("日本語 😀", "object.v.size()", 5),
        ("", "object.v == ''", True),
        (None, "object.v == null", True),
        (None, "has(object.v)", True),
        (None, "has(object.v.x)", False),
        (None, "object.?v.?x.orValue(1)", 1),
        ([None, 1, "a", [], {}], "object.v", [None, 1, "a", [], {}]),
        ([[[1]]], "object.v[0][0][0]", 1),
        (True, "object.v", True),
        ({"": {"": 1}}, "object.v['']['']", 1),
        ({"a.b/c": 1}, "object.v['a.b/c']", 1),
    ],
)
def test_json_values(value: Any, expression: str, expected: Any) -> None:
    assert evaluate(expression, scope=Scope(object={"v": value})) == expected


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\0b", "object cannot be used in CEL: a string in it contains NUL"),
        ({"a\0": 1}, "object cannot be used in CEL: a string in it contains NUL"),
        ("\ufdd0Q1e0s", "object cannot be used in CEL: a string in it contains the noncharacter U+FDD0"),
        ("\ud800", "object cannot be used in CEL: str is not valid UTF-8: surrogates not allowed"),
        (_nested(100_000), "object cannot be used in CEL: Recursion limit reached"),
        ({1: 2}, "object cannot be used in CEL: Dict key must be str"),
        (object(), "object cannot be used in CEL: Type is not JSON serializable: object"),
    ],
    ids=["nul", "nul in a key", "mark", "surrogate", "deep", "number as a key", "no JSON"],
)
def test_what_cel_cannot_hold_is_an_error_of_the_expressions_that_use_it(value: Any, message: str) -> None:
    scope = Scope(object={"v": value}, params={"fine": True})
    with pytest.raises(CelEvaluationError) as caught:
        evaluate("object.v == 1", scope=scope)
    assert caught.value.message == message
    assert evaluate("params.fine", scope=scope) is True
    assert evaluate("params.fine || object.v == 1", scope=scope) is True


def test_nothing_given_is_changed() -> None:
    pod, request = copy.deepcopy(POD), {"object": copy.deepcopy(POD), "operation": "CREATE"}
    given = json.dumps([pod, request])
    scope = Scope(object=pod, old_object=pod, request=request, namespace_object=pod, params=pod)
    for expression in ("object.metadata", "object.metadata.name", "dyn(request)", "oldObject", "params"):
        evaluate(expression, scope=scope)
    assert json.dumps([pod, request]) == given


def test_a_real_review() -> None:
    path = Path(__file__).parents[3].parent / "shared" / "admission-reviews" / "pod-create-train-good.json"
    if not path.is_file():
        pytest.skip("the recorded reviews are not there: ../shared/admission-reviews")
    request = json.loads(path.read_text(encoding="utf-8"))["request"]
    scope = Scope(object=request["object"], old_object=request["oldObject"], request=request)
    assert evaluate("object", scope=scope) == request["object"]
    assert evaluate("request.operation == 'CREATE' && request.kind.kind == 'Pod'", scope=scope) is True
    assert evaluate("object.metadata.name", "string", scope) == request["name"]
