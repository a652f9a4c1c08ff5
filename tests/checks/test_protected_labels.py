"""protected-labels: labels that decide about policies."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from webhook.checks.protected_labels import ProtectedLabels

from .objects import as_object, compiled_object_check, refused_object_check
from .pods import Said, table

MODE = "metadata.labels[gpuward.dev/mode]"

# What the labels were (None: a creation), what they are, and what is said.
CASES: dict[str, tuple[Any, Any, Said]] = {
    "created without": (None, {"team": "a"}, []),
    "created with": (None, {"gpuward.dev/mode": "audit"}, [("label-set", MODE)]),
    "set": ({}, {"gpuward.dev/mode": "audit"}, [("label-set", MODE)]),
    "lowered": ({"gpuward.dev/mode": "enforce"}, {"gpuward.dev/mode": "warn"}, [("label-changed", MODE)]),
    "raised": ({"gpuward.dev/mode": "warn"}, {"gpuward.dev/mode": "enforce"}, [("label-changed", MODE)]),
    "removed": ({"gpuward.dev/mode": "enforce"}, {}, [("label-removed", MODE)]),
    "removed with all others": ({"gpuward.dev/mode": "enforce"}, None, [("label-removed", MODE)]),
    "as it was": ({"gpuward.dev/mode": "enforce"}, {"gpuward.dev/mode": "enforce", "team": "a"}, []),
    "another": ({"team": "a"}, {"team": "b"}, []),
    "another of ours": ({}, {"gpuward.dev/x": ""}, [("label-set", "metadata.labels[gpuward.dev/x]")]),
    "one that begins alike": ({}, {"gpuward.development/mode": "x"}, []),
    "no map": ({"gpuward.dev/mode": "enforce"}, 7, [("label-removed", MODE)]),
}


def namespace(labels: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ml", "labels": labels}}


@table(CASES, "before, now, said")
def test_labels(before: Any, now: Any, said: Said) -> None:
    from webhook.kube.path import render

    old = None if before is None else as_object(namespace(before))
    judged = replace(as_object(namespace(now)), old=old)
    found = list(compiled_object_check(ProtectedLabels)(judged))
    assert [(violation.reason, render(violation.path)) for violation in found] == said


def test_the_keys_can_be_others() -> None:
    check = compiled_object_check(ProtectedLabels, {"keys": ["pod-security.kubernetes.io/*", "team"]})
    labels = {"team": "a", "gpuward.dev/mode": "warn", "pod-security.kubernetes.io/enforce": "baseline"}
    found = [violation.path[-1] for violation in check(as_object(namespace(labels)))]
    assert found == ["pod-security.kubernetes.io/enforce", "team"]


def test_to_protect_nothing_cannot_be_meant() -> None:
    assert refused_object_check(ProtectedLabels, {"keys": []}).field == "keys"


@pytest.mark.parametrize("value", ["enforce", 7, None, ["x"]])
def test_what_was_there_is_named(value: Any) -> None:
    judged = replace(as_object(namespace({})), old=as_object(namespace({"gpuward.dev/mode": value})))
    found = list(compiled_object_check(ProtectedLabels)(judged))
    # A label without a value was as good as none.
    assert len(found) == (0 if value is None else 1)
