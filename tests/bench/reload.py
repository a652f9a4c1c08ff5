"""A reload of the policies under load: what callers see before, during and after."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson

from tests.bench import machine
from tests.bench.bodies import training_review
from tests.bench.load import LEAD_IN_SECONDS, Loader, LoadError, Paced, run_paced
from tests.bench.made import Document, policies_elsewhere, write_policies
from tests.bench.paced import SHARE
from tests.bench.served import VALIDATE, WARM_UP_SECONDS, write_bodies
from tests.bench.servers import (
    Server,
    ServerError,
    Target,
    asking,
    check_answers,
    gpuward_server,
    make_certificates,
)
from tests.bench.settings import Settings, summary
from tests.bench.tables import spread, table

# How many policies there are besides the shipped ones.
MORE: Final = (0, 100, 1000)
PARTS: Final = ("before", "during", "after")

_PATH: Final = "/validate/enforce?timeout=10s"

# From the signal on: the time in which a reload may be felt, long enough for a thousand policies.
_DURING_SECONDS: Final = 1.0

# Until the loader has imported what it needs and has connected.
_HEAD_START_SECONDS: Final = 1.5 + LEAD_IN_SECONDS

# How often it is asked whether the new policies are in force.
_PROBE_SECONDS: Final = 0.02


def measure(settings: Settings) -> dict[str, Any]:
    """Latencies of ``/validate`` at half load before, during and after a reload, for each of ``MORE``.

    Raises:
        LoadError: the load generator failed.
        ServerError: the server does not start, answers wrongly, or does not take the new policies.
    """
    more = MORE[:-1] if settings.quick else MORE
    cases = []
    for count in more:
        settings.say(f"reload: {count:,} policies more")
        with tempfile.TemporaryDirectory(prefix="gpuward-bench-") as name:
            cases.append({"more": count, **_case(Path(name), count, settings)})
    return {"cases": cases, "duringSeconds": _DURING_SECONDS, "share": SHARE}


def _case(folder: Path, count: int, settings: Settings) -> dict[str, Any]:
    server_core, loader_core = machine.cores()
    policies = write_policies(folder / "policies", policies_elsewhere("namespace", count))
    body = training_review()
    files = write_bodies(folder / "bodies", (body,))
    with gpuward_server(make_certificates(folder), folder, server_core, policies=policies) as server:
        target = Target(VALIDATE, server, _PATH)
        check_answers(target, [body])
        loader = Loader(loader_core, settings.loader)
        loader.run(server.port, _PATH, files, WARM_UP_SECONDS)
        most = loader.run(server.port, _PATH, files, settings.seconds)
        rate = SHARE * most.requests / most.seconds
        rounds = [
            _round(server, policies, files, rate, loader_core, settings.seconds, number)
            for number in range(settings.rounds)
        ]
    return {
        "rate": rate,
        "rounds": rounds,
        "errors": sum(part["errors"] for each in rounds for part in each["parts"].values()),
        "takenMilliseconds": summary([each["takenMilliseconds"] for each in rounds]),
        "p99": {part: summary([each["parts"][part]["p99"] for each in rounds]) for part in PARTS},
        "longest": {part: summary([each["parts"][part]["longest"] for each in rounds]) for part in PARTS},
    }


def _round(
    server: Server,
    policies: Path,
    files: list[Path],
    rate: float,
    core: int | None,
    seconds: float,
    number: int,
) -> dict[str, Any]:
    """One run; the policies change ``seconds`` after its start."""
    start = time.perf_counter() + _HEAD_START_SECONDS
    ends = [seconds, seconds + _DURING_SECONDS, 2 * seconds + _DURING_SECONDS]
    outcome: list[Paced | LoadError] = []

    def load() -> None:
        try:
            paced = run_paced(
                core, server.port, _PATH, files, seconds=ends[-1], rate=rate, start=start, windows=ends
            )
            outcome.append(paced)
        except LoadError as error:
            outcome.append(error)

    # The loader is a program of its own; the thread waits for it.
    thread = threading.Thread(target=load)
    thread.start()
    try:
        time.sleep(max(0.0, start + seconds - time.perf_counter()))
        taken = _reload(server, policies, number)
    finally:
        thread.join()
    (paced,) = outcome
    if isinstance(paced, LoadError):
        raise paced
    return {
        "parts": {name: asdict(window) for name, window in zip(PARTS, paced.windows, strict=True)},
        "late": paced.late,
        "takenMilliseconds": taken * 1000,
    }


def _reload(server: Server, policies: Path, number: int) -> float:
    """Add a policy that a review shows, and have it read; the seconds until it is in force."""
    label = f"reload-{number}"
    (policies / "made" / f"{label}.yaml").write_bytes(orjson.dumps(_demanding(label)))
    probe = _without(label)
    # On a connection that is there: a handshake each time would be a load of its own.
    with asking(server, _PATH) as ask_once:
        ask_once(probe)
        asked = time.perf_counter()
        os.kill(server.pid, signal.SIGHUP)
        while time.perf_counter() < asked + 15:
            status, answer = ask_once(probe)
            if status == 200 and label.encode() in answer:
                return time.perf_counter() - asked
            time.sleep(_PROBE_SECONDS)
    raise ServerError(f"gpuward does not take the new policies:\n{server.process.tail()}")


def _demanding(label: str) -> Document:
    """A policy that warns about pods in the namespace of ``_without`` which have no such label."""
    (policy,) = policies_elsewhere("namespace", 1)
    policy["metadata"]["name"] = label
    policy["spec"]["match"] = {"namespaces": [_PROBED]}
    policy["spec"]["validate"] = [{"rule": "required-labels", "parameters": {"labels": [{"key": label}]}}]
    return policy


_PROBED: Final = "probed"


def _without(label: str) -> bytes:
    body = orjson.loads(training_review())
    body["request"]["namespace"] = body["request"]["object"]["metadata"]["namespace"] = _PROBED
    body["request"]["object"]["metadata"]["labels"].pop(label, None)
    return orjson.dumps(body)


def render(measured: dict[str, Any]) -> Iterator[str]:
    """One table."""
    rows = []
    for case in measured["cases"]:
        ratios = [
            each["parts"]["during"]["p99"] / each["parts"]["before"]["p99"]
            for each in case["rounds"]
            if each["parts"]["before"]["p99"]
        ]
        rows.append(
            [
                f"shipped and {case['more']:,} more" if case["more"] else "shipped",
                f"{case['rate']:,.0f}",
                *(f"{case['p99'][part]['median']:.2f}" for part in PARTS),
                spread(summary(ratios)) if ratios else "",
                f"{case['longest']['during']['median']:.0f}",
                f"{case['takenMilliseconds']['median']:.0f}",
                str(case["errors"]),
            ]
        )
    yield (
        f"A reload of the policies at {measured['share']:.0%} of the greatest load, /validate; \"during\" is "
        f"{measured['duringSeconds']:g} s from the signal on; median of {len(measured['cases'][0]['rounds'])} "
        "rounds:\n\n"
        + table(
            ("policies", "reviews/s", "p99 ms before", "during", "after", "during to before (min-max)",
             "longest during, ms", "in force after ms", "errors"),
            rows,
        )
    )  # fmt: skip
