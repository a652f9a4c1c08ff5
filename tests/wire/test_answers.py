"""Whole answers, byte for byte as they are: one golden file a case, with the patch decoded beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server.inprocess import FakeNamespaces, ruleset_of, running
from tests.server.reviews import body, pod
from tests.support import REPOSITORY
from tests.wire.shape import checked, patch_of
from webhook.policy.findings import Mode

GOLDEN = REPOSITORY / "tests" / "golden" / "wire"

# Small policies of its own: the shipped ones change for reasons that have nothing to do with the wire.
POLICIES = (
    """
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: scheduling}
spec:
  mutate: [{rule: accelerator-tolerations}]
""",
    """
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: security}
spec:
  validate: [{rule: no-privileged}, {rule: no-host-namespaces}]
""",
    """
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: images}
spec:
  action: Warn
  validate: [{rule: no-latest-tag}]
""",
)

GPU = {
    "name": "train",
    "image": "registry.example/train:1.0",
    "resources": {"limits": {"nvidia.com/gpu": "1"}},
}
PRIVILEGED = {"name": "notebook", "image": "notebook:latest", "securityContext": {"privileged": True}}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "serve"},
    "spec": {"template": {"metadata": {}, "spec": pod(PRIVILEGED)["spec"]}},
}

CASES = {
    "mutate-gpu-pod": ("/mutate", body(pod(GPU))),
    "mutate-plain-pod": ("/mutate", body(pod())),
    "mutate-deployment": ("/mutate", body(DEPLOYMENT)),
    "mutate-gpu-pod-in-audit": ("/mutate/audit", body(pod(GPU))),
    "validate-good-pod": ("/validate", body(pod())),
    "validate-privileged-pod": ("/validate", body(pod(PRIVILEGED, hostNetwork=True))),
    "validate-privileged-pod-in-warn": ("/validate/warn", body(pod(PRIVILEGED, hostNetwork=True))),
    "validate-privileged-pod-in-audit": ("/validate/audit", body(pod(PRIVILEGED, hostNetwork=True))),
    "validate-deployment": ("/validate", body(DEPLOYMENT)),
    "validate-delete": (
        "/validate",
        body(pod(PRIVILEGED), operation="DELETE", object=None, oldObject=pod(PRIVILEGED)),
    ),
}


@pytest.mark.parametrize(("path", "sent"), CASES.values(), ids=CASES)
async def test_an_answer_is_as_it_was(
    tmp_path: Path,
    golden: Callable[[Path, str], None],
    request: pytest.FixtureRequest,
    path: str,
    sent: bytes,
) -> None:
    namespaces = FakeNamespaces({"ml-team": {}})
    async with running(ruleset_of(tmp_path, *POLICIES), namespaces, default_mode=Mode.ENFORCE) as server:
        answer = await server.post(path, sent)
    shown = {
        "body": answer.body.decode(),
        "patch": patch_of(checked(answer, json.loads(sent)["request"]["uid"])),
    }
    golden(GOLDEN / f"{request.node.callspec.id}.json", json.dumps(shown, indent=2) + "\n")


def test_every_golden_answer_has_its_case() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(CASES)
