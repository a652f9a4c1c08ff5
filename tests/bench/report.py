"""The figures of the first parts as Markdown tables: servers under load, steps in this process, commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tests.bench.tables import table

_SERVED_COLUMNS: Final = (
    "server",
    "reviews/s",
    "of constant (min-max)",
    "CPU µs a review",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "RSS MB",
    "errors",
    "allowed / refused / patched",
)

# A loader or a neighbour that takes more than this of its core spoils a figure.
_LOADER_LIMIT: Final = 0.9
_OTHERS_LIMIT: Final = 0.05


def heading(result: dict[str, Any]) -> str:
    """The machine and the settings: figures are worth nothing without."""
    machine = result["machine"]
    load = " ".join(f"{value:.2f}" for value in machine["loadAverage"])
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    lines = [
        (
            f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}, "
            f"{packages}, {machine['openssl']}; load average at the start {load}; bodies: {result['bodies']}"
        )
    ]
    if "date" in result:
        settings = result["settings"]
        quick = " **A quick run: it shows that everything works, not what to believe.**"
        lines.append(
            f"{result['date']}, {settings['rounds']} rounds of {settings['seconds']:g} s, "
            f"{settings['tookSeconds']:.0f} s in all.{quick if settings['quick'] else ''}"
        )
    return "\n\n".join(lines)


def served(measured: dict[str, Any]) -> Iterator[str]:
    """A table for each set of bodies, and what speaks against it."""
    core = measured["serverCore"]
    pinned = (
        f"server on core {core}, loader on core {measured['loaderCore']}"
        if core is not None
        else "not pinned"
    )
    ciphers = sorted(set(measured["tls"].values()))
    connections = f"{measured['connections']} keep-alive connections"
    yield f"Loader: {measured['loader']}, {connections}, {pinned}, {', '.join(ciphers)}"
    if len(ciphers) > 1:
        yield "**The servers do not agree on one cipher: " + str(measured["tls"]) + "**"
    for each in measured["sets"]:
        yield (
            f"Over TLS, {_bodies(each)}, median of {len(each['rounds'])} rounds:\n\n"
            + table(
                _SERVED_COLUMNS,
                [_server(name, figures, each["answers"][name]) for name, figures in each["summary"].items()],
            )
        )
        yield from _doubts(each)
    for name, reason in measured["failures"].items():
        yield f"**{name} was not measured:** {reason.splitlines()[-1] if reason else ''}"


def _server(name: str, figures: dict[str, Any], answers: dict[str, int]) -> list[str]:
    ratio = figures["ratio"]
    return [
        name,
        f"{figures['perSecond']:,.0f}",
        f"{ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})",
        f"{figures['cpuMicroseconds']:.0f}",
        f"{figures['p50']:.2f}",
        f"{figures['p99']:.2f}",
        f"{figures['p999']:.2f}",
        f"{figures['residentBytes'] / 1e6:.0f}",
        str(figures["errors"]),
        f"{answers['allowed']} / {answers['refused']} / {answers['patched']}",
    ]


def _doubts(measured: dict[str, Any]) -> Iterator[str]:
    """What speaks against the figures."""
    for name, figures in measured["summary"].items():
        if figures["loaderBusy"] > _LOADER_LIMIT:
            busy = f"{figures['loaderBusy']:.0%}"
            yield f"**{name}: the loader was busy for {busy} of the time; the server can do more.**"
        others = [figures.get(f"othersOn{role}Core", 0.0) for role in ("Server", "Loader")]
        if max(others) > _OTHERS_LIMIT:
            shares = f"{others[0]:.0%} of the server's core and {others[1]:.0%} of the loader's"
            yield f"**{name}: others used {shares} meanwhile.**"
        if figures["errors"]:
            yield f"**{name}: {figures['errors']} of {figures['requests']} calls failed.**"


def in_process(measured: dict[str, Any]) -> Iterator[str]:
    """Steps, garbage, compiling."""
    sets = measured["sets"]
    steps = list(sets[0]["steps"])
    yield "In this process, CPU µs a review, median (least):\n\n" + table(
        ("step", *(_bodies(each) for each in sets)),
        [[step, *(_micro(each["steps"][step]) for each in sets)] for step in steps],
    )
    rows = [
        [f"after decode, {phase}, encode", *(f"{each['garbage'][phase]:.0f}" for each in sets)]
        for phase in sets[0]["garbage"]
    ]
    yield "Objects a review leaves to the garbage collector:\n\n" + table(
        ("step", *(_bodies(each) for each in sets)), rows
    )
    milliseconds = measured["compile"]["median"] / 1000
    yield f"Reading and compiling the {measured['policies']} shipped policies: {milliseconds:.1f} ms"


def _micro(figures: dict[str, float]) -> str:
    return f"{figures['median']:.1f} ({figures['min']:.1f})"


def offline(measured: dict[str, Any]) -> Iterator[str]:
    """One table."""
    rows = [
        [name, f"{figures['median']:.0f}", f"{figures['min']:.0f}-{figures['max']:.0f}"]
        for name, figures in measured["commands"].items()
    ]
    yield f"Offline, wall time (corpus: {measured['corpus']}):\n\n" + table(
        ("command", "ms", "min-max"), rows
    )


def _bodies(measured: dict[str, Any]) -> str:
    count = measured["count"]
    return f"{measured['bodies']}, {count} reviews in rotation" if count > 1 else str(measured["bodies"])
