"""What a ``match`` asks for and no object can have: a policy that matches nothing would be silent for ever."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from webhook.kube.names import label_key_problem, label_value_problem
from webhook.kube.path import Path
from webhook.policy.model import ExceptionMatch, LabelSelector, Match

_GLOB: Final = re.compile(r"[*?\[]")
# Source: k8s.io/apimachinery pkg/util/validation (IsDNS1123Label), which names of namespaces must be.
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)


def unmatchable(match: Match | ExceptionMatch) -> Iterator[tuple[Path, str]]:
    """The parts of a block that can never hold, each with its path from the block and what is wrong."""
    # An exception that names none is for all of them.
    if isinstance(match, Match) and not match.operations:
        yield ("operations",), "names no operation; leave it out, or name one"
    for i, name in enumerate(match.namespaces):
        if not _GLOB.search(name) and not _NAMESPACE.fullmatch(name):
            message = (
                "is no name of a namespace: at most 63 small letters, digits and '-', with no '-' at an end"
            )
            yield ("namespaces", i), f'"{name}" {message}'
    yield from _selector(match.namespaceSelector, "namespaceSelector")
    yield from _selector(getattr(match, "objectSelector", None), "objectSelector")
    yield from _labels(getattr(match, "labels", {}), ("labels",))


def leaves_out_everything(match: Match) -> bool:
    """Whether a block under ``exclude`` says nothing, and so matches whatever there is."""
    return match == Match() and not match.names_operations


def _selector(selector: LabelSelector | None, name: str) -> Iterator[tuple[Path, str]]:
    if selector is None:
        return
    yield from _labels(selector.matchLabels, (name, "matchLabels"))
    for i, expression in enumerate(selector.matchExpressions):
        path: Path = (name, "matchExpressions", i)
        if problem := label_key_problem(expression.key):
            yield (*path, "key"), problem
        yield from _values(expression.values, (*path, "values"))


def _labels(labels: Mapping[str, str], path: Path) -> Iterator[tuple[Path, str]]:
    for key, value in labels.items():
        if problem := label_key_problem(key) or label_value_problem(value):
            yield (*path, key), problem


def _values(values: Iterable[str], path: Path) -> Iterator[tuple[Path, str]]:
    for i, value in enumerate(values):
        if problem := label_value_problem(value):
            yield (*path, i), problem
