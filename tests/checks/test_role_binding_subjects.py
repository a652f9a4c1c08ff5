"""role-binding-subjects: who is made an admin, and what is bound to everybody."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.role_binding_subjects import RoleBindingSubjects

from .objects import found, judge_object
from .pods import JUNK, Said, table


def binding(
    *subjects: Any, role: str = "edit", kind: str = "ClusterRole", of: str = "RoleBinding"
) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": of,
        "metadata": {"name": "b", "namespace": "ml"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": list(subjects),
    }


def group(name: str) -> dict[str, Any]:
    return {"kind": "Group", "name": name}


def account(name: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "ServiceAccount", "name": name, **fields}


ADMIN: Said = [("binds-admin", "roleRef.name")]
EVERYBODY: Said = [("binds-everybody", "subjects[0].name")]
ADMINS = {"admins": ["platform", "system:serviceaccount:ml:installer"]}

CASES: dict[str, tuple[Any, dict[str, Any], Said]] = {
    "a role for a service account": ({}, binding(account("trainer"), role="trainer", kind="Role"), []),
    "edit for a team": ({}, binding(group("team-vision")), []),
    "nobody yet": ({}, {**binding(), "subjects": None}, []),
    "cluster-admin": ({}, binding(account("trainer"), role="cluster-admin"), ADMIN),
    "cluster-admin in the whole cluster": (
        {},
        binding(account("trainer", namespace="ml"), role="cluster-admin", of="ClusterRoleBinding"),
        ADMIN,
    ),
    "admin": ({}, binding(group("team"), role="admin"), ADMIN),
    "a Role that is called admin": ({}, binding(group("team"), role="admin", kind="Role"), []),
    "admin for nobody": (ADMINS, binding(role="admin"), ADMIN),
    "admin for the admins": (ADMINS, binding(group("platform"), account("installer"), role="admin"), []),
    "admin for one of them and another": (
        ADMINS,
        binding(group("platform"), account("trainer"), role="admin"),
        ADMIN,
    ),
    "an account of that name elsewhere": (
        ADMINS,
        binding(account("installer", namespace="web"), role="admin"),
        ADMIN,
    ),
    "other admin roles": ({"roles": ["*-admin"]}, binding(group("team"), role="kubeflow-admin"), ADMIN),
    "no roles": ({"roles": []}, binding(group("team"), role="cluster-admin"), []),
    "everybody who is logged in": ({}, binding(group("system:authenticated")), EVERYBODY),
    "everybody who is not": ({}, binding(group("system:unauthenticated")), EVERYBODY),
    "the anonymous user": ({}, binding({"kind": "User", "name": "system:anonymous"}), EVERYBODY),
    "masters": ({}, binding(group("system:masters")), EVERYBODY),
    "all service accounts": ({}, binding(group("system:serviceaccounts")), EVERYBODY),
    "all service accounts of a namespace": ({}, binding(group("system:serviceaccounts:ml")), EVERYBODY),
    "one service account by its user name": (
        {},
        binding({"kind": "User", "name": "system:serviceaccount:ml:trainer"}),
        [],
    ),
    "both at once": (
        {},
        binding(account("a"), group("system:authenticated"), role="cluster-admin"),
        [*ADMIN, ("binds-everybody", "subjects[1].name")],
    ),
    "a list of one's own": ({"everybody": ["all-*"]}, binding(group("all-staff")), EVERYBODY),
    "nobody is everybody": ({"everybody": []}, binding(group("system:authenticated")), []),
}


@table(CASES, "parameters, obj, said")
def test_a_binding_gives_somebody_something(parameters: Any, obj: dict[str, Any], said: Said) -> None:
    assert judge_object(RoleBindingSubjects, obj, parameters) == said


def test_the_message_names_what_is_bound() -> None:
    (violation,) = found(RoleBindingSubjects, binding(account("a"), role="cluster-admin"))
    assert violation.message.startswith(
        'the ClusterRole "cluster-admin" is for administrators alone; bind a Role'
    )


@pytest.mark.parametrize("junk", JUNK)
def test_parts_of_the_wrong_type_do_not_crash(junk: Any) -> None:
    for obj in (
        {**binding(), "subjects": junk, "roleRef": junk},
        binding(junk, {"kind": junk, "name": junk, "namespace": junk}),
        {**binding(), "roleRef": {"kind": "ClusterRole", "name": junk}},
    ):
        judge_object(RoleBindingSubjects, obj, ADMINS)
