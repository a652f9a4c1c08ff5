"""Namespaces from an API server: listed, watched, read live where they are new, and kept when it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.adapters.fake_api_server import FakeApiServer, namespace, serving, write_kubeconfig
from webhook.adapters import list_watch
from webhook.adapters import namespaces as module
from webhook.adapters.cluster import Cluster, ClusterConfigError, ClusterError
from webhook.adapters.namespaces import (
    ClusterNamespaces,
    EveryNamespace,
    Namespace,
    NamespaceLookupError,
    namespace_from_object,
)
from webhook.policy.findings import Mode


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon: the tests do not wait seconds for what would be the same."""
    monkeypatch.setattr(list_watch, "_BACKOFF_SECONDS", (0.01, 0.05))


@pytest.fixture
async def api() -> FakeApiServer:
    return FakeApiServer()


@asynccontextmanager
async def cluster_of(api: FakeApiServer, folder: Path) -> AsyncIterator[ClusterNamespaces]:
    """The namespaces of that cluster, not followed yet."""
    async with serving(api, folder) as kubeconfig:
        cluster = Cluster(kubeconfig)
        try:
            yield ClusterNamespaces(cluster)
        finally:
            await cluster.reset()


@asynccontextmanager
async def followed(api: FakeApiServer, folder: Path) -> AsyncIterator[ClusterNamespaces]:
    """The namespaces of that cluster, listed and watched."""
    async with cluster_of(api, folder) as namespaces:
        task = asyncio.create_task(namespaces.run())
        try:
            await until(lambda: namespaces.synced and api.watching)
            yield namespaces
            assert not task.done(), "it ended by itself"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # the condition is somebody else's state
            await asyncio.sleep(0.01)


def mode(namespaces: ClusterNamespaces, name: str) -> Mode | None:
    found = namespaces.get(name)
    assert found is not None, name
    return found.mode


# What a namespace says


@pytest.mark.parametrize("value", list(Mode))
def test_the_label_is_the_mode(value: Mode) -> None:
    assert namespace_from_object(namespace("ml", mode=value.value)).mode is value


def test_without_the_label_a_namespace_has_not_opted_in() -> None:
    assert namespace_from_object(namespace("ml", team="ml")) == Namespace(
        {"team": "ml"}, namespace("ml", team="ml")
    )


def test_a_label_that_is_no_mode_counts_as_audit_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert namespace_from_object(namespace("ml", mode="Enforced")).mode is Mode.AUDIT
    assert caplog.records[0].__dict__["fields"]["namespace"] == "ml"


@pytest.mark.parametrize(
    "obj", [{}, {"metadata": None}, {"metadata": {"labels": []}}, {"metadata": {"labels": {}}}]
)
def test_an_object_without_labels_is_a_namespace_without_labels(obj: dict[str, object]) -> None:
    found = namespace_from_object(obj)
    assert (dict(found.labels), found.mode) == ({}, None)


def test_a_mode_of_another_type_counts_as_audit() -> None:
    assert (
        namespace_from_object({"metadata": {"labels": {"gpuward.dev/mode": ["enforce"]}}}).mode is Mode.AUDIT
    )


async def test_without_a_cluster_every_namespace_is_there() -> None:
    source = EveryNamespace()
    assert source.get("any") == await source.find("any", 1) == Namespace()


# List and watch


async def test_all_namespaces_are_listed_in_pages(api: FakeApiServer, tmp_path: Path) -> None:
    api.page = 3
    api.add(*(namespace(f"ns-{number:02}", mode="warn") for number in range(10)))
    async with followed(api, tmp_path) as namespaces:
        assert len(namespaces) == 10
        assert api.lists == 4
        assert mode(namespaces, "ns-09") is Mode.WARN
        assert namespaces.get("other") is None
        found = namespaces.get("ns-00")
        assert found is not None
        assert found.object is not None
        assert found.object["status"] == {"phase": "Active"}
        assert "managedFields" not in found.object["metadata"]


async def test_changes_are_followed(api: FakeApiServer, tmp_path: Path) -> None:
    api.add(namespace("old"))
    async with followed(api, tmp_path) as namespaces:
        await api.send("ADDED", namespace("new", 101, mode="audit"))
        await until(lambda: namespaces.get("new"))
        assert mode(namespaces, "new") is Mode.AUDIT
        await api.send("MODIFIED", namespace("new", 102, mode="enforce"))
        await until(lambda: mode(namespaces, "new") is Mode.ENFORCE)
        await api.send("DELETED", namespace("old", 103))
        await until(lambda: namespaces.get("old") is None)
        assert len(namespaces) == 1
        assert api.lists == 1


async def test_a_watch_goes_on_from_the_last_event_or_bookmark(api: FakeApiServer, tmp_path: Path) -> None:
    async with followed(api, tmp_path) as namespaces:
        assert api.watches[0]["resourceVersion"] == "100"
        assert api.watches[0]["allowWatchBookmarks"] == "true"
        assert 300 <= int(api.watches[0]["timeoutSeconds"]) <= 600
        await api.send("ADDED", namespace("a", 105))
        await until(lambda: namespaces.get("a"))
        await api.end_watches()
        await until(lambda: api.watching)
        await api.send("BOOKMARK", {"kind": "Namespace", "metadata": {"resourceVersion": "250"}})
        await api.send(
            "ADDED", namespace("b", 240)
        )  # the version of an object may be older than the bookmark's
        await api.send("BOOKMARK", {"kind": "Namespace", "metadata": {"resourceVersion": "260"}})
        await until(lambda: namespaces.get("b"))
        await asyncio.sleep(0.05)
        await api.end_watches()
        await until(lambda: len(api.watches) == 3)
        assert [watch["resourceVersion"] for watch in api.watches] == ["100", "105", "260"]
        assert api.lists == 1
        assert namespaces.failures == 0


@pytest.mark.parametrize("how", ["status", "event"])
async def test_an_expired_version_means_to_list_again(api: FakeApiServer, tmp_path: Path, how: str) -> None:
    api.add(namespace("stays"), namespace("goes"))
    async with followed(api, tmp_path) as namespaces:
        del api.namespaces["goes"]
        api.add(namespace("comes"))
        api.version = 300
        if how == "status":
            api.expired = True
            await api.end_watches()
        else:
            await api.send("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
        await until(lambda: namespaces.get("comes"))
        assert namespaces.get("goes") is None
        assert namespaces.get("stays") is not None
        await until(lambda: api.watches[-1]["resourceVersion"] == "300")
        assert api.lists == 2


@pytest.mark.parametrize("event", [b"not json\n", b'{"type":"ADDED"}\n', b'["ADDED"]\n'])
async def test_what_is_no_event_starts_the_watch_anew(
    api: FakeApiServer, tmp_path: Path, event: bytes
) -> None:
    async with followed(api, tmp_path) as namespaces:
        await api.send_line(event)
        await until(lambda: len(api.watches) == 2)
        await until(lambda: not namespaces.problem)
        assert namespaces.failures == 1


async def test_an_object_of_any_size_comes_through(api: FakeApiServer, tmp_path: Path) -> None:
    async with followed(api, tmp_path) as namespaces:
        big = namespace("big", 101, mode="warn")
        big["metadata"]["annotations"] = {"fill": "x" * 3_000_000}
        await api.send("ADDED", big)
        await until(lambda: namespaces.get("big"))
        assert mode(namespaces, "big") is Mode.WARN


async def test_a_watch_that_falls_silent_is_opened_again(
    api: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_watch, "WATCH_IDLE_SECONDS", 0.1)
    async with followed(api, tmp_path) as namespaces:
        await until(lambda: len(api.watches) >= 3)
        assert namespaces.failures >= 2
        assert api.lists == 1


async def test_while_the_api_server_is_away_what_is_known_stays_and_then_is_mended(
    api: FakeApiServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    api.add(namespace("ml", mode="enforce"))
    async with followed(api, tmp_path) as namespaces:
        api.fail = 500
        await api.end_watches()
        await until(lambda: namespaces.failures >= 5)
        assert mode(namespaces, "ml") is Mode.ENFORCE
        assert namespaces.synced
        assert "500 broken on purpose" in namespaces.problem
        api.fail = None
        await until(lambda: api.watching)
        await until(lambda: not namespaces.problem)
        await api.send("MODIFIED", namespace("ml", 101, mode="warn"))
        await until(lambda: mode(namespaces, "ml") is Mode.WARN)
    told = [record.message for record in caplog.records if record.name == "gpuward.namespaces"]
    # Once when it begins and once when it ends, however often it was tried in between.
    assert told == [
        "namespaces are listed and watched",
        "namespaces cannot be listed or watched; trying again",
        "namespaces are watched again",
    ]


async def test_a_cluster_that_is_away_at_first_is_waited_for(api: FakeApiServer, tmp_path: Path) -> None:
    api.fail = 403
    api.add(namespace("ml"))
    async with cluster_of(api, tmp_path) as namespaces:
        task = asyncio.create_task(namespaces.run())
        await until(lambda: namespaces.failures >= 3)
        assert not namespaces.synced
        assert "403" in namespaces.problem
        api.fail = None
        await until(lambda: namespaces.synced)
        assert namespaces.get("ml") is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_new_credentials_are_taken_after_a_failure(api: FakeApiServer, tmp_path: Path) -> None:
    async with serving(api, tmp_path) as kubeconfig:
        cluster = Cluster(kubeconfig)
        namespaces = ClusterNamespaces(cluster)
        task = asyncio.create_task(namespaces.run())
        await until(lambda: api.watching)
        assert set(api.tokens) == {"Bearer first-token"}
        write_kubeconfig(tmp_path, api.url, "second-token")
        api.fail = 401
        await api.end_watches()
        await until(lambda: api.tokens[-1] == "Bearer second-token")
        api.fail = None
        await until(lambda: api.watching)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await cluster.reset()


# Live reads


async def test_a_name_that_is_not_known_is_read_and_remembered_for_a_moment(
    api: FakeApiServer, tmp_path: Path
) -> None:
    api.add(namespace("new", mode="warn"))
    async with cluster_of(api, tmp_path) as namespaces:
        assert namespaces.get("new") is None
        found = await namespaces.find("new", 5)
        assert found is not None
        assert found.mode is Mode.WARN
        assert namespaces.get("new") is found
        assert await namespaces.find("new", 5) is found
        assert api.reads == ["new"]


async def test_simultaneous_reads_of_one_name_are_one_request(api: FakeApiServer, tmp_path: Path) -> None:
    api.add(namespace("new"))
    api.slow.clear()
    async with cluster_of(api, tmp_path) as namespaces:
        calls = [asyncio.create_task(namespaces.find("new", 5)) for _ in range(50)]
        await until(lambda: api.reads)
        api.slow.set()
        assert len({id(found) for found in await asyncio.gather(*calls)}) == 1
        assert api.reads == ["new"]


async def test_a_name_that_is_not_there_is_believed_for_a_moment_only(
    api: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ABSENT_SECONDS", 0.1)
    async with cluster_of(api, tmp_path) as namespaces:
        assert await namespaces.find("new", 5) is None
        api.add(namespace("new"))
        assert await namespaces.find("new", 5) is None
        assert api.reads == ["new"]
        await asyncio.sleep(0.15)
        assert await namespaces.find("new", 5) is not None


async def test_a_caller_waits_no_longer_than_it_can_and_others_still_get_the_answer(
    api: FakeApiServer, tmp_path: Path
) -> None:
    api.add(namespace("new"))
    api.slow.clear()
    async with cluster_of(api, tmp_path) as namespaces:
        patient = asyncio.create_task(namespaces.find("new", 10))
        with pytest.raises(NamespaceLookupError, match="no answer within"):
            await namespaces.find("new", 0.1)
        api.slow.set()
        assert await patient is not None


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_an_error_is_no_answer_and_is_not_remembered(
    api: FakeApiServer, tmp_path: Path, status: int
) -> None:
    api.add(namespace("new"))
    api.fail = status
    async with cluster_of(api, tmp_path) as namespaces:
        with pytest.raises(NamespaceLookupError, match=str(status)):
            await namespaces.find("new", 5)
        api.fail = None
        assert await namespaces.find("new", 5) is not None


async def test_a_cluster_that_cannot_be_reached_is_no_answer(tmp_path: Path) -> None:
    cluster = Cluster(str(write_kubeconfig(tmp_path, "http://127.0.0.1:1")))
    with pytest.raises(NamespaceLookupError, match="127"):
        await ClusterNamespaces(cluster).find("new", 5)
    await cluster.reset()


async def test_the_watch_has_the_last_word_over_a_live_read(api: FakeApiServer, tmp_path: Path) -> None:
    async with followed(api, tmp_path) as namespaces:
        api.add(namespace("new", mode="audit"))
        assert (await namespaces.find("new", 5)) is not None
        await api.send("ADDED", namespace("new", 101, mode="enforce"))
        await until(lambda: mode(namespaces, "new") is Mode.ENFORCE)
        await api.send("DELETED", namespace("new", 102))
        await until(lambda: namespaces.get("new") is None)


async def test_a_flood_of_names_does_not_fill_the_memory(
    api: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MEMO_LIMIT", 10)
    async with cluster_of(api, tmp_path) as namespaces:
        for number in range(35):
            await namespaces.find(f"made-up-{number}", 5)
        assert len(namespaces._memo) <= 10


# Where the cluster is


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_any_hint_there_is_no_cluster(nowhere: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClusterConfigError, match="--kubeconfig, or use --no-cluster with --default-mode"):
        Cluster()


def test_a_kubeconfig_that_is_not_there_is_said(nowhere: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ClusterConfigError, match="no such kubeconfig file"):
        Cluster(str(tmp_path / "none"))
    nowhere.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ClusterConfigError, match="no such kubeconfig file"):
        Cluster()


async def test_a_kubeconfig_that_is_none_is_said(nowhere: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("kind: Config\n")
    with pytest.raises(ClusterError, match="kubeconfig"):
        await Cluster(str(tmp_path / "kubeconfig")).get_json("/version", seconds=1)


def test_kubeconfig_of_the_environment_counts_where_there_is_no_pod(
    nowhere: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = write_kubeconfig(tmp_path, "http://127.0.0.1:1")
    nowhere.setenv("KUBECONFIG", f"/nowhere:{file}")
    assert str(file) in Cluster().where
    nowhere.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    assert Cluster().where == "the pod's service account"
    assert Cluster(str(file)).where == str(file)
