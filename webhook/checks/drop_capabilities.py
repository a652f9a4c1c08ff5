"""The check ``drop-capabilities``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from webhook.checks.wording import container_called, listed, plural, short
from webhook.kube.quantity import quantity_or_none
from webhook.kube.shape import mapping, strings
from webhook.policy.findings import Severity, Violation
from webhook.policy.problems import did_you_mean
from webhook.policy.rule import Check, Context, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.accelerators import Catalog
    from webhook.kube.pod import Container, Pod

_LOCK_MEMORY: Final = "IPC_LOCK"

# Source: Linux include/uapi/linux/capability.h, without the prefix CAP_, as Kubernetes writes them.
_CAPABILITIES: Final = frozenset(
    (
        "AUDIT_CONTROL",
        "AUDIT_READ",
        "AUDIT_WRITE",
        "BLOCK_SUSPEND",
        "BPF",
        "CHECKPOINT_RESTORE",
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "IPC_LOCK",
        "IPC_OWNER",
        "KILL",
        "LEASE",
        "LINUX_IMMUTABLE",
        "MAC_ADMIN",
        "MAC_OVERRIDE",
        "MKNOD",
        "NET_ADMIN",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_RAW",
        "PERFMON",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYSLOG",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_CHROOT",
        "SYS_MODULE",
        "SYS_NICE",
        "SYS_PACCT",
        "SYS_PTRACE",
        "SYS_RAWIO",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "WAKE_ALARM",
    )
)


class DropCapabilities(Check):
    """Every container drops all Linux capabilities and adds none but those allowed.

    Why:
        A container has 14 of root's powers by default, such as forging packets (NET_RAW) and taking any file
        (DAC_OVERRIDE). Training and serving use none of them, whoever breaks into the container all.

    Restricted fields:
        spec.initContainers[*].securityContext.capabilities.drop
        spec.initContainers[*].securityContext.capabilities.add
        spec.containers[*].securityContext.capabilities.drop
        spec.containers[*].securityContext.capabilities.add
        spec.ephemeralContainers[*].securityContext.capabilities.drop
        spec.ephemeralContainers[*].securityContext.capabilities.add

    Allowed values:
        ``drop`` holds ALL; ``add`` is absent or holds only capabilities of ``allowedAdd``, written exactly
        so. IPC_LOCK may be added in a container that requests an RDMA resource of the accelerator catalog,
        which has to lock the memory it transfers. Windows pods (spec.os.name: windows) are left out: they
        cannot have the field.

    Remediation:
        Write securityContext.capabilities: {drop: [ALL]} in every container.

    Source:
        https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
        k8s.io/pod-security-admission policy/check_capabilities_restricted.go
    """

    name = "drop-capabilities"
    title = "Containers drop all capabilities"
    severity = Severity.MEDIUM

    class Parameters(Strict, frozen=True):
        """Settings of ``drop-capabilities``."""

        allowedAdd: tuple[str, ...] = ()
        """Capabilities that containers may add, written as in ``NET_BIND_SERVICE``, without ``CAP_``."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        for index, capability in enumerate(parameters.allowedAdd):
            if capability not in _CAPABILITIES:
                bare = capability.upper().removeprefix("CAP_")
                hint = f'write "{bare}"' if bare in _CAPABILITIES else did_you_mean(bare, _CAPABILITIES)
                message = "; ".join(filter(None, (f'"{short(capability)}" is no capability', hint)))
                raise ParameterError(message, f"allowedAdd[{index}]")
        self._allowed = frozenset(parameters.allowedAdd)
        self._wanted = f"; allowed: {listed(parameters.allowedAdd)}" if parameters.allowedAdd else ""

    def __call__(self, pod: Pod) -> Iterator[Violation]:
        if "os" in pod.spec and pod.is_windows:
            return
        allowed = self._allowed
        for container in pod.containers:
            capabilities = mapping(container.security_context, "capabilities")
            drop = capabilities.get("drop")
            if type(drop) is not list or "ALL" not in drop:
                yield Violation(
                    "capabilities-not-dropped",
                    container.field("securityContext", "capabilities", "drop"),
                    f"{container_called(container)} keeps Linux capabilities it does not need; add "
                    "securityContext.capabilities: {drop: [ALL]}",
                )
            if "add" in capabilities:
                added = [name for name in strings(capabilities, "add") if name not in allowed]
                if _LOCK_MEMORY in added and _uses_rdma(container, pod.catalog):
                    added = [name for name in added if name != _LOCK_MEMORY]
                if added:
                    yield self._not_allowed(container, added)

    def _not_allowed(self, container: Container, added: list[str]) -> Violation:
        locking = f"; {_LOCK_MEMORY} is for containers that request RDMA" if _LOCK_MEMORY in added else ""
        return Violation(
            "capability-added",
            container.field("securityContext", "capabilities", "add"),
            f"{container_called(container)} adds the {plural(added, 'capability', 'capabilities')} "
            f"{listed(added)}; remove {plural(added, 'it', 'them')}{self._wanted}{locking}",
        )


def _uses_rdma(container: Container, catalog: Catalog) -> bool:
    return any(
        "/" in resource and catalog.is_rdma(resource) and (quantity_or_none(quantities[resource]) or 0) > 0
        for quantities in (container.limits, container.requests)
        for resource in quantities
    )
