"""The baseline control ``privileged`` (``privileged`` in Kubernetes): no container is privileged.

Why:
    A privileged container is root on the node: nearly all that keeps containers apart is switched off for it.

Restricted fields:
    spec.initContainers[*].securityContext.privileged
    spec.containers[*].securityContext.privileged
    spec.ephemeralContainers[*].securityContext.privileged

Allowed values:
    Absent or false.

Versions:
    v1.0 and later.

Remediation:
    Remove the field. A GPU is requested under resources.limits, and the device plugin hands it over.

Source:
    k8s.io/pod-security-admission policy/check_privileged.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Revision
from webhook.checks.pod_security.visitor import Visitor
from webhook.checks.wording import container_called


def _judge(visitor: Visitor) -> Iterator[Breach]:
    for container in visitor.containers:
        if container.security_context.get("privileged") is True:
            yield Breach(
                container.field("securityContext", "privileged"),
                f"{container_called(container)} is privileged, which is root on the node; remove privileged, and "
                "request devices such as GPUs in resources.limits",
            )


CONTROL: Final = Control("privileged", "privileged", "baseline", (Revision(0, _judge),))
