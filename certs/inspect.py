"""Looking at certificates: what is in a PEM, whom it names, who signed it, and whether a client would trust it.

Nothing is read from anywhere and there is no clock: PEM and the time go in.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

_BLOCK: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

# A chain longer than this is a mistake or an attack; public ones have three or four certificates.
_LONGEST_CHAIN: Final = 8

# A bundle is read again at every look; one of a whole system's roots (about 150) must fit.
_MOST_CERTIFICATES: Final = 500


# The same few certificates are looked at every few seconds, for months.
_REMEMBERED: Final = 256


@lru_cache(maxsize=_REMEMBERED)
def read_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates in a PEM, each once, in their order. What is no certificate is passed over."""
    found: dict[bytes, x509.Certificate] = {}
    for block in _BLOCK.findall(pem)[:_MOST_CERTIFICATES]:
        try:
            certificate = x509.load_pem_x509_certificate(block)
            # Parsed on demand only; what cannot be read later must not pass here.
            _ = certificate.extensions, certificate.subject, certificate.issuer
        except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
            continue
        found.setdefault(certificate.fingerprint(hashes.SHA256()), certificate)
    return tuple(found.values())


def write_certificates(certificates: Iterable[x509.Certificate]) -> bytes:
    """The certificates as one PEM."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def fingerprint(certificate: x509.Certificate) -> str:
    """The SHA-256 of the certificate, in hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def label(certificate: x509.Certificate) -> str:
    """A certificate for people: its common name, or all of its subject, and the start of its fingerprint."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else certificate.subject.rfc4514_string() or "(no subject)"
    return f"{name} [{fingerprint(certificate)[:8]}]"


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names and IP addresses that it is for (its SANs)."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    dns = alternatives.get_values_for_type(x509.DNSName)
    addresses = alternatives.get_values_for_type(x509.IPAddress)
    return (*dns, *(str(address) for address in addresses))


def covers(certificate: x509.Certificate, name: str) -> bool:
    """Whether it is for a DNS name or an IP address; ``*.`` stands for one label. Source: RFC 6125, 6.4.3."""
    names = {one.casefold().rstrip(".") for one in names_of(certificate)}
    try:
        return str(ipaddress.ip_address(name)) in names
    except ValueError:
        wanted = name.casefold().rstrip(".")
        _, dot, parent = wanted.partition(".")
        return wanted in names or bool(dot and f"*.{parent}" in names)


def is_valid_at(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether ``now`` is within its time."""
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether it may sign others."""
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


@lru_cache(maxsize=_REMEMBERED)
def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether ``authority`` signed it."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def key_fits(certificate: x509.Certificate, key: bytes) -> bool:
    """Whether ``key`` (PEM, not encrypted) is the private key of the certificate."""
    try:
        public = serialization.load_pem_private_key(key, password=None).public_key()
        return bool(public == certificate.public_key())
    except (ValueError, TypeError, UnicodeError):
        return False
    except Exception:  # noqa: BLE001  # the library has errors of its own for keys of unknown kinds
        return False


def why_not_trusted(
    chain: Sequence[x509.Certificate], bundle: Sequence[x509.Certificate], name: str, now: datetime
) -> str:
    """Why a client that trusts ``bundle`` and calls ``name`` would refuse a server; empty where it would not.

    ``chain`` is what the server presents: its own certificate, then those between it and a CA. As Go verifies
    (crypto/x509, ``Certificate.Verify``), as far as the reasons matter that certificates go wrong for.
    """
    if not chain:
        return "there is no serving certificate"
    leaf = chain[0]
    if now >= leaf.not_valid_after_utc:
        return f"the serving certificate expired at {_at(leaf.not_valid_after_utc)}"
    if now < leaf.not_valid_before_utc:
        return f"the serving certificate is not valid before {_at(leaf.not_valid_before_utc)}"
    if name and not covers(leaf, name):
        return (
            f"the serving certificate is not for {name}; it is for {', '.join(names_of(leaf)) or 'no name'}"
        )
    if not bundle:
        return "the bundle has no certificate"
    if _leads_to(leaf, chain[1:], bundle, now, _LONGEST_CHAIN):
        return ""
    signed = [one for one in bundle if is_signed_by(leaf, one)]
    if signed:
        return f"the CA that signed the serving certificate, {label(signed[0])}, is not valid now"
    trusted = ", ".join(label(one) for one in bundle[:3])
    return (
        f"none of the CAs in the bundle ({trusted}) signed the serving certificate, "
        f"whose issuer is {leaf.issuer.rfc4514_string()}"
    )


def _leads_to(
    certificate: x509.Certificate,
    between: Sequence[x509.Certificate],
    bundle: Sequence[x509.Certificate],
    now: datetime,
    length: int,
) -> bool:
    if certificate in bundle:
        return True
    if any(is_signed_by(certificate, one) and is_valid_at(one, now) for one in bundle):
        return True
    return length > 0 and any(
        one != certificate
        and is_ca(one)
        and is_valid_at(one, now)
        and is_signed_by(certificate, one)
        and _leads_to(one, [other for other in between if other != one], bundle, now, length - 1)
        for one in between[:_LONGEST_CHAIN]
    )


def _at(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"
