"""A working copy of an object that remembers how it was changed.

Mutations write to a draft; the original is never touched. Only the maps and lists on the way to a change are
copied (a deep copy of a pod costs more than everything else a review does), and each change is recorded as
one JSON Patch operation (RFC 6902). What is written inside a value that the draft itself added needs no
operation of its own: it is part of that value.
"""

from __future__ import annotations

from collections.abc import Mapping
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

    __slots__ = ("_added", "_changes", "_copies", "object", "revision")

    def __init__(self, original: JSONObject) -> None:
        self.object: JSONObject = original
        self.revision = 0
        # What will be operations. Of most drafts nobody asks for them: templates are changed to be judged only.
        self._changes: list[tuple[str, Path, Any]] = []
        # Copies of original maps and lists, and values that were added, by id(). What is inside an added value belongs
        # to the draft with it. Held here, they live as long as the draft, so that no id() is used again for another.
        self._copies: dict[int, Any] = {}
        self._added: dict[int, Any] = {}

    @property
    def changed(self) -> bool:
        return bool(self._changes)

    @property
    def operations(self) -> list[Operation]:
        """The JSON Patch so far."""
        return [
            {"op": op, "path": _pointer(path)}
            if value is MISSING
            else {"op": op, "path": _pointer(path), "value": value}
            for op, path, value in self._changes
        ]

    def get(self, path: Path) -> Any:
        """The value at ``path`` now, or MISSING."""
        return lookup(self.object, path)

    def set_default(self, path: Path, value: Any) -> bool:
        """Set a field where it is absent or null, making the maps that lead to it. Says whether it did.

        Nothing is changed where the field has a value, where something other than a map is in the way, or
        where an item of a list is meant. A value of None sets nothing: a null field is an absent one.
        """
        return bool(path) and value is not None and self._default(path[:-1], {path[-1]: value}, deep=False)

    def fill(self, path: Path, values: JSONObject) -> bool:
        """Set what is absent or null of a map at ``path``, and of the maps inside it. Says whether it set anything.

        What holds of each value is what ``set_default`` says. There is one operation for each first absent step.
        """
        return bool(values) and self._default(path, values, deep=True)

    def _default(self, path: Path, values: Mapping[Any, Any], *, deep: bool) -> bool:
        before = self.object
        did = self._set_at(path, values, deep)
        if not did and not self.revision:
            # What was copied on the way stands for nothing.
            self.object = before
        return did

    def _set_at(self, path: Path, values: Mapping[Any, Any], deep: bool) -> bool:
        # Looked for and made ready to be written in one go: mostly there is something to set.
        copies, added = self._copies, self._added
        node: Any = self._root()
        fresh = False
        for depth, segment in enumerate(path):
            if type(node) is dict:
                child = node.get(segment)
                if child is None:
                    # The first absent step decides where the operation goes: what is below it is part of its value.
                    return self._set(node, path[:depth], _nested(path[depth:], values), fresh, deep)
            else:
                child = lookup(node, (segment,))
                if child is None or child is MISSING:
                    # A list has no absent items: a null one is a mistake that is not ours to mend.
                    return False
            if not fresh and id(child) not in copies:
                if id(child) in added:
                    fresh = True
                elif type(child) is dict or type(child) is list:
                    child = node[segment] = self._copy(child)
                else:
                    return False
            node = child
        return type(node) is dict and self._set(node, path, values, fresh, deep)

    def _set(self, owner: JSONObject, path: Path, values: Mapping[Any, Any], fresh: bool, deep: bool) -> bool:
        """Set those members that are absent or null, of a map that may be written."""
        did = False
        for key, value in values.items():
            existing = owner.get(key)
            if existing is None:
                if type(key) is str:
                    owner[key] = value
                    did = True
                    self.revision += 1
                    if not fresh:
                        # `add` over a null member replaces it: RFC 6902, section 4.1.
                        self._record("add", (*path, key), value)
            elif deep and type(value) is dict and type(existing) is dict:
                inside = fresh or id(existing) in self._added
                if not inside and id(existing) not in self._copies:
                    existing = owner[key] = self._copy(existing)
                did = self._set(existing, (*path, key), value, inside, deep) or did
        return did

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
        if not fresh:
            # RFC 6901, section 4: "-" is behind the last item.
            self._record("add", (*path, "-"), value)
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
        if not fresh:
            self._record("add", path, value)
        return True

    def replace(self, path: Path, value: Any) -> bool:
        """Overwrite what is at ``path``. Says whether there was something else to overwrite."""
        existing = lookup(self.object, path)
        if not path or existing is MISSING or json_equal(existing, value):
            return False
        owner, fresh = self._own(path[:-1])
        owner[path[-1]] = value
        if not fresh:
            self._record("replace", path, value)
        return True

    def remove(self, path: Path) -> bool:
        """Remove what is at ``path``. Says whether there was something."""
        if not path or lookup(self.object, path) is MISSING:
            return False
        owner, fresh = self._own(path[:-1])
        del owner[path[-1]]
        if not fresh:
            self._record("remove", path, MISSING)
        return True

    def _root(self) -> JSONObject:
        """The object, ready to be written."""
        if id(self.object) not in self._copies:
            self.object = self._copy(self.object)
        return self.object

    def _copy(self, node: Any) -> Any:
        copy = node.copy()
        self._copies[id(copy)] = copy
        return copy

    def _own(self, path: Path) -> tuple[Any, bool]:
        """The map or list at ``path``, ready to be written, and whether it is part of an added value."""
        self.revision += 1
        copies, added = self._copies, self._added
        node: Any = self._root()
        fresh = False
        for segment in path:
            child = node[segment]
            if not fresh and id(child) not in copies:
                if id(child) in added:
                    fresh = True
                else:
                    child = node[segment] = self._copy(child)
            node = child
        return node, fresh

    def _record(self, op: str, path: Path, value: Any) -> None:
        self._added[id(value)] = value
        self._changes.append((op, path, value))


def _nested(path: Path, values: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The maps that lead along a path to these values; nothing where anything but maps would have to."""
    if not all(type(segment) is str for segment in (*path, *values)):
        return {}
    for segment in reversed(path):
        values = {segment: values}
    return values
