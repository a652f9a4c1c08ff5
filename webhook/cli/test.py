"""``gpuward test``: every policy against its cases."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from webhook.adapters import policy_files
from webhook.adapters.policy_cases import CaseFile, policy_folders, read_cases
from webhook.cli.output import CLEAN, COULD_NOT_RUN, VIOLATIONS, Style, add_color_argument
from webhook.cli.policies import DEFAULT_POLICIES
from webhook.engine.cases import outcome, run_case
from webhook.engine.decision import Decision
from webhook.engine.offline import kind_of
from webhook.engine.ruleset import Ruleset

EPILOG = """A case is a document of kind PolicyCase in the folder cases/ beside the policy:

  apiVersion: gpuward.dev/v1alpha1
  kind: PolicyCase
  metadata: {name: a pod without limits is rejected}
  spec:
    expect: deny            # allow | deny | mutate | warn
    findings: [{rule: require-limits, path: "spec.containers[0].resources.limits"}]
    object: {apiVersion: v1, kind: Pod, ...}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "folder", nargs="?", metavar="DIR",
        help=f"a folder of policies (default: {DEFAULT_POLICIES})",
    )  # fmt: skip
    parser.add_argument("-v", "--verbose", action="store_true", help="also name the cases that pass")
    add_color_argument(parser)


@dataclass(slots=True)
class _Tally:
    """What has been run, and which rules were seen judging both ways."""

    passed: int = 0
    failed: int = 0
    unreadable: int = 0


def run(args: argparse.Namespace) -> int:
    root = Path(policy_files.default_policies_path(args.folder))
    style = Style.for_stream(sys.stdout, args.color)
    if not root.is_dir():
        print(f"gpuward: {root}: no such folder", file=sys.stderr)
        return COULD_NOT_RUN
    tally = _Tally()
    uncovered: list[str] = []
    for folder in policy_folders(root):
        loaded = policy_files.load(folder, recursive=False)
        for problem in loaded.problems:
            print(problem, file=sys.stderr)
        if loaded.ruleset is None:
            tally.unreadable += 1
            continue
        print(style.bold(str(folder)))
        seen = _Seen(loaded.ruleset)
        for line in _run_folder(folder, loaded.ruleset, tally, seen, style, verbose=args.verbose):
            print(line)
        uncovered += [f"{folder}: {gap}" for gap in seen.gaps()]
    for gap in uncovered:
        print(style.yellow(f"not covered: {gap}"))
    print(f"{tally.passed} passed, {tally.failed} failed")
    if tally.unreadable or not (tally.passed or tally.failed):
        if not tally.unreadable:
            print(f"gpuward: {root}: no cases found", file=sys.stderr)
        return COULD_NOT_RUN
    return VIOLATIONS if tally.failed else CLEAN


def _run_folder(
    folder: Path, ruleset: Ruleset, tally: _Tally, seen: _Seen, style: Style, *, verbose: bool
) -> Iterator[str]:
    for item in read_cases(folder):
        if not isinstance(item, CaseFile):
            tally.unreadable += 1
            print(item, file=sys.stderr)
            continue
        name = item.case.metadata.name
        decision, differences = run_case(item.case.spec, ruleset)
        seen.record(decision)
        if differences:
            tally.failed += 1
            yield f"  {style.red('FAIL')} {name} ({item.file}:{item.line})"
            yield from (f"       {difference}" for difference in differences)
        else:
            tally.passed += 1
            if verbose:
                yield f"  {style.green('ok')}   {name}"


class _Seen:
    """Which rules of a policy set the cases have shown at work, and at rest."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._checks = [(policy.name, rule.name) for policy in ruleset.policies for rule in policy.checks]
        self._checks += [
            (policy.name, rule.name) for policy in ruleset.policies for rule in policy.expressions
        ]
        if ruleset.kubernetes is not None:
            self._checks += [
                (policy.name, rule.name)
                for policy in ruleset.kubernetes.validating.policies
                if policy.bindings
                for rule in policy.validations
            ]
        self._object_checks = {
            (policy.name, rule.name): rule.check.kinds
            for policy in ruleset.policies
            for rule in policy.object_checks
        }
        self._mutations = [
            (policy.name, rule.name) for policy in ruleset.policies for rule in policy.mutations
        ]
        self._spoke: set[tuple[str, str]] = set()
        self._silent: set[tuple[str, str]] = set()

    def record(self, decision: Decision) -> None:
        """Take note of one case's decision."""
        spoke = {(finding.policy, finding.rule) for finding in decision.findings} | set(decision.mutated_by)
        self._spoke |= spoke
        if outcome(decision) in ("allow", "mutate"):
            self._silent |= set(self._checks) - spoke
            # A check of objects of one kind lets nothing pass in a case about another.
            group, _, kind = kind_of(decision.object or {})
            self._silent |= {
                rule for rule, kinds in self._object_checks.items() if (group, kind) in kinds
            } - spoke
        self._silent |= set(self._mutations) - spoke

    def gaps(self) -> list[str]:
        """What no case shows: a check that never found anything or never let anything pass, a mutation likewise."""
        gaps = []
        for rules, speaks, silent in (
            ([*self._checks, *self._object_checks], "finds something", "passes"),
            (self._mutations, "changes something", "leaves a pod alone"),
        ):
            for rule in rules:
                missing = [
                    word for word, seen in ((speaks, self._spoke), (silent, self._silent)) if rule not in seen
                ]
                if missing:
                    gaps.append(
                        f"{rule[0]}/{rule[1]} has no case in which it {' and none in which it '.join(missing)}"
                    )
        return gaps
