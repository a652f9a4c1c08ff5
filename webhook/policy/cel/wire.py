"""Just enough of the protobuf wire format to read and write the library's serialised expressions.

The library hands its checked syntax tree out (and takes one in) as a serialised ``cel.expr.CheckedExpr``; it has no
other window on the tree. Source: protobuf "Encoding" specification.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES = 0, 1, 2
_Value = int | bytes


class WireError(ValueError):
    """Bytes that are no protobuf message, or not the one expected: the library has changed what it writes."""


class Message:
    """A message read: its fields by number. A field that is absent reads as its zero, as proto3 has it.

    Raises:
        WireError: the bytes are not a message; also from any method, where the field is of another kind.
    """

    __slots__ = ("_fields",)

    def __init__(self, data: bytes) -> None:
        self._fields: dict[int, list[_Value]] = {}
        for number, value in _read(data):
            self._fields.setdefault(number, []).append(value)

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def _last(self, number: int) -> _Value | None:
        values = self._fields.get(number)
        return values[-1] if values else None

    def uint64(self, number: int) -> int:
        """A uint64 field, or the bits of a double."""
        value = self._last(number) or 0
        if not isinstance(value, int):
            raise WireError(f"field {number} is not a number")
        return value

    def int64(self, number: int) -> int:
        """An int64, int32, bool or enum field; negative numbers travel as two's complement."""
        value = self.uint64(number)
        return value - (1 << 64) if value >= 1 << 63 else value

    def double(self, number: int) -> float:
        result: float = struct.unpack("<d", self.uint64(number).to_bytes(8, "little"))[0]
        return result

    def blob(self, number: int) -> bytes:
        value = self._last(number) or b""
        if not isinstance(value, bytes):
            raise WireError(f"field {number} is not bytes")
        return value

    def text(self, number: int) -> str:
        return self.blob(number).decode()

    def texts(self, number: int) -> Iterator[str]:
        """A repeated string field."""
        return (value.decode() for value in self._fields.get(number, ()) if isinstance(value, bytes))

    def message(self, number: int) -> Message:
        return Message(self.blob(number))

    def messages(self, number: int) -> Iterator[Message]:
        """A repeated message field."""
        return (Message(value) for value in self._fields.get(number, ()) if isinstance(value, bytes))

    def int64s(self, number: int) -> Iterator[int]:
        """A repeated integer field, packed or not."""
        for value in self._fields.get(number, ()):
            if isinstance(value, int):
                yield value
            else:
                position = 0
                while position < len(value):
                    item, position = _read_varint(value, position)
                    yield item


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7


def _read(data: bytes) -> Iterator[tuple[int, _Value]]:
    position, end = 0, len(data)
    try:
        while position < end:
            key, position = _read_varint(data, position)
            number, wire_type = key >> 3, key & 7
            if wire_type == _VARINT:
                value, position = _read_varint(data, position)
                yield number, value
                continue
            size = 8
            if wire_type == _BYTES:
                size, position = _read_varint(data, position)
            elif wire_type != _FIXED64:
                raise WireError(f"wire type {wire_type}")
            if position + size > end:
                raise WireError("a message ends within a field")
            chunk = data[position : position + size]
            position += size
            yield number, chunk if wire_type == _BYTES else int.from_bytes(chunk, "little")
    except IndexError as error:
        raise WireError("a message ends within a field") from error


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def int_field(number: int, value: int) -> bytes:
    """A varint field: int64, uint64, bool or enum."""
    return _varint(number << 3 | _VARINT) + _varint(value & (1 << 64) - 1)


def bytes_field(number: int, value: bytes) -> bytes:
    """A length-delimited field: a message or bytes."""
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def text_field(number: int, value: str) -> bytes:
    """A string field."""
    return bytes_field(number, value.encode())


def double_field(number: int, value: float) -> bytes:
    """A double field."""
    return _varint(number << 3 | _FIXED64) + struct.pack("<d", value)
