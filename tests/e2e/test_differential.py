"""Kubernetes' own policies say the same in gpuward as in the API server: see `differential.harness`.

A new case is a file in `differential/policies`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.e2e.cluster import ControlPlane
from tests.e2e.differential import harness
from tests.e2e.differential.harness import Outcome
from webhook.policy.findings import Action, Finding

NAMES = [name for name in harness.policy_names() if not harness.read_policy(name).mutates]

DENIED = re.compile(
    r"ValidatingAdmissionPolicy '([^']+)' with binding '[^']+' denied request: (.*)", re.DOTALL
)
WARNED = re.compile(
    r"Validation failed for ValidatingAdmissionPolicy '[^']+' with binding '[^']+': (.*)", re.DOTALL
)
FAILURES = "validation.policy.admission.k8s.io/validation_failure"

# Policies that never refuse, warn of or record anything here, which is what they are about.
SILENT = {
    "deployments-of-no-such-version",
    "namespace-selector-of-others",
    "params-absent-allow",
    "params-absent-ignore",
}


@pytest.fixture(scope="module")
def outcomes(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, list[Outcome]]:
    """What came of every request under every policy."""
    return harness.run(control_plane, tmp_path_factory.mktemp("policies"), NAMES)


def test_there_are_enough_policies_and_requests() -> None:
    assert len(NAMES) >= 40
    assert all(len(harness.read_policy(name).requests) >= 10 for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_verdict_is_that_of_the_api_server(outcomes: Mapping[str, list[Outcome]], name: str) -> None:
    differences = [
        f"{outcome.request.name}: {difference}"
        for outcome in outcomes[name]
        for difference in _differences(name, outcome)
    ]
    assert differences == []


@pytest.mark.parametrize("name", sorted(set(NAMES) - SILENT))
def test_a_policy_speaks_about_some_requests_and_not_about_others(
    outcomes: Mapping[str, list[Outcome]], name: str
) -> None:
    spoke = [
        bool(outcome.refusal or outcome.warnings or _annotations_of_server(outcome))
        for outcome in outcomes[name]
    ]
    assert set(spoke) == {True, False}


def _differences(name: str, outcome: Outcome) -> list[str]:
    found = outcome.decision.findings
    refused = [finding for finding in found if finding.action is Action.ENFORCE]
    denied = DENIED.search(outcome.refusal)
    differences = []
    if denied and denied[1] != name:
        return [f"is denied by another policy, {denied[1]}, which must leave it alone"]
    if bool(denied) != bool(refused):
        differences.append(
            f"the API server: {outcome.refusal or 'allowed'}; gpuward: {list(map(_text, found))}"
        )
    elif denied and not any(finding.error or _message(finding) == denied[2] for finding in refused):
        differences.append(f"the API server says {denied[2]!r}; gpuward: {list(map(_text, refused))}")
    if not denied and not outcome.request.connects and outcome.refusal:
        differences.append(f"refused for another reason: {outcome.refusal}")
    differences += _compared("warns", _warnings_of_server(outcome), _warnings_of_gpuward(outcome))
    if not denied:
        # A denied request was not judged to its end.
        differences += _compared("records", _annotations_of_server(outcome), _annotations_of_gpuward(outcome))
    return differences


def _compared(verb: str, server: list[str], gpuward: list[str]) -> list[str]:
    return [] if server == gpuward else [f"the API server {verb} {server}; gpuward {verb} {gpuward}"]


def _text(finding: Finding) -> str:
    return f"{finding.rule} {finding.action}: {finding.message}"


def _warnings_of_server(outcome: Outcome) -> list[str]:
    return sorted({_said(match[1]) for warning in outcome.warnings if (match := WARNED.fullmatch(warning))})


def _warnings_of_gpuward(outcome: Outcome) -> list[str]:
    return sorted(
        {
            "an error" if finding.error else _message(finding)
            for finding in outcome.decision.findings
            if finding.action is Action.WARN
        }
    )


def _message(finding: Finding) -> str:
    """The message without the binding, which the API server names before it."""
    return re.sub(r" \(binding [^)]*\)$", "", finding.message)


def _said(message: str) -> str:
    """A message of the API server; that of an error is in its own words."""
    return "an error" if message.startswith("expression '") else message


def _annotations_of_server(outcome: Outcome) -> list[str]:
    """`key: value`, with the key as a webhook writes it. The text of an error is in the API server's words."""
    name = FAILURES.rpartition("/")[2]
    return sorted(
        f"{name if key == FAILURES else key.replace('/', '.')}: {value}"
        for key, value in outcome.annotations.items()
        if key == FAILURES or not re.search(r"(^|\.)(k8s|kubernetes)\.io/", key)
    )


def _annotations_of_gpuward(outcome: Outcome) -> list[str]:
    ours = {"violations", "mutated-by", "exceptions", "break-glass"}
    return sorted(
        f"{key}: {value}" for key, value in outcome.decision.audit_annotations.items() if key not in ours
    )
