"""Pods in kinds that nobody listed, found by their shape.

A map with a list of ``containers``, of which one has a name and an image, is a PodSpec. Beside a ``metadata``, under
the key ``spec``, it is a PodTemplateSpec's. A map with ``apiVersion`` and ``kind`` is a whole object, whose kind tells
where its pods are.

The search is bounded: objects nested deeper or larger than any real one are searched so far and no further. Pods that
are not found here are still judged when they are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from webhook.kube.path import Path, lookup
from webhook.kube.shape import JSONObject, text
from webhook.kube.workloads.parts import Described, Embedded, Found, Part, labels_and_annotations, made_pod

_DEPTH: Final = 40
# What the search of one object may cost: 1 for a value, 10 for a map or list to look into. The largest objects of real
# workloads cost about 30,000; all of it is spent in some milliseconds.
_BUDGET: Final = 150_000
_MAP_COST: Final = 10

# What describes no pods: the object's own metadata and what a controller reports.
_LEFT_OUT: Final = ("metadata", "status")

_Members = Iterator[tuple[str | int, Any]]


class Search:
    """The search of one object, and of the objects inside it, which share what it may cost."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _BUDGET

    def find(self, obj: JSONObject) -> Iterator[Found]:
        """Every pod and every whole object inside ``obj``, in the order they stand there."""
        if is_pod_spec(obj):
            yield pod_at(obj, ())
        path: list[str | int] = []
        # One iterator for each level that is being looked into, so that nothing is copied.
        levels: list[_Members] = [iter(obj.items())]
        while levels:
            key, value = self._next_container(levels[-1])
            if value is None:
                levels.pop()
                del path[-1:]
                continue
            if key in _LEFT_OUT and not path:
                continue
            path.append(key)
            inner: _Members = iter(())
            if type(value) is list:
                inner = enumerate(value)
            elif type(value.get("kind")) is str and type(value.get("apiVersion")) is str:
                yield Embedded(tuple(path), value)
            else:
                if "containers" in value and is_pod_spec(value):
                    yield pod_at(obj, tuple(path))
                inner = iter(value.items())
            levels.append(inner if len(levels) < _DEPTH else iter(()))

    def _next_container(self, members: _Members) -> tuple[str | int, Any]:
        """The next member that is a map or a list; None where there is none, or the search has cost enough."""
        for key, value in members:
            self._left -= 1
            if type(value) is dict or type(value) is list:
                self._left -= _MAP_COST
                return (key, value) if self._left > 0 else ("", None)
            if self._left <= 0:
                break
        return "", None


def is_pod_spec(node: JSONObject) -> bool:
    """Whether a map has the shape of a PodSpec."""
    containers = node.get("containers")
    return (
        type(containers) is list
        and all(type(container) is dict for container in containers)
        and any(text(container, "name") and text(container, "image") for container in containers)
    )


def pod_at(obj: JSONObject, path: Path) -> Described:
    """The pod whose PodSpec stands at ``path``: with the metadata beside it, or the labels of its object.

    A number called ``replicas`` beside either is how many pods are made of it.
    """
    if len(path) > 1 and path[-1] == "spec":
        number, place = _replicas(obj, path[:-1])
        return Described((*path[:-1], "metadata"), path, replicas=number, replicas_path=place)
    metadata = labels_and_annotations(Part(obj, ()).get("metadata"))
    number, place = _replicas(obj, path)
    return made_pod(metadata, Part(lookup(obj, path), path), replicas=number, replicas_path=place)


def _replicas(obj: JSONObject, described: Path) -> tuple[int, Path]:
    place = (*described[:-1], "replicas")
    written = lookup(obj, place) if len(described) > 1 and isinstance(described[-1], str) else None
    return (written, place) if type(written) is int and written >= 0 else (1, ())
