"""The check ``monitor-release-label``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from webhook.checks.wording import listed, short
from webhook.kube.names import label_key_problem
from webhook.policy.constraints import MinLen
from webhook.policy.findings import Severity, Violation
from webhook.policy.match import Names
from webhook.policy.rule import Context, ObjectCheck, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.object import Object


class MonitorReleaseLabel(ObjectCheck):
    """A ServiceMonitor or PodMonitor has the label by which Prometheus finds it.

    Why:
        The Prometheus operator's Prometheus selects monitors by label; the Helm chart kube-prometheus-stack selects
        those with release: NAME-OF-THE-RELEASE. A monitor without the label is accepted and scrapes nothing: the
        dashboards of a new model server stay empty, and its alerts never fire.

    Restricted fields:
        metadata.labels

    Allowed values:
        The label ``key`` is there, with one of ``values`` (globs); without ``values``, with any value but the empty
        one.

    Remediation:
        Add the label to metadata.labels of the monitor. The Prometheus resource says which it wants:
        kubectl get prometheus -A -o jsonpath='{..serviceMonitorSelector}'.

    Source:
        https://prometheus-operator.dev/docs/platform/troubleshooting/
        prometheus-operator pkg/apis/monitoring/v1/prometheus_types.go (ServiceMonitorSelector, PodMonitorSelector)
    """

    name = "monitor-release-label"
    title = "Monitors have the label by which Prometheus finds them"
    severity = Severity.LOW
    kinds = (("monitoring.coreos.com", "PodMonitor"), ("monitoring.coreos.com", "ServiceMonitor"))

    class Parameters(Strict, frozen=True):
        """Settings of ``monitor-release-label``."""

        key: Annotated[str, MinLen(1)] = "release"
        """The label's key."""
        values: tuple[Annotated[str, MinLen(1)], ...] = ()
        """The values of which it must have one, or globs over them (``prometheus-*``). Without it: any."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        if problem := label_key_problem(parameters.key):
            raise ParameterError(problem, "key")
        self._key = parameters.key
        self._values = Names(parameters.values)
        wanted = listed(parameters.values, "or") or "the name of the Prometheus release"
        self._advice = f"write {short(parameters.key)}: {wanted}"

    def __call__(self, obj: Object) -> Iterator[Violation]:
        value = obj.labels.get(self._key)
        path = ("metadata", "labels", self._key)
        if value is None:
            yield Violation(
                "release-label-missing",
                path,
                f'the label "{short(self._key)}" is missing, so Prometheus does not find the monitor; {self._advice}',
            )
        elif type(value) is not str or not value or not self._values.match(value):
            yield Violation(
                "release-label-value",
                path,
                f'Prometheus does not look for the label "{short(self._key)}" with the value "{short(value)}"; '
                f"{self._advice}",
            )
