"""Real manifests: nothing crashes, every patch applies, nothing of the user's changes, every template is found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import REPOSITORY, assert_patch_is_sound, shared, shipped_ruleset
from webhook.adapters.manifests import Manifest, read_manifests
from webhook.engine.decision import Facts
from webhook.engine.offline import kind_of, request_for
from webhook.engine.review import review
from webhook.kube.kinds import BUILT_IN
from webhook.kube.workloads import find_pods
from webhook.policy.findings import Mode

CORPUS = shared("corpus")
FOUND = list(read_manifests([str(CORPUS)]))
MANIFESTS = [item for item in FOUND if isinstance(item, Manifest)]
ENFORCE = Facts(mode=Mode.ENFORCE, namespace_labels={"workload": "ml"})


def named(manifest: Manifest) -> str:
    return f"{manifest.source.removeprefix(str(CORPUS))}#{manifest.document}"


each_manifest = pytest.mark.parametrize("manifest", MANIFESTS, ids=named)


def test_every_document_of_the_corpus_is_read() -> None:
    assert FOUND == MANIFESTS
    assert len(MANIFESTS) > 200


@each_manifest
def test_patches_are_sound_and_happen_once(manifest: Manifest) -> None:
    decision = review(request_for(manifest.obj), shipped_ruleset(), ENFORCE)
    after = assert_patch_is_sound(manifest.obj, decision)
    again = review(request_for(after), shipped_ruleset(), ENFORCE)
    assert again.patch == ()
    assert not any(finding.error for finding in decision.findings)


def pod_specs(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where pod specs are by their shape alone, found by another walk than the one under test."""
    if isinstance(node, dict):
        containers = node.get("containers")
        if (
            isinstance(containers, list)
            and containers
            and all(isinstance(c, dict) and "image" in c for c in containers)
        ):
            yield path
        for key, value in node.items():
            yield from pod_specs(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from pod_specs(value, (*path, index))


@each_manifest
def test_every_pod_template_of_the_built_in_kinds_is_found(manifest: Manifest) -> None:
    kind = kind_of(manifest.obj)
    if kind.kind not in BUILT_IN.get(kind.group, ()):
        return
    found = [pod.spec_path for pod in find_pods(kind, manifest.obj, shipped_ruleset().catalog)]
    assert found == list(pod_specs(manifest.obj))


def test_the_command_line_reviews_the_whole_corpus_by_its_contract() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "webhook", "review", "-f", str(CORPUS), "-o", "json"],
        cwd=REPOSITORY, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr.decode()
    assert done.stderr == b""
    results = json.loads(done.stdout)
    assert [(r["source"], r["document"]) for r in results] == [(m.source, m.document) for m in MANIFESTS]
    for result, manifest in zip(results, MANIFESTS, strict=True):
        assert {
            "apiVersion",
            "kind",
            "namespace",
            "name",
            "allowed",
            "findings",
            "warnings",
            "patch",
            "object",
        } <= set(result)
        assert (result["apiVersion"], result["kind"]) == (manifest.obj["apiVersion"], manifest.obj["kind"])
        for finding in result["findings"]:
            assert {"policy", "rule", "severity", "action", "path", "reason", "message"} <= set(finding)
