"""The check ``role-binding-subjects``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

from webhook.checks.wording import short
from webhook.kube.shape import JSONObject, indexed, mapping, text
from webhook.policy.constraints import MinLen
from webhook.policy.findings import Severity, Violation
from webhook.policy.match import Listed
from webhook.policy.rule import Context, ObjectCheck
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.object import Object

_RBAC: Final = "rbac.authorization.k8s.io"


class RoleBindingSubjects(ObjectCheck):
    """A RoleBinding or ClusterRoleBinding gives nobody the whole cluster, and nothing to everybody.

    Why:
        A binding to cluster-admin ends what roles are for. A binding to system:authenticated or to all service
        accounts reaches every workload of the cluster, of other teams too, and one to system:unauthenticated the
        network.

    Restricted fields:
        roleRef.name
        subjects[*].name

    Allowed values:
        roleRef names no ClusterRole of ``roles``, unless every subject is among ``admins``. No subject, User, Group or
        ServiceAccount, is among ``everybody``. Service accounts count as their user names,
        system:serviceaccount:NAMESPACE:NAME. A Role of the namespace that happens to be called admin is no admin.

    Remediation:
        Bind a role with the rights that are needed, to the service account or group that needs them.

    Source:
        https://kubernetes.io/docs/reference/access-authn-authz/rbac/#user-facing-roles
        https://kubernetes.io/docs/concepts/security/rbac-good-practices/
        k8s.io/api rbac/v1/types.go (RoleBinding, Subject); k8s.io/apiserver
        pkg/authentication/serviceaccount/util.go (MakeUsername)
    """

    name = "role-binding-subjects"
    title = "Bindings make nobody an admin and serve not everybody"
    severity = Severity.HIGH
    kinds = ((_RBAC, "ClusterRoleBinding"), (_RBAC, "RoleBinding"))

    class Parameters(Strict, frozen=True):
        """Settings of ``role-binding-subjects``."""

        roles: tuple[Annotated[str, MinLen(1)], ...] = ("admin", "cluster-admin")
        """ClusterRoles that only ``admins`` may have, or globs over their names."""
        admins: tuple[Annotated[str, MinLen(1)], ...] = ()
        """Users, groups and service accounts (system:serviceaccount:NAMESPACE:NAME) that may have them, or globs."""
        everybody: tuple[Annotated[str, MinLen(1)], ...] = (
            "system:anonymous",
            "system:authenticated",
            "system:masters",
            "system:serviceaccounts",
            "system:serviceaccounts:*",
            "system:unauthenticated",
        )
        """Users and groups that nothing may be bound to, or globs over them."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        self._roles = Listed(parameters.roles)
        self._admins = Listed(parameters.admins)
        self._everybody = Listed(parameters.everybody)

    def __call__(self, obj: Object) -> Iterator[Violation]:
        role = mapping(obj.raw, "roleRef")
        name = text(role, "name")
        subjects = indexed(obj.raw, "subjects")
        names = [_user_name(subject, obj.namespace) for _, subject in subjects]
        if (
            text(role, "kind") == "ClusterRole"
            and self._roles.match(name)
            and not (names and all(map(self._admins.match, names)))
        ):
            yield Violation(
                "binds-admin",
                ("roleRef", "name"),
                f'the ClusterRole "{short(name)}" is for administrators alone; bind a Role with the rights that are '
                "needed",
            )
        for (i, subject), called in zip(subjects, names, strict=True):
            if self._everybody.match(called):
                yield Violation(
                    "binds-everybody",
                    ("subjects", i, "name") if "name" in subject else ("subjects", i),
                    f'"{short(called)}" is far more than one team; name the service account, user or group that needs '
                    "the role",
                )


def _user_name(subject: JSONObject, namespace: str) -> str:
    """What the API server calls the subject."""
    name = text(subject, "name")
    if subject.get("kind") == "ServiceAccount":
        return f"system:serviceaccount:{text(subject, 'namespace') or namespace}:{name}"
    return name
