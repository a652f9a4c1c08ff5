"""Minting: a small certificate authority and the certificates that servers present.

Nothing is read or written here and there is no clock: names and the time go in, PEM comes out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFETIME: Final = timedelta(days=365)
LEAF_LIFETIME: Final = timedelta(days=90)

# A caller whose clock is behind ours must not find the certificate "not yet valid".
BACKDATED: Final = timedelta(hours=1)

# The common name is a label for people (clients look at the SANs only); its longest, RFC 5280 appendix A.1.
_COMMON_NAME_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM. The key is never shown by ``repr``."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Pair(certificate=..., key=...)"


def mint_ca(name: str, now: datetime, lifetime: timedelta = CA_LIFETIME) -> Pair:
    """A new certificate authority that can sign leaves and nothing below them.

    ``name`` is its common name, ``now`` the time (aware). ECDSA P-256, valid from a little before ``now``.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        _builder(subject, subject, key.public_key(), now, now + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        # Self-signed, so it names itself; strict verifiers (Python 3.13 and later) want it all the same.
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def mint_leaf(ca: Pair, names: Sequence[str], now: datetime, lifetime: timedelta = LEAF_LIFETIME) -> Pair:
    """A new serving certificate signed by ``ca``.

    ``names`` are the DNS names and IP addresses that clients call the server by; the first is its common name
    too. The leaf never outlives its CA. ECDSA P-256.

    Raises:
        ValueError: there is no name, the CA is not valid at ``now``, or its key is neither ECDSA nor RSA.
    """
    if not names:
        raise ValueError("a serving certificate needs at least one DNS name or IP address")
    authority = x509.load_pem_x509_certificate(ca.certificate)
    authority_key = serialization.load_pem_private_key(ca.key, password=None)
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError("the CA's key must be an ECDSA or an RSA key")  # noqa: TRY004  # the PEM's content is wrong
    if not authority.not_valid_before_utc <= now < authority.not_valid_after_utc:
        since, until = authority.not_valid_before_utc, authority.not_valid_after_utc
        raise ValueError(f"the CA is valid from {since} to {until}, not at {now}")
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(now + lifetime, authority.not_valid_after_utc)
    certificate = (
        _builder(_name(names[0]), authority.subject, key.public_key(), now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authority_key_identifier(authority), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return _pair(certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(until)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:_COMMON_NAME_LENGTH])])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key_identifier(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        extension = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())  # type: ignore[arg-type]  # any key that can issue
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(extension.value)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
