"""A server that is full, slow or broken says so clearly, at once, and comes back."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from tests.server.inprocess import NO_PRIVILEGED, FakeNamespaces, ruleset_of, running, samples, until
from tests.server.reviews import BAD, GOOD, body, pod
from tests.server.test_connections import post, read_answer
from webhook.adapters.logs import json_line, line_of
from webhook.engine.decision import Decision
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.kube.review import AdmissionRequest
from webhook.policy.findings import Mode
from webhook.server import admission, limits
from webhook.server.limits import Gate

LARGE = body(
    pod(), oldObject={"metadata": {"annotations": {"fill": "x" * limits.INLINE_LIMIT}}}, operation="UPDATE"
)


@pytest.fixture
def ruleset(tmp_path: Path) -> Ruleset:
    return ruleset_of(tmp_path, NO_PRIVILEGED)


async def test_a_full_server_refuses_at_once_and_takes_calls_again_later(ruleset: Ruleset) -> None:
    async with running(ruleset, gate=Gate(limit=2)) as server:
        slow = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        for _, writer in slow:
            writer.write(post(GOOD)[:-1])
        await until(lambda: server.gate.in_flight == 2)

        # Without a body: the answer does not wait for one.
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(post(GOOD)[: -len(GOOD)])
        status, headers, answer = await read_answer(reader)
        assert (status, headers["Retry-After"]) == (503, "1")
        assert json.loads(answer)["message"].endswith("as many reviews under way as it takes; try again")
        writer.close()
        (await server.post("/validate", GOOD)).is_status(503)

        for reader, writer in slow:
            writer.write(GOOD[-1:])
            assert (await read_answer(reader))[0] == 200
            writer.close()
        assert (await server.post("/validate", GOOD)).allowed
        assert server.gate.in_flight == 0
        assert samples(server.metrics, "gpuward_admission_failed_calls_total") == {("validate", "503"): 2}


async def test_too_many_bytes_on_their_way_are_refused(ruleset: Ruleset) -> None:
    gate = Gate(buffered_limit=300_000)
    async with running(ruleset, gate=gate) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(post(LARGE)[:-1])
        await until(lambda: gate.buffered == len(LARGE) - 1)
        (await server.post("/validate", LARGE)).is_status(503)
        assert (await server.post("/validate", GOOD)).allowed
        writer.write(LARGE[-1:])
        assert (await read_answer(reader))[0] == 200
        writer.close()
        assert gate.buffered == 0


async def test_a_slow_body_is_given_up_however_long_the_caller_waits(
    ruleset: Ruleset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.server.bodies.BODY_SECONDS", 0.2)
    async with running(ruleset) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(post(GOOD, timeout=b"30s")[:-1])
        assert (await read_answer(reader))[0] == 408
        assert server.gate.in_flight == 0
        writer.close()


async def test_a_long_review_ends_with_the_callers_time_and_keeps_nobody_waiting(
    ruleset: Ruleset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(request: Any, *rest: Any) -> Decision:
        if request.old_object is not None:
            time.sleep(1.5)
        return review(request, *rest)

    monkeypatch.setattr(admission, "review", slow)
    async with running(ruleset, default_mode=Mode.ENFORCE) as server:
        began = time.monotonic()
        long = asyncio.create_task(server.post("/validate?timeout=500ms", LARGE))
        await asyncio.sleep(0.1)
        assert not (await server.post("/validate", BAD)).allowed
        assert not long.done()
        (await long).is_status(504, "did not end within the time")
        assert time.monotonic() - began < 1.5


async def test_large_and_small_bodies_get_the_same_decision(ruleset: Ruleset) -> None:
    privileged = pod({"name": "a", "image": "a:1", "securityContext": {"privileged": True}})
    fill = {"metadata": {"annotations": {"fill": "x" * limits.INLINE_LIMIT}}}
    async with running(ruleset, default_mode=Mode.ENFORCE) as server:
        small = (await server.post("/validate", body(privileged))).response
        large = (await server.post("/validate", body(privileged, options=fill))).response
        assert small == large
        assert not small["allowed"]
        (await server.post("/validate", LARGE[:-1])).is_status(400)


async def test_an_internal_error_names_the_uid_and_logs_no_value(
    ruleset: Ruleset, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "hunter2-hunter2"

    def broken(request: Any, *_: Any) -> Decision:
        raise KeyError(request.obj["metadata"]["name"])

    monkeypatch.setattr(admission, "review", broken)
    async with running(ruleset, default_mode=Mode.ENFORCE) as server:
        answer = await server.post("/validate", body(pod(name=secret), uid="the-uid"))
        answer.is_status(500, "the-uid")
        assert secret.encode() not in answer.body
        assert samples(server.metrics, "gpuward_admission_failed_calls_total") == {("validate", "500"): 1}
    (line,) = [json_line(line_of(record)) for record in caplog.records if record.levelno >= logging.ERROR]
    logged = json.loads(line)
    assert (logged["uid"], logged["error"]) == ("the-uid", "KeyError")
    assert any("test_limits.py" in frame and "broken" in frame for frame in logged["stack"])
    assert secret not in line


async def test_a_call_leaves_nothing_for_the_garbage_collector(ruleset: Ruleset) -> None:
    """Objects in reference cycles live until the collector comes; with a large object in each, that is slow."""
    async with running(ruleset, default_mode=Mode.ENFORCE) as server:
        for _ in range(3):
            await server.post("/validate", GOOD)
        gc.collect()
        gc.disable()
        try:
            before = sum(isinstance(o, dict) and "containers" in o for o in gc.get_objects())
            for _ in range(20):
                await server.post("/validate", GOOD)
            after = sum(isinstance(o, dict) and "containers" in o for o in gc.get_objects())
        finally:
            gc.enable()
    assert after - before <= 1


async def test_calls_that_come_at_once_are_answered_each_for_itself(
    ruleset: Ruleset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_for_one(asked: AdmissionRequest, *others: Any) -> Decision:
        if asked.uid == "fails":
            raise KeyError("x")
        return review(asked, *others)

    monkeypatch.setattr(admission, "review", fails_for_one)
    namespaces = FakeNamespaces({"ml-team": {}}, live={"new": {}}, unreachable=frozenset({"unknown"}))
    privileged = {"name": "app", "image": "app:1", "securityContext": {"privileged": True}}
    calls = {
        "good": body(uid="good"),
        "malformed": body(uid="malformed")[:-1],
        "bad": body(pod(privileged), uid="bad"),
        "fails": body(uid="fails"),
        "new": body(uid="new", namespace="new"),
        "unknown": body(uid="unknown", namespace="unknown"),
        "large": LARGE,
    }
    async with running(ruleset, namespaces, default_mode=Mode.ENFORCE) as server:
        answers = dict(
            zip(
                calls,
                await asyncio.gather(*(server.post("/validate/enforce", call) for call in calls.values())),
                strict=True,
            )
        )
        assert server.gate.in_flight == 0
    assert {name: answer.status for name, answer in answers.items()} == {
        "good": 200,
        "malformed": 400,
        "bad": 200,
        "fails": 500,
        "new": 200,
        "unknown": 503,
        "large": 200,
    }
    assert {name: answers[name].response["uid"] for name in ("good", "bad", "new")} == {
        name: name for name in ("good", "bad", "new")
    }
    assert [answers[name].allowed for name in ("good", "bad", "new")] == [True, False, True]
