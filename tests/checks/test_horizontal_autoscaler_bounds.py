"""horizontal-autoscaler-bounds: replicas, and the accelerators they hold together."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.horizontal_autoscaler_bounds import HorizontalAutoscalerBounds

from .objects import found, judge_object, refused_object_check
from .pods import JUNK, Said, table

KEY = "gpuward.dev/accelerators-per-replica"
ANNOTATION = f"metadata.annotations[{KEY}]"
CAP = {"maxAccelerators": 16}


def hpa(*, version: str = "v2", annotations: Any = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"autoscaling/{version}",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", **({"annotations": annotations} if annotations is not None else {})},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}, **spec},
    }


def scaled_object(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "s"}, "spec": spec}


MAX: Said = [("max-replicas", "spec.maxReplicas")]
ACCELERATORS: Said = [("max-accelerators", "spec.maxReplicas")]

CASES: dict[str, tuple[Any, dict[str, Any], Said]] = {
    "within bounds": ({}, hpa(minReplicas=1, maxReplicas=8), []),
    "at the bound": ({}, hpa(maxReplicas=64), []),
    "v1": ({}, hpa(version="v1", maxReplicas=65), MAX),
    "too many": ({"maxReplicas": 10}, hpa(maxReplicas=11), MAX),
    "no maximum": ({}, hpa(), [("max-replicas-missing", "spec")]),
    "a maximum that is none": ({}, hpa(maxReplicas="8"), [("max-replicas-missing", "spec.maxReplicas")]),
    "too few": (
        {"minReplicas": 2},
        hpa(minReplicas=1, maxReplicas=8),
        [("min-replicas", "spec.minReplicas")],
    ),
    "too few by default": ({"minReplicas": 2}, hpa(maxReplicas=8), [("min-replicas", "spec")]),
    "to zero": (
        {"minReplicas": 1},
        hpa(minReplicas=0, maxReplicas=8),
        [("min-replicas", "spec.minReplicas")],
    ),
    "accelerators by annotation": (CAP, hpa(maxReplicas=3, annotations={KEY: "8"}), ACCELERATORS),
    "accelerators by annotation, few enough": (CAP, hpa(maxReplicas=2, annotations={KEY: "8"}), []),
    "shares of accelerators": (CAP, hpa(maxReplicas=32, annotations={KEY: "0.5"}), []),
    "accelerators by parameter": ({**CAP, "acceleratorsPerReplica": 4}, hpa(maxReplicas=5), ACCELERATORS),
    "the annotation counts before the parameter": (
        {**CAP, "acceleratorsPerReplica": 4},
        hpa(maxReplicas=5, annotations={KEY: "1"}),
        [],
    ),
    "accelerators that nobody knows": (CAP, hpa(maxReplicas=64), []),
    "accelerators without a cap": ({}, hpa(maxReplicas=64, annotations={KEY: "8"}), []),
    "an annotation that is no number": (
        CAP,
        hpa(maxReplicas=3, annotations={KEY: "eight"}),
        [("accelerators-unreadable", ANNOTATION)],
    ),
    "an annotation of less than nothing": (
        CAP,
        hpa(maxReplicas=3, annotations={KEY: "-8"}),
        [("accelerators-unreadable", ANNOTATION)],
    ),
    "another annotation": (
        {**CAP, "acceleratorsAnnotation": "example.com/gpus"},
        hpa(maxReplicas=3, annotations={"example.com/gpus": "8"}),
        ACCELERATORS,
    ),
    "too many of both": (
        {**CAP, "acceleratorsPerReplica": 1},
        hpa(maxReplicas=100),
        [*MAX, *ACCELERATORS],
    ),
    "KEDA, within bounds": ({}, scaled_object(minReplicaCount=0, maxReplicaCount=8), []),
    "KEDA takes 100 where nothing is written": ({}, scaled_object(), [("max-replicas", "spec")]),
    "KEDA, too many": ({}, scaled_object(maxReplicaCount=65), [("max-replicas", "spec.maxReplicaCount")]),
    "KEDA goes to zero by default": (
        {"minReplicas": 1},
        scaled_object(maxReplicaCount=8),
        [("min-replicas", "spec")],
    ),
}


@table(CASES, "parameters, obj, said")
def test_replicas_and_their_accelerators_are_bounded(
    parameters: Any, obj: dict[str, Any], said: Said
) -> None:
    assert judge_object(HorizontalAutoscalerBounds, obj, parameters) == said


def test_the_message_has_the_sum() -> None:
    (violation,) = found(HorizontalAutoscalerBounds, hpa(maxReplicas=3, annotations={KEY: "8"}), CAP)
    assert (
        violation.message == "3 replicas with 8 accelerators each hold 24, and may hold 16; lower maxReplicas"
    )


@pytest.mark.parametrize("junk", JUNK)
def test_parts_of_the_wrong_type_do_not_crash(junk: Any) -> None:
    for obj in (
        {**hpa(), "spec": junk},
        hpa(minReplicas=junk, maxReplicas=junk, annotations=junk),
        hpa(maxReplicas=10**40, annotations={KEY: junk}),
        hpa(maxReplicas=10**40, annotations={KEY: "1e999"}),
        scaled_object(minReplicaCount=junk, maxReplicaCount=junk),
    ):
        judge_object(HorizontalAutoscalerBounds, obj, CAP)


BAD_PARAMETERS: dict[str, tuple[Any, str, str]] = {
    "the wrong way round": ({"minReplicas": 9, "maxReplicas": 8}, "minReplicas", "above maxReplicas"),
    "a number without a cap": ({"acceleratorsPerReplica": 8}, "acceleratorsPerReplica", "maxAccelerators"),
    "a key no annotation can have": ({"acceleratorsAnnotation": "a b"}, "acceleratorsAnnotation", "must be"),
}


@table(BAD_PARAMETERS, "parameters, field, message")
def test_parameters_that_cannot_be_meant_are_refused(parameters: Any, field: str, message: str) -> None:
    error = refused_object_check(HorizontalAutoscalerBounds, parameters)
    assert error.field == field
    assert message in str(error)
