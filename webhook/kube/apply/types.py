"""How each kind of object is merged: its fields, and what its lists and maps are to their items.

The built-in kinds are in ``types.json``, which ``make types`` writes from the OpenAPI of a real API server (Kubernetes
1.36), and which is read when it is first asked for. Its notation, of one field:

===========  ===============================================================================================
``s b u``    a string, a boolean, any scalar
``n i``      a number; an integer
``d``        anything: what is a map is merged, what is a list is replaced
``x``        anything, replaced as a whole
``@T``       a type by its name; ``@!T`` the same, replaced as a whole; ``@+T`` the same, merged
``{X``       a map of X; ``!{X`` one that is replaced as a whole
``[X``       a list of X that is replaced as a whole
``=[X``      a set of X, scalars all
``<k,l>[X``  a list of X, of which those are the same that agree in the fields k and l
===========  ===============================================================================================

A type is a map of its fields (with a ``!`` among them, it is replaced as a whole) or one such notation.

For other kinds the schema of their CustomResourceDefinition decides in Kubernetes. There is none here, so what holds is
the default for one without annotations: maps are merged, lists are replaced as a whole; ObjectMeta is as everywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

from msgspec import Struct

from webhook.kube.gvk import GroupVersionKind, parse_api_version

_KEYED: Final = re.compile(r"<([^>]*)>\[(.*)")
_ANYTHING: Final = "anything"
_META: Final = "apimachinery.pkg.apis.meta.v1.ObjectMeta"


class Reference(Struct, frozen=True):
    """A type that is looked up when it is needed: types refer to themselves."""

    code: str

    def resolve(self) -> Type:
        return _decode(self.code)


class ListType(Struct, frozen=True):
    """A list. ``keys`` say which items are the same; one without keys that is not ``atomic`` is a set."""

    item: Reference
    atomic: bool
    keys: tuple[str, ...] = ()
    defaults: tuple[tuple[str, Any], ...] = ()
    """What a key is where an item leaves it out."""

    def default(self, key: str) -> Any:
        """What a key is where it is left out; None where it has no default."""
        return dict(self.defaults).get(key)


class MapType(Struct, frozen=True):
    """A map, or a structure: ``fields`` have a type each, other keys the type ``values``, or may not be."""

    fields: Mapping[str, Reference]
    values: Reference | None
    atomic: bool = False
    guessed: bool = False
    """Whether it is part of a kind whose schema is not known."""

    def of(self, key: str) -> Reference | None:
        """The type of a key; None where there may be none of this name."""
        return self.fields.get(key, self.values)


class Type(Struct, frozen=True):
    """What may stand at a place: a scalar of some kind, a list, a map, or one of several."""

    scalar: str = ""
    """``string``, ``number``, ``integer``, ``boolean`` or ``anything``; empty where it may be none."""
    list: ListType | None = None
    map: MapType | None = None


_UNTYPED = Reference("x")
_SCALARS: Final = {"s": "string", "n": "number", "i": "integer", "b": "boolean", "u": _ANYTHING}


@cache
def of(kind: GroupVersionKind) -> Type:
    """How objects of this kind are merged."""
    name = _file()["kinds"].get(str(kind))
    return _decode("@" + name) if name is not None else _decode("?")


def is_known(kind: GroupVersionKind) -> bool:
    """Whether the schema of this kind is known."""
    return str(kind) in _file()["kinds"]


def kinds_of(group: str, version: str, kind: str) -> tuple[GroupVersionKind, ...]:
    """The known kinds of a name, in every version where that is ``*``."""
    found = (parse_api_version(*name.rpartition("/")[::2]) for name in _file()["kinds"])
    return tuple(k for k in found if (k.group, k.kind) == (group, kind) and version in ("*", k.version))


def kubernetes_version() -> str:
    """The version of Kubernetes whose kinds these are: ``v1.36.3``."""
    return str(_file()["kubernetes"])


@cache
def _file() -> dict[str, Any]:
    # Part of the program, as the modules are: read once, when a policy that needs it is compiled.
    found: dict[str, Any] = json.loads(resources.files(__package__).joinpath("types.json").read_bytes())
    return found


@cache
def _decode(code: str) -> Type:
    if code in _SCALARS:
        return Type(scalar=_SCALARS[code])
    if code == "d":
        return Type(_ANYTHING, ListType(_UNTYPED, atomic=True), MapType({}, Reference("d")))
    if code == "x":
        return Type(_ANYTHING, ListType(_UNTYPED, atomic=True), MapType({}, _UNTYPED, atomic=True))
    if code == "?":
        metadata = {"apiVersion": Reference("s"), "kind": Reference("s"), "metadata": Reference("@" + _META)}
        return Type(map=MapType(metadata, Reference("guess"), guessed=True))
    if code == "guess":
        unknown = MapType({}, Reference("guess"), guessed=True)
        return Type(_ANYTHING, ListType(_UNTYPED, atomic=True), unknown)
    if code.startswith("@"):
        return _named(code)
    if code.startswith(("{", "!{")):
        atomic = code.startswith("!")
        return Type(map=MapType({}, Reference(code[2 if atomic else 1 :]), atomic))
    if code.startswith("["):
        return Type(list=ListType(Reference(code[1:]), atomic=True))
    if code.startswith("=["):
        return Type(list=ListType(Reference(code[2:]), atomic=False))
    keyed = _KEYED.fullmatch(code)
    assert keyed is not None, f"types.json has an unknown notation: {code}"
    defaults = _file()["defaults"].get(keyed[2].lstrip("@!+"), {})
    keys = tuple(keyed[1].split(","))
    return Type(list=ListType(Reference(keyed[2]), atomic=False, keys=keys, defaults=tuple(defaults.items())))


def _named(code: str) -> Type:
    how = code[1] if code[1] in "!+" else ""
    definition = _file()["types"][code[1 + len(how) :]]
    if isinstance(definition, str):
        found = _decode(definition)
        if not how:
            return found
        assert found.map is not None, f"types.json overrides what is no map: {code}"
        return Type(map=MapType(found.map.fields, found.map.values, atomic=how == "!"))
    fields = {name: Reference(field) for name, field in definition.items() if name != "!"}
    return Type(map=MapType(fields, None, atomic=how == "!" or ("!" in definition and how != "+")))
