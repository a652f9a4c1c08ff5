"""Kubernetes' own evaluator and this check say the same of every pod, at every level and version."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from tests.e2e.controlplane.build import BuildError
from webhook.checks.pod_security.control import NEWEST, Level
from webhook.checks.pod_security.registry import CONTROLS

from .judging import LEVELS, VERSIONS, findings
from .strategies import METADATA, SPECS
from .upstream.evaluator import Evaluator, fixtures

pytestmark = pytest.mark.skipif(
    shutil.which("go") is None,
    reason="needs Go (https://go.dev/doc/install) to build Kubernetes' own evaluator",
)

# What Kubernetes gives as the reason where a control is broken.
REASONS = {
    "app-armor-profile": "forbidden AppArmor profile",
    "capabilities-baseline": "non-default capabilities",
    "host-namespaces": "host namespaces",
    "host-path-volumes": "hostPath volumes",
    "host-ports": "hostPort",
    "host-probes-and-host-lifecycle": "probe or lifecycle host",
    "privileged": "privileged",
    "proc-mount": "procMount",
    "se-linux-options": "seLinuxOptions",
    "seccomp-profile-baseline": "seccompProfile",
    "sysctls": "forbidden sysctls",
    "windows-host-process": "hostProcess",
    "allow-privilege-escalation": "allowPrivilegeEscalation != false",
    "capabilities-restricted": "unrestricted capabilities",
    "proc-mount-restricted": "procMount",
    "restricted-volumes": "restricted volume types",
    "run-as-non-root": "runAsNonRoot != true",
    "run-as-user": "runAsUser=0",
    "seccomp-profile-restricted": "seccompProfile",
}


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    try:
        running = Evaluator(NEWEST)
    except BuildError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    with running:
        yield running


@pytest.fixture(scope="module")
def files() -> dict[Path, dict[str, Any]]:
    """Every fixture of the module, by its path: LEVEL/VERSION/pass|fail/NAME.yaml."""
    # Versions repeat each other's pods, and parsing them is what takes long.
    parsed: dict[bytes, dict[str, Any]] = {}
    folder = fixtures()
    found: dict[Path, dict[str, Any]] = {}
    for path in sorted(folder.glob("*/v1.*/*/*.yaml")):
        text = path.read_bytes()
        if text not in parsed:
            parsed[text] = yaml.safe_load(text)
        found[path.relative_to(folder)] = parsed[text]
    return found


def disagreements(evaluator: Evaluator, pod: dict[str, Any]) -> list[tuple[Level, int, set[str], set[str]]]:
    """Where the two say different things of a pod: level, version, what this finds, what Kubernetes finds."""
    theirs = evaluator.judge(pod)
    found: list[tuple[Level, int, set[str], set[str]]] = []
    for level in LEVELS:
        for minor in VERSIONS:
            ours = {
                REASONS[violation.reason]
                for violation in findings(level, pod["spec"], minor, pod.get("metadata"))
            }
            # The only reason with a plural of its own.
            said = {reason.replace("profiles", "profile") for reason in theirs[level][minor]}
            if ours != said:
                found.append((level, minor, ours, said))
    return found


def test_reasons_are_known_for_every_control() -> None:
    assert list(REASONS) == [control.id for control in CONTROLS]


def test_every_fixture_of_every_version_gets_the_verdict_of_its_folder(
    files: dict[Path, dict[str, Any]],
) -> None:
    assert {path.parts[1] for path in files} == {f"v1.{minor}" for minor in VERSIONS}
    wrong = []
    for path, pod in files.items():
        level, version, verdict, _ = path.parts
        minor = int(version.removeprefix("v1."))
        refused = bool(findings(level, pod["spec"], minor, pod["metadata"]))  # type: ignore[arg-type]  # a folder's name
        if refused != (verdict == "fail"):
            wrong.append(str(path))
    assert wrong == []


def test_every_fixture_is_judged_alike_at_every_version_for_the_same_reasons(
    evaluator: Evaluator, files: dict[Path, dict[str, Any]]
) -> None:
    distinct = {id(pod): pod for pod in files.values()}.values()
    assert len(distinct) > 200
    wrong = {pod["metadata"]["name"]: found for pod in distinct if (found := disagreements(evaluator, pod))}
    assert wrong == {}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SPECS, METADATA)
def test_any_pod_is_judged_alike_at_every_version_for_the_same_reasons(
    evaluator: Evaluator, pod_spec: dict[str, Any], metadata: dict[str, Any]
) -> None:
    assert disagreements(evaluator, {"metadata": metadata, "spec": pod_spec}) == []
