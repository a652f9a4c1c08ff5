"""Field paths: where in an object something is.

Inside gpuward a path is a tuple of map keys (``str``) and list indexes (``int``) from the root of the object the
user wrote. It is rendered as Kubernetes renders paths in its own validation errors
(``spec.containers[0].resources.limits[nvidia.com/gpu]``, k8s.io/apimachinery ``pkg/util/validation/field``),
or as a JSON Pointer (RFC 6901) in patches.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

Path = tuple[str | int, ...]

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*", re.ASCII)

# Distinguishes "no such field" from a field that is null.
MISSING: Final = object()


# The same few fields are named again and again, and each in several texts; the bound is for keys that users choose.
@lru_cache(maxsize=4096)
def render(path: Path) -> str:
    """The path as people read it. Keys that are no plain names stand in brackets: ``metadata.labels[app.io/x]``."""
    parts: list[str] = []
    for segment in path:
        if isinstance(segment, int):
            parts.append(f"[{segment}]")
        elif _PLAIN_KEY.fullmatch(segment):
            parts.append(f".{segment}" if parts else segment)
        else:
            parts.append(f"[{segment}]")
    return "".join(parts)


_SEGMENT: Final = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]")


def parse(field: str) -> Path:
    """Read a path as people write it, the inverse of ``render``: ``spec.containers[0].image``.

    A number in brackets is a list index, anything else there a key; quotes around a key are taken off.
    """
    return tuple(
        name or (int(bracketed) if bracketed.isdigit() else bracketed.strip("'\""))
        for name, bracketed in _SEGMENT.findall(field)
    )


def json_pointer(path: Path) -> str:
    """The path as a JSON Pointer, RFC 6901."""
    return "".join("/" + str(segment).replace("~", "~0").replace("/", "~1") for segment in path)


def parse_json_pointer(pointer: str) -> tuple[str, ...]:
    """The segments of a JSON Pointer; list indexes stay text, as only the document tells what they are.

    Raises:
        ValueError: a non-empty pointer does not start with ``/`` or has a ``~`` that escapes nothing.
    """
    if pointer == "":
        return ()
    if not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is not a JSON Pointer: it must start with '/'")
    if re.search(r"~(?![01])", pointer):
        raise ValueError(
            f"{pointer!r} is not a JSON Pointer: '~' must be written '~0', and '/' within a key '~1'"
        )
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))


def lookup(root: Any, path: Path) -> Any:
    """The value at ``path``, or MISSING where any step is absent or of another type."""
    node = root
    for segment in path:
        # By the type of the node, which says what the segment must be: a key is in no list, an index in no map.
        if type(node) is dict:
            node = node.get(segment, MISSING)
        elif type(node) is list and type(segment) is int and 0 <= segment < len(node):
            node = node[segment]
        else:
            return MISSING
    return node


def present(root: Any, path: Path) -> Path:
    """As much of a path as is there: where to say that the rest is missing."""
    node = root
    for depth, segment in enumerate(path):
        node = lookup(node, (segment,))
        if node is MISSING:
            return path[:depth]
    return path
