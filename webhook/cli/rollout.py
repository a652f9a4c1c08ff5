"""``gpuward rollout``: what the next mode would do to a namespace, and going there, one rung at a time."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import asdict

from webhook.adapters import policy_files
from webhook.audit.ladder import OFF, RUNGS, rung_of, skipped
from webhook.audit.plan import Planned, plan
from webhook.audit.record import Record, read_record
from webhook.cli.cluster import no_cluster
from webhook.cli.installed_policies import INSTALLED_POLICIES, policies_of
from webhook.cli.output import CLEAN, COULD_NOT_RUN, VIOLATIONS, Style, add_color_argument
from webhook.cli.policies import DEFAULT_POLICIES, load_or_report
from webhook.engine.decision import Facts
from webhook.engine.ruleset import Ruleset
from webhook.kube.gvk import GroupVersionKind
from webhook.kube.shape import JSONObject, mapping, text
from webhook.kube.workloads import may_carry_pods
from webhook.policy.findings import MODE_LABEL, Finding, Mode

if TYPE_CHECKING:
    from webhook.adapters.cluster import Cluster

EPILOG = """examples:
  gpuward rollout plan -n team-vision                    what enforce would do to what runs there
  kubectl logs -n gpuward-system deploy/gpuward | gpuward rollout plan -n team-vision --decisions -
  gpuward rollout set team-vision warn                   one rung up: off, audit, warn, enforce
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")
    planning = actions.add_parser(
        "plan", help="say what a mode would reject and change of what runs; status 1 where it would reject"
    )
    planning.add_argument("-n", "--namespace", required=True, metavar="NAME", help="the namespace")
    planning.add_argument(
        "--to", type=Mode, choices=list(Mode), default=Mode.ENFORCE, metavar="audit|warn|enforce",
        help="the mode to plan for (default: enforce)",
    )  # fmt: skip
    planning.add_argument(
        "--decisions", metavar="FILE|-",
        help="also count what a decision log (the server's log, JSON lines) has of the namespace",
    )  # fmt: skip
    planning.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="how to print the result"
    )
    setting = actions.add_parser("set", help="move a namespace to a mode, one rung up or any number down")
    setting.add_argument("namespace", metavar="NAMESPACE", help="the namespace")
    setting.add_argument("mode", choices=RUNGS, help="the mode; off removes the label")
    setting.add_argument(
        "--force", action="store_true",
        help="skip rungs, and go to enforce although it would reject what runs",
    )  # fmt: skip
    for action in (planning, setting):
        action.add_argument(
            "--kubeconfig", metavar="FILE", help="the cluster (default: the pod's own, then $KUBECONFIG)"
        )
        action.add_argument(
            "--policies", metavar="DIR",
            help=f"a policy file or folder (default: {INSTALLED_POLICIES}; where that is not there, "
            f"{DEFAULT_POLICIES})",
        )  # fmt: skip
        add_color_argument(action)


def run(args: argparse.Namespace) -> int:
    from webhook.adapters.cluster import ClusterConfigError, ClusterError

    try:
        return asyncio.run(_act(args))
    except ClusterConfigError:
        print(f"gpuward: {no_cluster(args.kubeconfig)}", file=sys.stderr)
    except ClusterError as error:
        print(f"gpuward: {error}", file=sys.stderr)
    return COULD_NOT_RUN


async def _act(args: argparse.Namespace) -> int:
    from webhook.adapters.cluster import Cluster

    cluster = Cluster(args.kubeconfig)
    try:
        # To go down, or to the next rung, nothing is judged: that must work whatever the policies are.
        needs_policies = args.action == "plan" or (args.mode == Mode.ENFORCE.value and not args.force)
        ruleset = await _ruleset(args.policies, cluster) if needs_policies else None
        if ruleset is None and needs_policies:
            return COULD_NOT_RUN
        if args.action == "plan":
            assert ruleset is not None
            return await _plan(args, cluster, ruleset)
        return await _set(args, cluster, ruleset)
    finally:
        await cluster.reset()


async def _ruleset(given: str | None, cluster: Cluster) -> Ruleset | None:
    """The policies of ``--policies``, else those that are in force in the cluster, else the default."""
    from webhook.adapters.installation import read_installed_policies

    if given:
        return load_or_report(given)
    installation = await read_installed_policies(cluster, datetime.now(UTC))
    installed = policies_of(installation)
    if installed is None or installed.ruleset is None:
        for about, problem in installed.problems if installed else ():
            print(f"{about}: {problem}", file=sys.stderr)
        why = "; ".join(f"{kind}: {reason}" for kind, reason in installation.unread.items())
        print(
            f"gpuward: the policies of the cluster's gpuward are not known{f' ({why})' if why else ''}; judged by "
            f"{policy_files.default_policies_path()}",
            file=sys.stderr,
        )
        return load_or_report(None)
    print(f"gpuward: judged by what the cluster has: {installed.where}", file=sys.stderr)
    return installed.ruleset


class _Read(Struct, frozen=True):
    """A namespace as it is now."""

    namespace: JSONObject
    planned: list[Planned]
    unread: dict[str, str]

    @property
    def name(self) -> str:
        return text(mapping(self.namespace, "metadata"), "name")

    @property
    def rung(self) -> str:
        return rung_of(mapping(mapping(self.namespace, "metadata"), "labels").get(MODE_LABEL))

    @property
    def rejected(self) -> list[Planned]:
        return [one for one in self.planned if one.rejected_for]


async def _read(cluster: Cluster, name: str, mode: Mode, ruleset: Ruleset) -> _Read:
    from webhook.adapters.workloads import NamespaceScan

    scan = NamespaceScan(cluster)
    namespace = await scan.namespace(name)
    labels = mapping(mapping(namespace, "metadata"), "labels")

    def wanted(kind: GroupVersionKind) -> bool:
        return may_carry_pods(kind) or bool(ruleset.candidates(kind, "CREATE", name))

    objects = await scan.objects(name, wanted)
    facts = Facts(mode=mode, namespace_labels=labels, namespace_object=namespace, now=datetime.now(UTC))
    return _Read(namespace, plan(objects, ruleset, facts), scan.unread)


async def _plan(args: argparse.Namespace, cluster: Cluster, ruleset: Ruleset) -> int:
    record = None
    if args.decisions:
        record = read_record(_decisions(args.decisions), args.namespace, ruleset)
    read = await _read(cluster, args.namespace, args.to, ruleset)
    _tell_unread(read)
    if args.output == "json":
        print(json.dumps(_as_json(read, args.to, record), indent=2, ensure_ascii=False))
    else:
        for line in _as_text(read, args.to, record, Style.for_stream(sys.stdout, args.color)):
            print(line)
    return VIOLATIONS if read.rejected or (record is not None and record.rejected) else CLEAN


async def _set(args: argparse.Namespace, cluster: Cluster, ruleset: Ruleset | None) -> int:
    """Move a namespace; with a ruleset not over what that would reject."""
    from webhook.adapters.workloads import NamespaceScan, set_label

    style = Style.for_stream(sys.stdout, args.color)
    if ruleset is not None:
        read = await _read(cluster, args.namespace, Mode.ENFORCE, ruleset)
        _tell_unread(read)
    else:
        read = _Read(await NamespaceScan(cluster).namespace(args.namespace), [], {})
    if read.rung == args.mode:
        print(f"{read.name} is at {read.rung} already")
        return CLEAN
    between = skipped(read.rung, args.mode)
    if between and not args.force:
        print(
            f"gpuward: {read.name} is at {read.rung}, and {args.mode} would skip {', '.join(between)}; "
            f"set it to {between[0]} first and look at what it says, or use --force",
            file=sys.stderr,
        )
        return VIOLATIONS
    if read.rejected:
        for line in _rejected(read.rejected, style):
            print(line)
        print(
            f"gpuward: enforce would reject {_count(len(read.rejected), 'workload')} that {read.name} runs now; "
            "mend them, or use --force",
            file=sys.stderr,
        )
        return VIOLATIONS
    await set_label(cluster, read.namespace, MODE_LABEL, None if args.mode == OFF else args.mode)
    print(f"{read.name}: {read.rung} -> {args.mode}")
    return CLEAN


def _tell_unread(read: _Read) -> None:
    for kind, why in sorted(read.unread.items()):
        print(f"gpuward: {kind} could not be read and is not in the plan: {why}", file=sys.stderr)


def _decisions(path: str) -> Iterator[Any]:
    """The lines of a decision log, None for one that is no JSON."""
    import orjson

    content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    for line in content.splitlines():
        if line.strip():
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError:
                yield None


# --- text -----------------------------------------------------------------------------------------------------


def _as_text(read: _Read, to: Mode, record: Record | None, style: Style) -> Iterator[str]:
    pods = sum(one.pods for one in read.planned)
    yield (
        f"{style.bold(read.name)}: {read.rung} -> {to.value}; {_count(len(read.planned), 'object')}, "
        f"{_count(pods, 'running pod')}"
    )
    warned = [one for one in read.planned if one.warned_for and not one.rejected_for]
    changed = [one for one in read.planned if one.changed_by]
    if read.rejected:
        yield from _rejected(read.rejected, style)
    if warned:
        yield style.yellow(f"admitted with warnings: {len(warned)}")
        for one in warned:
            yield f"  {_called(one)}"
            yield from _findings(one.warned_for)
    if changed:
        yield style.cyan(f"their next pods changed: {len(changed)}")
        for one in changed:
            yield f"  {_called(one)}: {', '.join(f'{policy}/{rule}' for policy, rule in one.changed_by)}"
    untouched = sum(not (one.rejected_for or one.warned_for or one.changed_by) for one in read.planned)
    yield f"nothing to say about: {untouched}"
    if read.rejected:
        owners = Counter(one.owner for one in read.rejected)
        yield "to talk to: " + ", ".join(f"{owner} ({count})" for owner, count in sorted(owners.items()))
    if record is not None:
        yield from _told(record, style)


def _rejected(rejected: Sequence[Planned], style: Style) -> Iterator[str]:
    yield style.red(f"rejected: {len(rejected)}")
    for one in rejected:
        yield f"  {_called(one)}"
        yield from _findings(one.rejected_for)


def _called(one: Planned) -> str:
    running = f", {_count(one.pods, 'pod')}" if one.pods else ""
    return f"{one.kind.kind} {one.name} ({one.owner}{running})"


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"      {finding.severity.value:<8} {finding.field}"
        yield f"              {finding.message} [{finding.policy}/{finding.rule}]"


def _told(record: Record, style: Style) -> Iterator[str]:
    yield f"in the record: {_count(record.requests, 'request')} with findings, {record.rejected} to be rejected"
    for offence, count in sorted(record.offences.items(), key=lambda item: (-item[1], item[0])):
        yield f"  {count:>5} x {offence.kind} by {offence.user}: {style.red(f'{offence.policy}/{offence.rule}')}"
    if record.unreadable:
        yield f"  {_count(record.unreadable, 'line')} of the log could not be read as a decision"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


# --- JSON -----------------------------------------------------------------------------------------------------


def _as_json(read: _Read, to: Mode, record: Record | None) -> dict[str, Any]:
    return {
        "namespace": read.name,
        "mode": read.rung,
        "to": to.value,
        "objects": [
            {
                "apiVersion": one.kind.api_version,
                "kind": one.kind.kind,
                "name": one.name,
                "owner": one.owner,
                "pods": one.pods,
                "rejected": [_finding_json(finding) for finding in one.rejected_for],
                "warned": [_finding_json(finding) for finding in one.warned_for],
                "changedBy": [f"{policy}/{rule}" for policy, rule in one.changed_by],
            }
            for one in read.planned
        ],
        "unread": read.unread,
        "record": None
        if record is None
        else {
            "requests": record.requests,
            "rejected": record.rejected,
            "unreadable": record.unreadable,
            "offences": [{**asdict(offence), "count": count} for offence, count in record.offences.items()],
        },
    }


def _finding_json(finding: Finding) -> dict[str, str]:
    return {
        "policy": finding.policy,
        "rule": finding.rule,
        "severity": finding.severity.value,
        "path": finding.field,
        "reason": finding.reason,
        "message": finding.message,
    }
