"""A discrete-event simulation of admission calls at several replicas, with queues, timeouts and shedding.

A replica (one worker) takes one review at a time, in the order in which they come: an event loop does. A pod that is
created is two calls, one after the other: ``/mutate``, then ``/validate``. Everything random comes from one seed.

What is left out: the API server's own time and its limit on requests under way, which both make bursts flatter; and
controllers that try again what was refused.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

Draw = Callable[[random.Random], float]
"""Draws a time in seconds."""


def constant(seconds: float) -> Draw:
    """Always the same."""
    return lambda _: seconds


def exponential(mean: float) -> Draw:
    """Without memory: what makes M/M/k of it, whose results are known."""
    return lambda chance: chance.expovariate(1 / mean)


def lognormal(mean: float, variation: float = 0.5) -> Draw:
    """Mostly near the mean, now and then several times as long. ``variation``: standard deviation to mean."""
    sigma = math.sqrt(math.log(1 + variation**2))
    mu = math.log(mean) - sigma**2 / 2
    return lambda chance: math.exp(mu + sigma * _normal(chance))


def _normal(chance: random.Random) -> float:
    # Box-Muller, so that one seed gives the same on every version of Python.
    return math.sqrt(-2 * math.log(1 - chance.random())) * math.cos(2 * math.pi * chance.random())


@dataclass(frozen=True, slots=True)
class Setup:
    """What serves. ``service`` is the time of one call on its worker; ``path`` are seconds between the API server and
    the replica and back. ``limit`` calls are under way in a replica at most (--max-in-flight); more are answered 503.
    The API server waits for ``timeout`` seconds.

    ``routing`` says which replica gets a call: ``random`` as with many connections spread over a Service, ``pinned``
    where each of ``api_servers`` keeps to one replica, ``shared`` for one queue before all of them, which no Service
    is, but M/G/k.
    """

    replicas: int
    service: Draw
    path: float = 0.0005
    limit: int = 600
    timeout: float = 5.0
    routing: str = "random"
    api_servers: int = 3


@dataclass(slots=True)
class Outcome:
    """What became of it. ``delays`` are the seconds that admission added to each pod. ``in_system`` is the mean number
    of calls under way at the replicas over ``seconds``, ``call_seconds`` the mean time of an answered call there."""

    pods: int = 0
    calls: int = 0
    shed: int = 0
    timed_out: int = 0
    unmutated: int = 0
    refused: int = 0
    seconds: float = 0.0
    busy: float = 0.0
    most_in_flight: int = 0
    in_system: float = 0.0
    call_seconds: float = 0.0
    delays: list[float] = field(default_factory=list)

    def delay(self, share: float) -> float:
        """A percentile of ``delays``, in seconds."""
        ordered = sorted(self.delays)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def poisson(rate: float, seconds: float, seed: int = 1) -> Iterator[float]:
    """Arrivals of many independent callers: ``rate`` a second on average."""
    chance = random.Random(f"arrivals {seed}")
    now = chance.expovariate(rate)
    while now < seconds:
        yield now
        now += chance.expovariate(rate)


def job_arrays(pods: int, rate: float, background: float, seed: int = 1) -> list[float]:
    """A burst: ``pods`` at ``rate`` a second, as fast as their controller may, among a steady ``background``."""
    start = 1.0
    burst = [start + number / rate for number in range(pods)]
    steady = list(poisson(background, start + pods / rate + 1.0, seed)) if background else []
    return sorted(burst + steady)


class _Queue:
    """One place where calls wait: in front of one server, or of several that share it."""

    def __init__(self, servers: int) -> None:
        self._free: Final = [0.0] * servers
        self._under_way: Final[list[float]] = []
        self._since = 0.0
        self.area = 0.0
        """The number of calls under way, summed over time: call-seconds."""

    def in_flight(self, now: float) -> int:
        while self._under_way and self._under_way[0] <= now:
            self._pass(self._under_way[0])
            heapq.heappop(self._under_way)
        self._pass(now)
        return len(self._under_way)

    def _pass(self, now: float) -> None:
        self.area += len(self._under_way) * (now - self._since)
        self._since = now

    def take(self, now: float, service: float) -> float:
        """When the call will be done."""
        done = max(now, heapq.heappop(self._free)) + service
        heapq.heappush(self._free, done)
        heapq.heappush(self._under_way, done)
        return done


_MUTATE, _VALIDATE = 0, 1


def simulate(arrivals: Sequence[float], setup: Setup, *, phases: int = 2, seed: int = 1) -> Outcome:
    """Send pods at ``arrivals`` (seconds, in order) through the replicas.

    With ``phases`` of 1 a pod is one call, as queueing theory has it. A call that the API server no longer waits for
    is worked on all the same: nothing tells the replica.
    """
    # Another stream than that of the arrivals, or a long gap would always be followed by a long review.
    chance = random.Random(f"replicas {seed}")
    shared = setup.routing == "shared"
    queues = [_Queue(setup.replicas)] if shared else [_Queue(1) for _ in range(setup.replicas)]
    outcome = Outcome(pods=len(arrivals))
    events: list[tuple[float, int, int, float]] = []
    later = count()
    waiting = deque(arrivals)
    call_seconds = 0.0
    answered = 0
    work = 0.0
    end = 0.0
    while waiting or events:
        if waiting and (not events or waiting[0] <= events[0][0]):
            now = created = waiting.popleft()
            phase = _MUTATE
        else:
            now, _, phase, created = heapq.heappop(events)
        outcome.calls += 1
        queue = queues[_choose(setup, len(queues), chance)]
        in_flight = queue.in_flight(now)
        if in_flight >= setup.limit:
            outcome.shed += 1
            back, failed = now + setup.path, True
        else:
            outcome.most_in_flight = max(outcome.most_in_flight, in_flight + 1)
            service = setup.service(chance)
            work += service
            done = queue.take(now, service)
            call_seconds += done - now
            end = max(end, done)
            failed = done - now + setup.path > setup.timeout
            outcome.timed_out += failed
            answered += 1
            back = now + min(setup.timeout, done - now + setup.path)
        last = phase == phases - 1
        if failed and phase == _MUTATE and phases > 1:
            outcome.unmutated += 1  # failurePolicy Ignore
        elif failed:
            outcome.refused += 1  # failurePolicy Fail, in an enforce namespace
        if last:
            outcome.delays.append(back - created)
        else:
            heapq.heappush(events, (back, next(later), phase + 1, created))
    outcome.seconds = end
    outcome.busy = work / (end * setup.replicas) if end else 0.0
    for queue in queues:
        queue.in_flight(end)
    outcome.in_system = sum(queue.area for queue in queues) / end if end else 0.0
    outcome.call_seconds = call_seconds / answered if answered else 0.0
    return outcome


def _choose(setup: Setup, queues: int, chance: random.Random) -> int:
    if queues == 1:
        return 0
    if setup.routing == "pinned":
        return int(chance.random() * setup.api_servers) % queues
    return int(chance.random() * queues)
