"""no-privileged: no container is root, or administrator, on its node."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.no_privileged import NoPrivileged

from .pods import JUNK, Said, container, judge, spec, table, violations

CONTEXT = "spec.containers[0].securityContext"

CONTAINERS: dict[str, tuple[Any, Said]] = {
    "absent": (None, []),
    "empty": ({}, []),
    "false": ({"privileged": False}, []),
    "null": ({"privileged": None}, []),
    "true": ({"privileged": True}, [("privileged", f"{CONTEXT}.privileged")]),
    "text is the API server's to refuse": ({"privileged": "true"}, []),
    "HostProcess": (
        {"windowsOptions": {"hostProcess": True}},
        [("host-process", f"{CONTEXT}.windowsOptions.hostProcess")],
    ),
    "no HostProcess": ({"windowsOptions": {"hostProcess": False, "runAsUserName": "x"}}, []),
    "both": (
        {"privileged": True, "windowsOptions": {"hostProcess": True}},
        [
            ("privileged", f"{CONTEXT}.privileged"),
            ("host-process", f"{CONTEXT}.windowsOptions.hostProcess"),
        ],
    ),
}


@table(CONTAINERS, "security_context, said")
def test_a_container_is_not_privileged(security_context: Any, said: Said) -> None:
    assert judge(NoPrivileged, spec(container(securityContext=security_context))) == said


@pytest.mark.parametrize("list_name", ["initContainers", "containers", "ephemeralContainers"])
@pytest.mark.parametrize("field", ["privileged", "hostProcess"])
def test_every_kind_of_container_is_judged(list_name: str, field: str) -> None:
    context = {"privileged": True} if field == "privileged" else {"windowsOptions": {"hostProcess": True}}
    pod = spec()
    pod[list_name] = [container(), container(securityContext=context, restartPolicy="Always")]
    assert len(judge(NoPrivileged, pod)) == 1


def test_a_pod_is_not_host_process() -> None:
    pod = spec(securityContext={"windowsOptions": {"hostProcess": True}})
    assert judge(NoPrivileged, pod) == [("host-process", "spec.securityContext.windowsOptions.hostProcess")]


@pytest.mark.parametrize("junk", JUNK)
def test_contexts_of_the_wrong_type_grant_nothing(junk: Any) -> None:
    for context in (junk, {"windowsOptions": junk}):
        assert judge(NoPrivileged, spec(container(securityContext=context), securityContext=context)) == []


def test_the_message_says_what_to_write() -> None:
    (violation,) = violations(NoPrivileged, spec(container(securityContext={"privileged": True})))
    assert violation.message == (
        'container "train" is privileged, which is root on the node; remove privileged, '
        "and request devices such as GPUs in resources.limits"
    )
