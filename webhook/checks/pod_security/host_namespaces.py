"""The baseline control ``host-namespaces`` (``hostNamespaces`` in Kubernetes): a pod stays out of its node's network,
process and IPC namespaces.

Why:
    In the host's namespaces a pod can listen to the node's traffic, signal other pods' processes and read their
    shared memory.

Restricted fields:
    spec.hostNetwork
    spec.hostPID
    spec.hostIPC

Allowed values:
    Absent or false.

Versions:
    v1.0 and later.

Remediation:
    Remove the field. Reach pods through a Service; for more shared memory mount an emptyDir of medium Memory as
    /dev/shm.

Source:
    k8s.io/pod-security-admission policy/check_hostNamespaces.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Revision
from webhook.checks.pod_security.visitor import Visitor

_FIELDS: Final = (
    ("hostNetwork", "uses the node's network; remove hostNetwork, and use a Service"),
    ("hostPID", "sees every process of the node; remove hostPID"),
    (
        "hostIPC",
        "shares memory with the node; remove hostIPC, and mount an emptyDir of medium Memory as /dev/shm",
    ),
)


def _judge(visitor: Visitor) -> Iterator[Breach]:
    if visitor.judges_pod:
        pod = visitor.pod
        for field, message in _FIELDS:
            if pod.spec.get(field) is True:
                yield Breach(pod.field(field), f"the pod {message}")


CONTROL: Final = Control("host-namespaces", "hostNamespaces", "baseline", (Revision(0, _judge),))
