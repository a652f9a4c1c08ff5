"""Reading JSON whose shape nobody has checked.

The API server sends well-typed pods, but custom resources, offline manifests and unrendered templates carry
anything anywhere. Rules read through these two functions and so never crash on a string where a map belongs;
saying that the type is wrong is the API server's part, and it does.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

JSONObject = dict[str, Any]

# Shared and handed out in place of absent maps, so it must not be writable.
_EMPTY_MAP: Final[Any] = MappingProxyType({})
_EMPTY_LIST: Final[tuple[Any, ...]] = ()


def mapping(parent: Any, key: str) -> JSONObject:
    """``parent[key]`` where it is a map, else an empty, unwritable map."""
    value = parent.get(key)
    return value if type(value) is dict else _EMPTY_MAP


def items(parent: Any, key: str) -> list[JSONObject]:
    """The maps in the list ``parent[key]``; empty where there is no such list. Indexes are not kept."""
    value = parent.get(key)
    return [item for item in value if type(item) is dict] if type(value) is list else []


def indexed(parent: Any, key: str) -> list[tuple[int, JSONObject]]:
    """As ``items``, each with its index in the original list."""
    value = parent.get(key)
    return [(i, item) for i, item in enumerate(value) if type(item) is dict] if type(value) is list else []


def text(parent: Any, key: str) -> str:
    """``parent[key]`` where it is a string, else the empty string."""
    value = parent.get(key)
    return value if type(value) is str else ""


def strings(parent: Any, key: str) -> tuple[str, ...]:
    """The strings in the list ``parent[key]``; empty where there is no such list."""
    value = parent.get(key)
    return tuple(item for item in value if type(item) is str) if type(value) is list else _EMPTY_LIST


def indexed_strings(parent: Any, key: str) -> list[tuple[int, str]]:
    """As ``strings``, each with its index in the original list."""
    value = parent.get(key)
    return [(i, item) for i, item in enumerate(value) if type(item) is str] if type(value) is list else []
