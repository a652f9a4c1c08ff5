"""Documents that have been in a cluster are read as their authors wrote them."""

from __future__ import annotations

import copy
from pathlib import Path

import yaml

from tests.policy.test_model import SMALLEST
from webhook.adapters.policy_files import load
from webhook.policy.live import as_written

LIVE = {
    **SMALLEST,
    "metadata": {
        **SMALLEST["metadata"],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        "creationTimestamp": "2026-11-27T00:00:00Z",
        "finalizers": ["example.com/a"],
        "generation": 3,
        "managedFields": [{"manager": "kubectl"}],
        "ownerReferences": [{"kind": "Application"}],
        "resourceVersion": "12",
        "uid": "c3b1",
    },
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}


def test_what_the_server_adds_is_left_out() -> None:
    before = copy.deepcopy(LIVE)
    written = as_written(LIVE)
    assert before == LIVE, "the original was changed"
    assert written == {
        **SMALLEST,
        "metadata": {**SMALLEST["metadata"], "annotations": LIVE["metadata"]["annotations"]},
    }


def test_a_document_without_it_is_the_same_object() -> None:
    assert as_written(SMALLEST) is SMALLEST
    assert as_written({"metadata": "odd", "status": 1}) == {"metadata": "odd", "status": 1}


def test_mistakes_in_a_live_document_are_found_where_they_are(tmp_path: Path) -> None:
    file = tmp_path / "live.yaml"
    file.write_text(
        yaml.safe_dump({**LIVE, "metadata": {**LIVE["metadata"], "namespace": "default"}}, sort_keys=False)
    )
    (problem,) = load(file).problems
    assert "metadata.namespace" in str(problem)
    assert "namespace: default" in file.read_text().splitlines()[problem.line - 1]
