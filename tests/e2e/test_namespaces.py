"""The cache of namespaces against a real API server: what it lists, follows, reads live and survives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from webhook.adapters import cluster
from webhook.adapters.cluster import Cluster
from webhook.adapters.namespaces import ClusterNamespaces, NamespaceLookupError
from webhook.policy.findings import Mode

from .cluster import ControlPlane

PATH = "/api/v1/namespaces"


@asynccontextmanager
async def connected(control_plane: ControlPlane) -> AsyncIterator[ClusterNamespaces]:
    """The namespaces of the control plane, not followed."""
    cluster = Cluster(str(control_plane.kubeconfig))
    try:
        yield ClusterNamespaces(cluster)
    finally:
        await cluster.reset()


@asynccontextmanager
async def followed(control_plane: ControlPlane) -> AsyncIterator[ClusterNamespaces]:
    """The namespaces of the control plane, listed and watched."""
    async with connected(control_plane) as namespaces:
        task = asyncio.create_task(namespaces.run())
        try:
            await until(lambda: namespaces.synced)
            yield namespaces
            assert not task.done(), "it ended by itself"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # the condition is the API server's state
            await asyncio.sleep(0.02)


def mode(namespaces: ClusterNamespaces, name: str) -> Mode | None:
    found = namespaces.get(name)
    return found.mode if found is not None else None


async def label(control_plane: ControlPlane, name: str, value: str | None) -> None:
    body = {"metadata": {"labels": {"gpuward.dev/mode": value}}}
    content_type = "application/merge-patch+json"
    await asyncio.to_thread(control_plane.api, "PATCH", f"{PATH}/{name}", body, content_type=content_type)


async def test_namespaces_are_listed_and_their_labels_followed(control_plane: ControlPlane) -> None:
    before = control_plane.create_namespace("listed-", {"gpuward.dev/mode": "warn", "team": "ml"})
    async with followed(control_plane) as namespaces:
        assert mode(namespaces, before) is Mode.WARN
        found = namespaces.get(before)
        assert found is not None
        assert found.labels["kubernetes.io/metadata.name"] == before
        assert found.object is not None
        assert found.object["status"]["phase"] == "Active"
        assert "managedFields" not in found.object["metadata"]
        assert namespaces.get("kube-system") is not None

        after = await asyncio.to_thread(
            control_plane.create_namespace, "watched-", {"gpuward.dev/mode": "audit"}
        )
        await until(lambda: mode(namespaces, after) is Mode.AUDIT)
        await label(control_plane, after, "enforce")
        await until(lambda: mode(namespaces, after) is Mode.ENFORCE)
        await label(control_plane, after, None)
        await until(lambda: mode(namespaces, after) is None)
        await asyncio.to_thread(control_plane.api, "DELETE", f"{PATH}/{after}")
        await until(lambda: namespaces.get(after) is None)


async def test_pages_add_up_to_all_namespaces(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_PAGE", "2")
    async with followed(control_plane) as namespaces:
        listed = await asyncio.to_thread(control_plane.api, "GET", PATH)
        assert len(listed["items"]) > 2
        for item in listed["items"]:
            assert namespaces.get(item["metadata"]["name"]) is not None


async def test_a_namespace_that_is_not_known_yet_is_read_live(control_plane: ControlPlane) -> None:
    async with connected(control_plane) as namespaces:
        name = await asyncio.to_thread(
            control_plane.create_namespace, "live-", {"gpuward.dev/mode": "enforce"}
        )
        assert namespaces.get(name) is None
        found = await namespaces.find(name, 10)
        assert found is not None
        assert found.mode is Mode.ENFORCE
        assert await namespaces.find("there-is-no-such", 10) is None


async def test_an_api_server_that_restarts_is_followed_again(control_plane: ControlPlane) -> None:
    name = control_plane.create_namespace("restart-", {"gpuward.dev/mode": "audit"})
    async with followed(control_plane) as namespaces:
        await asyncio.to_thread(control_plane.stop_api_server, kill=True)
        try:
            await until(lambda: namespaces.failures)
            assert mode(namespaces, name) is Mode.AUDIT
            with pytest.raises(NamespaceLookupError):
                await namespaces.find("unknown", 5)
        finally:
            # In this thread: the processes of the control plane end with the thread that started them (prctl(2)), and
            # the loop's others end with the test.
            control_plane.start_api_server()
        await label(control_plane, name, "warn")
        # At most the longest pause between two tries, and a moment to connect.
        await until(lambda: mode(namespaces, name) is Mode.WARN)
        await until(lambda: not namespaces.problem)
