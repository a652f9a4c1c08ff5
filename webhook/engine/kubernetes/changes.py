"""The JSON Patch between two states of an object.

Where two states share a part (the same dict or list, as what ``webhook.kube.apply`` returns does with what it was
given), it is not looked into: the cost is that of what changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from webhook.kube.path import Path, json_pointer
from webhook.policy.draft import Operation, json_equal


def operations(before: Any, after: Any) -> tuple[Operation, ...]:
    """The JSON Patch (RFC 6902) that leads from one state to the other; empty where they are the same."""
    return tuple(changes(before, after))


def changes(before: Any, after: Any, path: Path = ()) -> Iterator[Operation]:
    """As ``operations``, one at a time."""
    if before is after:
        return
    if type(before) is dict and type(after) is dict:
        yield from _map_changes(before, after, path)
    elif type(before) is list and type(after) is list:
        yield from _list_changes(before, after, path)
    elif not json_equal(before, after):
        yield {"op": "replace", "path": json_pointer(path), "value": after}


def _map_changes(before: dict[str, Any], after: dict[str, Any], path: Path) -> Iterator[Operation]:
    for key in before:
        if key not in after:
            yield {"op": "remove", "path": json_pointer((*path, key))}
    for key, value in after.items():
        if key in before:
            yield from changes(before[key], value, (*path, key))
        else:
            yield {"op": "add", "path": json_pointer((*path, key)), "value": value}


def _list_changes(before: list[Any], after: list[Any], path: Path) -> Iterator[Operation]:
    """Items are compared from both ends; of what is left between, one with the one at its place."""
    shorter = min(len(before), len(after))
    start = 0
    while start < shorter and _same(before[start], after[start]):
        start += 1
    end = 0
    while end < shorter - start and _same(before[-1 - end], after[-1 - end]):
        end += 1
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    for index, (one, other) in enumerate(zip(old, new, strict=False), start):
        yield from changes(one, other, (*path, index))
    for index in reversed(range(start + len(new), start + len(old))):
        yield {"op": "remove", "path": json_pointer((*path, index))}
    for index, value in enumerate(new[len(old) :], start + len(old)):
        place = "-" if end == 0 else index
        yield {"op": "add", "path": json_pointer((*path, place)), "value": value}


def _same(one: Any, other: Any) -> bool:
    return one is other or json_equal(one, other)
