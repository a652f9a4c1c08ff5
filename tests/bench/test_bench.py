"""The benchmark itself: that it counts what happens and notices what goes wrong. No timing is asserted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.bench import inprocess, machine
from tests.bench.bodies import ALL, NOTEBOOK, TRAIN, load_bodies, notebook_review, training_review
from tests.bench.load import Loader, LoaderName
from tests.bench.parts import render
from tests.bench.served import CONSTANT, DECODE, summarise
from tests.bench.servers import (
    Certificates,
    Server,
    ServerError,
    Target,
    ask,
    check_answers,
    make_certificates,
    reference_server,
)
from webhook.engine.decision import Phase
from webhook.kube.review import decode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def certificates(folder: Path) -> Certificates:
    return make_certificates(folder)


@pytest.fixture(scope="module")
def constant(certificates: Certificates, folder: Path) -> Iterator[Server]:
    with reference_server("constant", certificates, folder, None) as server:
        yield server


@pytest.fixture(scope="module")
def decoding(certificates: Certificates, folder: Path) -> Iterator[Server]:
    with reference_server("decode", certificates, folder, None) as server:
        yield server


@pytest.fixture(params=["python", "wrk"])
def loader(request: pytest.FixtureRequest) -> Loader:
    which: LoaderName = request.param
    if which == "wrk" and shutil.which("wrk") is None:
        pytest.skip("wrk is not installed")
    return Loader(None, which)


def file_of(folder: Path, body: bytes) -> Path:
    file = folder / "body.json"
    file.write_bytes(body)
    return file


def test_every_set_of_bodies_holds_reviews() -> None:
    sets = load_bodies().sets
    assert set(sets) == {TRAIN, NOTEBOOK, ALL}
    assert all(decode(body).uid for bodies in sets.values() for body in bodies)


def test_a_generated_review_is_of_the_size_of_a_recorded_one() -> None:
    body = training_review()
    assert decode(body).name == "train"
    assert 6_000 < len(body) < 20_000


def test_the_generated_reviews_show_both_outcomes() -> None:
    ruleset = inprocess.load_ruleset()

    def allowed(body: bytes) -> bool:
        answer = inprocess.path(body, ruleset, inprocess.NO_LABELS, Phase.VALIDATE)
        verdict: bool = orjson.loads(answer)["response"]["allowed"]
        return verdict

    assert allowed(training_review())
    assert not allowed(notebook_review())


def test_load_counts_answers(loader: Loader, constant: Server, folder: Path) -> None:
    loaded = loader.run(constant.port, "/review", [file_of(folder, training_review())], 0.2)
    assert loaded.requests > 0
    assert loaded.errors == 0
    assert 0 < loaded.p50 <= loaded.p99 <= loaded.p999


def test_load_counts_what_is_no_answer_as_errors(loader: Loader, constant: Server, folder: Path) -> None:
    loaded = loader.run(constant.port, "/elsewhere", [file_of(folder, b"{}")], 0.2)
    assert loaded.requests > 0
    assert loaded.errors == loaded.requests


def test_load_sends_the_bodies_in_rotation(loader: Loader, decoding: Server, folder: Path) -> None:
    good, broken = folder / "good.json", folder / "broken.json"
    good.write_bytes(training_review())
    broken.write_bytes(b"no review")
    loaded = loader.run(decoding.port, "/review", [good, broken], 0.2)
    # The server answers the broken ones with 400; the last of each connection may not be counted any more.
    assert abs(loaded.errors - loaded.requests / 2) <= 16


def test_answers_are_counted_by_their_outcome(decoding: Server) -> None:
    bodies = [training_review(), notebook_review()]
    assert check_answers(Target("decode", decoding, "/review"), bodies) == {
        "allowed": 2,
        "refused": 0,
        "patched": 0,
    }


@pytest.mark.parametrize("path", ["/review", "/elsewhere"])
def test_a_server_that_does_not_answer_its_request_is_found_out(constant: Server, path: str) -> None:
    with pytest.raises(ServerError, match="the liar answered"):
        check_answers(Target("the liar", constant, path), [training_review()])


def test_a_server_that_does_not_start_is_reported_with_its_own_words(
    certificates: Certificates, folder: Path
) -> None:
    with (
        pytest.raises(ServerError, match="no server nonsense"),
        reference_server("nonsense", certificates, folder, None),
    ):
        pass


def test_the_time_of_a_server_grows_with_its_work(constant: Server) -> None:
    # A tick is 10 ms: enough calls for several of them.
    before = machine.cpu_seconds(constant.pid)
    ask(constant, "/review", [training_review()] * 500)
    assert machine.cpu_seconds(constant.pid) > before
    assert machine.resident_bytes(constant.pid) > 10_000_000


def test_a_process_tree_has_its_children() -> None:
    child = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    try:
        assert child in machine.process_tree(os.getpid())
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_objects_that_refer_to_each_other_are_counted_as_garbage() -> None:
    def circle() -> None:
        one: list[Any] = []
        other = {"one": one}
        one.append(other)

    assert inprocess.garbage(circle) == 2
    assert inprocess.garbage(lambda: [{"one": []}]) == 0


def measurement(per_second: float, **others: float) -> dict[str, Any]:
    figures = {
        "requests": 100,
        "seconds": 1.0,
        "errors": 0,
        "perSecond": per_second,
        "cpuMicroseconds": 70.0,
        "p50": 1.0,
        "p99": 2.0,
        "p999": 3.0,
        "residentBytes": 40e6,
        "loaderBusy": 0.5,
    }
    return {**figures, **others}


def test_the_ratio_is_to_the_same_rounds_constant_server() -> None:
    rounds = [
        {CONSTANT: measurement(1000), DECODE: measurement(500)},
        # A round in which the machine was busy with something else.
        {CONSTANT: measurement(100), DECODE: measurement(60)},
        {CONSTANT: measurement(1000), DECODE: measurement(400)},
    ]
    assert summarise(rounds, DECODE)["ratio"] == {"median": 0.5, "min": 0.4, "max": 0.6}


@pytest.mark.parametrize(
    ("figures", "doubt"),
    [
        pytest.param({}, None, id="a quiet machine"),
        pytest.param({"loaderBusy": 0.97}, "the loader was busy for 97%", id="a loader at its limit"),
        pytest.param({"othersOnServerCore": 0.2}, "others used 20% of the server's core", id="a busy core"),
        pytest.param({"errors": 3}, "3 of 100 calls failed", id="failed calls"),
    ],
)
def test_the_report_says_what_speaks_against_its_figures(
    figures: dict[str, float], doubt: str | None
) -> None:
    rounds = [{CONSTANT: measurement(1000, **figures)}]
    result = {
        "machine": machine.describe(),
        "bodies": "generated",
        "served": {
            "loader": "wrk",
            "connections": 16,
            "serverCore": None,
            "loaderCore": None,
            "tls": {CONSTANT: "TLSv1.3"},
            "failures": {},
            "sets": [
                {
                    "bodies": TRAIN,
                    "count": 1,
                    "answers": {CONSTANT: {"allowed": 1, "refused": 0, "patched": 0}},
                    "rounds": rounds,
                    "summary": {CONSTANT: summarise(rounds, CONSTANT)},
                }
            ],
        },
    }
    report = render(result)
    assert "| constant |" in report
    assert (doubt in report) if doubt else ("**" not in report)
