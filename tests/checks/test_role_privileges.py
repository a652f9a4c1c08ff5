"""role-privileges: wildcards, secrets, escalation and ways into pods."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.role_powers import POWERS
from webhook.checks.role_privileges import RolePrivileges
from webhook.policy.crd import GROUP, PLURALS

from .objects import found, judge_object, refused_object_check
from .pods import JUNK, Said, table

RBAC = "rbac.authorization.k8s.io"


def role(*rules: Any, name: str = "r", kind: str = "Role", **fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": kind,
        "metadata": {"name": name},
        "rules": list(rules),
        **fields,
    }


def rule(resources: Any, verbs: Any, groups: Any = ("",), **fields: Any) -> dict[str, Any]:
    return {"apiGroups": list(groups), "resources": list(resources), "verbs": list(verbs), **fields}


R = "rules[0]"
CASES: dict[str, tuple[dict[str, Any], Said]] = {
    "what it needs": (
        role(rule(["pods", "pods/log"], ["get", "list", "watch"]), rule(["jobs"], ["create"], ["batch"])),
        [],
    ),
    "no rules": (role(), []),
    "all verbs": (role(rule(["pods"], ["*"])), [("wildcard-verb", f"{R}.verbs[0]")]),
    "all resources": (role(rule(["pods", "*"], ["get"])), [("wildcard-resource", f"{R}.resources[1]")]),
    "all subresources": (role(rule(["pods/*"], ["get"])), [("wildcard-resource", f"{R}.resources[0]")]),
    "a subresource of all": (role(rule(["*/scale"], ["get"])), [("wildcard-resource", f"{R}.resources[0]")]),
    "all groups": (role(rule(["jobs"], ["get"], ["*"])), [("wildcard-group", f"{R}.apiGroups[0]")]),
    "everything": (
        role(rule(["*"], ["*"], ["*"])),
        [
            ("wildcard-group", f"{R}.apiGroups[0]"),
            ("wildcard-resource", f"{R}.resources[0]"),
            ("wildcard-verb", f"{R}.verbs[0]"),
        ],
    ),
    "reading secrets": (
        role(rule(["configmaps", "secrets"], ["get"])),
        [("reads-secrets", f"{R}.resources[1]")],
    ),
    "watching secrets": (role(rule(["secrets"], ["watch"])), [("reads-secrets", f"{R}.resources[0]")]),
    "secrets with all verbs": (
        role(rule(["secrets"], ["*"])),
        [("wildcard-verb", f"{R}.verbs[0]"), ("reads-secrets", f"{R}.resources[0]")],
    ),
    "writing secrets": (role(rule(["secrets"], ["create", "patch"])), []),
    "a named secret is a secret": (
        role(rule(["secrets"], ["get"], resourceNames=["db"])),
        [("reads-secrets", f"{R}.resources[0]")],
    ),
    "secrets of another group": (role(rule(["secrets"], ["get"], ["example.com"])), []),
    "escalate on roles": (
        role(rule(["roles"], ["get", "escalate"], [RBAC])),
        [("escalates", f"{R}.verbs[1]")],
    ),
    "bind on cluster roles": (
        role(rule(["clusterroles"], ["bind"], [RBAC])),
        [("escalates", f"{R}.verbs[0]")],
    ),
    "bind of something else": (role(rule(["volumes"], ["bind"], ["example.com"])), []),
    "impersonate": (role(rule(["serviceaccounts"], ["impersonate"])), [("impersonates", f"{R}.verbs[0]")]),
    "impersonate in part": (
        role(rule(["users"], ["impersonate:user-info"], ["authentication.k8s.io"])),
        [("impersonates", f"{R}.verbs[0]")],
    ),
    "exec": (role(rule(["pods", "pods/exec"], ["create"])), [("enters-pods", f"{R}.resources[1]")]),
    "exec by get is exec": (role(rule(["pods/exec"], ["get"])), [("enters-pods", f"{R}.resources[0]")]),
    "attach and debug containers": (
        role(rule(["pods/attach", "pods/ephemeralcontainers"], ["patch"])),
        [("enters-pods", f"{R}.resources[0]"), ("enters-pods", f"{R}.resources[1]")],
    ),
    "a port forward is none": (role(rule(["pods/portforward"], ["create"])), []),
    "non-resource URLs": (
        role({"nonResourceURLs": ["/healthz", "/metrics/*", "*"], "verbs": ["get"]}, kind="ClusterRole"),
        [("wildcard-url", f"{R}.nonResourceURLs[1]"), ("wildcard-url", f"{R}.nonResourceURLs[2]")],
    ),
    "every rule is judged": (
        role(rule(["pods"], ["*"]), rule(["secrets"], ["list"])),
        [("wildcard-verb", f"{R}.verbs[0]"), ("reads-secrets", "rules[1].resources[0]")],
    ),
    "tokens of service accounts": (
        role(rule(["serviceaccounts", "serviceaccounts/token"], ["get", "create"])),
        [("creates-tokens", f"{R}.resources[1]")],
    ),
    "a named account is an account": (
        role(rule(["serviceaccounts/token"], ["create"], resourceNames=["builder"])),
        [("creates-tokens", f"{R}.resources[0]")],
    ),
    "service accounts without tokens": (role(rule(["serviceaccounts"], ["create", "delete"])), []),
    "labels of the namespace": (
        role(rule(["namespaces"], ["get", "patch"])),
        [("changes-namespaces", f"{R}.resources[0]")],
    ),
    "reading the namespace": (role(rule(["namespaces"], ["get", "list"])), []),
    "through the kubelet": (
        role(rule(["nodes", "nodes/proxy"], ["get"]), kind="ClusterRole"),
        [("reaches-kubelets", f"{R}.resources[1]")],
    ),
    "folders of nodes": (
        role(rule(["persistentvolumeclaims", "persistentvolumes"], ["create"]), kind="ClusterRole"),
        [("creates-persistent-volumes", f"{R}.resources[1]")],
    ),
    "certificates under any name": (
        role(
            rule(["certificatesigningrequests"], ["create"], ["certificates.k8s.io"]),
            rule(["certificatesigningrequests/approval"], ["update"], ["certificates.k8s.io"]),
            rule(["signers"], ["approve"], ["certificates.k8s.io"], resourceNames=["kubernetes.io/kubelet"]),
            kind="ClusterRole",
        ),
        [
            ("approves-certificates", "rules[1].resources[0]"),
            ("approves-certificates", "rules[2].resources[0]"),
        ],
    ),
    "what is checked at admission": (
        role(
            rule(["mutatingwebhookconfigurations"], ["patch"], ["admissionregistration.k8s.io"]),
            rule(["policyexceptions"], ["create"], ["gpuward.dev"]),
            rule(["validatingwebhookconfigurations"], ["get", "list"], ["admissionregistration.k8s.io"]),
            kind="ClusterRole",
        ),
        [("controls-admission", "rules[0].resources[0]"), ("controls-admission", "rules[1].resources[0]")],
    ),
    "in any group is in this one": (
        role(rule(["serviceaccounts/token"], ["create"], ["*"])),
        [("wildcard-group", f"{R}.apiGroups[0]"), ("creates-tokens", f"{R}.resources[0]")],
    ),
    "resources of the same name in another group": (
        role(rule(["namespaces", "policies", "signers"], ["update"], ["example.com"])),
        [],
    ),
    "aggregation by label": (
        role(
            kind="ClusterRole",
            aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"example.com/aggregate": "true"}}]},
        ),
        [],
    ),
    "aggregation of everything": (
        role(kind="ClusterRole", aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}, {}]}),
        [("aggregates-all", "aggregationRule.clusterRoleSelectors[1]")],
    ),
}


@table(CASES, "obj, said")
def test_a_role_allows_what_it_names(obj: dict[str, Any], said: Said) -> None:
    assert judge_object(RolePrivileges, obj) == said


SETTINGS: dict[str, tuple[Any, dict[str, Any], Said]] = {
    "a role that may read secrets": (
        {"secretReaders": ["vault-*"]},
        role(rule(["secrets"], ["get"]), name="vault-agent"),
        [],
    ),
    "another role": (
        {"secretReaders": ["vault-*"]},
        role(rule(["secrets"], ["get"])),
        [("reads-secrets", f"{R}.resources[0]")],
    ),
    "a secret that may be read": (
        {"readableSecrets": ["public-*"]},
        role(rule(["secrets"], ["get"], resourceNames=["public-ca"])),
        [],
    ),
    "one that may not among them": (
        {"readableSecrets": ["public-*"]},
        role(rule(["secrets"], ["get"], resourceNames=["public-ca", "db"])),
        [("reads-secrets", f"{R}.resources[0]")],
    ),
    "without names all are read": (
        {"readableSecrets": ["public-*"]},
        role(rule(["secrets"], ["list"])),
        [("reads-secrets", f"{R}.resources[0]")],
    ),
    "a role for debugging": (
        {"execRoles": ["debug"]},
        role(rule(["pods/exec"], ["create"]), name="debug"),
        [],
    ),
    "a role for tokens": (
        {"powerfulRoles": ["token-*"]},
        role(rule(["serviceaccounts/token"], ["create"]), name="token-vendor"),
        [],
    ),
    "an account whose tokens may be made": (
        {"tokenAccounts": ["builder"]},
        role(rule(["serviceaccounts/token"], ["create"], resourceNames=["builder"])),
        [],
    ),
    "that and others": (
        {"tokenAccounts": ["builder"]},
        role(rule(["serviceaccounts/token"], ["create"], resourceNames=["builder", "default"])),
        [("creates-tokens", f"{R}.resources[0]")],
    ),
    "powers that are not asked for": (
        {"powers": ["creates-workloads"]},
        role(rule(["namespaces"], ["patch"]), rule(["jobs"], ["create"], ["batch"])),
        [("creates-workloads", "rules[1].resources[0]")],
    ),
    "no powers": ({"powers": []}, role(rule(["namespaces"], ["patch"])), []),
    "other ways into a pod": (
        {"execResources": ["pods/portforward"]},
        role(rule(["pods/exec", "pods/portforward"], ["create"])),
        [("enters-pods", f"{R}.resources[1]")],
    ),
}


@table(SETTINGS, "parameters, obj, said")
def test_lists_say_who_may(parameters: Any, obj: dict[str, Any], said: Said) -> None:
    assert judge_object(RolePrivileges, obj, parameters) == said


def test_the_message_says_what_to_do() -> None:
    (secrets,) = found(RolePrivileges, role(rule(["secrets"], ["get", "watch"])))
    assert secrets.message.startswith("the role may read secrets (get and watch); take secrets out")


def test_a_message_names_the_verbs_that_give_the_power() -> None:
    (tokens,) = found(RolePrivileges, role(rule(["serviceaccounts/token"], ["get", "create"])))
    assert tokens.message == (
        "with create on serviceaccounts/token one acts as any service account of the namespace, with all its rights; "
        "take it out, or ask for the role to be listed in powerfulRoles"
    )


def test_what_a_role_cannot_give_is_said_to_do_nothing() -> None:
    (proxy,) = found(RolePrivileges, role(rule(["nodes/proxy"], ["get"])))
    assert (
        proxy.message
        == "get on nodes/proxy is nothing a Role can give, as it is in no namespace; take it out"
    )


def test_all_custom_resources_of_gpuward_are_guarded() -> None:
    (power,) = (power for power in POWERS if power.name == "controls-admission")
    assert {resource for group, resource in power.resources if group == GROUP} == set(PLURALS.values())


@pytest.mark.parametrize("junk", JUNK)
def test_parts_of_the_wrong_type_do_not_crash(junk: Any) -> None:
    whole = {
        "apiGroups": junk,
        "resources": junk,
        "verbs": junk,
        "resourceNames": junk,
        "nonResourceURLs": junk,
    }
    for obj in (
        {**role(), "rules": junk},
        role(junk, whole),
        role(rule([junk, "secrets"], [junk, "get"], [junk, ""])),
        {**role(), "aggregationRule": junk},
        {**role(), "aggregationRule": {"clusterRoleSelectors": junk}},
    ):
        judge_object(RolePrivileges, obj, {"readableSecrets": ["a"]})


def test_a_resource_without_a_subresource_is_no_way_into_a_pod() -> None:
    error = refused_object_check(RolePrivileges, {"execResources": ["pods/exec", "pods"]})
    assert error.field == "execResources[1]"
    assert "pods/exec" in str(error)
