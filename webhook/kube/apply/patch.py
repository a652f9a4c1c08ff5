"""JSON Patch as a MutatingAdmissionPolicy applies it.

Kubernetes' library differs from RFC 6902 in a few points, and so does this: a failed ``test`` leaves the object as it
is and is no error, ``replace`` also makes a field that is not there, an index may count from the end. What the patch
writes must fit the type of the object, where that is known. Source: gopkg.in/evanphx/json-patch.v4, k8s.io/apiserver
1.36 ``pkg/admission/plugin/policy/mutating/patch/json_patch.go``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from .merge import check
from .problem import CannotApply
from .types import Type

_INDEX: Final = re.compile(r"[+-]?[0-9]{1,9}", re.ASCII)
_IDENTITY: Final = ("apiVersion", "kind")

Operation = Mapping[str, Any]
Edit = Callable[[Any, Any], Any]


def apply_operations(obj: dict[str, Any], operations: Sequence[Operation], kind: Type) -> dict[str, Any]:
    """The object with the operations made on it. ``kind`` is its type.

    The object is not changed. What the patch does not touch is the same in the result, not a copy of it.

    Raises:
        CannotApply: an operation does not apply, or what it writes does not fit.
    """
    patched: Any = obj
    for index, operation in enumerate(operations):
        try:
            patched = _apply(patched, operation, kind)
        except _TestFailed:
            return obj
        except CannotApply as problem:
            raise CannotApply(f"operation {index}: {problem}", always=problem.always) from None
    if type(patched) is not dict or any(patched.get(key) != obj.get(key) for key in _IDENTITY):
        raise CannotApply("a patch may not change apiVersion and kind", always=True)
    return patched


class _TestFailed(Exception):
    pass


def _apply(root: Any, operation: Operation, kind: Type) -> Any:
    op, path = operation["op"], operation["path"]
    if op in ("add", "replace"):
        value = operation.get("value")
        edit = _add if op == "add" else _replace
        if not path and op == "replace":
            return value
        return _write(root, path, value, edit, op, kind)
    if op == "remove":
        return _edit(root, _steps(path, op), lambda node, key: _remove(node, key, path))
    if op == "test":
        _test(root, operation)
        return root
    if op in ("move", "copy"):
        source = operation.get("from", "")
        value = _find(root, source, op)
        if op == "move":
            root = _edit(root, _steps(source, op), lambda node, key: _remove(node, key, source))
        return _write(root, path, value, _add, op, kind)
    raise CannotApply(f"unknown op {op!r}")


def _steps(pointer: str, op: str) -> list[str]:
    if not pointer.startswith("/"):
        raise CannotApply(f"{op}: {pointer!r} is not a path; it must start with '/'")
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]


def _write(
    root: Any, path: str, value: Any, edit: Callable[[Any, Any, Any], Any], op: str, kind: Type
) -> Any:
    steps = _steps(path, op)
    _check_place(steps, value, kind, path)
    return _edit(root, steps, lambda node, key: edit(node, key, value))


def _edit(node: Any, steps: Sequence[str], change: Edit) -> Any:
    """The node with a change made to what is at ``steps``: of the containers on the way, copies."""
    if type(node) not in (dict, list):
        raise CannotApply(f"the object has nothing that could hold {steps[0]!r}")
    key = _key(node, steps[0])
    if len(steps) == 1:
        return change(node, key)
    child = node.get(key) if type(node) is dict else node[_place(key, len(node))]
    copy = node.copy()
    copy[key] = _edit(child, steps[1:], change)
    return copy


def _key(node: Any, step: str) -> Any:
    """The key of a map, or the index of a list; ``-`` is the end."""
    if type(node) is dict or step == "-":
        return step
    if _INDEX.fullmatch(step) is None:
        raise CannotApply(f"{step!r} is no index of a list")
    return int(step)


def _place(key: Any, length: int) -> int:
    """An index within a list, counted from the beginning."""
    if type(key) is not int or not -length <= key < length:
        raise CannotApply(f"the list has {length} items and none at {key}")
    return key % length


def _add(node: Any, key: Any, value: Any) -> Any:
    copy = node.copy()
    if type(node) is dict:
        copy[key] = value
    elif key == "-":
        copy.append(value)
    else:
        copy.insert(_place(key, len(node) + 1), value)
    return copy


def _replace(node: Any, key: Any, value: Any) -> Any:
    copy = node.copy()
    copy[key if type(node) is dict else _place(key, len(node))] = value
    return copy


def _remove(node: Any, key: Any, path: str) -> Any:
    copy = node.copy()
    if type(node) is dict:
        if key not in node:
            raise CannotApply(f"remove: the object has nothing at {path}")
        del copy[key]
    else:
        del copy[_place(key, len(node))]
    return copy


def _find(root: Any, pointer: str, op: str) -> Any:
    """What is there; None for a field that is absent.

    Raises:
        CannotApply: there is no such place.
    """
    node = root
    for step in _steps(pointer, op):
        if type(node) is dict:
            node = node.get(step)
        elif type(node) is list:
            node = node[_place(_key(node, step), len(node))]
        else:
            raise CannotApply(f"{op}: the object has nothing at {pointer}")
    return node


def _test(root: Any, operation: Operation) -> None:
    found = _find(root, operation["path"], "test") if operation["path"] else root
    if found is None and "value" not in operation:
        return
    # As text, in which 1 is not true and, as in Kubernetes, not 1.0.
    if found is None or _text(found) != _text(operation.get("value")):
        raise _TestFailed


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _check_place(steps: Sequence[str], value: Any, kind: Type, path: str) -> None:
    """What is written must be known to the type of the object, as the API server reads the result strictly."""
    place = ""
    for step in steps:
        if kind.map is not None and (kind.list is None or (step != "-" and _INDEX.fullmatch(step) is None)):
            member = kind.map.of(step)
            place += f".{step}"
            if member is None:
                raise CannotApply(f'unknown field "{place[1:]}"', always=True)
        elif kind.list is not None:
            member = kind.list.item
            place += f"[{step}]"
        else:
            raise CannotApply(f"nothing can be below {place[1:] or 'the object'}: {path}", always=True)
        kind = member.resolve()
    if value is None:
        return
    try:
        check(value, kind, place, nulls=True)
    except CannotApply as problem:
        raise CannotApply(str(problem), always=True) from None
