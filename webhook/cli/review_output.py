"""How ``gpuward review`` shows its results. Renderers see results, never the engine.

The formats for people and the JSON contract are here; those of other tools have a module each, imported when they
are asked for.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, Final, TextIO

import orjson
from msgspec import Struct

from webhook.adapters.manifests import Manifest
from webhook.adapters.yaml_documents import DocumentError
from webhook.cli.output import Style
from webhook.engine.decision import Decision
from webhook.engine.ruleset import Ruleset
from webhook.kube.review import AdmissionRequest
from webhook.kube.shape import JSONObject
from webhook.policy.findings import Action, Finding
from webhook.policy.match import object_name


class Reviewed(Struct, frozen=True):
    """One object of the input and the decision about it."""

    manifest: Manifest
    request: AdmissionRequest
    decision: Decision

    @property
    def source(self) -> str:
        return self.manifest.source

    @property
    def title(self) -> str:
        """The object as people name it: kind, namespace and name."""
        name = object_name(self.request) or "(no name)"
        where = f"{self.request.namespace}/" if self.request.namespace else ""
        return f"{self.request.kind.kind} {where}{name}"


class Review(Struct, frozen=True):
    """All that a review found: the objects with their decisions, the documents that could not be read, and the
    policies by which it was judged."""

    results: Sequence[Reviewed]
    unreadable: Sequence[DocumentError]
    ruleset: Ruleset


def render(output: str, review: Review, stream: TextIO, *, color: str) -> None:
    """Print the review in one of ``FORMATS``."""
    if output in _OF_OTHER_TOOLS:
        import_module(_OF_OTHER_TOOLS[output]).render(review, stream)
    else:
        _RENDERERS[output](review.results, stream, Style.for_stream(stream, color))


def as_json(result: Reviewed) -> JSONObject:
    """One element of the JSON contract."""
    request, decision = result.request, result.decision
    return {
        "source": result.source,
        "document": result.manifest.document,
        "apiVersion": request.kind.api_version,
        "kind": request.kind.kind,
        "namespace": request.namespace,
        "name": object_name(request),
        "allowed": decision.allowed,
        "findings": [_finding_json(finding) for finding in decision.findings],
        "warnings": list(decision.warnings),
        "patch": list(decision.patch),
        "wouldPatch": list(decision.would_patch),
        "exempted": [
            {"policy": e.policy, "rule": e.rule, "exception": e.exception, "reason": e.reason}
            for e in decision.exempted
        ],
        "breakGlass": None
        if decision.break_glass is None
        else {"name": decision.break_glass.name, "reason": decision.break_glass.reason},
        "object": decision.object,
    }


def _finding_json(finding: Finding) -> JSONObject:
    return {
        "policy": finding.policy,
        "rule": finding.rule,
        "severity": finding.severity.value,
        "action": finding.action.value,
        "path": finding.field,
        "reason": finding.reason,
        "message": finding.message,
    }


def _json(results: Sequence[Reviewed], stream: TextIO, _style: Style) -> None:
    stream.write(orjson.dumps([as_json(result) for result in results], option=orjson.OPT_INDENT_2).decode())
    stream.write("\n")


def _yaml(results: Sequence[Reviewed], stream: TextIO, _style: Style) -> None:
    stream.write(to_yaml([as_json(result) for result in results]))


def _diff(results: Sequence[Reviewed], stream: TextIO, style: Style) -> None:
    for result in results:
        stream.writelines(f"{line}\n" for line in _object_diff(result, style))


def _text(results: Sequence[Reviewed], stream: TextIO, style: Style) -> None:
    rows = [(result.title, _verdict(result, style)) for result in results]
    width = max((len(title) for title, _ in rows), default=0)
    source = None
    for result, (title, verdict) in zip(results, rows, strict=True):
        if result.source != source:
            stream.write(f"{style.bold(result.source)}\n")
            source = result.source
        stream.write(f"  {title:<{width}}  {verdict}\n")
        for finding in result.decision.findings:
            stream.writelines(f"{line}\n" for line in finding_lines(finding, style))
        for use in result.decision.exempted:
            note = f"excepted from {use.policy}/{use.rule} by {use.exception}: {use.reason}"
            stream.write(f"      {style.dim(note)}\n")
        if (used := result.decision.break_glass) is not None:
            note = f"policies only record this: passed by break-glass {used.name}: {used.reason}"
            stream.write(f"      {style.yellow(note)}\n")
    changed = [result for result in results if _changes(result.decision)]
    if changed:
        stream.write("\n")
    for result in changed:
        stream.writelines(f"{line}\n" for line in _object_diff(result, style))
    stream.write(f"\n{summary(results)}\n" if results else "nothing to review: the input has no objects\n")


def finding_lines(finding: Finding, style: Style) -> list[str]:
    """One finding for people: severity and path, then the message and where it comes from."""
    paint = style.red if finding.action is Action.ENFORCE else style.yellow
    path = f" {finding.field}" if finding.path else ""
    return [
        f"      {paint(f'{finding.action.value.lower():<7}')} {finding.severity.value:<8}{style.bold(path)}",
        f"              {finding.message} {style.dim(f'[{finding.policy}/{finding.rule}]')}",
    ]


def _verdict(result: Reviewed, style: Style) -> str:
    decision = result.decision
    changed = ""
    if decision.patch:
        changed = ", changed by " + ", ".join(dict.fromkeys(policy for policy, _ in decision.mutated_by))
    elif decision.would_patch:
        changed = ", would be changed"
    if not decision.allowed:
        count = sum(finding.action is Action.ENFORCE for finding in decision.findings)
        return style.red(f"rejected: {_count(count, 'violation')}") + changed
    if decision.findings:
        return style.yellow(f"allowed with {_count(len(decision.findings), 'finding')}") + changed
    return style.green("allowed") + changed


def summary(results: Sequence[Reviewed]) -> str:
    """The numbers of a review, in one line."""
    rejected = sum(not result.decision.allowed for result in results)
    changed = sum(bool(_changes(result.decision)) for result in results)
    findings = sum(len(result.decision.findings) for result in results)
    return (
        f"{_count(len(results), 'object')}: {rejected} rejected, {len(results) - rejected} allowed, "
        f"{changed} changed; {_count(findings, 'finding')}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _changes(decision: Decision) -> bool:
    return bool(decision.patch or decision.would_patch)


def _object_diff(result: Reviewed, style: Style) -> list[str]:
    """A unified diff of the object as YAML, before and after; empty where nothing changed."""
    decision = result.decision
    if not _changes(decision):
        return []
    before = result.request.obj or {}
    after = decision.object or {}
    note = ""
    if decision.would_patch:
        after = _apply(after, decision.would_patch)
        note = " (recorded only)" if not decision.patch else " (in part recorded only)"
    title = result.title
    return list(diff_lines(before, after, f"{title} as written", f"{title} as admitted{note}", style))


# Comparing line by line takes time with the square of the length; pods have some hundred lines.
_DIFF_LINES: Final = 20_000


def diff_lines(before: Any, after: Any, old: str, new: str, style: Style) -> Iterable[str]:
    """The lines of a unified diff between two JSON values, as YAML; two lines of heading where it gets too long."""
    written, changed = to_yaml(before).splitlines(), to_yaml(after).splitlines()
    if len(written) + len(changed) > _DIFF_LINES:
        yield style.bold(f"--- {old}")
        yield style.bold(f"+++ {new}: {len(changed)} lines are too long for a diff; -o json has the patch")
        return
    for line in difflib.unified_diff(written, changed, old, new, lineterm="", n=3):
        if line.startswith(("---", "+++")):
            yield style.bold(line)
        elif line.startswith("@@"):
            yield style.cyan(line)
        elif line.startswith("+"):
            yield style.green(line)
        elif line.startswith("-"):
            yield style.red(line)
        else:
            yield line


def _apply(obj: JSONObject, patch: Sequence[JSONObject]) -> JSONObject:
    import jsonpatch  # only where something is recorded and not applied

    # Written and read once: YAML anchors make one list stand in two places, and a patch would change both.
    applied: JSONObject = jsonpatch.apply_patch(orjson.loads(orjson.dumps(obj)), list(patch), in_place=True)
    return applied


def to_yaml(value: Any) -> str:
    """Block-style YAML with the keys in their own order."""
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # the C one where it is built
        def ignore_aliases(self, _data: Any) -> bool:
            # A value shared between two places is written out in both: anchors would puzzle the reader.
            return True

    text: str = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return text


Renderer = Callable[[Sequence[Reviewed], TextIO, Style], None]

_RENDERERS: Final[dict[str, Renderer]] = {"text": _text, "json": _json, "yaml": _yaml, "diff": _diff}

# Each has `render(review, stream)`.
_OF_OTHER_TOOLS: Final = {
    "sarif": "webhook.cli.review_sarif",
    "junit": "webhook.cli.review_junit",
    "github": "webhook.cli.review_github",
}
FORMATS: Final = (*_RENDERERS, *_OF_OTHER_TOOLS)

WITH_POSITIONS: Final = frozenset(_OF_OTHER_TOOLS)
"""The formats that tell lines; the others need not keep the text of what was read."""
