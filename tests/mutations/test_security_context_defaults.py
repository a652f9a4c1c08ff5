"""security-context-defaults: safe settings where none are made, and never a pod that the API server
refuses."""

from __future__ import annotations

from typing import Any

from tests.mutations.support import compiled, container, deployment, mutate, pod, refused, table
from webhook.kube.shape import JSONObject
from webhook.mutations.security_context_defaults import SecurityContextDefaults

OFF = {"disallowPrivilegeEscalation": False, "dropAllCapabilities": False, "seccompRuntimeDefault": False}

DEFAULT = compiled(SecurityContextDefaults)
ALL = compiled(SecurityContextDefaults, {"runAsNonRoot": True, "readOnlyRootFilesystem": True})
NON_ROOT = compiled(SecurityContextDefaults, OFF | {"runAsNonRoot": True})
READ_ONLY = compiled(SecurityContextDefaults, OFF | {"readOnlyRootFilesystem": True})

HARDENED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
SECCOMP = {"seccompProfile": {"type": "RuntimeDefault"}}


def of_container(given: Any, rule: Any = DEFAULT) -> Any:
    """The security context of a container after the mutation."""
    one = container() if given is None else container(securityContext=given)
    return mutate(rule, pod(one))["spec"]["containers"][0].get("securityContext")


@table(
    {
        "nothing said": (None, HARDENED),
        "empty": ({}, HARDENED),
        "null": ({"capabilities": None, "allowPrivilegeEscalation": None}, HARDENED),
        "escalation allowed": (
            {"allowPrivilegeEscalation": True},
            {"allowPrivilegeEscalation": True, "capabilities": {"drop": ["ALL"]}},
        ),
        "something dropped": (
            {"capabilities": {"drop": ["NET_RAW"]}},
            {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["NET_RAW"]}},
        ),
        "IPC_LOCK for RDMA": (
            {"capabilities": {"add": ["IPC_LOCK"]}},
            {"allowPrivilegeEscalation": False, "capabilities": {"add": ["IPC_LOCK"], "drop": ["ALL"]}},
        ),
        "privileged": ({"privileged": True}, {"privileged": True}),
        "not privileged": ({"privileged": False}, {"privileged": False, **HARDENED}),
        "SYS_ADMIN as the API server spells it": (
            {"capabilities": {"add": ["CAP_SYS_ADMIN"]}},
            {"capabilities": {"add": ["CAP_SYS_ADMIN"], "drop": ["ALL"]}},
        ),
        "SYS_ADMIN as everybody spells it": (
            {"capabilities": {"add": ["SYS_ADMIN"]}},
            {"capabilities": {"add": ["SYS_ADMIN"], "drop": ["ALL"]}},
        ),
        "all capabilities": ({"capabilities": {"add": ["ALL"]}}, {"capabilities": {"add": ["ALL"]}}),
        "wrong type": ("root", "root"),
    },
    "given, expected",
)
def test_containers_are_hardened(given: Any, expected: Any) -> None:
    assert of_container(given) == expected


def test_every_kind_of_container_is() -> None:
    obj = pod(
        initContainers=[container("init"), container("sidecar", restartPolicy="Always")],
        ephemeralContainers=[container("debug")],
    )
    spec = mutate(DEFAULT, obj)["spec"]
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        assert all(c["securityContext"] == HARDENED for c in spec[kind])


@table(
    {
        "nothing said": ({}, SECCOMP),
        "a profile": ({"seccompProfile": {"type": "Unconfined"}}, {"seccompProfile": {"type": "Unconfined"}}),
        "other settings": ({"runAsUser": 0}, {"runAsUser": 0, **SECCOMP}),
    },
    "given, expected",
)
def test_pods_get_the_runtimes_seccomp_profile(given: JSONObject, expected: JSONObject) -> None:
    assert mutate(DEFAULT, pod(securityContext=given))["spec"]["securityContext"] == expected


def test_a_containers_own_seccomp_profile_stays() -> None:
    own = {"seccompProfile": {"type": "Localhost", "localhostProfile": "x.json"}}
    assert of_container(own)["seccompProfile"] == own["seccompProfile"]


@table(
    {
        "of the pod": ("seccomp.security.alpha.kubernetes.io/pod",),
        "of a container": ("container.seccomp.security.alpha.kubernetes.io/main",),
    },
    "annotation",
)
def test_seccomp_annotations_must_match_the_field_so_it_is_left(annotation: str) -> None:
    obj = pod(metadata={"annotations": {annotation: "unconfined"}})
    assert "securityContext" not in mutate(DEFAULT, obj)["spec"]


@table(
    {
        "nothing said": ({}, {}, True),
        "a user": ({"runAsUser": 1000}, {}, True),
        "the pod runs as root": ({"runAsUser": 0}, {}, False),
        "a container runs as root": ({}, {"runAsUser": 0}, False),
        "root is allowed in so many words": ({"runAsNonRoot": False}, {}, False),
    },
    "of_pod, of_container, added",
)
def test_run_as_non_root_where_no_one_is_root(
    of_pod: JSONObject, of_container: JSONObject, added: bool
) -> None:
    obj = pod(container(securityContext=of_container), securityContext=of_pod)
    after = mutate(NON_ROOT, obj)["spec"]["securityContext"]
    assert after == (of_pod | {"runAsNonRoot": True} if added else of_pod)


def test_an_init_container_that_is_root_counts() -> None:
    obj = pod(initContainers=[container("chown", securityContext={"runAsUser": 0})])
    assert mutate(NON_ROOT, obj) == obj


def test_read_only_root_file_system_is_a_choice() -> None:
    assert "readOnlyRootFilesystem" not in of_container(None)
    assert of_container(None, READ_ONLY) == {"readOnlyRootFilesystem": True}
    assert of_container({"readOnlyRootFilesystem": False}, READ_ONLY) == {"readOnlyRootFilesystem": False}


def required_os(value: str) -> JSONObject:
    expression = {"key": "kubernetes.io/os", "operator": "In", "values": [value]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


@table(
    {
        "os": (pod(os={"name": "windows"}),),
        "node selector": (pod(nodeSelector={"kubernetes.io/os": "windows"}),),
        "older node selector": (pod(nodeSelector={"beta.kubernetes.io/os": "windows"}),),
        "node affinity": (pod(affinity=required_os("windows")),),
        "windows options of the pod": (pod(securityContext={"windowsOptions": {"hostProcess": True}}),),
        "windows options of a container": (pod(container(securityContext={"windowsOptions": {}})),),
    },
    "obj",
)
def test_windows_pods_are_left_alone(obj: JSONObject) -> None:
    assert mutate(ALL, obj) == obj


@table(
    {
        "os": (pod(os={"name": "linux"}),),
        "node selector": (pod(nodeSelector={"kubernetes.io/os": "linux"}),),
        "node affinity": (pod(affinity=required_os("linux")),),
    },
    "obj",
)
def test_linux_pods_are_not(obj: JSONObject) -> None:
    assert mutate(ALL, obj)["spec"]["containers"][0]["securityContext"] == HARDENED | {
        "readOnlyRootFilesystem": True
    }


def test_host_users_and_the_like_are_no_matter() -> None:
    obj = pod(hostUsers=False, hostNetwork=True)
    after = mutate(ALL, obj)["spec"]
    assert (after["hostUsers"], after["hostNetwork"]) == (False, True)


def test_a_template_gets_them_too() -> None:
    template = mutate(DEFAULT, deployment(pod()))["spec"]["template"]
    assert template["spec"]["securityContext"] == SECCOMP
    assert template["spec"]["containers"][0]["securityContext"] == HARDENED


def test_switching_everything_off_is_a_mistake() -> None:
    assert "switched off" in str(refused(SecurityContextDefaults, OFF))
