"""The check ``pod-security``: one file a control, put together in ``registry``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from webhook.checks.pod_security.control import ControlId, Level, parse_version
from webhook.checks.pod_security.exemptions import ExemptImages
from webhook.checks.pod_security.registry import CONTROLS, controls_at
from webhook.checks.pod_security.visitor import Visitor
from webhook.policy.constraints import MinLen
from webhook.policy.findings import Severity, Violation
from webhook.policy.rule import Check, Context, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.pod import Pod


class Exemption(Strict, frozen=True):
    """Containers that one control does not judge."""

    control: ControlId
    """The control, by the name that its findings have as their reason."""
    images: Annotated[tuple[str, ...], MinLen(1)]
    """Images of the containers, as full names with ``*`` and ``?``: ``nvcr.io/nvidia/k8s/*``. A name without a tag
    stands for every tag; a star in the registry's host stays within the host. ``*`` alone is every container. The
    pod's own fields are left out where all its containers are exempt."""


class PodSecurity(Check):
    """A pod keeps to a level of Kubernetes' Pod Security Standards.

    Why:
        The standards are what Kubernetes itself considers safe: ``baseline`` closes the known ways from a container
        to its node and breaks few workloads, ``restricted`` is good practice for all that needs no special rights,
        as training and serving do. Unlike Kubernetes' own admission, this names every field and its remedy, holds for
        the templates of all workloads, and can exempt images from single controls.

    Restricted fields:
        metadata.annotations[*]
        spec.hostIPC
        spec.hostNetwork
        spec.hostPID
        spec.hostUsers
        spec.volumes[*]
        spec.securityContext
        spec.initContainers[*].securityContext
        spec.initContainers[*].ports[*].hostPort
        spec.initContainers[*].livenessProbe
        spec.initContainers[*].readinessProbe
        spec.initContainers[*].startupProbe
        spec.initContainers[*].lifecycle
        spec.containers[*].securityContext
        spec.containers[*].ports[*].hostPort
        spec.containers[*].livenessProbe
        spec.containers[*].readinessProbe
        spec.containers[*].startupProbe
        spec.containers[*].lifecycle
        spec.ephemeralContainers[*].securityContext
        spec.ephemeralContainers[*].ports[*].hostPort
        spec.ephemeralContainers[*].livenessProbe
        spec.ephemeralContainers[*].readinessProbe
        spec.ephemeralContainers[*].startupProbe
        spec.ephemeralContainers[*].lifecycle

    Allowed values:
        What the level's controls allow at ``version``. The reason of a finding is the control, named as Kubernetes
        names its checks, in kebab case. ``baseline`` has these:

        - app-armor-profile (appArmorProfile), since v1.0: the runtime's AppArmor profile, or one of the node's
        - capabilities-baseline (capabilities_baseline), since v1.0: no capability added beyond the default ones
        - host-namespaces (hostNamespaces), since v1.0: no hostNetwork, hostPID or hostIPC
        - host-path-volumes (hostPathVolumes), since v1.0: no hostPath volume
        - host-ports (hostPorts), since v1.0: no hostPort
        - host-probes-and-host-lifecycle (hostProbesAndHostLifecycle), since v1.34: no host in probes and hooks
        - privileged (privileged), since v1.0: no privileged container
        - proc-mount (procMount), since v1.0: /proc masked; v1.35: unless hostUsers is false
        - se-linux-options (seLinuxOptions), since v1.0: the usual SELinux types; v1.31: container_engine_t too
        - seccomp-profile-baseline (seccompProfile_baseline), since v1.0: seccomp not switched off, by annotation;
          v1.19: by field
        - sysctls (sysctls), since v1.0: safe sysctls only; v1.27, v1.29, v1.32 and v1.37 each know more
        - windows-host-process (windowsHostProcess), since v1.0: no HostProcess container

        ``restricted`` has these as well, four of them in place of a baseline control:

        - allow-privilege-escalation (allowPrivilegeEscalation), since v1.8: allowPrivilegeEscalation is false; v1.25:
          but for Windows
        - capabilities-restricted (capabilities_restricted), since v1.22: ALL capabilities dropped, none added but
          NET_BIND_SERVICE, in place of capabilities-baseline; v1.25: but for Windows
        - proc-mount-restricted (procMount_restricted), since v1.35: /proc masked always, in place of proc-mount
        - restricted-volumes (restrictedVolumes), since v1.0: configMap, csi, downwardAPI, emptyDir, ephemeral, image,
          persistentVolumeClaim, projected and secret volumes, in place of host-path-volumes
        - run-as-non-root (runAsNonRoot), since v1.0: runAsNonRoot is true; v1.35: unless hostUsers is false
        - run-as-user (runAsUser), since v1.23: runAsUser is not 0; v1.35: unless hostUsers is false
        - seccomp-profile-restricted (seccompProfile_restricted), since v1.19: a seccomp profile everywhere, in place
          of seccomp-profile-baseline; v1.25: but for Windows

    Remediation:
        For restricted, write in the pod's securityContext runAsNonRoot: true and seccompProfile: {type:
        RuntimeDefault}, and in every container's allowPrivilegeEscalation: false and capabilities: {drop: [ALL]}; the
        mutation security-context-defaults writes them for you. For all else, remove the field that is named.

    Source:
        https://kubernetes.io/docs/concepts/security/pod-security-standards/
        k8s.io/pod-security-admission policy/registry.go, policy/check_*.go
    """

    name = "pod-security"
    title = "Pods keep to the Pod Security Standards"
    severity = Severity.HIGH

    class Parameters(Strict, frozen=True):
        """Settings of ``pod-security``."""

        level: Level
        """How strict: ``baseline`` or ``restricted``."""
        version: str = "latest"
        """The Kubernetes version whose standards hold, from ``v1.0`` to ``v1.37``, or ``latest``."""
        exempt: tuple[Exemption, ...] = ()
        """Images that single controls leave out."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        try:
            minor = parse_version(parameters.version)
        except ValueError as error:
            raise ParameterError(str(error), "version") from None
        images: dict[ControlId, list[str]] = {}
        judged = {control.id for control, _ in controls_at(parameters.level, minor)}
        for i, exemption in enumerate(parameters.exempt):
            if exemption.control not in judged:
                message = f'"{exemption.control}" {_why_not(exemption.control, minor)}'
                raise ParameterError(message, f"exempt[{i}].control")
            for j, image in enumerate(exemption.images):
                try:
                    ExemptImages([image])
                except ValueError as error:
                    raise ParameterError(str(error), f"exempt[{i}].images[{j}]") from None
            images.setdefault(exemption.control, []).extend(exemption.images)
        self._controls = tuple(
            (control.id, judge, ExemptImages(images[control.id]) if control.id in images else None)
            for control, judge in controls_at(parameters.level, minor)
        )

    def __call__(self, pod: Pod) -> Iterator[Violation]:
        whole = Visitor(pod)
        for control, judge, exempt in self._controls:
            for path, message in judge(whole if exempt is None else exempt.visitor(pod)):
                yield Violation(control, path, message)


def _why_not(name: ControlId, minor: int) -> str:
    """Why a control that is not judged at the level and version is not: an exemption from it would do nothing."""
    control = next(control for control in CONTROLS if control.id == name)
    if control.since > minor:
        return f"is part of the standards since v1.{control.since} only"
    if control.level == "restricted":
        return "is a control of level restricted"
    instead = next(other.id for other in CONTROLS if other.replaces == name)
    return f'is not judged at level restricted; "{instead}" takes its place'
