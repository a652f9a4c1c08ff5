"""Metrics for Prometheus.

Label values come from small, closed sets or from the policies, never from what callers send: a kind that
gpuward does not know is ``other``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from webhook.adapters.metrics_tally import Tally, Timings
from webhook.engine.decision import BrokenGlass, Exempted
from webhook.kube.gvk import NAMESPACE, GroupVersionKind
from webhook.kube.workloads import carries_pods
from webhook.policy.findings import Finding

# A review takes a tenth of a millisecond; the longest wait of an API server is 30 s.
_SECONDS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip


class Metrics:
    """All metrics of one server process, in a registry of its own."""

    def __init__(self, version: str) -> None:
        # A second series for each counter, which only says when this process began to count.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        self.registry: Final = registry
        self._reviews: Final = Tally(
            "gpuward_admission_requests",
            "Admission requests answered, by what was asked and what came of it.",
            ["webhook", "operation", "kind", "mode", "result"],
        )
        self._durations: Final = Timings(
            "gpuward_admission_duration_seconds",
            "Time from the call's headers to its answer.",
            ["webhook", "mode"],
            _SECONDS,
        )
        self._failed_calls: Final = Counter(
            "gpuward_admission_failed_calls",
            "Calls that got no review, by HTTP status.",
            ["webhook", "code"],
            registry=registry,
        )
        self.in_flight: Final = Gauge(
            "gpuward_admission_in_flight", "Admission calls under way now.", registry=registry
        )
        self.connections: Final = Gauge(
            "gpuward_connections", "Connections to the webhook's port that are open now.", registry=registry
        )
        self._closed_connections: Final = Counter(
            "gpuward_connections_closed",
            "Connections to the webhook's port that the server ended or did not take, by reason.",
            ["reason"],
            registry=registry,
        )
        self._findings: Final = Tally(
            "gpuward_findings",
            "Violations found, by what was done about them. Dry runs are not counted.",
            ["policy", "rule", "action"],
        )
        self._rule_errors: Final = Counter(
            "gpuward_rule_errors",
            "Rules that failed instead of judging.",
            ["policy", "rule"],
            registry=registry,
        )
        self._patches: Final = Tally(
            "gpuward_patches", "Pods that a policy changed. Dry runs are not counted.", ["policy"]
        )
        for counted in (self._reviews, self._durations, self._findings, self._patches):
            registry.register(counted)
        self._exceptions: Final = Counter(
            "gpuward_exceptions_used",
            "Rules that were not applied because of an exception. Dry runs are not counted.",
            ["policy", "rule", "exception"],
            registry=registry,
        )
        self._break_glass: Final = Counter(
            "gpuward_break_glass_used",
            "Requests that passed by break-glass. Dry runs are not counted.",
            ["entry"],
            registry=registry,
        )
        self._reloads: Final = Counter(
            "gpuward_policy_reloads", "Times the policies were read again.", ["result"], registry=registry
        )
        self._last_reload: Final = Gauge(
            "gpuward_policy_last_reload_success",
            "Whether the last reading gave a policy set.",
            registry=registry,
        )
        self._reloaded_at: Final = Gauge(
            "gpuward_policy_last_reload_success_timestamp_seconds",
            "When the policies in force were read.",
            registry=registry,
        )
        self._policies: Final = Gauge("gpuward_policies", "Policies in force.", registry=registry)
        self._policy_resources: Final = Gauge(
            "gpuward_policy_resources",
            "Policies that are custom resources, by whether they can be used as they are.",
            ["ready"],
            registry=registry,
        )
        self.policy_resource_failures: Final = Gauge(
            "gpuward_policy_resource_watch_failures",
            "Times listing or watching policy resources failed.",
            registry=registry,
        )
        self.namespaces: Final = Gauge(
            "gpuward_namespaces_cached", "Namespaces in the cache.", registry=registry
        )
        self.namespaces_synced: Final = Gauge(
            "gpuward_namespace_cache_synced",
            "Whether all namespaces have been listed once.",
            registry=registry,
        )
        self.namespace_failures: Final = Gauge(
            "gpuward_namespace_watch_failures",
            "Times listing or watching namespaces failed.",
            registry=registry,
        )
        self.certificate_expiry: Final = Gauge(
            "gpuward_tls_certificate_expiry_timestamp_seconds",
            "When the serving certificate expires.",
            registry=registry,
        )
        self.certificate_trusted: Final = Gauge(
            "gpuward_tls_certificate_trusted",
            "Whether the API server is told to trust the serving certificate; 1 where that is not looked at.",
            registry=registry,
        )
        self.certificate_trusted.set(1)
        self.ca_expiry: Final = Gauge(
            "gpuward_tls_ca_expiry_timestamp_seconds",
            "When the CA that gpuward signs with expires; +Inf where it keeps none.",
            registry=registry,
        )
        self.ca_expiry.set(math.inf)
        self._certificate_steps: Final = Counter(
            "gpuward_certificate_steps",
            "Steps done to the certificates in the Secret and in the webhook configurations.",
            ["step"],
            registry=registry,
        )
        self.dropped_logs: Final = Gauge(
            "gpuward_log_lines_dropped",
            "Log lines lost because they could not be written.",
            registry=registry,
        )
        Gauge("gpuward_build_info", "The version that runs.", ["version"], registry=registry).labels(
            version
        ).set(1)
        ProcessCollector(registry=registry)
        for result in ("success", "failure"):
            self._reloads.labels(result)

    def reviewed(
        self, webhook: str, operation: str, kind: GroupVersionKind, mode: str, result: str, seconds: float
    ) -> None:
        """Count one answered request. ``mode`` and ``result`` are words of closed sets."""
        self._reviews.add((webhook, operation, kind_label(kind), mode, result))
        self._durations.add((webhook, mode), seconds)

    def connection_closed(self, reason: str) -> None:
        """Count a connection that was ended, or not taken, because of a limit."""
        self._closed_connections.labels(reason).inc()

    def call_failed(self, webhook: str, code: int) -> None:
        """Count one call that got no review. ``webhook`` is empty where the address names none."""
        self._failed_calls.labels(webhook, str(code)).inc()

    def found(self, findings: Iterable[Finding], policies_that_patched: Iterable[str]) -> None:
        """Count the findings and patches of one request."""
        for finding in findings:
            if finding.error:
                self._rule_errors.labels(finding.policy, finding.rule).inc()
            self._findings.add((finding.policy, finding.rule, str(finding.action)))
        for policy in policies_that_patched:
            self._patches.add((policy,))

    def let_pass(self, exempted: Iterable[Exempted], break_glass: BrokenGlass | None) -> None:
        """Count the exceptions and the break-glass entry that one request made use of."""
        for use in exempted:
            self._exceptions.labels(use.policy, use.rule, use.exception).inc()
        if break_glass is not None:
            self._break_glass.labels(break_glass.name).inc()

    def certificate_step(self, step: str) -> None:
        """Count a step that was done to the certificates, a word of a closed set."""
        self._certificate_steps.labels(step).inc()

    def policies_loaded(self, count: int, when: float, *, first: bool = False) -> None:
        """Note a policy set that came into force at ``when`` (Unix time)."""
        if not first:
            self._reloads.labels("success").inc()
        self._last_reload.set(1)
        self._reloaded_at.set(when)
        self._policies.set(count)

    def policies_failed(self) -> None:
        """Note that the policies on disk cannot be used."""
        self._reloads.labels("failure").inc()
        self._last_reload.set(0)

    def policy_resources_judged(self, good: int, bad: int) -> None:
        """Note how many policy resources are in force as they are, and how many are not."""
        self._policy_resources.labels("true").set(good)
        self._policy_resources.labels("false").set(bad)

    def render(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the format an ``Accept`` header asks for, and its content type."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self.registry), content_type


class SupervisorMetrics:
    """The metrics of the process that watches over several workers; theirs are merged with these."""

    def __init__(self, running: Callable[[], int]) -> None:
        """``running`` says how many workers there are now."""
        self.registry: Final = CollectorRegistry()
        workers = Gauge("gpuward_workers", "Server processes that run now.", registry=self.registry)
        workers.set_function(running)
        self.restarts: Final = Counter(
            "gpuward_worker_restarts",
            "Server processes replaced because they died or hung.",
            registry=self.registry,
        )


# Clusters have a few hundred kinds; the bound is for those that are made up.
@lru_cache(maxsize=1024)
def kind_label(kind: GroupVersionKind) -> str:
    """The kind as a label value."""
    return kind.kind if carries_pods(kind) or kind == NAMESPACE else "other"
