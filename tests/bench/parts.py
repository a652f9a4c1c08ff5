"""The parts of the benchmark: one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple

from tests.bench import (
    apiserver,
    costs,
    inprocess,
    namespaces,
    offline,
    paced,
    reload,
    report,
    served,
    startup,
    workers,
)
from tests.bench.bodies import ALL, NOTEBOOK, TRAIN, Bodies
from tests.bench.load import LoadError
from tests.bench.servers import ServerError
from tests.bench.settings import Settings

# What a part that cannot be measured raises; the others are measured all the same.
ERRORS: Final = (LoadError, ServerError, costs.CostError, offline.OfflineError, apiserver.NoApiServer)


class Part(NamedTuple):
    """``name`` chooses it, ``key`` is where its figures are in the JSON, ``title`` heads them."""

    name: str
    key: str
    title: str
    measure: Callable[[Bodies, Settings], dict[str, Any]]
    render: Callable[[dict[str, Any]], Iterator[str]]


def _served(bodies: Bodies, settings: Settings) -> dict[str, Any]:
    sets = {name: bodies.sets[name] for name in (TRAIN, ALL)}
    return served.measure(
        sets,
        seconds=settings.seconds,
        rounds=settings.rounds,
        loader_name=settings.loader,
        say=settings.say,
    )


def _paced(bodies: Bodies, settings: Settings) -> dict[str, Any]:
    names = (TRAIN,) if settings.quick else (TRAIN, ALL)
    return paced.measure({name: bodies.sets[name] for name in names}, _fewer_rounds(settings))


def _fewer_rounds(settings: Settings) -> Settings:
    """Half of them, for parts whose rounds take much longer."""
    return replace(settings, rounds=max(1, settings.rounds // 2))


def _in_process(bodies: Bodies, settings: Settings) -> dict[str, Any]:
    settings.say("in this process")
    sets = {name: bodies.sets[name] for name in (TRAIN, NOTEBOOK, ALL)}
    return inprocess.measure(sets, 0.05 if settings.quick else 0.5)


def _costs(_: Bodies, settings: Settings) -> dict[str, Any]:
    extent = costs.QUICK if settings.quick else costs.Range()
    return costs.measure(0.02 if settings.quick else 0.5, extent, settings.say)


def _offline(_: Bodies, settings: Settings) -> dict[str, Any]:
    settings.say("offline")
    if settings.quick:
        return offline.measure(1, offline.COUNTS[:-1])
    return offline.measure(9)


PARTS: Final = (
    Part("served", "served", "Under full load", _served, report.served),
    Part("half-load", "halfLoad", "Latency at half load", _paced, paced.render),
    Part("in-process", "inProcess", "Steps of a review", _in_process, report.in_process),
    Part("cost", "cost", "Cost by number and size", _costs, costs.render),
    Part(
        "workers",
        "workers",
        "Workers",
        lambda bodies, settings: workers.measure(bodies.sets[ALL], settings),
        workers.render,
    ),
    Part(
        "reload",
        "reload",
        "Reload under load",
        lambda _, settings: reload.measure(_fewer_rounds(settings)),
        reload.render,
    ),
    Part(
        "start-up",
        "startUp",
        "Start-up and memory",
        lambda bodies, settings: startup.measure(bodies.sets[ALL], settings),
        startup.render,
    ),
    Part(
        "namespaces",
        "namespaces",
        "Namespaces",
        lambda _, settings: namespaces.measure(settings),
        namespaces.render,
    ),
    Part("offline", "offline", "Offline", _offline, report.offline),
    Part("api-server", "apiServer", "Through a real API server", apiserver.measure, apiserver.render),
)


def render(result: dict[str, Any]) -> str:
    """Everything that was measured, as Markdown for people at a terminal too."""
    parts = [report.heading(result)]
    for part in PARTS:
        if part.key in result:
            parts += [f"## {part.title}", *part.render(result[part.key])]
    parts += [
        f"**{name} was not measured:** {reason}" for name, reason in result.get("notMeasured", {}).items()
    ]
    return "\n\n".join(parts) + "\n"
