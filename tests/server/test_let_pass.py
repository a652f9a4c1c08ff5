"""What the server keeps of exceptions and of break-glass: answer, metrics, log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture(autouse=True)
def informed() -> Iterator[None]:
    """The admission log has what is no warning, too."""
    logger = logging.getLogger("gpuward.admission")
    before = logger.level
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(before)


@pytest.fixture
def excepted(tmp_path: Path) -> Ruleset:
    return ruleset_of(tmp_path, NO_PRIVILEGED, EXCEPTION)


@pytest.fixture
def broken(tmp_path: Path) -> Ruleset:
    return ruleset_of(tmp_path, NO_PRIVILEGED, BREAK_GLASS)


async def test_a_use_of_an_exception_is_answered_counted_and_logged(excepted: Ruleset) -> None:
    async with running(excepted, ENFORCED) as server:
        answer = await server.post("/validate", BAD)
        assert answer.allowed
        assert answer.response["auditAnnotations"] == {"exceptions": "no-privileged/no-privileged: legacy"}
        await until(lambda: server.logged())
        assert samples(server.metrics, "gpuward_exceptions_used_total") == {
            ("no-privileged", "no-privileged", "legacy"): 1
        }
    (line,) = server.logged()
    assert line["level"] == "info"
    assert line["exceptions"] == [{"policy": "no-privileged", "rule": "no-privileged", "exception": "legacy"}]


async def test_break_glass_is_answered_counted_and_logged_as_a_warning(broken: Ruleset) -> None:
    async with running(broken, ENFORCED) as server:
        answer = await server.post("/validate", BAD)
        assert answer.allowed
        assert answer.response["warnings"] == [
            'break-glass "on-call": policies only record this, and change nothing; reason: emergencies'
        ]
        assert answer.response["auditAnnotations"]["break-glass"] == "on-call: emergencies"
        await until(lambda: server.logged())
        assert samples(server.metrics, "gpuward_break_glass_used_total") == {("on-call",): 1}
        labels = ("validate", "CREATE", "Pod", "enforce", "break_glass")
        assert samples(server.metrics, "gpuward_admission_requests_total")[labels] == 1
    (line,) = server.logged()
    assert (line["level"], line["msg"]) == ("warning", "break_glass")
    assert (line["breakGlass"], line["allowed"], line["user"]) == ("on-call", True, "ada")
    assert [finding["action"] for finding in line["findings"]] == ["Audit"]


async def test_others_are_refused_all_the_same(broken: Ruleset) -> None:
    async with running(broken, ENFORCED) as server:
        assert not (await server.post("/validate", BAD.replace(b'"ada"', b'"eve"'))).allowed


@pytest.mark.parametrize("which", ["excepted", "broken"])
async def test_a_dry_run_counts_nothing(which: str, request: pytest.FixtureRequest) -> None:
    ruleset: Ruleset = request.getfixturevalue(which)
    async with running(ruleset, ENFORCED) as server:
        answer = await server.post("/validate", BAD.replace(b'"dryRun":false', b'"dryRun":true'))
        assert answer.allowed
        await until(lambda: server.logged())
        assert samples(server.metrics, "gpuward_exceptions_used_total") == {}
        assert samples(server.metrics, "gpuward_break_glass_used_total") == {}
    (line,) = server.logged()
    assert line["level"] == "info"
    assert line["dryRun"] is True
