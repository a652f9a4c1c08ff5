"""The flags about certificates that the server and ``gpuward certs`` share."""

from __future__ import annotations

import argparse
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from webhook.kube.duration import parse_duration

if TYPE_CHECKING:
    from certs.renew import Wanted

DEFAULT_CONFIGURATION: Final = "gpuward"


def add_wanted_arguments(group: argparse._ActionsContainer) -> None:
    """What the certificates shall be like; ``wanted_from`` reads it."""
    group.add_argument(
        "--webhook-configurations", metavar="NAMES",
        help="validating and mutating configurations whose caBundle has to trust the certificate; with a Secret "
        f"it is written there (default: {DEFAULT_CONFIGURATION}, where there is a Secret)",
    )  # fmt: skip
    group.add_argument(
        "--cert-service", default="gpuward", metavar="NAME",
        help="the Service, in the namespace of the Secret, that the certificate is for (default: gpuward)",
    )  # fmt: skip
    group.add_argument(
        "--cert-names", default="", metavar="NAMES",
        help="further DNS names and IP addresses that it is for",
    )  # fmt: skip
    group.add_argument(
        "--cluster-domain", default="cluster.local", metavar="DOMAIN",
        help="the domain of the cluster's Services (default: cluster.local)",
    )  # fmt: skip
    group.add_argument(
        "--cert-lifetime", type=_duration, default="2160h", metavar="DURATION",
        help="of the certificate; it is renewed when two thirds of it are over (default: 2160h, 90 days)",
    )  # fmt: skip
    group.add_argument(
        "--ca-lifetime", type=_duration, default="8760h", metavar="DURATION",
        help="of the CA; likewise (default: 8760h, 365 days)",
    )  # fmt: skip
    group.add_argument(
        "--cert-trust-delay", type=_duration, default="30s", metavar="DURATION",
        help="how long a new CA is in every caBundle before a certificate of it is served (default: 30s)",
    )  # fmt: skip
    group.add_argument(
        "--cert-overlap", type=_duration, default="1h", metavar="DURATION",
        help="how long the old CA stays trusted after that; a replica that hears nothing for half of it is not "
        "ready (default: 1h)",
    )  # fmt: skip


def wanted_from(args: argparse.Namespace, namespace: str) -> Wanted:
    """What the flags want.

    Raises:
        ValueError: a name is none that a certificate can have.
    """
    from certs.renew import Wanted, service_names

    names = service_names(args.cert_service, namespace, args.cluster_domain, comma_list(args.cert_names))
    for name in names:
        if not name.isascii() or not name or any(character.isspace() for character in name):
            raise ValueError(f"{name!r} is no name that a certificate can be for")
    return Wanted(
        names=names,
        leaf_lifetime=_delta(args.cert_lifetime),
        ca_lifetime=_delta(args.ca_lifetime),
        trust_delay=_delta(args.cert_trust_delay),
        overlap=_delta(args.cert_overlap),
        jitter=random.random(),  # noqa: S311  # spreads replicas, guards nothing
    )


def comma_list(text: str) -> tuple[str, ...]:
    """The names in a list with commas, each once."""
    return tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))


def _delta(text: str) -> timedelta:
    return timedelta(seconds=parse_duration(text))


def _duration(text: str) -> str:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if seconds <= 0:
        raise argparse.ArgumentTypeError("must be more than zero")
    return text
