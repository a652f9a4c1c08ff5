"""monitor-release-label: monitors that Prometheus finds."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.monitor_release_label import MonitorReleaseLabel

from .objects import found, judge_object, refused_object_check
from .pods import JUNK, Said, table


def monitor(labels: Any, kind: str = "ServiceMonitor") -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": kind,
        "metadata": {"name": "m", "labels": labels},
    }


PATH = "metadata.labels.release"
VALUES = {"values": ["prometheus", "kube-*"]}

CASES: dict[str, tuple[Any, Any, Said]] = {
    "any value": ({}, {"release": "x"}, []),
    "missing": ({}, {"app": "x"}, [("release-label-missing", PATH)]),
    "no labels": ({}, None, [("release-label-missing", PATH)]),
    "empty": ({}, {"release": ""}, [("release-label-value", PATH)]),
    "one of the values": (VALUES, {"release": "kube-prometheus-stack"}, []),
    "none of the values": (VALUES, {"release": "loki"}, [("release-label-value", PATH)]),
    "another key": ({"key": "prometheus"}, {"prometheus": "main"}, []),
    "another key, missing": (
        {"key": "prometheus"},
        {"release": "x"},
        [("release-label-missing", "metadata.labels.prometheus")],
    ),
}


@table(CASES, "parameters, labels, said")
@pytest.mark.parametrize("kind", ["ServiceMonitor", "PodMonitor"])
def test_a_monitor_has_the_label(kind: str, parameters: Any, labels: Any, said: Said) -> None:
    assert judge_object(MonitorReleaseLabel, monitor(labels, kind), parameters) == said


def test_the_message_says_what_to_write() -> None:
    (violation,) = found(MonitorReleaseLabel, monitor({}), VALUES)
    assert violation.message.endswith("write release: prometheus or kube-*")


@pytest.mark.parametrize("junk", JUNK)
def test_labels_of_the_wrong_type_do_not_crash(junk: Any) -> None:
    judge_object(MonitorReleaseLabel, monitor(junk), VALUES)
    judge_object(MonitorReleaseLabel, monitor({"release": junk}), VALUES)


def test_a_key_that_no_label_can_have_is_refused() -> None:
    assert refused_object_check(MonitorReleaseLabel, {"key": "a b"}).field == "key"
