"""The restricted control ``run-as-non-root`` (``runAsNonRoot`` in Kubernetes): Kubernetes is told to start no container
as root.

Why:
    Root in a container is root on the node once it finds a way out, unless the pod has a user namespace of its own.

Restricted fields:
    spec.hostUsers
    spec.securityContext.runAsNonRoot
    spec.initContainers[*].securityContext.runAsNonRoot
    spec.containers[*].securityContext.runAsNonRoot
    spec.ephemeralContainers[*].securityContext.runAsNonRoot

Allowed values:
    true, set in the pod, or in every container; false nowhere. Anything in a pod with hostUsers: false, from v1.35 on.

Versions:
    v1.0 and later; v1.35 leaves out pods in a user namespace.

Remediation:
    Write runAsNonRoot: true in the pod's securityContext. Where the image's user is root, add runAsUser with a number
    its files are readable for, such as 1000.

Source:
    k8s.io/pod-security-admission policy/check_runAsNonRoot.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Revision, unless_user_namespace
from webhook.checks.pod_security.visitor import Holder, Visitor, called


def _judge(visitor: Visitor) -> Iterator[Breach]:
    for_pod = visitor.pod.security_context.get("runAsNonRoot")
    if for_pod is False and visitor.judges_pod:
        yield _breach(visitor.pod, "lets its containers run as root; write runAsNonRoot: true")
    for container in visitor.containers:
        own = container.security_context.get("runAsNonRoot")
        if own is False:
            yield _breach(container, "is let run as root; write runAsNonRoot: true")
        elif own is not True and for_pod is not True:
            yield _breach(
                container,
                "may run as root; write runAsNonRoot: true in the securityContext of the pod or the container, and "
                "runAsUser: 1000 if the image's user is root",
            )


def _breach(holder: Holder, what: str) -> Breach:
    return Breach(holder.field("securityContext", "runAsNonRoot"), f"{called(holder)} {what}")


CONTROL: Final = Control(
    "run-as-non-root",
    "runAsNonRoot",
    "restricted",
    (Revision(0, _judge), Revision(35, unless_user_namespace(_judge))),
)
