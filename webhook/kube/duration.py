"""Durations as Go writes them: ``10s``, ``1.5s``, ``500ms``, ``1m30s``.

The API server puts how long it waits for a webhook into the query as such a duration.
Source: Go, ``time.ParseDuration`` and ``time.Duration.String``.
"""

from __future__ import annotations

import re
from typing import Final

_SECONDS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "\u00b5s": 1e-6,  # the micro sign
    "\u03bcs": 1e-6,  # the Greek letter mu
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}

_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(" + "|".join(_SECONDS) + ")", re.ASCII)

_SHOWN: Final = 40


def parse_duration(text: str) -> float:
    """The seconds in a Go duration; ``0`` needs no unit, a sign may stand in front.

    Raises:
        ValueError: the text is no such duration.
    """
    rest = text.removeprefix("-") if text.startswith("-") else text.removeprefix("+")
    seconds = 0.0
    if rest != "0":
        end = 0
        for part in _PART.finditer(rest):
            if part.start() != end:
                break
            seconds += float(part[1]) * _SECONDS[part[2]]
            end = part.end()
        if not rest or end != len(rest):
            shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
            raise ValueError(f"{shown!r} is no duration: write it as 10s, 500ms or 1m30s")
    return -seconds if text.startswith("-") else seconds
