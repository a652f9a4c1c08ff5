"""Whether there can be such a field, and such a value in it, in an object of a known kind."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from webhook.kube.apply.merge import expected, is_scalar
from webhook.kube.apply.types import Type
from webhook.kube.path import Path, render

_INDEX: Final = re.compile(r"0|[1-9][0-9]*", re.ASCII)


class Unfit(Struct, frozen=True):
    """What keeps a path or a value from being part of an object."""

    path: Path
    """Where it is, as far as that can be: the field that does not exist, or the value of the wrong type."""
    message: str
    """What is wrong there, in one clause."""
    known: tuple[str, ...] = ()
    """Where a field does not exist, those that do."""


def type_at(path: Sequence[str | int], kind: Type, items: Collection[str] = ()) -> Type | Unfit:
    """What may stand at a path in objects of a kind; where the path leads nowhere, its first step that does not.

    ``items`` are what, besides a number, stands for an item of a list: the ``-`` of a JSON Pointer, a ``*``.
    """
    place: Path = ()
    for step in path:
        of_item = isinstance(step, int) or step in items or _INDEX.fullmatch(step) is not None
        if kind.list is not None and of_item:
            member = kind.list.item
        elif kind.map is not None and isinstance(step, str):
            found = kind.map.of(step)
            if found is None:
                return _no_field((*place, step), kind)
            member = found
        else:
            return Unfit(
                place, f"{render(place) or 'an object'} is {_called(kind)}, and has no {_step(step)}"
            )
        place = (*place, step)
        kind = member.resolve()
    return kind


def unfit_parts(value: Any, kind: Type, path: Path = ()) -> Iterator[Unfit]:
    """The parts of a value that cannot be in a field of this type; ``path`` is where the value stands.

    Null may stand everywhere: it is no value.
    """
    if type(value) is dict and kind.map is not None:
        for key, item in value.items():
            member = kind.map.of(key)
            if member is None:
                yield _no_field((*path, key), kind)
            else:
                yield from unfit_parts(item, member.resolve(), (*path, key))
    elif type(value) is list and kind.list is not None:
        of_items = kind.list.item.resolve()
        for index, item in enumerate(value):
            yield from unfit_parts(item, of_items, (*path, index))
    elif type(value) is dict:
        yield Unfit(path, f"must be {_called(kind)}, not a map")
    elif type(value) is list:
        yield Unfit(path, f"must be {_called(kind)}, not a list")
    elif value is not None and not is_scalar(value, kind.scalar):
        yield Unfit(path, f"must be {_called(kind)}, not {json.dumps(value)}")


def _no_field(path: Path, kind: Type) -> Unfit:
    assert kind.map is not None, "only a map has fields"
    above = render(path[:-1]) or "the object"
    return Unfit(path, f'{above} has no field "{path[-1]}"', tuple(kind.map.fields))


def _called(kind: Type) -> str:
    name = expected(kind)
    if name.startswith("any"):
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _step(step: str | int) -> str:
    return f"item {step}" if isinstance(step, int) else f'field "{step}"'
