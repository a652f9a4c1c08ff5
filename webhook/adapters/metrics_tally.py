"""Counting reviews as cheaply as can be: plain numbers, which become metrics when somebody asks for them.

prometheus_client takes a lock for each number and looks through all buckets of a histogram, which together costs as
much as some of the checks. Here one thread counts, that of the event loop, and the same answers who asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector


class Series(NamedTuple):
    """What one counted request is like: a value for each of the labels."""

    webhook: str
    operation: str
    kind: str
    mode: str
    result: str


class _Timing:
    """How long requests took: how many up to each bound, and together."""

    __slots__ = ("counts", "seconds")

    def __init__(self, bounds: int) -> None:
        self.counts: Final = [0] * (bounds + 1)
        self.seconds = 0.0


class ReviewTally(Collector):
    """The number of reviews by ``Series``, and their duration by webhook and mode."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds`` are the upper ones of the buckets for durations, in seconds, in rising order."""
        self._bounds: Final = tuple(bounds)
        self._counts: Final[dict[Series, int]] = {}
        self._timings: Final[dict[tuple[str, str], _Timing]] = {}

    def add(self, series: Series, seconds: float) -> None:
        """Count one review."""
        counts = self._counts
        counts[series] = counts.get(series, 0) + 1
        timing = self._timings.get((series.webhook, series.mode))
        if timing is None:
            timing = self._timings[series.webhook, series.mode] = _Timing(len(self._bounds))
        timing.counts[bisect_left(self._bounds, seconds)] += 1
        timing.seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        requests = CounterMetricFamily(
            "gpuward_admission_requests",
            "Admission requests answered, by what was asked and what came of it.",
            labels=Series._fields,
        )
        for series, count in self._counts.items():
            requests.add_metric(series, count)
        yield requests
        durations = HistogramMetricFamily(
            "gpuward_admission_duration_seconds",
            "Time from the call's headers to its answer.",
            labels=("webhook", "mode"),
        )
        names = [*map(str, self._bounds), "+Inf"]
        for labels, timing in self._timings.items():
            buckets = list(zip(names, accumulate(timing.counts), strict=True))
            durations.add_metric(labels, buckets, timing.seconds)
        yield durations
