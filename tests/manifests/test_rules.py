"""The API server is asked to send what gpuward can judge, all of it, by its real name."""

from __future__ import annotations

import pytest

from manifests.rules import rules
from webhook.checks import CHECKS
from webhook.kube.gvk import GroupVersionKind
from webhook.kube.kinds import BUILT_IN
from webhook.kube.resources import is_cluster_scoped, plural
from webhook.kube.workloads.table import WORKLOADS
from webhook.policy.rule import ObjectCheck


def _asked(part: str) -> set[tuple[str, str]]:
    return {
        (group, resource)
        for rule in rules()[part]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize(("group", "kind"), [name for name in WORKLOADS if name[0] != "extensions"])
def test_every_known_workload_is_asked_about(group: str, kind: str) -> None:
    part = "clusterScoped" if is_cluster_scoped(GroupVersionKind(group, "", kind)) else "workloads"
    assert (group, plural(group, kind)) in _asked(part)


def test_every_kind_that_a_check_judges_is_asked_about() -> None:
    kinds = [kind for check in CHECKS if issubclass(check, ObjectCheck) for kind in check.kinds]
    assert kinds
    for group, kind in kinds:
        assert (group, plural(group, kind)) in _asked("objects") | _asked("clusterScoped") | _asked("guarded")


def test_no_way_to_the_labels_of_a_namespace_is_forgotten() -> None:
    assert {("", "namespaces"), ("", "namespaces/status"), ("", "namespaces/finalize")} <= _asked("guarded")


def test_built_in_kinds_are_asked_about_in_one_version() -> None:
    for part in rules().values():
        for rule in part:
            (group,) = rule["apiGroups"]
            assert ("*" in rule["apiVersions"]) == (group not in BUILT_IN)


@pytest.mark.parametrize(
    "group", ["coordination.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "*"]
)
def test_what_the_cluster_needs_to_live_is_never_asked_about(group: str) -> None:
    asked = _asked("pods") | _asked("workloads") | _asked("objects") | _asked("clusterScoped")
    assert group not in {name for name, _ in asked}
    assert not {"nodes", "leases", "namespaces", "secrets", "*", "pods/*"} & {
        resource for _, resource in asked
    }
