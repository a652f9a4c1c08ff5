"""The JSON Schema of policy files: it says what validation says."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from msgspec import structs

from tests.policy.test_model import FULL, SMALLEST, all_paths, with_change
from tests.strategies import json_values
from tests.support import POLICIES, REPOSITORY
from webhook.adapters.yaml_documents import Document, read_documents
from webhook.checks import CHECKS
from webhook.kube.path import MISSING, parse
from webhook.kube.path import Path as FieldPath
from webhook.mutations import MUTATIONS
from webhook.policy import crd
from webhook.policy.descriptions import field_descriptions
from webhook.policy.problems import InvalidPolicy
from webhook.policy.rule import Rule
from webhook.policy.schema import parameters_schema, policy_schema
from webhook.policy.strict import Strict
from webhook.policy.validation import validate_parameters, validate_policy

SCHEMA = policy_schema(MUTATIONS, CHECKS)
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
RULES: tuple[type[Rule], ...] = (*MUTATIONS, *CHECKS)


def errors(document: Any) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(document)]


def test_schema_is_a_good_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert "__" not in str(sorted(SCHEMA["$defs"]))


SHIPPED = [*sorted(POLICIES.glob("**/*.yaml")), REPOSITORY / "webhook/kube/accelerators.yaml"]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_shipped_documents_fit_the_schema(file: Path) -> None:
    for document in read_documents(file.read_bytes(), str(file)):
        assert isinstance(document, Document)
        assert errors(document.data) == []


@pytest.mark.parametrize("document", [FULL, SMALLEST], ids=["full", "smallest"])
def test_good_policy_fits_the_schema(document: Any) -> None:
    policy = copy.deepcopy(document)
    assert errors(policy) == []


MISTAKES: list[tuple[str, Any]] = [
    ("kind", "Polici"),
    ("kind", MISSING),
    ("apiVersion", "v1"),
    ("spec", MISSING),
    ("spec.acton", "Warn"),
    ("spec.action", "warn"),
    ("spec.match.kinds", "Pod"),
    ("spec.match.objectSelector.matchExpressions[0].values", []),
    ("spec.match.objectSelector.matchExpressions[1].values", ["x"]),
    ("spec.exceptions[0].expires", "soon"),
    ("spec.exceptions[0].reason", ""),
    ("spec.mutate[0].rule", "lables"),
    ("spec.mutate[0].rule", "no-privileged"),
    ("spec.mutate[0]", {"rule": "environment"}),
    ("spec.mutate[0].parameters", {"vals": {}}),
    ("spec.mutate[0].parameters", {"values": {"a": 1}}),
    ("spec.validate[0].rule", "labels"),
    ("spec.validate[0].rule", MISSING),
    ("spec.validate[0].parameters", {"resource": ["cpu"]}),
    ("spec.validate[0].message", "x"),
    ("spec.validate[1].parameters", {"a": 1}),
    ("spec", {"action": "Warn"}),
    ("spec", {"mutate": [], "validate": []}),
]


@pytest.mark.parametrize(
    ("field", "value"), MISTAKES, ids=[f"{f} {'absent' if v is MISSING else v}" for f, v in MISTAKES]
)
def test_mistake_is_shown_in_the_editor(field: str, value: Any) -> None:
    assert errors(with_change(parse(field), value))


def test_editors_are_offered_the_rules_with_their_summaries() -> None:
    offered = SCHEMA["$defs"]["MutateRule"]["properties"]["rule"]["oneOf"]
    assert [rule["const"] for rule in offered] == sorted(rule.name for rule in MUTATIONS)
    assert all(rule["title"] and rule["description"] for rule in offered)
    offered = SCHEMA["$defs"]["ValidateRule"]["else"]["properties"]["rule"]["oneOf"]
    assert [rule["const"] for rule in offered] == sorted(rule.name for rule in CHECKS)


@pytest.mark.parametrize("name", sorted(SCHEMA["$defs"]))
def test_every_field_is_described(name: str) -> None:
    fields = SCHEMA["$defs"][name].get("properties", {})
    assert [field for field, schema in fields.items() if not schema.get("description")] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_parameters_of_every_rule_have_a_schema_that_names_and_describes_them(rule: type[Rule]) -> None:
    schema = parameters_schema(rule)
    assert schema["additionalProperties"] is False
    assert schema["properties"].keys() == set(rule.Parameters.__struct_encode_fields__)
    assert field_descriptions(rule.Parameters).keys() == set(rule.Parameters.__struct_fields__)


# --- laws ------------------------------------------------------------------------------------------------

# Null is left out: for an optional field it means the same as leaving it away, and nobody writes it.
small_values = json_values(
    st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "a", "Warn", "In", "labels", "2027-03-31", "true"]),
    st.sampled_from(["key", "rule", "name", "expression", "values"]),
    most=2,
    leaves=4,
)

# Rules and their parameters are compared rule by rule, below.
PATHS = [path for path in all_paths(FULL) if path[:2] not in (("spec", "mutate"), ("spec", "validate"))]


@given(st.sampled_from(PATHS), small_values)
def test_schema_and_validation_agree_on_policies(path: FieldPath, value: Any) -> None:
    document = with_change(path, value)
    try:
        validate_policy(document)
        taken = True
    except InvalidPolicy:
        taken = False
    if path[0] == "kind":
        return  # the schema knows other kinds too
    assert (not errors(document)) == taken


def parameter_values(rule: type[Rule]) -> st.SearchStrategy[Any]:
    names = [*parameters_schema(rule)["properties"], "unknown"]
    return st.dictionaries(st.sampled_from(names), small_values, max_size=2)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_schema_and_validation_agree_on_parameters(rule: type[Rule]) -> None:
    validator = Draft202012Validator(parameters_schema(rule))

    @settings(max_examples=30)
    @given(parameter_values(rule))
    def agree(data: Any) -> None:
        try:
            validate_parameters(rule, data, ())
            taken = True
        except InvalidPolicy:
            taken = False
        assert (not list(validator.iter_errors(data))) == taken

    agree()


@pytest.mark.parametrize(
    "document",
    [
        {"apiVersion": "v1", "kind": "ConfigMap", "data": {"replicas": "3"}},
        {"apiVersion": "v1", "kind": "List", "items": []},
    ],
    ids=lambda document: str(document["kind"]),
)
def test_what_else_may_lie_in_a_folder_of_policies_is_left_alone(document: Any) -> None:
    assert errors(document) == []


def test_a_kind_of_ours_is_ours_whatever_its_version() -> None:
    assert errors({**SMALLEST, "apiVersion": "v1"})
    assert errors({**SMALLEST, "apiVersion": "gpuward.dev/v1", "kind": "Polici"})


def _models(kind: Any, seen: set[type[Strict]]) -> set[type[Strict]]:
    """A model and all models in its fields."""
    if isinstance(kind, type) and issubclass(kind, Strict) and kind not in seen:
        seen.add(kind)
        for field in structs.fields(kind):
            _models(field.type, seen)
    for argument in get_args(kind):
        _models(argument, seen)
    return seen


def test_what_models_check_across_fields_the_api_server_checks_too() -> None:
    """A model with a validator of its own has CEL in ``crd.VALIDATIONS``; tests/e2e/test_crds.py tries it."""
    models: set[type[Strict]] = set()
    for model in crd.MODELS:
        _models(model, models)
    checking = {model for model in models if "__post_init__" in vars(model)}
    assert checking == set(crd.VALIDATIONS)


def test_definitions_say_only_what_structural_schemas_may() -> None:
    for definition in crd.custom_resource_definitions():
        (version,) = definition["spec"]["versions"]
        _assert_structural(version["schema"]["openAPIV3Schema"])


def _assert_structural(node: dict[str, Any]) -> None:
    assert not set(node) & {"$ref", "$defs", "anyOf", "oneOf", "allOf", "if", "then", "const", "title"}
    assert "type" in node or node.get("x-kubernetes-preserve-unknown-fields")
    assert not ("properties" in node and "additionalProperties" in node)
    for value in node.get("properties", {}).values():
        _assert_structural(value)
    for key in ("items", "additionalProperties"):
        if key in node:
            _assert_structural(node[key])


EXCEPTION = {
    "apiVersion": "gpuward.dev/v1alpha1",
    "kind": "PolicyException",
    "metadata": {"name": "legacy"},
    "spec": {
        "policies": ["baseline"],
        "rules": ["no-*"],
        "reason": "ticket ML-123",
        "expires": "2027-03-31",
        "match": {
            "kinds": ["Pod"],
            "operations": ["CREATE"],
            "namespaceSelector": {"matchLabels": {"a": "b"}},
        },
    },
}
BREAK_GLASS = {
    "apiVersion": "gpuward.dev/v1alpha1",
    "kind": "BreakGlass",
    "metadata": {"name": "on-call"},
    "spec": {"users": ["ada"], "groups": ["sre"], "namespaces": ["ml-*"], "reason": "emergencies"},
}


@pytest.mark.parametrize(
    ("document", "changes"),
    [
        (EXCEPTION, {"policies": []}),
        (EXCEPTION, {"reason": ""}),
        (EXCEPTION, {"rule": ["x"]}),
        (EXCEPTION, {"expires": "soon"}),
        (EXCEPTION, {"match": {"labels": ["app"]}}),
        (EXCEPTION, {"match": {"operations": ["create"]}}),
        (BREAK_GLASS, {"users": [], "groups": []}),
        (BREAK_GLASS, {"users": "ada"}),
        (BREAK_GLASS, {"reason": ""}),
        (BREAK_GLASS, {"user": ["ada"]}),
    ],
    ids=str,
)
def test_documents_that_let_pass_fit_the_schema_and_their_mistakes_do_not(
    document: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert errors(document) == []
    assert errors({**document, "spec": {**document["spec"], **changes}})
