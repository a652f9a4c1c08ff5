"""``make simulate``: the tables of docs/scale-figures.md. The same every time."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from tests.bench.tables import table
from tests.scale.clusters import BURSTS, BUSY, CLUSTERS, Burst, Reports, memory_bytes, replicas_for
from tests.scale.simulation import Outcome, Setup, job_arrays, lognormal, simulate

# Of one review on its worker, in milliseconds: about what is measured, and a core a quarter as fast.
SERVICE_MS: Final = (0.25, 1.0)

HEAD: Final = """# Scale figures

<!-- Written by `make simulate ARGS="--markdown docs/scale-figures.md"`: do not edit. -->

[What they mean, what is assumed and where it is from](scale.md).
"""


def figures(service_ms: tuple[float, ...] = SERVICE_MS) -> str:
    """All tables, as Markdown."""
    parts = ["## Reviews a second", _reviews(), "## Bursts"]
    parts += [_bursts(milliseconds) for milliseconds in service_ms]
    parts += ["## One replica away, and too few", _trouble(max(service_ms))]
    parts += ["## Replicas", _replicas()]
    parts += ["## Memory and reports", _memory(), _reports()]
    return "\n\n".join(parts) + "\n"


def _reviews() -> str:
    rows = [
        [
            f"{each.nodes:,}",
            f"{each.pods:,}",
            f"{each.creates:.1f}",
            f"{each.reviews:.0f}",
            *(f"{each.reviews * milliseconds / 1000:.1%}" for milliseconds in SERVICE_MS),
        ]
        for each in CLUSTERS
    ]
    shares = [f"of one worker at {milliseconds:g} ms" for milliseconds in SERVICE_MS]
    return "A full cluster on an ordinary day:\n\n" + table(
        ("nodes", "pods", "pods created a second", "reviews a second", *shares), rows
    )


def _bursts(milliseconds: float) -> str:
    rows = [
        _row(f"{burst.pods:,} at {burst.rate:,.0f}/s, {replicas}", run(burst, replicas, milliseconds))
        for burst in BURSTS
        for replicas in (1, 2, 3)
    ]
    return f"Job arrays, a review takes {milliseconds:g} ms of its worker:\n\n" + table(
        ("pods, replicas", *_COLUMNS), rows
    )


def run(
    burst: Burst, replicas: int, milliseconds: float, *, routing: str = "random", limit: int = 600
) -> Outcome:
    """A burst among the steady creates of the 5,000 nodes."""
    background = CLUSTERS[3].creates
    setup = Setup(replicas, lognormal(milliseconds / 1000), routing=routing, limit=limit)
    return simulate(job_arrays(burst.pods, burst.rate, background), setup)


_COLUMNS: Final = (
    "busy",
    "most under way",
    "p50 ms",
    "p99 ms",
    "longest ms",
    "503",
    "timeouts",
    "not mutated",
    "refused",
)


def _row(what: str, outcome: Outcome) -> list[str]:
    milliseconds = [f"{outcome.delay(share) * 1000:,.1f}" for share in (0.5, 0.99, 1.0)]
    counts = (outcome.shed, outcome.timed_out, outcome.unmutated, outcome.refused)
    return [
        what,
        f"{outcome.busy:.0%}",
        f"{outcome.most_in_flight:,}",
        *milliseconds,
        *(f"{each:,}" for each in counts),
    ]


def _trouble(milliseconds: float) -> str:
    burst = BURSTS[-1]
    rows = [
        _row("3 replicas, calls spread", run(burst, 3, milliseconds)),
        _row("3 replicas, each API server keeps to one", run(burst, 3, milliseconds, routing="pinned")),
        _row("2 replicas, each API server keeps to one", run(burst, 2, milliseconds, routing="pinned")),
        _row("2 replicas, calls spread", run(burst, 2, milliseconds)),
        _row("1 replica, 600 at once", run(burst, 1, milliseconds)),
        _row("1 replica, 6,000 at once", run(burst, 1, milliseconds, limit=6000)),
        _row("1 replica, no limit", run(burst, 1, milliseconds, limit=10**9)),
    ]
    return (
        f"{burst.pods:,} pods at {burst.rate:,.0f}/s, a review takes {milliseconds:g} ms of its worker:\n\n"
        + table(("replicas", *_COLUMNS), rows)
    )


def _replicas() -> str:
    services = (0.25, 0.5, 1.0, 2.5)
    rows = [
        [f"{rate:,}", *(str(replicas_for(rate, milliseconds / 1000)) for milliseconds in services)]
        for rate in (20, 100, 300, 1_000)
    ]
    return (
        f"Replicas of one worker for a burst, none more than {BUSY:.0%} busy while one of them is away, "
        "by what a review takes of its worker:\n\n"
        + table(("pods created a second", *(f"{milliseconds:g} ms" for milliseconds in services)), rows)
    )


def _memory() -> str:
    rows = [[f"{each:,}", f"{memory_bytes(each) / 1e6:.0f}"] for each in (100, 1_000, 10_000)]
    return "Memory of a replica with one worker:\n\n" + table(("namespaces", "MB"), rows)


def _reports() -> str:
    rows = []
    for workloads in (1_000, 10_000, 50_000, 150_000):
        reports = Reports(workloads)
        rows.append(
            [
                f"{workloads:,}",
                f"{reports.stored_bytes / 1e6:,.0f}",
                f"{reports.writes_a_second:.2f}",
                f"{reports.history_bytes / 1e6:,.1f}",
            ]
        )
    return "Reports in etcd, if there were any:\n\n" + table(
        ("workloads", "MB stored", "writes a second", "MB of old revisions"), rows
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    parser.add_argument("--service-ms", type=float, nargs="+", help="what a review takes (default: 0.25 1)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a page")
    args = parser.parse_args()
    text = figures(tuple(args.service_ms or SERVICE_MS))
    print(text)
    if args.markdown is not None:
        args.markdown.write_text(f"{HEAD}\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
