"""CEL's static types, as the checker infers them and as declarations name them."""

from __future__ import annotations

from typing import Any

import msgspec

from . import wire


class CelType(msgspec.Struct, frozen=True):
    """A CEL type: a name and its parameters. ``str()`` is the spelling of Kubernetes' messages: ``list(int)``."""

    name: str
    parameters: tuple[CelType, ...] = ()
    is_parameter: bool = False
    """A type variable of a declaration, such as the ``T`` of ``list(T).indexOf(T)``."""

    def __str__(self) -> str:
        if not self.parameters:
            return self.name
        return f"{self.name}({', '.join(map(str, self.parameters))})"

    def config(self) -> dict[str, Any]:
        """The type as the library's environment configuration spells it."""
        info: dict[str, Any] = {"type_name": self.name}
        if self.is_parameter:
            info["is_type_param"] = True
        if self.parameters:
            info["params"] = [parameter.config() for parameter in self.parameters]
        return info

    def contains(self, names: frozenset[str]) -> bool:
        """Whether the type, or a type within it, is one of ``names``."""
        return self.name in names or any(parameter.contains(names) for parameter in self.parameters)


DYN = CelType("dyn")
NULL = CelType("null")
BOOL = CelType("bool")
INT = CelType("int")
UINT = CelType("uint")
DOUBLE = CelType("double")
STRING = CelType("string")
BYTES = CelType("bytes")
DURATION = CelType("duration")
TIMESTAMP = CelType("timestamp")
T = CelType("T", is_parameter=True)

# Kubernetes' own types. The library cannot carry a foreign object through an evaluation, so at run time each of these
# is a string (see ``functions``); the checker knows them as types of their own, and nothing else may be done with them.
QUANTITY = CelType("kubernetes.Quantity")
URL = CelType("kubernetes.URL")
SEMVER = CelType("kubernetes.Semver")
NAMED_FORMAT = CelType("kubernetes.NamedFormat")
IP = CelType("net.IP")
CIDR = CelType("net.CIDR")
OPAQUE_NAMES = frozenset(kind.name for kind in (QUANTITY, URL, SEMVER, NAMED_FORMAT, IP, CIDR))


def list_of(element: CelType) -> CelType:
    return CelType("list", (element,))


def map_of(key: CelType, value: CelType) -> CelType:
    return CelType("map", (key, value))


def optional_of(value: CelType) -> CelType:
    return CelType("optional_type", (value,))


_PRIMITIVES = {1: BOOL, 2: INT, 3: UINT, 4: DOUBLE, 5: STRING, 6: BYTES}
_WELL_KNOWN = {1: DYN, 2: TIMESTAMP, 3: DURATION}


def decode_type(data: wire.Message) -> CelType:
    """The type a ``cel.expr.Type`` message stands for. Source: cel-spec ``proto/cel/expr/checked.proto``."""
    if 2 in data:
        return NULL
    if 3 in data:
        return _PRIMITIVES.get(data.int64(3), DYN)
    if 5 in data:
        return _WELL_KNOWN.get(data.int64(5), DYN)
    if 6 in data:
        return list_of(decode_type(data.message(6).message(1)))
    if 7 in data:
        entry = data.message(7)
        return map_of(decode_type(entry.message(1)), decode_type(entry.message(2)))
    if 9 in data:
        return CelType(data.text(9))
    if 10 in data:
        return CelType(data.text(10), is_parameter=True)
    if 11 in data:
        return CelType("type", (decode_type(data.message(11)),))
    if 14 in data:
        opaque = data.message(14)
        return CelType(opaque.text(1), tuple(map(decode_type, opaque.messages(2))))
    return DYN
