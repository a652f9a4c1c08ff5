"""What a review costs in this process as policies, containers, bytes and CEL rules become more. CPU time, no server."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from tests.bench.bodies import review_of
from tests.bench.inprocess import path, timed
from tests.bench.made import (
    NAMESPACE_LABELS,
    WAYS,
    Document,
    pod_with,
    policies_elsewhere,
    policies_here,
    policy_of_expressions,
    write_policies,
)
from tests.bench.tables import table
from webhook.adapters import policy_files
from webhook.engine.decision import Facts, Phase
from webhook.engine.ruleset import Ruleset
from webhook.policy.findings import Mode

FACTS: Final = Facts(mode=Mode.ENFORCE, namespace_labels=NAMESPACE_LABELS)

_KB: Final = 1000


class CostError(Exception):
    """A review that is to be timed does not come out as it must."""


@dataclass(frozen=True, slots=True)
class Range:
    """How far each dimension goes."""

    elsewhere: Sequence[int] = (10, 100, 1000)
    here: Sequence[int] = (10, 100)
    containers: Sequence[int] = (1, 3, 10, 30, 100)
    kilobytes: Sequence[int] = (1, 10, 100, 500)
    expressions: Sequence[int] = (0, 1, 5, 10, 50)


QUICK: Final = Range(elsewhere=(10, 100), containers=(1, 30), kilobytes=(1, 100), expressions=(0, 10))


def measure(seconds: float, extent: Range, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Microseconds of decode, review and encode, each measured for ``seconds``.

    Raises:
        CostError: a review does not come out as it must.
    """
    good = review_of(pod_with())
    with tempfile.TemporaryDirectory(prefix="gpuward-bench-") as name:
        sets = _Sets(Path(name))
        shipped = sets.compile([])
        say("cost: policies")
        policies = [_point("the shipped set alone", good, shipped, seconds)]
        for way in WAYS:
            for count in extent.elsewhere:
                more = sets.compile(policies_elsewhere(way, count))
                what = f"{count:,} more that do not match, by {way}"
                policies.append(_point(what, good, more, seconds, compiled=sets.seconds))
        for count in extent.here:
            more = sets.compile(policies_here(count))
            # Each of them has to be heard where the label that it demands is missing.
            _expect(_without_labels(), more, findings=count)
            what = f"{count:,} more that match"
            policies.append(_point(what, good, more, seconds, compiled=sets.seconds))
        say("cost: containers, size")
        containers = [
            _point(str(count), review_of(pod_with(containers=count)), shipped, seconds)
            for count in extent.containers
        ]
        sizes = [
            _point(f"{kilobytes} KB", review_of(pod_with(annotation_bytes=kilobytes * _KB)), shipped, seconds)
            for kilobytes in extent.kilobytes
        ]
        say("cost: CEL")
        expressions = []
        for count in extent.expressions:
            more = sets.compile(policy_of_expressions(count))
            _expect(_with_forbidden_container(), more, findings=count)
            expressions.append(_point(str(count), good, more, seconds))
    return {"policies": policies, "containers": containers, "sizes": sizes, "expressions": expressions}


class _Sets:
    """Compiles the shipped policies with others, as the server does: from files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self._count = 0
        self.seconds = 0.0
        """What the last set took, in CPU time."""

    def compile(self, more: list[Document]) -> Ruleset:
        self._count += 1
        folder = write_policies(self._folder / str(self._count), more)
        before = time.process_time()
        loaded = policy_files.load(folder)
        self.seconds = time.process_time() - before
        if loaded.ruleset is None:
            raise CostError("\n".join(map(str, loaded.problems)))
        return loaded.ruleset


def _without_labels() -> bytes:
    pod = pod_with()
    pod["metadata"]["labels"] = {"team": "vision"}
    return review_of(pod)


def _with_forbidden_container() -> bytes:
    pod = pod_with()
    pod["spec"]["containers"][-1]["name"] = "forbidden"
    return review_of(pod)


def _expect(body: bytes, ruleset: Ruleset, *, findings: int) -> None:
    """The review is refused for so many reasons, which are all named, or allowed where that is none."""
    response = orjson.loads(path(body, ruleset, FACTS, Phase.VALIDATE))["response"]
    message = response.get("status", {}).get("message", "")
    if response["allowed"] is not (findings == 0) or message.count("\n- ") != findings:
        raise CostError(f"{findings} violations were expected: {message or 'the review is allowed'}")


def _point(
    what: str, body: bytes, ruleset: Ruleset, seconds: float, *, compiled: float | None = None
) -> dict[str, Any]:
    _expect(body, ruleset, findings=0)
    point: dict[str, Any] = {"what": what, "bodyBytes": len(body)}
    for phase in (Phase.VALIDATE, Phase.MUTATE):
        point[phase.value] = timed(lambda phase=phase: path(body, ruleset, FACTS, phase), seconds)
    if compiled is not None:
        point["compileSeconds"] = compiled
    return point


def render(measured: dict[str, Any]) -> Iterator[str]:
    """The four tables."""
    yield (
        "Cost of decode, review and encode in this process, CPU µs a review: median (least) [least, to that of the "
        "table's first line].\n\nPolicies:"
    )
    yield _points("policies", measured["policies"], compiled=True)
    yield "Containers in the pod:\n\n" + _points("containers", measured["containers"])
    yield "Size of the object, by an annotation:\n\n" + _points("annotation", measured["sizes"])
    yield "CEL expressions over all containers, in one policy beside the shipped set:\n\n" + _points(
        "expressions", measured["expressions"]
    )


def _points(title: str, points: list[dict[str, Any]], *, compiled: bool = False) -> str:
    first = points[0]
    rows = []
    for point in points:
        row = [point["what"], f"{point['bodyBytes'] / 1000:,.1f}"]
        for phase in ("validate", "mutate"):
            figures = point[phase]
            ratio = figures["min"] / first[phase]["min"]
            row.append(f"{figures['median']:,.1f} ({figures['min']:,.1f}) [{ratio:.2f}]")
        if compiled:
            row.append(f"{point['compileSeconds'] * 1000:,.0f}" if "compileSeconds" in point else "")
        rows.append(row)
    header = [title, "review KB", "validate", "mutate", *(["reading and compiling, ms"] if compiled else [])]
    return table(header, rows)
