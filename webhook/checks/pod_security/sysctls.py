"""The baseline control ``sysctls`` (``sysctls`` in Kubernetes): a pod sets only kernel parameters that are its own.

Why:
    Most kernel parameters belong to the node: one pod's setting changes all others, or switches off a protection.

Restricted fields:
    spec.securityContext.sysctls[*].name

Allowed values:
    kernel.shm_rmid_forced, net.ipv4.ip_local_port_range, net.ipv4.ip_unprivileged_port_start,
    net.ipv4.ping_group_range, net.ipv4.tcp_syncookies;
    from v1.27 on net.ipv4.ip_local_reserved_ports;
    from v1.29 on net.ipv4.tcp_fin_timeout, net.ipv4.tcp_keepalive_intvl, net.ipv4.tcp_keepalive_probes,
    net.ipv4.tcp_keepalive_time;
    from v1.32 on net.ipv4.tcp_rmem, net.ipv4.tcp_wmem;
    from v1.37 on net.ipv4.tcp_notsent_lowat, net.ipv4.tcp_slow_start_after_idle.

Versions:
    v1.0 and later; v1.27, v1.29, v1.32 and v1.37 each allow more.

Remediation:
    Remove the sysctl, or have the nodes of the pool configured with it.

Source:
    k8s.io/pod-security-admission policy/check_sysctls.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Judge, Revision
from webhook.checks.pod_security.visitor import Visitor
from webhook.checks.wording import short
from webhook.kube.shape import indexed, text

# The first version that allows them, and what it adds.
_ALLOWED: Final = {
    0: {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_syncookies",
    },
    27: {"net.ipv4.ip_local_reserved_ports"},
    29: {
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
    },
    32: {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"},
    37: {"net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_slow_start_after_idle"},
}


def _allowing(names: frozenset[str]) -> Judge:
    def judge(visitor: Visitor) -> Iterator[Breach]:
        pod = visitor.pod
        if not visitor.judges_pod or "sysctls" not in pod.security_context:
            return
        for index, sysctl in indexed(pod.security_context, "sysctls"):
            name = text(sysctl, "name")
            if name not in names:
                yield Breach(
                    pod.field("securityContext", "sysctls", index, "name"),
                    f"the pod sets the kernel parameter {short(name) or 'without a name'}, which is not safe to set "
                    "for one pod; remove it, or ask for nodes that have it set",
                )

    return judge


def _revision(since: int) -> Revision:
    names = [name for version, added in _ALLOWED.items() if version <= since for name in added]
    return Revision(since, _allowing(frozenset(names)))


CONTROL: Final = Control("sysctls", "sysctls", "baseline", tuple(map(_revision, _ALLOWED)))
