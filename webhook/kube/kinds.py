"""The kinds that are known by name: so that a misspelt kind in a policy is an error, not silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from webhook.kube.workloads import WORKLOADS


def _kinds(names: str) -> frozenset[str]:
    return frozenset(names.split())


# Built-in kinds that can be admitted, by group. Source: the Kubernetes API reference, v1.36.
BUILT_IN: Final[Mapping[str, frozenset[str]]] = {
    "": _kinds(
        "Binding ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume PersistentVolumeClaim Pod"
        " PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount"
    ),
    "admissionregistration.k8s.io": _kinds(
        "MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration"
        " ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration"
    ),
    "apiextensions.k8s.io": _kinds("CustomResourceDefinition"),
    "apiregistration.k8s.io": _kinds("APIService"),
    "apps": _kinds("ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet"),
    "autoscaling": _kinds("HorizontalPodAutoscaler Scale"),
    "batch": _kinds("CronJob Job"),
    "certificates.k8s.io": _kinds("CertificateSigningRequest ClusterTrustBundle PodCertificateRequest"),
    "coordination.k8s.io": _kinds("Lease LeaseCandidate"),
    "discovery.k8s.io": _kinds("EndpointSlice"),
    "events.k8s.io": _kinds("Event"),
    "flowcontrol.apiserver.k8s.io": _kinds("FlowSchema PriorityLevelConfiguration"),
    "networking.k8s.io": _kinds("IPAddress Ingress IngressClass NetworkPolicy ServiceCIDR"),
    "node.k8s.io": _kinds("RuntimeClass"),
    "policy": _kinds("Eviction PodDisruptionBudget"),
    "rbac.authorization.k8s.io": _kinds("ClusterRole ClusterRoleBinding Role RoleBinding"),
    "resource.k8s.io": _kinds(
        "DeviceClass DeviceTaintRule ResourceClaim ResourceClaimTemplate ResourceSlice"
    ),
    "scheduling.k8s.io": _kinds("PriorityClass Workload"),
    "storage.k8s.io": _kinds(
        "CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass"
    ),
}

# Groups of which every kind is known; in any other group (a custom resource's) any kind may exist.
CLOSED_GROUPS: Final = frozenset(BUILT_IN)


def group_of(kind: str) -> str | None:
    """The group meant by a kind written alone: the built-in one if there is one, else that of a known workload.

    Kubernetes' own kinds win over a custom resource of the same name (``Job`` is ``batch``, not Volcano's).
    """
    for group, kinds in BUILT_IN.items():
        if kind in kinds:
            return group
    return next((group for group, known in WORKLOADS if known == kind), None)


def known_kinds() -> frozenset[str]:
    """Every kind known by name, for suggestions."""
    return frozenset().union(*BUILT_IN.values(), (kind for _, kind in WORKLOADS))
