"""Where the programs of the control plane come from, and what happens to the tests where there are none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import assets, build

TESTS = Path(__file__).resolve().parents[1] / "test_control_plane.py"


def bring(folder: Path, *names: str, version: str = "v1.36.0") -> Path:
    """A folder of programs that know nothing but their version."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\necho Kubernetes {version}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def finished_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cached build that is not this machine's."""
    folder = bring(tmp_path / "built", *build.PROGRAMS)
    monkeypatch.setattr(build, "find", lambda *_: folder)
    monkeypatch.setattr(build, "kubernetes_version", lambda *_: "v1.36.3")
    return folder


def test_programs_that_were_brought_come_first(
    tmp_path: Path, finished_build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = bring(tmp_path / "mine", *build.PROGRAMS, version="v1.33.1")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(mine))
    found = assets.locate()
    assert found.version == "v1.33.1"
    assert found.api_server == mine / "kube-apiserver"
    assert found.controller_manager == mine / "kube-controller-manager"
    assert found.scheduler == mine / "kube-scheduler"


@pytest.mark.parametrize(
    ("version", "stands_in"),
    [("v1.36.0", True), ("v1.35.4", False), ("v1.37.0", False)],
    ids=["same minor", "older API server", "newer API server"],
)
def test_missing_scheduler_comes_from_a_build_of_the_same_minor_version(
    tmp_path: Path, finished_build: Path, monkeypatch: pytest.MonkeyPatch, version: str, stands_in: bool
) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(bring(tmp_path / "mine", *assets.REQUIRED, version=version)))
    found = assets.locate()
    assert found.scheduler == (finished_build / "kube-scheduler" if stands_in else None)
    assert found.controller_manager == (finished_build / "kube-controller-manager" if stands_in else None)


def test_assets_without_a_required_program_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(bring(tmp_path / "mine", "etcd", "kube-apiserver")))
    with pytest.raises(assets.InvalidAssetsError, match="has no program kubectl"):
        assets.locate()


def test_cached_build_serves_where_nothing_was_brought(
    finished_build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    assert assets.locate().kubectl == finished_build / "kubectl"


def run_tests_without_a_control_plane(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs one end-to-end test on a machine that has no assets, no finished build and no Go."""
    kept = {k: v for k, v in os.environ.items() if k not in ("CI", "GPUWARD_E2E", "KUBEBUILDER_ASSETS")}
    empty = {"PATH": str(tmp_path), "GPUWARD_CACHE": str(tmp_path / "cache")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"{TESTS}",
        "-k",
        "release_that",
    ]
    return subprocess.run(
        command,
        env={**kept, **empty, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_machine_without_a_control_plane_skips_and_says_what_to_install(tmp_path: Path) -> None:
    run = run_tests_without_a_control_plane(tmp_path)
    assert run.returncode == 0, run.stdout
    assert "NO END-TO-END TEST RAN" in run.stdout
    assert "install Go (https://go.dev/doc/install" in run.stdout
    assert "KUBEBUILDER_ASSETS" in run.stdout


@pytest.mark.parametrize("setting", [{"CI": "true"}, {"GPUWARD_E2E": "required"}], ids=["CI", "GPUWARD_E2E"])
def test_continuous_integration_without_a_control_plane_fails(
    tmp_path: Path, setting: dict[str, str]
) -> None:
    run = run_tests_without_a_control_plane(tmp_path, **setting)
    assert run.returncode == 1, run.stdout
    assert "end-to-end tests must not be skipped here" in run.stdout
    assert "1 skipped" not in run.stdout
