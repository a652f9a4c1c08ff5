"""The figures as Markdown tables, for the terminal and for docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

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


def render(result: dict[str, Any]) -> str:
    """Everything that was measured."""
    parts = [_heading(result)]
    if "served" in result:
        parts += _served(result["served"])
    if "inProcess" in result:
        parts += _in_process(result["inProcess"])
    if "offline" in result:
        parts.append(_offline(result["offline"]))
    return "\n\n".join(parts) + "\n"


def _heading(result: dict[str, Any]) -> str:
    machine = result["machine"]
    load = " ".join(f"{value:.2f}" for value in machine["loadAverage"])
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}, "
        f"{packages}, {machine['openssl']}; load average at the start {load}; bodies: {result['bodies']}"
    )


def _served(served: dict[str, Any]) -> Iterator[str]:
    core = served["serverCore"]
    pinned = (
        f"server on core {core}, loader on core {served['loaderCore']}" if core is not None else "not pinned"
    )
    ciphers = sorted(set(served["tls"].values()))
    connections = f"{served['connections']} keep-alive connections"
    yield f"Loader: {served['loader']}, {connections}, {pinned}, {', '.join(ciphers)}"
    if len(ciphers) > 1:
        yield "**The servers do not agree on one cipher: " + str(served["tls"]) + "**"
    for measured in served["sets"]:
        yield (
            f"Over TLS, {_bodies(measured)}, median of {len(measured['rounds'])} rounds:\n\n"
            + _table(
                _SERVED_COLUMNS,
                [
                    _server(name, figures, measured["answers"][name])
                    for name, figures in measured["summary"].items()
                ],
            )
        )
        yield from _doubts(measured)
    for name, reason in served["failures"].items():
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


def _in_process(measured: dict[str, Any]) -> Iterator[str]:
    sets = measured["sets"]
    steps = list(sets[0]["steps"])
    yield "In this process, CPU µs a review, median (least):\n\n" + _table(
        ("step", *(_bodies(each) for each in sets)),
        [[step, *(_micro(each["steps"][step]) for each in sets)] for step in steps],
    )
    rows = [
        [f"after decode, {phase}, encode", *(f"{each['garbage'][phase]:.0f}" for each in sets)]
        for phase in sets[0]["garbage"]
    ]
    yield "Objects a review leaves to the garbage collector:\n\n" + _table(
        ("step", *(_bodies(each) for each in sets)), rows
    )
    milliseconds = measured["compile"]["median"] / 1000
    yield f"Reading and compiling the {measured['policies']} shipped policies: {milliseconds:.1f} ms"


def _micro(figures: dict[str, float]) -> str:
    return f"{figures['median']:.1f} ({figures['min']:.1f})"


def _offline(measured: dict[str, Any]) -> str:
    rows = [
        [name, f"{figures['median']:.0f}", f"{figures['min']:.0f}-{figures['max']:.0f}"]
        for name, figures in measured["commands"].items()
    ]
    return f"Offline, wall time (corpus: {measured['corpus']}):\n\n" + _table(
        ("command", "ms", "min-max"), rows
    )


def _bodies(measured: dict[str, Any]) -> str:
    count = measured["count"]
    return f"{measured['bodies']}, {count} reviews in rotation" if count > 1 else str(measured["bodies"])


def _table(header: Sequence[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [list(header), *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        aligned = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return "| " + " | ".join(aligned) + " |"

    rule = (
        "|"
        + "|".join([":" + "-" * (widths[0] + 1), *("-" * (width + 1) + ":" for width in widths[1:])])
        + "|"
    )
    return "\n".join([line(header), rule, *map(line, rows)])
