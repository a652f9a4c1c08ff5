"""The pre-commit hooks, run by pre-commit itself on a repository that uses them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import site
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from tests.support import REPOSITORY

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("pre_commit") is None, reason="needs pre-commit, see requirements/dev.txt"
    ),
    pytest.mark.skipif(shutil.which("git") is None, reason="needs git"),
    pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="needs a git checkout of this repository"),
]

HOOKS = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text())
POLICY = """\
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: house}
spec: {validate: [{rule: no-privileged}]}
"""
CASE = """\
apiVersion: gpuward.dev/v1alpha1
kind: PolicyCase
metadata: {name: a privileged pod is rejected}
spec:
  expect: deny
  object: {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [
    {name: main, image: "a:1", securityContext: {privileged: true}}]}}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: train}
spec: {containers: [{name: main, image: "a:1", securityContext: {privileged: PRIVILEGED}}]}
"""
# Not built and not downloaded: hooks are installed in a new environment that sees the packages of this one.
OFFLINE = {
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",
    "PIP_NO_INDEX": "1",
    "PYTHONPATH": os.pathsep.join(site.getsitepackages()),
}


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def environment(home: Path) -> dict[str, str]:
    """Nobody's git settings, and none of the repository that a commit under way is about."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return {**kept, "GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(home)}


@pytest.fixture(scope="module")
def hooks_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as it is now, committed: what somebody else would clone."""
    folder = tmp_path_factory.mktemp("gpuward")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z",
         "webhook", "certs", "policies", "*.toml", "*.md", ".pre-commit-hooks.yaml", "LICENSE"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
    git(folder, "init", "-q")
    git(folder, "add", "-A", "-f")
    git(folder, "commit", "-q", "-m", "as it is")
    return folder


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, hooks_repository: Path) -> Path:
    """A repository of manifests and policies that uses all hooks."""
    folder = tmp_path_factory.mktemp("team")
    config = {
        # The packages that the hooks will see are of this Python.
        "default_language_version": {"python": sys.executable},
        "repos": [
            {
                "repo": str(hooks_repository),
                "rev": git(hooks_repository, "rev-parse", "HEAD"),
                "hooks": [{"id": hook["id"]} for hook in HOOKS],
            }
        ],
    }
    (folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    (folder / "policies" / "house" / "cases").mkdir(parents=True)
    (folder / "policies" / "house" / "policy.yaml").write_text(POLICY)
    (folder / "policies" / "house" / "cases" / "house.yaml").write_text(CASE)
    (folder / "k8s").mkdir()
    (folder / "k8s" / "pod.yaml").write_text(POD.replace("PRIVILEGED", "false"))
    (folder / "k8s" / "notes.md").write_text("no manifest\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    return folder


def pre_commit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command: Sequence[str] = [sys.executable, "-m", "pre_commit", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env={**environment(folder), **OFFLINE, "PRE_COMMIT_HOME": str(folder.parent / "pre-commit")},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_the_manifest_is_one() -> None:
    done = pre_commit(REPOSITORY, "validate-manifest", ".pre-commit-hooks.yaml")
    assert done.returncode == 0, done.stdout


def test_good_files_pass_and_bad_ones_do_not(team: Path) -> None:
    done = pre_commit(team, "run", "--all-files", "--verbose")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 object: 0 rejected, 1 allowed" in done.stdout
    assert "1 policy, no errors" in done.stdout
    assert "1 passed, 0 failed" in done.stdout

    (team / "k8s" / "pod.yaml").write_text(POD.replace("PRIVILEGED", "true"))
    (team / "policies" / "house" / "policy.yaml").write_text(POLICY.replace("no-privileged", "no-privilege"))
    git(team, "add", "-A")
    done = pre_commit(team, "run")
    assert done.returncode == 1
    assert "policy.yaml:4:26: error: spec.validate[0].rule: unknown rule" in done.stdout
    assert done.stdout.count("Failed") == 3

    (team / "policies" / "house" / "policy.yaml").write_text(POLICY)
    git(team, "add", "-A")
    done = pre_commit(team, "run", "--files", "k8s/pod.yaml")
    assert done.returncode == 1
    assert "spec.containers[0].securityContext.privileged" in done.stdout
    assert done.stdout.count("Skipped") == 2
