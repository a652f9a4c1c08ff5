"""The two environments of the library, each made once and only when an expression is first compiled.

The checker knows names and functions by their true types, and never runs anything. The runtime runs the trees that
``expansion`` makes of checked ones; it knows every variable as dyn, so that one set of converted objects serves the
programs of every ``Environment``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from . import library, tree
from .celtype import BOOL, DOUBLE, DYN, INT, OPAQUE_NAMES, STRING, CelType
from .functions import FunctionError, python_callable

if TYPE_CHECKING:
    from cel_expr_python import cel

VARIABLES = ("object", "oldObject", "request", "namespaceObject", "params")
OPERANDS = ("a0", "a1", "a2", "a3")
"""The names of a function's operands in its ``cel``."""
FOLD_VARIABLES = ("x", "result")


def _environment(config: dict[str, Any], functions: list[cel.FunctionDecl]) -> cel.Env:
    # Importing the library takes longer than a whole command that needs no CEL.
    from cel_expr_python import cel

    # JSON is YAML.
    parsed = cel.NewEnvConfigFromYaml(json.dumps(config))
    return cel.NewEnv(config=parsed, extensions=[cel.CelExtension("gpuward", functions)])


@lru_cache(maxsize=64)
def checker(
    typed: tuple[tuple[str, CelType], ...], constructors: tuple[tuple[str, CelType], ...] = ()
) -> cel.Env:
    """The environment that checks: the variables of Kubernetes as dyn, others by name and type, and functions that
    make a value of a type out of a map of its fields."""
    from cel_expr_python import cel

    kinds = dict.fromkeys((*VARIABLES, "variables"), DYN) | dict(typed)
    # The list extension has a reverse() too, and only this way adds to a function that is there.
    reverse = cel.Overload("string_reverse", cel.Type.STRING, [cel.Type.STRING], True)
    config = library.checker_config({name: kind.config() for name, kind in kinds.items()}, constructors)
    return _environment(config, [cel.FunctionDecl("reverse", [reverse])])


@cache
def runtime() -> cel.Env:
    """The environment that runs. Its variables are dyn: an ``Activation`` of it serves every program."""

    overloads = [
        overload
        for overload in (*library.OVERLOADS_BY_ID.values(), *library.HELPERS)
        if overload.python is not None
    ]
    declarations = [
        _declaration(
            overload.id,
            overload.result,
            overload.parameters,
            python_callable(overload, library.OPAQUES),
        )
        for overload in overloads
    ]
    declarations.append(_declaration("fail", DYN, (STRING,), _fail))
    # Never called: ``expansion`` puts a loop, or a selection, in their place.
    declarations.append(_declaration("fold", DYN, (DYN, DYN, DYN), _fail))
    declarations.append(_declaration("select", DYN, (DYN,), _fail))
    names = (*VARIABLES, *OPERANDS, *FOLD_VARIABLES)
    config = library.run_config()
    config["variables"] = [{"name": name, **DYN.config()} for name in names]
    return _environment(config, declarations)


def _fail(message: str) -> None:
    raise FunctionError(message)


def _declaration(
    name: str, result: CelType, parameters: tuple[CelType, ...], implementation: Callable[..., Any]
) -> cel.FunctionDecl:
    from cel_expr_python import cel

    overload = cel.Overload(
        name, _run_type(result), [_run_type(kind) for kind in parameters], False, implementation
    )
    return cel.FunctionDecl(name, [overload])


def _run_type(kind: CelType) -> cel.Type:
    from cel_expr_python import cel

    if kind.name in OPAQUE_NAMES:
        return cel.Type.STRING
    if kind.name == "list":
        return cel.Type.List(_run_type(kind.parameters[0]))
    if kind.name == "map":
        return cel.Type.Map(*map(_run_type, kind.parameters))
    simple = {BOOL: cel.Type.BOOL, INT: cel.Type.INT, DOUBLE: cel.Type.DOUBLE, STRING: cel.Type.STRING}
    return simple.get(kind, cel.Type.DYN)


def program(expr: tree.Expr) -> cel.Expression:
    """A tree made ready to run."""
    return runtime().deserialize(tree.encode(expr))


def activation(data: Mapping[str, Any]) -> cel.Activation:
    """Variables bound for any number of programs. Each is converted when a program first uses it, and kept."""
    return runtime().Activation(data)
