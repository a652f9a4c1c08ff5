"""An installation of gpuward read from a cluster, for the doctor. Nothing in the cluster is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from webhook.adapters.cluster import Cluster, ClusterError, api_root
from webhook.doctor.installation import Installation
from webhook.kube.shape import JSONObject, items, text
from webhook.policy.crd import GROUP, PLURALS, VERSION

_SECONDS: Final = 15.0


class _Collection(Struct, frozen=True):
    """Objects of one kind, and where they are listed."""

    kind: str
    api_version: str
    resource: str

    def path(self, namespace: str = "") -> str:
        root = api_root(self.api_version)
        return f"{root}/namespaces/{namespace}/{self.resource}" if namespace else f"{root}/{self.resource}"


_CONFIGURATIONS: Final = (
    _Collection(
        "MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations"
    ),
    _Collection(
        "ValidatingWebhookConfiguration", "admissionregistration.k8s.io/v1", "validatingwebhookconfigurations"
    ),
)
_SERVICES: Final = _Collection("Service", "v1", "services")
_DEPLOYMENTS: Final = _Collection("Deployment", "apps/v1", "deployments")
_CONFIG_MAPS: Final = _Collection("ConfigMap", "v1", "configmaps")
_EVERYWHERE: Final = (
    *_CONFIGURATIONS,
    _Collection("Namespace", "v1", "namespaces"),
    _Collection("DaemonSet", "apps/v1", "daemonsets"),
    _Collection("StatefulSet", "apps/v1", "statefulsets"),
    _DEPLOYMENTS,
    _Collection("ClusterRole", "rbac.authorization.k8s.io/v1", "clusterroles"),
    _Collection("ClusterRoleBinding", "rbac.authorization.k8s.io/v1", "clusterrolebindings"),
)
_OWN: Final = (
    _SERVICES,
    _Collection("EndpointSlice", "discovery.k8s.io/v1", "endpointslices"),
    _Collection("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"),
    _Collection("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers"),
    _Collection("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
    _Collection("ServiceAccount", "v1", "serviceaccounts"),
    _Collection("Role", "rbac.authorization.k8s.io/v1", "roles"),
    _Collection("RoleBinding", "rbac.authorization.k8s.io/v1", "rolebindings"),
    _Collection("Secret", "v1", "secrets"),
    _CONFIG_MAPS,
)
# What is behind the Service of the API server, which says where it listens.
_API_SERVER: Final = _Collection("EndpointSlice", "discovery.k8s.io/v1", "endpointslices")
_API_SERVER_NAMESPACE: Final = "default"
_POLICIES: Final = tuple(_Collection(kind, f"{GROUP}/{VERSION}", plural) for kind, plural in PLURALS.items())


async def read_installation(cluster: Cluster, now: datetime) -> Installation:
    """Everything in a cluster that the doctor looks at.

    What may not be read is left out and named in ``unread``.

    Raises:
        ClusterError: the API server does not answer at all.
    """
    version = await cluster.get_json("/version", seconds=_SECONDS)
    reading = _Reading(cluster)
    await reading.read_all(_EVERYWHERE)
    namespaces = sorted(reading.seen(now).namespaces)
    await reading.read_all(_OWN, namespaces)
    if _API_SERVER_NAMESPACE not in namespaces:
        await reading.read(_API_SERVER, _API_SERVER_NAMESPACE, called="EndpointSlice of the API server")
    await reading.read_policies(now)
    server_version = text(version, "gitVersion") if type(version) is dict else ""
    return replace(reading.seen(now), server_version=server_version)


async def read_installed_policies(cluster: Cluster, now: datetime) -> Installation:
    """As ``read_installation``, but only what says which policies the servers have."""
    reading = _Reading(cluster)
    await reading.read_all(_CONFIGURATIONS)
    await reading.read_all((_SERVICES, _DEPLOYMENTS, _CONFIG_MAPS), sorted(reading.seen(now).namespaces))
    await reading.read_policies(now)
    return reading.seen(now)


class _Reading:
    """Objects as they are read, and what could not be."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.objects: list[JSONObject] = []
        self._unread: dict[str, str] = {}

    def seen(self, now: datetime) -> Installation:
        """What has been read so far."""
        return Installation(tuple(self.objects), now, whole=True, unread=dict(sorted(self._unread.items())))

    async def read_all(self, collections: Sequence[_Collection], namespaces: Sequence[str] = ("",)) -> None:
        """Read several collections, of all namespaces or of these."""
        await asyncio.gather(*(self.read(one, namespace) for one in collections for namespace in namespaces))

    async def read_policies(self, now: datetime) -> None:
        """Read the policies that are custom resources, where the servers follow them."""
        if any("policy-resources" in server.flags for server in self.seen(now).servers()):
            await self.read_all(_POLICIES)

    async def read(self, collection: _Collection, namespace: str = "", *, called: str = "") -> None:
        """Read one collection, page by page. What cannot be read is ``called`` so, by default by its kind."""
        # The items of a list do not repeat what they are.
        what = {"apiVersion": collection.api_version, "kind": collection.kind}
        try:
            async for page in self._cluster.pages(collection.path(namespace), seconds=_SECONDS):
                self.objects += ({**what, **item} for item in items(page, "items"))
        except ClusterError as error:
            self._unread[called or collection.kind] = str(error)
