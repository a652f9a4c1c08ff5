"""Results of the library as plain values, and its errors as ours."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from .errors import CelEvaluationError

if TYPE_CHECKING:
    from cel_expr_python import cel

_PLAIN = frozenset(("BOOL", "INT", "UINT", "STRING"))
_STATUS = re.compile(r"(?:[A-Z_]+: )+")
_STATUS_SUFFIX = re.compile(r" \[[A-Z_]+\]$")

_OUT_OF_STEPS = "Iteration budget exceeded"

# How the library says things, and how Kubernetes (and so every user's search result) does.
_REWORDED = (
    (re.compile(r'Key not found in map : "(.*)"', re.DOTALL), r"no such key: \1"),
    (re.compile(r"Key not found in map : (.*)", re.DOTALL), r"no such key: \1"),
    (re.compile(r"No matching overloads found : (.*)", re.DOTALL), r"no such overload: \1"),
    (
        re.compile(r"Index error: index=(-?\d+) size=(\d+)"),
        r"index out of bounds: \1, the list has \2 elements",
    ),
    (re.compile(r"divide by zero"), "division by zero"),
    (
        re.compile(r"String to Duration conversion failed"),
        "not a duration; write it as 36h or 1m30s",
    ),
    (re.compile(r"String to Timestamp conversion failed"), "not a time; write it as 2006-01-02T15:04:05Z"),
    # What the functions of an expression expand to is deeper than the expression.
    (
        re.compile(r"Cannot parse serialized CEL expression\..*"),
        "the expression's functions are nested too deeply",
    ),
    (re.compile(_OUT_OF_STEPS), "the expression takes more than 10000 loop steps"),
    (re.compile(r'No value with name "(.*)" found in Activation'), r"\1 is not given"),
)


def ran_out_of_steps(error: Exception) -> bool:
    """Whether an exception of the library's is an evaluation cut short, rather than one that cannot be."""
    return _OUT_OF_STEPS in str(error)


def message(text: str) -> str:
    """An error of the library in plain words."""
    text = _STATUS_SUFFIX.sub("", _STATUS.sub("", text, count=1))
    for pattern, replacement in _REWORDED:
        if pattern.fullmatch(text):
            return pattern.sub(replacement, text)
    return text


def scalar(value: cel.Value, wanted: str) -> Any:
    """A result that must be a ``bool`` or a ``string``.

    Raises:
        CelEvaluationError: the result is an error, or something else.
    """
    kind = value.type().name()
    if kind == wanted.upper():
        return value.value()
    if kind == "ERROR":
        raise CelEvaluationError(error_text(value))
    raise CelEvaluationError(f"must evaluate to {wanted} but got {kind.partition('<')[0].lower()}")


def plain(value: cel.Value) -> Any:
    """A result as JSON has it: None, bool, int, float, str, list, dict with string keys.

    Raises:
        CelEvaluationError: the result is an error, or is no JSON value.
    """
    # Not ``plain_value()``: it loses a reference to None for every null and crashes on an optional within a list.
    kind = value.type().name()
    if kind in _PLAIN:
        return value.value()
    if kind == "NULL":
        return None
    if kind == "DOUBLE":
        number = value.value()
        if not math.isfinite(number):
            raise CelEvaluationError(f"the result is {number}, which JSON cannot hold")
        return number
    if kind.startswith("LIST"):
        return [plain(element) for element in value.value()]
    if kind.startswith("MAP"):
        items = value.value()
        if not all(type(key) is str for key in items):
            raise CelEvaluationError("the result is a map whose keys are not all strings")
        # The library has the keys in another order every time.
        return {key: plain(items[key]) for key in sorted(items)}
    if kind == "ERROR":
        raise CelEvaluationError(error_text(value))
    raise CelEvaluationError(f"the result is a {kind.partition('<')[0].lower()}; convert it with string()")


# Beyond it protobuf's JSON has integers as text. Source: cel-go ``common/types/int.go``.
_MAX_NUMBER = 2**53 - 1
# From here on Go writes a floating point number with an exponent; what it writes without is read as an integer.
_MAX_WHOLE = 1e21


def fields(value: cel.Value) -> dict[str, Any]:
    """The fields of an ``Object{...}``, as what Kubernetes writes of them is read: 2.0 is 2.

    Raises:
        CelEvaluationError: the result is an error, no JSON value, or has a null in it, which Kubernetes cannot apply.
    """
    result = plain(value)
    assert type(result) is dict
    if _holds_null(result):
        raise CelEvaluationError("null cannot be applied; leave the field out, or remove it with a JSONPatch")
    found: dict[str, Any] = whole(result)
    return found


def operations(value: cel.Value) -> list[dict[str, Any]]:
    """The operations of a list of ``JSONPatch{...}``, numbers as Kubernetes writes them into a patch.

    Raises:
        CelEvaluationError: the result is an error or no JSON value, or an op, path or from is no string.
    """
    result = plain(value)
    assert type(result) is list
    for index, operation in enumerate(result):
        for name in ("op", "path", "from"):
            if type(operation.setdefault(name, "")) is not str:
                raise CelEvaluationError(f"the {name} of operation {index} is not a string")
        if not operation["from"]:
            del operation["from"]
        if "value" in operation:
            operation["value"] = _as_text_where_long(whole(operation["value"]))
    return result


def _holds_null(value: Any) -> bool:
    if type(value) is dict:
        return any(map(_holds_null, value.values()))
    return any(map(_holds_null, value)) if type(value) is list else value is None


def whole(value: Any) -> Any:
    """A JSON value in which numbers without a fraction are integers, as Go writes them."""
    if type(value) is dict:
        return {key: whole(item) for key, item in value.items()}
    if type(value) is list:
        return [whole(item) for item in value]
    return int(value) if type(value) is float and value.is_integer() and abs(value) < _MAX_WHOLE else value


def _as_text_where_long(value: Any) -> Any:
    if type(value) is dict:
        return {key: _as_text_where_long(item) for key, item in value.items()}
    if type(value) is list:
        return [_as_text_where_long(item) for item in value]
    return str(value) if type(value) is int and abs(value) > _MAX_NUMBER else value


def error_text(value: cel.Value) -> str:
    """What an error value says. An optional has the same type."""
    try:
        return message(str(value.value()))
    except TypeError:
        return "the result is an optional; give its alternative with orValue()"
