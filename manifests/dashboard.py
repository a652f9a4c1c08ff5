"""The Grafana dashboard, as an object."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

_SELECTOR = 'namespace=~"$namespace"'

_BUCKETS = "gpuward_admission_duration_seconds_bucket"

# title, what it shows, unit, [(legend, expression)]
PANELS: tuple[tuple[str, str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Requests",
        "What was answered, by result.",
        "reqps",
        (("{{result}}", "sum by (result) (rate(gpuward_admission_requests_total{%s}[$__rate_interval]))"),),
    ),
    (
        "Latency",
        "From the call's headers to its answer.",
        "s",
        tuple(
            (
                f"p{percent}",
                f"histogram_quantile(0.{percent}, sum by (le) (rate({_BUCKETS}{{%s}}[$__rate_interval])))",
            )
            for percent in (50, 95, 99)
        ),
    ),
    (
        "Calls without a review",
        "By HTTP status. 503 is overload, 500 an error in gpuward, 4xx what is no admission call.",
        "reqps",
        (("{{code}}", "sum by (code) (rate(gpuward_admission_failed_calls_total{%s}[$__rate_interval]))"),),
    ),
    (
        "Under way",
        "Admission calls in each pod now.",
        "short",
        (("{{pod}}", "sum by (pod) (gpuward_admission_in_flight{%s})"),),
    ),
    (
        "Violations",
        "By policy and by what was done about them.",
        "short",
        (
            (
                "{{policy}} {{action}}",
                "sum by (policy, action) (increase(gpuward_findings_total{%s}[$__rate_interval]))",
            ),
        ),
    ),
    (
        "Pods changed",
        "By policy.",
        "short",
        (("{{policy}}", "sum by (policy) (increase(gpuward_patches_total{%s}[$__rate_interval]))"),),
    ),
    (
        "Rules that failed",
        "Instead of judging. The log says why.",
        "short",
        (
            (
                "{{policy}} {{rule}}",
                "sum by (policy, rule) (increase(gpuward_rule_errors_total{%s}[$__rate_interval]))",
            ),
        ),
    ),
    (
        "Policies in force",
        "In each pod. A drop of `last reload` to 0 means that the files cannot be used; the old set stays in force.",
        "short",
        (
            ("{{pod}}", "max by (pod) (gpuward_policies{%s})"),
            ("{{pod}} last reload", "min by (pod) (gpuward_policy_last_reload_success{%s})"),
        ),
    ),
    (
        "Certificate expires in",
        "Of what each pod serves with.",
        "s",
        (("{{pod}}", "min by (pod) (gpuward_tls_certificate_expiry_timestamp_seconds{%s}) - time()"),),
    ),
    (
        "Namespaces",
        "In the cache of each pod, and failures of its watch.",
        "short",
        (
            ("{{pod}}", "max by (pod) (gpuward_namespaces_cached{%s})"),
            ("{{pod}} failures", "max by (pod) (gpuward_namespace_watch_failures{%s})"),
        ),
    ),
    (
        "Memory",
        "Resident, of each pod.",
        "bytes",
        (("{{pod}}", 'sum by (pod) (process_resident_memory_bytes{job=~".*gpuward.*", %s})'),),
    ),
    (
        "CPU",
        "Of each pod.",
        "short",
        (
            (
                "{{pod}}",
                'sum by (pod) (rate(process_cpu_seconds_total{job=~".*gpuward.*", %s}[$__rate_interval]))',
            ),
        ),
    ),
)


def dashboard() -> Object:
    """The whole dashboard, two panels a row."""
    return {
        "uid": "gpuward",
        "title": "gpuward",
        "tags": ["gpuward", "kubernetes", "admission"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_data_source(), _namespace()]},
        "panels": [
            {
                "id": index + 1,
                "type": "timeseries",
                "title": title,
                "description": description,
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "gridPos": {"h": 8, "w": 12, "x": 12 * (index % 2), "y": 8 * (index // 2)},
                "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                "targets": [
                    {
                        "refId": chr(ord("A") + number),
                        "expr": expression.replace("%s", _SELECTOR),
                        "legendFormat": legend,
                    }
                    for number, (legend, expression) in enumerate(targets)
                ],
            }
            for index, (title, description, unit, targets) in enumerate(PANELS)
        ],
    }


def _data_source() -> Object:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _namespace() -> Object:
    return {
        "name": "namespace",
        "label": "Namespace of gpuward",
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": "label_values(gpuward_build_info, namespace)",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }
