"""Pod templates that stand in one place: their paths, and how many pods are made of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from msgspec import Struct

from webhook.kube.path import Path, lookup
from webhook.kube.shape import JSONObject
from webhook.kube.workloads.parts import (
    Described,
    Embedded,
    Found,
    Part,
    count,
    labels_and_annotations,
    made_pod,
)


class Finder(Struct, frozen=True):
    """What finds the pods that objects of a kind describe.

    ``places`` tells people where it looks, in the form of ``segments``.
    """

    places: tuple[str, ...]
    find: Callable[[JSONObject], Iterator[Found]]


# A path with wildcards: ``*`` is every value of a map, ``[]`` every item of a list.
Segments = tuple[str, ...]

WILDCARDS: Final = ("*", "[]")


def segments(dotted: str) -> Segments:
    """``spec.groups[*].template`` as segments; ``.*`` stands for every value of a map, ``[*]`` for every item."""
    return tuple(segment for segment in dotted.replace("[*]", ".[]").split(".") if segment)


def template(dotted: str, *, replicas: tuple[str, ...] = ()) -> Finder:
    """A PodTemplateSpec (``metadata`` and ``spec``) at each place the path leads to.

    ``replicas`` are the paths of the numbers that, multiplied, give how many pods are made of it; their wildcards
    stand for what those of the template's path stand for, in order. One that is absent is 1.
    """
    where = segments(dotted)
    counts = tuple(map(segments, replicas))

    def find(obj: JSONObject) -> Iterator[Found]:
        for path, _ in walk(obj, where):
            number, number_path = replicas_of(obj, counts, bound(where, path))
            yield Described((*path, "metadata"), (*path, "spec"), replicas=number, replicas_path=number_path)

    return Finder((dotted,), find)


def pod_spec(dotted: str) -> Finder:
    """A bare PodSpec at each place the path leads to; its pods take the labels and annotations of their object."""
    where = segments(dotted)

    def find(obj: JSONObject) -> Iterator[Found]:
        for path, node in walk(obj, where):
            if "containers" in node:
                metadata = labels_and_annotations(Part(obj, ()).get("metadata"))
                yield made_pod(metadata, Part(node, path))

    return Finder((dotted,), find)


def whole_object(dotted: str) -> Finder:
    """A whole object at each place the path leads to."""
    where = segments(dotted)

    def find(obj: JSONObject) -> Iterator[Found]:
        for path, node in walk(obj, where):
            yield Embedded(path, node)

    return Finder((dotted,), find)


def each(*finders: Finder) -> Finder:
    """What any of these finds, in this order."""

    def find(obj: JSONObject) -> Iterator[Found]:
        for finder in finders:
            yield from finder.find(obj)

    return Finder(tuple(place for finder in finders for place in finder.places), find)


def walk(node: Any, where: Segments, path: Path = ()) -> Iterator[tuple[Path, JSONObject]]:
    """The maps that a path with wildcards leads to, each with its own path."""
    for depth, segment in enumerate(where):
        if segment in WILDCARDS:
            rest = where[depth + 1 :]
            for key, value in _every(segment, node):
                yield from walk(value, rest, (*path, *where[:depth], key))
            return
        if type(node) is not dict or segment not in node:
            return
        node = node[segment]
    if type(node) is dict:
        yield (*path, *where), node


def _every(wildcard: str, node: Any) -> Iterable[tuple[str | int, Any]]:
    """The values of a map, or items of a list, each with its key or index; nothing of anything else."""
    if wildcard == "*":
        return node.items() if type(node) is dict else ()
    return enumerate(node) if type(node) is list else ()


def bound(where: Segments, path: Path) -> Path:
    """What the wildcards of ``where`` stand for in ``path``."""
    return tuple([step for segment, step in zip(where, path, strict=True) if segment in WILDCARDS])


def replicas_of(obj: JSONObject, counts: tuple[Segments, ...], wildcards: Path) -> tuple[int, Path]:
    """The product of the numbers at these paths, and where the first of them is written."""
    number = 1
    place: Path = ()
    for where in counts:
        path = _resolve(where, wildcards)
        factor = count(lookup(obj, path))
        if path[-1] == "parallelism":
            # A Job runs no more pods at once than it still needs.
            factor = min(factor, count(lookup(obj, (*path[:-1], "completions")), default=factor))
        number *= factor
        place = place or path
    return number, place


def _resolve(where: Segments, wildcards: Path) -> Path:
    if not wildcards:
        return where
    rest = iter(wildcards)
    return tuple([next(rest) if segment in WILDCARDS else segment for segment in where])
