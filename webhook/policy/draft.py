"""A working copy of an object that remembers how it was changed.

Mutations write to a draft; the original is never touched. Only the maps and lists on the way to a change are
copied (a deep copy of a pod costs more than everything else a review does), and each change is recorded as
one JSON Patch operation (RFC 6902). What is written inside a value that the draft itself added needs no
operation of its own: it is part of that value.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from webhook.kube.path import MISSING, Path, json_pointer, lookup
from webhook.kube.shape import JSONObject

Operation = dict[str, Any]

# Mutations write to the same few places in every pod; the bound is for keys that users choose.
_pointer: Final = lru_cache(maxsize=4096)(json_pointer)


def json_equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same. Unlike ``==``, true is not 1 and false is not 0, at any depth."""
    if type(one) is not type(other):
        numbers = (int, float)
        return type(one) in numbers and type(other) in numbers and bool(one == other)
    if type(one) is dict:
        return one.keys() == other.keys() and all(json_equal(value, other[key]) for key, value in one.items())
    if type(one) is list:
        return len(one) == len(other) and all(map(json_equal, one, other))
    return bool(one == other)


class Draft:
    """Copy on write over one JSON object.

    ``object`` is the current state, ``operations`` the JSON Patch that leads from the original to it,
    ``revision`` a number that grows with every change (also one inside an added value, which makes no
    operation).

    Values given to a draft belong to it from then on: they must not be shared with anything that may change,
    nor with another place in the draft. No method raises for a path that does not fit the object; it changes
    nothing and says so.
    """

    __slots__ = ("_added", "_keep", "_owned", "object", "operations", "revision")

    def __init__(self, original: JSONObject) -> None:
        self.object: JSONObject = original
        self.operations: list[Operation] = []
        self.revision = 0
        # id() of maps and lists that this draft owns: copies of original ones, and what is in values it added.
        self._owned: set[int] = set()
        self._added: set[int] = set()
        # Keeps every owned container alive, so that no id() is ever used again for another.
        self._keep: list[Any] = []

    @property
    def changed(self) -> bool:
        return bool(self.operations)

    def get(self, path: Path) -> Any:
        """The value at ``path`` now, or MISSING."""
        return lookup(self.object, path)

    def set_default(self, path: Path, value: Any) -> bool:
        """Set a field where it is absent or null, making the maps that lead to it. Says whether it did.

        Nothing is changed where the field has a value, where something other than a map is in the way, or
        where an item of a list is meant. A value of None sets nothing: a null field is an absent one.
        """
        if value is None:
            return False
        node: Any = self.object
        for depth, segment in enumerate(path):
            if type(node) is dict:
                child = node.get(segment)
            else:
                child = lookup(node, (segment,))
                if child is None or child is MISSING:
                    # A list has no absent items: a null one is a mistake that is not ours to mend.
                    return False
            if child is None:
                if isinstance(segment, int):
                    return False
                # The first absent step decides where the operation goes: what is below it is part of its value.
                for below in reversed(path[depth + 1 :]):
                    if isinstance(below, int):
                        return False
                    value = {below: value}
                self._put(path[: depth + 1], value, "add")
                return True
            node = child
        return False

    def append(self, path: Path, value: Any) -> bool:
        """Add an item to the end of the list at ``path``, making list and maps where absent.

        Says whether it did.
        """
        existing = lookup(self.object, path)
        if existing is MISSING or existing is None:
            return self.set_default(path, [value])
        if type(existing) is not list:
            return False
        owner, fresh = self._own(path)
        owner.append(value)
        self._adopt(value)
        if not fresh:
            self.operations.append({"op": "add", "path": _pointer(path) + "/-", "value": value})
        return True

    def insert(self, path: Path, value: Any) -> bool:
        """Add an item to a list before the one at ``path``, or behind the last.

        Says whether there is such a place.
        """
        existing = lookup(self.object, path[:-1])
        index = path[-1] if path else None
        if type(existing) is not list or not isinstance(index, int) or not 0 <= index <= len(existing):
            return False
        owner, fresh = self._own(path[:-1])
        owner.insert(index, value)
        self._adopt(value)
        if not fresh:
            self.operations.append({"op": "add", "path": _pointer(path), "value": value})
        return True

    def replace(self, path: Path, value: Any) -> bool:
        """Overwrite what is at ``path``. Says whether there was something else to overwrite."""
        existing = lookup(self.object, path)
        if not path or existing is MISSING or json_equal(existing, value):
            return False
        self._put(path, value, "replace")
        return True

    def remove(self, path: Path) -> bool:
        """Remove what is at ``path``. Says whether there was something."""
        if not path or lookup(self.object, path) is MISSING:
            return False
        owner, fresh = self._own(path[:-1])
        del owner[path[-1]]
        if not fresh:
            self.operations.append({"op": "remove", "path": _pointer(path)})
        return True

    def _put(self, path: Path, value: Any, op: str) -> None:
        """Set what is at ``path``: a member of a map that is there, or an item that is in its list."""
        owner, fresh = self._own(path[:-1])
        owner[path[-1]] = value
        self._adopt(value)
        if not fresh:
            # `add` over a null member replaces it: RFC 6902, section 4.1.
            self.operations.append({"op": op, "path": _pointer(path), "value": value})

    def _own(self, path: Path) -> tuple[Any, bool]:
        """The map or list at ``path``, ready to be written, and whether it is part of an added value."""
        self.revision += 1
        owned = self._owned
        node: Any = self.object
        if id(node) not in owned:
            node = self.object = self._copy(node)
        for segment in path:
            child = node[segment]
            if id(child) not in owned:
                child = node[segment] = self._copy(child)
            node = child
        return node, id(node) in self._added

    def _copy(self, node: Any) -> Any:
        copy = node.copy()
        self._owned.add(id(copy))
        self._keep.append(copy)
        return copy

    def _adopt(self, value: Any) -> None:
        if type(value) is dict:
            children = value.values()
        elif type(value) is list:
            children = value  # type: ignore[assignment]  # only iterated
        else:
            return
        self._owned.add(id(value))
        self._added.add(id(value))
        self._keep.append(value)
        for child in children:
            if type(child) is dict or type(child) is list:
                self._adopt(child)
