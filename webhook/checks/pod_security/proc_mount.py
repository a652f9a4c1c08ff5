"""The baseline control ``proc-mount`` (``procMount`` in Kubernetes): /proc is masked as container runtimes do it.

Why:
    Unmasked, /proc lets a container read and change settings of the node's kernel.

Restricted fields:
    spec.initContainers[*].securityContext.procMount
    spec.containers[*].securityContext.procMount
    spec.ephemeralContainers[*].securityContext.procMount

Allowed values:
    Absent or Default. Any value in a pod with hostUsers: false, from v1.35 on.

Versions:
    v1.0 and later; v1.35 lets pods in a user namespace unmask it, at level baseline: at level restricted
    ``proc-mount-restricted`` then takes its place.

Remediation:
    Remove the field.

Source:
    k8s.io/pod-security-admission policy/check_procMount_baseline.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Revision, unless_user_namespace
from webhook.checks.pod_security.visitor import Visitor
from webhook.checks.wording import container_called, short


def masked(visitor: Visitor) -> Iterator[Breach]:
    """Containers that do not leave /proc as it is by default."""
    for container in visitor.containers:
        if "procMount" in container.security_context:
            wanted = container.security_context["procMount"]
            if type(wanted) is str and wanted != "Default":
                yield Breach(
                    container.field("securityContext", "procMount"),
                    f"{container_called(container)} mounts /proc {short(wanted) or 'in an unknown way'}, which lays "
                    "the node's kernel open; remove procMount",
                )


CONTROL: Final = Control(
    "proc-mount", "procMount", "baseline", (Revision(0, masked), Revision(35, unless_user_namespace(masked)))
)
