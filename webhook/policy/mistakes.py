"""What is wrong with a document: pydantic's errors, in sentences that people understand.

Imported where ``reader`` gave up on a document; see there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

from msgspec import Struct, structs
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from webhook.kube.path import Path, parse
from webhook.policy.model import FIELD_PATTERN, IDENTIFIER_PATTERN, NAME_PATTERN, REASON_PATTERN
from webhook.policy.problems import InvalidPolicy, Problem, did_you_mean, nearest
from webhook.policy.rule import ParameterError
from webhook.policy.strict import Strict

T = TypeVar("T", bound=Strict)


def read_or_explain(model: type[T], written: bytes) -> T:
    """The model of a document, which is given as JSON.

    Raises:
        InvalidPolicy: with everything that is wrong.
    """
    if model not in _ADAPTERS:
        _ADAPTERS[model] = TypeAdapter(model)
    try:
        found: T = _ADAPTERS[model].validate_json(written, strict=True)
    except ValidationError as error:
        problems = problems_from(error, model)
    else:
        return found
    raise InvalidPolicy(problems)


# Made on first use, and once.
_ADAPTERS: Final[dict[type[Strict], TypeAdapter[Any]]] = {}


def problems_from(error: ValidationError, model: type[Any]) -> list[Problem]:
    """What a failed validation against ``model`` says, one problem a mistake.

    Paths are those of the document: without the names pydantic gives to the branches of a union.
    """
    placed = [_place(details, model) for details in error.errors(include_url=False)]
    # A field that was misspelt is also missing. Once is enough.
    misspelt = {
        (*error.path[:-1], _nearest_field(error)) for error in placed if error.details["type"] in _UNKNOWN
    }
    # A list whose entries are wrong counts as empty.
    holders = {e.path[:i] for e in placed for i, segment in enumerate(e.path) if type(segment) is int}
    return _merge_unions(
        [
            error
            for error in placed
            if (error.details["type"] not in _MISSING or error.path not in misspelt)
            and (error.details["type"] != "too_short" or error.path not in holders)
        ]
    )


# --- where an error is --------------------------------------------------------------------------------------


class _Placed(Struct, frozen=True):
    """One of pydantic's errors, and where it is.

    ``types`` are the types the value at ``path`` may have, ``owners`` those of what holds it; ``union`` and
    ``branch`` tell the outermost union on the way, if any.
    """

    path: Path
    details: ErrorDetails
    types: list[Any]
    owners: list[Any]
    on_key: bool
    union: Path | None
    branch: str


def _place(details: ErrorDetails, model: type[Any]) -> _Placed:
    """Follow an error's location through the types, leaving out what is no part of the document."""
    path: Path = ()
    types, owners = [model], []
    union: Path | None = None
    branch = ""
    in_branch = on_key = False
    for segment in details["loc"]:
        if segment == "[key]":
            on_key = True
        elif len(types) > 1 and not in_branch:
            # pydantic names the branch of a union here.
            in_branch = True
            if union is None:
                union, branch = path, str(segment)
        else:
            path += (segment,)
            types, owners = [below for kind in types for below in _step(kind, segment)], types
            in_branch = False
    return _Placed(path, details, types, owners, on_key or details["type"] in _UNKNOWN, union, branch)


def _members(annotation: Any) -> Iterator[Any]:
    """The types a value may have: unions opened, annotations and None left out."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin is Union or origin is UnionType:
        for member in get_args(annotation):
            yield from _members(member)
    elif annotation is not NoneType and annotation is not None:
        yield annotation


def _step(kind: Any, segment: str | int) -> Iterator[Any]:
    """The types of what is under a key or an index of a value of the type ``kind``."""
    fields = _fields(kind)
    if segment in fields:
        yield from _members(fields[str(segment)])
        return
    arguments = get_args(kind)
    origin = get_origin(kind)
    if isinstance(origin, type) and arguments:
        if issubclass(origin, Mapping):
            yield from _members(arguments[-1])
        elif issubclass(origin, Iterable):
            yield from _members(arguments[0])


def _fields(kind: Any) -> dict[str, Any]:
    """The fields a document can give to a class, with their types."""
    if isinstance(kind, type) and issubclass(kind, Strict):
        return {field.encode_name: field.type for field in structs.fields(kind)}
    return {}


def _merge_unions(errors: list[_Placed]) -> list[Problem]:
    """Tell the failed branches of a union as one.

    Where the value has the type of a branch, that branch was meant and its errors count; where it has none,
    the problem is that it must be one of them.
    """
    problems: list[Problem] = []
    seen: set[Path] = set()
    for error in errors:
        if error.union is None:
            problems.append(_problem(error))
        elif error.union not in seen:
            seen.add(error.union)
            branches: dict[str, list[_Placed]] = {}
            for other in errors:
                if other.union == error.union:
                    branches.setdefault(other.branch, []).append(other)
            meant = [branch for branch in branches.values() if not _is_misfit(branch)]
            if meant:
                nearest = min(meant, key=len)
                problems.extend(map(_problem, nearest))
            else:
                expected = dict.fromkeys(_EXPECTED[branch[0].details["type"]] for branch in branches.values())
                if "a number" in expected:
                    expected.pop("a whole number", None)
                problems.append(_wrong_type(error.union, " or ".join(expected), error.details["input"]))
    return problems


def _is_misfit(branch: list[_Placed]) -> bool:
    return len(branch) == 1 and branch[0].path == branch[0].union and branch[0].details["type"] in _EXPECTED


# --- what an error says -------------------------------------------------------------------------------------

# pydantic's name of a type error, and what was expected instead.
_EXPECTED: Final = {
    "string_type": "a string",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "date_type": "a date",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a map",
    "mapping_type": "a map",
    "model_type": "a map",
    "model_attributes_type": "a map",
    "dataclass_type": "a map",
    "none_required": "null",
}

_MISSING: Final = frozenset({"missing", "missing_argument", "missing_keyword_only_argument"})
_UNKNOWN: Final = frozenset({"extra_forbidden", "unexpected_keyword_argument"})

# What our patterns mean.
_PATTERNS: Final = {
    NAME_PATTERN: "must be lower case letters, digits, '-' and '.', with a letter or digit at both ends",
    FIELD_PATTERN: "must be a field path, such as spec.containers[0].image or metadata.labels[example.com/team]",
    REASON_PATTERN: "must be lower case letters, digits and '-', with a letter or digit at both ends",
    IDENTIFIER_PATTERN: "must be a CEL identifier: letters, digits and '_', not starting with a digit",
}

# pydantic's name of an error about a value, and the sentence for it from the error's context.
_SENTENCES: Final = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "date_parsing": "must be a date, such as 2027-03-31",
    "date_from_datetime_parsing": "must be a date, such as 2027-03-31",
    "date_from_datetime_inexact": "must be a date, such as 2027-03-31, without a time",
}


def _problem(error: _Placed) -> Problem:
    kind, given = error.details["type"], error.details["input"]
    context = {name: _whole(value) for name, value in error.details.get("ctx", {}).items()}
    if kind in _UNKNOWN:
        return _unknown_field(error)
    if kind in _MISSING:
        return Problem(error.path, "is required")
    if kind in _EXPECTED and not error.on_key:
        return _wrong_type(error.path, _EXPECTED[kind], given, _field_names(error.types))
    if kind in ("literal_error", "enum"):
        return _not_one_of(error)
    if kind in _SENTENCES:
        return Problem(error.path, f"{_SENTENCES[kind].format_map(context)}, not {_shown(given)}")
    if kind == "string_pattern_mismatch":
        rule = _PATTERNS.get(context["pattern"], f"must match the pattern {context['pattern']}")
        return Problem(error.path, f"{rule}, not {_shown(given)}", on_key=error.on_key)
    if kind in ("value_error", "assertion_error"):
        cause = context["error"]
        field = parse(cause.field) if isinstance(cause, ParameterError) else ()
        return Problem(error.path + field, str(cause), on_key=error.on_key)
    if kind == "string_too_short" and not given:
        return Problem(error.path, "must not be empty", on_key=error.on_key)
    if kind == "string_too_long":
        return Problem(
            error.path, f"must be no longer than {context['max_length']} characters", on_key=error.on_key
        )
    if kind in ("too_short", "too_long"):
        bound, limit = (
            ("at least", context.get("min_length"))
            if kind == "too_short"
            else ("at most", context["max_length"])
        )
        return Problem(error.path, f"must have {bound} {limit} {'entry' if limit == 1 else 'entries'}")
    return Problem(error.path, _in_our_words(error.details["msg"]), on_key=error.on_key)


def _whole(value: Any) -> Any:
    """A bound as its author wrote it: 1 where pydantic says 1.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _in_our_words(message: str) -> str:
    """An error that nothing here knows, made to read as the others do."""
    message = re.sub(r"^\w+( with \w+)? should ", "must ", message)
    message = re.sub(r"^Input ", "the value ", message)
    return message[:1].lower() + message[1:]


def _unknown_field(error: _Placed) -> Problem:
    key = str(error.path[-1])
    known = _field_names(error.owners)
    others = f"known here: {', '.join(known)}" if known else "nothing can be set here"
    suggestion = did_you_mean(key, known) or others
    return Problem(error.path, f"unknown field {_shown(key)}", suggestion, on_key=True)


def _field_names(types: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(name for kind in types for name in _fields(kind)))


def _nearest_field(error: _Placed) -> str:
    return nearest(str(error.path[-1]), _field_names(error.owners))


def _not_one_of(error: _Placed) -> Problem:
    allowed = [value for kind in error.types for value in _choices(kind)]
    given = error.details["input"]
    listed = ", ".join(allowed)
    found = "but has no value" if given is None else f"not {_shown(given)}"
    message = f"must be {'one of ' if len(allowed) > 1 else ''}{listed}, {found}"
    suggestion = did_you_mean(given, allowed) if isinstance(given, str) and len(allowed) > 1 else ""
    return Problem(error.path, message, suggestion, on_key=error.on_key)


def _choices(kind: Any) -> Iterator[str]:
    if get_origin(kind) is Literal:
        yield from map(str, get_args(kind))
    elif isinstance(kind, type) and issubclass(kind, Enum):
        yield from (str(member.value) for member in kind)


def _wrong_type(path: Path, expected: str, given: Any, fields: Iterable[str] = ()) -> Problem:
    suggestion = ""
    if given is None:
        return Problem(path, f"must be {expected}, but has no value", "give it one or leave the field out")
    if expected == "a string" and isinstance(given, (bool, int, float)):
        suggestion = "put it in quotes"
    elif expected in _UNQUOTED and isinstance(given, str) and _UNQUOTED[expected].fullmatch(given):
        suggestion = "write it without quotes"
    elif expected == "a list" and isinstance(given, (str, int, float)):
        suggestion = (
            f"write [{json.dumps(given)}]"
            if len(str(given)) <= 40
            else "write each entry on a line with '- '"
        )
    elif expected == "a map" and fields and isinstance(given, str):
        suggestion = f"its fields are {', '.join(fields)}"
    return Problem(path, f"must be {expected}, not {_shown(given)}", suggestion)


# What would have been right, had it not been in quotes.
_UNQUOTED: Final = {
    "a whole number": re.compile(r"[+-]?[0-9]{1,18}"),
    "a number": re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?"),
    "true or false": re.compile(r"true|false"),
}


_LONGEST_SHOWN: Final = 60


def _shown(value: Any) -> str:
    """A value of the author's within a sentence."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return json.dumps(
            value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "...", ensure_ascii=False
        )
    if isinstance(value, list):
        return "a list"
    return "a map" if isinstance(value, dict) else "nothing"
