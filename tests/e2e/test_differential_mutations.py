"""Kubernetes' own mutating policies make the same objects in gpuward as in the API server: see `differential.harness`.

What gpuward makes of an object is given to the API server once more, without policies, so that both objects have been
through its defaults and its own changes. A new case is a file in `differential/policies`.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from typing import Any

import jsonpatch
import pytest

from tests.e2e.cluster import ApiError, ControlPlane
from tests.e2e.differential import harness
from tests.e2e.differential.harness import Object, Outcome

NAMES = [name for name in harness.policy_names() if harness.read_policy(name).mutates]

# Policies that never change anything here, or never let anything be, which is what they are about.
NEVER_CHANGES = {
    "mutate-a-fraction",
    "mutate-an-unknown-field",
    "mutate-a-wrong-type",
    "mutate-atomic-list",
    "mutate-atomic-map",
    "mutate-items-twice",
    "mutate-nothing",
    "mutate-params-absent",
    "mutate-to-an-unknown-field",
}

# The API server's own, different every time.
_VOLATILE = ("uid", "creationTimestamp", "managedFields", "resourceVersion", "generation", "generateName")
_ALLOCATED = ("clusterIP", "clusterIPs", "nodePort")


@pytest.fixture(scope="module")
def outcomes(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, list[Outcome]]:
    """What came of every request under every policy."""
    # Once validating policies that had parameters are gone, an API server (1.36) finds none for mutating ones any more
    # until it starts anew. Which of both goes first here must not matter.
    control_plane.restart_api_server()
    return harness.run(control_plane, tmp_path_factory.mktemp("policies"), NAMES)


def test_there_are_enough_policies() -> None:
    assert len(NAMES) >= 30


@pytest.mark.parametrize("name", NAMES)
def test_the_object_is_that_of_the_api_server(
    control_plane: ControlPlane, outcomes: Mapping[str, list[Outcome]], name: str
) -> None:
    namespace = harness.read_policy(name).namespace
    differences = [
        f"{outcome.request.name}: {difference}"
        for outcome in outcomes[name]
        if (difference := _difference(control_plane, outcome, namespace))
    ]
    assert differences == []


@pytest.mark.parametrize("name", sorted(set(NAMES) - NEVER_CHANGES))
def test_a_policy_changes_some_objects_and_not_others(
    outcomes: Mapping[str, list[Outcome]], name: str
) -> None:
    assert {bool(outcome.mutated.patch) for outcome in outcomes[name]} == {True, False}


@pytest.mark.parametrize("name", NAMES)
def test_the_patch_leads_from_the_object_to_the_other(
    outcomes: Mapping[str, list[Outcome]], name: str
) -> None:
    for outcome in outcomes[name]:
        if outcome.recorded:
            patched = jsonpatch.apply_patch(outcome.recorded, list(outcome.mutated.patch))
            assert patched == outcome.mutated.object


def _difference(control_plane: ControlPlane, outcome: Outcome, namespace: str) -> str:
    """What differs, empty for nothing."""
    decision = outcome.mutated
    if bool(outcome.refusal) == decision.allowed:
        said = [finding.message for finding in decision.findings]
        return f"the API server: {outcome.refusal or 'allowed'}; gpuward: {decision.message or said or 'allowed'}"
    if outcome.refusal or decision.object is None:
        return ""
    try:
        ours = _stored(control_plane, outcome, namespace, copy.deepcopy(decision.object))
    except ApiError as error:
        return f"what gpuward made is refused: {error}"
    theirs = _comparable(outcome.answer)
    if ours == theirs:
        return ""
    changes = jsonpatch.make_patch(theirs, ours).patch
    return f"from the API server's object to gpuward's: {json.dumps(changes)}"


def _stored(control_plane: ControlPlane, outcome: Outcome, namespace: str, obj: Object) -> Any:
    """The object as the API server has it when it is sent so."""
    request = outcome.request
    path = request.path.replace("{namespace}", namespace)
    method = "POST" if request.method == "POST" else "PUT"
    return _comparable(control_plane.api(method, f"{path}?dryRun=All", obj))


def _comparable(obj: Object) -> Any:
    text = json.dumps(obj)
    # Names that the API server makes up, also where they are mentioned.
    for name in (
        obj["metadata"].get("uid"),
        obj["metadata"]["name"] if "generateName" in obj["metadata"] else None,
    ):
        text = text.replace(name, "MADE-UP") if name else text
    return _without(json.loads(re.sub(r"kube-api-access-\w+", "kube-api-access", text)))


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        left_out = (*_VOLATILE, *_ALLOCATED)
        return {key: _without(item) for key, item in value.items() if key not in left_out}
    return [_without(item) for item in value] if isinstance(value, list) else value
