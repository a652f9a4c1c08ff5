"""From documents to what they say. There is no other way from a document to a model.

A good document is read by ``reader``. With one that it gives up on comes ``mistakes``, and with that pydantic, which
says what is wrong, if anything is.
"""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
from msgspec.structs import replace

from webhook.kube.path import Path
from webhook.policy.model import Policy
from webhook.policy.problems import InvalidPolicy, Problem
from webhook.policy.reader import GivenUp, read
from webhook.policy.rule import Rule
from webhook.policy.strict import Strict

T = TypeVar("T", bound=Strict)


def validate_document(model: type[T], document: Any) -> T:
    """The model of a document (plain JSON data), such as Policy or AcceleratorCatalog.

    Raises:
        InvalidPolicy: with everything that is wrong, paths from the document's root.
    """
    try:
        written = orjson.dumps(document)
    except orjson.JSONEncodeError as error:
        raise InvalidPolicy([Problem((), f"cannot be written as JSON: {error}")]) from None
    try:
        return read(model, orjson.loads(written))
    except GivenUp:
        pass
    from webhook.policy.mistakes import read_or_explain

    return read_or_explain(model, written)


def validate_policy(document: Any) -> Policy:
    """``validate_document`` for documents of kind Policy."""
    return validate_document(Policy, document)


def validate_parameters(rule_class: type[Rule], data: Any, path: Path) -> Any:
    """An instance of ``rule_class.Parameters`` from what a policy gives under ``parameters``.

    ``path`` is where ``data`` stands in the document.

    Raises:
        InvalidPolicy: with everything that is wrong; an unknown parameter is an error.
    """
    try:
        return validate_document(rule_class.Parameters, data)
    except InvalidPolicy as invalid:
        problems = [replace(problem, path=path + problem.path) for problem in invalid.problems]
    raise InvalidPolicy(problems)
