"""vertical-autoscaler-bounds: bounds of what is recommended, and trainings that are let run."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.vertical_autoscaler_bounds import VerticalAutoscalerBounds

from .objects import found, judge_object, refused_object_check
from .pods import JUNK, Said, table

LEAST = {"cpu": "100m", "memory": "256Mi"}
MOST = {"cpu": "4", "memory": "8Gi"}


def container(name: str = "*", least: Any = LEAST, most: Any = MOST, **fields: Any) -> dict[str, Any]:
    made = {"containerName": name, "minAllowed": least, "maxAllowed": most, **fields}
    return {key: value for key, value in made.items() if value is not None}


def vpa(
    *policies: Any, mode: str | None = "Recreate", kind: str = "Deployment", **fields: Any
) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "targetRef": {"apiVersion": "apps/v1", "kind": kind, "name": "x"},
        "resourcePolicy": {"containerPolicies": list(policies)},
    }
    if mode is not None:
        spec["updatePolicy"] = {"updateMode": mode}
    return {
        "apiVersion": "autoscaling.k8s.io/v1",
        "kind": "VerticalPodAutoscaler",
        "metadata": {"name": "v", **fields},
        "spec": spec,
    }


P = "spec.resourcePolicy.containerPolicies"
MODE: Said = [("update-mode-on-training", "spec.updatePolicy.updateMode")]
WITHOUT = {**vpa(), "spec": {"targetRef": {"kind": "Deployment"}}}

CASES: dict[str, tuple[Any, dict[str, Any], Said]] = {
    "bounded": ({}, vpa(container()), []),
    "narrower bounds": (
        {},
        vpa(container(least={"cpu": "0.5", "memory": "1Gi"}, most={"cpu": 2, "memory": "4G"})),
        [],
    ),
    "no policy at all": ({}, WITHOUT, [("no-default-bounds", "spec")]),
    "only named containers": ({}, vpa(container("app")), [("no-default-bounds", P)]),
    "a policy without a name is for all": ({}, vpa({"minAllowed": LEAST, "maxAllowed": MOST}), []),
    "no maximum": (
        {},
        vpa(container(most=None)),
        [("max-allowed-missing", f"{P}[0]"), ("max-allowed-missing", f"{P}[0]")],
    ),
    "no maximum of memory": (
        {},
        vpa(container(most={"cpu": "4"})),
        [("max-allowed-missing", f"{P}[0].maxAllowed")],
    ),
    "too little": (
        {},
        vpa(container(least={"cpu": "50m", "memory": "256Mi"})),
        [("min-allowed-out-of-bounds", f"{P}[0].minAllowed.cpu")],
    ),
    "too much": (
        {},
        vpa(container(most={"cpu": "4", "memory": "16Gi"})),
        [("max-allowed-out-of-bounds", f"{P}[0].maxAllowed.memory")],
    ),
    "a minimum above the bounds": (
        {},
        vpa(container(least={"cpu": "8", "memory": "256Mi"})),
        [("min-allowed-out-of-bounds", f"{P}[0].minAllowed.cpu")],
    ),
    "no quantity": (
        {},
        vpa(container(least={"cpu": "lots", "memory": "256Mi"})),
        [("min-allowed-unreadable", f"{P}[0].minAllowed.cpu")],
    ),
    "every container is judged": (
        {},
        vpa(container(), container("sidecar", least=None)),
        [("min-allowed-missing", f"{P}[1]"), ("min-allowed-missing", f"{P}[1]")],
    ),
    "a container that is left alone": ({}, vpa(container(), {"containerName": "proxy", "mode": "Off"}), []),
    "all containers but one are left alone": (
        {},
        vpa({"containerName": "*", "mode": "Off"}, container("app")),
        [],
    ),
    "only memory is controlled": (
        {},
        vpa(container(least={"memory": "1Gi"}, most={"memory": "2Gi"}, controlledResources=["memory"])),
        [],
    ),
    "bounds of one's own": (
        {"minAllowed": {"memory": "1Gi"}, "maxAllowed": {"cpu": 16}},
        vpa(container(least={"memory": "2Gi"}, most={"cpu": "16"})),
        [],
    ),
    "a recommender is bounded too": ({}, vpa(mode="Off"), [("no-default-bounds", P)]),
    "a recommender need not be": ({"boundsInModeOff": False}, vpa(mode="Off"), []),
    "a training job": ({}, vpa(container(), mode="Auto", kind="PyTorchJob"), MODE),
    "recreate is as bad": ({}, vpa(container(), mode="Recreate", kind="Job"), MODE),
    "so is resizing in place or recreating": (
        {},
        vpa(container(), mode="InPlaceOrRecreate", kind="JobSet"),
        MODE,
    ),
    "and the default": (
        {},
        vpa(container(), mode=None, kind="TFJob"),
        [("update-mode-on-training", "spec")],
    ),
    "off": ({}, vpa(container(), mode="Off", kind="PyTorchJob"), []),
    "initial": ({}, vpa(container(), mode="Initial", kind="PyTorchJob"), []),
    "a training by its label": ({}, vpa(container(), mode="Auto", labels={"tier": "ml-training"}), MODE),
    "not a training by its label": ({}, vpa(container(), mode="Auto", labels={"tier": "ml-serving"}), []),
    "other labels": (
        {"trainingLabels": {"workload-type": "train*"}},
        vpa(container(), mode="Auto", labels={"workload-type": "training"}),
        MODE,
    ),
    "other kinds": (
        {"trainingKinds": ["StatefulSet"]},
        vpa(container(), mode="Auto", kind="StatefulSet"),
        MODE,
    ),
    "other modes": ({"trainingModes": ["Off"]}, vpa(container(), mode="Initial", kind="Job"), MODE),
}


@table(CASES, "parameters, obj, said")
def test_recommendations_are_bounded_and_trainings_run(
    parameters: Any, obj: dict[str, Any], said: Said
) -> None:
    assert judge_object(VerticalAutoscalerBounds, obj, parameters) == said


MESSAGES: dict[str, tuple[dict[str, Any], str]] = {
    "no policy": (
        vpa(),
        (
            'containers without a policy have no bounds; add one to containerPolicies for containerName "*", with '
            'minAllowed: {cpu: 100m, memory: 256Mi} and maxAllowed: {cpu: "4", memory: 8Gi}'
        ),
    ),
    "out of bounds": (
        vpa(container(most={"cpu": "5", "memory": "8Gi"})),
        'maxAllowed of containerName "*" is 5 of cpu, and may be from 100m to 4',
    ),
    "training": (
        vpa(container(), mode="Auto", kind="Job"),
        (
            "updateMode Auto evicts pods to resize them, and its target, a Job, is a training; "
            'write updateMode: "Off" or Initial'
        ),
    ),
}


@table(MESSAGES, "obj, message")
def test_the_message_says_what_to_write(obj: dict[str, Any], message: str) -> None:
    assert [v.message for v in found(VerticalAutoscalerBounds, obj)] == [message]


@pytest.mark.parametrize("junk", JUNK)
def test_parts_of_the_wrong_type_do_not_crash(junk: Any) -> None:
    whole = {"targetRef": junk, "updatePolicy": junk, "resourcePolicy": junk}
    for obj in (
        {**vpa(), "spec": junk},
        {**vpa(), "spec": whole},
        {**vpa(labels=junk), "spec": {**whole, "resourcePolicy": {"containerPolicies": junk}}},
        vpa(junk, container(junk, junk, junk, controlledResources=junk, mode=junk)),
        vpa(container(least={"cpu": junk}), labels={"tier": junk}),
    ):
        judge_object(VerticalAutoscalerBounds, obj)


BAD_PARAMETERS: dict[str, tuple[Any, str, str]] = {
    "no quantity": ({"maxAllowed": {"cpu": "lots"}}, "maxAllowed[cpu]", "not a quantity"),
    "the wrong way round": ({"minAllowed": {"cpu": "8"}}, "minAllowed[cpu]", "above maxAllowed"),
}


@table(BAD_PARAMETERS, "parameters, field, message")
def test_parameters_that_cannot_be_meant_are_refused(parameters: Any, field: str, message: str) -> None:
    error = refused_object_check(VerticalAutoscalerBounds, parameters)
    assert error.field == field
    assert message in str(error)
