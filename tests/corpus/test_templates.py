"""Every pod template of the corpus is found, and every finding leads to a place in the manifest.

The second walk knows nothing of kinds: it goes by the shapes of pods, of Argo templates and of KServe's servers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support import shared, shipped_ruleset
from webhook.adapters.manifests import Manifest, read_manifests
from webhook.engine.decision import Facts
from webhook.engine.offline import kind_of, request_for
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.kube.gvk import POD
from webhook.kube.path import MISSING, Path, lookup
from webhook.kube.pod import Pod
from webhook.kube.workloads import find_pods
from webhook.policy.findings import Mode

CORPUS = shared("corpus")
MANIFESTS = [item for item in read_manifests([str(CORPUS)]) if isinstance(item, Manifest)]
each_manifest = pytest.mark.parametrize(
    "manifest", MANIFESTS, ids=lambda m: f"{m.source.removeprefix(str(CORPUS))}#{m.document}"
)


def maps(node: Any, path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from maps(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from maps(value, (*path, index))


# What a KServe component is served by when it has no containers of its own.
SERVERS = {
    "model",
    "sklearn",
    "xgboost",
    "tensorflow",
    "pytorch",
    "triton",
    "onnx",
    "huggingface",
    "pmml",
    "art",
}
SERVERS |= {"lightgbm", "paddle", "alibi", "aix", "tensorrt"}


def container_places(obj: dict[str, Any]) -> set[Path]:
    """Where containers are written in an object, by shape alone."""
    found: set[Path] = set()
    is_workflow = obj["apiVersion"].startswith("argoproj.io/")
    is_served = obj["apiVersion"].startswith("serving.kserve.io/")
    for path, node in maps(obj):
        for name in ("containers", "initContainers", "ephemeralContainers", "sidecars"):
            listed = node.get(name)
            if isinstance(listed, list):
                found |= {(*path, name, i) for i, c in enumerate(listed) if isinstance(c, dict)}
        if is_workflow:
            found |= {(*path, name) for name in ("container", "script") if "image" in (node.get(name) or {})}
        if is_served and path[-1:] in (("predictor",), ("transformer",), ("explainer",)):
            found |= {(*path, name) for name in SERVERS & set(node)}
            if "custom" in node:
                found.add((*path, "custom", "container"))
    return found


def pods_of(manifest: Manifest) -> tuple[Pod, ...]:
    return find_pods(kind_of(manifest.obj), manifest.obj, shipped_ruleset().catalog)


@each_manifest
def test_every_container_that_is_written_is_in_a_pod(manifest: Manifest) -> None:
    found = {pod.written_at(container.path) for pod in pods_of(manifest) for container in pod.containers}
    expected = container_places(manifest.obj)
    assert expected <= found
    # KubeRay's autoscaler is a container of the head, whose settings stand elsewhere; so are those of a TrainJob.
    assert {path[-1] for path in found - expected} <= {"autoscalerOptions", "trainer"}


@each_manifest
def test_what_a_container_says_is_where_it_is_said_to_be(manifest: Manifest) -> None:
    for pod in pods_of(manifest):
        for container in pod.containers:
            for path, leaf in leaves(container.raw):
                place = pod.written_at(container.field(*path))
                if path not in (("name",), ("image",)) and "autoscalerOptions" not in place:
                    assert lookup(manifest.obj, place) == leaf


def leaves(node: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(node, dict | list):
        steps: Any = node.items() if isinstance(node, dict) else enumerate(node)
        for step, value in steps:
            yield from leaves(value, (*path, step))
    else:
        yield path, node


@cache
def strict() -> Ruleset:
    """The shipped policies without their mutations: as many findings as there can be."""
    shipped = shipped_ruleset()
    return Ruleset([replace(policy, mutations=()) for policy in shipped.policies], shipped.catalog)


@pytest.mark.parametrize("ruleset", [shipped_ruleset, strict], ids=["shipped", "without mutations"])
@each_manifest
def test_every_finding_leads_into_the_manifest(manifest: Manifest, ruleset: Any) -> None:
    facts = Facts(mode=Mode.ENFORCE, namespace_labels={"workload": "ml"})
    decision = review(request_for(manifest.obj), ruleset(), facts)
    if kind_of(manifest.obj) == POD:
        return  # its findings are about the pod as it will be stored, mutations and all
    for finding in decision.findings:
        assert not finding.error
        existing = len(finding.path)
        while lookup(manifest.obj, finding.path[:existing]) is MISSING:
            existing -= 1
        # What is not there yet can be written there: fields, but no items of lists that do not exist.
        assert existing >= 1, finding
        assert all(isinstance(step, str) for step in finding.path[existing:]), finding


def test_there_are_findings_in_every_sort_of_workload() -> None:
    facts = Facts(mode=Mode.ENFORCE, namespace_labels={"workload": "ml"})
    kinds = {kind_of(m.obj).kind for m in MANIFESTS if review(request_for(m.obj), strict(), facts).findings}
    assert {"Workflow", "InferenceService", "RayCluster", "AppWrapper", "Sandbox", "TrainJob"} <= kinds


def test_the_corpus_has_something_of_every_sort() -> None:
    pods = Counter(kind_of(m.obj).kind for m in MANIFESTS for _ in pods_of(m))
    assert pods["Workflow"] > 100
    assert {"InferenceService", "RayCluster", "AppWrapper", "Sandbox", "TrainJob", "JobSet"} <= set(pods)
    assert sum(pods.values()) > 300
