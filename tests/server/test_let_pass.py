"""What the server keeps of exceptions and of break-glass: answer, metrics, log."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.server.inprocess import NO_PRIVILEGED, FakeNamespaces, ruleset_of, running, samples, until
from tests.server.reviews import BAD
from webhook.engine.ruleset import Ruleset

EXCEPTION = """
apiVersion: gpuward.dev/v1alpha1
kind: PolicyException
metadata: {name: legacy}
spec:
  policies: [no-privileged]
  reason: a secret reason
  match: {users: [ada]}
"""

BREAK_GLASS = """
apiVersion: gpuward.dev/v1alpha1
kind: BreakGlass
metadata: {name: on-call}
spec: {reason: emergencies, users: [ada]}
"""

ENFORCED = FakeNamespaces({"ml-team": {"gpuward.dev/mode": "enforce"}})


class Logged(logging.Handler):
    """Keeps the records of gpuward's admission log."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def fields(self) -> list[dict[str, Any]]:
        return [record.fields for record in self.records]  # type: ignore[attr-defined]  # set by gpuward


@pytest.fixture
def logged() -> Any:
    handler = Logged()
    logger = logging.getLogger("gpuward.admission")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.fixture
def excepted(tmp_path: Path) -> Ruleset:
    return ruleset_of(tmp_path, NO_PRIVILEGED, EXCEPTION)


@pytest.fixture
def broken(tmp_path: Path) -> Ruleset:
    return ruleset_of(tmp_path, NO_PRIVILEGED, BREAK_GLASS)


async def test_a_use_of_an_exception_is_answered_counted_and_logged(
    excepted: Ruleset, logged: Logged
) -> None:
    async with running(excepted, ENFORCED) as server:
        answer = await server.post("/validate", BAD)
        assert answer.allowed
        assert answer.response["auditAnnotations"] == {"exceptions": "no-privileged/no-privileged: legacy"}
        await until(lambda: logged.records)
        assert samples(server.metrics, "gpuward_exceptions_used_total") == {
            ("no-privileged", "no-privileged", "legacy"): 1
        }
    (record,) = logged.records
    assert record.levelno == logging.INFO
    assert logged.fields()[0]["exceptions"] == [
        {"policy": "no-privileged", "rule": "no-privileged", "exception": "legacy"}
    ]


async def test_break_glass_is_answered_counted_and_logged_as_a_warning(
    broken: Ruleset, logged: Logged
) -> None:
    async with running(broken, ENFORCED) as server:
        answer = await server.post("/validate", BAD)
        assert answer.allowed
        assert answer.response["warnings"] == [
            'break-glass "on-call": policies only record this, and change nothing; reason: emergencies'
        ]
        assert answer.response["auditAnnotations"]["break-glass"] == "on-call: emergencies"
        await until(lambda: logged.records)
        assert samples(server.metrics, "gpuward_break_glass_used_total") == {("on-call",): 1}
        labels = ("validate", "CREATE", "Pod", "enforce", "break_glass")
        assert samples(server.metrics, "gpuward_admission_requests_total")[labels] == 1
    (record,) = logged.records
    assert (record.levelno, record.msg) == (logging.WARNING, "break_glass")
    fields = logged.fields()[0]
    assert (fields["breakGlass"], fields["allowed"], fields["user"]) == ("on-call", True, "ada")
    assert [finding["action"] for finding in fields["findings"]] == ["Audit"]


async def test_others_are_refused_all_the_same(broken: Ruleset) -> None:
    async with running(broken, ENFORCED) as server:
        assert not (await server.post("/validate", BAD.replace(b'"ada"', b'"eve"'))).allowed


@pytest.mark.parametrize("which", ["excepted", "broken"])
async def test_a_dry_run_counts_nothing(which: str, logged: Logged, request: pytest.FixtureRequest) -> None:
    ruleset: Ruleset = request.getfixturevalue(which)
    async with running(ruleset, ENFORCED) as server:
        answer = await server.post("/validate", BAD.replace(b'"dryRun":false', b'"dryRun":true'))
        assert answer.allowed
        await until(lambda: logged.records)
        assert samples(server.metrics, "gpuward_exceptions_used_total") == {}
        assert samples(server.metrics, "gpuward_break_glass_used_total") == {}
    (record,) = logged.records
    assert record.levelno == logging.INFO
    assert logged.fields()[0]["dryRun"] is True
