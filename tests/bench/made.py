"""Made-up policies and pods whose number and size can be chosen."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import orjson

from tests.bench.bodies import review_of, training_pod
from tests.support import POLICIES

Document = dict[str, Any]

# The namespace of the reviews that are made, and its labels.
NAMESPACE_LABELS: Final = {"team": "vision", "kubernetes.io/metadata.name": "ml-team"}

# What a policy that does not match is about instead. Each policy names something else, as policies of many teams do.
WAYS: Final = ("kind", "namespace", "namespaceSelector")

_LABEL: Final = "app"


def policies_elsewhere(way: str, count: int) -> list[Document]:
    """Policies that are not about the reviews of ``review_of``: told by their kind, namespace or namespaceSelector."""
    return [
        _policy(f"elsewhere-{n:04}", _demands_label(_LABEL), match=_elsewhere(way, n)) for n in range(count)
    ]


def policies_here(count: int) -> list[Document]:
    """Policies about every pod; each demands a label that ``training_pod`` has."""
    return [_policy(f"here-{n:04}", _demands_label(_LABEL)) for n in range(count)]


def policy_of_expressions(count: int) -> list[Document]:
    """One policy with so many CEL expressions over the containers, no two the same; none for none."""
    rules = [
        {
            "rule": f"expression-{n:02}",
            "expression": (
                f"object.spec.containers.all(c, !c.image.endsWith(':forbidden-{n:02}') && c.name != 'forbidden')"
            ),
            "message": f"no container is called forbidden, and no image has the tag forbidden-{n:02}",
        }
        for n in range(count)
    ]
    return [_policy("expressions", rules)] if rules else []


def _demands_label(key: str) -> list[Document]:
    return [{"rule": "required-labels", "parameters": {"labels": [{"key": key}]}}]


def _elsewhere(way: str, number: int) -> Document:
    if way == "kind":
        return {"kinds": ["StatefulSet"]}
    if way == "namespace":
        return {"namespaces": [f"team-{number:04}"]}
    if way == "namespaceSelector":
        return {"namespaceSelector": {"matchLabels": {"team": f"team-{number:04}"}}}
    raise ValueError(way)


def _policy(name: str, validate: list[Document], match: Document | None = None) -> Document:
    return {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {
            "name": name,
            "annotations": {
                "gpuward.dev/title": "Made for the benchmark",
                "gpuward.dev/category": "benchmark",
                "gpuward.dev/severity": "low",
                "gpuward.dev/description": "One of many.",
            },
        },
        "spec": {"action": "Enforce", **({"match": match} if match else {}), "validate": validate},
    }


def write_policies(folder: Path, more: Iterable[Document]) -> Path:
    """A folder with the shipped policies and these, one file each, as a platform's repository has them."""
    shutil.copytree(POLICIES, folder, ignore=shutil.ignore_patterns("cases"))
    made = folder / "made"
    made.mkdir()
    for document in more:
        # JSON is YAML.
        (made / f"{document['metadata']['name']}.yaml").write_bytes(
            orjson.dumps(document, option=orjson.OPT_INDENT_2)
        )
    return folder


def pod_with(*, containers: int = 0, annotation_bytes: int = 0) -> Document:
    """``training_pod``, with so many regular containers where a number is given, and an annotation of so many bytes."""
    pod = training_pod()
    if containers:
        trainer, other = pod["spec"]["containers"]
        more = [{**copy.deepcopy(other), "name": f"worker-{n:03}"} for n in range(containers - 1)]
        pod["spec"]["containers"] = [trainer, *more]
    if annotation_bytes:
        pod["metadata"]["annotations"] = {"example.com/notes": "0123456789abcdef" * (annotation_bytes // 16)}
    return pod


def review_with(**kind: int) -> bytes:
    """The review of ``pod_with``."""
    return review_of(pod_with(**kind))
