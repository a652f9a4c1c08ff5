"""The baseline control ``capabilities-baseline`` (``capabilities_baseline`` in Kubernetes): a container adds no Linux
capability that containers do not have by default.

Why:
    Each capability is one of root's powers; those beyond the default reach past the container.

Restricted fields:
    spec.initContainers[*].securityContext.capabilities.add
    spec.containers[*].securityContext.capabilities.add
    spec.ephemeralContainers[*].securityContext.capabilities.add

Allowed values:
    Absent, or a list of AUDIT_WRITE, CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, MKNOD, NET_BIND_SERVICE, SETFCAP,
    SETGID, SETPCAP, SETUID and SYS_CHROOT, written exactly so: without CAP_, in upper case.

Versions:
    v1.0 and later. At level restricted ``capabilities-restricted`` takes its place from v1.22 on.

Remediation:
    Remove the capability. Note that IPC_LOCK, which RDMA needs, is not allowed: exempt the images that use it.

Source:
    k8s.io/pod-security-admission policy/check_capabilities_baseline.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Revision
from webhook.checks.pod_security.visitor import Visitor
from webhook.checks.wording import container_called, listed, plural
from webhook.kube.shape import mapping, strings

# What container runtimes give by default, but NET_RAW: with it a container can forge packets.
_ALLOWED: Final = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)


def _judge(visitor: Visitor) -> Iterator[Breach]:
    for container in visitor.containers:
        if "capabilities" not in container.security_context:
            continue
        added = strings(mapping(container.security_context, "capabilities"), "add")
        forbidden = [capability for capability in added if capability not in _ALLOWED]
        if forbidden:
            known = [plain for name in forbidden if (plain := _plain(name)) in _ALLOWED]
            advice = (
                f"write {listed(known)}"
                if len(known) == len(forbidden)
                else "remove " + plural(forbidden, "it", "them")
            )
            yield Breach(
                container.field("securityContext", "capabilities", "add"),
                f"{container_called(container)} adds the {plural(forbidden, 'capability', 'capabilities')} "
                f"{listed(forbidden)}, which containers do not have by default; {advice}",
            )


def _plain(capability: str) -> str:
    """The name as Kubernetes writes it, for those who wrote CAP_CHOWN or chown."""
    return capability.upper().removeprefix("CAP_")


CONTROL: Final = Control("capabilities-baseline", "capabilities_baseline", "baseline", (Revision(0, _judge),))
