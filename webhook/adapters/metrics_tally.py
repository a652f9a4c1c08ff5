"""Counting reviews as cheaply as can be: plain numbers, which become metrics when somebody asks for them.

prometheus_client takes a lock for each number and looks through all buckets of a histogram, which together costs as
much as some of the checks. Here one thread counts, that of the event loop, and the same answers who asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

Series = tuple[str, ...]
"""A value for each of the labels."""


class Tally(Collector):
    """A counter."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._name: Final = name
        self._documentation: Final = documentation
        self._labels: Final = tuple(labels)
        self._counts: Final[dict[Series, int]] = {}

    def add(self, series: Series) -> None:
        """Count one."""
        counts = self._counts
        counts[series] = counts.get(series, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """The metric as it is now."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for series, count in self._counts.items():
            family.add_metric(series, count)
        yield family


class _Timing:
    """How long something took: how often up to each bound, and all together."""

    __slots__ = ("counts", "seconds")

    def __init__(self, bounds: int) -> None:
        self.counts: Final = [0] * (bounds + 1)
        self.seconds = 0.0


class Timings(Collector):
    """A histogram of seconds."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        """``bounds`` are the upper ones of the buckets, in seconds, in rising order."""
        self._name: Final = name
        self._documentation: Final = documentation
        self._labels: Final = tuple(labels)
        self._bounds: Final = tuple(bounds)
        self._timings: Final[dict[Series, _Timing]] = {}

    def add(self, series: Series, seconds: float) -> None:
        """Count one that took so long."""
        timing = self._timings.get(series)
        if timing is None:
            timing = self._timings[series] = _Timing(len(self._bounds))
        timing.counts[bisect_left(self._bounds, seconds)] += 1
        timing.seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """The metric as it is now."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        names = [*map(str, self._bounds), "+Inf"]
        for series, timing in self._timings.items():
            buckets = list(zip(names, accumulate(timing.counts), strict=True))
            family.add_metric(series, buckets, timing.seconds)
        yield family
