"""From an expression's text to a tree that runs: see what it uses, check it, expand it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import msgspec

from . import budget, checks, construct, engine, expansion, messages, tree, values
from .celtype import CelType
from .construct import Constructions
from .errors import CelCompileError
from .tree import Checked, Expr
from .typed import ROOTS, Fields, Substitution, Use

MAX_LENGTH = 16_384
"""The longest expression, in characters."""

# A conversion of a literal that fails will always fail, and is a typing error: quantity('1Gib'), duration('1d').
_CONVERSIONS = frozenset(
    (
        "bool",
        "bytes",
        "cidr",
        "double",
        "duration",
        "int",
        "ip",
        "quantity",
        "semver",
        "string",
        "timestamp",
        "uint",
        "url",
    )
)

_NOTHING = Constructions((), {})


class Compiled(msgspec.Struct, frozen=True):
    """An expression that may run. ``expr`` still names the composed variables it uses."""

    expr: Expr
    type: CelType


def compile_expression(
    expression: str, variables: Mapping[str, CelType], *, constructs: bool = False
) -> Compiled:
    """A checked and runnable expression. ``variables`` are the composed variables it may use, each with its type;
    ``constructs`` is whether it may make an ``Object{...}`` and a ``JSONPatch{...}``.

    Raises:
        CelCompileError: it cannot be used.
    """
    if not expression.strip():
        raise CelCompileError("the expression is empty", expression)
    if len(expression) > MAX_LENGTH:
        raise CelCompileError(
            f"the expression is {len(expression)} characters long; {MAX_LENGTH} is the most", expression
        )
    parsed = _parse(expression, constructs)
    made = construct.find(expression, parsed) if constructs and parsed is not None else _NOTHING
    uses = [] if parsed is None else Fields(expression, parsed, variables).uses()
    substitution = Substitution(expression, uses, made.edits)
    checked = _check(substitution, made.functions, expression)

    def report(message: str, node: Expr) -> NoReturn:
        place = substitution.origin(checked.positions.get(node.id, 0))
        raise CelCompileError.at(message, expression, place)

    checks.check(checked, report)
    construct.check(checked, made.functions, report)

    def use_of(node: Expr) -> Use | None:
        is_name = isinstance(node, tree.Ident) and node.name.startswith(Substitution.PREFIX)
        return substitution.use_at(checked.positions[node.id]) if is_name else None

    expand = expansion.Expansion(checked, use_of).expand
    for node in tree.walk(checked.expr):
        if isinstance(node, tree.Call) and node.function in _CONVERSIONS and _is_literal(node):
            budget.start(0)
            result = engine.program(expand(node)).eval(engine.activation({}))
            if result.type().name() == "ERROR":
                report(values.error_text(result), node)
    return Compiled(expand(checked.expr), checked.type_of(checked.expr))


def _is_literal(call: tree.Call) -> bool:
    return bool(call.args) and all(isinstance(argument, tree.Constant) for argument in call.operands)


def _parse(expression: str, constructs: bool) -> Checked | None:
    """The syntax tree, where there is something to see in it before the check: typed fields or constructions.

    Raises:
        CelCompileError: bad syntax.
    """
    if not constructs and not any(root in expression for root in (*ROOTS, Substitution.PREFIX)):
        return None
    try:
        parsed = engine.checker(Substitution(expression, []).names).compile(expression, disable_check=True)
    except (RuntimeError, ValueError) as error:
        raise messages.compile_error(error, expression, expression, lambda offset: offset) from None
    return tree.decode(parsed.serialize())


def _check(substitution: Substitution, functions: Mapping[str, CelType], expression: str) -> Checked:
    try:
        environment = engine.checker(substitution.names, tuple(functions.items()))
        compiled = environment.compile(substitution.expression)
    except (RuntimeError, ValueError) as error:
        raise messages.compile_error(
            error, substitution.expression, expression, substitution.origin
        ) from None
    return tree.decode(compiled.serialize())
