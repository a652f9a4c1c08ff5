"""``gpuward review``: what admission would do to these manifests, without a cluster."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from webhook.adapters.manifests import Manifest, UnreadableInput, read_manifests
from webhook.adapters.yaml_documents import DocumentError
from webhook.cli.output import CLEAN, COULD_NOT_RUN, VIOLATIONS, add_color_argument
from webhook.cli.policies import add_policies_argument, load_or_report
from webhook.cli.review_output import FORMATS, WITH_POSITIONS, Review, Reviewed, render
from webhook.engine.offline import request_for
from webhook.engine.review import review
from webhook.engine.surroundings import Surroundings
from webhook.policy.findings import Mode

EPILOG = """examples:
  gpuward review -f pod.yaml
  gpuward review -f k8s/ --policies policies/ -o json
  helm template . | gpuward review -f - --namespace ml-team --namespace-labels workload=ml
  gpuward review -f k8s/ -o sarif > gpuward.sarif
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "-f", "--filename", action="append", default=[], metavar="FILE|DIR|-",
        help="manifests: a file, a folder (recursively), or - for standard input; may be given again",
    )  # fmt: skip
    parser.add_argument("paths", nargs="*", metavar="PATH", help="manifests too, without -f before each")
    add_policies_argument(parser)
    parser.add_argument("-o", "--output", choices=FORMATS, default="text", help="how to print the result")
    parser.add_argument(
        "--mode", type=Mode, choices=list(Mode), default=Mode.ENFORCE, metavar="audit|warn|enforce",
        help="the mode of every namespace (default: enforce)",
    )  # fmt: skip
    parser.add_argument(
        "-n", "--namespace", default="default", metavar="NAME",
        help="the namespace of objects that name none (default: default)",
    )  # fmt: skip
    parser.add_argument(
        "--namespace-labels", type=_labels, default={}, metavar="k=v,...",
        help="labels of namespaces that the input does not define",
    )  # fmt: skip
    parser.add_argument(
        "--user", default="", metavar="NAME",
        help="who applies the objects, for policies, exceptions and break-glass that name users",
    )  # fmt: skip
    parser.add_argument(
        "--groups", type=_groups, default=(), metavar="a,b",
        help="the groups of that user",
    )  # fmt: skip
    add_color_argument(parser)


def _groups(written: str) -> tuple[str, ...]:
    return tuple(filter(None, (group.strip() for group in written.split(","))))


def _labels(written: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for pair in filter(None, written.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise argparse.ArgumentTypeError(f'"{pair}" is no label; write key=value')
        labels[key.strip()] = value.strip()
    return labels


def run(args: argparse.Namespace) -> int:
    """Review, print the result, and say by the exit status whether there is anything to complain of."""
    paths = [*args.filename, *args.paths]
    if not paths:
        print("gpuward review: nothing to review; name manifests with -f", file=sys.stderr)
        return COULD_NOT_RUN
    ruleset = load_or_report(args.policies)
    if ruleset is None:
        return COULD_NOT_RUN
    try:
        found = list(read_manifests(paths, positions=args.output in WITH_POSITIONS))
    except UnreadableInput as error:
        print(f"gpuward: {error}", file=sys.stderr)
        return COULD_NOT_RUN
    manifests = [item for item in found if isinstance(item, Manifest)]
    broken = [item for item in found if isinstance(item, DocumentError)]
    for document in broken:
        print(f"gpuward: {document}", file=sys.stderr)
    surroundings = Surroundings((manifest.obj for manifest in manifests), args.namespace_labels)
    now = datetime.now(UTC)
    results = []
    for manifest in manifests:
        request = request_for(
            manifest.obj, default_namespace=args.namespace, username=args.user, groups=args.groups
        )
        decision = review(request, ruleset, surroundings.facts(request, args.mode, now))
        results.append(Reviewed(manifest, request, decision))
    render(args.output, Review(results, broken, ruleset), sys.stdout, color=args.color)
    if broken:
        return COULD_NOT_RUN
    return VIOLATIONS if any(result.decision.findings for result in results) else CLEAN
