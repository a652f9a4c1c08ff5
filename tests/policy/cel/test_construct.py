"""``Object{...}`` and ``JSONPatch{...}``, what mutations return."""

from __future__ import annotations

import json
from typing import Any

import pytest

from webhook.policy.cel import CelCompileError, CelEvaluationError, Environment, Returns, Scope

OBJECT = {
    "metadata": {"name": "train", "labels": {"team": "a/b~c"}},
    "spec": {"replicas": 2, "ratio": 0.5, "containers": [{"name": "a"}, {"name": "b"}]},
}
REQUEST = {"namespace": "ml", "operation": "CREATE"}


def evaluate(expression: str, returns: Returns, variables: tuple[tuple[str, str], ...] = ()) -> Any:
    scope = Scope(object=OBJECT, request=REQUEST)
    return Environment(variables).compile(expression, returns).evaluate(scope)


def deep(levels: int) -> str:
    """An Object nested so deep, with a list at the bottom."""
    path, opened = "Object", "Object{"
    for level in range(levels):
        path += f".f{level}"
        opened += f"f{level}: {path}{{"
    return opened + "x: [1]" + "}" * (levels + 1)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        pytest.param("Object{}", {}, id="empty"),
        pytest.param(
            "Object{spec: Object.spec{replicas: 3,},}", {"spec": {"replicas": 3}}, id="trailing-commas"
        ),
        pytest.param(
            "Object { spec : Object . spec { namespace : request.namespace } }",
            {"spec": {"namespace": "ml"}},
            id="spaces-and-a-reserved-word",
        ),
        pytest.param(
            "Object{spec: Object.spec{ // a comment } {\n note: r'''}\\d''', other: \"{\\\"\", `a-b`: b'x' == b'}'}}",
            {"spec": {"note": "}\\d", "other": '{"', "a-b": False}},
            id="braces-in-texts-and-comments",
        ),
        pytest.param(
            "Object{spec: Object.spec{?a: optional.none(), ?b: object.spec.?replicas}}",
            {"spec": {"b": 2}},
            id="optional-fields",
        ),
        pytest.param(
            "Object{spec: Object.spec{containers: object.spec.containers.map(c, "
            "Object.spec.containers{name: c.name, tty: true})}}",
            {"spec": {"containers": [{"name": "a", "tty": True}, {"name": "b", "tty": True}]}},
            id="a-list-made-in-a-loop",
        ),
        pytest.param(
            "Object{spec: Object.spec{m: {'k': Object.spec.m{n: 1}}}}",
            {"spec": {"m": {"k": {"n": 1}}}},
            id="values-of-a-map-have-its-path",
        ),
        pytest.param(
            "object.spec.replicas > 5 ? Object{} : Object{metadata: Object.metadata{labels: {'x': 'y'}}}",
            {"metadata": {"labels": {"x": "y"}}},
            id="on-a-condition",
        ),
        pytest.param(
            "Object{a: 1, b: 2.0, c: 2u, d: 0.5, e: object.spec.ratio, f: object.spec.replicas, g: 1e30}",
            {"a": 1, "b": 2, "c": 2, "d": 0.5, "e": 0.5, "f": 2, "g": 1e30},
            id="numbers",
        ),
        pytest.param(
            "[object.spec.containers[0]].all(c, has(c.name)) ? Object{spec: Object.spec{c: object.spec.containers}} "
            ": Object{}",
            {"spec": {"c": [{"name": "a"}, {"name": "b"}]}},
            id="a-list-as-it-is",
        ),
    ],
)
def test_an_object_evaluates_to_the_map_of_its_fields(expression: str, expected: dict[str, Any]) -> None:
    result = evaluate(expression, "object")

    # As text, in which 1 is neither 1.0 nor true.
    assert json.dumps(result, sort_keys=True) == json.dumps(expected, sort_keys=True)


def test_an_object_may_be_as_deep_as_an_environment_variable_in_a_cron_job() -> None:
    assert evaluate(deep(9), "object")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        pytest.param(
            "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey(object.metadata.labels.team), "
            "value: object.spec.replicas}]",
            [{"op": "add", "path": "/metadata/labels/a~1b~0c", "value": 2}],
            id="escaped-key",
        ),
        pytest.param(
            "[JSONPatch{op: 'move', from: '/a', path: '/b'}, JSONPatch{op: 'remove', path: '/c'}]",
            [{"op": "move", "path": "/b", "from": "/a"}, {"op": "remove", "path": "/c"}],
            id="without-a-value",
        ),
        pytest.param(
            "[JSONPatch{op: 'add', path: '/a', value: null}]",
            [{"op": "add", "path": "/a", "value": None}],
            id="null",
        ),
        pytest.param(
            "[JSONPatch{op: 'add', path: '/c/-', value: Object.c{ports: [Object.c.ports{containerPort: 80.0}]}}]",
            [{"op": "add", "path": "/c/-", "value": {"ports": [{"containerPort": 80}]}}],
            id="an-object",
        ),
        pytest.param(
            "[JSONPatch{op: 'add', path: '/n', value: [9007199254740991, 9007199254740992]}]",
            [{"op": "add", "path": "/n", "value": [9007199254740991, "9007199254740992"]}],
            id="long-integers-as-text",
        ),
        pytest.param(
            "object.spec.containers.map(c, JSONPatch{op: 'test', path: '/x', value: c}) + []",
            [{"op": "test", "path": "/x", "value": {"name": n}} for n in ("a", "b")],
            id="made-in-a-loop",
        ),
        pytest.param(
            "has(object.spec.paused) ? [JSONPatch{op: 'remove', path: '/spec/paused'}] : []", [], id="none"
        ),
        pytest.param("[JSONPatch{}]", [{"op": "", "path": ""}], id="nothing-given"),
    ],
)
def test_patches_evaluate_to_operations(expression: str, expected: list[dict[str, Any]]) -> None:
    result = evaluate(expression, "patches")

    assert json.dumps(result, sort_keys=True) == json.dumps(expected, sort_keys=True)


def test_composed_variables_may_be_used_in_constructions() -> None:
    variables = (("n", "object.spec.replicas + 1"),)

    assert evaluate("Object{spec: Object.spec{replicas: variables.n}}", "object", variables) == {
        "spec": {"replicas": 3}
    }


@pytest.mark.parametrize(
    ("expression", "returns", "message", "place"),
    [
        pytest.param(
            "Object{spec: Object.spec{c: [Object.spec.d{x: 1}]}}",
            "object",
            "field 'c' of Object.spec takes Object.spec.c{...}, named after its path, but got Object.spec.d",
            "[",
            id="list-of-another-path",
        ),
        pytest.param(
            "Object{spec: true ? Object.spex{} : Object.spex{}}",
            "object",
            "takes Object.spec{...}, named after its path, but got Object.spex",
            "?",
            id="type-of-another-path-on-a-condition",
        ),
        pytest.param(
            "Object{spec: Object.spec{c: [{'name': 'x'}]}}",
            "object",
            "Kubernetes cannot apply a list(map(string, string)); write Object.spec.c{...} for what is within the list",
            "[",
            id="maps-in-a-list",
        ),
        pytest.param(
            "Object{a: {1: 'x'}}", "object", "the keys of a map must be strings", "{1", id="integer-keys"
        ),
        pytest.param("Object{a: 1, a: 2}", "object", "field 'a' is given twice", "2", id="twice"),
        pytest.param(
            "Object.spec{}", "object", "must evaluate to Object but got Object.spec", "Object", id="part"
        ),
        pytest.param(
            "object.spec", "object", "must evaluate to Object but got dyn", "object", id="dyn-object"
        ),
        pytest.param(
            "[]", "patches", "must evaluate to list(JSONPatch) but got list(dyn)", "[", id="untyped-list"
        ),
        pytest.param(
            "JSONPatch{op: 'add'}",
            "patches",
            "must evaluate to list(JSONPatch) but got JSONPatch",
            "J",
            id="single",
        ),
        pytest.param(
            "[JSONPatch{op: 'ad'}]",
            "patches",
            "'ad' is no operation of JSON Patch; it knows add, remove",
            "'ad'",
            id="op",
        ),
        pytest.param(
            "[JSONPatch{path: 1}]", "patches", "JSONPatch's path must be a string but got int", "1", id="path"
        ),
        pytest.param(
            "[JSONPatch{vlaue: 1}]",
            "patches",
            "undefined field in JSONPatch: 'vlaue'; did you mean 'value'?",
            "1",
            id="field",
        ),
        pytest.param(
            "[JSONPatch{value: [Object.c{}]}]",
            "patches",
            "cannot convert lists and maps of Object{...}",
            "[Object",
            id="objects-in-a-list",
        ),
        pytest.param(
            "[JSONPatch{value: JSONPatch{}}]",
            "patches",
            "cannot be the value of another",
            "JSONPatch{}",
            id="nested",
        ),
        pytest.param(
            "Object{a: JSONPatch{}}",
            "object",
            "a JSONPatch cannot be part of an Object",
            "JSONPatch",
            id="mixed",
        ),
        pytest.param(
            "Object{} == Object{} ? Object{} : Object{}",
            "object",
            "comparing Object{...} is not",
            "==",
            id="compared",
        ),
        pytest.param(
            "Object{a: dyn(Object.b{})}", "object", "dyn() of Object.b{...} is not supported", "(", id="dyn"
        ),
        pytest.param(
            "Object{a: objec.b}", "object", "undeclared reference to 'objec'", "objec.b", id="unknown-name"
        ),
        pytest.param("Object{a: 1 + 'b'}", "object", "no matching overload for '_+_'", "+", id="types"),
        pytest.param("Object{a: 1", "object", "ends too early", None, id="unclosed"),
        pytest.param("Object == null", "bool", "are for mutations only", "Object", id="name-only"),
        pytest.param(
            "[JSONPatch{op: 'add'}] == []", "bool", "are for mutations only", "JSONPatch", id="elsewhere"
        ),
    ],
)
def test_a_mistake_is_found_at_load_with_its_place(
    expression: str, returns: Returns, message: str, place: str | None
) -> None:
    with pytest.raises(CelCompileError) as caught:
        Environment().compile(expression, returns)

    assert message in caught.value.message
    if place is not None:
        assert caught.value.column == expression.index(place) + 1


@pytest.mark.parametrize(
    ("expression", "returns", "message"),
    [
        pytest.param("Object{a: object.missing}", "object", "no such key: missing", id="missing-key"),
        pytest.param("Object{a: null}", "object", "null cannot be applied", id="null"),
        pytest.param(
            "[JSONPatch{op: object.spec.replicas}]",
            "patches",
            "the op of operation 0 is not a string",
            id="op",
        ),
        pytest.param("[JSONPatch{value: 1.0 / 0.0}]", "patches", "which JSON cannot hold", id="infinity"),
    ],
)
def test_what_cannot_be_applied_is_an_evaluation_error(
    expression: str, returns: Returns, message: str
) -> None:
    with pytest.raises(CelEvaluationError) as caught:
        evaluate(expression, returns)

    assert message in caught.value.message


def test_variables_may_not_construct_as_in_kubernetes() -> None:
    with pytest.raises(CelCompileError, match="are for mutations only"):
        Environment([("patch", "Object{}")])
