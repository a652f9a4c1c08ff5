"""The baseline control ``se-linux-options`` (``seLinuxOptions`` in Kubernetes): SELinux confines containers as it does
by default.

Why:
    Another type, user or role can put a container outside of what SELinux keeps from the node.

Restricted fields:
    spec.securityContext.seLinuxOptions.type
    spec.securityContext.seLinuxOptions.user
    spec.securityContext.seLinuxOptions.role
    spec.initContainers[*].securityContext.seLinuxOptions.type
    spec.initContainers[*].securityContext.seLinuxOptions.user
    spec.initContainers[*].securityContext.seLinuxOptions.role
    spec.containers[*].securityContext.seLinuxOptions.type
    spec.containers[*].securityContext.seLinuxOptions.user
    spec.containers[*].securityContext.seLinuxOptions.role
    spec.ephemeralContainers[*].securityContext.seLinuxOptions.type
    spec.ephemeralContainers[*].securityContext.seLinuxOptions.user
    spec.ephemeralContainers[*].securityContext.seLinuxOptions.role

Allowed values:
    For type absent, empty, container_t, container_init_t, container_kvm_t and, from v1.31 on, container_engine_t.
    For user and role absent or empty.

Versions:
    v1.0 and later; v1.31 adds container_engine_t.

Remediation:
    Remove the field. The level, which keeps volumes of different pods apart, may be set.

Source:
    k8s.io/pod-security-admission policy/check_seLinuxOptions.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Judge, Revision
from webhook.checks.pod_security.visitor import Visitor, called
from webhook.checks.wording import listed, short
from webhook.kube.shape import mapping, text


def _allowing(*types: str) -> Judge:
    def judge(visitor: Visitor) -> Iterator[Breach]:
        for holder, context in visitor.contexts:
            if "seLinuxOptions" not in context:
                continue
            options = mapping(context, "seLinuxOptions")
            kind = text(options, "type")
            if kind and kind not in types:
                yield Breach(
                    holder.field("securityContext", "seLinuxOptions", "type"),
                    f"{called(holder)} sets the SELinux type {short(kind)}; remove it, or use {listed(types, 'or')}",
                )
            for field in ("user", "role"):
                value = text(options, field)
                if value:
                    yield Breach(
                        holder.field("securityContext", "seLinuxOptions", field),
                        f"{called(holder)} sets the SELinux {field} {short(value)}; remove it",
                    )

    return judge


_TYPES: Final = ("container_t", "container_init_t", "container_kvm_t")

CONTROL: Final = Control(
    "se-linux-options",
    "seLinuxOptions",
    "baseline",
    (Revision(0, _allowing(*_TYPES)), Revision(31, _allowing(*_TYPES, "container_engine_t"))),
)
