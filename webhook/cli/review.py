"""``gpuward review``: what admission would do to these manifests, without a cluster."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime

from webhook.adapters.manifests import Manifest, UnreadableInput, read_manifests
from webhook.adapters.yaml_documents import DocumentError
from webhook.cli.output import CLEAN, COULD_NOT_RUN, VIOLATIONS, add_color_argument
from webhook.cli.policies import add_policies_argument, load_or_report
from webhook.cli.review_output import FORMATS, WITH_POSITIONS, Review, Reviewed, render
from webhook.engine.decision import Facts
from webhook.engine.offline import device_classes, kind_of, request_for
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.kube.gvk import NAMESPACE
from webhook.kube.shape import JSONObject, mapping, text
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
        "-f", "--filename", action="append", required=True, metavar="FILE|DIR|-",
        help="manifests: a file, a folder (recursively), or - for standard input; may be given again",
    )  # fmt: skip
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
    add_color_argument(parser)


def _labels(written: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for pair in filter(None, written.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise argparse.ArgumentTypeError(f'"{pair}" is no label; write key=value')
        labels[key.strip()] = value.strip()
    return labels


def run(args: argparse.Namespace) -> int:
    ruleset = load_or_report(args.policies)
    if ruleset is None:
        return COULD_NOT_RUN
    try:
        found = list(read_manifests(args.filename, positions=args.output in WITH_POSITIONS))
    except UnreadableInput as error:
        print(f"gpuward: {error}", file=sys.stderr)
        return COULD_NOT_RUN
    manifests = [item for item in found if isinstance(item, Manifest)]
    broken = [item for item in found if isinstance(item, DocumentError)]
    for document in broken:
        print(f"gpuward: {document}", file=sys.stderr)
    cluster = _cluster(manifests, args.namespace_labels)
    now = datetime.now(UTC)
    results = [_review(manifest, ruleset, cluster, args.namespace, args.mode, now) for manifest in manifests]
    render(args.output, Review(results, broken, ruleset), sys.stdout, color=args.color)
    if broken:
        return COULD_NOT_RUN
    return VIOLATIONS if any(result.decision.findings for result in results) else CLEAN


@dataclass(slots=True)
class _Cluster:
    """What the input itself says about the cluster it is meant for."""

    namespaces: dict[str, JSONObject] = field(default_factory=dict)
    classes: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def _cluster(manifests: list[Manifest], labels: dict[str, str]) -> _Cluster:
    cluster = _Cluster(labels=labels)
    for manifest in manifests:
        metadata = mapping(manifest.obj, "metadata")
        if kind_of(manifest.obj) == NAMESPACE:
            cluster.namespaces[text(metadata, "name")] = manifest.obj
        elif classes := device_classes(manifest.obj):
            cluster.classes.setdefault(text(metadata, "namespace"), {})[text(metadata, "name")] = classes
    return cluster


def _review(
    manifest: Manifest, ruleset: Ruleset, cluster: _Cluster, default_namespace: str, mode: Mode, now: datetime
) -> Reviewed:
    request = request_for(manifest.obj, default_namespace=default_namespace)
    namespace = cluster.namespaces.get(request.namespace)
    if namespace is not None:
        labels = mapping(mapping(namespace, "metadata"), "labels")
    else:
        # What is in no namespace has no namespace's labels, as in a cluster; a Namespace can get those given.
        labels = cluster.labels if request.namespace or request.kind == NAMESPACE else {}
    facts = Facts(
        mode=mode,
        namespace_labels=labels,
        namespace_object=namespace,
        now=now,
        # A claim written without a namespace is meant for wherever the pod goes.
        device_classes={**cluster.classes.get("", {}), **cluster.classes.get(request.namespace, {})},
    )
    return Reviewed(manifest, request, review(request, ruleset, facts))
