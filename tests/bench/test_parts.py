"""The parts of the benchmark at their smallest: each measures what it says, and notices wrong answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.bench import __main__ as program
from tests.bench import apiserver, costs, machine, namespaces, offline, paced, reload, startup, workers
from tests.bench.bodies import NOTEBOOK, TRAIN, Bodies, load_bodies, notebook_review, training_review
from tests.bench.inprocess import path
from tests.bench.made import WAYS, pod_with, policies_elsewhere, review_with, write_policies
from tests.bench.parts import PARTS, render
from tests.bench.servers import ask, make_certificates, reference_server
from tests.bench.settings import Settings
from tests.e2e.controlplane import build
from tests.support import REPOSITORY, shipped_ruleset
from webhook.adapters import policy_files
from webhook.engine.decision import Phase
from webhook.kube.review import decode

TINY = Settings(seconds=0.2, rounds=1, quick=True, loader="python", say=lambda _: None)


def test_no_two_parts_share_a_name_or_a_place() -> None:
    assert len({part.name for part in PARTS}) == len({part.key for part in PARTS}) == len(PARTS)


def test_every_part_is_described() -> None:
    page = (REPOSITORY / "docs/performance.md").read_text()
    assert [part.name for part in PARTS if f"`{part.name}`" not in page] == []


# What is made up


@pytest.mark.parametrize("way", WAYS)
def test_policies_elsewhere_load_and_say_nothing(way: str, tmp_path: Path) -> None:
    loaded = policy_files.load(write_policies(tmp_path / "policies", policies_elsewhere(way, 3)))
    assert loaded.ruleset is not None
    assert len(loaded.ruleset.policies) == len(shipped_ruleset().policies) + 3
    bad = orjson.loads(review_with())
    bad["request"]["object"]["metadata"]["labels"] = {}
    answer = orjson.loads(path(orjson.dumps(bad), loaded.ruleset, costs.FACTS, Phase.VALIDATE))
    assert answer["response"]["allowed"] is True


def test_a_pod_has_as_many_containers_and_bytes_as_are_asked_for() -> None:
    assert len(pod_with(containers=30)["spec"]["containers"]) == 30
    assert len({c["name"] for c in pod_with(containers=30)["spec"]["containers"]}) == 30
    size = len(review_with(annotation_bytes=100_000)) - len(review_with())
    assert 100_000 <= size < 100_200
    assert decode(review_with(containers=2)).namespace == "ml-team"


# Costs


def test_costs_are_measured_for_every_dimension() -> None:
    extent = costs.Range(elsewhere=(2,), here=(2,), containers=(1, 2), kilobytes=(1,), expressions=(0, 2))
    measured = costs.measure(0.001, extent)
    assert [point["what"] for point in measured["policies"]] == [
        "the shipped set alone",
        *(f"2 more that do not match, by {way}" for way in WAYS),
        "2 more that match",
    ]
    assert [point["what"] for point in measured["expressions"]] == ["0", "2"]
    assert all(point["validate"]["min"] > 0 for points in measured.values() for point in points)
    assert "| 2 more that match" in "\n".join(costs.render(measured))


def test_a_review_that_comes_out_otherwise_is_not_timed() -> None:
    with pytest.raises(costs.CostError, match="0 violations were expected"):
        costs._expect(notebook_review(), shipped_ruleset(), findings=0)
    with pytest.raises(costs.CostError, match="2 violations were expected: the review is allowed"):
        costs._expect(training_review(), shipped_ruleset(), findings=2)


# Servers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="module")
def no_op(folder: Path) -> Iterator[Any]:
    certificates = make_certificates(folder)
    with reference_server("no-op", certificates, folder, None) as server:
        yield server, certificates


def test_the_no_op_server_answers_with_the_uid_of_the_request(no_op: Any) -> None:
    server, certificates = no_op
    before = apiserver._calls(server, certificates)
    for body in (training_review(), notebook_review(), *load_bodies().sets[TRAIN]):
        ((status, answer),) = ask(server, "/review", [body])
        response = orjson.loads(answer)["response"]
        assert (status, response) == (200, {"uid": decode(body).uid, "allowed": True})
    assert apiserver._calls(server, certificates) == before + 3


def test_a_server_of_comparison_has_as_many_processes_as_are_asked_for(folder: Path) -> None:
    place = folder / "two"
    place.mkdir()
    with reference_server("constant", make_certificates(place), place, None, processes=2) as server:
        assert len(machine.process_tree(server.pid)) == 2


def test_the_time_of_one_process_is_part_of_that_of_its_tree() -> None:
    assert 0 < machine.own_cpu_seconds(os.getpid()) <= machine.cpu_seconds(os.getpid())


def test_latency_is_measured_at_half_of_what_a_server_takes() -> None:
    measured = paced.measure({TRAIN: (training_review(),)}, TINY)
    (each,) = measured["sets"]
    for figures in each["summary"].values():
        assert figures["rate"] == pytest.approx(figures["most"] / 2)
        assert figures["errors"] == 0
        assert figures["requests"] > 0
        assert 0 < figures["quietest"] <= figures["longest"]
    assert each["summary"]["constant"]["quick"] is None
    assert 0 < each["summary"]["gpuward /validate"]["quick"] <= 1
    assert "| gpuward /mutate" in "\n".join(paced.render(measured))


def test_a_loader_that_is_late_is_shown() -> None:
    figures = {
        **dict.fromkeys(("rate", "p50", "p99", "quietest", "p999", "longest", "cpuMicroseconds"), 1.0),
        "late": paced.LATE_LIMIT * 2,
        "quick": 0.5,
        "errors": 1,
        "requests": 10,
    }
    sets = [{"bodies": TRAIN, "rounds": [{}], "summary": {"gpuward": figures}}]
    text = "\n".join(paced.render({"share": 0.5, "sets": sets}))
    assert "1.00 ms late" in text
    assert "1 of 10 calls failed" in text


def test_two_workers_are_compared_with_one() -> None:
    measured = workers.measure((training_review(),), TINY)
    assert {(each["server"], each["workers"]) for each in measured["summary"]} == {
        (server, count) for server in ("constant", "gpuward /validate", "gpuward /mutate") for count in (1, 2)
    }
    assert all(each["errors"] == 0 for each in measured["summary"])
    assert "| gpuward /validate, 2" in "\n".join(workers.render(measured))


def test_the_speed_up_is_to_one_worker_of_the_same_round() -> None:
    def one(count: int, per_second: float) -> dict[str, Any]:
        figures = ("cpuMicroseconds", "loaderMicroseconds", "loaderBusy", "balance", "residentBytes")
        return {"server": "s", "workers": count, "perSecond": per_second, "errors": 0} | dict.fromkeys(
            figures, 1.0
        )

    rounds = [[one(1, 100), one(2, 150)], [one(1, 10), one(2, 19)], [one(1, 100), one(2, 160)]]
    assert workers._summarise(rounds, "s", 2)["speedUp"] == {"median": 1.6, "min": 1.5, "max": 1.9}


def test_a_reload_is_seen_in_force_and_errors_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "MORE", (0, 100))
    monkeypatch.setattr(reload, "_DURING_SECONDS", 0.3)
    measured = reload.measure(TINY)
    (case,) = measured["cases"]  # a quick run leaves out the largest
    assert case["errors"] == 0
    (each,) = case["rounds"]
    assert set(each["parts"]) == {"before", "during", "after"}
    assert sum(part["requests"] for part in each["parts"].values()) > 0
    assert "| shipped" in "\n".join(reload.render(measured))


def test_start_up_and_memory_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "MORE", (0,))
    measured = startup.measure((training_review(),), TINY)
    (start,) = measured["starts"]
    assert start["residentBytes"]["min"] > 10e6
    before, after = measured["memory"]
    assert (before["reviews"], after["reviews"] > 0) == (0, True)
    assert "| shipped" in "\n".join(startup.render(measured))


def test_namespaces_are_listed_as_the_server_lists_them() -> None:
    measured = namespaces.measure(TINY, (3, 501))
    assert [(each["namespaces"], each["lists"]) for each in measured["counts"]] == [(3, 1), (501, 2)]
    assert "| 501" in "\n".join(namespaces.render(measured))


def test_many_manifests_are_reviewed_and_none_is_left_out(tmp_path: Path) -> None:
    measured = offline.measure(1, (3,))
    assert measured["commands"]["gpuward review, 3 pods"]["min"] > 0
    review = ["-m", "webhook", "review", "--policies", str(REPOSITORY / "policies")]
    with pytest.raises(offline.OfflineError, match="2 of 3 pods"):
        offline._reviewed_all(review, offline._pods(tmp_path, 2), 3, 1)


# The API server


@pytest.mark.skipif(
    not os.environ.get("KUBEBUILDER_ASSETS") and build.find() is None, reason="there is no control plane"
)
def test_creates_are_counted_under_every_kind_of_admission() -> None:
    recorded = load_bodies()
    bodies = Bodies(recorded.source, {name: recorded.sets[name] for name in (TRAIN, NOTEBOOK)})
    measured = apiserver.measure(bodies, TINY)
    for kinds in measured["summary"].values():
        assert set(kinds) == set(apiserver.KINDS)
        assert all(figures["requests"] > 0 and figures["errors"] == 0 for figures in kinds.values())
    assert "| gpuward's two webhooks" in "\n".join(apiserver.render(measured))


def test_a_pod_is_created_as_its_author_wrote_it() -> None:
    pod = apiserver._as_written(training_review())
    assert "managedFields" not in pod["metadata"]
    assert pod["spec"]["containers"][0]["name"] == "trainer"


# The program


def test_a_page_says_on_which_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, figures = tmp_path / "page.md", tmp_path / "figures.json"
    argv = ["bench", "--quick", "--only", "in-process", "--markdown", str(page), "--json", str(figures)]
    monkeypatch.setattr("sys.argv", argv)
    assert program.main() == 0
    text = page.read_text()
    assert text.index("Python") < text.index("## Steps of a review") < text.index("| decode")
    assert "A quick run" in text
    assert orjson.loads(figures.read_bytes())["settings"]["parts"] == ["in-process"]


def test_what_could_not_be_measured_is_said() -> None:
    result = {"machine": machine.describe(), "bodies": "made", "notMeasured": {"api-server": "no Go"}}
    assert "**api-server was not measured:** no Go" in render(result)
