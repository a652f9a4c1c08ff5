"""The restricted control ``run-as-user`` (``runAsUser`` in Kubernetes): no container is started as user 0.

Why:
    User 0 is root, whatever runAsNonRoot says.

Restricted fields:
    spec.hostUsers
    spec.securityContext.runAsUser
    spec.initContainers[*].securityContext.runAsUser
    spec.containers[*].securityContext.runAsUser
    spec.ephemeralContainers[*].securityContext.runAsUser

Allowed values:
    Absent or any number but 0. Anything in a pod with hostUsers: false, from v1.35 on.

Versions:
    v1.23 and later; v1.35 leaves out pods in a user namespace.

Remediation:
    Remove the field, or write the number of a user that the image is made for, such as 1000.

Source:
    k8s.io/pod-security-admission policy/check_runAsUser.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Revision, unless_user_namespace
from webhook.checks.pod_security.visitor import Visitor, called


def _judge(visitor: Visitor) -> Iterator[Breach]:
    for holder, context in visitor.contexts:
        user = context.get("runAsUser")
        if user == 0 and type(user) is int:
            yield Breach(
                holder.field("securityContext", "runAsUser"),
                f"{called(holder)} runs as user 0, which is root; remove runAsUser, or write the number of another "
                "user, such as 1000",
            )


CONTROL: Final = Control(
    "run-as-user",
    "runAsUser",
    "restricted",
    (Revision(23, _judge), Revision(35, unless_user_namespace(_judge))),
)
