"""What changed in the standards, and when."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.pods import compiled, refused, table
from webhook.checks.pod_security import PodSecurity
from webhook.checks.pod_security.control import NEWEST, Level, parse_version
from webhook.checks.pod_security.registry import CONTROLS, controls_at

from .judging import LEVELS, VERSIONS, findings, paths


def context(**fields: Any) -> dict[str, Any]:
    """A pod whose only container has this securityContext."""
    return {"containers": [{"name": "train", "image": "busybox", "securityContext": fields}]}


def sysctl(name: str) -> dict[str, Any]:
    return {"securityContext": {"sysctls": [{"name": name, "value": "1"}]}}


def windows(pod: dict[str, Any]) -> dict[str, Any]:
    return {"os": {"name": "windows"}, **pod}


def own_users(pod: dict[str, Any]) -> dict[str, Any]:
    return {"hostUsers": False, **pod}


ALWAYS = (0, NEWEST + 1)

# A control, a pod, and the versions (from, and up to but not including) at which the pod breaks it.
CHANGES: dict[str, tuple[str, dict[str, Any], tuple[int, int]]] = {
    "privileged": ("privileged", context(privileged=True), ALWAYS),
    "host ports": ("host-ports", {"containers": [{"ports": [{"hostPort": 1}]}]}, ALWAYS),
    "host namespaces": ("host-namespaces", {"hostPID": True}, ALWAYS),
    "host path": ("host-path-volumes", {"volumes": [{"name": "a", "hostPath": {}}]}, ALWAYS),
    "volumes": ("restricted-volumes", {"volumes": [{"name": "a", "nfs": {}}]}, ALWAYS),
    "host process": ("windows-host-process", context(windowsOptions={"hostProcess": True}), ALWAYS),
    "capability added": ("capabilities-baseline", context(capabilities={"add": ["BPF"]}), ALWAYS),
    "capabilities kept": ("capabilities-restricted", context(), (22, NEWEST + 1)),
    "capabilities kept on Windows": ("capabilities-restricted", windows(context()), (22, 25)),
    "escalation": ("allow-privilege-escalation", context(), (8, NEWEST + 1)),
    "escalation on Windows": ("allow-privilege-escalation", windows(context()), (8, 25)),
    "root": ("run-as-non-root", context(), ALWAYS),
    "root on Windows": ("run-as-non-root", windows(context()), ALWAYS),
    "root in a user namespace": ("run-as-non-root", own_users(context(runAsNonRoot=False)), (0, 35)),
    "user 0": ("run-as-user", context(runAsUser=0), (23, NEWEST + 1)),
    "user 0 in a user namespace": ("run-as-user", own_users(context(runAsUser=0)), (23, 35)),
    "unmasked /proc": ("proc-mount", context(procMount="Unmasked"), ALWAYS),
    "unmasked /proc in a user namespace": ("proc-mount", own_users(context(procMount="Unmasked")), (0, 35)),
    "unmasked /proc, restricted": (
        "proc-mount-restricted",
        own_users(context(procMount="Unmasked")),
        (35, NEWEST + 1),
    ),
    "seccomp": ("seccomp-profile-baseline", context(seccompProfile={"type": "x"}), (19, NEWEST + 1)),
    "seccomp on Windows": (
        "seccomp-profile-baseline",
        windows(context(seccompProfile={"type": "x"})),
        (19, NEWEST + 1),
    ),
    "no seccomp": ("seccomp-profile-restricted", context(), (19, NEWEST + 1)),
    "no seccomp on Windows": ("seccomp-profile-restricted", windows(context()), (19, 25)),
    "AppArmor": ("app-armor-profile", context(appArmorProfile={"type": "Unconfined"}), ALWAYS),
    "SELinux": ("se-linux-options", context(seLinuxOptions={"type": "spc_t"}), ALWAYS),
    "SELinux for engines": (
        "se-linux-options",
        context(seLinuxOptions={"type": "container_engine_t"}),
        (0, 31),
    ),
    "probe": (
        "host-probes-and-host-lifecycle",
        {"containers": [{"livenessProbe": {"httpGet": {"host": "x"}}}]},
        (34, NEWEST + 1),
    ),
    "unsafe sysctl": ("sysctls", sysctl("kernel.msgmax"), ALWAYS),
    "sysctl written with slashes": ("sysctls", sysctl("net/ipv4/tcp_syncookies"), ALWAYS),
    **{
        name: ("sysctls", sysctl(name), (0, since))
        for since, names in {
            0: (
                "kernel.shm_rmid_forced",
                "net.ipv4.ip_local_port_range",
                "net.ipv4.tcp_syncookies",
                "net.ipv4.ping_group_range",
                "net.ipv4.ip_unprivileged_port_start",
            ),
            27: ("net.ipv4.ip_local_reserved_ports",),
            29: (
                "net.ipv4.tcp_keepalive_time",
                "net.ipv4.tcp_fin_timeout",
                "net.ipv4.tcp_keepalive_intvl",
                "net.ipv4.tcp_keepalive_probes",
            ),
            32: ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
            37: ("net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat"),
        }.items()
        for name in names
    },
}


@table(CHANGES, "control, pod, broken")
def test_a_control_holds_at_the_versions_that_have_it(
    control: str, pod: dict[str, Any], broken: tuple[int, int]
) -> None:
    assert [minor for minor in VERSIONS if paths(control, pod, minor)] == list(range(*broken))


def test_the_changes_above_are_of_every_control() -> None:
    assert {control for control, _, _ in CHANGES.values()} == {control.id for control in CONTROLS}


def test_seccomp_annotations_are_judged_up_to_v1_18() -> None:
    annotated = {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}}
    for level in LEVELS:
        by_annotation = [
            minor
            for minor in VERSIONS
            if any(f.path[:1] == ("metadata",) for f in findings(level, context(), minor, annotated))
        ]
        assert by_annotation == list(range(19))


# Version and the controls of level restricted that are judged in place of those of baseline.
REPLACED: dict[str, tuple[int, set[str]]] = {
    "v1.0": (0, {"host-path-volumes"}),
    "v1.18": (18, {"host-path-volumes"}),
    "v1.19": (19, {"host-path-volumes", "seccomp-profile-baseline"}),
    "v1.22": (22, {"host-path-volumes", "seccomp-profile-baseline", "capabilities-baseline"}),
    "v1.34": (34, {"host-path-volumes", "seccomp-profile-baseline", "capabilities-baseline"}),
    "v1.35": (35, {"host-path-volumes", "seccomp-profile-baseline", "capabilities-baseline", "proc-mount"}),
}


@table(REPLACED, "minor, replaced")
def test_restricted_is_baseline_and_more_but_for_what_it_replaces(minor: int, replaced: set[str]) -> None:
    baseline = {control.id for control, _ in controls_at("baseline", minor)}
    restricted = {control.id for control, _ in controls_at("restricted", minor)}
    assert baseline - restricted == replaced


@table({"v1.0": ("v1.0", 0), "v1.29": ("v1.29", 29), "latest": ("latest", NEWEST)}, "written, minor")
def test_versions_are_written_as_in_the_labels_of_kubernetes(written: str, minor: int) -> None:
    assert parse_version(written) == minor


BAD_VERSIONS: dict[str, tuple[str, str]] = {
    "without v": ("1.29", 'write "v1.29"'),
    "with a patch": ("v1.29.3", 'write "latest", or a version such as "v1.29"'),
    "another major": ("v2.0", 'write "latest", or a version such as "v1.29"'),
    "no minor": ("v1", 'write "latest", or a version such as "v1.29"'),
    "no number": ("v1.x", 'write "latest", or a version such as "v1.29"'),
    "an empty minor": ("v1.", 'write "latest", or a version such as "v1.29"'),
    "a leading zero": ("v1.09", 'write "latest", or a version such as "v1.29"'),
    "digits of another script": ("v1.²", 'write "latest", or a version such as "v1.29"'),
    "a negative minor": ("v1.-1", 'write "latest", or a version such as "v1.29"'),
    "in upper case": ("Latest", 'write "latest", or a version such as "v1.29"'),
    "empty": ("", 'write "latest", or a version such as "v1.29"'),
    "of the future": ("v1.38", 'v1.38 is newer than v1.37, the newest known here; write "latest"'),
}


@table(BAD_VERSIONS, "written, message")
def test_other_versions_are_refused(written: str, message: str) -> None:
    error = refused(PodSecurity, {"level": "baseline", "version": written})
    assert (error.field, str(error)) == ("version", message)


@pytest.mark.parametrize("level", LEVELS)
def test_the_default_is_the_latest_version(level: Level) -> None:
    assert compiled(PodSecurity, {"level": level}).parameters.version == "latest"
