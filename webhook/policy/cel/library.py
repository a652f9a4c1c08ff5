"""Every function an expression may call: the tuple of libraries, and how the checker is told of them.

A function is added in its library's module; a library by one line here.
"""

from __future__ import annotations

from typing import Any

from . import bounds, escapes, formats, formatting, lists, network, quantity, regex, semver, standard, urls
from .celtype import DYN, STRING, CelType, map_of
from .functions import Function, Opaque, Overload, function

OPAQUES: tuple[Opaque, ...] = (
    quantity.OPAQUE,
    semver.OPAQUE,
    network.IP_OPAQUE,
    network.CIDR_OPAQUE,
    urls.OPAQUE,
    formats.OPAQUE,
)

FUNCTIONS: tuple[Function, ...] = (
    *standard.FUNCTIONS,
    *lists.FUNCTIONS,
    *regex.FUNCTIONS,
    *quantity.FUNCTIONS,
    *semver.FUNCTIONS,
    *network.FUNCTIONS,
    *urls.FUNCTIONS,
    *formats.FUNCTIONS,
    *(function(name, quantity.COMPARISONS[name], semver.COMPARISONS[name]) for name in quantity.COMPARISONS),
    function("string", *standard.STRING_CONVERSIONS, *network.STRINGS),
)

MUTATION_FUNCTIONS: tuple[Function, ...] = escapes.FUNCTIONS
"""What only an expression that constructs may call."""

HELPERS: tuple[Overload, ...] = (
    *bounds.HELPERS,
    *standard.HELPERS,
    *formatting.HELPERS,
    *formats.HELPERS,
    *regex.HELPERS,
    quantity.EQUALITY,
)
"""What only a function's own ``cel`` calls, or this package; an expression cannot."""

FUNCTIONS_BY_NAME = {entry.name: entry for entry in FUNCTIONS}
OVERLOADS_BY_ID = {
    overload.id: overload for entry in (*FUNCTIONS, *MUTATION_FUNCTIONS) for overload in entry.overloads
}

# The library's extensions. Not in Kubernetes: bindings, encoders and math, which cost nothing and are missed there.
_CHECKED_EXTENSIONS = ("optional", "two-var-comprehensions", "lists", "sets", "bindings", "encoders", "math")
_RUN_EXTENSIONS = (*_CHECKED_EXTENSIONS, "strings", "regex")

# For "did you mean": the names the library brings itself.
NATIVE_NAMES = frozenset(
    (
        *(
            "all",
            "exists",
            "exists_one",
            "existsOne",
            "filter",
            "has",
            "map",
            "optMap",
            "optFlatMap",
            "cel.bind",
        ),
        *("sortBy", "transformList"),
        *("bool", "bytes", "double", "duration", "dyn", "int", "timestamp", "type", "uint"),
        *("contains", "endsWith", "matches", "size", "startsWith"),
        *("getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours"),
        *("getMinutes", "getMonth", "getSeconds"),
        *("distinct", "first", "flatten", "last", "lists.range", "reverse", "slice", "sort"),
        *("sets.contains", "sets.equivalent", "sets.intersects"),
        *("hasValue", "or", "orValue", "value", "optional.none", "optional.of", "optional.ofNonZeroValue"),
        *("math.abs", "math.ceil", "math.floor", "math.greatest", "math.least", "math.round", "math.sign"),
        *("base64.decode", "base64.encode"),
    )
)


_FIELDS = map_of(STRING, DYN)


def checker_config(
    variables: dict[str, Any], constructors: tuple[tuple[str, CelType], ...] = ()
) -> dict[str, Any]:
    """The library's environment configuration for checking: the functions with their true types, variables by name
    with a type each (as ``CelType.config`` gives it), and functions that make a type out of a map of its fields."""
    redeclared = [{"name": name} for name in standard.REDECLARED]
    makers = tuple(function(name, Overload(name, (_FIELDS,), kind)) for name, kind in constructors)
    functions = (*FUNCTIONS, *MUTATION_FUNCTIONS, *makers) if makers else FUNCTIONS
    return {
        "extensions": [{"name": name} for name in _CHECKED_EXTENSIONS],
        "stdlib": {"exclude_functions": redeclared},
        "variables": [{"name": name, **kind} for name, kind in variables.items()],
        "functions": [
            {"name": entry.name, "overloads": [_overload_config(overload) for overload in entry.overloads]}
            for entry in functions
        ],
    }


def _overload_config(overload: Overload) -> dict[str, Any]:
    parameters = [kind.config() for kind in overload.parameters]
    config: dict[str, Any] = {"id": overload.id, "return": overload.result.config()}
    if overload.member:
        config["target"], *parameters = parameters
    return {**config, "args": parameters}


def run_config() -> dict[str, Any]:
    """The library's environment configuration for running, but for the Python functions."""
    return {"extensions": [{"name": name} for name in _RUN_EXTENSIONS]}
