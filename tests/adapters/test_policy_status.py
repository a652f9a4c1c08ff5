"""The writer of statuses: once for each verdict, only what would change, and on until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from webhook.adapters import policy_status as module
from webhook.adapters.cluster import ClusterError
from webhook.adapters.policy_documents import PolicyFileProblem
from webhook.adapters.policy_resources import Key, Resource, Verdict
from webhook.adapters.policy_status import StatusWriter

ONE = Resource("Policy", "one", "u1", 1, {"apiVersion": "gpuward.dev/v1alpha1", "kind": "Policy"})
PROBLEM = PolicyFileProblem("policies.gpuward.dev/one", 0, 0, ("spec",), "is wrong")


class Statuses:
    """Stands in for the watch and for the connection: what there is, and what was written."""

    def __init__(self) -> None:
        self.now: dict[Key, tuple[Resource, dict[str, Any]]] = {ONE.key: (ONE, {})}
        self.written: list[tuple[str, dict[str, Any]]] = []
        self.fail: list[ClusterError] = []

    def status_of(self, key: Key) -> tuple[Resource, dict[str, Any]] | None:
        return self.now.get(key)

    async def send_json(self, method: str, path: str, body: Any, *, content_type: str, seconds: float) -> Any:
        assert (method, content_type) == ("PATCH", "application/apply-patch+yaml")
        if self.fail:
            raise self.fail.pop()
        self.written.append((path, body))
        kind_and_name = body["kind"], body["metadata"]["name"]
        self.now[kind_and_name] = self.now[kind_and_name][0], body["status"]

    async def reset(self) -> None:
        pass


@asynccontextmanager
async def writing(statuses: Statuses) -> AsyncIterator[StatusWriter]:
    writer = StatusWriter(statuses, statuses)  # type: ignore[arg-type]  # as much of both as it uses
    task = asyncio.create_task(writer.run())
    try:
        yield writer
        assert not task.done(), "it ended by itself"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_JITTER_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(module, "_AGAIN_SECONDS", (0.01, 0.02))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # the condition is somebody else's state
            await asyncio.sleep(0.01)


async def settled() -> None:
    await asyncio.sleep(0.1)


async def test_a_status_is_applied_to_that_object_and_no_other() -> None:
    statuses = Statuses()
    async with writing(statuses) as writer:
        writer.report([Verdict(ONE)])
        await until(lambda: statuses.written)
    ((path, body),) = statuses.written
    assert path == ("/apis/gpuward.dev/v1alpha1/policies/one/status?fieldManager=gpuward&force=true")
    assert body["metadata"] == {"name": "one", "uid": "u1"}
    assert body["status"]["conditions"][0]["status"] == "True"


async def test_the_same_verdict_is_not_written_again_even_if_another_wrote_something_else() -> None:
    """Two versions of gpuward that disagree write once each, and do not answer one another for ever."""
    statuses = Statuses()
    async with writing(statuses) as writer:
        writer.report([Verdict(ONE)])
        await until(lambda: statuses.written)
        statuses.now[ONE.key] = ONE, {"conditions": [{"type": "Ready", "status": "False"}]}
        writer.report([Verdict(ONE)])
        await settled()
        assert len(statuses.written) == 1
        writer.report([Verdict(ONE, (PROBLEM,))])
        await until(lambda: len(statuses.written) == 2)


async def test_what_others_have_written_already_is_left() -> None:
    statuses = Statuses()
    async with writing(statuses) as writer:
        writer.report([Verdict(ONE)])
        await until(lambda: statuses.written)
    async with writing(statuses) as another:
        another.report([Verdict(ONE)])
        await settled()
    assert len(statuses.written) == 1


async def test_an_object_that_has_changed_since_waits_for_its_own_verdict() -> None:
    statuses = Statuses()
    statuses.now[ONE.key] = replace(ONE, generation=2), {}
    async with writing(statuses) as writer:
        writer.report([Verdict(ONE)])
        await settled()
        assert statuses.written == []
        writer.report([Verdict(replace(ONE, generation=2))])
        await until(lambda: statuses.written)
        del statuses.now[ONE.key]
        writer.report([])
        await settled()
    assert len(statuses.written) == 1


@pytest.mark.parametrize("status", [404, 409])
async def test_one_that_is_gone_or_another_needs_nothing(status: int) -> None:
    statuses = Statuses()
    statuses.fail = [ClusterError("gone", status)]
    async with writing(statuses) as writer:
        writer.report([Verdict(ONE)])
        await until(lambda: not statuses.fail)
        await settled()
    assert statuses.written == []
    assert writer.problem == ""


async def test_what_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    statuses = Statuses()
    statuses.fail = [ClusterError("away", 503), ClusterError("away", 503)]
    async with writing(statuses) as writer:
        writer.report([Verdict(ONE)])
        await until(lambda: statuses.written)
    assert writer.problem == ""
    assert [record.getMessage() for record in caplog.records] == [
        "the status of a policy resource cannot be written; trying again"
    ]
