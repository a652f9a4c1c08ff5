"""The policy documents as custom resources: CustomResourceDefinitions, made from the same models as the files.

The API server takes structural schemas only (kubernetes.io, "Extend the Kubernetes API with
CustomResourceDefinitions"): no references, no ``anyOf`` that says what a field is, and unknown fields are pruned
rather than forbidden. What the models check across fields is said in CEL (``x-kubernetes-validations``), so that the
API server itself refuses it. What only compiling a policy shows (rules, kinds, CEL) is told in the resource's status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from webhook.kube.shape import JSONObject
from webhook.policy.model import (
    API_VERSION,
    AcceleratorCatalog,
    LabelSelectorRequirement,
    Policy,
    PolicyException,
    PolicySpec,
    ValidateRule,
    WorkloadCatalog,
)
from webhook.policy.schema import SchemaGenerator
from webhook.policy.strict import Strict

GROUP, VERSION = API_VERSION.split("/")

PLURALS: Final[Mapping[str, str]] = {
    "Policy": "policies",
    "PolicyException": "policyexceptions",
    "AcceleratorCatalog": "acceleratorcatalogs",
    "WorkloadCatalog": "workloadcatalogs",
}
"""The kinds that can be custom resources, and what they are called in addresses of the API.

Who may break the glass stays with those who run the webhook: in files.
"""

MODELS: Final[tuple[type[Strict], ...]] = (Policy, PolicyException, AcceleratorCatalog, WorkloadCatalog)
"""Their models."""

_SHORT_NAMES: Final = {
    "Policy": "gpol",
    "PolicyException": "gpolex",
    "AcceleratorCatalog": "gacc",
    "WorkloadCatalog": "gwl",
}

# CEL in a schema is charged for the longest list there could be; without a bound that is more than the API server
# allows. Kubernetes' own policies end at 64 conditions and 128 variables.
_MOST_ENTRIES: Final = 256

# What the models' own validators check, as the API server can check it. A test holds the two together.
VALIDATIONS: Final[Mapping[type[Strict], tuple[tuple[str, str], ...]]] = {
    LabelSelectorRequirement: (
        (
            "!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)",
            "operators In and NotIn need at least one value",
        ),
        (
            "self.operator in ['In', 'NotIn'] || !has(self.values) || size(self.values) == 0",
            "operators Exists and DoesNotExist take no values",
        ),
    ),
    ValidateRule: (
        ("has(self.rule) || has(self.expression)", "needs a `rule` or an `expression`"),
        *(
            (
                f"has(self.expression) || !has(self.{field})",
                f"`{field}` goes with `expression`, not with `rule`",
            )
            for field in ("message", "messageExpression", "reason", "field", "subject")
        ),
        (
            # Of fields that the schema does not know, CEL cannot tell how many there are: stricter than the files.
            "!has(self.expression) || !has(self.parameters)",
            "`parameters` go with `rule`, not with `expression`",
        ),
    ),
    PolicySpec: (
        (
            "(has(self.mutate) && size(self.mutate) > 0) || (has(self.validate) && size(self.validate) > 0)",
            "needs at least one rule under `mutate` or `validate`",
        ),
    ),
}


def custom_resource_definitions() -> list[JSONObject]:
    """One CustomResourceDefinition (apiextensions.k8s.io/v1) for each kind of ``PLURALS``."""
    return [_definition(model) for model in MODELS]


def _definition(model: type[Strict]) -> JSONObject:
    kind = model.__name__
    plural = PLURALS[kind]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "labels": {"app.kubernetes.io/name": "gpuward"}},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [_SHORT_NAMES[kind]],
                "categories": ["gpuward"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _schema(model)},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _columns(kind),
                }
            ],
        },
    }


def _columns(kind: str) -> list[JSONObject]:
    action = [
        {
            "name": "Action",
            "type": "string",
            "jsonPath": ".spec.action",
            "description": "What happens at most.",
        }
    ]
    ready = '.status.conditions[?(@.type=="Ready")]'
    return [
        *(action if kind == "Policy" else []),
        {
            "name": "Ready",
            "type": "string",
            "jsonPath": f"{ready}.status",
            "description": "Whether it compiles; what was good before stays in force where it does not.",
        },
        {
            "name": "Message",
            "type": "string",
            "jsonPath": f"{ready}.message",
            "priority": 1,
            "description": "What is wrong with it.",
        },
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]


# --- schemas ---------------------------------------------------------------------------------------------


class _Generator(SchemaGenerator):
    """Adds what the API server is to check across fields."""

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        written = super().typed_dict_schema(schema)
        rules = VALIDATIONS.get(schema["cls"], ())
        if rules:
            written["x-kubernetes-validations"] = [
                {"rule": rule, "message": message} for rule, message in rules
            ]
        return written


def _schema(model: type[Strict]) -> JSONObject:
    generated = TypeAdapter(model).json_schema(schema_generator=_Generator)
    definitions = generated.get("$defs", {})
    written = _structural(generated, definitions)
    # Of metadata a schema may say nothing: the API server knows it.
    return {
        "type": "object",
        "description": written["description"],
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": written["properties"]["spec"],
            "status": _STATUS,
        },
    }


# The keywords that mean the same to the API server.
_KEPT: Final = (
    "type", "description", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems",
    "format", "required", "x-kubernetes-validations",
)  # fmt: skip


def _structural(node: Any, definitions: Mapping[str, Any]) -> JSONObject:
    """A JSON Schema of pydantic's as a structural one."""
    if "$ref" in node:
        referred = _structural(definitions[node["$ref"].rpartition("/")[2]], definitions)
        return referred | _own(node)
    alternatives = [part for part in node.get("anyOf", ()) if part.get("type") != "null"]
    if alternatives and all("required" not in part or "type" in part for part in alternatives):
        return _one_of(alternatives, definitions) | _own(node)
    written = {key: node[key] for key in _KEPT if key in node} | _own(node)
    if "const" in node:
        written["enum"] = [node["const"]]
    if "properties" in node:
        written["properties"] = {
            name: _structural(value, definitions) for name, value in node["properties"].items()
        }
    elif written.get("type") == "object":
        values = node.get("additionalProperties")
        if isinstance(values, dict) and values:
            written["additionalProperties"] = _structural(values, definitions)
        else:
            # Any map: the parameters of a rule.
            written["x-kubernetes-preserve-unknown-fields"] = True
    if "items" in node:
        written["items"] = _structural(node["items"], definitions)
        if written["items"].get("type") == "object":
            written.setdefault("maxItems", _MOST_ENTRIES)
    return written


def _own(node: Mapping[str, Any]) -> JSONObject:
    """What a reference or a choice says besides: its description, and a default that is worth storing."""
    own = {"description": node["description"]} if "description" in node else {}
    if node.get("default") not in (None, [], {}, ""):
        own["default"] = node["default"]
    return own


def _one_of(alternatives: list[Any], definitions: Mapping[str, Any]) -> JSONObject:
    """The schema of a value that may be one of several things. Structural schemas say what a field is once."""
    if len(alternatives) == 1:
        return _structural(alternatives[0], definitions)
    # One text or a list of them: what it must be, the status says.
    return {"x-kubernetes-preserve-unknown-fields": True}


_STATUS: Final[JSONObject] = {
    "type": "object",
    "description": "What gpuward makes of it.",
    "properties": {
        "observedGeneration": {
            "type": "integer",
            "format": "int64",
            "description": "The generation this status is about.",
        },
        "conditions": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "description": "`Ready` says whether it compiles; its message what is wrong, with the field.",
            "items": {
                "type": "object",
                "required": ["type", "status", "lastTransitionTime", "reason", "message"],
                "properties": {
                    "type": {"type": "string", "maxLength": 316},
                    "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                    "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
                    "lastTransitionTime": {"type": "string", "format": "date-time"},
                    "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
                    "message": {"type": "string", "maxLength": 32768},
                },
            },
        },
    },
}
