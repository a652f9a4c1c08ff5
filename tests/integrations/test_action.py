"""The GitHub Action: its steps run here as a runner would run them, with the inputs in the environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import REPOSITORY

ACTION = yaml.safe_load((REPOSITORY / "action.yml").read_text())
SCRIPTS = [step for step in ACTION["runs"]["steps"] if "run" in step]
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: train}
spec: {containers: [{name: main, image: "a:1", securityContext: {privileged: true}}]}
"""
Result = tuple[int, str, dict[str, str]]
Act = Callable[..., Result]


def test_it_is_a_composite_action_whose_inputs_are_described() -> None:
    assert ACTION["runs"]["using"] == "composite"
    for name, given in ACTION["inputs"].items():
        assert given["description"].endswith("."), name
        assert given.get("required") or isinstance(given["default"], str), name
    used = set(re.findall(r"inputs\.([a-z-]+)", str(ACTION["runs"])))
    assert used == set(ACTION["inputs"])


def test_no_script_has_an_input_written_into_it() -> None:
    """An input pasted into a script can be a command; in the environment it is text."""
    assert len(SCRIPTS) == 2
    for step in SCRIPTS:
        assert "${{" not in step["run"]
        assert step["shell"] == "bash"


@pytest.fixture
def act(tmp_path: Path) -> Act:
    """Run the steps with some inputs: exit status, log, outputs."""
    runner, desk = tmp_path / "runner", tmp_path / "desk"
    (runner / "gpuward").mkdir(parents=True)
    desk.mkdir()
    (desk / "k8s").mkdir()
    (desk / "k8s" / "pod.yaml").write_text(POD)
    # A module of this name in the repository under review is not ours.
    (desk / "webhook.py").write_text("raise SystemExit('the wrong webhook')\n")
    # The environment that the action would make has all packages already.
    (runner / "gpuward" / "environment").symlink_to(sys.prefix)
    files = {name: runner / name for name in ("GITHUB_PATH", "GITHUB_OUTPUT")}
    for file in files.values():
        file.touch()

    def run(**inputs: str) -> Result:
        given = {name: str(one.get("default", "")) for name, one in ACTION["inputs"].items()}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        log, status = "", 0
        for step in SCRIPTS:
            path = os.pathsep.join([*files["GITHUB_PATH"].read_text().split(), os.environ["PATH"]])
            environment = {
                "PATH": path,
                "HOME": str(tmp_path),
                "RUNNER_TEMP": str(runner),
                "GITHUB_WORKSPACE": str(desk),
                "PIP_NO_INDEX": "1",
                **{name: str(file) for name, file in files.items()},
                **{name: _evaluated(value, given) for name, value in step["env"].items()},
            }
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=desk, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            )  # fmt: skip
            log, status = log + done.stdout, done.returncode
            if status:
                break
        lines = files["GITHUB_OUTPUT"].read_text().splitlines()
        return status, log, dict(line.split("=", 1) for line in lines)

    return run


def _evaluated(value: str, inputs: dict[str, str]) -> str:
    if value == "${{ github.action_path }}":
        return str(REPOSITORY)
    (name,) = re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", value).groups()  # type: ignore[union-attr]  # else it fails
    return inputs[name]


def test_findings_are_annotations_and_fail_the_step(act: Act) -> None:
    status, log, outputs = act(paths="k8s")
    assert status == 1, log
    assert "::error file=k8s/pod.yaml,line=4,col=" in log
    assert outputs == {"status": "1"}


def test_findings_can_be_let_pass(act: Act) -> None:
    status, _, outputs = act(paths="k8s", fail_on_findings="false")
    assert (status, outputs) == (0, {"status": "1"})


def test_what_cannot_be_read_always_fails(act: Act) -> None:
    status, log, outputs = act(paths="nowhere", fail_on_findings="false")
    assert (status, outputs) == (2, {"status": "2"})
    assert "nowhere: no such file or folder" in log


def test_a_report_goes_to_a_file_and_annotations_are_made_besides(act: Act, tmp_path: Path) -> None:
    status, log, _ = act(paths="k8s", output="sarif", output_file="gpuward.sarif", mode="warn")
    assert status == 1
    assert "::warning file=k8s/pod.yaml" in log
    report: Any = yaml.safe_load((tmp_path / "desk" / "gpuward.sarif").read_text())
    assert report["version"] == "2.1.0"


def test_inputs_are_text_whatever_is_in_them(act: Act, tmp_path: Path) -> None:
    odd = tmp_path / "desk" / "$(touch pwned) `touch pwned`; & 'x' \"y\""
    odd.mkdir()
    (odd / "pod.yaml").write_text(POD)
    status, log, _ = act(paths=f"{odd.name}\n\nk8s\n", namespace_labels="a=$(touch pwned)", output="text")
    assert status == 1, log
    assert "2 objects: 2 rejected" in log
    assert not list(tmp_path.rglob("pwned"))


def test_policies_of_the_repository_are_taken(act: Act, tmp_path: Path) -> None:
    folder = tmp_path / "desk" / "rules"
    folder.mkdir()
    (folder / "policy.yaml").write_text(
        "apiVersion: gpuward.dev/v1alpha1\nkind: Policy\nmetadata: {name: house}\n"
        "spec: {validate: [{rule: no-host-path}]}\n"
    )
    assert act(paths="k8s", policies="rules")[0] == 0
