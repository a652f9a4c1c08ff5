"""A review as JUnit XML: a suite for each file, a test case for each object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from webhook.adapters.manifests import STANDARD_INPUT_NAME
from webhook.cli.junit import Case, Suite, Trouble, junit
from webhook.cli.repository_path import repository_path
from webhook.cli.review_output import Review, Reviewed


def render(review: Review, stream: TextIO) -> None:
    """An object fails where it has findings, whatever is done about them: as the exit status has it."""
    suites: dict[str, list[Case]] = {}
    for source, case in _cases(review):
        suites.setdefault(source, []).append(case)
    stream.write(junit([Suite(source, cases) for source, cases in suites.items()], "gpuward review"))


def _cases(review: Review) -> Iterator[tuple[str, Case]]:
    for document in review.unreadable:
        trouble = Trouble("error", document.message, str(document), "unreadable")
        yield (
            document.source,
            Case("document", document.source, _file(document.source), document.line, trouble),
        )
    for result in review.results:
        line, _ = result.manifest.locate(())
        case = Case(result.title, result.source, _file(result.source), line, _trouble(result))
        yield result.source, case


def _file(source: str) -> str:
    """The file for tools that open it; there is none of standard input."""
    return "" if source == STANDARD_INPUT_NAME else repository_path(source)


def _trouble(result: Reviewed) -> Trouble | None:
    findings = result.decision.findings
    if not findings:
        return None
    lines = []
    for finding in findings:
        line, column = result.manifest.locate(finding.path)
        field = f" {finding.field}" if finding.path else ""
        lines.append(
            f"{result.source}:{line}:{column}: {finding.action.value.lower()} {finding.severity.value}{field}: "
            f"{finding.message} [{finding.policy}/{finding.rule}]"
        )
    verdict = "allowed" if result.decision.allowed else "rejected"
    rules = dict.fromkeys(f"{finding.policy}/{finding.rule}" for finding in findings)
    return Trouble("failure", f"{verdict}: {', '.join(rules)}", "\n".join(lines), verdict)
