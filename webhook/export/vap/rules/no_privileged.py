"""The check ``no-privileged`` in CEL."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.checks.no_privileged import NoPrivileged
from webhook.export.vap.parts import Demand, Target

_HOST_PROCESS = ".?securityContext.?windowsOptions.?hostProcess.orValue(false) == true"


def translate(_check: NoPrivileged, _target: Target) -> Iterator[Demand]:
    """Privileged containers, and HostProcess in pods and containers."""
    yield Demand(
        "privileged",
        "containers",
        "variables.judged.filter(c, c.?securityContext.?privileged.orValue(false) == true).map(c, c.name)",
        "privileged containers, which are root on the node",
        "remove privileged, and request devices such as GPUs in resources.limits",
    )
    yield Demand(
        "hostProcess",
        "containers",
        f"variables.judged.filter(c, c{_HOST_PROCESS}).map(c, c.name)",
        "containers that run as HostProcess, which is administrator on the node",
        "remove hostProcess",
    )
    yield Demand(
        "podHostProcess",
        "spec",
        f"['spec.securityContext.windowsOptions.hostProcess'].filter(f, variables.spec{_HOST_PROCESS})",
        "the pod runs as HostProcess, which is administrator on the node",
        "remove hostProcess",
    )
