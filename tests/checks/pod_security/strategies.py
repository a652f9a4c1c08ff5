"""Pods for Hypothesis with every field that a control reads, right in type and often wrong in value."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Strategy = st.SearchStrategy[Any]

_MAYBE = st.sampled_from([None, True, False])
_PROFILES = st.sampled_from(
    [
        None,
        {},
        {"type": "RuntimeDefault"},
        {"type": "Localhost", "localhostProfile": "x"},
        {"type": "Unconfined"},
        {"type": "runtimedefault"},
    ]
)
_CAPABILITIES = st.lists(
    st.sampled_from(["ALL", "all", "NET_BIND_SERVICE", "NET_RAW", "CHOWN", "CAP_CHOWN", "IPC_LOCK"]),
    max_size=3,
)
_HOSTS = st.sampled_from(["", "10.0.0.1", "localhost"])
_SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_notsent_lowat",
    "net/ipv4/tcp_syncookies",
    "kernel.msgmax",
)
# All of k8s.io/api core/v1 VolumeSource, each in its smallest form.
_VOLUMES: tuple[dict[str, Any], ...] = (
    *(
        {source: {}}
        for source in (
            "awsElasticBlockStore",
            "azureDisk",
            "azureFile",
            "cephfs",
            "cinder",
            "configMap",
            "csi",
            "downwardAPI",
            "emptyDir",
            "ephemeral",
            "fc",
            "flexVolume",
            "flocker",
            "gcePersistentDisk",
            "gitRepo",
            "glusterfs",
            "hostPath",
            "image",
            "iscsi",
            "nfs",
            "persistentVolumeClaim",
            "photonPersistentDisk",
            "portworxVolume",
            "projected",
            "quobyte",
            "rbd",
            "scaleIO",
            "secret",
            "storageos",
            "vsphereVolume",
        )
    ),
    {"emptyDir": {}, "nfs": None},
)
_IMAGES = ("busybox", "ghcr.io/org/app:1.2", "nvcr.io/nvidia/cuda:12")


def _rarely(value: Strategy) -> Strategy:
    """Nothing in three cases of four: pods that break everything tell little apart."""
    return st.integers(0, 3).flatmap(lambda fate: value if fate == 0 else st.none())


def _fields(**fields: Strategy) -> Strategy:
    """A map of those fields that are drawn as something, and sometimes of one that is null."""

    def written(drawn: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in drawn.items() if value is not None}

    return st.fixed_dictionaries(fields).map(written) | st.fixed_dictionaries(
        {}, optional={key: st.none() for key in fields}
    )


def _contexts(**more: Strategy) -> Strategy:
    return _fields(
        runAsNonRoot=_MAYBE,
        runAsUser=_rarely(st.sampled_from([0, 1000])),
        seccompProfile=_PROFILES,
        appArmorProfile=_rarely(_PROFILES),
        seLinuxOptions=_rarely(
            _fields(
                type=st.sampled_from([None, "", "container_t", "container_engine_t", "spc_t"]),
                user=_rarely(st.sampled_from(["", "system_u"])),
                role=_rarely(st.sampled_from(["", "system_r"])),
                level=st.just("s0:c1"),
            )
        ),
        windowsOptions=_rarely(_fields(hostProcess=_MAYBE)),
        **more,
    )


_CONTAINER_CONTEXTS = _contexts(
    privileged=_rarely(_MAYBE),
    allowPrivilegeEscalation=st.sampled_from([None, False, False, True]),
    capabilities=st.sampled_from([None, {"drop": ["ALL"]}]) | _fields(add=_CAPABILITIES, drop=_CAPABILITIES),
    procMount=_rarely(st.sampled_from(["", "Default", "Unmasked"])),
)
_HANDLERS = _fields(
    httpGet=_rarely(_fields(host=_HOSTS, port=st.just(80))),
    tcpSocket=_rarely(_fields(host=_HOSTS, port=st.just(80))),
)


def _containers(prefix: str, most: int) -> Strategy:
    one = _fields(
        image=st.sampled_from(_IMAGES),
        securityContext=_CONTAINER_CONTEXTS,
        ports=_rarely(
            st.lists(_fields(containerPort=st.just(80), hostPort=st.sampled_from([None, 0, 80])), max_size=2)
        ),
        livenessProbe=_rarely(_HANDLERS),
        readinessProbe=_rarely(_HANDLERS),
        startupProbe=_rarely(_HANDLERS),
        lifecycle=_rarely(_fields(postStart=_HANDLERS, preStop=_HANDLERS)),
    )
    return st.lists(one, max_size=most).map(
        lambda made: [{"name": f"{prefix}{index}", **fields} for index, fields in enumerate(made)]
    )


def _named(volumes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": f"v{index}", **volume} for index, volume in enumerate(volumes)]


SPECS = _fields(
    containers=_containers("c", 2),
    initContainers=_rarely(_containers("i", 2)),
    ephemeralContainers=_rarely(_containers("e", 1)),
    securityContext=_contexts(
        sysctls=_rarely(
            st.lists(st.sampled_from(_SYSCTLS).map(lambda name: {"name": name, "value": "1"}), max_size=2)
        )
    ),
    hostNetwork=_rarely(st.booleans()),
    hostPID=_rarely(st.booleans()),
    hostIPC=_rarely(st.booleans()),
    hostUsers=_MAYBE,
    os=_rarely(st.sampled_from([{"name": "linux"}, {"name": "windows"}])),
    volumes=_rarely(st.lists(st.sampled_from(_VOLUMES), max_size=3).map(_named)),
)

_NAMES = ("c0", "c1", "i0", "nobody")
_ANNOTATIONS = (
    "seccomp.security.alpha.kubernetes.io/pod",
    *(f"container.seccomp.security.alpha.kubernetes.io/{name}" for name in _NAMES),
    *(f"container.apparmor.security.beta.kubernetes.io/{name}" for name in _NAMES),
    "note",
)

METADATA = _fields(
    annotations=_rarely(
        st.dictionaries(
            st.sampled_from(_ANNOTATIONS),
            st.sampled_from(["", "runtime/default", "docker/default", "localhost/x", "unconfined"]),
            max_size=2,
        )
    )
)
