"""Which variables an expression uses."""

from __future__ import annotations

from collections.abc import Iterator

from . import engine, tree
from .tree import Comprehension, Expr, Ident


def free_names(expression: str) -> dict[str, int]:
    """The names an expression uses and does not bind itself (as ``c`` in ``list.all(c, ...)``), each with the offset of
    its first use. The expression must be one that compiles."""
    parsed = tree.decode(engine.checker(()).compile(expression, disable_check=True).serialize())
    found: dict[str, int] = {}
    for ident in _free(parsed.expr, frozenset()):
        offset = parsed.positions.get(ident.id, 0)
        found[ident.name] = min(found.get(ident.name, offset), offset)
    return found


def _free(expr: Expr, bound: frozenset[str]) -> Iterator[Ident]:
    if isinstance(expr, Ident):
        if expr.name not in bound:
            yield expr
        return
    inner = bound
    if isinstance(expr, Comprehension):
        inner = bound | {expr.variable, expr.variable2, expr.accumulator}
    for child in tree.children(expr):
        outside = isinstance(expr, Comprehension) and (child is expr.range or child is expr.initial)
        yield from _free(child, bound if outside else inner)
