"""``gpuward certs``: what certificates there are and who trusts them; rotate them; put them in place."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from webhook.cli.certificates import DEFAULT_CONFIGURATION, add_wanted_arguments, comma_list, wanted_from
from webhook.cli.cluster import no_cluster
from webhook.cli.output import CLEAN, COULD_NOT_RUN, VIOLATIONS

if TYPE_CHECKING:
    from certs.install import Installer, Looked, Place
    from certs.renew import Decision, Seen, Stored, Trust, Wanted
    from webhook.adapters.cluster import Cluster

_EPILOG: Final = """examples:
  gpuward certs show                         the Secret, and whether the API server trusts what it holds
  gpuward certs show --tls-cert tls.crt      the same for a certificate of your own
  gpuward certs rotate --ca --wait           replace everything, without a failed call
  gpuward certs install --dry-run            what would be written, without private keys
"""

_POLL_SECONDS: Final = 2.0
_TRIES: Final = 10
_CONFLICT: Final = 409
_NAMESPACE: Final = "gpuward-system"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``show``, ``rotate`` and ``install``."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")
    show = actions.add_parser(
        "show", help="print the certificates, and who trusts them; status 1 where something is wrong"
    )
    _add_place_arguments(show)
    show.add_argument(
        "--webhook-configurations", metavar="NAMES", default=DEFAULT_CONFIGURATION,
        help="validating and mutating configurations to compare with (default: %(default)s)",
    )  # fmt: skip
    show.add_argument(
        "--tls-cert", metavar="FILE", help="show this certificate, with its chain, and no Secret"
    )
    show.add_argument("--no-cluster", action="store_true", help="ask no API server; needs --tls-cert")
    show.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="how to print (default: text)"
    )
    rotate = actions.add_parser("rotate", help="replace the serving certificate now, or the CA as well")
    _add_place_arguments(rotate)
    add_wanted_arguments(rotate)
    rotate.add_argument("--ca", action="store_true", help="replace the CA as well, with an overlap")
    install = actions.add_parser("install", help="make what is missing and repair what is wrong, once")
    _add_place_arguments(install)
    add_wanted_arguments(install)
    install.add_argument(
        "--dry-run", action="store_true", help="print what would be written, without private keys"
    )
    for action in (rotate, install):
        action.add_argument(
            "--wait", action="store_true",
            help="do every step until all is done; without it, servers with --cert-secret do the rest",
        )  # fmt: skip


def _add_place_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n", "--namespace", default=os.environ.get("POD_NAMESPACE") or _NAMESPACE, metavar="NAME",
        help=f"of the Secret and the Service (default: $POD_NAMESPACE, then {_NAMESPACE})",
    )  # fmt: skip
    parser.add_argument("--secret", default="gpuward-certs", metavar="NAME", help="(default: gpuward-certs)")
    parser.add_argument(
        "--kubeconfig", metavar="FILE", help="the cluster (default: the pod's own, then $KUBECONFIG)"
    )


def run(args: argparse.Namespace) -> int:
    """Do the action; 2 where it cannot be done."""
    from certs.install import ForeignSecret
    from webhook.adapters.cluster import Cluster, ClusterConfigError, ClusterError

    if args.action == "show" and args.no_cluster and not args.tls_cert:
        return _could_not_run("--no-cluster needs --tls-cert: the Secret is in the cluster")
    do: Callable[[argparse.Namespace, Cluster], Coroutine[Any, Any, int]]
    do = {"show": _show, "rotate": _rotate, "install": _install}[args.action]
    try:
        if args.action == "show" and args.no_cluster:
            return _report(args, *_file(args.tls_cert), ())
        cluster = Cluster(args.kubeconfig)
        return asyncio.run(_with(cluster, partial(do, args)))
    except ClusterConfigError:
        return _could_not_run(no_cluster(args.kubeconfig))
    except (ClusterError, ForeignSecret, ValueError) as error:
        return _could_not_run(str(error))


async def _with(cluster: Cluster, do: Callable[[Cluster], Coroutine[Any, Any, int]]) -> int:
    try:
        return await do(cluster)
    finally:
        await cluster.reset()


def _place(args: argparse.Namespace) -> Place:
    from certs.install import Place

    configurations = comma_list(args.webhook_configurations or DEFAULT_CONFIGURATION)
    return Place(args.namespace, args.secret, configurations)


# show


async def _show(args: argparse.Namespace, cluster: Cluster) -> int:
    from certs.install import (
        ForeignSecret,
        data_of,
        read_configurations,
        read_secret,
        refuse_foreign,
        written_bundles,
    )
    from certs.renew import Stored

    place = _place(args)
    configurations = await read_configurations(cluster, place.configurations)
    if not args.tls_cert:
        secret = await read_secret(cluster, place)
        stored = Stored.read(data_of(secret)) if secret is not None else None
        source = f"Secret {place.namespace}/{place.secret}"
        try:
            refuse_foreign(secret or {})
        except ForeignSecret:
            if stored is not None and stored.chain:
                return _report(
                    args, f"{source}, not kept by gpuward", stored, written_bundles(configurations)
                )
            raise
        trusts = [trust for one in configurations for trust in one.trusts()]
        return _report(args, source, stored, trusts, kept=True)
    return _report(args, *_file(args.tls_cert), written_bundles(configurations))


def _file(name: str) -> tuple[str, Stored]:
    """A certificate file as if it were a Secret without its keys."""
    from certs.inspect import read_certificates
    from certs.mint import Pair
    from certs.renew import Stored

    try:
        certificate = Path(name).read_bytes()
    except OSError as error:
        raise ValueError(f"{name}: {error.strerror}") from error
    if not read_certificates(certificate):
        raise ValueError(f"{name}: no PEM certificate")
    return name, Stored(leaf=Pair(certificate, b""))


def _report(
    args: argparse.Namespace,
    source: str,
    stored: Stored | None,
    trusts: Sequence[Trust],
    *,
    kept: bool = False,
) -> int:
    from webhook.cli.certs_report import Report

    report = Report.make(source, stored, trusts, kept=kept)
    print(report.as_json() if args.output == "json" else report.as_text())
    return VIOLATIONS if report.problems else CLEAN


# rotate, install


async def _rotate(args: argparse.Namespace, cluster: Cluster) -> int:
    from certs.inspect import names_of
    from certs.install import Installer
    from webhook.adapters.cluster import ClusterError

    wanted, place = wanted_from(args, args.namespace), _place(args)
    for _ in range(_TRIES):
        looked = await Installer(cluster, place, wanted).look()
        stored = looked.seen.stored
        if stored is None or stored.ca is None:
            raise ValueError(
                f"Secret {place.namespace}/{place.secret} has nothing to rotate; "
                "gpuward certs install makes what is missing"
            )
        # The names are what the server wants, and it may be told others than this command.
        wanted = replace(wanted, names=names_of(stored.chain[0]) if stored.chain else wanted.names)
        installer = Installer(cluster, place, wanted)
        try:
            await _start(args, installer, looked)
            break
        except ClusterError as error:
            if error.status != _CONFLICT:
                raise
    return await _finish(installer, wait=args.wait)


async def _start(args: argparse.Namespace, installer: Installer, looked: Looked) -> None:
    """Do the first step of the rotation that is asked for, where none is under way."""
    from certs.renew import Decision, Step

    stored = looked.seen.stored
    assert stored is not None
    if len(stored.bundle) > 1 and (args.ca or not stored.is_of_signing_ca):
        print("a rotation of the CA is under way and goes on; no other is begun")
        return
    step = Step.ADD_CA if args.ca else Step.RENEW_LEAF
    await _do(installer, Decision(step, "asked for"), looked)


async def _install(args: argparse.Namespace, cluster: Cluster) -> int:
    from certs.install import Installer

    wanted = wanted_from(args, args.namespace)
    installer = Installer(cluster, _place(args), wanted)
    if args.dry_run:
        return await _dry_run(installer, wanted)
    return await _finish(installer, wait=args.wait)


async def _do(installer: Installer, decision: Decision, looked: Looked) -> None:
    await installer.do(decision, looked)
    print(f"{decision.step}: {decision.reason}", flush=True)


async def _finish(installer: Installer, *, wait: bool) -> int:
    """Do what is due; with ``wait`` until nothing is left to be done."""
    from certs.renew import Step

    waits, decision = "", installer.decision
    while True:
        decision = await _advance(installer)
        if decision.step is Step.KEEP and not decision.reason:
            print("all is as it should be")
            return CLEAN
        if decision.reason != waits:
            print(decision.reason, flush=True)
            if wait and not waits:
                wanted = installer.wanted
                seconds = (wanted.trust_delay + wanted.overlap).total_seconds()
                print(
                    f"waiting, for {seconds:.0f} s at most (--cert-trust-delay and --cert-overlap); where servers "
                    "look after their certificate this may be left to them",
                    flush=True,
                )
            waits = decision.reason
        if not wait:
            print("servers that run with --cert-secret do the rest; where none does, say --wait")
            return CLEAN
        await asyncio.sleep(_POLL_SECONDS)


async def _advance(installer: Installer) -> Decision:
    from certs.renew import Step, decide
    from webhook.adapters.cluster import ClusterError

    while True:
        looked = await installer.look()
        decision = decide(looked.seen, installer.wanted)
        if decision.step is Step.KEEP:
            return decision
        try:
            await _do(installer, decision, looked)
        except ClusterError as error:
            if error.status != _CONFLICT:
                raise
            await asyncio.sleep(0.1)


async def _dry_run(installer: Installer, wanted: Wanted) -> int:
    import yaml

    from certs.install import manifest
    from certs.renew import CA_KEY, LEAF_KEY, Step, after, decide

    looked = await installer.look()
    seen: Seen = looked.seen
    documents: list[Any] = []
    decision = decide(seen, wanted)
    stored = seen.stored
    if decision.step not in (Step.KEEP, Step.TRUST):
        stored = after(decision.step, seen, wanted)
        secret = manifest(installer.place, stored, looked.secret)
        secret["data"] = {
            key: "(not shown)" if key in (CA_KEY, LEAF_KEY) else value
            for key, value in secret["data"].items()
        }
        secret["metadata"].pop("managedFields", None)
        documents.append(secret)
    print(f"# {decision.step}: {decision.reason or 'all is as it should be'}")
    if stored is not None:
        patched = [(one, one.patch(stored.bundle)) for one in looked.configurations]
        documents += [{"kind": one.kind, "name": one.name, "patch": patch} for one, patch in patched if patch]
    if documents:
        print(yaml.safe_dump_all(documents, sort_keys=False), end="")
    return CLEAN


def _could_not_run(message: str) -> int:
    print(f"gpuward certs: {message}", file=sys.stderr)
    return COULD_NOT_RUN
