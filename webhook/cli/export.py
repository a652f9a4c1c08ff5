"""``gpuward export``: policies in a form that a cluster without gpuward can enforce."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap
from typing import Any, Final

import yaml

from webhook.adapters.policy_documents import LoadedPolicies
from webhook.adapters.policy_files import default_policies_path, load
from webhook.cli.output import CLEAN, COULD_NOT_RUN, VIOLATIONS
from webhook.cli.policies import DEFAULT_POLICIES
from webhook.export.vap import Exported, LeftOut, Note, Setting, Target, export_policy
from webhook.policy.model import BreakGlass, PolicyException
from webhook.policy.problems import did_you_mean
from webhook.policy.validation import validate_document, validate_policy
from webhook.version import __version__

EPILOG = """The objects are on standard output, for kubectl apply -f -. What a ValidatingAdmissionPolicy cannot say is
left out and listed on standard error and in comments at the top, with the reason: it is no error, unless
--strict makes it one.
"""

_WIDTH: Final = 100
_LONG: Final = 60
_ALREADY: Final = "it is one of Kubernetes' own policies already; apply it from its file, with its binding"
_HEADER: Final = (
    "Pods are judged as they are stored, after every mutation; nothing here changes them.",
    "Namespaces opt in with the label gpuward.dev/mode: audit, warn or enforce.",
    "A resource claim counts as a request for an accelerator, whatever its DeviceClass.",
    "An update that leaves what a rule is about as it was is let pass without a warning.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``gpuward export``."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "policies", nargs="?", metavar="DIR", help=f"a policy file or folder (default: {DEFAULT_POLICIES})"
    )
    parser.add_argument(
        "--format", choices=("vap",), default="vap",
        help="what to write: ValidatingAdmissionPolicies and their bindings (vap)",
    )  # fmt: skip
    parser.add_argument(
        "--policy", metavar="NAME", action="append", help="only this policy; may be given several times"
    )
    parser.add_argument(
        "--templates", action="store_true",
        help="also judge the pod templates of Kubernetes' own workloads, as they are written: a template that a "
        "mutation would complete is refused",
    )  # fmt: skip
    parser.add_argument(
        "--output", metavar="FILE", default="-", help="where to write (default: -, standard output)"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 if anything is left out")


def run(args: argparse.Namespace) -> int:
    """Write the objects; 2 where the policies cannot be loaded, 1 with ``--strict`` if anything is left out."""
    loaded = load(default_policies_path(args.policies))
    for problem in loaded.problems:
        print(problem, file=sys.stderr)
    if loaded.ruleset is None:
        return COULD_NOT_RUN
    names = [policy.name for policy, _ in loaded.policies] + [policy.name for policy, _ in loaded.kubernetes]
    wanted = args.policy or names
    if unknown := [name for name in wanted if name not in names]:
        for name in unknown:
            hint = did_you_mean(name, names) or f"policies: {', '.join(names)}"
            print(f'gpuward: no policy "{name}"; {hint}', file=sys.stderr)
        return COULD_NOT_RUN
    exported = export(loaded, wanted, templates=args.templates)
    text = "".join(stream(exported))
    if args.output == "-":
        sys.stdout.write(text)
    else:
        Path(args.output).write_text(text, encoding="utf-8")
    for line in report(exported):
        print(line, file=sys.stderr)
    return VIOLATIONS if args.strict and exported.left_out else CLEAN


def export(loaded: LoadedPolicies, wanted: Sequence[str], *, templates: bool = False) -> Exported:
    """The export of the policies of these names, in the order of names. They must have been loaded well."""
    target = Target(loaded.context.catalog, templates)
    setting = Setting(
        datetime.now(UTC).date(),
        tuple(validate_document(PolicyException, written.data) for _, written in loaded.exceptions),
        tuple(validate_document(BreakGlass, written.data) for _, written in loaded.break_glass),
        tuple(loaded.context.workloads),
    )
    parts = [
        export_policy(validate_policy(written.data), policy, target, setting)
        for policy, written in sorted(loaded.policies, key=lambda entry: entry[0].name)
        if policy.name in wanted
    ]
    parts += [
        Exported(left_out=(LeftOut(policy.name, "", _ALREADY),))
        for policy, _ in loaded.kubernetes
        if policy.name in wanted
    ]
    return Exported(
        tuple(document for part in parts for document in part.objects),
        tuple(entry for part in parts for entry in part.left_out),
        tuple(entry for part in parts for entry in part.notes),
    )


def stream(exported: Exported) -> Iterator[str]:
    """The objects as a stream of YAML documents, after comments on what to know of them."""
    yield f"# Written by gpuward {__version__} export.\n"
    lines = [*_HEADER, *report(exported)]
    yield from ("#\n", *(f"# {line}".rstrip() + "\n" for line in lines))
    for document in exported.objects:
        yield "---\n"
        yield yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True)


def report(exported: Exported) -> Iterator[str]:
    """What is left out, and what is different, a paragraph each."""
    yield from _listed("Not exported:", exported.left_out)
    yield from _listed("Exported with a difference:", exported.notes)


def _listed(title: str, entries: Sequence[LeftOut | Note]) -> Iterator[str]:
    if not entries:
        return
    yield title
    together: dict[str, list[str]] = {}
    for policy, rule, why in entries:
        together.setdefault(why, []).append(f"{policy}{'/' if rule else ''}{rule}")
    for why, whose in together.items():
        yield from (f"  {each}" for each in whose)
        yield from wrap(
            why, _WIDTH, initial_indent="      ", subsequent_indent="      ", break_long_words=False
        )


class _Dumper(yaml.SafeDumper):
    """Long expressions as they read best: blocks where they have lines of their own."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else ">" if len(value) > _LONG else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
