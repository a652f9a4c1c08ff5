"""Every control, and which of them make up a level at a version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security import (
    allow_privilege_escalation,
    app_armor_profile,
    capabilities_baseline,
    capabilities_restricted,
    host_namespaces,
    host_path_volumes,
    host_ports,
    host_probes_and_host_lifecycle,
    privileged,
    proc_mount,
    proc_mount_restricted,
    restricted_volumes,
    run_as_non_root,
    run_as_user,
    se_linux_options,
    seccomp_profile_baseline,
    seccomp_profile_restricted,
    sysctls,
    windows_host_process,
)
from webhook.checks.pod_security.control import Control, Judge, Level

# In the order of findings, which is Kubernetes' own: baseline before restricted, each in alphabetical order.
CONTROLS: Final[tuple[Control, ...]] = (
    app_armor_profile.CONTROL,
    capabilities_baseline.CONTROL,
    host_namespaces.CONTROL,
    host_path_volumes.CONTROL,
    host_ports.CONTROL,
    host_probes_and_host_lifecycle.CONTROL,
    privileged.CONTROL,
    proc_mount.CONTROL,
    se_linux_options.CONTROL,
    seccomp_profile_baseline.CONTROL,
    sysctls.CONTROL,
    windows_host_process.CONTROL,
    allow_privilege_escalation.CONTROL,
    capabilities_restricted.CONTROL,
    proc_mount_restricted.CONTROL,
    restricted_volumes.CONTROL,
    run_as_non_root.CONTROL,
    run_as_user.CONTROL,
    seccomp_profile_restricted.CONTROL,
)


def controls_at(level: Level, minor: int) -> Iterator[tuple[Control, Judge]]:
    """The controls of a level at Kubernetes v1.``minor``, each with what it then demands.

    Restricted is baseline and more: a restricted control that replaces a baseline one does so from its own first
    version on, before which the baseline one is judged.
    Source: k8s.io/pod-security-admission policy/registry.go.
    """
    at_level = [control for control in CONTROLS if level == "restricted" or control.level == level]
    replaced = {control.replaces for control in at_level if control.since <= minor}
    for control in at_level:
        judge = control.at(minor)
        if judge is not None and control.id not in replaced:
            yield control, judge
