"""Managed fields are only read where a policy looks at them, and then they are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.inprocess import FakeNamespaces, ruleset_of, running
from tests.support import shared

POLICY = """
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: written-by}
spec:
  validate:
    - expression: %s
      message: somebody wrote it
"""


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ('"!has(object.metadata.managedFields)"', False),
        ("\"object.metadata.managedFields.all(f, f.manager == 'nobody')\"", False),
        ("\"object.metadata.name != 'nobody'\"", True),
    ],
)
async def test_expressions_see_managed_fields(tmp_path: Path, expression: str, allowed: bool) -> None:
    body = (shared("admission-reviews") / "pod-create-train-good.json").read_bytes()
    assert b'"managedFields":[{' in body
    async with running(ruleset_of(tmp_path, POLICY % expression), FakeNamespaces({})) as server:
        response = (await server.post("/validate/enforce", body)).response
    assert response["allowed"] is allowed
