"""``gpuward serve``: the admission webhook."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from webhook.adapters import policy_files
from webhook.cli.certificates import (
    DEFAULT_CONFIGURATION,
    add_wanted_arguments,
    comma_list,
    wanted_from,
)
from webhook.cli.output import CLEAN, COULD_NOT_RUN, VIOLATIONS
from webhook.cli.policies import add_policies_argument
from webhook.kube.duration import parse_duration
from webhook.kube.system_namespaces import CLUSTER_NAMESPACES
from webhook.policy.findings import Mode
from webhook.server.limits import MAX_CONNECTIONS, MAX_IN_FLIGHT

if TYPE_CHECKING:
    from certs.renew import Wanted
    from webhook.server.certificates import CertificateSettings
    from webhook.server.settings import Settings

# A kubelet looks at readiness every few seconds, and endpoints take about a second to travel.
_DRAIN_SECONDS: Final = 5.0

_DEV_HOST: Final = "127.0.0.1"
_DEV_NAMES: Final = ("localhost", _DEV_HOST, "::1")

# The most of an overlap that may pass without news: a CA is retired after the whole of it.
_STALE_SHARE: Final = 0.5

# An overlap has to be longer than a replica needs to take a new certificate, by so much at least.
_SHORTEST_OVERLAP: Final = 3

_EPILOG: Final = """signals:
  SIGTERM, SIGINT  stop: not ready at once, then serve on for --drain-delay, finish, exit 0
  SIGHUP           read the policies again now

without a cluster:
  gpuward serve --dev                                        try it on localhost
  gpuward serve --no-cluster --default-mode enforce ...      every namespace in one mode
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the server."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_policies_argument(parser)
    parser.add_argument(
        "--policy-poll", type=_seconds, default=1.0, metavar="DURATION",
        help="how often to look whether the policy files have changed (default: 1s)",
    )  # fmt: skip
    parser.add_argument(
        "--policy-resources", action="store_true",
        help="also follow the policies that are custom resources in the cluster (gpuward schema -o crd)",
    )  # fmt: skip
    _add_serving_arguments(parser.add_argument_group("serving"))
    _add_certificate_arguments(parser.add_argument_group("certificates"))
    _add_mode_arguments(parser.add_argument_group("cluster and modes"))
    stopping = parser.add_argument_group("stopping")
    stopping.add_argument(
        "--drain-delay", type=_seconds, metavar="DURATION",
        help="how long to go on serving once not ready, until callers know (default: 5s; with --dev 0)",
    )  # fmt: skip
    stopping.add_argument(
        "--shutdown-timeout", type=_seconds, default=10.0, metavar="DURATION",
        help="how long reviews under way may take after that (default: 10s)",
    )  # fmt: skip
    logs = parser.add_argument_group("logs")
    logs.add_argument("--log-format", choices=("json", "text"), default="json", help="(default: json)")
    logs.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info",
        help="debug also tells of what was allowed (default: info)",
    )  # fmt: skip


def _add_serving_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--dev", action="store_true",
        help="a throw-away CA, on localhost; without --kubeconfig also --no-cluster --default-mode enforce",
    )  # fmt: skip
    group.add_argument("--host", help="address to listen on (default: all; with --dev 127.0.0.1)")
    group.add_argument(
        "--port", type=_port, default=8443, help="of the webhook (default: 8443; 0: any free one)"
    )
    group.add_argument(
        "--admin-port", type=_admin_port, default=8080, metavar="PORT",
        help="of /healthz, /readyz and /metrics, plain HTTP (default: 8080; 0: none; auto: any free one)",
    )  # fmt: skip
    group.add_argument("--workers", type=_count, default=1, metavar="N", help="server processes (default: 1)")
    group.add_argument(
        "--max-in-flight", type=_count, default=MAX_IN_FLIGHT, metavar="N",
        help=f"reviews at once in each worker; more are answered 503 (default: {MAX_IN_FLIGHT})",
    )  # fmt: skip
    group.add_argument(
        "--max-connections", type=_count, default=MAX_CONNECTIONS, metavar="N",
        help=f"connections open at once in each worker; for more, idle ones go (default: {MAX_CONNECTIONS})",
    )  # fmt: skip


def _add_certificate_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--tls-cert", metavar="FILE", help="serving certificate, PEM, with its chain; followed"
    )
    group.add_argument("--tls-key", metavar="FILE", help="its private key, PEM; followed")
    group.add_argument(
        "--cert-secret", metavar="NAME", type=_secret,
        help="make and renew the certificate, in this Secret of $POD_NAMESPACE, or NAMESPACE/NAME",
    )  # fmt: skip
    add_wanted_arguments(group)
    group.add_argument(
        "--cert-poll", type=_positive_seconds, default=5.0, metavar="DURATION",
        help="how often to look at the Secret and the webhook configurations (default: 5s)",
    )  # fmt: skip
    group.add_argument(
        "--client-ca", metavar="FILE",
        help="callers have to show a certificate of one of these CAs, PEM; followed",
    )  # fmt: skip
    group.add_argument(
        "--client-names", metavar="NAMES", default="",
        help="the common names or SANs of callers that are served (default: any of --client-ca)",
    )  # fmt: skip


def _add_mode_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--kubeconfig", metavar="FILE",
        help="the cluster whose namespaces count (default: the pod's own, then $KUBECONFIG)",
    )  # fmt: skip
    group.add_argument(
        "--no-cluster", action="store_true",
        help="ask no API server: every namespace has --default-mode and no labels",
    )  # fmt: skip
    group.add_argument(
        "--default-mode", choices=[mode.value for mode in Mode],
        help="mode of namespaces without the label gpuward.dev/mode (default: none, they are left alone)",
    )  # fmt: skip
    group.add_argument(
        "--exempt-namespaces", metavar="NAMES", default=",".join(CLUSTER_NAMESPACES),
        help="where everything is allowed unseen, besides $POD_NAMESPACE (default: %(default)s)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; 2 where it cannot start."""
    if args.dev and args.kubeconfig is None:
        args.no_cluster = True
        args.default_mode = args.default_mode or Mode.ENFORCE.value
    if (wrong := _contradiction(args)) is not None:
        return _could_not_run(wrong)
    with ExitStack() as cleanup:
        ca = _make_dev_certificate(args, cleanup) if args.dev else None
        try:
            certificates = _certificate_settings(args, cleanup)
        except ValueError as error:
            return _could_not_run(str(error))
        return _serve(args, cleanup, ca, certificates)


def _contradiction(args: argparse.Namespace) -> str | None:
    """What is wrong with the flags as a whole."""
    files = bool(args.tls_cert), bool(args.tls_key)
    if args.dev and (any(files) or args.cert_secret):
        return "--dev makes its own certificate; leave out --tls-cert, --tls-key and --cert-secret"
    if any(files) and args.cert_secret:
        return "--cert-secret makes the certificate; leave it out, or --tls-cert and --tls-key"
    if not args.dev and not args.cert_secret and not all(files):
        return (
            "a serving certificate is needed: --cert-secret to have one made and renewed, "
            "--tls-cert and --tls-key, or --dev to try it on localhost"
        )
    if args.client_names and not args.client_ca:
        return "--client-names needs --client-ca: without it callers show no certificate"
    return _contradiction_of_cluster(args)


def _contradiction_of_cluster(args: argparse.Namespace) -> str | None:
    needs_cluster = next(
        (
            flag
            for flag, value in (
                ("--cert-secret", args.cert_secret),
                ("--webhook-configurations", args.webhook_configurations),
                ("--policy-resources", args.policy_resources),
            )
            if value
        ),
        None,
    )
    if args.no_cluster and needs_cluster:
        return f"--no-cluster and {needs_cluster} contradict each other"
    if args.cert_secret and not args.cert_secret[0]:
        return "--cert-secret names no namespace and $POD_NAMESPACE is not set: write it NAMESPACE/NAME"
    if args.no_cluster and args.kubeconfig:
        return "--no-cluster and --kubeconfig contradict each other"
    if args.no_cluster and not args.default_mode:
        return (
            "--no-cluster needs --default-mode audit, warn or enforce: "
            "without a cluster no namespace has a label that says its mode"
        )
    return None


def _serve(
    args: argparse.Namespace, cleanup: ExitStack, ca: Path | None, certificates: CertificateSettings | None
) -> int:
    from webhook.adapters.cluster import Cluster, ClusterConfigError
    from webhook.server.run import Prepared, bind, serve, serve_with_workers
    from webhook.server.tls import CertificateError, ServingCertificate

    settings = _settings(args, certificates)
    try:
        if settings.cluster:
            Cluster(settings.kubeconfig)
        certificate = ServingCertificate(settings.certificate, settings.key, settings.client_ca)
    except (CertificateError, ClusterConfigError) as error:
        return _could_not_run(str(error))
    loaded = policy_files.load(settings.policies, more=settings.policy_resources)
    if loaded.ruleset is None:
        for problem in loaded.problems:
            print(problem, file=sys.stderr)
        return _could_not_run(f"{settings.policies}: the policies cannot be used")
    host = args.host or ""
    listening = bind(host, args.port, copies=args.workers if args.workers > 1 else 0)
    admin = None if args.admin_port is None else bind(host, args.admin_port)[0]
    for one in (*listening, admin):
        if one is not None:
            cleanup.enter_context(one)
    server = Prepared(
        settings, loaded.ruleset, loaded.digest, certificate, listening, admin, partial(_announce, ca)
    )
    if args.workers > 1:
        return CLEAN if serve_with_workers(server) else VIOLATIONS
    serve(server)
    return CLEAN


def _settings(args: argparse.Namespace, certificates: CertificateSettings | None) -> Settings:
    from webhook.server.settings import Settings

    exempt = {name.strip() for name in args.exempt_namespaces.split(",")}
    exempt.add(os.environ.get("POD_NAMESPACE", ""))
    return Settings(
        policies=policy_files.default_policies_path(args.policies),
        certificate=Path(args.tls_cert),
        key=Path(args.tls_key),
        client_ca=Path(args.client_ca) if args.client_ca else None,
        client_names=frozenset(comma_list(args.client_names)),
        certificates=certificates,
        cluster=not args.no_cluster,
        kubeconfig=args.kubeconfig,
        default_mode=Mode(args.default_mode) if args.default_mode else None,
        exempt_namespaces=tuple(sorted(exempt - {""})),
        max_in_flight=args.max_in_flight,
        max_connections=args.max_connections,
        policy_poll=args.policy_poll,
        policy_resources=args.policy_resources,
        drain_delay=_DRAIN_SECONDS if args.drain_delay is None else args.drain_delay,
        shutdown_timeout=args.shutdown_timeout,
        log_format=args.log_format,
        log_level=args.log_level,
    )


def _make_dev_certificate(args: argparse.Namespace, cleanup: ExitStack) -> Path:
    """Files of a serving certificate for localhost until the server ends; returns that of its CA."""
    from certs.mint import mint_ca, mint_leaf

    folder = Path(tempfile.mkdtemp(prefix="gpuward-dev-"))
    cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
    now = datetime.now(UTC)
    ca = mint_ca("gpuward throw-away CA", now)
    leaf = mint_leaf(ca, _DEV_NAMES, now)
    files = {"ca.crt": ca.certificate, "tls.crt": leaf.certificate, "tls.key": leaf.key}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    args.tls_cert, args.tls_key = str(folder / "tls.crt"), str(folder / "tls.key")
    args.host = args.host or _DEV_HOST
    args.drain_delay = args.drain_delay or 0.0
    return folder / "ca.crt"


def _certificate_settings(args: argparse.Namespace, cleanup: ExitStack) -> CertificateSettings | None:
    """What to do about certificates beyond following files, in a folder that lasts until the server ends.

    Raises:
        ValueError: the flags do not make sense together.
    """
    configurations = comma_list(args.webhook_configurations or "")
    if not args.cert_secret and not configurations:
        return None
    from certs.install import Place
    from webhook.server.certificates import CertificateSettings

    # The names of the Service are with the Secret; a mounted certificate has what names it has.
    namespace, secret = args.cert_secret or ("", "")
    wanted = wanted_from(args, namespace) if secret else None
    overlap = parse_duration(args.cert_overlap)
    if overlap < _SHORTEST_OVERLAP * (args.cert_poll + parse_duration(args.cert_trust_delay)):
        raise ValueError(
            f"--cert-overlap must be at least {_SHORTEST_OVERLAP} times --cert-poll and --cert-trust-delay "
            "together: until then a replica may not have taken the new certificate"
        )
    folder = Path(tempfile.mkdtemp(prefix="gpuward-certificates-"))
    cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
    if wanted is not None:
        _make_stand_in(args, folder, wanted)
    return CertificateSettings(
        folder=folder,
        place=Place(namespace, secret, configurations or (DEFAULT_CONFIGURATION,)),
        wanted=wanted,
        poll=args.cert_poll,
        stale=overlap * _STALE_SHARE,
    )


def _make_stand_in(args: argparse.Namespace, folder: Path, wanted: Wanted) -> None:
    """A certificate that nobody trusts, so that the server runs, not ready, until it has one from the Secret."""
    from certs.mint import mint_ca, mint_leaf
    from webhook.server.certificates import PairFolder

    now = datetime.now(UTC)
    pair = PairFolder(folder)
    pair.put(mint_leaf(mint_ca("gpuward stand-in CA", now), wanted.names, now))
    args.tls_cert, args.tls_key = str(pair.certificate), str(pair.key)


def _announce(ca: Path | None, webhook: str, health: str | None, policies: int) -> None:
    # Whoever started the server waits for this line, perhaps through a pipe.
    and_health = f", health and metrics on {health}" if health else ""
    print(f"gpuward: serving admission on {webhook}{and_health}, {policies} policies", flush=True)
    if ca is not None:
        print(f"gpuward: throw-away CA, until the server stops: {ca}")
        curl = f"curl --cacert {ca} -H 'Content-Type: application/json' --data @review.json"
        print(f"gpuward: try: {curl} {webhook}/validate", flush=True)


def _could_not_run(message: str) -> int:
    print(f"gpuward serve: {message}", file=sys.stderr)
    return COULD_NOT_RUN


def _seconds(text: str) -> float:
    try:
        seconds = parse_duration(text if not text.replace(".", "", 1).isdigit() else f"{text}s")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if seconds < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return seconds


def _positive_seconds(text: str) -> float:
    seconds = _seconds(text)
    if not seconds:
        raise argparse.ArgumentTypeError("must be more than zero")
    return seconds


def _secret(text: str) -> tuple[str, str]:
    namespace, slash, name = text.rpartition("/")
    if not name or (slash and not namespace) or "/" in namespace:
        raise argparse.ArgumentTypeError(f"{text!r} is neither NAME nor NAMESPACE/NAME")
    return namespace or os.environ.get("POD_NAMESPACE", ""), name


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port, 0 to 65535")
    return int(text)


def _admin_port(text: str) -> int | None:
    if text == "auto":
        return 0
    return _port(text) or None


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)
