"""The JSON Schema (2020-12) of policy files, for editors to complete and check them with.

Generated from what documents are read by, the classes of ``model`` and the rules' parameters, so that it cannot differ
from it. What JSON Schema cannot say (whether CEL compiles, whether a kind exists) only ``gpuward lint`` finds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec import to_builtins
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from webhook.policy.case import PolicyCase
from webhook.policy.descriptions import field_descriptions, one_paragraph
from webhook.policy.kubernetes.documents import (
    MutatingAdmissionPolicy,
    MutatingAdmissionPolicyBinding,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
)
from webhook.policy.model import (
    AcceleratorCatalog,
    BreakGlass,
    Policy,
    PolicyException,
    WorkloadCatalog,
)
from webhook.policy.rule import Mutation, NoParameters, Rule, Validation
from webhook.policy.strict import Strict

JSONSchema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_REF: Final = "#/$defs/{model}"

# The kinds of documents in policy files.
_DOCUMENTS: Final[tuple[type[Strict], ...]] = (
    Policy,
    PolicyException,
    BreakGlass,
    AcceleratorCatalog,
    WorkloadCatalog,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
    MutatingAdmissionPolicy,
    MutatingAdmissionPolicyBinding,
    PolicyCase,
)


def policy_schema(mutations: Iterable[type[Mutation]], checks: Iterable[type[Validation]]) -> JSONSchema:
    """The schema of one document of a policy file, with these rules under ``mutate`` and ``validate``."""
    mutations, checks = tuple(mutations), tuple(checks)
    rules: tuple[type[Rule], ...] = (*mutations, *checks)
    types = (*_DOCUMENTS, *(rule.Parameters for rule in rules))
    adapters: list[tuple[Any, JsonSchemaMode, TypeAdapter[Any]]] = [
        (type_, "validation", TypeAdapter(type_)) for type_ in types
    ]
    generated_references, generated = TypeAdapter.json_schemas(
        adapters, ref_template=_REF, schema_generator=SchemaGenerator
    )
    names = _names(generated["$defs"], generated_references, rules)
    references = {type_: _renamed(reference, names) for (type_, _), reference in generated_references.items()}
    definitions: dict[str, JSONSchema] = {
        names[name]: _renamed(definition, names) for name, definition in generated["$defs"].items()
    }
    parameters = {rule: references[rule.Parameters] for rule in rules}
    _offer_rules(definitions["MutateRule"], mutations, parameters, definitions)
    _offer_rules(definitions["ValidateRule"], checks, parameters, definitions)
    _check_or_expression(definitions["ValidateRule"])
    kinds = {kind.__name__: references[kind] for kind in _DOCUMENTS}
    return {
        "$schema": DIALECT,
        "title": "gpuward policy files",
        "type": "object",
        "required": ["apiVersion", "kind"],
        # Objects that hold the parameters of Kubernetes' own policies may lie in the same folder, and Lists.
        "if": {
            "anyOf": [
                {"not": {"required": ["apiVersion"]}},
                {"properties": {"apiVersion": {"pattern": r"^gpuward\.dev/"}}},
                {"properties": {"kind": {"enum": list(kinds)}}, "required": ["kind"]},
            ]
        },
        "then": {
            "properties": {"kind": {"enum": list(kinds)}},
            "allOf": [
                {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": reference}
                for kind, reference in kinds.items()
            ],
        },
        "$defs": definitions,
    }


def _names(
    definitions: Iterable[str], references: dict[Any, JSONSchema], rules: Iterable[type[Rule]]
) -> dict[str, str]:
    """Names for the definitions: pydantic tells classes of one name apart by their modules, which nobody
    needs."""
    names = {name: ".".join(name.split("__")[-2:]) for name in definitions}
    for rule in rules:
        if rule.Parameters is not NoParameters:
            names[_target(references[rule.Parameters, "validation"])] = f"{rule.name}.parameters"
    return names


def _target(reference: JSONSchema) -> str:
    name: str = reference["$ref"].rpartition("/")[2]
    return name


def _renamed(node: Any, names: dict[str, str]) -> Any:
    """A copy of a schema in which references use these names."""
    if isinstance(node, dict):
        return {
            key: _REF.format(model=names[_target(node)]) if key == "$ref" else _renamed(value, names)
            for key, value in node.items()
        }
    return [_renamed(item, names) for item in node] if isinstance(node, list) else node


def parameters_schema(rule: type[Rule]) -> JSONSchema:
    """The schema of one rule's ``parameters``."""
    schema: JSONSchema = TypeAdapter(rule.Parameters).json_schema(
        ref_template=_REF, schema_generator=SchemaGenerator
    )
    return schema


class SchemaGenerator(GenerateJsonSchema):
    """Adds the docstrings of fields; leaves out the titles that only repeat their names."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's signature
        return False

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        """What a ``Strict`` class is to pydantic."""
        return _described(super().typed_dict_schema(schema), schema["cls"])

    def encode_default(self, dft: Any) -> Any:
        return super().encode_default(to_builtins(dft))


def _described(schema: JsonSchemaValue, cls: type[Strict]) -> JsonSchemaValue:
    if "description" in schema:
        schema["description"] = one_paragraph(schema["description"].partition("\n\n")[0])
    written = dict(zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True))
    for name, description in field_descriptions(cls).items():
        schema["properties"][written[name]]["description"] = description
    return schema


def _offer_rules(
    entry: JSONSchema,
    rules: Iterable[type[Rule]],
    parameters: dict[type[Rule], JSONSchema],
    definitions: dict[str, JSONSchema],
) -> None:
    """Let ``rule`` be one of these, and ``parameters`` what that rule takes."""
    rules = sorted(rules, key=lambda rule: rule.name)
    entry["properties"]["rule"] = {
        "description": entry["properties"]["rule"]["description"],
        "oneOf": [{"const": rule.name, "title": rule.title, "description": _summary(rule)} for rule in rules],
    }
    entry["allOf"] = [
        {
            "if": {"properties": {"rule": {"const": rule.name}}, "required": ["rule"]},
            "then": {"properties": {"parameters": parameters[rule]}}
            | ({"required": ["parameters"]} if _needs_parameters(parameters[rule], definitions) else {}),
        }
        for rule in rules
    ]


def _needs_parameters(reference: JSONSchema, definitions: dict[str, JSONSchema]) -> bool:
    definition = definitions[_target(reference)]
    return bool(definition.get("required"))


def _summary(rule: type[Rule]) -> str:
    return one_paragraph((rule.__doc__ or rule.title).partition("\n\n")[0])


def _check_or_expression(entry: JSONSchema) -> None:
    """An entry of ``validate`` is a check of the library, or a CEL expression, for which ``rule`` is a free
    name."""
    check = {
        "properties": {"rule": entry["properties"]["rule"]},
        "required": ["rule"],
        "allOf": entry.pop("allOf"),
    }
    for name in ("message", "messageExpression", "reason", "field", "subject"):
        check["properties"][name] = False
    entry["properties"]["rule"] = {
        "description": entry["properties"]["rule"]["description"],
        "type": "string",
        "minLength": 1,
    }
    entry["if"] = {"required": ["expression"]}
    entry["then"] = {"properties": {"parameters": False}}
    entry["else"] = check
