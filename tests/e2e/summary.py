"""What came of the end-to-end tests, at the end of the output.

Tests may run in several processes, and another one reports: what is to be counted travels with the reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest


def tell(report: pytest.TestReport, outcome: str, *, reason: str = "", versions: Sequence[str] = ()) -> None:
    """Let a report say what became of an end-to-end test: ``passed``, ``failed`` or ``not run``."""
    report.end_to_end = {"outcome": outcome, "reason": reason, "versions": list(versions)}


class Summary:
    """The part of the output about the end-to-end tests."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._reasons: dict[str, None] = {}  # a set that keeps its order
        self._versions: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Counts it, if it is about an end-to-end test."""
        told = getattr(report, "end_to_end", None)
        if told is None:
            return
        self._counts[told["outcome"]] += 1
        if told["reason"]:
            self._reasons[told["reason"]] = None
        self._versions.update(dict.fromkeys(told["versions"]))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Says how many end-to-end tests ran, and loudly when none did."""
        counts = self._counts
        if not counts:
            return
        terminalreporter.section("end-to-end tests")
        if ran := counts["passed"] + counts["failed"]:
            terminalreporter.write_line(
                f"{ran} end-to-end tests ran on Kubernetes {' and '.join(sorted(self._versions))}: "
                f"{counts['passed']} passed, {counts['failed']} failed; {counts['not run']} did not run",
                green=not counts["failed"],
                red=bool(counts["failed"]),
            )
        else:
            terminalreporter.write_line(
                "NO END-TO-END TEST RAN: gpuward was not tried on a real API server.", red=True
            )
        for reason in self._reasons:
            terminalreporter.write_line(f"not run: {reason}", yellow=True)
