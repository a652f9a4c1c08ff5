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
# Maps and lists looked at. The largest objects of real workloads have a few thousand.
_NODES: Final = 10_000

# What describes no pods: the object's own metadata and what a controller reports.
_LEFT_OUT: Final = ("metadata", "status")


def discover(obj: JSONObject) -> Iterator[Found]:
    """Every pod and every whole object inside ``obj``, in the order they stand there."""
    if is_pod_spec(obj):
        yield pod_at(obj, ())
    budget = _NODES
    pending: list[tuple[Path, Any]] = [
        ((key,), value) for key, value in reversed(obj.items()) if key not in _LEFT_OUT
    ]
    while pending and budget:
        path, node = pending.pop()
        budget -= 1
        if type(node) is dict:
            if type(node.get("kind")) is str and type(node.get("apiVersion")) is str:
                yield Embedded(path, node)
                continue
            if is_pod_spec(node):
                yield pod_at(obj, path)
            if len(path) < _DEPTH:
                pending += [
                    ((*path, key), value)
                    for key, value in reversed(node.items())
                    if type(value) in (dict, list)
                ]
        elif type(node) is list and len(path) < _DEPTH:
            # No need to reverse a copy where there is nothing to look into, as in long lists of numbers or text.
            inner = [(index, value) for index, value in enumerate(node) if type(value) in (dict, list)]
            pending += [((*path, index), value) for index, value in reversed(inner)]


def is_pod_spec(node: JSONObject) -> bool:
    """Whether a map has the shape of a PodSpec."""
    containers = node.get("containers")
    return (
        type(containers) is list
        and all(type(container) is dict for container in containers)
        and any(text(container, "name") and text(container, "image") for container in containers)
    )


def pod_at(obj: JSONObject, path: Path) -> Described:
    """The pod whose PodSpec stands at ``path``: with the metadata beside it, or the labels of its object."""
    if len(path) > 1 and path[-1] == "spec":
        return Described((*path[:-1], "metadata"), path)
    return made_pod(labels_and_annotations(Part(obj, ()).get("metadata")), Part(lookup(obj, path), path))
