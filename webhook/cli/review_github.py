"""A review as workflow commands of GitHub Actions: annotations on the lines of a pull request.

Source: docs.github.com "Workflow commands for GitHub Actions"; the escaping is that of actions/toolkit,
packages/core/src/command.ts.
"""

from __future__ import annotations

from typing import Final, TextIO

from webhook.adapters.manifests import STANDARD_INPUT_NAME
from webhook.adapters.yaml_documents import DocumentError
from webhook.cli.repository_path import repository_path
from webhook.cli.review_output import Review, Reviewed, summary
from webhook.policy.findings import Action, Finding

_COMMANDS: Final = {Action.ENFORCE: "error", Action.WARN: "warning", Action.AUDIT: "notice"}


def render(review: Review, stream: TextIO) -> None:
    """One command for each finding and each document that cannot be read, then a line for the job's log."""
    stream.writelines(_unreadable(document) for document in review.unreadable)
    for result in review.results:
        stream.writelines(_annotation(result, finding) for finding in result.decision.findings)
    stream.write(f"{summary(review.results)}\n")


def _annotation(result: Reviewed, finding: Finding) -> str:
    line, column = result.manifest.locate(finding.path)
    field = f" {finding.field}" if finding.path else ""
    return _command(
        _COMMANDS[finding.action],
        (result.source, line, column),
        title=f"{finding.policy}/{finding.rule} ({finding.severity.value})",
        message=f"{result.title}{field}: {finding.message}",
    )


def _unreadable(document: DocumentError) -> str:
    where = (document.source, document.line, document.column)
    return _command("error", where, title="cannot be read", message=document.message)


def _command(command: str, where: tuple[str, int, int], *, title: str, message: str) -> str:
    source, line, column = where
    properties: dict[str, str] = {}
    if source == STANDARD_INPUT_NAME:
        # There is no file to annotate; the job's page shows the message.
        message = f"{source}:{line}:{column}: {message}"
    else:
        properties = {"file": repository_path(source), "line": str(line), "col": str(column)}
    properties["title"] = title
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{command} {written}::{_data(message)}\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
