"""The last step of docs/getting-started.md on a real API server: audit, warn, enforce, with the page's own files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks

from .cluster import ControlPlane
from .serving import Served

PAGE = ROOT / "docs" / "getting-started.md"
FILES = {name: block.text for block in blocks(PAGE) if (name := block.option("file"))}
STEPS = [
    shlex.split(line)
    for block in blocks(PAGE)
    if block.language == "sh"
    for line in block.text.splitlines()
    if line.startswith("kubectl ")
]


@pytest.fixture
def installed(control_plane: ControlPlane, tmp_path: Path) -> Iterator[tuple[ControlPlane, Served]]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    arguments = ("--policies", str(tmp_path / "policies"), "--kubeconfig", str(control_plane.kubeconfig))
    with Served(tmp_path / "server", *arguments) as served:
        control_plane.install_webhooks(served.url, served.ca_pem)
        control_plane.kubectl("create", "namespace", "vision")
        yield control_plane, served
        control_plane.remove_webhooks()
        control_plane.kubectl("delete", "namespace", "vision", "--wait=false")


def test_a_namespace_goes_from_audit_over_warn_to_enforce(installed: tuple[ControlPlane, Served]) -> None:
    cluster, served = installed
    manifest = FILES["k8s/train.yaml"]
    for mode, step in zip(("audit", "warn", "enforce"), STEPS, strict=True):
        assert f"gpuward.dev/mode={mode}" in step
        cluster.kubectl(*step[1:])
        cluster.wait_for(
            lambda mode=mode: _seen(cluster, served, manifest) == mode, 20, f"mode {mode} to hold"
        )
    refusal = cluster.apply(manifest, None, "--dry-run=server", check=False).stderr
    assert "spec.template.metadata.labels.team" in refusal
    assert "8 of nvidia.com/gpu" in refusal


def _seen(cluster: ControlPlane, served: Served, manifest: str) -> str:
    """The mode that an answer of the API server shows, or in which the server has only logged what is wrong."""
    done = cluster.apply(manifest, None, "--dry-run=server", check=False)
    if done.returncode:
        return "enforce"
    if "Warning:" in done.stderr:
        return "warn"
    logged = any('"mode":"audit"' in line and '"policy":"gpu-team"' in line for line in served.log)
    return "audit" if logged else "not asked"
