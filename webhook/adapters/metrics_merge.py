"""Metrics of several processes as one: what a scrape sees when one server has several workers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypedDict

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

SampleKey = tuple[str, tuple[tuple[str, str], ...]]


class Family(TypedDict):
    """One metric of one process, in a form that JSON can carry. A sample is name, labels, value; where JSON has been
    in between, None stands for infinity, for which JSON has no number."""

    name: str
    documentation: str
    type: str
    samples: list[tuple[str, dict[str, str], float | None]]


# Gauges that add up over processes. Of all others the smallest value is shown: the oldest policies, the certificate
# that expires first, the least complete cache.
_ADDED_GAUGES: Final = frozenset(
    {
        "gpuward_admission_in_flight",
        "gpuward_connections",
        "gpuward_log_lines_dropped",
        "gpuward_namespace_watch_failures",
        "gpuward_policy_resource_watch_failures",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
    }
)


def dump(registry: CollectorRegistry) -> list[Family]:
    """The metrics of a process, to be sent to where they are merged."""
    return [
        Family(
            name=family.name,
            documentation=family.documentation,
            type=family.type,
            samples=[(sample.name, dict(sample.labels), sample.value) for sample in family.samples],
        )
        for family in registry.collect()
    ]


class MergedMetrics:
    """Metrics of several processes. What a process has counted stays counted when it is gone."""

    def __init__(self) -> None:
        self._retired: dict[str, tuple[Family, dict[SampleKey, float]]] = {}

    def retire(self, families: Iterable[Family]) -> None:
        """Keep the counts of a process that has ended."""
        for family in families:
            if not _is_gauge(family):
                _, values = self._retired.setdefault(family["name"], (family, {}))
                for key, value in _samples(family):
                    values[key] = values.get(key, 0.0) + value

    def render(self, processes: Iterable[Iterable[Family]], accept: str) -> tuple[bytes, str]:
        """The metrics of these and all retired processes, in the format an ``Accept`` header asks for, and its
        content type."""
        registry = CollectorRegistry()
        registry.register(_Merged(self._merge(processes)))
        encoder, content_type = choose_encoder(accept)
        return encoder(registry), content_type

    def _merge(self, processes: Iterable[Iterable[Family]]) -> list[Metric]:
        merged = {name: (family, dict(values)) for name, (family, values) in self._retired.items()}
        for families in processes:
            for family in families:
                _, values = merged.setdefault(family["name"], (family, {}))
                smallest = _is_gauge(family) and family["name"] not in _ADDED_GAUGES
                for key, value in _samples(family):
                    before = values.get(key)
                    if before is None:
                        values[key] = value
                    else:
                        values[key] = min(before, value) if smallest else before + value
        return [_metric(family, values) for family, values in merged.values()]


class _Merged(Collector):
    """Gives the registry what is merged already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics: Final = tuple(metrics)

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _is_gauge(family: Family) -> bool:
    return family["type"] not in ("counter", "histogram")


def _samples(family: Family) -> Iterator[tuple[SampleKey, float]]:
    for name, labels, value in family["samples"]:
        yield (name, tuple(labels.items())), math.inf if value is None else value


def _metric(family: Family, values: Mapping[SampleKey, float]) -> Metric:
    metric = Metric(family["name"], family["documentation"], family["type"])
    for (name, labels), value in values.items():
        metric.add_sample(name, dict(labels), value)
    return metric
