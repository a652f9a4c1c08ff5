"""Metrics of several processes as one."""

from __future__ import annotations

import math

import orjson
from prometheus_client.parser import text_string_to_metric_families

from webhook.adapters.metrics import Metrics
from webhook.adapters.metrics_merge import Family, MergedMetrics, dump
from webhook.kube.gvk import POD

LABELS = {"webhook": "validate", "operation": "CREATE", "kind": "Pod", "mode": "warn", "result": "allowed"}


def process(reviews: int, *, in_flight: float = 0, loaded_at: float = 100) -> list[Family]:
    """The metrics of a process that has done so much, as they come through a channel."""
    metrics = Metrics("1.0")
    for _ in range(reviews):
        metrics.reviewed("validate", "CREATE", POD, "warn", "allowed", 0.001)
    metrics.in_flight.set(in_flight)
    metrics.policies_loaded(5, loaded_at, first=True)
    families: list[Family] = orjson.loads(orjson.dumps(dump(metrics.registry)))
    return families


def value(merged: MergedMetrics, processes: list[list[Family]], name: str, **labels: str) -> float | None:
    body, _ = merged.render(processes, "")
    found = [
        sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(found) <= 1
    return found[0] if found else None


def test_counts_add_up() -> None:
    merged, processes = MergedMetrics(), [process(3), process(4)]
    assert value(merged, processes, "gpuward_admission_requests_total", **LABELS) == 7
    timed = {"webhook": "validate", "mode": "warn"}
    assert value(merged, processes, "gpuward_admission_duration_seconds_count", **timed) == 7
    assert value(merged, processes, "gpuward_admission_duration_seconds_bucket", **timed, le="+Inf") == 7
    assert value(merged, processes, "gpuward_admission_duration_seconds_bucket", **timed, le="0.0005") == 0


def test_what_is_only_in_one_process_is_there() -> None:
    assert value(MergedMetrics(), [process(0), process(2)], "gpuward_admission_requests_total", **LABELS) == 2


def test_calls_under_way_and_memory_add_up_and_of_states_the_worst_is_shown() -> None:
    merged = MergedMetrics()
    processes = [process(0, in_flight=2, loaded_at=200), process(0, in_flight=3, loaded_at=100)]
    assert value(merged, processes, "gpuward_admission_in_flight") == 5
    assert value(merged, processes, "gpuward_policy_last_reload_success_timestamp_seconds") == 100
    assert value(merged, processes, "gpuward_policies") == 5
    assert value(merged, processes, "gpuward_build_info", version="1.0") == 1
    alone = value(merged, processes[:1], "process_resident_memory_bytes")
    both = value(merged, processes, "process_resident_memory_bytes")
    assert alone is not None
    assert both is not None
    assert both > alone * 1.5


def test_a_process_that_is_gone_has_counted_all_the_same() -> None:
    merged = MergedMetrics()
    merged.retire(process(3, in_flight=9))
    merged.retire(process(2))
    assert value(merged, [process(1)], "gpuward_admission_requests_total", **LABELS) == 6
    assert value(merged, [process(1)], "gpuward_admission_in_flight") == 0
    # Asking changes nothing.
    assert value(merged, [], "gpuward_admission_requests_total", **LABELS) == 5


def test_what_is_infinite_stays_so() -> None:
    """Where no process keeps a CA, none expires."""
    merged = MergedMetrics()
    assert value(merged, [process(0), process(0)], "gpuward_tls_ca_expiry_timestamp_seconds") == math.inf
