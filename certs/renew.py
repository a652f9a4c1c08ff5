"""When certificates are made, trusted, replaced and retired: decisions only.

What there is goes in (the Secret, what the API server trusts, how long that has been so, the time), one step comes
out. Nothing is read or written and there is no clock, so that every order of events can be tried in a test.

The stages of a rotation are the content of the Secret, and nothing else has to be remembered:

1. ``ca.crt`` has a new CA in front of the old one, the leaf is of the old one: **the new CA is trusted first**. Every
   ``caBundle`` gets both, and some time has to pass, so that each API server has seen it.
2. ``ca.crt`` has both, the leaf is of the new one: **replicas take the new leaf**. All of them have to have done so.
3. ``ca.crt`` has the new CA alone: the old one is **retired**.

How long a stage has lasted is what one process has seen of it with a clock that only goes forward, not a time that
somebody wrote down: clocks differ and jump. A process that takes over in the middle waits a little longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from certs.inspect import (
    covers,
    is_ca,
    is_signed_by,
    is_valid_at,
    key_fits,
    label,
    names_of,
    read_certificates,
    why_not_trusted,
    write_certificates,
)
from certs.mint import BACKDATED, CA_LIFETIME, LEAF_LIFETIME, Pair, mint_ca, mint_leaf

# The keys of the Secret. The first two and ca.crt are those that a Secret of type kubernetes.io/tls has.
LEAF_CERTIFICATE: Final = "tls.crt"
LEAF_KEY: Final = "tls.key"
CA_BUNDLE: Final = "ca.crt"
CA_KEY: Final = "ca.key"

# A certificate is replaced when so much of its life is over: the last third is for noticing that it was not.
RENEW_AT: Final = 2 / 3

# Each process waits a little longer, by chance, so that one of them comes first.
_JITTER: Final = 0.05

# The signing CA, the CA of the leaf in service, and some that an accident may have added.
_MOST_CAS: Final = 8


class Step(StrEnum):
    """One thing to do."""

    KEEP = "keep"
    CREATE = "create"
    ADD_CA = "add-ca"
    KEEP_TRUST = "keep-trust"
    TRUST = "trust"
    RENEW_LEAF = "renew-leaf"
    RETIRE_CA = "retire-ca"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why, for people. For KEEP the reason says what is waited for; empty where all is done."""

    step: Step
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What certificates shall be like.

    ``names`` are those of the serving certificate. ``trust_delay`` is how long a new CA has to be in every
    ``caBundle`` before a leaf of it is served, ``overlap`` how long the old CA stays trusted after that. ``jitter``,
    from 0 to 1, is a number of one's own.
    """

    names: tuple[str, ...]
    leaf_lifetime: timedelta = LEAF_LIFETIME
    ca_lifetime: timedelta = CA_LIFETIME
    trust_delay: timedelta = timedelta(seconds=30)
    overlap: timedelta = timedelta(hours=1)
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class Stored:
    """What the Secret holds: trusted CAs, the newest and signing one first; its key; the leaf in service.

    ``leaf`` is None where there is none whose key fits. Keys are never shown by ``repr``.
    """

    bundle: tuple[x509.Certificate, ...] = ()
    ca_key: bytes = field(default=b"", repr=False)
    leaf: Pair | None = None

    @classmethod
    def read(cls, data: Mapping[str, bytes]) -> Stored:
        """From the data of the Secret, whatever it is. What cannot be used is left out."""
        leaf = Pair(data.get(LEAF_CERTIFICATE, b""), data.get(LEAF_KEY, b""))
        chain = read_certificates(leaf.certificate)
        return cls(
            read_certificates(data.get(CA_BUNDLE, b"")),
            data.get(CA_KEY, b""),
            leaf if chain and key_fits(chain[0], leaf.key) else None,
        )

    def data(self) -> dict[str, bytes]:
        """The data of the Secret."""
        leaf = self.leaf or Pair(b"", b"")
        return {
            LEAF_CERTIFICATE: leaf.certificate,
            LEAF_KEY: leaf.key,
            CA_BUNDLE: write_certificates(self.bundle),
            CA_KEY: self.ca_key,
        }

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What a server with the leaf presents; empty without one."""
        return read_certificates(self.leaf.certificate) if self.leaf else ()

    @property
    def ca(self) -> x509.Certificate | None:
        """The CA that signs, where its key is there."""
        first = self.bundle[0] if self.bundle else None
        return first if first is not None and is_ca(first) and key_fits(first, self.ca_key) else None

    @property
    def is_of_signing_ca(self) -> bool:
        """Whether the leaf is signed by the CA that signs now."""
        chain, ca = self.chain, self.ca
        return bool(chain) and ca is not None and is_signed_by(chain[0], ca)


@dataclass(frozen=True, slots=True)
class Trust:
    """What the API server is told in one place: the CAs that it trusts and the name that it calls.

    ``where`` names the place for people. ``name`` is empty where there is none to check.
    """

    where: str
    name: str
    bundle: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything that a decision looks at.

    ``stored`` is None where there is no Secret. ``trusts`` are the places of the webhook configurations. ``serving``
    is the chain that this replica presents now. ``trusted_for`` is how long this process has seen the signing CA in
    all ``trusts``, ``served_for`` how long it has seen a leaf of it in the Secret.
    """

    stored: Stored | None
    trusts: Sequence[Trust]
    serving: tuple[x509.Certificate, ...] = ()
    trusted_for: timedelta = timedelta(0)
    served_for: timedelta = timedelta(0)
    now: datetime


def service_names(
    service: str, namespace: str, cluster_domain: str = "cluster.local", further: Sequence[str] = ()
) -> tuple[str, ...]:
    """The names of a Service: first the one that the API server calls (k8s.io/apiserver/pkg/util/webhook)."""
    called = f"{service}.{namespace}.svc"
    return tuple(dict.fromkeys((called, f"{called}.{cluster_domain}", f"{service}.{namespace}", *further)))


def decide(seen: Seen, wanted: Wanted) -> Decision:
    """The one step that is due. To be called again after it, with what there is then, until it says KEEP."""
    stored, now = seen.stored, seen.now
    if stored is None:
        return Decision(Step.CREATE, "there is no Secret")
    if reason := _why_another_ca(stored, wanted, now):
        return Decision(Step.ADD_CA, reason)
    if (lost := _lost(seen)) is not None:
        return Decision(
            Step.KEEP_TRUST, f"the leaf in service is of {label(lost)}, which the Secret does not have"
        )
    another_leaf = _why_another_leaf(stored, wanted, now)
    # One of the same CA needs no trust that is not there: a configuration that cannot be changed is no hindrance.
    if another_leaf and stored.is_of_signing_ca:
        return Decision(Step.RENEW_LEAF, another_leaf)
    bundle = frozenset(stored.bundle)
    for trust in seen.trusts:
        if frozenset(trust.bundle) != bundle:
            return Decision(Step.TRUST, f"{trust.where}: caBundle is not the one of the Secret")
    if another_leaf:
        if _may_serve_new_ca(seen, stored, wanted):
            return Decision(Step.RENEW_LEAF, another_leaf)
        return Decision(
            Step.KEEP, "the new CA is in every caBundle; waiting until each API server has seen it"
        )
    if len(stored.bundle) > 1:
        if seen.served_for >= wanted.overlap:
            return Decision(Step.RETIRE_CA, "all replicas serve the leaf of the new CA")
        return Decision(
            Step.KEEP, "the new leaf is served; the old CA stays trusted until all replicas serve it"
        )
    return Decision(Step.KEEP)


def trusts_ca(seen: Seen) -> bool:
    """Whether every place trusts the CA that signs now."""
    ca = seen.stored.ca if seen.stored is not None else None
    return ca is not None and all(ca in trust.bundle for trust in seen.trusts)


def _why_another_ca(stored: Stored, wanted: Wanted, now: datetime) -> str:
    ca = stored.ca
    if ca is None:
        return "the Secret has no CA whose key is there"
    if not is_valid_at(ca, now):
        return f"{label(ca)} is not valid now"
    return f"{label(ca)} is near its end" if is_due(ca, now, wanted.jitter) else ""


def _why_another_leaf(stored: Stored, wanted: Wanted, now: datetime) -> str:
    if not stored.chain:
        return "the Secret has no leaf whose key fits"
    leaf = stored.chain[0]
    if not stored.is_of_signing_ca:
        return "the leaf is not of the CA that signs"
    if not is_valid_at(leaf, now):
        return "the leaf is not valid now"
    if missing := [name for name in wanted.names if not covers(leaf, name)]:
        return f"the leaf is not for {', '.join(missing)}"
    return "the leaf is near its end" if is_due(leaf, now, wanted.jitter) else ""


def _may_serve_new_ca(seen: Seen, stored: Stored, wanted: Wanted) -> bool:
    """Whether no API server can be left that would refuse a leaf of the new CA, or nothing better is in service."""
    chain = stored.chain
    if chain and not is_valid_at(chain[0], seen.now):
        return True  # what is in service is refused already
    if not any(is_valid_at(one, seen.now) for one in stored.bundle[1:]):
        return True  # nothing can be in service that would be better
    return seen.trusted_for >= wanted.trust_delay


def _lost(seen: Seen) -> x509.Certificate | None:
    """The CA of the leaf in service, where the API server trusts it and the Secret would make it forget."""
    if seen.stored is None or not seen.serving or not is_valid_at(seen.serving[0], seen.now):
        return None
    known = seen.stored.bundle
    if len(known) >= _MOST_CAS or any(is_signed_by(seen.serving[0], one) for one in known):
        return None
    return next(
        (
            one
            for trust in seen.trusts
            for one in trust.bundle
            if is_ca(one) and is_valid_at(one, seen.now) and is_signed_by(seen.serving[0], one)
        ),
        None,
    )


def is_due(certificate: x509.Certificate, now: datetime, jitter: float = 0.0) -> bool:
    """Whether it is time to replace a certificate that is still good."""
    since, until = certificate.not_valid_before_utc + BACKDATED, certificate.not_valid_after_utc
    return now >= since + (until - since) * (RENEW_AT + jitter * _JITTER)


def renews_at(certificate: x509.Certificate) -> datetime:
    """When it will be replaced, at the earliest."""
    since, until = certificate.not_valid_before_utc + BACKDATED, certificate.not_valid_after_utc
    return since + (until - since) * RENEW_AT


# What the Secret holds after a step


def after(step: Step, seen: Seen, wanted: Wanted) -> Stored:
    """What the Secret shall hold after a step that changes it.

    Raises:
        ValueError: for KEEP and TRUST, which do not, or where the step cannot be done with what there is.
    """
    stored = seen.stored or Stored()
    match step:
        case Step.CREATE | Step.ADD_CA:
            return _with_new_ca(stored, seen, wanted)
        case Step.KEEP_TRUST:
            lost = _lost(seen)
            return replace(stored, bundle=(*stored.bundle, lost)) if lost is not None else stored
        case Step.RENEW_LEAF:
            return with_new_leaf(stored, wanted, seen.now)
        case Step.RETIRE_CA:
            return replace(stored, bundle=stored.bundle[:1])
        case _:
            raise ValueError(f"{step} leaves the Secret as it is")


def with_new_leaf(stored: Stored, wanted: Wanted, now: datetime) -> Stored:
    """The same with a new leaf of the signing CA.

    A leaf that lacks a name is given those that it had, too: while a rollout changes the names, replicas of both
    kinds have their say, and would else take turns for ever.

    Raises:
        ValueError: there is no usable CA.
    """
    ca = stored.ca
    if ca is None:
        raise ValueError("the Secret has no CA whose key is there")
    names, chain = wanted.names, stored.chain
    if chain and not all(covers(chain[0], name) for name in names):
        names = tuple(dict.fromkeys((*names, *names_of(chain[0]))))
    pair = Pair(ca.public_bytes(serialization.Encoding.PEM), stored.ca_key)
    return replace(stored, leaf=mint_leaf(pair, names, now, wanted.leaf_lifetime))


def _with_new_ca(stored: Stored, seen: Seen, wanted: Wanted) -> Stored:
    """A new CA in front of those that are trusted now, by the Secret or by the API server."""
    serial = f"{x509.random_serial_number() & 0xFFFFFFFF:08x}"
    pair = mint_ca(f"gpuward CA {seen.now:%Y-%m-%d} {serial}", seen.now, wanted.ca_lifetime)
    (new,) = read_certificates(pair.certificate)
    trusted = dict.fromkeys((*stored.bundle, *(one for trust in seen.trusts for one in trust.bundle)))
    old = [one for one in trusted if is_ca(one) and is_valid_at(one, seen.now)]
    # First those that matter most, where there are too many: the ones of leaves in service.
    leaves = [chain[0] for chain in (stored.chain, seen.serving) if chain]
    old.sort(key=lambda one: not any(is_signed_by(leaf, one) for leaf in leaves))
    made = Stored((new, *old[: _MOST_CAS - 1]), pair.key, stored.leaf)
    if not old:
        made = with_new_leaf(replace(made, leaf=None), wanted, seen.now)
    return made


# What a replica serves


def may_take(seen: Seen, wanted: Wanted) -> bool:
    """Whether a replica should serve the leaf that the Secret offers instead of the one that it serves.

    Not while the API server trusts the one and refuses the other, or may still refuse it: a Secret that was replaced
    or restored has a leaf of a CA that is yet to be trusted.
    """
    stored, serving, now = seen.stored, seen.serving, seen.now
    offered = stored.chain if stored is not None else ()
    if stored is None or not offered or offered == serving or not is_valid_at(offered[0], now):
        return False
    if not serving or refusals(serving, seen.trusts, now):
        return True
    if refusals(offered, seen.trusts, now):
        return False
    is_of_same_ca = any(
        is_signed_by(serving[0], one) and is_signed_by(offered[0], one) for one in stored.bundle
    )
    return is_of_same_ca or not seen.trusts or seen.trusted_for >= wanted.trust_delay


def serves_what_is_stored(seen: Seen) -> bool:
    """Whether this replica serves the leaf of the Secret, where it has one: only then is it up to date."""
    return seen.stored is not None and (not seen.stored.chain or seen.serving == seen.stored.chain)


def refusals(chain: Sequence[x509.Certificate], trusts: Sequence[Trust], now: datetime) -> list[str]:
    """Why the API server would refuse a server that presents ``chain``: a line for each reason."""
    told: dict[tuple[tuple[x509.Certificate, ...], str], list[str]] = {}
    for trust in trusts:
        told.setdefault((trust.bundle, trust.name), []).append(trust.where)
    places: dict[str, list[str]] = {}
    for (bundle, name), where in told.items():
        if reason := why_not_trusted(chain, bundle, name, now):
            places.setdefault(reason, []).extend(where)
    if not trusts and (reason := why_not_trusted(chain, chain[:1], "", now)):
        places[reason] = []
    return [f"{', '.join(where)}: {reason}" if where else reason for reason, where in places.items()]
