"""``gpuward lint``: what is wrong with policy files, and where."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TextIO

from msgspec import Struct

from webhook.adapters.policy_cases import case_folders, read_cases
from webhook.adapters.policy_documents import LoadedPolicies, PolicyFileProblem
from webhook.adapters.policy_files import default_policies_path, load
from webhook.cli.output import CLEAN, COULD_NOT_RUN, VIOLATIONS, Style, add_color_argument
from webhook.engine.exceptions import rule_names
from webhook.engine.ruleset import CompiledBreakGlass, CompiledException, CompiledPolicy
from webhook.kube.path import Path as FieldPath
from webhook.kube.path import render
from webhook.policy.match import Names
from webhook.policy.problems import Problem

EPILOG = """Errors keep a policy set from being loaded. Warnings are about what works and is hardly meant:
exceptions and break-glass that have expired or soon will, exceptions that can never apply, rules that are there twice.
"""

# Long enough to renew a ticket, short enough not to be overlooked for a month.
_EXPIRES_SOON: Final = timedelta(days=14)

_LONGEST_LINE: Final = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``gpuward lint``."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="policy files or folders (default: $GPUWARD_POLICIES, then ./policies, then the policies that "
        "come with gpuward)",
    )
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="how to print the result"
    )
    add_color_argument(parser)


class Remark(Struct, frozen=True):
    """An error or a warning, and where it is."""

    problem: PolicyFileProblem
    is_warning: bool = False


def run(args: argparse.Namespace) -> int:
    """Print the errors and warnings; 1 if there are errors, 2 where there is nothing to check."""
    paths = args.paths or [str(default_policies_path())]
    loaded = [load(path) for path in paths]
    remarks = [remark for policies in loaded for remark in remarks_on(policies, _today())]
    remarks += [Remark(problem) for path in paths for problem in _about_cases(Path(path))]
    if args.output == "json":
        json.dump([_as_json(remark) for remark in remarks], sys.stdout, indent=2, ensure_ascii=False)
        print()
    else:
        _print_text(
            remarks,
            sum(len(policies.policies) + len(policies.kubernetes) for policies in loaded),
            sys.stdout,
            args.color,
        )
    errors = [remark.problem for remark in remarks if not remark.is_warning]
    if any(problem.line == 0 for problem in errors):
        return COULD_NOT_RUN
    return VIOLATIONS if errors else CLEAN


def _today() -> date:
    return datetime.now(UTC).date()


def remarks_on(loaded: LoadedPolicies, today: date) -> list[Remark]:
    """The errors and warnings about a policy set on a day (UTC), file by file and from top to bottom."""
    remarks = [Remark(problem) for problem in loaded.problems]
    remarks += [Remark(problem, is_warning=True) for problem in loaded.warnings]
    for policy, written in loaded.policies:
        found = (*_about_exceptions(policy, written.data, today), *_about_rules(written.data))
        remarks += [Remark(written.problem(problem), is_warning=True) for problem in found]
    policies = [policy for policy, _ in loaded.policies]
    for exception, written in loaded.exceptions:
        # With a broken policy it is not known which rules there are.
        idle = () if loaded.problems else exception.idle_parts(policies)
        found = (
            *_about_expiry(exception.compiled, "exception", ("spec",), today),
            *_about_match(written.data["spec"], ("spec",)),
            *idle,
        )
        remarks += [Remark(written.problem(problem), is_warning=True) for problem in found]
    for entry, written in loaded.break_glass:
        found = (*_about_expiry(entry, "break-glass entry", ("spec",), today),)
        remarks += [Remark(written.problem(problem), is_warning=True) for problem in found]
    order = {remark.problem.file: 0 for remark in remarks}
    ranks = {file: rank for rank, file in enumerate(sorted(order))}
    return sorted(
        remarks, key=lambda remark: (ranks[remark.problem.file], remark.problem.line, remark.problem.column)
    )


def _about_cases(path: Path) -> Iterator[PolicyFileProblem]:
    """Cases that cannot be read; whether they hold, ``gpuward test`` says."""
    if path.is_dir():
        for folder in case_folders(path):
            yield from (item for item in read_cases(folder) if isinstance(item, PolicyFileProblem))


def _about_exceptions(policy: CompiledPolicy, document: dict[str, Any], today: date) -> Iterator[Problem]:
    own = rule_names(policy)
    names: set[str] = set()
    for i, exception in enumerate(policy.exceptions):
        path: FieldPath = ("spec", "exceptions", i)
        if exception.name in names:
            message = f'there is another exception "{exception.name}", and uses are recorded by name'
            yield Problem((*path, "name"), message, "give it a name of its own")
        names.add(exception.name)
        entry = document["spec"]["exceptions"][i]
        yield from _about_expiry(exception, "exception", path, today)
        yield from _about_match(entry, path)
        for j, rule in enumerate(entry.get("rules", ())):
            if not any(map(Names([rule]).match, own)):
                yield Problem((*path, "rules", j), f'the policy has no rule "{rule}" to except from')


def _about_match(exception: dict[str, Any], path: FieldPath) -> Iterator[Problem]:
    if not any(exception["match"].values()):
        hint = "say which objects, or take its rules out of the policy"
        yield Problem((*path, "match"), "the exception is for every object", hint)


def _about_expiry(
    it: CompiledException | CompiledBreakGlass, what: str, path: FieldPath, today: date
) -> Iterator[Problem]:
    expires = it.expires
    if expires is not None and expires < today:
        message = f'the {what} "{it.name}" expired on {expires} and has no effect any more'
        yield Problem((*path, "expires"), message, "remove it or agree on a new date")
    elif expires is not None and expires - today <= _EXPIRES_SOON:
        days = (expires - today).days
        left = "today is its last day" if days == 0 else f"{days} day{'s' * (days > 1)} left"
        yield Problem((*path, "expires"), f'the {what} "{it.name}" expires on {expires} ({left})')


def _about_rules(document: dict[str, Any]) -> Iterator[Problem]:
    """Rules that are in a policy twice with the same settings. With different ones both can be meant."""
    for section in ("mutate", "validate"):
        first: dict[str, int] = {}
        for i, rule in enumerate(document["spec"].get(section, ())):
            settings = json.dumps(
                [rule.get("rule"), rule.get("parameters") or {}, rule.get("expression")], sort_keys=True
            )
            if settings in first:
                same = render(("spec", section, first[settings]))
                yield Problem(
                    ("spec", section, i), f"this rule is there already, as {same}", "remove one of them"
                )
            else:
                first[settings] = i


def _as_json(remark: Remark) -> dict[str, Any]:
    problem = remark.problem
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "path": render(problem.path),
        "severity": "warning" if remark.is_warning else "error",
        "message": problem.message,
        "suggestion": problem.suggestion,
    }


def _print_text(remarks: Sequence[Remark], policies: int, stream: TextIO, color: str) -> None:
    style = Style.for_stream(stream, color)
    sources = _Sources()
    for remark in remarks:
        problem = remark.problem
        kind = style.yellow("warning") if remark.is_warning else style.red("error")
        print(f"{style.bold(problem.where)}: {kind}: {problem.text}", file=stream)
        for line in sources.excerpt(problem, style):
            print(line, file=stream)
    warnings = sum(remark.is_warning for remark in remarks)
    errors = len(remarks) - warnings
    good = "" if errors else f"{policies} {'policy' if policies == 1 else 'policies'}, no errors"
    counts = ", ".join(filter(None, (good, _counted(errors, "error"), _counted(warnings, "warning"))))
    print((style.red if errors else style.green)(counts), file=stream)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}" if number else ""


class _Sources:
    """The lines of files that have been complained about."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def excerpt(self, problem: PolicyFileProblem, style: Style) -> list[str]:
        """The line a problem is on, with a caret below the place; nothing where the line cannot be shown."""
        lines = self._read(problem.file)
        if not 0 < problem.line <= len(lines):
            return []
        line, column = lines[problem.line - 1], problem.column - 1
        start = max(0, column - _LONGEST_LINE // 2) if len(line) > _LONGEST_LINE else 0
        shown = line[start : start + _LONGEST_LINE]
        # What a terminal would obey rather than show must not reach it; tabs stay, to line up with the
        # caret's.
        shown = "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in shown)
        pad = "".join("\t" if c == "\t" else " " for c in shown[: column - start])
        number = f"{problem.line:>5}"
        return [f"{style.dim(number + ' |')} {shown}", f"{style.dim('      |')} {pad}{style.red('^')}"]

    def _read(self, file: str) -> list[str]:
        if file not in self._lines:
            try:
                text = Path(file).read_bytes().decode("utf-8-sig", "replace")
            except OSError:
                text = ""
            self._lines[file] = [line.removesuffix("\r") for line in text.split("\n")]
        return self._lines[file]
