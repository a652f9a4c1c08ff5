"""The resources of kinds, and whether they live in namespaces."""

from __future__ import annotations

import pytest

from webhook.kube.gvk import GroupVersionKind
from webhook.kube.kinds import KNOWN
from webhook.kube.resources import (
    GroupVersionResource,
    equivalents,
    is_admitted_by_policy,
    is_cluster_scoped,
    known_resources,
    resource_for,
)


@pytest.mark.parametrize(
    ("group", "kind", "resource"),
    [
        ("", "Pod", "pods"),
        ("", "Endpoints", "endpoints"),
        ("", "ResourceQuota", "resourcequotas"),
        ("networking.k8s.io", "Ingress", "ingresses"),
        ("networking.k8s.io", "NetworkPolicy", "networkpolicies"),
        ("networking.k8s.io", "IPAddress", "ipaddresses"),
        ("storage.k8s.io", "CSIStorageCapacity", "csistoragecapacities"),
        ("storage.k8s.io", "StorageClass", "storageclasses"),
        ("discovery.k8s.io", "EndpointSlice", "endpointslices"),
        ("apiregistration.k8s.io", "APIService", "apiservices"),
        ("kubeflow.org", "PyTorchJob", "pytorchjobs"),
        ("argoproj.io", "EventBus", "eventbus"),
        ("kueue.x-k8s.io", "Topology", "topologies"),
        ("karpenter.sh", "NodeOverlay", "nodeoverlays"),
        ("gateway.networking.k8s.io", "Gateway", "gateways"),
        ("agents.x-k8s.io", "Sandbox", "sandboxes"),
        ("serving.kserve.io", "LLMInferenceServiceConfig", "llminferenceserviceconfigs"),
        ("autoscaling.k8s.io", "VerticalPodAutoscaler", "verticalpodautoscalers"),
        ("example.com", "Widget", "widgets"),
        ("example.com", "Policy", "policies"),
        ("example.com", "Bus", "buses"),
        ("", "", ""),
    ],
)
def test_a_kind_has_its_resource(group: str, kind: str, resource: str) -> None:
    assert resource_for(GroupVersionKind(group, "v1", kind)) == GroupVersionResource(group, "v1", resource)


@pytest.mark.parametrize(
    ("group", "kind", "subresource", "resource"),
    [
        ("policy", "Eviction", "eviction", "v1/pods"),
        ("", "PodExecOptions", "exec", "v1/pods"),
        ("", "Binding", "binding", "v1/pods"),
        ("", "Binding", "", "v1/bindings"),
        ("authentication.k8s.io", "TokenRequest", "token", "v1/serviceaccounts"),
        ("", "Pod", "status", "v1/pods"),
    ],
)
def test_a_kind_of_a_subresource_has_the_resource_of_its_parent(
    group: str, kind: str, subresource: str, resource: str
) -> None:
    assert str(resource_for(GroupVersionKind(group, "v1", kind), subresource)) == resource


@pytest.mark.parametrize(
    ("group", "kind", "cluster"),
    [
        ("", "Node", True),
        ("", "Pod", False),
        ("rbac.authorization.k8s.io", "ClusterRole", True),
        ("rbac.authorization.k8s.io", "Role", False),
        ("karpenter.sh", "NodePool", True),
        ("kueue.x-k8s.io", "ClusterQueue", True),
        ("kueue.x-k8s.io", "LocalQueue", False),
        ("example.com", "Anything", False),
    ],
)
def test_kinds_that_live_in_no_namespace_are_known(group: str, kind: str, cluster: bool) -> None:
    assert is_cluster_scoped(GroupVersionKind(group, "v1", kind)) is cluster


def test_no_two_kinds_of_a_group_share_a_resource() -> None:
    for group, kinds in KNOWN.items():
        resources = known_resources(group)
        assert len(set(resources)) == len(kinds), group
    assert known_resources("example.com") == ()


def test_a_custom_resource_may_be_served_in_any_version_that_is_asked_about() -> None:
    widgets = GroupVersionResource("example.com", "v1", "widgets")
    found = set(equivalents(widgets, frozenset({"v1", "v1beta1", "v2"})))
    assert {gvr.version for gvr in found} == {"v1beta1", "v2"}
    assert {(gvr.group, gvr.resource) for gvr in found} == {("example.com", "widgets")}


def test_a_built_in_resource_is_served_in_the_versions_of_its_group_alone() -> None:
    asked = frozenset({"v1", "v1beta1", "v2"})
    assert list(equivalents(GroupVersionResource("apps", "v1", "deployments"), asked)) == []
    scalers = GroupVersionResource("autoscaling", "v2", "horizontalpodautoscalers")
    assert [gvr.version for gvr in equivalents(scalers, asked)] == ["v1"]


def test_events_are_served_by_two_groups() -> None:
    core, own = (
        GroupVersionResource("", "v1", "events"),
        GroupVersionResource("events.k8s.io", "v1", "events"),
    )
    assert list(equivalents(core, frozenset())) == [own]
    assert list(equivalents(own, frozenset())) == [core]


@pytest.mark.parametrize(
    ("resource", "admitted"),
    [
        ("admissionregistration.k8s.io/v1/validatingadmissionpolicies", False),
        ("admissionregistration.k8s.io/v1/validatingwebhookconfigurations", True),
        ("authorization.k8s.io/v1/subjectaccessreviews", False),
        ("apps/v1/deployments", True),
    ],
)
def test_what_the_api_server_shows_to_no_policy_is_known(resource: str, admitted: bool) -> None:
    assert is_admitted_by_policy(GroupVersionResource(*resource.split("/"))) is admitted
