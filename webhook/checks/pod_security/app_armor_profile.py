"""The baseline control ``app-armor-profile`` (``appArmorProfile`` in Kubernetes): AppArmor is not switched off.

Why:
    On nodes with AppArmor the runtime's profile keeps containers from parts of the kernel. Without one nothing does.

Restricted fields:
    metadata.annotations[*]
    spec.securityContext.appArmorProfile.type
    spec.initContainers[*].securityContext.appArmorProfile.type
    spec.containers[*].securityContext.appArmorProfile.type
    spec.ephemeralContainers[*].securityContext.appArmorProfile.type

Allowed values:
    For the field absent, RuntimeDefault or Localhost. For annotations
    container.apparmor.security.beta.kubernetes.io/NAME, whatever container they name: empty, runtime/default or
    localhost/PROFILE.

Versions:
    v1.0 and later. The field is newer (Kubernetes v1.30) and judged at every version.

Remediation:
    Remove the profile, or use RuntimeDefault.

Source:
    k8s.io/pod-security-admission policy/check_appArmorProfile.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Revision
from webhook.checks.pod_security.visitor import Visitor, called
from webhook.checks.wording import short
from webhook.kube.shape import mapping

_ANNOTATION: Final = "container.apparmor.security.beta.kubernetes.io/"


def _judge(visitor: Visitor) -> Iterator[Breach]:
    for holder, context in visitor.contexts:
        profile = context.get("appArmorProfile")
        if type(profile) is dict and profile.get("type") not in ("RuntimeDefault", "Localhost"):
            yield Breach(
                holder.field("securityContext", "appArmorProfile", "type"),
                f"{called(holder)} runs with {_named(profile.get('type'))}; write "
                "appArmorProfile: {type: RuntimeDefault}, or remove it",
            )
    if "annotations" in visitor.pod.metadata:
        yield from _judge_annotations(visitor)


def _named(kind: object) -> str:
    return f"the AppArmor profile {short(kind)}" if kind else "an AppArmor profile without a type"


def _judge_annotations(visitor: Visitor) -> Iterator[Breach]:
    pod = visitor.pod
    for key, value in mapping(pod.metadata, "annotations").items():
        if not key.startswith(_ANNOTATION) or type(value) is not str:
            continue
        container = key.removeprefix(_ANNOTATION)
        allowed = value in ("", "runtime/default") or value.startswith("localhost/")
        # What names no container of the pod is the pod's own.
        if not allowed and visitor.judges_pod and container not in visitor.exempt_names:
            yield Breach(
                pod.meta("annotations", key),
                f'an annotation sets the AppArmor profile of container "{short(container)}" to {short(value)}; remove '
                "the annotation",
            )


CONTROL: Final = Control("app-armor-profile", "appArmorProfile", "baseline", (Revision(0, _judge),))
