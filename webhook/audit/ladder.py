"""The ladder of modes that a namespace climbs."""

from __future__ import annotations

from typing import Final

from webhook.policy.findings import Mode

OFF: Final = "off"

RUNGS: Final = (OFF, *(mode.value for mode in Mode))
"""From no label at all to enforce."""


def rung_of(label: object) -> str:
    """The rung a namespace stands on by its label; what is no mode is as good as none."""
    return label if isinstance(label, str) and label in RUNGS[1:] else OFF


def skipped(now: str, wanted: str) -> tuple[str, ...]:
    """The rungs between where a namespace stands and where it shall go up to; down, any number may be skipped."""
    return RUNGS[RUNGS.index(now) + 1 : RUNGS.index(wanted)]
