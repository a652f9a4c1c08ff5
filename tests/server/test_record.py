"""What is kept of answered requests keeps nobody waiting."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.server.inprocess import NO_PRIVILEGED, ruleset_of, running, until
from tests.server.reviews import BAD
from webhook.adapters.metrics import Metrics
from webhook.policy.findings import Mode
from webhook.server.replies import Reply


async def test_findings_are_counted_and_logged_when_all_answers_are_on_their_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    send, count = Reply.prepare, Metrics.found

    async def sends(reply: Reply, *arguments: Any) -> Any:
        done.append("answered")
        return await send(reply, *arguments)

    def counts(metrics: Metrics, *arguments: Any) -> None:
        done.append("told")
        count(metrics, *arguments)

    monkeypatch.setattr(Reply, "prepare", sends)
    monkeypatch.setattr(Metrics, "found", counts)
    async with running(ruleset_of(tmp_path, NO_PRIVILEGED), default_mode=Mode.ENFORCE) as server:
        answers = await asyncio.gather(*(server.post("/validate", BAD) for _ in range(20)))
        assert not any(answer.allowed for answer in answers)
        await until(lambda: len(done) == 40)
    assert done.count("told") == 20
    # Nothing is told before its own answer is sent.
    assert all(done[:end].count("told") <= done[:end].count("answered") for end in range(41))
