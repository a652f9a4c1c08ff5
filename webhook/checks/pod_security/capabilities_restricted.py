"""The restricted control ``capabilities-restricted`` (``capabilities_restricted`` in Kubernetes): every container drops
all Linux capabilities, and adds none but NET_BIND_SERVICE.

Why:
    A container has 14 of root's powers by default. Training and serving use none of them, whoever breaks into the
    container all.

Restricted fields:
    spec.initContainers[*].securityContext.capabilities.drop
    spec.initContainers[*].securityContext.capabilities.add
    spec.containers[*].securityContext.capabilities.drop
    spec.containers[*].securityContext.capabilities.add
    spec.ephemeralContainers[*].securityContext.capabilities.drop
    spec.ephemeralContainers[*].securityContext.capabilities.add

Allowed values:
    ``drop`` holds ALL; ``add`` is absent, empty or holds only NET_BIND_SERVICE. Pods for Windows are left out from
    v1.25 on.

Versions:
    v1.22 and later, in place of ``capabilities-baseline``; v1.25 leaves out Windows.

Remediation:
    Write capabilities: {drop: [ALL]} in every container's securityContext.

Source:
    k8s.io/pod-security-admission policy/check_capabilities_restricted.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Revision, unless_windows
from webhook.checks.pod_security.visitor import Visitor
from webhook.checks.wording import container_called, listed, plural
from webhook.kube.shape import mapping, strings

_ALLOWED: Final = "NET_BIND_SERVICE"


def _judge(visitor: Visitor) -> Iterator[Breach]:
    for container in visitor.containers:
        capabilities = mapping(container.security_context, "capabilities")
        drop = capabilities.get("drop")
        if type(drop) is not list or "ALL" not in drop:
            yield Breach(
                container.field("securityContext", "capabilities", "drop"),
                f"{container_called(container)} keeps Linux capabilities it does not need; write "
                "capabilities: {drop: [ALL]} in its securityContext",
            )
        if "add" in capabilities:
            forbidden = [name for name in strings(capabilities, "add") if name != _ALLOWED]
            if forbidden:
                yield Breach(
                    container.field("securityContext", "capabilities", "add"),
                    f"{container_called(container)} adds the {plural(forbidden, 'capability', 'capabilities')} "
                    f"{listed(forbidden)}; remove {plural(forbidden, 'it', 'them')}: only {_ALLOWED} may be added",
                )


CONTROL: Final = Control(
    "capabilities-restricted",
    "capabilities_restricted",
    "restricted",
    (Revision(22, _judge), Revision(25, unless_windows(_judge))),
    replaces="capabilities-baseline",
)
