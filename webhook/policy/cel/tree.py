"""The syntax tree of a compiled expression, read from and written to the library's serialised form.

The tree is what lets this package see what an expression uses (which variables, how many nested loops), say where it
is wrong, and put Kubernetes' functions in terms of what the library can run. Source: cel-spec
``proto/cel/expr/syntax.proto`` and ``checked.proto``; the field numbers below are theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec
from msgspec.structs import replace

from . import wire
from .celtype import DYN, CelType, decode_type


class Constant(msgspec.Struct, frozen=True):
    """A literal: None, bool, int, float, str, bytes, or ``Unsigned``."""

    id: int
    value: bool | int | float | str | bytes | Unsigned | None


class Unsigned(msgspec.Struct, frozen=True):
    """The value of an unsigned literal, ``1u``."""

    value: int


class Ident(msgspec.Struct, frozen=True):
    id: int
    name: str


class Select(msgspec.Struct, frozen=True):
    """``operand.field``, or ``has(operand.field)`` where ``test_only``."""

    id: int
    operand: Expr
    field: str
    test_only: bool = False


class Call(msgspec.Struct, frozen=True):
    """A function, operator or, with a target, method call."""

    id: int
    function: str
    args: tuple[Expr, ...]
    target: Expr | None = None

    @property
    def operands(self) -> tuple[Expr, ...]:
        """The target, if any, and the arguments: what an overload's parameters stand for."""
        return self.args if self.target is None else (self.target, *self.args)


class ListExpr(msgspec.Struct, frozen=True):
    id: int
    elements: tuple[Expr, ...]
    optional_indices: tuple[int, ...] = ()


class Entry(msgspec.Struct, frozen=True):
    """An entry of a map or message literal: a map has a ``key``, a message a ``field``."""

    id: int
    value: Expr
    key: Expr | None = None
    field: str = ""
    optional: bool = False


class Struct(msgspec.Struct, frozen=True):
    """A map literal, or a message literal where it has a name."""

    id: int
    entries: tuple[Entry, ...]
    message: str = ""


class Comprehension(msgspec.Struct, frozen=True):
    """What a macro such as ``all`` expands to: a fold of ``range`` into ``accumulator``."""

    id: int
    variable: str
    range: Expr
    accumulator: str
    initial: Expr
    condition: Expr
    step: Expr
    result: Expr
    variable2: str = ""


Expr = Constant | Ident | Select | Call | ListExpr | Struct | Comprehension


class Checked(msgspec.Struct, frozen=True):
    """An expression as the library has checked it."""

    expr: Expr
    types: Mapping[int, CelType]
    """The static type of each node by its id."""
    overloads: Mapping[int, tuple[str, ...]]
    """The candidate overloads of each call by its id; several where an argument is dyn."""
    positions: Mapping[int, int]
    """The offset of each node in the source, in characters."""

    def type_of(self, expr: Expr) -> CelType:
        """The static type of a node; dyn where the checker left none."""
        return self.types.get(expr.id, DYN)


def children(expr: Expr) -> Iterator[Expr]:
    """The nodes right below a node."""
    match expr:
        case Select():
            yield expr.operand
        case Call():
            yield from expr.operands
        case ListExpr():
            yield from expr.elements
        case Struct():
            for entry in expr.entries:
                if entry.key is not None:
                    yield entry.key
                yield entry.value
        case Comprehension():
            yield from (expr.range, expr.initial, expr.condition, expr.step, expr.result)


def walk(expr: Expr) -> Iterator[Expr]:
    """The node and everything below it."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def map_children(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The node with each node right below it changed."""
    match expr:
        case Select():
            return replace(expr, operand=change(expr.operand))
        case Call():
            target = None if expr.target is None else change(expr.target)
            return replace(expr, target=target, args=tuple(map(change, expr.args)))
        case ListExpr():
            return replace(expr, elements=tuple(map(change, expr.elements)))
        case Struct():
            return replace(expr, entries=tuple(_map_entry(entry, change) for entry in expr.entries))
        case Comprehension():
            return replace(
                expr,
                range=change(expr.range),
                initial=change(expr.initial),
                condition=change(expr.condition),
                step=change(expr.step),
                result=change(expr.result),
            )
        case _:
            return expr


def _map_entry(entry: Entry, change: Callable[[Expr], Expr]) -> Entry:
    return replace(entry, key=None if entry.key is None else change(entry.key), value=change(entry.value))


# Reading

_CHECKED_EXPR = "type.googleapis.com/cel.expr.CheckedExpr"
_PARSED_EXPR = "type.googleapis.com/cel.expr.ParsedExpr"


def decode(serialized: bytes) -> Checked:
    """A tree from ``Expression.serialize()``, a ``google.protobuf.Any``. One that was parsed only has no types.

    Raises:
        wire.WireError: not what the library is known to write.
    """
    envelope = wire.Message(serialized)
    if envelope.text(1) == _PARSED_EXPR:
        parsed = envelope.message(2)
        return Checked(_decode_expr(parsed.message(2)), {}, {}, _decode_positions(parsed.message(3)))
    if envelope.text(1) != _CHECKED_EXPR:
        raise wire.WireError(f"a compiled expression is a {envelope.text(1)}, not a {_CHECKED_EXPR}")
    checked = envelope.message(2)
    return Checked(
        expr=_decode_expr(checked.message(4)),
        types={entry.int64(1): decode_type(entry.message(2)) for entry in checked.messages(3)},
        overloads={entry.int64(1): tuple(entry.message(2).texts(3)) for entry in checked.messages(2)},
        positions=_decode_positions(checked.message(5)),
    )


def _decode_positions(source_info: wire.Message) -> dict[int, int]:
    return {entry.int64(1): entry.int64(2) for entry in source_info.messages(4)}


def _decode_expr(data: wire.Message) -> Expr:
    expr_id = data.int64(2)
    if 3 in data:
        return Constant(expr_id, _decode_constant(data.message(3)))
    if 4 in data:
        return Ident(expr_id, data.message(4).text(1))
    if 5 in data:
        body = data.message(5)
        return Select(expr_id, _decode_expr(body.message(1)), body.text(2), bool(body.int64(3)))
    if 6 in data:
        body = data.message(6)
        target = _decode_expr(body.message(1)) if 1 in body else None
        return Call(expr_id, body.text(2), tuple(map(_decode_expr, body.messages(3))), target)
    if 7 in data:
        body = data.message(7)
        return ListExpr(expr_id, tuple(map(_decode_expr, body.messages(1))), tuple(body.int64s(2)))
    if 8 in data:
        body = data.message(8)
        return Struct(expr_id, tuple(map(_decode_entry, body.messages(2))), body.text(1))
    if 9 in data:
        body = data.message(9)
        return Comprehension(
            expr_id,
            variable=body.text(1),
            range=_decode_expr(body.message(2)),
            accumulator=body.text(3),
            initial=_decode_expr(body.message(4)),
            condition=_decode_expr(body.message(5)),
            step=_decode_expr(body.message(6)),
            result=_decode_expr(body.message(7)),
            variable2=body.text(8),
        )
    raise wire.WireError("a syntax node of an unknown kind")


def _decode_constant(data: wire.Message) -> bool | int | float | str | bytes | Unsigned | None:
    if 1 in data:
        return None
    if 2 in data:
        return bool(data.int64(2))
    if 3 in data:
        return data.int64(3)
    if 4 in data:
        return Unsigned(data.uint64(4))
    if 5 in data:
        return data.double(5)
    if 6 in data:
        return data.text(6)
    if 7 in data:
        return data.blob(7)
    raise wire.WireError("a literal of an unknown kind")


def _decode_entry(data: wire.Message) -> Entry:
    return Entry(
        data.int64(1),
        value=_decode_expr(data.message(4)),
        key=_decode_expr(data.message(3)) if 3 in data else None,
        field=data.text(2),
        optional=bool(data.int64(5)),
    )


# Writing


def encode(expr: Expr) -> bytes:
    """What ``Env.deserialize()`` takes: the tree alone, its nodes numbered anew, since the evaluator wants unique
    numbers and reads neither types nor positions."""
    encoder = _Encoder()
    return wire.text_field(1, _CHECKED_EXPR) + wire.bytes_field(2, wire.bytes_field(4, encoder.expr(expr)))


class _Encoder:
    def __init__(self) -> None:
        self._last_id = 0

    def _id(self, number: int) -> bytes:
        self._last_id += 1
        return wire.int_field(number, self._last_id)

    def expr(self, expr: Expr) -> bytes:
        expr_id = self._id(2)
        match expr:
            case Constant():
                return expr_id + wire.bytes_field(3, _encode_constant(expr))
            case Ident():
                return expr_id + wire.bytes_field(4, wire.text_field(1, expr.name))
            case Select():
                body = wire.bytes_field(1, self.expr(expr.operand)) + wire.text_field(2, expr.field)
                return expr_id + wire.bytes_field(5, body + wire.int_field(3, expr.test_only))
            case Call():
                body = b"" if expr.target is None else wire.bytes_field(1, self.expr(expr.target))
                body += wire.text_field(2, expr.function) + self._exprs(3, expr.args)
                return expr_id + wire.bytes_field(6, body)
            case ListExpr():
                body = self._exprs(1, expr.elements)
                body += b"".join(wire.int_field(2, index) for index in expr.optional_indices)
                return expr_id + wire.bytes_field(7, body)
            case Struct():
                body = wire.text_field(1, expr.message)
                body += b"".join(wire.bytes_field(2, self._entry(entry)) for entry in expr.entries)
                return expr_id + wire.bytes_field(8, body)
            case Comprehension():
                body = wire.text_field(1, expr.variable) + wire.bytes_field(2, self.expr(expr.range))
                body += wire.text_field(3, expr.accumulator) + wire.bytes_field(4, self.expr(expr.initial))
                body += wire.bytes_field(5, self.expr(expr.condition)) + wire.bytes_field(
                    6, self.expr(expr.step)
                )
                body += wire.bytes_field(7, self.expr(expr.result)) + wire.text_field(8, expr.variable2)
                return expr_id + wire.bytes_field(9, body)

    def _exprs(self, number: int, exprs: tuple[Expr, ...]) -> bytes:
        return b"".join(wire.bytes_field(number, self.expr(expr)) for expr in exprs)

    def _entry(self, entry: Entry) -> bytes:
        data = self._id(1)
        if entry.key is None:
            data += wire.text_field(2, entry.field)
        else:
            data += wire.bytes_field(3, self.expr(entry.key))
        return data + wire.bytes_field(4, self.expr(entry.value)) + wire.int_field(5, entry.optional)


def _encode_constant(constant: Constant) -> bytes:
    match constant.value:
        case None:
            return wire.int_field(1, 0)
        case bool(value):
            return wire.int_field(2, value)
        case int(value):
            return wire.int_field(3, value)
        case Unsigned(value):
            return wire.int_field(4, value)
        case float(value):
            return wire.double_field(5, value)
        case str(value):
            return wire.text_field(6, value)
        case bytes(value):
            return wire.bytes_field(7, value)
