"""What the API server drops of an object when it reads and writes it: empty maps and lists.

Between two mutations it turns the object into its own structures and back. There an empty map of labels is no map of
labels, and the next mutation finds none. An empty structure, such as ``emptyDir: {}``, stays.
"""

from __future__ import annotations

from typing import Any

from .types import Type


def tidied(before: Any, after: Any, kind: Type) -> Any:
    """``after`` without the empty maps and lists in what is not shared with ``before``.

    ``kind`` is the type of both. Neither is changed.
    """
    if after is before:
        return after
    if type(after) is dict and kind.map is not None:
        old = before if type(before) is dict else {}
        tidy: dict[str, Any] = {}
        for key, value in after.items():
            member = kind.map.of(key)
            resolved = Type() if member is None else member.resolve()
            kept = tidied(old.get(key), value, resolved)
            if value is old.get(key) or not (kind.map.fields and _is_empty(kept, resolved)):
                tidy[key] = kept
        return after if _unchanged(tidy, after) else tidy
    if type(after) is list and kind.list is not None:
        item = kind.list.item.resolve()
        olds = {id(entry) for entry in before} if type(before) is list else set()
        items = [value if id(value) in olds else tidied(None, value, item) for value in after]
        return after if all(one is other for one, other in zip(items, after, strict=True)) else items
    return after


def _is_empty(value: Any, kind: Type) -> bool:
    if value == [] and type(value) is list:
        return kind.list is not None
    return type(value) is dict and not value and kind.map is not None and not kind.map.fields


def _unchanged(tidy: dict[str, Any], after: dict[str, Any]) -> bool:
    return len(tidy) == len(after) and all(tidy[key] is value for key, value in after.items())
