"""The objects of one namespace, as far as policies have anything to say about them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from webhook.adapters.cluster import Cluster, ClusterError, api_root
from webhook.kube.gvk import GroupVersionKind, parse_api_version
from webhook.kube.shape import JSONObject, items, mapping, strings, text

_SECONDS: Final = 15.0
_AT_ONCE: Final = 8

# Not read whatever the policies say: what is in them is nobody's business here, and there may be very many.
_NEVER_READ: Final = frozenset({("", "Secret"), ("", "Event"), ("events.k8s.io", "Event")})


class NamespaceScan:
    """Reads what is in a namespace.

    ``unread`` has the kinds that could not be read, and why.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self.unread: dict[str, str] = {}

    async def namespace(self, name: str) -> JSONObject:
        """The Namespace itself.

        Raises:
            ClusterError: it does not exist, or may not be read.
        """
        found: JSONObject = await self._cluster.get_json(f"/api/v1/namespaces/{name}", seconds=_SECONDS)
        return found

    async def objects(self, namespace: str, wanted: Callable[[GroupVersionKind], bool]) -> list[JSONObject]:
        """Every object of a wanted kind, each kind in the version that the API server prefers.

        Raises:
            ClusterError: the API server does not say what it serves.
        """
        groups = await self._cluster.get_json("/apis", seconds=_SECONDS)
        versions = [
            "v1",
            *(text(mapping(group, "preferredVersion"), "groupVersion") for group in items(groups, "groups")),
        ]
        served = await asyncio.gather(*(self._served(version) for version in versions if version))
        found = await asyncio.gather(
            *(
                self._list(kind, f"{root}/namespaces/{namespace}/{resource}")
                for resources in served
                for kind, root, resource in resources
                if (kind.group, kind.kind) not in _NEVER_READ and wanted(kind)
            )
        )
        return [obj for objects in found for obj in objects]

    async def _served(self, api_version: str) -> list[tuple[GroupVersionKind, str, str]]:
        root = api_root(api_version)
        try:
            async with self._turn:
                listed = await self._cluster.get_json(root, seconds=_SECONDS)
        except ClusterError as error:
            # An aggregated API whose server is down: what it serves cannot be known.
            self.unread[api_version] = str(error)
            return []
        return [
            (parse_api_version(api_version, text(resource, "kind")), root, text(resource, "name"))
            for resource in items(listed, "resources")
            if resource.get("namespaced") is True
            and "/" not in text(resource, "name")
            and "list" in strings(resource, "verbs")
        ]

    async def _list(self, kind: GroupVersionKind, path: str) -> list[JSONObject]:
        found: list[JSONObject] = []
        # The items of a list do not repeat what they are.
        what = {"apiVersion": kind.api_version, "kind": kind.kind}
        try:
            async with self._turn:
                async for page in self._cluster.pages(path, seconds=_SECONDS):
                    found += ({**item, **what} for item in items(page, "items"))
        except ClusterError as error:
            self.unread[str(kind)] = str(error)
        return found


async def set_label(cluster: Cluster, namespace: JSONObject, key: str, value: str | None) -> None:
    """Write or remove a label of a namespace, if nobody has changed the namespace since it was read.

    Raises:
        ClusterError: somebody has (409), or it may not be written.
    """
    metadata = mapping(namespace, "metadata")
    patch = {"metadata": {"resourceVersion": text(metadata, "resourceVersion"), "labels": {key: value}}}
    await cluster.send_json(
        "PATCH",
        f"/api/v1/namespaces/{text(metadata, 'name')}",
        patch,
        content_type="application/merge-patch+json",
        seconds=_SECONDS,
    )
