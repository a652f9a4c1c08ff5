"""How the benchmark is run: what every part is told, and what several parts need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.load import LoaderName


@dataclass(frozen=True, slots=True)
class Settings:
    """``seconds`` is how long a server is loaded each time, ``rounds`` how often. ``quick`` is for showing that it
    works. ``say`` is told about progress."""

    seconds: float
    rounds: int
    quick: bool
    loader: LoaderName | None
    say: Callable[[str], None]


def summary(figures: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": median(figures), "min": min(figures), "max": max(figures)}
