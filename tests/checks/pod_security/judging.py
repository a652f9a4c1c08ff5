"""How the tests of ``pod-security`` judge pods: by one control, at one version, or at all of them."""

from __future__ import annotations

from functools import cache
from typing import Any

from tests.checks.pods import catalog, compiled
from webhook.checks.pod_security import PodSecurity
from webhook.checks.pod_security.control import NEWEST, Control, Level
from webhook.checks.pod_security.registry import CONTROLS
from webhook.kube.path import render
from webhook.kube.pod import Pod
from webhook.kube.shape import JSONObject
from webhook.policy.findings import Violation
from webhook.policy.rule import Check

LEVELS: tuple[Level, ...] = ("baseline", "restricted")
VERSIONS = range(NEWEST + 1)
BY_ID: dict[str, Control] = {control.id: control for control in CONTROLS}


@cache
def rule(level: Level, minor: int = NEWEST) -> Check:
    """The check at a level of Kubernetes v1.``minor``, without exemptions."""
    return compiled(PodSecurity, {"level": level, "version": f"v1.{minor}"})


def findings(
    level: Level, pod_spec: Any, minor: int = NEWEST, metadata: JSONObject | None = None
) -> list[Violation]:
    """What a level finds in a pod."""
    return list(rule(level, minor)(Pod(metadata or {}, pod_spec, catalog())))


def paths(control: str, pod_spec: Any, minor: int = NEWEST, metadata: JSONObject | None = None) -> list[str]:
    """Where a pod breaks one control, at the control's own level."""
    return [
        render(found.path)
        for found in findings(BY_ID[control].level, pod_spec, minor, metadata)
        if found.reason == control
    ]
