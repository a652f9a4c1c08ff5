"""The server as a process: it starts or says why not, follows its files under load, stops without dropping calls."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from certs.mint import mint_ca, mint_leaf
from tests.e2e.serving import Served
from tests.server.conftest import Caller, calling
from tests.server.inprocess import until, until_it
from tests.server.reviews import BAD, GOOD, body, pod
from tests.server.test_connections import post, read_answer
from tests.support import POLICIES, REPOSITORY

OFFLINE = ("--no-cluster", "--default-mode", "enforce", "--admin-port", "auto")

POLICY = """
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {{name: {name}}}
spec:
  match: {{names: ["*"]}}
  validate: [{{rule: no-privileged}}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@asynccontextmanager
async def serving(folder: Path, *arguments: str) -> AsyncIterator[Caller]:
    """A server of this test's own, which the test may stop."""
    with Served(folder, *OFFLINE, *arguments) as served:
        async with calling(served) as caller:
            yield caller


def logged(caller: Caller, message: str) -> list[dict[str, Any]]:
    """The lines of the JSON log with this message."""
    lines = [json.loads(line) for line in caller.served.log if line.startswith("{")]
    return [line for line in lines if line["msg"] == message]


# Health, metrics, logs


async def test_health_is_on_both_ports_and_metrics_on_one(caller: Caller) -> None:
    for path in ("/healthz", "/readyz"):
        assert (await caller.request("GET", path)).body == b"ok\n"
        assert (await caller.get(caller.admin + path)).body == b"ok\n"
    (await caller.request("GET", "/metrics")).is_status(404)
    answer = await caller.get(f"{caller.admin}/readyz?verbose")
    assert [line.split(":")[0] for line in answer.body.decode().splitlines()] == [
        "[+]policies ok",
        "[+]certificate ok",
        "[+]namespaces ok",
        "[+]shutdown ok",
        "readyz check passed",
    ]


async def metric(caller: Caller, name: str) -> float:
    """The sum of a metric's samples whose line starts so."""
    text = (await caller.get(f"{caller.admin}/metrics")).body.decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


async def test_reviews_are_counted_and_dry_runs_apart(caller: Caller) -> None:
    denied = 'gpuward_admission_requests_total{kind="Pod",mode="enforce",operation="CREATE",result="denied"'
    dry = 'gpuward_admission_requests_total{kind="Pod",mode="enforce",operation="CREATE",result="dry_run"'
    before = [await metric(caller, name) for name in (denied, dry, "gpuward_findings_total")]
    assert not (await caller.post("/validate", BAD)).allowed
    after = [await metric(caller, name) for name in (denied, dry, "gpuward_findings_total")]
    assert after[0] == before[0] + 1
    assert after[2] > before[2]

    answer = await caller.post("/validate", BAD.replace(b'"dryRun":false', b'"dryRun":true'))
    assert not answer.allowed
    last = [await metric(caller, name) for name in (denied, dry, "gpuward_findings_total")]
    assert last == [after[0], after[1] + 1, after[2]]


async def test_a_refusal_is_logged_with_names_and_rules_and_no_values(caller: Caller) -> None:
    secret = "hunter2-in-a-secret"
    container = {
        "name": "app",
        "image": f"{secret}:latest",
        "securityContext": {"privileged": True},
        "env": [{"name": "PASSWORD", "value": secret}],
    }
    answer = await caller.post("/validate", body(pod(container), uid="uid-of-the-refusal"))
    assert not answer.allowed
    await until(lambda: any("uid-of-the-refusal" in line for line in caller.served.log))
    (line,) = [line for line in logged(caller, "denied") if line["uid"] == "uid-of-the-refusal"]
    assert line | {"time": "", "milliseconds": 0, "findings": []} == {
        "time": "",
        "level": "info",
        "msg": "denied",
        "uid": "uid-of-the-refusal",
        "webhook": "validate",
        "operation": "CREATE",
        "kind": "v1/Pod",
        "namespace": "ml-team",
        "name": "train",
        "user": "ada",
        "mode": "enforce",
        "allowed": False,
        "milliseconds": 0,
        "findings": [],
    }
    privileged = next(finding for finding in line["findings"] if finding["rule"] == "no-privileged")
    assert privileged == {
        "policy": "security-baseline",
        "rule": "no-privileged",
        "action": "Enforce",
        "path": "spec.containers[0].securityContext.privileged",
        "reason": "privileged",
    }
    assert not any(secret in line for line in caller.served.log)


async def test_what_is_allowed_is_logged_on_debug_only(folder: Path) -> None:
    async with serving(folder, "--policies", str(POLICIES), "--log-level", "debug") as caller:
        assert (await caller.post("/validate", GOOD)).allowed
        await until(lambda: logged(caller, "allowed"))
    async with serving(folder, "--policies", str(POLICIES)) as caller:
        assert (await caller.post("/validate", GOOD)).allowed
        assert caller.served.stop() == 0
        assert not logged(caller, "allowed")


# Following files under load


class Load:
    """Calls from several connections, one after the other on each, until it is stopped."""

    def __init__(self, caller: Caller, connections: int = 4, *, fresh: bool = False) -> None:
        self._caller = caller
        self._connections = connections
        self._fresh = fresh
        self._going = True
        self.answered = 0
        self.failed: list[str] = []

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._call()) for _ in range(self._connections)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._going = False
        await asyncio.gather(*self._tasks)

    async def _call(self) -> None:
        headers = {"Content-Type": "application/json"} | ({"Connection": "close"} if self._fresh else {})
        while self._going:
            try:
                answer = await self._caller.request(
                    "POST", "/validate?timeout=10s", data=BAD, headers=headers
                )
                if answer.allowed:
                    self.failed.append("allowed")
                self.answered += 1
            except (aiohttp.ClientError, OSError, AssertionError) as error:
                self.failed.append(repr(error))


async def policies_in_force(caller: Caller) -> float:
    return await metric(caller, "gpuward_policies ")


async def test_policies_reload_under_load_without_a_failed_call(folder: Path) -> None:
    """A ConfigMap's links are swapped again and again, once for something broken."""
    mounted = folder / "policies"
    mounted.mkdir()

    def publish(version: int, count: int, extra: str = "") -> None:
        data = mounted / f"..version_{version}"
        data.mkdir()
        policies = [POLICY.format(name=f"policy-{number}") for number in range(count)]
        (data / "policies.yaml").write_text("---".join(policies) + extra)
        (mounted / "..data_tmp").symlink_to(data.name)
        (mounted / "..data_tmp").rename(mounted / "..data")

    publish(0, 1)
    (mounted / "policies.yaml").symlink_to("..data/policies.yaml")
    async with serving(folder, "--policies", str(mounted), "--policy-poll", "50ms") as caller:
        async with Load(caller) as load:
            for version in range(1, 6):
                publish(version, version + 1)
                await _until(lambda expected=version + 1: policies_in_force(caller), version + 1)
            publish(6, 1, "\n---\nkind: Polcy\n")
            await _until(lambda: metric(caller, "gpuward_policy_last_reload_success "), 0)
            assert await policies_in_force(caller) == 6
            answer = await caller.get(f"{caller.admin}/readyz?verbose")
            assert answer.status == 200
            assert "policies.yaml:" in answer.body.decode()
            assert 'not "Polcy"; did you mean "Policy"?' in answer.body.decode()
            publish(7, 9)
            await _until(lambda: policies_in_force(caller), 9)
            seen = load.answered
            await until(lambda: load.answered > seen + 50)
        assert load.failed == []
        (line,) = logged(caller, "the policies cannot be used; those before stay")
        assert "Polcy" in line["problems"][0]
        assert caller.served.stop() == 0


async def _until(value: Callable[[], Awaitable[Any]], expected: float) -> None:
    async def reached() -> bool:
        return bool(await value() == expected)

    await until_it(reached)


async def test_the_certificate_is_replaced_under_load_without_a_failed_call(folder: Path) -> None:
    now = datetime.now(UTC)
    async with serving(folder, "--policies", str(POLICIES)) as caller:
        authorities = [mint_ca(f"ca {number}", now) for number in range(3)]
        for authority in authorities:
            caller.trust.load_verify_locations(cadata=authority.certificate.decode())
        async with Load(caller) as steady, Load(caller, fresh=True) as fresh:
            for authority in authorities:
                leaf = mint_leaf(authority, ["127.0.0.1"], now)
                (folder / "tls.crt").write_bytes(leaf.certificate)
                await asyncio.sleep(0.1)
                (folder / "tls.key").write_bytes(leaf.key)
                await until(lambda ca=authority: _serves(caller, ca.certificate.decode()))
            seen = fresh.answered
            await until(lambda: fresh.answered > seen + 10)
        assert (steady.failed, fresh.failed) == ([], [])
        assert steady.answered > 0
        assert caller.served.stop() == 0


def _serves(caller: Caller, ca: str) -> bool:
    trust = ssl.create_default_context(cadata=ca)
    with socket.create_connection(("127.0.0.1", caller.served.port), timeout=5) as plain:
        try:
            with trust.wrap_socket(plain, server_hostname="127.0.0.1"):
                return True
        except ssl.SSLCertVerificationError:
            return False


async def test_sighup_reads_the_policies_at_once(folder: Path) -> None:
    policies = folder / "policies"
    policies.mkdir()
    (policies / "a.yaml").write_text(POLICY.format(name="one"))
    async with serving(folder, "--policies", str(policies), "--policy-poll", "1h") as caller:
        await asyncio.sleep(0.3)  # it looks once as it starts
        (policies / "b.yaml").write_text(POLICY.format(name="two"))
        await asyncio.sleep(0.3)
        assert await policies_in_force(caller) == 1
        caller.served.process.send_signal(signal.SIGHUP)
        await _until(lambda: policies_in_force(caller), 2)
        assert caller.served.stop() == 0


# Stopping


async def test_sigterm_fails_readiness_first_then_drains_then_exits_0(folder: Path) -> None:
    async with serving(folder, "--policies", str(POLICIES), "--drain-delay", "1s") as caller:
        reader, writer = await caller.connect()
        writer.write(post(GOOD)[:-1])
        idle_reader, idle_writer = await caller.connect()

        caller.served.process.send_signal(signal.SIGTERM)
        await _until(lambda: _status(caller, f"{caller.admin}/readyz"), 503)
        assert "[-]shutdown failed: draining" in (await caller.get(f"{caller.admin}/readyz")).body.decode()
        # Callers that have not heard yet are served, and from the middle of the delay on told to go.
        answer = await caller.post("/validate", GOOD)
        assert answer.allowed
        await asyncio.sleep(0.6)
        answer = await caller.post("/validate", GOOD)
        assert (answer.allowed, answer.headers["Connection"]) == (True, "close")

        # The call under way outlives the delay, as nobody waits for it longer than its caller does.
        await asyncio.sleep(0.6)
        with pytest.raises(ConnectionRefusedError):
            await caller.connect()
        writer.write(GOOD[-1:])
        status, headers, _ = await read_answer(reader)
        assert (status, headers["Connection"]) == (200, "close")
        assert await idle_reader.read() == b""
        assert await asyncio.to_thread(caller.served.process.wait, 10) == 0
        for end in (writer, idle_writer):
            end.close()
            with suppress(OSError):
                await end.wait_closed()


async def _status(caller: Caller, url: str) -> int:
    return (await caller.get(url)).status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_server_without_callers_stops_at_once_with_0(folder: Path, number: signal.Signals) -> None:
    async with serving(folder, "--policies", str(POLICIES)) as caller:
        caller.served.process.send_signal(number)
        assert await asyncio.to_thread(caller.served.process.wait, 10) == 0
        assert logged(caller, "stopping")


async def test_a_second_signal_skips_the_delay(folder: Path) -> None:
    async with serving(folder, "--policies", str(POLICIES), "--drain-delay", "1h") as caller:
        caller.served.process.send_signal(signal.SIGTERM)
        await until(lambda: logged(caller, "stopping"))
        caller.served.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(caller.served.process.wait, 10) == 0


async def test_a_call_that_does_not_end_is_not_waited_for_longer_than_the_timeout(folder: Path) -> None:
    arguments = ("--policies", str(POLICIES), "--shutdown-timeout", "300ms")
    async with serving(folder, *arguments) as caller:
        _, writer = await caller.connect()
        writer.write(post(GOOD, timeout=b"30s")[:-1])
        await _until(lambda: metric(caller, "gpuward_admission_in_flight "), 1)
        began = time.monotonic()
        assert await asyncio.to_thread(caller.served.stop) == 0
        assert time.monotonic() - began < 5
        assert logged(caller, "stopped before all was done")
        writer.transport.abort()


async def test_steady_callers_see_no_failure_while_a_server_drains(folder: Path) -> None:
    """Each caller reconnects when told to, here to the same server; the last answers tell them all to go."""
    async with serving(folder, "--policies", str(POLICIES), "--drain-delay", "1s") as caller:
        async with Load(caller) as load:
            await until(lambda: load.answered > 50)
            caller.served.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.9)
            assert load.failed == []
        assert load.failed == []
        assert await asyncio.to_thread(caller.served.process.wait, 10) == 0


# Starting


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``gpuward serve`` where it should not even begin to serve."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("KUBE", "GPUWARD"))}
    return subprocess.run(
        [sys.executable, "-m", "webhook", "serve", *arguments],
        cwd=REPOSITORY, env=clean | environment, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Flags for a good certificate."""
    folder = tmp_path_factory.mktemp("pair")
    now = datetime.now(UTC)
    leaf = mint_leaf(mint_ca("ca", now), ["localhost"], now)
    (folder / "tls.crt").write_bytes(leaf.certificate)
    (folder / "tls.key").write_bytes(leaf.key)
    return ("--tls-cert", str(folder / "tls.crt"), "--tls-key", str(folder / "tls.key"))


WRONG = {
    "no certificate": ((), "a serving certificate is needed"),
    "half a certificate": (("--tls-cert", "x"), "a serving certificate is needed"),
    "two certificates": (("--dev", "--tls-cert", "x"), "--dev makes its own certificate"),
    "no mode": (("PAIR", "--no-cluster"), "--no-cluster needs --default-mode"),
    "resources of no cluster": (
        ("PAIR", "--no-cluster", "--policy-resources"),
        "--no-cluster and --policy-resources contradict",
    ),
    "cluster and none": (("PAIR", "--no-cluster", "--kubeconfig", "x"), "contradict"),
    "no cluster": (("PAIR",), "no cluster is known"),
    "no kubeconfig": (("PAIR", "--kubeconfig", "/nowhere"), "/nowhere: no such kubeconfig file"),
    "no such certificate": (
        ("--tls-cert", "/no", "--tls-key", "/no", "--no-cluster", "--default-mode", "warn"),
        "/no: ",
    ),
    "no policies": (("--dev", "--policies", "/nowhere"), "/nowhere: no such file or folder"),
    "unknown mode": (("--dev", "--default-mode", "strict"), "invalid choice: 'strict'"),
    "port": (("--dev", "--port", "70000"), "no port"),
    "duration": (("--dev", "--drain-delay", "soon"), "no duration"),
    "negative duration": (("--dev", "--drain-delay=-1s"), "must not be negative"),
    "no reviews at all": (("--dev", "--max-in-flight", "0"), "no number from 1 on"),
}


@pytest.mark.parametrize(("arguments", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_meant_is_said_with_exit_status_2(
    arguments: tuple[str, ...], words: str, pair: tuple[str, ...]
) -> None:
    given = [flag for argument in arguments for flag in (pair if argument == "PAIR" else (argument,))]
    ended = start(*given)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_a_bad_policy_set_is_not_started_with(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POLICY.format(name="good"))
    (tmp_path / "b.yaml").write_text(POLICY.format(name="bad").replace("no-privileged", "no-privilege"))
    ended = start("--dev", "--policies", str(tmp_path))
    assert ended.returncode == 2
    assert f"{tmp_path / 'b.yaml'}:7:" in ended.stderr
    assert 'did you mean "no-privileged"?' in ended.stderr
    assert "the policies cannot be used" in ended.stderr


def test_a_port_that_is_taken_is_said(pair: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = start("--dev", "--port", str(taken.getsockname()[1]))
    assert ended.returncode == 2
    assert "Address already in use" in ended.stderr


@pytest.fixture
def development() -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """``gpuward serve --dev`` and the lines it prints."""
    with subprocess.Popen(
        [sys.executable, "-m", "webhook", "serve", "--dev", "--port", "0", "--admin-port", "0"],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            yield process, [process.stdout.readline() for _ in range(3)]
        finally:
            process.kill()


async def test_dev_makes_its_own_ca_for_localhost_and_throws_it_away(
    development: tuple[subprocess.Popen[str], list[str]],
) -> None:
    process, (serving_line, ca_line, try_line) = development
    url = serving_line.split("https://")[1].split(",")[0]
    assert "health" not in serving_line
    ca = Path(ca_line.rsplit(": ", 1)[1].strip())
    assert str(ca) in try_line
    assert url in try_line
    trust = ssl.create_default_context(cafile=str(ca))
    port = url.rsplit(":", 1)[1]
    async with aiohttp.ClientSession() as session:
        for host in ("localhost", "127.0.0.1"):
            headers = {"Content-Type": "application/json"}
            address = f"https://{host}:{port}/validate"
            async with session.post(address, data=BAD, headers=headers, ssl=trust) as response:
                assert (await response.json())["response"]["allowed"] is False
    process.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(process.wait, 15) == 0
    assert not ca.parent.exists()
