"""Kinds that somebody describes in configuration: where their pods are, and how many there will be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from webhook.kube.shape import JSONObject, mapping
from webhook.kube.workloads.discovery import pod_at
from webhook.kube.workloads.parts import Embedded, Found
from webhook.kube.workloads.paths import (
    WILDCARDS,
    Finder,
    Segments,
    bound,
    replicas_of,
    segments,
    walk,
)

# What a step of a path in configuration looks like.
_STEP: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\[\*\])*|\*", re.ASCII)
_EXAMPLE: Final = "spec.roles[*].template"

# Fields of an object that describe no pods.
_NOT_THE_USERS: Final = ("apiVersion", "kind", "metadata", "status")
_CONTAINERS: Final = ("containers", "initContainers", "ephemeralContainers")


class Template(Struct, frozen=True):
    """A place for pods, as configuration names it.

    What stands there may be a PodTemplateSpec, a PodSpec or a whole object. ``replicas`` are the paths of the numbers
    that, multiplied, give how many pods are made of it.
    """

    path: Segments
    replicas: tuple[Segments, ...] = ()


def configured(templates: Iterable[Template]) -> Finder:
    """What finds the pods at these places. Without any, the kind describes no pods."""
    places = tuple(templates)

    def find(obj: JSONObject) -> Iterator[Found]:
        for template in places:
            for path, node in walk(obj, template.path):
                number, number_path = replicas_of(obj, template.replicas, bound(template.path, path))
                if "apiVersion" in node and "kind" in node:
                    yield Embedded(path, node)
                    continue
                is_template = "containers" in mapping(node, "spec")
                if is_template or "containers" in node:
                    pod = pod_at(obj, (*path, "spec") if is_template else path)
                    yield replace(pod, replicas=number, replicas_path=number_path)

    return Finder(tuple(_written(template.path) for template in places), find)


def _written(path: Segments) -> str:
    return ".".join(path).replace(".[]", "[*]")


def parse_template_path(written: str) -> Segments:
    """Read the path of a pod template as people write it: ``spec.roles[*].template``, ``spec.groups.*.pod``.

    Raises:
        ValueError: no pod can be described there; the message says what to write.
    """
    path = _parse(written)
    for index, segment in enumerate(path):
        if segment in _CONTAINERS:
            around = _written(path[:index])
            raise ValueError(f'"{written}" leads to containers; name the pod template around them: {around}')
    return path


def parse_replicas_path(written: str, template: Segments) -> Segments:
    """Read the path of a number of pods; each of its wildcards must be one of the template's.

    Raises:
        ValueError: no number can be meant; the message says what to write.
    """
    path = _parse(written)
    if path[-1] in WILDCARDS:
        raise ValueError(f'"{written}" leads to many values; name the number itself')
    last = max((index for index, segment in enumerate(path) if segment in WILDCARDS), default=-1)
    if path[: last + 1] != template[: last + 1]:
        raise ValueError(
            f'"{written}" does not go along with "{_written(template)}"; up to the last wildcard both must be the same'
        )
    return path


def _parse(written: str) -> Segments:
    for step in written.split("."):
        if re.search(r"\[\d+\]", step):
            raise ValueError(f'"{written}" names one item of a list; write [*] for every item')
        if not _STEP.fullmatch(step):
            raise ValueError(
                f'"{written}" is no path; write keys with dots between them, [*] for every item of a list and * '
                f"for every value of a map, such as {_EXAMPLE}"
            )
    path = segments(written)
    if path[0] in WILDCARDS:
        raise ValueError(f'"{written}" must start with a field of the object, such as {_EXAMPLE}')
    if path[0] in _NOT_THE_USERS:
        raise ValueError(f'"{written}" starts with {path[0]}, which describes no pods; such as {_EXAMPLE}')
    return path
