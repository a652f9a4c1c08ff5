"""Whom the webhook can lock out: what its entries are called for that must never wait for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from webhook.doctor.diagnosis import Diagnosis, Level, Ref
from webhook.doctor.entries import Call, Entry
from webhook.doctor.installation import (
    CLUSTER_NAMESPACES,
    NAME_LABEL,
    NODE_NAMESPACES,
    Installation,
)
from webhook.kube.path import json_pointer
from webhook.kube.shape import JSONObject, items, mapping, strings
from webhook.policy.findings import MODE_LABEL, Mode

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
)


def _pod(namespace: str) -> Call:
    return Call("", "v1", "pods", "CREATE", namespace)


def essentials(installation: Installation) -> Iterator[Diagnosis]:
    """Entries that are called for what the cluster itself lives on."""
    for entry in installation.ours:
        for call, consequence in _ESSENTIAL:
            labels = installation.labels_of(call.namespace) if call.namespace else {}
            if not entry.may_be_called(call, labels):
                continue
            resource = f"{call.resource}.{call.group}" if call.group else call.resource
            where = f" in {call.namespace}" if call.namespace else ""
            yield Diagnosis(
                "matches-essentials",
                Level.ERROR if entry.fails else Level.WARNING,
                Ref.of(entry.configuration),
                entry.field("rules"),
                f"{entry.name} is called for {resource}{where}: while gpuward does not answer, {consequence}"
                + ("" if entry.fails else ", each for the length of the timeout"),
                "name the resources that policies are about, such as pods and deployments, instead of *",
            )


def namespaces(installation: Installation) -> Iterator[Diagnosis]:
    """Entries with failurePolicy Fail that are called for namespaces without whose pods the webhook cannot start."""
    for entry in installation.ours:
        if entry.fails:
            yield from _Selection(installation, entry).diagnoses()


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
        self._everywhere = entry.may_be_called(_pod("a-namespace"), {NAME_LABEL: "a-namespace"})
        self._labelled = [
            name
            for name in (*CLUSTER_NAMESPACES, *self._own)
            if name not in taken
            and entry.may_be_called(
                _pod(name), {**installation.labels_of(name), MODE_LABEL: Mode.ENFORCE.value}
            )
        ]
        # One patch for all that is wrong with the selector: patches of the same field would undo each other.
        self._patch = self._mended([*self._cluster, *self._ours, *self._node, *self._labelled])

    def _called(self, names: Iterable[str], taken: set[str]) -> list[str]:
        found = [
            name
            for name in self._installation.existing(names)
            if name not in taken and self._entry.may_be_called(_pod(name), self._installation.labels_of(name))
        ]
        taken.update(found)
        return found

    def diagnoses(self) -> Iterator[Diagnosis]:
        entry = self._entry
        for code, found, consequence in (
            ("fail-matches-cluster-namespace", self._cluster, "the cluster's own pods cannot start"),
            (
                "fail-matches-own-namespace",
                self._ours,
                "gpuward's own pods, which would answer, cannot start",
            ),
            ("fail-matches-node-namespace", self._node, "pods that nodes need to work cannot start"),
        ):
            if found:
                message = (
                    f"{entry.name} has failurePolicy Fail and is called for pods in {_listed(found)}: while gpuward "
                    f"does not answer, {consequence}"
                )
                yield self._excluding(code, Level.ERROR, found, message)
        if self._everywhere:
            yield Diagnosis(
                "fail-without-opt-in",
                Level.ERROR,
                Ref.of(entry.configuration),
                entry.field("namespaceSelector"),
                f"{entry.name} has failurePolicy Fail and is called for namespaces that have not opted in: while "
                "gpuward does not answer, no pod of the cluster can be created there",
                f"select namespaces by {MODE_LABEL}",
                self._patch,
            )
        elif self._labelled:
            message = (
                f"{entry.name} has failurePolicy Fail, and one label on {_listed(self._labelled)} would make it hold "
                "up the pods there that the cluster and gpuward need"
            )
            yield self._excluding("exclusion-missing", Level.WARNING, self._labelled, message)

    def _excluding(self, code: str, level: Level, names: list[str], message: str) -> Diagnosis:
        return Diagnosis(
            code,
            level,
            Ref.of(self._entry.configuration),
            self._entry.field("namespaceSelector"),
            message,
            f"exclude {_listed(names)} in the namespaceSelector, by {NAME_LABEL}",
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
                    if one.get("key") == NAME_LABEL and one.get("operator") == "NotIn"
                ),
                None,
            )
            if excluding is None:
                excluding = {"key": NAME_LABEL, "operator": "NotIn"}
                requirements.append(excluding)
            excluding["values"] = [*strings(excluding, "values"), *names]
        whole = {**selector, "matchExpressions": requirements}
        return ({"op": "add", "path": json_pointer(self._entry.field("namespaceSelector")), "value": whole},)


def _listed(names: list[str]) -> str:
    shown = names[:6]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return ", ".join(shown) + more
