"""What a scenario found, as a row of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Row:
    """One line of the table. Times are in seconds; ``recovery`` is None where nothing had to recover.

    ``broken`` says which expectations did not hold; ``notes`` are for the terminal only.
    """

    scenario: str
    expected: str
    requests: int = 0
    failed: int = 0
    worst: float = 0.0
    recovery: float | None = None
    found: str = ""
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def expect(self, holds: object, otherwise: str) -> None:
        """Note that an expectation is broken."""
        if not holds:
            self.broken.append(otherwise)

    def cells(self) -> list[str]:
        """As the table shows it."""
        recovery = "-" if self.recovery is None else f"{self.recovery:.1f} s"
        found = "; ".join(filter(None, (self.found, *(f"**{problem}**" for problem in self.broken))))
        return [
            self.scenario,
            f"{self.requests:,}",
            f"{self.failed:,}",
            f"{self.worst:.2f} s",
            recovery,
            self.expected,
            found or "as expected",
        ]


HEADER = ("scenario", "requests", "failed", "worst latency", "recovered after", "expected", "found")


def table(rows: Sequence[Row]) -> str:
    """All rows as a Markdown table."""
    lines = [HEADER, ("---", "---:", "---:", "---:", "---:", "---", "---"), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
