"""The restricted control ``seccomp-profile-restricted`` (``seccompProfile_restricted`` in Kubernetes): every container
runs with a seccomp profile.

Why:
    Without a profile Kubernetes leaves all system calls open, unless the node's kubelet is set to do otherwise.

Restricted fields:
    spec.securityContext.seccompProfile.type
    spec.initContainers[*].securityContext.seccompProfile.type
    spec.containers[*].securityContext.seccompProfile.type
    spec.ephemeralContainers[*].securityContext.seccompProfile.type

Allowed values:
    RuntimeDefault or Localhost, set in the pod, or in every container that would not have the pod's. Pods for
    Windows are left out from v1.25 on.

Versions:
    v1.19 and later, in place of ``seccomp-profile-baseline``; v1.25 leaves out Windows.

Remediation:
    Write seccompProfile: {type: RuntimeDefault} in the pod's securityContext.

Source:
    k8s.io/pod-security-admission policy/check_seccompProfile_restricted.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Revision, unless_windows
from webhook.checks.pod_security.seccomp_profile_baseline import is_confined, profile_of, unconfined
from webhook.checks.pod_security.visitor import Visitor
from webhook.checks.wording import container_called


def _judge(visitor: Visitor) -> Iterator[Breach]:
    pod_profile = profile_of(visitor.pod.security_context)
    confined = pod_profile is not None and is_confined(pod_profile)
    if pod_profile is not None and not confined and visitor.judges_pod:
        yield unconfined(visitor.pod, pod_profile)
    for container in visitor.containers:
        profile = profile_of(container.security_context)
        if profile is not None:
            if not is_confined(profile):
                yield unconfined(container, profile)
        elif not confined:
            yield Breach(
                container.field("securityContext", "seccompProfile"),
                f"{container_called(container)} has no seccomp profile; write seccompProfile: {{type: RuntimeDefault}} "
                "in the securityContext of the pod, or of the container",
            )


CONTROL: Final = Control(
    "seccomp-profile-restricted",
    "seccompProfile_restricted",
    "restricted",
    (Revision(19, _judge), Revision(25, unless_windows(_judge))),
    replaces="seccomp-profile-baseline",
)
