"""The check ``role-privileges``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Final

from webhook.checks.role_powers import POWERS, Power, PowerName
from webhook.checks.wording import listed, short
from webhook.kube.path import Path
from webhook.kube.shape import JSONObject, indexed, indexed_strings, mapping, strings, text
from webhook.policy.constraints import MinLen
from webhook.policy.findings import Severity, Violation
from webhook.policy.match import Listed
from webhook.policy.rule import Context, ObjectCheck, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.object import Object

_RBAC: Final = "rbac.authorization.k8s.io"
_READING: Final = frozenset({"get", "list", "watch"})
# With these two, whoever has the role can give themselves any other.
_ESCALATING: Final = frozenset({"escalate", "bind"})


class RolePrivileges(ObjectCheck):
    """A Role or ClusterRole allows no more than it names, and nothing by which one becomes somebody else.

    Why:
        Notebooks and pipelines run under service accounts, and whoever gets code into them has what the accounts
        have. A wildcard also covers what is added to the cluster later. Secrets hold the keys of model registries and
        buckets; with escalate, bind or impersonate one takes any right there is; with pods/exec one runs commands as
        any workload of the namespace. Others look harmless: with create on serviceaccounts/token one acts as any
        service account, with patch on namespaces one takes off the label by which policies are in force.

    Restricted fields:
        rules[*].apiGroups
        rules[*].resources
        rules[*].verbs
        rules[*].nonResourceURLs
        aggregationRule.clusterRoleSelectors[*]

    Allowed values:
        No * among verbs and apiGroups, none among resources or within one (pods/*, */scale), none at the end of a
        non-resource URL.

        The verbs get, list and watch on secrets (and *) only for roles of ``secretReaders``, or where every one of
        resourceNames is among ``readableSecrets``.

        No verb escalate or bind on roles and cluster roles, no verb impersonate on anything.

        The resources of ``execResources``, with any verb, only for roles of ``execRoles``.

        The rights of ``powers`` only for roles of ``powerfulRoles``:

        - approves-certificates: update, patch, approve or sign on certificatesigningrequests/approval and on signers
        - changes-namespaces: update or patch on namespaces, also by a Role, for the namespace it is in
        - controls-admission: create, update, patch or delete on webhook configurations, Kubernetes' admission policies
          and their bindings, and the custom resources of gpuward.dev
        - creates-persistent-volumes: create, update or patch on persistentvolumes
        - creates-tokens: create on serviceaccounts/token, unless every one of resourceNames is among ``tokenAccounts``
        - creates-workloads: create, update or patch on pods, deployments, jobs and the like; not by default, as
          pipelines have to
        - reaches-kubelets: any verb on nodes/proxy

        What a Role cannot give, as it is in no namespace, is a finding too: whoever wrote it meant something by it.

        An aggregationRule has no selector that selects all cluster roles. What it does select is judged where those
        roles are written.

    Remediation:
        Name the verbs, groups and resources that are needed; mount a secret as a file, which takes no right to read it
        through the API.

    Source:
        https://kubernetes.io/docs/concepts/security/rbac-good-practices/
        k8s.io/api rbac/v1/types.go (PolicyRule, AggregationRule); k8s.io/component-helpers
        auth/rbac/validation/policy_comparator.go
    """

    name = "role-privileges"
    title = "Roles allow what they name, and no escalation"
    severity = Severity.HIGH
    kinds = ((_RBAC, "ClusterRole"), (_RBAC, "Role"))

    class Parameters(Strict, frozen=True):
        """Settings of ``role-privileges``."""

        secretReaders: tuple[Annotated[str, MinLen(1)], ...] = ()
        """Names of roles, or globs over them, that may read secrets."""
        readableSecrets: tuple[Annotated[str, MinLen(1)], ...] = ()
        """Names of secrets, or globs over them, that any role may read if it names them in resourceNames."""
        execRoles: tuple[Annotated[str, MinLen(1)], ...] = ()
        """Names of roles, or globs over them, that may use the ``execResources``."""
        execResources: tuple[Annotated[str, MinLen(1)], ...] = (
            "pods/exec",
            "pods/attach",
            "pods/ephemeralcontainers",
        )
        """Subresources through which one gets into a running pod. pods/portforward and pods/proxy could be added."""
        powers: tuple[PowerName, ...] = tuple(
            power.name for power in POWERS if power.name != "creates-workloads"
        )
        """Rights by which one gets more than the role says, of those listed above. Without it: all but
        creates-workloads."""
        powerfulRoles: tuple[Annotated[str, MinLen(1)], ...] = ()
        """Names of roles, or globs over them, that may have the ``powers``."""
        tokenAccounts: tuple[Annotated[str, MinLen(1)], ...] = ()
        """Names of service accounts, or globs over them, for which any role may create tokens if it names them in
        resourceNames."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        for i, resource in enumerate(parameters.execResources):
            if "/" not in resource or "*" in resource:
                message = f'"{short(resource)}" is no subresource; write it as pods/exec'
                raise ParameterError(message, f"execResources[{i}]")
        self._secret_readers = Listed(parameters.secretReaders)
        self._readable = Listed(parameters.readableSecrets)
        self._exec_roles = Listed(parameters.execRoles)
        self._exec = frozenset(parameters.execResources)
        self._powers = tuple(power for power in POWERS if power.name in parameters.powers)
        self._powerful_roles = Listed(parameters.powerfulRoles)
        self._token_accounts = Listed(parameters.tokenAccounts)

    def __call__(self, obj: Object) -> Iterator[Violation]:
        name = text(mapping(obj.raw, "metadata"), "name")
        for i, rule in indexed(obj.raw, "rules"):
            path: Path = ("rules", i)
            yield from _wildcards(rule, path)
            yield from _escalation(rule, path)
            if not self._powerful_roles.match(name):
                yield from self._more_than_it_seems(rule, path, in_role=obj.kind.kind == "Role")
            groups = strings(rule, "apiGroups")
            if "" in groups or "*" in groups:
                if not self._secret_readers.match(name):
                    yield from self._secrets(rule, path)
                if not self._exec_roles.match(name):
                    yield from self._entering(rule, path)
        for i, selector in indexed(mapping(obj.raw, "aggregationRule"), "clusterRoleSelectors"):
            if not selector.get("matchLabels") and not selector.get("matchExpressions"):
                yield Violation(
                    "aggregates-all",
                    ("aggregationRule", "clusterRoleSelectors", i),
                    "an empty selector adds the rules of every ClusterRole, cluster-admin's too; select the roles that "
                    "are meant by a label",
                )

    def _secrets(self, rule: JSONObject, path: Path) -> Iterator[Violation]:
        reading = [verb for verb in strings(rule, "verbs") if verb in _READING or verb == "*"]
        names = strings(rule, "resourceNames")
        if not reading or (names and all(map(self._readable.match, names))):
            return
        for j, resource in indexed_strings(rule, "resources"):
            if resource == "secrets":
                yield Violation(
                    "reads-secrets",
                    (*path, "resources", j),
                    f"the role may read secrets ({_shown(reading)}); take secrets out, and mount the one that is "
                    "needed into the pod as a file, which needs no such right",
                )

    def _entering(self, rule: JSONObject, path: Path) -> Iterator[Violation]:
        if not strings(rule, "verbs"):
            return
        for j, resource in indexed_strings(rule, "resources"):
            if resource in self._exec:
                yield Violation(
                    "enters-pods",
                    (*path, "resources", j),
                    f"with {short(resource)} one gets into every pod of the namespace, with all its data and rights; "
                    "take it out, or ask for the role to be listed in execRoles",
                )

    def _more_than_it_seems(self, rule: JSONObject, path: Path, *, in_role: bool) -> Iterator[Violation]:
        groups, verbs = strings(rule, "apiGroups"), strings(rule, "verbs")
        names = strings(rule, "resourceNames")
        for j, resource in indexed_strings(rule, "resources"):
            for power in self._powers:
                if not any(name == resource and _is_in(group, groups) for group, name in power.resources):
                    continue
                having = power.given_by(verbs)
                if power.name == "creates-tokens" and names and all(map(self._token_accounts.match, names)):
                    continue
                if having:
                    yield Violation(
                        power.name, (*path, "resources", j), _power(power, resource, having, in_role)
                    )


def _is_in(group: str, groups: Sequence[str]) -> bool:
    return group in groups or "*" in groups


def _power(power: Power, resource: str, verbs: Sequence[str], in_role: bool) -> str:
    what = f"{_shown(verbs)} on {short(resource)}"
    advice = "take it out, or ask for the role to be listed in powerfulRoles"
    if in_role and not power.in_namespace:
        return f"{what} is nothing a Role can give, as it is in no namespace; take it out"
    return f"with {what} one {power.means}; {advice}"


def _wildcards(rule: JSONObject, path: Path) -> Iterator[Violation]:
    for field, advice in (
        ("apiGroups", 'the groups that are needed ("" is the core group)'),
        ("resources", "the resources that are needed"),
        ("verbs", "the verbs that are needed, such as get, list and watch"),
    ):
        for j, value in indexed_strings(rule, field):
            if value == "*" or (field == "resources" and "*" in value.split("/")):
                yield Violation(
                    f"wildcard-{_SINGULAR[field]}",
                    (*path, field, j),
                    f"{short(value)} stands for all {_PLURAL[field]}, those still to come too; name {advice}",
                )
    for j, url in indexed_strings(rule, "nonResourceURLs"):
        if url.endswith("*"):
            yield Violation(
                "wildcard-url",
                (*path, "nonResourceURLs", j),
                f"{short(url)} stands for every address that begins so; name those that are needed, such as /healthz",
            )


_SINGULAR: Final = {"apiGroups": "group", "resources": "resource", "verbs": "verb"}
_PLURAL: Final = {"apiGroups": "API groups", "resources": "resources", "verbs": "verbs"}


def _escalation(rule: JSONObject, path: Path) -> Iterator[Violation]:
    groups, resources = strings(rule, "apiGroups"), strings(rule, "resources")
    on_roles = (_RBAC in groups or "*" in groups) and any(
        resource in ("roles", "clusterroles", "*") for resource in resources
    )
    for j, verb in indexed_strings(rule, "verbs"):
        if verb in _ESCALATING and on_roles:
            yield Violation(
                "escalates",
                (*path, "verbs", j),
                f"with {verb} on roles one can take any right in the cluster; remove the verb",
            )
        # Since Kubernetes 1.35 also as impersonate:user-info and impersonate-on:user-info:list.
        elif verb.startswith("impersonate"):
            yield Violation(
                "impersonates",
                (*path, "verbs", j),
                f"with {short(verb)} one acts as somebody else, with all their rights; remove the verb",
            )


def _shown(verbs: Sequence[str]) -> str:
    return listed(dict.fromkeys(verbs))
