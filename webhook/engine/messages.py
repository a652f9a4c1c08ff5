"""The texts of a decision: what ``kubectl`` shows the author of the object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from webhook.engine.decision import BrokenGlass, Exempted
from webhook.kube.review import AdmissionRequest
from webhook.policy.findings import Finding
from webhook.policy.match import object_name

# Longer warnings may be cut by the API server, and so may a list of more than 4,096 characters.
# Source: k8s.io/api admission/v1, AdmissionResponse.Warnings.
WARNING_LENGTH: Final = 256
WARNINGS_LENGTH: Final = 4096

# A refusal names everything that is wrong; a generated pod with thousands of containers must not make it megabytes.
REFUSAL_FINDINGS: Final = 100

# Audit annotations end in the API server's audit log, once a request.
_ANNOTATION_FINDINGS: Final = 50


def refusal(request: AdmissionRequest, findings: Sequence[Finding]) -> str:
    """The message of a refusal: every violation, one a line, each with its path, and the rule it comes from."""
    count = len(findings)
    what = f"{request.kind.kind} {object_name(request) or 'without a name'}"
    lines = [f"gpuward: {what} breaks {count} {'rule' if count == 1 else 'rules'}:"]
    lines += [f"- {line(finding)}" for finding in findings[:REFUSAL_FINDINGS]]
    if count > REFUSAL_FINDINGS:
        lines.append(f"- and {count - REFUSAL_FINDINGS} more")
    return "\n".join(lines)


def line(finding: Finding) -> str:
    """One finding in one line."""
    where = f"{finding.field}: " if finding.path else ""
    return f"{where}{finding.message} [{finding.policy}/{finding.rule}]"


def warnings(findings: Sequence[Finding]) -> tuple[str, ...]:
    """The findings as admission warnings, within the lengths the API server keeps."""
    texts: list[str] = []
    room = WARNINGS_LENGTH
    for shown, finding in enumerate(findings):
        text = _cut(" ".join(line(finding).split()), WARNING_LENGTH)
        rest = f"gpuward: and {len(findings) - shown} more violations"
        # The last warning that fits may have to say how many did not.
        if room - len(text) < (len(rest) if shown + 1 < len(findings) else 0):
            texts.append(rest)
            break
        texts.append(text)
        room -= len(text)
    return tuple(texts)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def violations_annotation(findings: Sequence[Finding]) -> str:
    """The findings for the API server's audit log: rule and path, never values."""
    named = [
        f"{finding.policy}/{finding.rule}: {finding.field or '-'}"
        for finding in findings[:_ANNOTATION_FINDINGS]
    ]
    if len(findings) > _ANNOTATION_FINDINGS:
        named.append(f"and {len(findings) - _ANNOTATION_FINDINGS} more")
    return ", ".join(named)


def exceptions_annotation(exempted: Sequence[Exempted]) -> str:
    """The exceptions that were used, for the API server's audit log."""
    named = [f"{use.policy}/{use.rule}: {use.exception}" for use in exempted[:_ANNOTATION_FINDINGS]]
    if len(exempted) > _ANNOTATION_FINDINGS:
        named.append(f"and {len(exempted) - _ANNOTATION_FINDINGS} more")
    return ", ".join(named)


def break_glass_annotation(used: BrokenGlass) -> str:
    """Through which break-glass entry the request passed, for the API server's audit log."""
    return f"{used.name}: {' '.join(used.reason.split())}"


def break_glass_warning(used: BrokenGlass) -> str:
    """What whoever breaks the glass is shown. The same for both webhooks: the API server shows equal warnings once."""
    text = f'break-glass "{used.name}": policies only record this, and change nothing; reason: {used.reason}'
    return _cut(" ".join(text.split()), WARNING_LENGTH)
