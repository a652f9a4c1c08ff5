"""Resources: what the API calls the objects of a kind, and whether they live in namespaces.

An admission request names its resource. A manifest names its kind only, so what is reviewed offline has its resource
from here.

Source: the Kubernetes API reference, v1.36, and the CustomResourceDefinitions of each project.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final, NamedTuple

from webhook.kube.gvk import GroupVersionKind
from webhook.kube.kinds import BUILT_IN, KNOWN


class GroupVersionResource(NamedTuple):
    """The name of a resource of the API, such as ``apps/v1/deployments``. The core group is the empty string."""

    group: str
    version: str
    resource: str

    def __str__(self) -> str:
        return (
            f"{self.group}/{self.version}/{self.resource}"
            if self.group
            else f"{self.version}/{self.resource}"
        )


def parse_resource(written: str) -> GroupVersionResource:
    """The resource of ``apps/v1/deployments`` or ``v1/pods``."""
    rest, _, resource = written.rpartition("/")
    group, _, version = rest.rpartition("/")
    return GroupVersionResource(group, version, resource)


NAMESPACES: Final = GroupVersionResource("", "v1", "namespaces")

# Plurals that are not formed by the rule, see ``plural``.
_IRREGULAR: Final[Mapping[tuple[str, str], str]] = {
    ("argoproj.io", "EventBus"): "eventbus",
}

# Kinds that are only ever sent to a subresource, with the resource that has it. The kind ``Scale`` is not here: it
# is what many resources take.
_OF_SUBRESOURCES: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("", "Binding"): ("", "pods"),
    ("policy", "Eviction"): ("", "pods"),
    ("", "PodAttachOptions"): ("", "pods"),
    ("", "PodExecOptions"): ("", "pods"),
    ("", "PodPortForwardOptions"): ("", "pods"),
    ("", "PodProxyOptions"): ("", "pods"),
    ("", "ServiceProxyOptions"): ("", "services"),
    ("", "NodeProxyOptions"): ("", "nodes"),
    ("authentication.k8s.io", "TokenRequest"): ("", "serviceaccounts"),
}

# Kinds that live in no namespace; ``*`` for a whole group.
_CLUSTER_SCOPED: Final = frozenset(
    {
        ("", "ComponentStatus"),
        ("", "Namespace"),
        ("", "Node"),
        ("", "NodeProxyOptions"),
        ("", "PersistentVolume"),
        ("admissionregistration.k8s.io", "*"),
        ("apiextensions.k8s.io", "*"),
        ("apiregistration.k8s.io", "*"),
        ("certificates.k8s.io", "CertificateSigningRequest"),
        ("certificates.k8s.io", "ClusterTrustBundle"),
        ("flowcontrol.apiserver.k8s.io", "*"),
        ("networking.k8s.io", "IngressClass"),
        ("networking.k8s.io", "IPAddress"),
        ("networking.k8s.io", "ServiceCIDR"),
        ("node.k8s.io", "RuntimeClass"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        ("resource.k8s.io", "DeviceClass"),
        ("resource.k8s.io", "DeviceTaintRule"),
        ("resource.k8s.io", "ResourceSlice"),
        ("scheduling.k8s.io", "PriorityClass"),
        ("storage.k8s.io", "CSIDriver"),
        ("storage.k8s.io", "CSINode"),
        ("storage.k8s.io", "StorageClass"),
        ("storage.k8s.io", "VolumeAttachment"),
        ("storage.k8s.io", "VolumeAttributesClass"),
        ("storagemigration.k8s.io", "StorageVersionMigration"),
        ("argoproj.io", "ClusterAnalysisTemplate"),
        ("argoproj.io", "ClusterWorkflowTemplate"),
        ("gateway.networking.k8s.io", "GatewayClass"),
        ("gpuward.dev", "*"),
        ("karpenter.azure.com", "*"),
        ("karpenter.k8s.aws", "*"),
        ("karpenter.sh", "*"),
        ("keda.sh", "ClusterTriggerAuthentication"),
        ("kubeflow.org", "Profile"),
        ("kubeflow.org", "WorkspaceKind"),
        ("kueue.x-k8s.io", "AdmissionCheck"),
        ("kueue.x-k8s.io", "ClusterQueue"),
        ("kueue.x-k8s.io", "Cohort"),
        ("kueue.x-k8s.io", "MultiKueueCluster"),
        ("kueue.x-k8s.io", "MultiKueueConfig"),
        ("kueue.x-k8s.io", "ProvisioningRequestConfig"),
        ("kueue.x-k8s.io", "ResourceFlavor"),
        ("kueue.x-k8s.io", "Topology"),
        ("kueue.x-k8s.io", "WorkloadPriorityClass"),
        ("scheduling.volcano.sh", "Queue"),
        ("serving.kserve.io", "ClusterLocalModel"),
        ("serving.kserve.io", "ClusterServingRuntime"),
        ("serving.kserve.io", "ClusterStorageContainer"),
        ("serving.kserve.io", "LocalModelCache"),
        ("serving.kserve.io", "LocalModelNode"),
        ("serving.kserve.io", "LocalModelNodeGroup"),
        ("trainer.kubeflow.org", "ClusterTrainingRuntime"),
    }
)

# The built-in groups that are served in more than their stable version, and those that share their objects with
# another group. A custom resource may be served in any number of versions.
_STABLE: Final = frozenset({"v1"})
_SERVED: Final[Mapping[str, frozenset[str]]] = {"autoscaling": frozenset({"v1", "v2"})}
_SAME_RESOURCE: Final = {("events.k8s.io", "events"): ("", "events")}

# The API server shows these to no admission policy: a policy could lock everybody out of mending it, and the reviews
# are what permissions are asked with. Source: k8s.io/kubernetes ``pkg/kubeapiserver/admission/exclusion`` and
# k8s.io/apiserver ``pkg/admission/plugin/policy/generic``.
_NEVER_ADMITTED_BY_POLICY: Final = frozenset(
    {
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "localsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
    }
)


def is_cluster_scoped(kind: GroupVersionKind) -> bool:
    """Whether objects of this kind are known to live in no namespace."""
    return (kind.group, kind.kind) in _CLUSTER_SCOPED or (kind.group, "*") in _CLUSTER_SCOPED


def is_cluster_scoped_resource(group: str, resource: str) -> bool:
    """Whether objects of this resource, such as ``clusterroles``, are known to live in no namespace."""
    return (group, "*") in _CLUSTER_SCOPED or (group, resource) in _cluster_scoped_resources()


@cache
def _cluster_scoped_resources() -> frozenset[tuple[str, str]]:
    return frozenset((group, plural(group, kind)) for group, kind in _CLUSTER_SCOPED)


def resource_for(kind: GroupVersionKind, subresource: str = "") -> GroupVersionResource:
    """The resource to which an object of this kind is sent; that of its parent for a kind of a subresource.

    Of a custom resource that is not known, its plural is worked out.
    """
    parent = _OF_SUBRESOURCES.get((kind.group, kind.kind)) if subresource else None
    if parent is not None:
        return GroupVersionResource(parent[0], "v1", parent[1])
    return GroupVersionResource(kind.group, kind.version, plural(kind.group, kind.kind))


def plural(group: str, kind: str) -> str:
    """The name of the resource of a kind: its plural in lower case.

    Formed as Kubernetes guesses it (k8s.io/apimachinery ``meta.UnsafeGuessKindToResource``), and where that is not the
    English plural, as the generators of custom resources form it (``gateways``, ``sandboxes``).
    """
    if (group, kind) in _IRREGULAR:
        return _IRREGULAR[group, kind]
    singular = kind.lower()
    if not singular or singular == "endpoints":
        return singular
    if singular.endswith(("s", "x", "z", "ch", "sh")):
        return f"{singular}es"
    if singular.endswith("y") and singular[-2:-1] not in ("a", "e", "i", "o", "u"):
        return f"{singular[:-1]}ies"
    return f"{singular}s"


def known_resources(group: str) -> tuple[str, ...]:
    """The resources of a group of which every kind is known; empty for other groups."""
    return tuple(_resources(group))


def _resources(group: str) -> Iterator[str]:
    for kind in sorted(KNOWN.get(group, ())):
        yield plural(group, kind)


def is_admitted_by_policy(resource: GroupVersionResource) -> bool:
    """Whether the API server asks ValidatingAdmissionPolicies and MutatingAdmissionPolicies about this resource."""
    return (resource.group, resource.resource) not in _NEVER_ADMITTED_BY_POLICY


def equivalents(resource: GroupVersionResource, versions: frozenset[str]) -> Iterator[GroupVersionResource]:
    """Under which other names the API may serve the same objects, ``versions`` being those somebody asks about.

    Of a built-in group the versions are known; of a custom resource any version may be served.
    """
    names = {(resource.group, resource.resource)}
    for one, other in _SAME_RESOURCE.items():
        if names & {one, other}:
            names |= {one, other}
    for group, name in sorted(names):
        served = _SERVED.get(group, _STABLE) if group in BUILT_IN else versions
        for version in sorted(served):
            found = GroupVersionResource(group, version, name)
            if found != resource:
                yield found
