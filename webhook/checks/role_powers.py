"""The rights by which one gets more than a role says, as Kubernetes' good practices for RBAC list them.

Reading secrets, escalate, bind, impersonate and ways into pods are not here: ``role-privileges`` judges them by
settings of their own.

Source: https://kubernetes.io/docs/concepts/security/rbac-good-practices/ (Privilege escalation risks).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

PowerName = Literal[
    "approves-certificates",
    "changes-namespaces",
    "controls-admission",
    "creates-persistent-volumes",
    "creates-tokens",
    "creates-workloads",
    "reaches-kubelets",
]

_CHANGING: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})


class Power(Struct, frozen=True):
    """Resources that are more than they seem with some verbs."""

    name: PowerName
    resources: frozenset[tuple[str, str]]
    """As (API group, resource)."""
    verbs: frozenset[str] | None
    """The verbs that give it; None: any verb does."""
    means: str
    """What one can do with it: "with ... one ..."."""
    in_namespace: bool
    """Whether a Role can give it; the resources of the others are in no namespace."""

    def given_by(self, verbs: Iterable[str]) -> list[str]:
        """Those of a rule's verbs that give the power."""
        return [verb for verb in verbs if self.verbs is None or verb == "*" or verb in self.verbs]


def _in(group: str, *resources: str) -> frozenset[tuple[str, str]]:
    return frozenset((group, resource) for resource in resources)


POWERS: Final = (
    Power(
        "approves-certificates",
        _in("certificates.k8s.io", "certificatesigningrequests/approval", "signers"),
        frozenset({"approve", "patch", "sign", "update"}),
        "has certificates issued under any name, an administrator's too",
        in_namespace=False,
    ),
    Power(
        # A Role gives it for its own namespace, whose labels say which policies hold there.
        "changes-namespaces",
        _in("", "namespaces", "namespaces/finalize", "namespaces/status"),
        frozenset({"patch", "update"}),
        "changes the labels by which policies are in force in a namespace",
        in_namespace=True,
    ),
    Power(
        "controls-admission",
        _in(
            "admissionregistration.k8s.io",
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        )
        | _in("gpuward.dev", "acceleratorcatalogs", "policies", "policyexceptions", "workloadcatalogs"),
        _CHANGING,
        "changes what is checked, or reads and changes whatever is sent to the API server",
        in_namespace=False,
    ),
    Power(
        "creates-persistent-volumes",
        _in("", "persistentvolumes"),
        frozenset({"create", "patch", "update"}),
        "mounts any folder of a node into a pod",
        in_namespace=False,
    ),
    Power(
        "creates-tokens",
        _in("", "serviceaccounts/token"),
        frozenset({"create"}),
        "acts as any service account of the namespace, with all its rights",
        in_namespace=True,
    ),
    Power(
        "creates-workloads",
        _in("", "pods", "podtemplates", "replicationcontrollers")
        | _in("apps", "daemonsets", "deployments", "replicasets", "statefulsets")
        | _in("batch", "cronjobs", "jobs"),
        frozenset({"create", "patch", "update"}),
        "runs code as any service account of the namespace, with all its secrets mounted",
        in_namespace=True,
    ),
    Power(
        # With get alone as well: the kubelet runs commands in any pod of its node on such a request.
        "reaches-kubelets",
        _in("", "nodes/proxy"),
        None,
        "runs commands in every pod of a node, past admission and the audit log",
        in_namespace=False,
    ),
)
