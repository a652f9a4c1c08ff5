"""The simulation against what queueing theory says, and the page against the simulation."""

from __future__ import annotations

import math

import pytest

from tests.scale.__main__ import HEAD, figures, run
from tests.scale.clusters import BURSTS, CLUSTERS, Burst, Cluster, Reports, memory_bytes, replicas_for
from tests.scale.simulation import (
    Draw,
    Outcome,
    Setup,
    constant,
    exponential,
    job_arrays,
    lognormal,
    poisson,
    simulate,
)
from tests.support import REPOSITORY

MEAN = 0.001
NEVER = 10**9


def queue(rate: float, service: Draw, replicas: int = 1, limit: int = NEVER, seconds: float = 200) -> Outcome:
    """Calls of one phase at a shared queue, Poisson arrivals: M/G/k."""
    setup = Setup(replicas, service, path=0.0, limit=limit, timeout=math.inf, routing="shared")
    return simulate(list(poisson(rate, seconds)), setup, phases=1)


def erlang_c(load: float, servers: int) -> float:
    """The chance that a call waits in M/M/k, ``load`` being rate times mean service."""
    below = sum(load**n / math.factorial(n) for n in range(servers))
    waiting = load**servers / math.factorial(servers) * servers / (servers - load)
    return waiting / (below + waiting)


@pytest.mark.parametrize("busy", [0.3, 0.5, 0.8])
def test_one_server_is_m_m_1(busy: float) -> None:
    outcome = queue(busy / MEAN, exponential(MEAN))
    assert outcome.busy == pytest.approx(busy, rel=0.02)
    assert outcome.call_seconds == pytest.approx(MEAN / (1 - busy), rel=0.06)
    assert outcome.in_system == pytest.approx(busy / (1 - busy), rel=0.08)


@pytest.mark.parametrize(
    ("service", "squared_variation"),
    [
        pytest.param(constant(MEAN), 0.0, id="M/D/1"),
        pytest.param(lognormal(MEAN, 0.5), 0.25, id="M/G/1, lognormal"),
        pytest.param(lognormal(MEAN, 1.5), 2.25, id="M/G/1, long tail"),
    ],
)
def test_one_server_waits_as_pollaczek_and_khinchine_say(service: Draw, squared_variation: float) -> None:
    busy = 0.6
    outcome = queue(busy / MEAN, service)
    waiting = busy * MEAN * (1 + squared_variation) / (2 * (1 - busy))
    assert outcome.call_seconds - MEAN == pytest.approx(waiting, rel=0.1)


@pytest.mark.parametrize("servers", [2, 3, 8])
def test_several_servers_are_m_m_k(servers: int) -> None:
    load = 0.8 * servers
    outcome = queue(load / MEAN, exponential(MEAN), servers, seconds=60)
    waiting = erlang_c(load, servers) * MEAN / (servers - load)
    assert outcome.call_seconds - MEAN == pytest.approx(waiting, rel=0.1)
    assert outcome.busy == pytest.approx(0.8, rel=0.02)


def test_what_finds_the_places_taken_is_shed_as_in_m_m_1_k() -> None:
    busy, places = 0.9, 5
    outcome = queue(busy / MEAN, exponential(MEAN), limit=places, seconds=100)
    share = (1 - busy) * busy**places / (1 - busy ** (places + 1))
    assert outcome.shed / outcome.calls == pytest.approx(share, rel=0.05)
    assert outcome.most_in_flight == places


@pytest.mark.parametrize("routing", ["shared", "random", "pinned"])
@pytest.mark.parametrize("replicas", [1, 3])
def test_littles_law_holds_whatever_the_routing(routing: str, replicas: int) -> None:
    setup = Setup(replicas, lognormal(MEAN), routing=routing)
    outcome = simulate(list(poisson(300 * replicas, 20)), setup)
    answered = outcome.calls - outcome.shed
    # The integral of the number under way is kept apart from the times of the calls.
    assert outcome.in_system == pytest.approx(answered / outcome.seconds * outcome.call_seconds, rel=1e-6)


def test_a_shared_queue_waits_least_and_pinned_callers_longest() -> None:
    arrivals = list(poisson(600, 30))
    waits = [
        simulate(arrivals, Setup(2, lognormal(MEAN), routing=routing)).call_seconds
        for routing in ("shared", "random", "pinned")
    ]
    assert waits == sorted(waits)


def test_a_pod_is_two_calls_and_pays_for_both() -> None:
    outcome = simulate([0.0, 1.0], Setup(1, constant(MEAN), path=0.002))
    assert (outcome.pods, outcome.calls, outcome.shed, outcome.timed_out) == (2, 4, 0, 0)
    assert outcome.delays == pytest.approx([2 * (MEAN + 0.002)] * 2)


def test_a_call_that_is_not_answered_in_time_costs_the_caller_its_timeout() -> None:
    outcome = simulate([0.0], Setup(1, constant(9.0), timeout=5.0))
    # The mutation is skipped (Ignore). The validation waits behind it, which goes on, and is refused (Fail).
    assert (outcome.timed_out, outcome.unmutated, outcome.refused) == (2, 1, 1)
    assert outcome.delays == [10.0]


def test_what_is_shed_comes_back_at_once() -> None:
    outcome = simulate([0.0, 0.0], Setup(1, constant(1.0), limit=1, path=0.0))
    assert (outcome.shed, outcome.unmutated, outcome.refused) == (2, 1, 1)
    assert min(outcome.delays) == 0.0


def test_a_burst_has_its_rate_and_its_background() -> None:
    assert job_arrays(3, 10, 0.0) == pytest.approx([1.0, 1.1, 1.2])
    arrivals = job_arrays(1000, 100, 10)
    assert arrivals == sorted(arrivals)
    assert 1000 + 70 < len(arrivals) < 1000 + 170


def test_the_drawn_times_have_their_mean() -> None:
    assert queue(100, lognormal(0.002, 0.5)).busy == pytest.approx(0.2, rel=0.03)


def test_the_same_seed_gives_the_same() -> None:
    assert run(BURSTS[0], 2, 1.0) == run(BURSTS[0], 2, 1.0)


# The arithmetic


def test_creates_and_reviews_of_a_cluster_add_up() -> None:
    only_jobs = Cluster(nodes=10, pods=1800, jobs=1.0, job_seconds=1800, updates_a_pod=0.0)
    assert only_jobs.creates == 1.0
    assert only_jobs.reviews == pytest.approx(2 + 0.1)
    assert all(each.pods <= min(150_000, 110 * each.nodes) for each in CLUSTERS)


@pytest.mark.parametrize("burst", BURSTS, ids=lambda burst: f"{burst.rate:g} a second")
@pytest.mark.parametrize("milliseconds", [0.25, 1.0])
def test_the_replicas_that_are_advised_take_a_burst_with_one_of_them_away(
    burst: Burst, milliseconds: float
) -> None:
    replicas = replicas_for(burst.rate, milliseconds / 1000) - 1
    outcome = run(burst, replicas, milliseconds)
    assert (outcome.shed, outcome.timed_out, outcome.refused) == (0, 0, 0)
    assert outcome.delay(0.99) < 0.05


def test_memory_and_reports_add_up() -> None:
    assert memory_bytes(10_000) - memory_bytes(0) == pytest.approx(31e6)
    reports = Reports(86_400, bytes_each=1000, rewritten_a_day=1)
    assert (reports.stored_bytes, reports.writes_a_second) == (86_400_000, 1.0)
    assert reports.history_bytes == 300_000


# The page


def test_the_page_has_the_figures_of_the_simulation() -> None:
    page = (REPOSITORY / "docs/scale-figures.md").read_text()
    assert page == f"{HEAD}\n{figures()}", "make simulate ARGS='--markdown docs/scale-figures.md' writes it"
