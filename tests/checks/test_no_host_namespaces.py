"""no-host-namespaces: pods stay out of the network, process and IPC namespaces of their node."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.no_host_namespaces import NoHostNamespaces

from .pods import Said, judge, spec, table, violations

CASES: dict[str, tuple[Any, Said]] = {
    "none": ({}, []),
    "false": ({"hostNetwork": False, "hostPID": False, "hostIPC": False}, []),
    "null": ({"hostNetwork": None}, []),
    "text is the API server's to refuse": ({"hostNetwork": "true"}, []),
    "hostNetwork": ({"hostNetwork": True}, [("host-network", "spec.hostNetwork")]),
    "hostPID": ({"hostPID": True}, [("host-pid", "spec.hostPID")]),
    "hostIPC": ({"hostIPC": True}, [("host-ipc", "spec.hostIPC")]),
    "all": (
        {"hostIPC": True, "hostPID": True, "hostNetwork": True},
        [
            ("host-network", "spec.hostNetwork"),
            ("host-pid", "spec.hostPID"),
            ("host-ipc", "spec.hostIPC"),
        ],
    ),
    "hostUsers is another matter": ({"hostUsers": True}, []),
}


@table(CASES, "fields, said")
def test_a_pod_uses_no_namespace_of_its_node(fields: Any, said: Said) -> None:
    assert judge(NoHostNamespaces, spec(**fields)) == said


@pytest.mark.parametrize("field", ["hostNetwork", "hostPID", "hostIPC"])
def test_the_message_says_to_remove_the_field(field: str) -> None:
    (violation,) = violations(NoHostNamespaces, spec(**{field: True}))
    assert f"remove {field}" in violation.message
