"""``gpuward doctor``: what is wrong with an installation, before it is felt."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from webhook.adapters import policy_files
from webhook.adapters.manifests import Manifest, UnreadableInput, read_manifests
from webhook.cli.cluster import no_cluster
from webhook.cli.installed_policies import INSTALLED_POLICIES, policies_of
from webhook.cli.output import CLEAN, COULD_NOT_RUN, VIOLATIONS, Style, add_color_argument
from webhook.cli.policies import DEFAULT_POLICIES
from webhook.doctor import Diagnosis, Installation, Level, examine
from webhook.kube.shape import JSONObject

EPILOG = """examples:
  gpuward doctor                                 the cluster of $KUBECONFIG
  helm template gpuward ./chart | gpuward doctor -f -
  gpuward doctor --fix                           print the patches; nothing is changed

exit status: 1 where there is an error, with --strict also where there is a warning; notes never count
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "-f", "--filename", action="append", metavar="FILE|DIR|-",
        help="rendered manifests instead of a cluster: a file, a folder (recursively), or - for standard input",
    )  # fmt: skip
    source.add_argument(
        "--kubeconfig",
        metavar="FILE",
        help="the cluster to examine (default: the pod's own, then $KUBECONFIG)",
    )
    parser.add_argument(
        "--policies", metavar="DIR",
        help=f"a policy file or folder (default: {INSTALLED_POLICIES}; where that is not there, "
        f"{DEFAULT_POLICIES})",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="how to print the result"
    )
    parser.add_argument(
        "--fix", action="store_true", help="print the patches that mend what a patch can mend"
    )
    parser.add_argument("--strict", action="store_true", help="warnings count as errors")
    add_color_argument(parser)


def run(args: argparse.Namespace) -> int:
    try:
        installation = _from_manifests(args.filename) if args.filename else _from_cluster(args.kubeconfig)
    except UnreadableInput as error:
        print(f"gpuward: {error}", file=sys.stderr)
        return COULD_NOT_RUN
    if installation is None:
        return COULD_NOT_RUN
    for kind, why in installation.unread.items():
        print(
            f"gpuward: objects of kind {kind} could not be read and were not examined: {why}", file=sys.stderr
        )
    if not installation.ours:
        print("gpuward: no webhook configuration here calls gpuward", file=sys.stderr)
        return COULD_NOT_RUN
    diagnoses = examine(_with_policies(installation, args.policies))
    if args.fix:
        _print_fixes(diagnoses)
    elif args.output == "json":
        print(json.dumps([_as_json(diagnosis) for diagnosis in diagnoses], indent=2, ensure_ascii=False))
    else:
        _print_text(diagnoses, Style.for_stream(sys.stdout, args.color))
    counting = (Level.ERROR, Level.WARNING) if args.strict else (Level.ERROR,)
    return VIOLATIONS if any(diagnosis.level in counting for diagnosis in diagnoses) else CLEAN


def _with_policies(installation: Installation, given: str | None) -> Installation:
    """The installation with the policies of ``--policies``, else those that its servers have, else the default."""
    found = None if given else policies_of(installation)
    if found is not None:
        return replace(installation, ruleset=found.ruleset, policy_problems=found.problems)
    loaded = policy_files.load(policy_files.default_policies_path(given))
    for problem in loaded.problems:
        print(problem, file=sys.stderr)
    if loaded.ruleset is None:
        print(
            "gpuward: the policies cannot be used; what they would refuse is not examined",
            file=sys.stderr,
        )
    return replace(installation, ruleset=loaded.ruleset)


def _from_manifests(paths: Sequence[str]) -> Installation | None:
    objects: list[JSONObject] = []
    readable = True
    for item in read_manifests(paths):
        if isinstance(item, Manifest):
            objects.append(item.obj)
        else:
            readable = False
            print(f"gpuward: {item}", file=sys.stderr)
    return Installation(tuple(objects), datetime.now(UTC)) if readable else None


def _from_cluster(kubeconfig: str | None) -> Installation | None:
    import asyncio

    from webhook.adapters.cluster import Cluster, ClusterConfigError, ClusterError
    from webhook.adapters.installation import read_installation

    async def read() -> Installation:
        cluster = Cluster(kubeconfig)
        try:
            return await read_installation(cluster, datetime.now(UTC))
        finally:
            await cluster.reset()

    try:
        return asyncio.run(read())
    except ClusterConfigError:
        print(f"gpuward: {no_cluster(kubeconfig)}, or manifests with -f", file=sys.stderr)
    except ClusterError as error:
        print(f"gpuward: the cluster could not be read: {error}", file=sys.stderr)
    return None


def _print_text(diagnoses: Sequence[Diagnosis], style: Style) -> None:
    paint = {Level.ERROR: style.red, Level.WARNING: style.yellow, Level.NOTE: style.cyan}
    for diagnosis in diagnoses:
        where = f" {diagnosis.field}" if diagnosis.field else ""
        print(f"{paint[diagnosis.level](diagnosis.level.value)}: {style.bold(str(diagnosis.about))}{where}")
        print(f"    {diagnosis.message} [{diagnosis.code}]")
        print(f"    {style.dim('mend:')} {diagnosis.remedy}")
    counts = [
        f"{count} {level.value}{'' if count == 1 else 's'}"
        for level in Level
        if (count := sum(diagnosis.level is level for diagnosis in diagnoses))
    ]
    print(", ".join(counts) if counts else "nothing is wrong")


def _as_json(diagnosis: Diagnosis) -> dict[str, object]:
    return {
        "code": diagnosis.code,
        "level": diagnosis.level.value,
        "kind": diagnosis.about.kind,
        "namespace": diagnosis.about.namespace,
        "name": diagnosis.about.name,
        "path": diagnosis.field,
        "message": diagnosis.message,
        "remedy": diagnosis.remedy,
        "patch": list(diagnosis.patch),
    }


def _print_fixes(diagnoses: Sequence[Diagnosis]) -> None:
    """A kubectl command for each that has a patch; the others as comments, so that nothing is forgotten."""
    for diagnosis in diagnoses:
        if diagnosis.level is Level.NOTE:
            continue
        about = diagnosis.about
        print(f"# {diagnosis.level.value}: {about}: {diagnosis.remedy} [{diagnosis.code}]")
        if diagnosis.patch:
            words = ["kubectl", "patch", about.kind.lower(), about.name]
            if about.namespace:
                words += ["--namespace", about.namespace]
            words += ["--type=json", "--patch", json.dumps(list(diagnosis.patch))]
            print(shlex.join(words))
