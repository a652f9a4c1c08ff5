"""Reads good documents, quickly, by the types of the fields. What it does not read, ``mistakes`` explains.

pydantic would do for both; but importing it and making its validators takes longer than all else that ``gpuward
review`` does. So this accepts or gives up, and never says why. A value that it accepts pydantic accepts, and reads as
the same; tests/policy/test_reader.py holds the two together.

Documents are JSON, and read strictly: no ``"2"`` for 2 and no 1 for true, but the text of a date for a date and a list
for a tuple.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from webhook.policy.constraints import Constraint
from webhook.policy.strict import Strict

T = TypeVar("T", bound=Strict)

Reader = Callable[[Any], Any]


class GivenUp(Exception):
    """The value is none of the type, or this module cannot tell."""


def read(kind: type[T], data: Any) -> T:
    """An instance of ``kind`` from parsed JSON.

    The instance keeps parts of ``data``, where fields can be anything.

    Raises:
        GivenUp: it cannot be read. That need not mean that it is wrong.
    """
    read_: T = _reader(kind)(data)
    return read_


@cache
def _reader(annotation: Any) -> Reader:
    """The function that reads values of a type. Made when it is first needed."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _constrained(*arguments)
    if origin is Union or origin is UnionType:
        return _one_of(arguments)
    if origin is Literal:
        return _exactly(arguments)
    if origin in _COLLECTIONS:
        return _collection(origin, arguments)
    if origin in (dict, Mapping):
        return _map(*arguments)
    if isinstance(annotation, type):
        if issubclass(annotation, Strict):
            return _fields(annotation)
        if issubclass(annotation, Enum):
            return _member(annotation)
    return _PLAIN.get(annotation, _unknown)


def _of_type(kind: type[Any]) -> Reader:
    def read(value: Any) -> Any:
        # Exactly: True is an int too.
        if type(value) is not kind:
            raise GivenUp
        return value

    return read


def _number(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise GivenUp
    return float(value)


_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _date(value: Any) -> date:
    if type(value) is not str or not _DATE.fullmatch(value):
        raise GivenUp
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise GivenUp from None


# pydantic ends at 200, orjson at 254. No document that is meant comes near.
_DEEPEST: Final = 100


def _anything(value: Any) -> Any:
    _measure(value, _DEEPEST)
    return value


def _measure(value: Any, left: int) -> None:
    if type(value) is dict or type(value) is list:
        if not left:
            raise GivenUp
        for item in value.values() if type(value) is dict else value:
            _measure(item, left - 1)


def _unknown(value: Any) -> Any:  # noqa: ARG001 - the signature of all readers
    raise GivenUp


_PLAIN: Final[Mapping[Any, Reader]] = {
    str: _of_type(str),
    bool: _of_type(bool),
    int: _of_type(int),
    float: _number,
    date: _date,
    NoneType: _of_type(NoneType),
    Any: _anything,
}


def _constrained(annotation: Any, *metadata: Any) -> Reader:
    inner = _reader(annotation)
    if not all(isinstance(constraint, Constraint) for constraint in metadata):
        return _unknown

    def read(value: Any) -> Any:
        found = inner(value)
        for constraint in metadata:
            if not constraint.accepts(found):
                raise GivenUp
        return found

    return read


def _one_of(alternatives: tuple[Any, ...]) -> Reader:
    readers = [_reader(alternative) for alternative in alternatives]

    def read(value: Any) -> Any:
        found = []
        for reader in readers:
            try:
                found.append(reader(value))
            except GivenUp:
                continue
        if len(found) > 1:
            # A whole number is also any number.
            found = [one for one in found if type(one) is type(value)]
        if len(found) != 1:
            raise GivenUp
        return found[0]

    return read


def _exactly(choices: tuple[Any, ...]) -> Reader:
    if any(type(choice) is not str for choice in choices):
        return _unknown
    known = frozenset(choices)

    def read(value: Any) -> Any:
        if type(value) is not str or value not in known:
            raise GivenUp
        return value

    return read


def _member(kind: type[Enum]) -> Reader:
    by_value = {member.value: member for member in kind}

    def read(value: Any) -> Any:
        if type(value) is not str or value not in by_value:
            raise GivenUp
        return by_value[value]

    return read


_COLLECTIONS: Final = (list, tuple, frozenset)


def _collection(origin: Any, arguments: tuple[Any, ...]) -> Reader:
    if origin is tuple and arguments[1:] != (...,):
        return _unknown
    inner = _reader(arguments[0])

    def read(value: Any) -> Any:
        if type(value) is not list:
            raise GivenUp
        return origin(map(inner, value))

    return read


def _map(key: Any, value: Any) -> Reader:
    read_key, read_value = _reader(key), _reader(value)

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise GivenUp
        return {read_key(name): read_value(item) for name, item in value.items()}

    return read


def _fields(kind: type[Strict]) -> Reader:
    names = dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
    hints = get_type_hints(kind, include_extras=True)
    readers: dict[str, Reader] = {}

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise GivenUp
        given = {}
        for written, item in value.items():
            name = names.get(written)
            if name is None:
                raise GivenUp
            reader = readers.get(name)
            if reader is None:
                # Most fields are never written.
                reader = readers[name] = _reader(hints[name])
            given[name] = reader(item)
        try:
            return kind(**given)
        except (TypeError, ValueError):
            # Something required is missing, or the class itself refuses it.
            raise GivenUp from None

    return read
