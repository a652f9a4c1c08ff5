"""How ``gpuward test`` shows its results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

from msgspec import Struct

from webhook.cli.junit import Case, Suite, Trouble, junit
from webhook.cli.output import Style
from webhook.cli.repository_path import repository_path
from webhook.cli.review_output import diff_lines
from webhook.engine.cases import Difference
from webhook.engine.coverage import Gap
from webhook.kube.shape import JSONObject


class Ran(Struct, frozen=True):
    """One case that was run: where it is written, what was expected and what came of it."""

    file: str
    line: int
    name: str
    expect: str
    outcome: str
    differences: tuple[Difference, ...]


class FolderResult(Struct, frozen=True):
    """The cases of one folder, and what they leave out of its rules."""

    folder: Path
    ran: tuple[Ran, ...]
    gaps: tuple[Gap, ...]


class Tested(Struct, frozen=True):
    """All results. ``problems`` are files that could not be read; ``gaps_fail`` says that gaps are failures."""

    folders: Sequence[FolderResult]
    problems: Sequence[str]
    gaps_fail: bool

    @property
    def ran(self) -> list[Ran]:
        return [ran for result in self.folders for ran in result.ran]

    @property
    def failed(self) -> int:
        return sum(bool(ran.differences) for ran in self.ran)

    @property
    def gaps(self) -> list[tuple[Path, Gap]]:
        return [(result.folder, gap) for result in self.folders for gap in result.gaps]


def render(output: str, result: Tested, stream: TextIO, style: Style, *, verbose: bool) -> None:
    """Print the results in one of ``FORMATS``."""
    _RENDERERS[output](result, stream, style, verbose)


def as_junit(result: Tested) -> str:
    """The results as JUnit XML: a suite for each folder, in it each case and, where gaps are failures, each gap."""
    suites = [Suite(str(folder.folder), list(_junit_cases(folder, result))) for folder in result.folders]
    if result.problems:
        unreadable = [
            Case(problem.partition(": ")[0], "files", trouble=Trouble("error", problem, type="unreadable"))
            for problem in result.problems
        ]
        suites.append(Suite("files", unreadable))
    return junit(suites, "gpuward test")


def _junit_cases(folder: FolderResult, result: Tested) -> Iterator[Case]:
    for ran in folder.ran:
        trouble = None
        if ran.differences:
            text = "\n".join(
                line for difference in ran.differences for line in _lines(difference, Style(on=False))
            )
            differing = ", ".join(dict.fromkeys(difference.what for difference in ran.differences))
            trouble = Trouble("failure", f"differs in {differing}", text, "difference")
        yield Case(ran.name, str(folder.folder), repository_path(ran.file), ran.line, trouble)
    for gap in folder.gaps if result.gaps_fail else ():
        trouble = Trouble("failure", str(gap), type="coverage")
        yield Case(f"{gap.policy}/{gap.rule} is covered", str(folder.folder), trouble=trouble)


def _junit(result: Tested, stream: TextIO, _style: Style, _verbose: bool) -> None:
    stream.write(as_junit(result))


def _json(result: Tested, stream: TextIO, _style: Style, _verbose: bool) -> None:
    ran = result.ran
    report: JSONObject = {
        "passed": len(ran) - result.failed,
        "failed": result.failed,
        "cases": [_case_json(folder.folder, case) for folder in result.folders for case in folder.ran],
        "notCovered": [
            {"folder": str(folder), "policy": gap.policy, "rule": gap.rule, "missing": list(gap.missing)}
            for folder, gap in result.gaps
        ],
        "problems": list(result.problems),
    }
    json.dump(report, stream, indent=2, ensure_ascii=False)
    stream.write("\n")


def _case_json(folder: Path, case: Ran) -> JSONObject:
    return {
        "folder": str(folder),
        "file": case.file,
        "line": case.line,
        "name": case.name,
        "passed": not case.differences,
        "expect": case.expect,
        "outcome": case.outcome,
        "differences": [difference._asdict() for difference in case.differences],
    }


def _text(result: Tested, stream: TextIO, style: Style, verbose: bool) -> None:
    for folder in result.folders:
        if folder.ran:
            print(style.bold(str(folder.folder)), file=stream)
        for case in folder.ran:
            for line in _case_lines(case, style, verbose=verbose):
                print(line, file=stream)
    paint = style.red if result.gaps_fail else style.yellow
    for path, gap in result.gaps:
        print(paint(f"not covered: {path}: {gap}"), file=stream)
    print(f"{len(result.ran) - result.failed} passed, {result.failed} failed", file=stream)


def _case_lines(case: Ran, style: Style, *, verbose: bool) -> Iterator[str]:
    if case.differences:
        yield f"  {style.red('FAIL')} {case.name} ({case.file}:{case.line})"
        for difference in case.differences:
            yield from (f"       {line}" for line in _lines(difference, style))
    elif verbose:
        yield f"  {style.green('ok')}   {case.name}"


def _lines(difference: Difference, style: Style) -> Iterator[str]:
    what, expected, actual = difference
    if _is_short(expected) and _is_short(actual):
        yield f"{what}: expected {_shown(expected)}, got {_shown(actual)}"
    else:
        yield from diff_lines(expected, actual, f"{what} expected", f"{what} as seen", style)


def _is_short(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


Renderer = Callable[[Tested, TextIO, Style, bool], None]

_RENDERERS: Final[dict[str, Renderer]] = {"text": _text, "json": _json, "junit": _junit}
FORMATS: Final = tuple(_RENDERERS)
