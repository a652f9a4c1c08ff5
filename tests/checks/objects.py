"""Objects for the tests of checks that judge objects as they are, and how to judge them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from webhook.kube.gvk import parse_api_version
from webhook.kube.object import Object
from webhook.kube.path import MISSING, lookup, render
from webhook.kube.shape import JSONObject, mapping, text
from webhook.policy.findings import Violation
from webhook.policy.rule import Context, ObjectCheck, ParameterError
from webhook.policy.validation import validate_parameters

from .pods import Said, catalog


def from_yaml(document: str) -> JSONObject:
    """An object as people write it."""
    obj: JSONObject = yaml.safe_load(document)
    return obj


def compiled_object_check(check: type[ObjectCheck], parameters: JSONObject | None = None) -> ObjectCheck:
    """The check with these parameters, read as a policy file is."""
    return check(validate_parameters(check, parameters or {}, ("parameters",)), Context(catalog()))


def as_object(obj: JSONObject, namespace: str = "ml") -> Object:
    """The object of a request in this namespace."""
    kind = parse_api_version(text(obj, "apiVersion"), text(obj, "kind"))
    return Object(kind, text(mapping(obj, "metadata"), "namespace") or namespace, obj)


def found(check: type[ObjectCheck], obj: JSONObject, parameters: JSONObject | None = None) -> list[Violation]:
    """What a check finds in an object."""
    return list(compiled_object_check(check, parameters)(as_object(obj)))


def judge_object(check: type[ObjectCheck], obj: JSONObject, parameters: JSONObject | None = None) -> Said:
    """As ``found``: reasons and rendered paths only."""
    return [(v.reason, render(v.path)) for v in found(check, obj, parameters)]


def resolves_in(obj: Any, violation: Violation) -> bool:
    """Whether what a violation is about is there, or what should hold it."""
    node: Any = obj
    for depth, segment in enumerate(violation.path):
        node = lookup(node, (segment,))
        if node is MISSING:
            # A label that is missing is named by the key it should have.
            return depth >= 1 and violation.path[0] == "metadata"
    return True


def refused_object_check(check: type[ObjectCheck], parameters: JSONObject) -> ParameterError:
    """The error with which a check refuses its parameters."""
    with pytest.raises(ParameterError) as caught:
        compiled_object_check(check, parameters)
    return caught.value
