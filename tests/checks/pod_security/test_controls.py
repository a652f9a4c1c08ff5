"""Each control: what breaks it, what does not, where it is found, and what its message says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.pods import JUNK, table
from webhook.checks.pod_security.control import NEWEST
from webhook.checks.pod_security.registry import CONTROLS
from webhook.kube.path import render

from .judging import BY_ID, findings, paths

# What pods may hold at level restricted.
CONTEXT: dict[str, Any] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
SAFE: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [{"name": "train", "image": "ghcr.io/org/app:1.2", "securityContext": CONTEXT}],
}


def with_container(fields: dict[str, Any], list_name: str = "containers") -> dict[str, Any]:
    """The safe pod with one container more, which is safe but for these fields."""
    context = CONTEXT | fields.get("securityContext", {})
    added = {"name": "tried", "image": "busybox", **fields, "securityContext": context}
    return {**SAFE, list_name: [*SAFE.get(list_name, []), added]}


def with_pod(fields: dict[str, Any]) -> dict[str, Any]:
    """The safe pod but for these fields of the pod's own."""
    context = SAFE["securityContext"] | fields.get("securityContext", {})
    return {**SAFE, **fields, "securityContext": context}


def test_the_safe_pod_is_safe_at_every_version() -> None:
    for minor in range(NEWEST + 1):
        assert findings("restricted", SAFE, minor) == []


# --- what containers set ------------------------------------------------------------------------------------

# Control to what breaks it, and where that is said to be.
CONTAINER_BREACHES: dict[str, tuple[str, dict[str, Any], str]] = {
    "privileged": ("privileged", {"securityContext": {"privileged": True}}, "securityContext.privileged"),
    "host process": (
        "windows-host-process",
        {"securityContext": {"windowsOptions": {"hostProcess": True}}},
        "securityContext.windowsOptions.hostProcess",
    ),
    "host port": ("host-ports", {"ports": [{"containerPort": 1}, {"hostPort": 80}]}, "ports[1].hostPort"),
    "liveness of another host": (
        "host-probes-and-host-lifecycle",
        {"livenessProbe": {"httpGet": {"host": "10.0.0.1"}}},
        "livenessProbe.httpGet.host",
    ),
    "readiness of another host": (
        "host-probes-and-host-lifecycle",
        {"readinessProbe": {"tcpSocket": {"host": "10.0.0.1"}}},
        "readinessProbe.tcpSocket.host",
    ),
    "start-up of another host": (
        "host-probes-and-host-lifecycle",
        {"startupProbe": {"httpGet": {"host": "db"}}},
        "startupProbe.httpGet.host",
    ),
    "hook after the start": (
        "host-probes-and-host-lifecycle",
        {"lifecycle": {"postStart": {"httpGet": {"host": "db"}}}},
        "lifecycle.postStart.httpGet.host",
    ),
    "hook before the stop": (
        "host-probes-and-host-lifecycle",
        {"lifecycle": {"preStop": {"tcpSocket": {"host": "db"}}}},
        "lifecycle.preStop.tcpSocket.host",
    ),
    "NET_RAW": (
        "capabilities-baseline",
        {"securityContext": {"capabilities": {"add": ["CHOWN", "NET_RAW"]}}},
        "securityContext.capabilities.add",
    ),
    "a default capability in lower case": (
        "capabilities-baseline",
        {"securityContext": {"capabilities": {"add": ["chown"]}}},
        "securityContext.capabilities.add",
    ),
    "a default capability with a prefix": (
        "capabilities-baseline",
        {"securityContext": {"capabilities": {"add": ["CAP_CHOWN"]}}},
        "securityContext.capabilities.add",
    ),
    "ALL capabilities": (
        "capabilities-baseline",
        {"securityContext": {"capabilities": {"add": ["ALL"]}}},
        "securityContext.capabilities.add",
    ),
    "a default capability, restricted": (
        "capabilities-restricted",
        {"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CHOWN"]}}},
        "securityContext.capabilities.add",
    ),
    "capabilities kept": (
        "capabilities-restricted",
        {"securityContext": {"capabilities": {"drop": ["NET_RAW", "all"]}}},
        "securityContext.capabilities.drop",
    ),
    "no capabilities at all": (
        "capabilities-restricted",
        {"securityContext": {"capabilities": None}},
        "securityContext.capabilities.drop",
    ),
    "unmasked /proc": (
        "proc-mount",
        {"securityContext": {"procMount": "Unmasked"}},
        "securityContext.procMount",
    ),
    "an empty procMount": ("proc-mount", {"securityContext": {"procMount": ""}}, "securityContext.procMount"),
    "unmasked /proc, restricted": (
        "proc-mount-restricted",
        {"securityContext": {"procMount": "Unmasked"}},
        "securityContext.procMount",
    ),
    "SELinux type": (
        "se-linux-options",
        {"securityContext": {"seLinuxOptions": {"type": "spc_t"}}},
        "securityContext.seLinuxOptions.type",
    ),
    "SELinux user": (
        "se-linux-options",
        {"securityContext": {"seLinuxOptions": {"type": "container_t", "user": "system_u"}}},
        "securityContext.seLinuxOptions.user",
    ),
    "SELinux role": (
        "se-linux-options",
        {"securityContext": {"seLinuxOptions": {"role": "system_r"}}},
        "securityContext.seLinuxOptions.role",
    ),
    "AppArmor switched off": (
        "app-armor-profile",
        {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
        "securityContext.appArmorProfile.type",
    ),
    "AppArmor without a type": (
        "app-armor-profile",
        {"securityContext": {"appArmorProfile": {}}},
        "securityContext.appArmorProfile.type",
    ),
    "seccomp switched off": (
        "seccomp-profile-baseline",
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        "securityContext.seccompProfile.type",
    ),
    "seccomp without a type": (
        "seccomp-profile-baseline",
        {"securityContext": {"seccompProfile": {}}},
        "securityContext.seccompProfile.type",
    ),
    "seccomp switched off, restricted": (
        "seccomp-profile-restricted",
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        "securityContext.seccompProfile.type",
    ),
    "escalation allowed": (
        "allow-privilege-escalation",
        {"securityContext": {"allowPrivilegeEscalation": True}},
        "securityContext.allowPrivilegeEscalation",
    ),
    "escalation not mentioned": (
        "allow-privilege-escalation",
        {"securityContext": {"allowPrivilegeEscalation": None}},
        "securityContext.allowPrivilegeEscalation",
    ),
    "root allowed": (
        "run-as-non-root",
        {"securityContext": {"runAsNonRoot": False}},
        "securityContext.runAsNonRoot",
    ),
    "user 0": ("run-as-user", {"securityContext": {"runAsUser": 0}}, "securityContext.runAsUser"),
}


@pytest.mark.parametrize("list_name", ["initContainers", "containers", "ephemeralContainers"])
@table(CONTAINER_BREACHES, "control, fields, field")
def test_every_kind_of_container_is_judged(
    control: str, fields: dict[str, Any], field: str, list_name: str
) -> None:
    pod = with_container(fields, list_name)
    index = len(pod[list_name]) - 1
    assert paths(control, pod) == [f"spec.{list_name}[{index}].{field}"]


@table(CONTAINER_BREACHES, "control, fields, field")
def test_a_breach_of_one_control_is_none_of_another(control: str, fields: dict[str, Any], field: str) -> None:
    found = findings(BY_ID[control].level, with_container(fields))
    assert {violation.reason for violation in found} == {control}


DEFAULT_CAPABILITIES = [
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
]

CONTAINER_ALLOWED: dict[str, tuple[str, dict[str, Any]]] = {
    "not privileged": ("privileged", {"securityContext": {"privileged": False}}),
    "no host process": (
        "windows-host-process",
        {"securityContext": {"windowsOptions": {"hostProcess": False}}},
    ),
    "host port 0": ("host-ports", {"ports": [{"containerPort": 1, "hostPort": 0}]}),
    "probes of the pod itself": (
        "host-probes-and-host-lifecycle",
        {
            "livenessProbe": {"httpGet": {"port": 80, "host": ""}},
            "readinessProbe": {"exec": {"command": ["true"]}},
            "startupProbe": {"tcpSocket": {"port": 80}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 1}}, "postStart": {"httpGet": {"port": 80}}},
        },
    ),
    "default capabilities": (
        "capabilities-baseline",
        {"securityContext": {"capabilities": {"add": DEFAULT_CAPABILITIES}}},
    ),
    "NET_BIND_SERVICE": (
        "capabilities-restricted",
        {"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}},
    ),
    "dropped among others": (
        "capabilities-restricted",
        {"securityContext": {"capabilities": {"drop": ["NET_RAW", "ALL"], "add": []}}},
    ),
    "masked /proc": ("proc-mount-restricted", {"securityContext": {"procMount": "Default"}}),
    "SELinux level": (
        "se-linux-options",
        {"securityContext": {"seLinuxOptions": {"type": "container_kvm_t", "level": "s0:c1,c2", "user": ""}}},
    ),
    "AppArmor of the runtime": (
        "app-armor-profile",
        {"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}},
    ),
    "AppArmor of the node": (
        "app-armor-profile",
        {"securityContext": {"appArmorProfile": {"type": "Localhost", "localhostProfile": "x"}}},
    ),
    "seccomp of the node": (
        "seccomp-profile-restricted",
        {"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "x"}}},
    ),
    "not as root": ("run-as-non-root", {"securityContext": {"runAsNonRoot": True}}),
    "user 1000": ("run-as-user", {"securityContext": {"runAsUser": 1000}}),
}


@table(CONTAINER_ALLOWED, "control, fields")
def test_what_a_control_allows_is_no_breach(control: str, fields: dict[str, Any]) -> None:
    assert paths(control, with_container(fields)) == []


# --- what pods set ------------------------------------------------------------------------------------------

POD_BREACHES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "host namespaces": (
        "host-namespaces",
        {"hostIPC": True, "hostNetwork": True, "hostPID": True},
        ["spec.hostNetwork", "spec.hostPID", "spec.hostIPC"],
    ),
    "no host namespaces": ("host-namespaces", {"hostIPC": False, "hostNetwork": False, "hostPID": False}, []),
    "host process": (
        "windows-host-process",
        {"securityContext": {"windowsOptions": {"hostProcess": True}}},
        ["spec.securityContext.windowsOptions.hostProcess"],
    ),
    "a directory of the node": (
        "host-path-volumes",
        {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "hostPath": {"path": "/"}}]},
        ["spec.volumes[1].hostPath"],
    ),
    "no directory of the node": ("host-path-volumes", {"volumes": [{"name": "b", "hostPath": None}]}, []),
    "allowed volumes": (
        "restricted-volumes",
        {
            "volumes": [
                {"name": "implied emptyDir"},
                {"name": "b", "nfs": None},
                *(
                    {"name": "v", source: {}}
                    for source in (
                        "configMap",
                        "csi",
                        "downwardAPI",
                        "emptyDir",
                        "ephemeral",
                        "image",
                        "persistentVolumeClaim",
                        "projected",
                        "secret",
                    )
                ),
            ]
        },
        [],
    ),
    "volumes of storage systems": (
        "restricted-volumes",
        {"volumes": [{"name": "a", "nfs": {}}, {"name": "b", "emptyDir": {}}, {"name": "c", "hostPath": {}}]},
        ["spec.volumes[0].nfs", "spec.volumes[2].hostPath"],
    ),
    "a volume nobody has heard of": (
        "restricted-volumes",
        {"volumes": [{"name": "a", "quantum": {}}]},
        ["spec.volumes[0].quantum"],
    ),
    "SELinux": (
        "se-linux-options",
        {"securityContext": {"seLinuxOptions": {"type": "x", "user": "y", "role": "z"}}},
        [f"spec.securityContext.seLinuxOptions.{field}" for field in ("type", "user", "role")],
    ),
    "AppArmor": (
        "app-armor-profile",
        {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}},
        ["spec.securityContext.appArmorProfile.type"],
    ),
    "seccomp": (
        "seccomp-profile-baseline",
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        ["spec.securityContext.seccompProfile.type"],
    ),
    "seccomp, restricted": (
        "seccomp-profile-restricted",
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        ["spec.securityContext.seccompProfile.type", "spec.containers[0].securityContext.seccompProfile"],
    ),
    "no seccomp": (
        "seccomp-profile-restricted",
        {"securityContext": {"seccompProfile": None}},
        ["spec.containers[0].securityContext.seccompProfile"],
    ),
    "sysctls": (
        "sysctls",
        {"securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced"}, {"name": "kernel.msgmax"}, {}]}},
        ["spec.securityContext.sysctls[1].name", "spec.securityContext.sysctls[2].name"],
    ),
    "root allowed": (
        "run-as-non-root",
        {"securityContext": {"runAsNonRoot": False}},
        ["spec.securityContext.runAsNonRoot", "spec.containers[0].securityContext.runAsNonRoot"],
    ),
    "root not mentioned": (
        "run-as-non-root",
        {"securityContext": {"runAsNonRoot": None}},
        ["spec.containers[0].securityContext.runAsNonRoot"],
    ),
    "user 0": ("run-as-user", {"securityContext": {"runAsUser": 0}}, ["spec.securityContext.runAsUser"]),
    "user 1000": ("run-as-user", {"securityContext": {"runAsUser": 1000}}, []),
}


@table(POD_BREACHES, "control, fields, expected")
def test_what_a_pod_sets_for_itself_is_judged(
    control: str, fields: dict[str, Any], expected: list[str]
) -> None:
    assert paths(control, with_pod(fields)) == expected


@table(
    {
        "not as root": ("run-as-non-root", {"runAsNonRoot": True}),
        "seccomp": ("seccomp-profile-restricted", {"seccompProfile": {"type": "RuntimeDefault"}}),
    },
    "control, context",
)
def test_what_every_container_sets_the_pod_need_not(control: str, context: dict[str, Any]) -> None:
    pod = {
        "initContainers": [{"name": "a", "securityContext": context}],
        "containers": [{"name": "b", "securityContext": context}],
    }
    assert paths(control, pod) == []
    pod["containers"].append({"name": "c", "securityContext": {}})
    assert paths(control, pod) == [f"spec.containers[1].securityContext.{next(iter(context))}"]


# --- annotations --------------------------------------------------------------------------------------------

APP_ARMOR = "container.apparmor.security.beta.kubernetes.io"
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
CONTAINER_SECCOMP = "container.seccomp.security.alpha.kubernetes.io"

ANNOTATIONS: dict[str, tuple[str, str, str, bool]] = {
    "AppArmor off": ("app-armor-profile", f"{APP_ARMOR}/train", "unconfined", False),
    "AppArmor off for a container that is not there": ("app-armor-profile", f"{APP_ARMOR}/x", "off", False),
    "AppArmor of the runtime": ("app-armor-profile", f"{APP_ARMOR}/train", "runtime/default", True),
    "AppArmor of the node": ("app-armor-profile", f"{APP_ARMOR}/train", "localhost/mine", True),
    "AppArmor empty": ("app-armor-profile", f"{APP_ARMOR}/train", "", True),
    "seccomp off": ("seccomp-profile-baseline", SECCOMP, "unconfined", False),
    "seccomp empty": ("seccomp-profile-baseline", SECCOMP, "", False),
    "seccomp of the runtime": ("seccomp-profile-baseline", SECCOMP, "runtime/default", True),
    "seccomp of Docker": ("seccomp-profile-baseline", SECCOMP, "docker/default", True),
    "seccomp of the node": ("seccomp-profile-baseline", SECCOMP, "localhost/mine", True),
    "seccomp off in a container": (
        "seccomp-profile-baseline",
        f"{CONTAINER_SECCOMP}/train",
        "unconfined",
        False,
    ),
    "seccomp off in no container": ("seccomp-profile-baseline", f"{CONTAINER_SECCOMP}/x", "unconfined", True),
}


@table(ANNOTATIONS, "control, key, value, allowed")
def test_profiles_set_by_annotation_are_judged(control: str, key: str, value: str, allowed: bool) -> None:
    metadata = {"annotations": {"other": "unconfined", key: value}}
    assert paths(control, SAFE, 18, metadata) == ([] if allowed else [f"metadata.annotations[{key}]"])


# --- odd pods -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("junk", JUNK)
def test_what_is_of_the_wrong_type_forbids_nothing_and_grants_nothing(junk: Any) -> None:
    contexts = [junk, *({field: junk} for field in ("capabilities", "seLinuxOptions", "windowsOptions"))]
    for context in contexts:
        pod = {"containers": [{"name": "a", "securityContext": context, "ports": junk, "lifecycle": junk}]}
        found = {violation.reason for violation in findings("restricted", pod)}
        assert found == {
            "allow-privilege-escalation",
            "capabilities-restricted",
            "run-as-non-root",
            "seccomp-profile-restricted",
        }


@pytest.mark.parametrize("value", [False, 0.0, "0", None])
def test_only_the_number_0_is_user_0(value: Any) -> None:
    assert paths("run-as-user", with_container({"securityContext": {"runAsUser": value}})) == []


def test_a_pod_without_containers_breaks_nothing() -> None:
    assert findings("restricted", {}) == []


# --- messages -----------------------------------------------------------------------------------------------

OFFENDER: dict[str, Any] = {
    "hostNetwork": True,
    "securityContext": {
        "seccompProfile": {"type": "Unconfined"},
        "sysctls": [{"name": "net.core.somaxconn"}],
    },
    "volumes": [{"name": "models", "hostPath": {"path": "/mnt/models"}}],
    "containers": [
        {
            "name": "train",
            "ports": [{"hostPort": 8080}],
            "livenessProbe": {"httpGet": {"host": "10.0.0.1"}},
            "lifecycle": {"preStop": {"tcpSocket": {"host": "10.0.0.1"}}},
            "securityContext": {
                "privileged": True,
                "capabilities": {"add": ["CAP_CHOWN", "IPC_LOCK"]},
                "procMount": "Unmasked",
                "runAsUser": 0,
                "seLinuxOptions": {"type": "spc_t", "role": "r"},
                "appArmorProfile": {},
                "windowsOptions": {"hostProcess": True},
            },
        }
    ],
}

BASELINE_MESSAGES = {
    "spec.containers[0].securityContext.appArmorProfile.type": (
        'container "train" runs with an AppArmor profile without a type; write appArmorProfile: {type: '
        "RuntimeDefault}, or remove it"
    ),
    "metadata.annotations[container.apparmor.security.beta.kubernetes.io/train]": (
        'an annotation sets the AppArmor profile of container "train" to unconfined; remove the annotation'
    ),
    "spec.containers[0].securityContext.capabilities.add": (
        'container "train" adds the capabilities CAP_CHOWN and IPC_LOCK, which containers do not have by default; '
        "remove them"
    ),
    "spec.hostNetwork": "the pod uses the node's network; remove hostNetwork, and use a Service",
    "spec.volumes[0].hostPath": (
        'volume "models" mounts /mnt/models of the node; use a PersistentVolumeClaim for data, an emptyDir for '
        "scratch space"
    ),
    "spec.containers[0].ports[0].hostPort": (
        'container "train" takes port 8080 of the node; remove hostPort, and reach the pod through a Service'
    ),
    "spec.containers[0].livenessProbe.httpGet.host": (
        'container "train" lets the node call 10.0.0.1 as its livenessProbe; remove host, so that the pod itself is '
        "called"
    ),
    "spec.containers[0].lifecycle.preStop.tcpSocket.host": (
        'container "train" lets the node call 10.0.0.1 as its preStop; remove host, so that the pod itself is called'
    ),
    "spec.containers[0].securityContext.privileged": (
        'container "train" is privileged, which is root on the node; remove privileged, and request devices such as '
        "GPUs in resources.limits"
    ),
    "spec.containers[0].securityContext.procMount": (
        'container "train" mounts /proc Unmasked, which lays the node\'s kernel open; remove procMount'
    ),
    "spec.containers[0].securityContext.seLinuxOptions.type": (
        'container "train" sets the SELinux type spc_t; remove it, or use container_t, container_init_t, '
        "container_kvm_t or container_engine_t"
    ),
    "spec.containers[0].securityContext.seLinuxOptions.role": (
        'container "train" sets the SELinux role r; remove it'
    ),
    "spec.securityContext.seccompProfile.type": (
        "the pod runs with the seccomp profile Unconfined; write seccompProfile: {type: RuntimeDefault}"
    ),
    "spec.securityContext.sysctls[0].name": (
        "the pod sets the kernel parameter net.core.somaxconn, which is not safe to set for one pod; remove it, or ask "
        "for nodes that have it set"
    ),
    "spec.containers[0].securityContext.windowsOptions.hostProcess": (
        'container "train" runs as HostProcess, which is administrator on the node; remove hostProcess'
    ),
}

RESTRICTED_MESSAGES = {
    "spec.containers[0].securityContext.allowPrivilegeEscalation": (
        'container "train" may gain more rights than it starts with; write allowPrivilegeEscalation: false in its '
        "securityContext"
    ),
    "spec.containers[0].securityContext.capabilities.add": (
        'container "train" adds the capabilities CAP_CHOWN and IPC_LOCK; remove them: only NET_BIND_SERVICE may be '
        "added"
    ),
    "spec.containers[0].securityContext.capabilities.drop": (
        'container "train" keeps Linux capabilities it does not need; write capabilities: {drop: [ALL]} in its '
        "securityContext"
    ),
    "spec.volumes[0].hostPath": (
        'volume "models" is a hostPath, which is not allowed; use a persistentVolumeClaim for data, an emptyDir for '
        "scratch space"
    ),
    "spec.containers[0].securityContext.runAsNonRoot": (
        'container "train" may run as root; write runAsNonRoot: true in the securityContext of the pod or the '
        "container, and runAsUser: 1000 if the image's user is root"
    ),
    "spec.containers[0].securityContext.runAsUser": (
        'container "train" runs as user 0, which is root; remove runAsUser, or write the number of another user, such '
        "as 1000"
    ),
    "spec.containers[0].securityContext.seccompProfile": (
        'container "train" has no seccomp profile; write seccompProfile: {type: RuntimeDefault} in the securityContext '
        "of the pod, or of the container"
    ),
}


def test_messages_say_what_is_wrong_and_what_to_write() -> None:
    metadata = {"annotations": {f"{APP_ARMOR}/train": "unconfined"}}

    def messages(level: Any) -> dict[str, str]:
        return {render(found.path): found.message for found in findings(level, OFFENDER, metadata=metadata)}

    assert messages("baseline") == BASELINE_MESSAGES
    assert messages("restricted") == BASELINE_MESSAGES | RESTRICTED_MESSAGES


def test_the_messages_above_are_of_every_control() -> None:
    metadata = {"annotations": {f"{APP_ARMOR}/train": "unconfined"}}
    found = [f for level in ("baseline", "restricted") for f in findings(level, OFFENDER, metadata=metadata)]
    assert {violation.reason for violation in found} == {control.id for control in CONTROLS}
    assert max(len(violation.message) for violation in found) <= 200


@table(
    {
        "one": (["CAP_CHOWN"], "; write CHOWN"),
        "two": (["chown", "cap_kill"], "; write CHOWN and KILL"),
        "one of two": (["chown", "NET_RAW"], "; remove them"),
        "another": (
            ["NET_RAW"],
            " adds the capability NET_RAW, which containers do not have by default; remove it",
        ),
    },
    "added, advice",
)
def test_capabilities_written_otherwise_are_corrected(added: list[str], advice: str) -> None:
    [found] = findings("baseline", with_container({"securityContext": {"capabilities": {"add": added}}}))
    assert found.message.endswith(advice)
