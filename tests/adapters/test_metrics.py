"""Metrics: what is counted, and that callers cannot make up label values."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from webhook.adapters.metrics import Metrics, kind_label
from webhook.engine.decision import BrokenGlass, Exempted
from webhook.kube.gvk import GroupVersionKind
from webhook.policy.findings import Action, Finding, Severity

POD = GroupVersionKind("", "v1", "Pod")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def scraped(metrics: Metrics) -> dict[str, float]:
    """Samples as Prometheus reads them: ``name{labels}`` to value."""
    body, content_type = metrics.render("")
    assert content_type.startswith("text/plain")
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def finding(*, error: bool = False) -> Finding:
    return Finding("p", "r", Severity.HIGH, Action.WARN, ("spec",), "reason", "message", error)


def test_a_review_is_counted_and_timed(metrics: Metrics) -> None:
    for _ in range(3):
        metrics.reviewed("validate", "CREATE", POD, "enforce", "denied", 0.0002)
    labels = {
        "webhook": "validate",
        "operation": "CREATE",
        "kind": "Pod",
        "mode": "enforce",
        "result": "denied",
    }
    assert metrics.registry.get_sample_value("gpuward_admission_requests_total", labels) == 3
    timed = {"webhook": "validate", "mode": "enforce"}
    value = metrics.registry.get_sample_value
    assert value("gpuward_admission_duration_seconds_count", timed) == 3
    assert value("gpuward_admission_duration_seconds_bucket", {**timed, "le": "0.0001"}) == 0
    assert value("gpuward_admission_duration_seconds_bucket", {**timed, "le": "0.00025"}) == 3


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        (POD, "Pod"),
        (GroupVersionKind("apps", "v1", "Deployment"), "Deployment"),
        (GroupVersionKind("kubeflow.org", "v1", "PyTorchJob"), "PyTorchJob"),
        (GroupVersionKind("", "v1", "Namespace"), "Namespace"),
        (GroupVersionKind("", "v1", "Secret"), "other"),
        (GroupVersionKind("evil.example", "v1", "Pod"), "other"),
        (GroupVersionKind("evil.example", "v1", "x" * 1000), "other"),
    ],
)
def test_only_known_kinds_are_label_values(kind: GroupVersionKind, label: str) -> None:
    assert kind_label(kind) == label


def test_kinds_that_are_made_up_share_one_series(metrics: Metrics) -> None:
    for number in range(100):
        metrics.reviewed(
            "mutate", "CREATE", GroupVersionKind("x", "v1", f"K{number}"), "none", "allowed", 0.1
        )
    series = [name for name in scraped(metrics) if name.startswith("gpuward_admission_requests_total")]
    assert len(series) == 1
    assert "('kind', 'other')" in series[0]


def test_findings_errors_and_patches_are_counted_by_policy(metrics: Metrics) -> None:
    metrics.found([finding(), finding(), finding(error=True)], {"p", "q"})
    value = metrics.registry.get_sample_value
    assert value("gpuward_findings_total", {"policy": "p", "rule": "r", "action": "Warn"}) == 3
    assert value("gpuward_rule_errors_total", {"policy": "p", "rule": "r"}) == 1
    assert (
        value("gpuward_patches_total", {"policy": "p"})
        == value("gpuward_patches_total", {"policy": "q"})
        == 1
    )


def test_reloads_show_the_last_one_and_when_the_last_good_one_was(metrics: Metrics) -> None:
    value = metrics.registry.get_sample_value
    metrics.policies_loaded(5, 1000.0, first=True)
    assert value("gpuward_policy_reloads_total", {"result": "success"}) == 0
    metrics.policies_failed()
    assert value("gpuward_policy_last_reload_success") == 0
    assert value("gpuward_policy_last_reload_success_timestamp_seconds") == 1000
    assert value("gpuward_policy_reloads_total", {"result": "failure"}) == 1
    metrics.policies_loaded(6, 2000.0)
    assert value("gpuward_policy_last_reload_success") == 1
    assert value("gpuward_policy_last_reload_success_timestamp_seconds") == 2000
    assert value("gpuward_policies") == 6
    assert value("gpuward_policy_reloads_total", {"result": "success"}) == 1


def test_calls_without_review_are_counted_by_status(metrics: Metrics) -> None:
    metrics.call_failed("mutate", 503)
    labels = {"webhook": "mutate", "code": "503"}
    assert metrics.registry.get_sample_value("gpuward_admission_failed_calls_total", labels) == 1


def test_the_version_and_the_process_are_there_and_no_creation_times(metrics: Metrics) -> None:
    found = scraped(metrics)
    assert found["gpuward_build_info[('version', '1.2.3')]"] == 1
    assert found["process_resident_memory_bytes[]"] > 0
    assert not [name for name in found if "_created" in name]


def test_open_metrics_is_given_to_who_asks_for_it(metrics: Metrics) -> None:
    body, content_type = metrics.render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_two_processes_of_one_test_do_not_share_a_registry() -> None:
    Metrics("a").call_failed("mutate", 500)
    assert not [
        name for name in scraped(Metrics("b")) if name.startswith("gpuward_admission_failed_calls_total")
    ]


def test_uses_of_exceptions_and_break_glass_are_counted_by_their_names(metrics: Metrics) -> None:
    metrics.let_pass([Exempted("p", "r", "legacy", "why"), Exempted("p", "s", "legacy", "why")], None)
    metrics.let_pass([Exempted("p", "r", "legacy", "why")], BrokenGlass("on-call", "why"))
    value = metrics.registry.get_sample_value
    labels = {"policy": "p", "rule": "r", "exception": "legacy"}
    assert value("gpuward_exceptions_used_total", labels) == 2
    assert value("gpuward_exceptions_used_total", {**labels, "rule": "s"}) == 1
    assert value("gpuward_break_glass_used_total", {"entry": "on-call"}) == 1
