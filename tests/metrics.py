"""The metrics of the server: their names, types and labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from webhook.adapters.metrics import Metrics, SupervisorMetrics

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}


class Family(NamedTuple):
    """One metric. ``series`` are the names under which it is scraped."""

    name: str
    type: str
    labels: tuple[str, ...]

    @property
    def series(self) -> tuple[str, ...]:
        return tuple(self.name + suffix for suffix in _SUFFIXES.get(self.type, ("",)))


def registries() -> tuple[CollectorRegistry, CollectorRegistry]:
    """Those of a server and of what watches over several, before anything has happened."""
    return Metrics("0").registry, SupervisorMetrics(lambda: 1).registry


def families() -> Iterator[Family]:
    """Every metric of gpuward's own."""
    for registry in registries():
        for collector in registry._collector_to_names:  # prometheus_client has no public way to list them
            for metric in collector.describe() if hasattr(collector, "describe") else collector.collect():
                if metric.name.startswith("gpuward_"):
                    # Those of one's own collector are with what it tells.
                    labels = getattr(collector, "_labelnames", getattr(metric, "_labelnames", ()))
                    yield Family(metric.name, metric.type, tuple(labels))
