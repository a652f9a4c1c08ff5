"""The check ``no-privileged``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from webhook.checks.wording import container_called
from webhook.kube.shape import mapping
from webhook.policy.findings import Severity, Violation
from webhook.policy.rule import Check

if TYPE_CHECKING:
    from webhook.kube.pod import Pod


class NoPrivileged(Check):
    """No container is privileged, nor a Windows HostProcess container.

    Why:
        A privileged container is root on the node: it sees every accelerator and every other pod's data.
        Training does not need it: the device plugin hands a container the devices it requests.

    Restricted fields:
        spec.securityContext.windowsOptions.hostProcess
        spec.initContainers[*].securityContext.privileged
        spec.initContainers[*].securityContext.windowsOptions.hostProcess
        spec.containers[*].securityContext.privileged
        spec.containers[*].securityContext.windowsOptions.hostProcess
        spec.ephemeralContainers[*].securityContext.privileged
        spec.ephemeralContainers[*].securityContext.windowsOptions.hostProcess

    Allowed values:
        Absent or false.

    Remediation:
        Remove the field. For a GPU request nvidia.com/gpu under resources.limits; for /dev/shm mount an
        emptyDir of medium Memory; for locked memory add the capability IPC_LOCK.

    Source:
        https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline
        k8s.io/pod-security-admission policy/check_privileged.go, policy/check_windowsHostProcess.go
    """

    name = "no-privileged"
    title = "Containers are not privileged"
    severity = Severity.CRITICAL

    def __call__(self, pod: Pod) -> Iterator[Violation]:
        security_context = pod.security_context
        if (
            "windowsOptions" in security_context
            and mapping(security_context, "windowsOptions").get("hostProcess") is True
        ):
            yield Violation(
                "host-process",
                pod.field("securityContext", "windowsOptions", "hostProcess"),
                "the pod runs as HostProcess, which is administrator on the node; remove hostProcess",
            )
        for container in pod.containers:
            security_context = container.security_context
            if not security_context:
                continue
            if security_context.get("privileged") is True:
                yield Violation(
                    "privileged",
                    container.field("securityContext", "privileged"),
                    f"{container_called(container)} is privileged, which is root on the node; "
                    "remove privileged, and request devices such as GPUs in resources.limits",
                )
            if (
                "windowsOptions" in security_context
                and mapping(security_context, "windowsOptions").get("hostProcess") is True
            ):
                yield Violation(
                    "host-process",
                    container.field("securityContext", "windowsOptions", "hostProcess"),
                    f"{container_called(container)} runs as HostProcess, which is administrator on the node; "
                    "remove hostProcess",
                )
