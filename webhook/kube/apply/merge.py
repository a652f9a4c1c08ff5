"""The merge itself, and what must hold of a configuration before it.

A configuration is checked against its type first: as Kubernetes does, a field that does not exist, a value of another
type, two items of the same key or a part of something atomic are errors, not left out. The object it is merged into is
not checked: that is for whoever takes the object in.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from .problem import CannotApply
from .types import ListType, MapType, Type

Identity = tuple[Any, ...]
_NUMBERS = (int, float)


def apply(obj: dict[str, Any], configuration: dict[str, Any], kind: Type) -> dict[str, Any]:
    """The object with a configuration merged into it, both JSON. ``kind`` is the type of the object.

    Neither is changed. What the configuration does not touch is the same in the result, not a copy of it.

    Raises:
        CannotApply: the configuration does not fit the type, or touches something atomic.
    """
    check(configuration, kind, "")
    atomic = [*_atomic(configuration, kind, "")]
    if atomic:
        message = f"may not mutate atomic arrays, maps or structs: {', '.join(path for path, _ in atomic)}"
        if any(guessed for _, guessed in atomic):
            message += (
                " (the schema of this kind is not known here, so its lists cannot be merged; use a JSONPatch)"
            )
        raise CannotApply(message)
    merged: dict[str, Any] = _merge(obj, configuration, kind)
    return merged


# The checks


def check(value: Any, kind: Type, path: str, *, nulls: bool = False) -> None:
    """Whether a value fits a type; ``path`` is where it stands, ``.spec.replicas``, and ``nulls`` whether a null does.

    With ``nulls``, it is only read: two items of a list may then have the same key.

    Raises:
        CannotApply: it does not.
    """
    if value is None and nulls:
        return
    if type(value) is dict:
        if kind.map is None:
            raise CannotApply(f"{_shown(path)}: expected {expected(kind)}, got a map")
        for key, item in value.items():
            member = kind.map.of(key)
            if member is None:
                raise CannotApply(f"{path}.{key}: field not declared in schema")
            check(item, member.resolve(), f"{path}.{key}", nulls=nulls)
    elif type(value) is list:
        if kind.list is None:
            raise CannotApply(f"{_shown(path)}: expected {expected(kind)}, got a list")
        if not kind.list.atomic and not nulls:
            _check_identities(value, kind.list, path)
        item_type = kind.list.item.resolve()
        for index, item in enumerate(value):
            check(item, item_type, f"{path}[{index}]", nulls=nulls)
    elif not is_scalar(value, kind.scalar):
        raise CannotApply(f"{_shown(path)}: expected {expected(kind)}, got {json.dumps(value)}")


def _check_identities(items: list[Any], kind: ListType, path: str) -> None:
    seen = set()
    for index, item in enumerate(items):
        identity = identify(item, kind, f"{path}[{index}]")
        if identity in seen:
            raise CannotApply(f"{path}: duplicate entries for key {_named(item, kind)}")
        seen.add(identity)


def is_scalar(value: Any, scalar: str) -> bool:
    """Whether a value is a scalar of this kind; a ``Type`` that is none has the empty text for it."""
    if scalar == "string":
        return type(value) is str
    if scalar in ("number", "integer"):
        # 2.0 is an integer to Kubernetes; 2.5 is found when its own structures are made of the result.
        return type(value) is int or (type(value) is float and (scalar == "number" or value.is_integer()))
    if scalar == "boolean":
        return type(value) is bool
    return bool(scalar) and value is not None


def expected(kind: Type) -> str:
    """What may stand at a place of this type, in words: ``string or map``."""
    parts = ["any scalar" if kind.scalar == "anything" else kind.scalar] if kind.scalar else []
    parts += ["list"] if kind.list is not None else []
    parts += ["map"] if kind.map is not None else []
    return " or ".join(parts)


def _shown(path: str) -> str:
    return path or "the object"


def _atomic(value: Any, kind: Type, path: str) -> list[tuple[str, bool]]:
    """The places in a configuration that would be replaced as a whole, each with whether that is only supposed.

    What stands under a key that is no field of a structure is not looked into, as in Kubernetes.
    """
    found = []
    if type(value) is dict and kind.map is not None:
        if kind.map.atomic:
            found.append((path, False))
        for key, item in value.items():
            member = kind.map.of(key) if kind.map.guessed else kind.map.fields.get(key)
            if member is None:
                continue
            if kind.map.guessed and type(item) is list:
                found.append((f"{path}.{key}", True))
            else:
                found += _atomic(item, member.resolve(), f"{path}.{key}")
    elif type(value) is list and kind.list is not None:
        if kind.list.atomic:
            found.append((path, False))
        item_type = kind.list.item.resolve()
        for index, item in enumerate(value):
            found += _atomic(item, item_type, f"{path}[{index}]")
    return found


# The merge


def _merge(live: Any, change: Any, kind: Type) -> Any:
    if type(change) is dict and kind.map is not None:
        return _merge_maps(live, change, kind.map) if type(live) is dict else change
    if type(change) is list and kind.list is not None and not kind.list.atomic:
        return _merge_lists(live, change, kind.list) if type(live) is list else change
    return live if _same(live, change) else change


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and type(one) not in (dict, list) and bool(one == other)


def _merge_maps(live: dict[str, Any], change: dict[str, Any], kind: MapType) -> dict[str, Any]:
    if kind.atomic:
        return change
    merged = live
    for key, value in change.items():
        member = kind.of(key)
        assert member is not None  # it was checked
        old = live.get(key)
        new = _merge(old, value, member.resolve())
        if new is not old or key not in live:
            if merged is live:
                merged = dict(live)
            merged[key] = new
    return merged


def _merge_lists(live: list[Any], change: list[Any], kind: ListType) -> list[Any]:
    """Items of both lists, those of the same key merged.

    The order is Kubernetes': what both lists have is in the order of the change, what only one has stays near its
    neighbours. An item of which the object has several is replaced, and stays once.
    """
    if not change:
        return live
    item_type = kind.item.resolve()
    olds = [identify(item, kind, f"element {index}") for index, item in enumerate(live)]
    news = [identify(item, kind, f"element {index}") for index, item in enumerate(change)]
    times = Counter(olds)
    old_of = {key: None if times[key] > 1 else item for key, item in zip(olds, live, strict=True)}
    new_of = dict(zip(news, change, strict=True))
    shared = [identity for identity in news if identity in old_of]
    merged: list[Any] = []
    taken: set[Identity] = set()
    left = right = 0

    def take(identity: Identity) -> None:
        nonlocal right
        taken.add(identity)
        merged.append(_merge(old_of.get(identity), new_of[identity], item_type))
        right += 1
        if shared and shared[0] == identity:
            del shared[0]

    while left < len(olds) or right < len(news):
        if left < len(olds) and right < len(news):
            identity = olds[left]
            if identity == news[right]:
                take(identity)
                left += 1
                continue
            if identity in new_of and shared and shared[0] != identity:
                # Its turn comes when the change has come to it.
                left += 1
                continue
        if left < len(olds):
            if olds[left] not in new_of:
                merged.append(live[left])
                left += 1
                continue
            if olds[left] in taken:
                left += 1
        if right < len(news):
            take(news[right])
    unchanged = len(merged) == len(live) and all(a is b for a, b in zip(merged, live, strict=True))
    return live if unchanged else merged


def identify(item: Any, kind: ListType, place: str) -> Identity:
    """What makes an item of a list with keys, or of a set, the one it is.

    Raises:
        CannotApply: it can be none.
    """
    if not kind.keys:
        if item is None or type(item) in (dict, list):
            raise CannotApply(f"{place}: the items of a set must be scalars")
        return _identity(item)
    if type(item) is not dict:
        raise CannotApply(f"{place}: must be a map with {_keys(kind)}")
    named = [(key, item[key] if key in item else kind.default(key)) for key in sorted(kind.keys)]
    found = tuple((key, *_identity(value)) for key, value in named if key in item or value is not None)
    if not found:
        raise CannotApply(f"{place}: must have {_keys(kind)}, by which the items of the list are told apart")
    return found


def _keys(kind: ListType) -> str:
    return " and ".join(kind.keys)


def _identity(value: Any) -> Identity:
    """Numbers are the same as numbers, whether written 80 or 80.0; true is no number."""
    if type(value) in _NUMBERS:
        return ("number", value)
    return (type(value).__name__, value if type(value) is str else json.dumps(value, sort_keys=True))


def _named(item: Any, kind: ListType) -> str:
    return json.dumps({key: item.get(key) for key in kind.keys} if kind.keys else item)
