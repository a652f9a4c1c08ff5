"""The baseline control ``host-ports`` (``hostPorts`` in Kubernetes): no container takes a port of its node.

Why:
    A port of the node is reached past network policies, and lets one such pod run on each node.

Restricted fields:
    spec.initContainers[*].ports[*].hostPort
    spec.containers[*].ports[*].hostPort
    spec.ephemeralContainers[*].ports[*].hostPort

Allowed values:
    Absent or 0.

Versions:
    v1.0 and later.

Remediation:
    Remove hostPort, and reach the pod through a Service.

Source:
    k8s.io/pod-security-admission policy/check_hostPorts.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Revision
from webhook.checks.pod_security.visitor import Visitor
from webhook.checks.wording import container_called, short
from webhook.kube.shape import indexed


def _judge(visitor: Visitor) -> Iterator[Breach]:
    for container in visitor.containers:
        if "ports" in container.raw:
            for index, port in indexed(container.raw, "ports"):
                taken = port.get("hostPort")
                if type(taken) is int and taken != 0:
                    yield Breach(
                        container.field("ports", index, "hostPort"),
                        f"{container_called(container)} takes port {short(taken)} of the node; remove hostPort, and "
                        "reach the pod through a Service",
                    )


CONTROL: Final = Control("host-ports", "hostPorts", "baseline", (Revision(0, _judge),))
