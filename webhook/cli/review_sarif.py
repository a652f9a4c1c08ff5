"""A review as SARIF 2.1.0, for code scanning: GitHub, GitLab, Azure DevOps, editors.

Source: OASIS SARIF 2.1.0 with errata 01; docs.github.com "SARIF support for code scanning" for what GitHub reads.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any, Final, TextIO
from urllib.parse import quote

import orjson

from webhook.adapters.manifests import STANDARD_INPUT_NAME
from webhook.adapters.yaml_documents import DocumentError
from webhook.checks import CHECKS
from webhook.cli.repository_path import repository_path
from webhook.cli.review_output import Review, Reviewed
from webhook.engine.ruleset import CompiledPolicy, Ruleset
from webhook.kube.path import MISSING, Path, lookup
from webhook.kube.shape import JSONObject
from webhook.mutations import MUTATIONS
from webhook.policy.descriptions import markdown_lines
from webhook.policy.findings import Action, Finding, Severity
from webhook.policy.match import object_name
from webhook.policy.rule import Rule
from webhook.version import __version__

_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

# What is done about a finding is its level: an error is what would have been rejected.
_LEVELS: Final = {Action.ENFORCE: "error", Action.WARN: "warning", Action.AUDIT: "note"}

_DEFAULT_LEVELS: Final = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}

# GitHub sorts rules with the tag `security` by this number: critical from 9, high from 7, medium from 4, low below.
_SECURITY_SEVERITY: Final = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "3.0",
    Severity.INFO: "1.0",
}

# Files below it are named relative to it; whoever reads the report knows where it is.
_BASE: Final = "%SRCROOT%"


def render(review: Review, stream: TextIO) -> None:
    """One run: the rules of the policies, the findings, and the documents that could not be read."""
    rules = _Rules(review.ruleset)
    results = list(_results(review.results, rules))
    run: JSONObject = {
        "tool": {
            "driver": {
                "name": "gpuward",
                "semanticVersion": __version__,
                "rules": rules.described,
                "notifications": [
                    {
                        "id": _UNREADABLE,
                        "shortDescription": {"text": "A document that cannot be read"},
                        "defaultConfiguration": {"level": "error"},
                    }
                ],
            }
        },
        "invocations": [
            {
                "executionSuccessful": not review.unreadable,
                "toolExecutionNotifications": [_notification(error) for error in review.unreadable],
            }
        ],
        "originalUriBaseIds": {_BASE: {"description": {"text": "The top folder of the repository."}}},
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    report = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    stream.write(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode() + "\n")


# --- rules -----------------------------------------------------------------------------------------------

_CLASSES: Final[dict[str, type[Rule]]] = {rule.name: rule for rule in (*MUTATIONS, *CHECKS)}


class _Rules:
    """The rules of a policy set as SARIF describes them. A rule is identified by its policy and its name there."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.described: list[JSONObject] = []
        self._indexes: dict[str, int] = {}
        self._policies = {policy.name: policy for policy in ruleset.policies}
        for policy in ruleset.policies:
            for check in policy.checks:
                self._add(policy.name, check.name, check.severity)
            for object_check in policy.object_checks:
                self._add(policy.name, object_check.name, object_check.severity)
            for expression in policy.expressions:
                self._add(policy.name, expression.name, expression.severity)

    def index(self, finding: Finding) -> int:
        """The position of a finding's rule; a mutation that failed, for one, has not been listed before."""
        return self._add(finding.policy, finding.rule, finding.severity)

    def _add(self, policy: str, rule: str, severity: Severity) -> int:
        identifier = f"{policy}/{rule}"
        if identifier not in self._indexes:
            self._indexes[identifier] = len(self.described)
            self.described.append(_descriptor(identifier, rule, severity, self._policies.get(policy)))
        return self._indexes[identifier]


def _descriptor(identifier: str, rule: str, severity: Severity, policy: CompiledPolicy | None) -> JSONObject:
    known = _CLASSES.get(rule)
    if known is not None:
        title = known.title
        help_text = inspect.cleandoc(known.__doc__ or known.title)
    else:
        # A CEL expression; what it is for, only its policy says.
        title = policy.title if policy is not None else rule
        help_text = f"{title}\n\nAn expression of the policy {identifier.rpartition('/')[0]}."
    level = _DEFAULT_LEVELS[severity]
    category = policy.category if policy is not None else ""
    properties = {"tags": ["kubernetes"], "problem.severity": _PROBLEM_SEVERITY[level]}
    if category:
        properties["tags"] = ["kubernetes", category]
    if "security" in category:
        properties = {
            "tags": sorted({"kubernetes", "security", category}),
            "security-severity": _SECURITY_SEVERITY[severity],
        }
    return {
        "id": identifier,
        "name": rule,
        "shortDescription": {"text": title},
        "fullDescription": {"text": " ".join(help_text.partition("\n\n")[0].replace("``", "`").split())},
        "help": {"text": help_text.replace("``", ""), "markdown": "\n".join(markdown_lines(help_text))},
        "defaultConfiguration": {"level": level},
        "properties": properties,
    }


_PROBLEM_SEVERITY: Final = {"error": "error", "warning": "warning", "note": "recommendation"}


# --- results ---------------------------------------------------------------------------------------------


def _results(reviewed: Iterable[Reviewed], rules: _Rules) -> Iterator[JSONObject]:
    seen: dict[str, int] = {}
    for result in reviewed:
        for finding in result.decision.findings:
            index = rules.index(finding)
            fingerprint = _fingerprint(result, finding)
            # Two findings that differ in nothing, the second time around, are still two.
            times = seen[fingerprint] = seen.get(fingerprint, 0) + 1
            yield {
                "ruleId": rules.described[index]["id"],
                "ruleIndex": index,
                "level": _LEVELS[finding.action],
                "message": {"text": f"{result.title}: {finding.message}"},
                "locations": [_location(result, finding)],
                "partialFingerprints": {"gpuward/v1": f"{fingerprint}:{times}"},
                "properties": {
                    "severity": finding.severity.value,
                    "action": finding.action.value,
                    "reason": finding.reason,
                },
            }


def _location(result: Reviewed, finding: Finding) -> JSONObject:
    line, column = result.manifest.locate(finding.path)
    whole = {
        "name": object_name(result.request),
        "fullyQualifiedName": f"{result.request.kind.api_version}/{result.title}",
        "kind": "object",
    }
    field = [
        {"name": str(finding.path[-1]), "fullyQualifiedName": finding.field, "kind": "property"}
    ] if finding.path else []  # fmt: skip
    return {
        "physicalLocation": _physical(result.source, line, column),
        "logicalLocations": [*field, whole],
    }


def _physical(source: str, line: int, column: int) -> JSONObject:
    return {"artifactLocation": _artifact(source), "region": {"startLine": line, "startColumn": column}}


def _artifact(source: str) -> JSONObject:
    if source == STANDARD_INPUT_NAME:
        return {"uri": "stdin", "description": {"text": "standard input"}}
    path = repository_path(source)
    if PurePath(path).is_absolute():
        return {"uri": PurePath(path).as_uri()}
    return {"uri": quote(path), "uriBaseId": _BASE}


def _fingerprint(result: Reviewed, finding: Finding) -> str:
    """What stays the same while lines move: the file, the object, the rule, and the field, in which entries of lists
    are told by their names where they have one."""
    request = result.request
    about = (
        repository_path(result.source),
        request.kind.group,
        request.kind.kind,
        request.namespace,
        object_name(request),
        finding.policy,
        finding.rule,
        finding.reason,
        *map(str, _named(request.obj, finding.path)),
    )
    return hashlib.sha256("\0".join(about).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _named(obj: Any, path: Path) -> Iterator[str | int]:
    for end, segment in enumerate(path, start=1):
        entry = lookup(obj, path[:end]) if isinstance(segment, int) else MISSING
        name = entry.get("name") if isinstance(entry, dict) else None
        yield f"name={name}" if isinstance(name, str) else segment


# --- what could not be read ------------------------------------------------------------------------------

_UNREADABLE: Final = "unreadable-document"


def _notification(error: DocumentError) -> JSONObject:
    return {
        "descriptor": {"id": _UNREADABLE, "index": 0},
        "level": "error",
        "message": {"text": error.message},
        "locations": [{"physicalLocation": _physical(error.source, error.line, error.column)}],
    }
