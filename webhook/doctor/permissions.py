"""What the server's ServiceAccount may do: all it needs, and not everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from webhook.doctor.diagnosis import Diagnosis, Level, Ref, puts
from webhook.doctor.installation import Installation, Server
from webhook.kube.shape import JSONObject, items, mapping, strings, text

_RBAC_KINDS: Final = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


class Need(Struct, frozen=True):
    """A permission. An empty ``namespace`` means in all of them, an empty ``name`` any object."""

    verbs: tuple[str, ...]
    group: str
    resource: str
    why: str
    namespace: str = ""
    name: str = ""


def needs(server: Server) -> Iterator[Need]:
    """What a server needs, by the flags it is started with."""
    flags = server.flags
    if "no-cluster" not in flags:
        yield Need(
            ("get", "list", "watch"),
            "",
            "namespaces",
            "without the labels of namespaces no policy can select them",
        )
    if "policy-resources" in flags:
        for resource in ("acceleratorcatalogs", "policies", "policyexceptions", "workloadcatalogs"):
            yield Need(
                ("get", "list", "watch"), "gpuward.dev", resource, "policies in custom resources are not read"
            )
            yield Need(
                ("patch",), "gpuward.dev", f"{resource}/status", "nobody is told what is wrong with one"
            )
    secret = flags.get("cert-secret", "")
    if secret:
        namespace, _, name = secret.rpartition("/")
        namespace = namespace or server.namespace
        why = "it keeps its certificate there"
        yield Need(("create",), "", "secrets", why, namespace)
        yield Need(("get", "update"), "", "secrets", why, namespace, name)
    if "webhook-configurations" in flags or secret:
        verbs = ("get", "patch") if secret else ("get",)
        why = (
            "it writes its CA there, or the API server does not trust it"
            if secret
            else "readiness asks whether the API server trusts the certificate"
        )
        for name in filter(None, (flags.get("webhook-configurations") or "gpuward").split(",")):
            for resource in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"):
                yield Need(verbs, "admissionregistration.k8s.io", resource, why, "", name.strip())


def missing(installation: Installation) -> Iterator[Diagnosis]:
    """Permissions that the server needs and has not."""
    if any(kind in installation.unread for kind in _RBAC_KINDS):
        return
    if not installation.whole and not any(any(installation.of_kind(kind)) for kind in _RBAC_KINDS):
        return
    for server in installation.servers():
        for need in needs(server):
            lacking = [verb for verb in need.verbs if not _may(installation, server, verb, need)]
            if not lacking:
                continue
            resource = f"{need.resource}.{need.group}" if need.group else need.resource
            which = f" {need.name}" if need.name else ""
            where = f" in {need.namespace}" if need.namespace else ""
            yield Diagnosis(
                "permission-missing",
                Level.ERROR,
                Ref("ServiceAccount", server.namespace, server.service_account),
                (),
                f"it may not {', '.join(lacking)} {resource}{which}{where}: {need.why}",
                "bind a role with that rule, as the chart does",
            )


_TOKENS: Final = "/var/run/secrets/kubernetes.io/serviceaccount"


def account(installation: Installation) -> Iterator[Diagnosis]:
    """Servers that need the API server, and to which they are nobody."""
    for server in installation.servers():
        if not server.asks_api_server or not any(needs(server)):
            continue
        found = installation.find("ServiceAccount", server.namespace, server.service_account)
        if found is None and installation.knows("ServiceAccount"):
            yield Diagnosis(
                "service-account-missing",
                Level.ERROR,
                Ref.of(server.deployment),
                ("spec", "template", "spec", "serviceAccountName"),
                f"there is no ServiceAccount {server.service_account} in {server.namespace}: no new pod can be created",
                "make it, or name the one that there is",
            )
        wanted = server.pod.get("automountServiceAccountToken")
        denied = wanted is False or (
            wanted is None and found is not None and found.get("automountServiceAccountToken") is False
        )
        mounted = (text(mount, "mountPath").rstrip("/") for mount in items(server.container, "volumeMounts"))
        if denied and _TOKENS not in mounted:
            whose = "the pods" if wanted is False else f"the ServiceAccount {server.service_account}"
            path = ("spec", "template", "spec", "automountServiceAccountToken")
            yield Diagnosis(
                "token-missing",
                Level.ERROR,
                Ref.of(server.deployment),
                path,
                f"{whose} say automountServiceAccountToken: false, and the server needs the API server "
                f"({next(iter(needs(server))).why}): it does not start"
                if wanted is False
                else f"{whose} says automountServiceAccountToken: false and the pods do not ask for a token, and the "
                f"server needs the API server ({next(iter(needs(server))).why}): it does not start",
                "write automountServiceAccountToken: true in the pods",
                (puts(path, True),),
            )


def excessive(installation: Installation) -> Iterator[Diagnosis]:
    """A server that may do everything, or read every Secret: whoever gets into it has the cluster."""
    for server in installation.servers():
        for rule, role in _rules(installation, server, ""):
            everything = "*" in strings(rule, "resources") and "*" in strings(rule, "apiGroups")
            if (
                not everything
                and _has(rule, "apiGroups", "")
                and _has(rule, "resources", "secrets")
                and not strings(rule, "resourceNames")
                and any(_has(rule, "verbs", verb) for verb in ("get", "list", "watch"))
            ):
                yield Diagnosis(
                    "permissions-excessive",
                    Level.WARNING,
                    Ref("ServiceAccount", server.namespace, server.service_account),
                    (),
                    f"by {role} it may read all Secrets of the cluster, and needs one, in its own namespace",
                    "bind a Role in its namespace for the one Secret, as the chart does",
                )
            if (
                "*" in strings(rule, "verbs")
                and "*" in strings(rule, "resources")
                and "*" in strings(rule, "apiGroups")
            ):
                yield Diagnosis(
                    "permissions-excessive",
                    Level.WARNING,
                    Ref("ServiceAccount", server.namespace, server.service_account),
                    (),
                    f"by {role} it may do everything in the cluster, and needs to read namespaces",
                    "bind a role with just the rules that the chart has",
                )


def _may(installation: Installation, server: Server, verb: str, need: Need) -> bool:
    return any(_allows(rule, verb, need) for rule, _ in _rules(installation, server, need.namespace))


def _allows(rule: JSONObject, verb: str, need: Need) -> bool:
    """Source: k8s.io/kubernetes ``pkg/registry/rbac/validation`` and ``rbac.VerbMatches``, ``ResourceMatches``."""
    names = strings(rule, "resourceNames")
    return (
        _has(rule, "verbs", verb)
        and _has(rule, "apiGroups", need.group)
        and (_has(rule, "resources", need.resource) or _has_subresource(rule, need.resource))
        # A rule for certain names allows no list, and no create, of any.
        and (not names or (need.name in names))
    )


def _has_subresource(rule: JSONObject, resource: str) -> bool:
    """Whether a rule for ``*/SUBRESOURCE`` covers it."""
    _, slash, subresource = resource.partition("/")
    return bool(slash) and f"*/{subresource}" in strings(rule, "resources")


def _has(rule: JSONObject, field: str, wanted: str) -> bool:
    written = strings(rule, field)
    return "*" in written or wanted in written


def _rules(installation: Installation, server: Server, namespace: str) -> Iterator[tuple[JSONObject, str]]:
    """The rules that hold for the server's account in a namespace, or in all where it is empty, and whose they are."""
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        for binding in installation.of_kind(kind):
            bound_in = text(mapping(binding, "metadata"), "namespace")
            if kind == "RoleBinding" and (not namespace or bound_in != namespace):
                continue
            if not any(_is(subject, server, bound_in) for subject in items(binding, "subjects")):
                continue
            reference = mapping(binding, "roleRef")
            role = installation.find(
                text(reference, "kind"),
                bound_in if text(reference, "kind") == "Role" else "",
                text(reference, "name"),
            )
            for rule in items(role or {}, "rules"):
                yield rule, f"{text(reference, 'kind')} {text(reference, 'name')}"


def _is(subject: JSONObject, server: Server, bound_in: str) -> bool:
    kind, name = text(subject, "kind"), text(subject, "name")
    if kind == "ServiceAccount":
        return name == server.service_account and (text(subject, "namespace") or bound_in) == server.namespace
    account = f"system:serviceaccount:{server.namespace}:{server.service_account}"
    if kind == "User":
        return name == account
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{server.namespace}", "system:authenticated")
    return kind == "Group" and name in groups
