"""Kubernetes' own pass and fail pods get Kubernetes' own verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import shared
from webhook.checks.pod_security.control import Level, parse_version
from webhook.checks.pod_security.registry import CONTROLS

from .judging import LEVELS, findings

FIXTURES = shared("pod-security-standards")


def files(level: Level, verdict: str) -> list[Any]:
    return [
        pytest.param(level, path, id=f"{path.parents[2].name}-{level}-{verdict}-{path.stem}")
        for path in sorted(FIXTURES.glob(f"v1.*/{level}/{verdict}/*.yaml"))
    ]


PASS = [parameter for level in LEVELS for parameter in files(level, "pass")]
FAIL = [parameter for level in LEVELS for parameter in files(level, "fail")]


def test_the_fixtures_are_there() -> None:
    assert len(PASS) > 50
    assert len(FAIL) > 150


@pytest.mark.parametrize(("level", "path"), PASS)
def test_a_pod_that_kubernetes_admits_is_admitted(level: Level, path: Path) -> None:
    assert judged(level, path) == set()


@pytest.mark.parametrize(("level", "path"), FAIL)
def test_a_pod_that_kubernetes_refuses_is_refused_by_the_same_control(level: Level, path: Path) -> None:
    meant = next(c for c in CONTROLS if c.kubernetes_id.lower() == path.stem.rstrip("0123456789"))
    stand_ins = {control.id for control in CONTROLS if control.replaces == meant.id}
    assert judged(level, path) & ({meant.id} | stand_ins)


def judged(level: Level, path: Path) -> set[str]:
    """The controls that a file's pod breaks at the version and level of its folder."""
    pod = yaml.safe_load(path.read_text(encoding="utf-8"))
    minor = parse_version(path.parents[2].name)
    return {found.reason for found in findings(level, pod["spec"], minor, pod["metadata"])}
