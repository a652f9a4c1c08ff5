"""Whom the webhook can lock out: what its entries are called for that must never wait for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from webhook.doctor.diagnosis import Diagnosis, Level, Ref, puts
from webhook.doctor.entries import Call, Entry
from webhook.doctor.installation import Installation
from webhook.kube.names import NAMESPACE_NAME_LABEL
from webhook.kube.resources import is_cluster_scoped_resource
from webhook.kube.shape import JSONObject, items, mapping, strings
from webhook.kube.system_namespaces import CLUSTER_NAMESPACES, NODE_NAMESPACES
from webhook.policy.findings import MODE_LABEL, Mode


def _by_node(resource: str, operation: str, namespace: str, subresource: str) -> Call:
    """What a kubelet writes."""
    groups = ("system:nodes", "system:authenticated")
    return Call("", "v1", resource, operation, namespace, "system:node:a-node", groups, subresource)


# What keeps a cluster alive, and the sentence that says how. Source: Kubernetes, "Admission Webhook Good Practices".
_ESSENTIAL: Final = (
    (Call("coordination.k8s.io", "v1", "leases", "UPDATE", "kube-node-lease"), "nodes lose their heartbeat"),
    (
        Call("coordination.k8s.io", "v1", "leases", "UPDATE", "kube-system"),
        "controllers lose their leader election",
    ),
    (Call("", "v1", "nodes", "UPDATE", ""), "nodes cannot join or report"),
    (Call("authentication.k8s.io", "v1", "tokenreviews", "CREATE", ""), "nobody's token can be checked"),
    (
        Call("authorization.k8s.io", "v1", "subjectaccessreviews", "CREATE", ""),
        "nobody's permissions can be checked",
    ),
    (
        Call("certificates.k8s.io", "v1", "certificatesigningrequests", "CREATE", ""),
        "nodes get no certificates",
    ),
    (_by_node("nodes", "UPDATE", "", "status"), "nodes cannot report"),
    (
        _by_node("pods", "UPDATE", "kube-system", "status"),
        "nodes cannot say which pods run",
    ),
    (
        _by_node("serviceaccounts", "CREATE", "kube-system", "token"),
        "pods get no tokens",
    ),
    (
        Call("", "v1", "pods", "CREATE", "kube-system", subresource="binding"),
        "no pod is put on a node",
    ),
    (
        Call("discovery.k8s.io", "v1", "endpointslices", "UPDATE", "kube-system"),
        "Services lose their endpoints",
    ),
    (
        Call("apiextensions.k8s.io", "v1", "customresourcedefinitions", "UPDATE", ""),
        "no operator can be installed or mended",
    ),
    (Call("apiregistration.k8s.io", "v1", "apiservices", "UPDATE", ""), "no aggregated API can be mended"),
)


def essentials(installation: Installation) -> Iterator[Diagnosis]:
    """Entries that are called for what the cluster itself lives on."""
    for entry in installation.ours:
        for call, consequence in _ESSENTIAL:
            labels = installation.labels_of(call.namespace) if call.namespace else {}
            if not entry.may_be_called(call, labels):
                continue
            where = f" in {call.namespace}" if call.namespace else ""
            yield Diagnosis(
                "matches-essentials",
                Level.ERROR if entry.fails else Level.WARNING,
                Ref.of(entry.configuration),
                entry.field("rules"),
                f"{entry.name} is called for {call}{where}: while gpuward does not answer, {consequence}"
                + ("" if entry.fails else ", each for the length of the timeout"),
                "name the resources that policies are about, such as pods and deployments, instead of *",
            )


def namespaces(installation: Installation) -> Iterator[Diagnosis]:
    """Entries with failurePolicy Fail that are called for namespaces without whose pods the webhook cannot start."""
    for entry in installation.ours:
        if entry.fails:
            yield from _Selection(installation, entry).diagnoses()


def cluster_scoped(installation: Installation) -> Iterator[Diagnosis]:
    """Entries with failurePolicy Fail that are called for objects in no namespace, which no label can take out."""
    labels = {MODE_LABEL: Mode.ENFORCE.value}
    essential = {(call.group, call.resource, call.subresource) for call, _ in _ESSENTIAL}
    for entry in installation.ours:
        if not entry.fails:
            continue
        found = [
            str(call)
            for call in entry.samples
            if is_cluster_scoped_resource(call.group, call.resource)
            and (call.group, call.resource, call.subresource) not in essential
            and entry.may_be_called(call, labels)
        ]
        if found:
            yield Diagnosis(
                "fail-matches-cluster-scoped",
                Level.ERROR,
                Ref.of(entry.configuration),
                entry.field("failurePolicy"),
                f"{entry.name} has failurePolicy Fail and is called for {_listed(found)}, which are in no namespace "
                "that could be taken out: while gpuward does not answer, none can be written, by nobody",
                "write failurePolicy: Ignore, or leave these resources out of the rules",
                (puts(entry.field("failurePolicy"), "Ignore"),),
            )


class _Selection:
    """The namespaces that one entry with failurePolicy Fail is called for."""

    def __init__(self, installation: Installation, entry: Entry) -> None:
        self._installation = installation
        self._entry = entry
        self._own = sorted(installation.namespaces)
        taken: set[str] = set()
        self._cluster = self._called(CLUSTER_NAMESPACES, taken)
        self._ours = self._called(self._own, taken)
        self._node = self._called(NODE_NAMESPACES, taken)
        self._everywhere = entry.called_in("a-namespace", {NAMESPACE_NAME_LABEL: "a-namespace"})
        self._labelled = [
            name
            for name in (*CLUSTER_NAMESPACES, *self._own)
            if name not in taken
            and entry.called_in(name, {**installation.labels_of(name), MODE_LABEL: Mode.ENFORCE.value})
        ]
        # One patch for all that is wrong with the selector: patches of the same field would undo each other.
        self._patch = self._mended([*self._cluster, *self._ours, *self._node, *self._labelled])

    def _called(self, names: Iterable[str], taken: set[str]) -> list[str]:
        found = [name for name in self._installation.existing(names) if name not in taken and self._in(name)]
        taken.update(found)
        return found

    def _in(self, namespace: str) -> list[Call]:
        return self._entry.called_in(namespace, self._installation.labels_of(namespace))

    def diagnoses(self) -> Iterator[Diagnosis]:
        entry = self._entry
        for code, found, whose in (
            ("fail-matches-cluster-namespace", self._cluster, "the cluster's own"),
            ("fail-matches-own-namespace", self._ours, "gpuward's own"),
            (
                "fail-matches-node-namespace",
                self._node,
                "those that nodes, network and storage come from",
            ),
        ):
            if found:
                what, stops = _called_for(self._in(found[0]))
                message = (
                    f"{entry.name} has failurePolicy Fail and is called for {what} in {_listed(found)}: while gpuward "
                    f"does not answer, {whose} {stops}"
                )
                yield self._excluding(code, Level.ERROR, found, message)
        if self._everywhere:
            what, stops = _called_for(self._everywhere)
            yield Diagnosis(
                "fail-without-opt-in",
                Level.ERROR,
                Ref.of(entry.configuration),
                entry.field("namespaceSelector"),
                f"{entry.name} has failurePolicy Fail and is called for {what} in namespaces that have not opted in: "
                f"while gpuward does not answer, all of them {stops}",
                f"select namespaces by {MODE_LABEL}",
                self._patch,
            )
        elif self._labelled:
            message = (
                f"{entry.name} has failurePolicy Fail, and one label on {_listed(self._labelled)} would make it hold "
                "up what the cluster and gpuward need there"
            )
            yield self._excluding("exclusion-missing", Level.WARNING, self._labelled, message)

    def _excluding(self, code: str, level: Level, names: list[str], message: str) -> Diagnosis:
        return Diagnosis(
            code,
            level,
            Ref.of(self._entry.configuration),
            self._entry.field("namespaceSelector"),
            message,
            f"exclude {_listed(names)} in the namespaceSelector, by {NAMESPACE_NAME_LABEL}",
            self._patch,
        )

    def _mended(self, names: list[str]) -> tuple[JSONObject, ...]:
        """A patch that makes the selector exclude these namespaces and, where it does not yet, ask for the opt-in."""
        selector = mapping(self._entry.raw, "namespaceSelector")
        requirements = [dict(requirement) for requirement in items(selector, "matchExpressions")]
        if self._everywhere:
            mode = self._entry.mode or Mode.ENFORCE.value
            requirements.append({"key": MODE_LABEL, "operator": "In", "values": [mode]})
        if names:
            excluding = next(
                (
                    one
                    for one in requirements
                    if one.get("key") == NAMESPACE_NAME_LABEL and one.get("operator") == "NotIn"
                ),
                None,
            )
            if excluding is None:
                excluding = {"key": NAMESPACE_NAME_LABEL, "operator": "NotIn"}
                requirements.append(excluding)
            excluding["values"] = [*strings(excluding, "values"), *names]
        whole = {**selector, "matchExpressions": requirements}
        return (puts(self._entry.field("namespaceSelector"), whole),)


def _called_for(calls: list[Call]) -> tuple[str, str]:
    """What is asked about, and what becomes of it while nobody answers. Pods say it best."""
    if any((call.group, call.resource, call.subresource) == ("", "pods", "") for call in calls):
        return "pods", "cannot start"
    return _listed([str(call) for call in calls]), "cannot be written"


def _listed(names: list[str]) -> str:
    shown = names[:6]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return ", ".join(shown) + more
