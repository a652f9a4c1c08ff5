"""The check ``no-host-namespaces``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from webhook.policy.findings import Severity, Violation
from webhook.policy.rule import Check

if TYPE_CHECKING:
    from webhook.kube.pod import Pod

# Field, reason, and what the field gives the pod and what to use in its place.
_FIELDS: Final = (
    (
        "hostNetwork",
        "host-network",
        "the pod uses the node's network, past every network policy; remove hostNetwork, and use a Service",
    ),
    (
        "hostPID",
        "host-pid",
        "the pod sees the processes of the node and of other pods; remove hostPID",
    ),
    (
        "hostIPC",
        "host-ipc",
        "the pod shares memory with the node; remove hostIPC, and mount a Memory emptyDir as /dev/shm",
    ),
)


class NoHostNamespaces(Check):
    """A pod does not use the network, process or IPC namespace of its node.

    Why:
        In the host's namespaces a pod can listen to the node's traffic, signal other pods' processes and read
        their shared memory. Data loaders that run out of shared memory need a larger /dev/shm, not hostIPC.

    Restricted fields:
        spec.hostNetwork
        spec.hostPID
        spec.hostIPC

    Allowed values:
        Absent or false.

    Remediation:
        Remove the field. For a larger /dev/shm mount an emptyDir with medium: Memory there.

    Source:
        https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline
        k8s.io/pod-security-admission policy/check_hostNamespaces.go
    """

    name = "no-host-namespaces"
    title = "Pods stay out of the host's namespaces"
    severity = Severity.HIGH

    def __call__(self, pod: Pod) -> Iterator[Violation]:
        spec = pod.spec
        for field, reason, message in _FIELDS:
            if field in spec and spec[field] is True:
                yield Violation(reason, pod.field(field), message)
