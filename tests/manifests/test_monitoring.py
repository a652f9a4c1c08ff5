"""Dashboard and alerts ask for metrics that there are, with labels that they have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from manifests.dashboard import dashboard
from tests.metrics import families, registries

from .rendering import chart, one

_METRIC = re.compile(r"\b((?:gpuward|process)_\w+)\b(?:\{(?P<labels>[^}]*)\})?")
_GROUPING = re.compile(r"\bby \(([^)]*)\)")

# What Prometheus puts on every series of a pod.
_OF_THE_TARGET = {"namespace", "pod", "job", "le"}


# What Prometheus adds to a metric's name.
_SUFFIXES: Final = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}


def _metrics() -> dict[str, set[str]]:
    """Every metric as Prometheus knows it, with its labels."""
    known = {name: set(family.labels) for family in families() for name in family.series}
    # The process metrics are not described before they are read.
    for registry in registries():
        for family in registry.collect():
            for sample in family.samples:
                known.setdefault(sample.name, set(sample.labels))
            # Nor are those of a collector of our own, which has no samples before the first request.
            for suffix in _SUFFIXES.get(family.type, ("",)):
                known.setdefault(family.name + suffix, set(getattr(family, "_labelnames", ())))
    return known


def _expressions() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


def _assert_known(expression: str) -> None:
    known = _metrics()
    names = [match[1] for match in _METRIC.finditer(expression)]
    for name in names:
        assert name in known, f"{name}: there is no such metric ({expression})"
    labels = set().union(*(known[name] for name in names)) | _OF_THE_TARGET
    for grouping in _GROUPING.findall(expression):
        for label in grouping.split(","):
            assert label.strip() in labels, f"{label}: none of {names} has this label"


@pytest.mark.parametrize("expression", _expressions())
def test_dashboard_asks_for_metrics_that_exist(expression: str) -> None:
    assert _METRIC.search(expression)
    _assert_known(expression)


def test_alerts_ask_for_metrics_that_exist(helm: Path) -> None:
    objects = chart(helm, "monitoring.prometheusRule.enabled=true")
    (group,) = one(objects, "PrometheusRule")["spec"]["groups"]
    expressions = [rule["expr"] for rule in group["rules"] if "apiserver_" not in rule["expr"]]
    assert len(expressions) >= 6
    for expression in expressions:
        _assert_known(expression)
        assert 'namespace="gpuward-system"' in expression


def test_panels_do_not_overlap() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard()["panels"]]
    assert len(set(places)) == len(places)
