"""drop-capabilities: containers drop ALL and add what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.drop_capabilities import DropCapabilities

from .pods import JUNK, Said, container, judge, refused, spec, table, violations

CAPABILITIES = "spec.containers[0].securityContext.capabilities"
KEPT: Said = [("capabilities-not-dropped", f"{CAPABILITIES}.drop")]
ADDED: Said = [("capability-added", f"{CAPABILITIES}.add")]

CASES: dict[str, tuple[Any, Said]] = {
    "drops ALL": ({"drop": ["ALL"]}, []),
    "drops ALL and more": ({"drop": ["NET_RAW", "ALL"]}, []),
    "drops some": ({"drop": ["NET_RAW"]}, KEPT),
    "drops all in lower case": ({"drop": ["all"]}, KEPT),
    "drops nothing": ({}, KEPT),
    "drop is text": ({"drop": "ALL"}, KEPT),
    "adds one": ({"drop": ["ALL"], "add": ["SYS_ADMIN"]}, ADDED),
    "adds the allowed": ({"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, []),
    "adds the allowed, otherwise written": ({"drop": ["ALL"], "add": ["CAP_NET_BIND_SERVICE"]}, ADDED),
    "adds the allowed and another": ({"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CHOWN"]}, ADDED),
    "adds ALL": ({"drop": ["ALL"], "add": ["ALL"]}, ADDED),
    "adds none": ({"drop": ["ALL"], "add": []}, []),
    "adds null": ({"drop": ["ALL"], "add": None}, []),
    "adds without dropping": ({"add": ["SYS_ADMIN"]}, KEPT + ADDED),
}


@table(CASES, "capabilities, said")
def test_a_container_drops_all_and_adds_what_is_allowed(capabilities: Any, said: Said) -> None:
    made = container(securityContext={"capabilities": capabilities})
    assert judge(DropCapabilities, spec(made), {"allowedAdd": ["NET_BIND_SERVICE"]}) == said


@pytest.mark.parametrize("junk", JUNK)
def test_what_is_of_the_wrong_type_drops_nothing(junk: Any) -> None:
    for context in (junk, {"capabilities": junk}, {"capabilities": {"drop": junk}}):
        made = {"name": "train", "securityContext": context}
        assert judge(DropCapabilities, spec(made)) == KEPT


@pytest.mark.parametrize("list_name", ["initContainers", "containers", "ephemeralContainers"])
def test_every_kind_of_container_is_judged(list_name: str) -> None:
    pod = spec()
    pod[list_name] = [
        container(securityContext=None),
        container(
            securityContext={"capabilities": {"drop": ["ALL"], "add": ["BPF"]}}, restartPolicy="Always"
        ),
    ]
    assert judge(DropCapabilities, pod) == [
        ("capabilities-not-dropped", f"spec.{list_name}[0].securityContext.capabilities.drop"),
        ("capability-added", f"spec.{list_name}[1].securityContext.capabilities.add"),
    ]


RDMA: dict[str, tuple[Any, bool]] = {
    "an RDMA resource": ({"limits": {"rdma/hca_shared_devices_a": 1}}, True),
    "EFA": ({"limits": {"vpc.amazonaws.com/efa": "4"}}, True),
    "requested only": ({"requests": {"rdma/hca": 1}}, True),
    "none of it": ({"limits": {"rdma/hca": "0"}}, False),
    "a malformed count": ({"limits": {"rdma/hca": "x"}}, False),
    "a GPU": ({"limits": {"nvidia.com/gpu": 8}}, False),
    "nothing": ({}, False),
}


@table(RDMA, "resources, admitted")
def test_memory_may_be_locked_where_rdma_is_requested(resources: Any, admitted: bool) -> None:
    context = {"capabilities": {"drop": ["ALL"], "add": ["IPC_LOCK"]}}
    made = container(securityContext=context, resources=resources)
    assert judge(DropCapabilities, spec(made)) == ([] if admitted else ADDED)


def test_rdma_in_one_container_does_not_let_another_lock_memory() -> None:
    context = {"capabilities": {"drop": ["ALL"], "add": ["IPC_LOCK"]}}
    pod = spec(
        container("helper", securityContext=context),
        container(securityContext=context, resources={"limits": {"rdma/hca": 1}}),
    )
    assert judge(DropCapabilities, pod) == ADDED


@pytest.mark.parametrize(("system", "judged"), [("windows", False), ("linux", True)])
def test_windows_pods_are_left_out(system: str, judged: bool) -> None:
    pod = spec(container(securityContext=None), os={"name": system})
    assert judge(DropCapabilities, pod) == (KEPT if judged else [])


def test_the_message_says_what_to_write() -> None:
    context = {"capabilities": {"add": ["SYS_ADMIN", "IPC_LOCK"]}}
    pod = spec(container(securityContext=context))
    assert [v.message for v in violations(DropCapabilities, pod, {"allowedAdd": ["CHOWN"]})] == [
        (
            'container "train" keeps Linux capabilities it does not need; add '
            "securityContext.capabilities: {drop: [ALL]}"
        ),
        (
            'container "train" adds the capabilities SYS_ADMIN and IPC_LOCK; remove them; allowed: CHOWN; '
            "IPC_LOCK is for containers that request RDMA"
        ),
    ]


BAD_PARAMETERS: dict[str, tuple[str, str]] = {
    "prefixed": ("CAP_CHOWN", 'write "CHOWN"'),
    "lower case": ("chown", 'write "CHOWN"'),
    "misspelt": ("IPCLOCK", 'did you mean "IPC_LOCK"?'),
    "ALL": ("ALL", '"ALL" is no capability'),
    "empty": ("", '"" is no capability'),
}


@table(BAD_PARAMETERS, "capability, message")
def test_capabilities_that_do_not_exist_are_refused(capability: str, message: str) -> None:
    error = refused(DropCapabilities, {"allowedAdd": ["CHOWN", capability]})
    assert error.field == "allowedAdd[1]"
    assert message in str(error)
