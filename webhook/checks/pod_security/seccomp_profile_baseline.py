"""The baseline control ``seccomp-profile-baseline`` (``seccompProfile_baseline`` in Kubernetes): seccomp is not
switched off.

Why:
    A seccomp profile keeps containers from system calls they do not need, where most ways out of a container begin.

Restricted fields:
    metadata.annotations[*]
    spec.securityContext.seccompProfile.type
    spec.initContainers[*].securityContext.seccompProfile.type
    spec.containers[*].securityContext.seccompProfile.type
    spec.ephemeralContainers[*].securityContext.seccompProfile.type

Allowed values:
    For the field absent, RuntimeDefault or Localhost. Before v1.19 it is the annotations that are judged,
    seccomp.security.alpha.kubernetes.io/pod and container.seccomp.security.alpha.kubernetes.io/NAME: absent,
    runtime/default, docker/default or localhost/PROFILE.

Versions:
    v1.0 to v1.18 look at the annotations, v1.19 and later at the fields. At level restricted
    ``seccomp-profile-restricted`` takes its place from v1.19 on.

Remediation:
    Remove the profile, or use RuntimeDefault.

Source:
    k8s.io/pod-security-admission policy/check_seccompProfile_baseline.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from webhook.checks.pod_security.control import Breach, Control, Revision
from webhook.checks.pod_security.visitor import Holder, Visitor, called
from webhook.checks.wording import short
from webhook.kube.shape import JSONObject, text

_ON_POD: Final = "seccomp.security.alpha.kubernetes.io/pod"
_ON_CONTAINER: Final = "container.seccomp.security.alpha.kubernetes.io/"


def profile_of(context: JSONObject) -> JSONObject | None:
    """The seccomp profile that a securityContext sets, None where it sets none."""
    profile: Any = context.get("seccompProfile")
    return profile if type(profile) is dict else None


def is_confined(profile: JSONObject) -> bool:
    """Whether a profile confines anything: the runtime's, or one of the node's."""
    return profile.get("type") in ("RuntimeDefault", "Localhost")


def unconfined(holder: Holder, profile: JSONObject) -> Breach:
    """What to say of a profile that does not."""
    kind = profile.get("type")
    named = f"the seccomp profile {short(kind)}" if kind else "a seccomp profile without a type"
    return Breach(
        holder.field("securityContext", "seccompProfile", "type"),
        f"{called(holder)} runs with {named}; write seccompProfile: {{type: RuntimeDefault}}",
    )


def _judge_annotations(visitor: Visitor) -> Iterator[Breach]:
    pod = visitor.pod
    if "annotations" not in pod.metadata:
        return
    keys = [_ON_POD] if visitor.judges_pod else []
    keys += [_ON_CONTAINER + text(container.raw, "name") for container in visitor.containers]
    for key in keys:
        value = pod.annotations.get(key)
        allowed = ("runtime/default", "docker/default")
        if type(value) is str and value not in allowed and not value.startswith("localhost/"):
            yield Breach(
                pod.meta("annotations", key),
                f'an annotation sets the seccomp profile to "{short(value)}"; write runtime/default',
            )


def _judge_fields(visitor: Visitor) -> Iterator[Breach]:
    for holder, context in visitor.contexts:
        profile = profile_of(context)
        if profile is not None and not is_confined(profile):
            yield unconfined(holder, profile)


CONTROL: Final = Control(
    "seccomp-profile-baseline",
    "seccompProfile_baseline",
    "baseline",
    (Revision(0, _judge_annotations), Revision(19, _judge_fields)),
)
