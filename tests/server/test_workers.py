"""Several server processes on one port: one server to everybody outside, whatever happens to one of them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from tests.server.conftest import Caller
from tests.server.inprocess import until, until_it
from tests.server.reviews import BAD, GOOD
from tests.server.test_process import POLICY, Load, logged, metric, policies_in_force, serving
from tests.support import POLICIES, REPOSITORY

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="looks at /proc, and ports are shared so on Linux"
)


@asynccontextmanager
async def two(folder: Path, *arguments: str) -> AsyncIterator[Caller]:
    """A server of two workers with the shipped policies."""
    async with serving(folder, "--policies", str(POLICIES), "--workers", "2", *arguments) as caller:
        yield caller


def children(caller: Caller) -> list[int]:
    return _children(caller.served.process.pid)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def fresh_call(caller: Caller, body: bytes) -> bool:
    """One call on a connection of its own; whether it was allowed."""
    headers = {"Content-Type": "application/json", "Connection": "close"}
    return (await caller.request("POST", "/validate", data=body, headers=headers)).allowed


async def counted(caller: Caller) -> float:
    return await metric(caller, "gpuward_admission_requests_total")


async def test_all_workers_answer_and_what_they_count_adds_up(tmp_path: Path) -> None:
    async with two(tmp_path) as caller:
        for _ in range(20):
            assert await fresh_call(caller, GOOD)
            assert not await fresh_call(caller, BAD)
        assert await counted(caller) == 40
        assert await metric(caller, "gpuward_workers ") == 2
        assert await policies_in_force(caller) > 0
        text = (await caller.get(f"{caller.admin}/readyz?verbose")).body.decode()
        assert text.startswith("[+]workers ok: 2 of 2 ready\n    [+]worker 1 policies: ")
        assert len(children(caller)) == 2
        used = [_cpu(child) for child in children(caller)]
        async with Load(caller, 16, fresh=True) as load:
            await until(lambda: load.answered > 300, 30)
        assert load.failed == []
        assert all(_cpu(child) > before for child, before in zip(children(caller), used, strict=True))
        assert await asyncio.to_thread(caller.served.stop) == 0


def _cpu(pid: int) -> int:
    """The processor time of a process in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


async def test_a_worker_that_is_killed_is_replaced_while_the_other_serves(tmp_path: Path) -> None:
    async with two(tmp_path) as caller:
        for _ in range(10):
            assert await fresh_call(caller, GOOD)
        before = await counted(caller)
        assert before == 10
        victim, survivor = children(caller)
        os.kill(victim, signal.SIGKILL)
        # Nobody has to wait for the replacement: its connections wait for it in the socket.
        for _ in range(20):
            assert await fresh_call(caller, GOOD)
        await until(lambda: len(children(caller)) == 2 and victim not in children(caller), 30)
        assert survivor in children(caller)
        assert (await caller.get(f"{caller.admin}/readyz")).status == 200
        assert await metric(caller, "gpuward_worker_restarts_total") == 1

        async def whole_again() -> bool:
            return await metric(caller, "gpuward_workers ") == 2 and await counted(caller) >= before + 20

        await until_it(whole_again)
        (line,) = logged(caller, "a worker died and is replaced")
        assert (line["pid"], line["status"]) == (victim, -signal.SIGKILL)
        assert await asyncio.to_thread(caller.served.stop) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_all_stop_together_without_a_failed_call(tmp_path: Path, number: signal.Signals) -> None:
    async with two(tmp_path, "--drain-delay", "1s") as caller:
        workers = children(caller)
        async with Load(caller) as load:
            await until(lambda: load.answered > 50, 30)
            caller.served.process.send_signal(number)
            await until_it(lambda: _is_not_ready(caller))
            await asyncio.sleep(0.6)
        assert load.failed == []
        assert await asyncio.to_thread(caller.served.process.wait, 15) == 0
        assert not [worker for worker in workers if _runs(worker)]


async def _is_not_ready(caller: Caller) -> bool:
    return (await caller.get(f"{caller.admin}/readyz")).status == 503


async def test_workers_do_not_outlive_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    async with two(tmp_path) as caller:
        workers = children(caller)
        caller.served.process.kill()
        await until(lambda: not [worker for worker in workers if _runs(worker)], 20)


def _runs(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def test_sighup_reaches_every_worker(tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "a.yaml").write_text(POLICY.format(name="one"))
    arguments = ("--policies", str(policies), "--policy-poll", "1h", "--workers", "2")
    async with serving(tmp_path, *arguments) as caller:
        (policies / "b.yaml").write_text(POLICY.format(name="two"))
        caller.served.process.send_signal(signal.SIGHUP)

        async def both_read_them() -> bool:
            # Of several workers the fewest policies are shown.
            return await policies_in_force(caller) == 2

        await until_it(both_read_them)
        assert await metric(caller, 'gpuward_policy_reloads_total{result="success"}') == 2
        assert await asyncio.to_thread(caller.served.stop) == 0


HANG = """
import sys
from webhook.server import supervisor
supervisor._WATCH_SECONDS, supervisor._SILENT_SECONDS = 0.1, 0.5
from webhook.cli.main import main
sys.exit(main(["serve", "--dev", "--port", "0", "--admin-port", "auto", "--workers", "2"]))
"""


@pytest.fixture
def watchful() -> Iterator[subprocess.Popen[str]]:
    """A server of two workers whose supervisor waits half a second for a sign of life."""
    with subprocess.Popen(
        [sys.executable, "-c", HANG],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


async def test_a_worker_that_hangs_is_replaced(watchful: subprocess.Popen[str]) -> None:
    assert watchful.stdout is not None
    assert watchful.stderr is not None
    line = await asyncio.to_thread(watchful.stdout.readline)
    found = re.search(r"health and metrics on (http://\S+?),", line)
    assert found is not None, line
    victim = _children(watchful.pid)[0]
    os.kill(victim, signal.SIGSTOP)
    await until(lambda: victim not in _children(watchful.pid), 30)
    async with aiohttp.ClientSession() as session:

        async def whole_again() -> bool:
            async with session.get(f"{found[1]}/readyz?verbose") as response:
                return "2 of 2 ready" in await response.text()

        await until_it(whole_again)
    watchful.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(watchful.wait, 20) == 0
    assert "a worker hangs and is killed" in watchful.stderr.read()
