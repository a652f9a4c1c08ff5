"""The restricted control ``allow-privilege-escalation`` (``allowPrivilegeEscalation`` in Kubernetes): no process gains
more rights than the container started with.

Why:
    Programs like sudo, whose file belongs to root and says so, otherwise make any user of the container root.

Restricted fields:
    spec.initContainers[*].securityContext.allowPrivilegeEscalation
    spec.containers[*].securityContext.allowPrivilegeEscalation
    spec.ephemeralContainers[*].securityContext.allowPrivilegeEscalation

Allowed values:
    false. Pods for Windows are left out from v1.25 on.

Versions:
    v1.8 and later; v1.25 leaves out Windows.

Remediation:
    Write allowPrivilegeEscalation: false in every container's securityContext.

Source:
    k8s.io/pod-security-admission policy/check_allowPrivilegeEscalation.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Revision, unless_windows
from webhook.checks.pod_security.visitor import Visitor
from webhook.checks.wording import container_called


def _judge(visitor: Visitor) -> Iterator[Breach]:
    for container in visitor.containers:
        if container.security_context.get("allowPrivilegeEscalation") is not False:
            yield Breach(
                container.field("securityContext", "allowPrivilegeEscalation"),
                f"{container_called(container)} may gain more rights than it starts with; write "
                "allowPrivilegeEscalation: false in its securityContext",
            )


CONTROL: Final = Control(
    "allow-privilege-escalation",
    "allowPrivilegeEscalation",
    "restricted",
    (Revision(8, _judge), Revision(25, unless_windows(_judge))),
)
