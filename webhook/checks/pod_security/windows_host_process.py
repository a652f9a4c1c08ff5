"""The baseline control ``windows-host-process`` (``windowsHostProcess`` in Kubernetes): no Windows container runs as
a process of its node.

Why:
    A HostProcess container is administrator on the node: the privileged container of Windows.

Restricted fields:
    spec.securityContext.windowsOptions.hostProcess
    spec.initContainers[*].securityContext.windowsOptions.hostProcess
    spec.containers[*].securityContext.windowsOptions.hostProcess
    spec.ephemeralContainers[*].securityContext.windowsOptions.hostProcess

Allowed values:
    Absent or false.

Versions:
    v1.0 and later.

Remediation:
    Remove the field.

Source:
    k8s.io/pod-security-admission policy/check_windowsHostProcess.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Revision
from webhook.checks.pod_security.visitor import Visitor, called
from webhook.kube.shape import mapping


def _judge(visitor: Visitor) -> Iterator[Breach]:
    for holder, context in visitor.contexts:
        if "windowsOptions" in context and mapping(context, "windowsOptions").get("hostProcess") is True:
            yield Breach(
                holder.field("securityContext", "windowsOptions", "hostProcess"),
                f"{called(holder)} runs as HostProcess, which is administrator on the node; remove hostProcess",
            )


CONTROL: Final = Control("windows-host-process", "windowsHostProcess", "baseline", (Revision(0, _judge),))
