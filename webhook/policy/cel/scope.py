"""The objects one judgement is about, converted to CEL once for every expression that looks at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from . import engine
from .functions import MARK

if TYPE_CHECKING:
    from cel_expr_python import cel

_NUL_ESCAPE = rb"\u0000"
_MARK_BYTES = MARK.encode()
_INT64 = range(-(2**63), 2**63)


class _Unfit:
    """Stands for a variable CEL cannot hold: using it is an error, having it is not."""


class Scope:
    """What an expression may look at, for one object being judged.

    ``object``, ``old_object`` (None on CREATE), ``request`` (the AdmissionRequest; its ``object`` and ``oldObject``
    are not visible through it, as in Kubernetes), ``namespace_object`` and ``params`` are plain JSON data: dict, list,
    str, int, float, bool, None. They are neither changed nor copied, so do not change them while the scope is in use.

    A variable is converted when an expression first uses it, and at most twice: without ``metadata.managedFields``,
    which is most of a typical object and hardly ever asked for, and whole once an expression does ask. Each expression
    evaluated leaves its own temporary values in the scope's memory, freed with the scope: make one an object, not one a
    process. A scope must not be used from two threads at once.

    An object that JSON could hold but CEL cannot (a string with NUL, nesting beyond 254) gives a ``CelEvaluationError``
    to the expressions that use it.
    """

    __slots__ = ("_activations", "_unfit", "_variables")

    def __init__(
        self,
        object: Any = None,  # noqa: A002 - the word of Kubernetes, and of every expression
        old_object: Any = None,
        request: Mapping[str, Any] | None = None,
        namespace_object: Any = None,
        params: Any = None,
    ) -> None:
        self._variables: dict[str, Any] = {
            "object": object,
            "oldObject": old_object,
            "request": _without(request, ("object", "oldObject")),
            "namespaceObject": namespace_object,
            "params": params,
        }
        self._activations: dict[bool, tuple[cel.Activation, int]] = {}
        self._unfit: dict[str, str] = {}

    def activation(self, whole: bool) -> tuple[cel.Activation, int]:
        """The variables as the library takes them, and how many characters of JSON they have together, about; ``whole``
        with managed fields, which not every expression needs."""
        found = self._activations.get(whole)
        if found is None:
            bound, size = self._bind(whole)
            found = self._activations[whole] = engine.activation(bound), size
        return found

    def unfit(self, message: str) -> str | None:
        """Why a variable cannot be used, where that is what an error of the library's means."""
        return next((why for name, why in self._unfit.items() if f"'{name}'" in message), None)

    def _bind(self, whole: bool) -> tuple[dict[str, Any], int]:
        bound, sizes = {}, 0
        for name, value in self._variables.items():
            if not whole and name in ("object", "oldObject"):
                value = _without_managed_fields(value)
            try:
                bound[name], size = _fit(value)
                sizes += size
            except ValueError as error:
                self._unfit[name] = f"{name} cannot be used in CEL: {error}"
                bound[name] = _Unfit()
        return bound, sizes


def _without(value: Any, keys: tuple[str, ...]) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if key not in keys}


def _without_managed_fields(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    metadata = value.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return value
    return {**value, "metadata": _without(metadata, ("managedFields",))}


def _fit(value: Any) -> tuple[Any, int]:
    """The value as it may be given to the library, which reads deep nesting into a crash and a string up to its first
    NUL, and knows integers Kubernetes reads as floating point. And its size, in bytes of JSON, about.

    Raises:
        ValueError: it may not be given.
    """
    try:
        # The quickest walk there is over plain data; refuses deep nesting, lone surrogates, integers beyond 53 bits
        # and what is not JSON.
        data = orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER)
    except TypeError as error:
        if "range" not in str(error):
            raise ValueError(str(error)) from error
        fitted = _fit_slowly(value, 0)
        return fitted, len(str(fitted))
    if _holds(_NUL_ESCAPE, data) or _holds(_MARK_BYTES, data):
        value = _fit_slowly(value, 0)
    return value, len(data)


def _holds(part: bytes, data: bytes) -> bool:
    # Looking for one byte first takes a twentieth of the time, and it is rarely there.
    return part[:1] in data and part in data


def _fit_slowly(value: Any, depth: int) -> Any:
    if depth > 254:
        raise ValueError("it is nested more than 254 levels deep")
    match value:
        case bool():
            return value
        case int():
            return value if value in _INT64 else float(value)
        case str():
            if "\0" in value:
                raise ValueError("a string in it contains NUL")
            if MARK in value:
                raise ValueError("a string in it contains the noncharacter U+FDD0")
            return value
        case list():
            return [_fit_slowly(item, depth + 1) for item in value]
        case dict():
            return {_fit_slowly(key, depth + 1): _fit_slowly(item, depth + 1) for key, item in value.items()}
        case _:
            return value
