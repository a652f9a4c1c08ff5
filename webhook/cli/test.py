"""``gpuward test``: every policy against its cases."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from webhook.adapters import policy_files
from webhook.adapters.policy_cases import CaseFile, case_folders, read_cases
from webhook.adapters.policy_documents import LoadedPolicies, Written
from webhook.cli.case_output import FORMATS, FolderResult, Ran, Tested, as_junit, render
from webhook.cli.output import CLEAN, COULD_NOT_RUN, VIOLATIONS, Style, add_color_argument
from webhook.cli.policies import DEFAULT_POLICIES
from webhook.engine.cases import outcome, run_case
from webhook.engine.coverage import Coverage
from webhook.engine.ruleset import CompiledPolicy

if TYPE_CHECKING:
    from webhook.engine.kubernetes.policies import MutatingPolicy, ValidatingPolicy

EPILOG = """A case is a document of kind PolicyCase in the folder cases/ beside the policy:

  apiVersion: gpuward.dev/v1alpha1
  kind: PolicyCase
  metadata: {name: a pod without limits is rejected}
  spec:
    expect: deny            # allow | deny | mutate | warn
    findings: [{rule: require-limits, path: "spec.containers[0].resources.limits"}]
    object: {apiVersion: v1, kind: Pod, ...}

It is judged by the policies of its folder alone, with the catalogs, exceptions and break-glass of the whole set. Cases
in a folder without policies are judged by the whole set. Exit status: 0 all pass, 1 a case fails (with
--require-coverage also: a rule lacks a case), 2 something could not be read, or there was nothing to run.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "path", nargs="?", metavar="PATH",
        help=f"a folder of policies, or one policy file (default: {DEFAULT_POLICIES})",
    )  # fmt: skip
    parser.add_argument(
        "-k", "--filter", default="", metavar="TEXT",
        help="run only cases whose name, file or folder contains this, in any case; coverage is not looked at",
    )  # fmt: skip
    parser.add_argument(
        "--require-coverage", action="store_true",
        help="a rule that no case shows at work, or none at rest, is a failure",
    )  # fmt: skip
    parser.add_argument("-o", "--output", choices=FORMATS, default="text", help="how to print the result")
    parser.add_argument("--junit", metavar="FILE", help="besides, write the result to a file as JUnit XML")
    parser.add_argument("-v", "--verbose", action="store_true", help="also name the cases that pass")
    add_color_argument(parser)


def run(args: argparse.Namespace) -> int:
    if args.filter and args.require_coverage:
        print("gpuward: --require-coverage needs all cases to be run; leave out -k", file=sys.stderr)
        return COULD_NOT_RUN
    root = policy_files.default_policies_path(args.path)
    result = _run(root, args.filter.lower(), require_coverage=args.require_coverage)
    for problem in result.problems:
        print(problem, file=sys.stderr)
    if not result.ran and not result.problems:
        what = f'no case has "{args.filter}" in its name' if args.filter else "no cases found"
        print(f"gpuward: {root}: {what}", file=sys.stderr)
    render(args.output, result, sys.stdout, Style.for_stream(sys.stdout, args.color), verbose=args.verbose)
    if args.junit:
        try:
            Path(args.junit).write_text(as_junit(result), encoding="utf-8")
        except OSError as error:
            print(f"gpuward: {args.junit}: {error.strerror or error}", file=sys.stderr)
            return COULD_NOT_RUN
    if result.problems or not result.ran:
        return COULD_NOT_RUN
    return VIOLATIONS if result.failed or (args.require_coverage and result.gaps) else CLEAN


def _run(root: Path, chosen: str, *, require_coverage: bool) -> Tested:
    loaded = policy_files.load(root)
    problems = list(map(str, loaded.problems))
    broken = {Path(problem.file).parent for problem in loaded.problems}
    with_policies = {Path(written.file).parent for _, written in _all(loaded)}
    folders = []
    for folder in sorted({*case_folders(root), *with_policies} - broken):
        result = _run_folder(folder, loaded, _cases(folder, root, chosen, problems))
        if chosen:
            # What some of the cases leave out, the others may show.
            result = replace(result, gaps=())
        if result.ran or result.gaps:
            folders.append(result)
    return Tested(folders, problems, require_coverage)


def _run_folder(folder: Path, loaded: LoadedPolicies, cases: Iterable[CaseFile]) -> FolderResult:
    own = [policy for policy, written in _all(loaded) if Path(written.file).parent == folder]
    ruleset = loaded.ruleset_of(own or [policy for policy, _ in _all(loaded)])
    coverage = Coverage(ruleset)
    ran = []
    for case in cases:
        spec = case.case.spec
        decision, differences = run_case(spec, ruleset)
        coverage.record(spec, decision)
        name, got = case.case.metadata.name, outcome(decision)
        ran.append(Ran(case.file, case.line, name, spec.expect, got, tuple(differences)))
    # Cases of the whole set show something of all policies, and need not show everything of any.
    return FolderResult(folder, tuple(ran), tuple(coverage.gaps() if own else ()))


def _all(
    loaded: LoadedPolicies,
) -> Iterator[tuple[CompiledPolicy | ValidatingPolicy | MutatingPolicy, Written]]:
    yield from loaded.policies
    yield from loaded.kubernetes


def _cases(folder: Path, root: Path, chosen: str, problems: list[str]) -> Iterator[CaseFile]:
    """The cases of a folder that are to be run; what cannot be read is added to the problems."""
    start = root if root.is_dir() else root.parent
    for item in read_cases(folder):
        if not isinstance(item, CaseFile):
            problems.append(str(item))
        elif chosen in f"{Path(item.file).relative_to(start)}\n{item.case.metadata.name}".lower():
            yield item
