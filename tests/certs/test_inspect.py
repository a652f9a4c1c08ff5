"""Certificates are judged as TLS clients judge them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from certs.inspect import (
    covers,
    fingerprint,
    is_ca,
    key_fits,
    label,
    names_of,
    read_certificates,
    why_not_trusted,
    write_certificates,
)
from certs.mint import CA_LIFETIME, Pair, mint_ca, mint_leaf

NOW = datetime.now(UTC).replace(microsecond=0)
CA, OTHER = mint_ca("one", NOW), mint_ca("two", NOW)
LEAF = mint_leaf(CA, ["gpuward.ns.svc", "*.example.com", "127.0.0.1", "::1"], NOW)


def one(pair: Pair) -> x509.Certificate:
    (certificate,) = read_certificates(pair.certificate)
    return certificate


def intermediate() -> Pair:
    """A CA below CA, as companies have them; ``mint_ca`` makes none."""
    key, authority = ec.generate_private_key(ec.SECP256R1()), one(CA)
    authority_key = serialization.load_pem_private_key(CA.key, None)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "between")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(authority_key, hashes.SHA256())  # type: ignore[arg-type]  # a key that can sign
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), pem)


BETWEEN = intermediate()
BELOW = mint_leaf(BETWEEN, ["gpuward.ns.svc"], NOW, timedelta(days=7))
SHORT = mint_leaf(CA, ["gpuward.ns.svc"], NOW, timedelta(days=1))

TRUST = {
    "its CA": ([LEAF], [CA], "gpuward.ns.svc", NOW, ""),
    "its CA among others": ([LEAF], [OTHER, CA], "gpuward.ns.svc", NOW, ""),
    "no name is asked for": ([LEAF], [CA], "", NOW, ""),
    "by address": ([LEAF], [CA], "127.0.0.1", NOW, ""),
    "the certificate itself": ([LEAF], [LEAF], "gpuward.ns.svc", NOW, ""),
    "with what is between": ([BELOW, BETWEEN], [CA], "gpuward.ns.svc", NOW, ""),
    "what is between is in the bundle": ([BELOW], [BETWEEN], "gpuward.ns.svc", NOW, ""),
    "without what is between": ([BELOW], [CA], "gpuward.ns.svc", NOW, "none of the CAs"),
    "another CA": ([LEAF], [OTHER], "gpuward.ns.svc", NOW, "none of the CAs in the bundle (two ["),
    "a leaf signs nothing": ([BELOW, LEAF], [CA], "gpuward.ns.svc", NOW, "none of the CAs"),
    "empty bundle": ([LEAF], [], "gpuward.ns.svc", NOW, "the bundle has no certificate"),
    "no certificate": ([], [CA], "gpuward.ns.svc", NOW, "there is no serving certificate"),
    "another name": ([LEAF], [CA], "other.ns.svc", NOW, "is not for other.ns.svc; it is for gpuward.ns.svc"),
    "expired": ([SHORT], [CA], "gpuward.ns.svc", NOW + timedelta(days=2), "expired at"),
    "not yet": ([LEAF], [CA], "gpuward.ns.svc", NOW - timedelta(hours=2), "is not valid before"),
}  # fmt: skip


@pytest.mark.parametrize(("chain", "bundle", "name", "now", "words"), TRUST.values(), ids=TRUST)
def test_a_chain_is_trusted_or_it_is_said_why_not(
    chain: list[Pair], bundle: list[Pair], name: str, now: datetime, words: str
) -> None:
    reason = why_not_trusted([one(pair) for pair in chain], [one(pair) for pair in bundle], name, now)
    assert words in reason
    assert bool(words) == bool(reason)


def test_a_ca_that_is_not_valid_is_named() -> None:
    """As where the clocks of CA and server differ: the leaf is valid, its CA is not yet."""
    ca = mint_ca("early", NOW + timedelta(hours=2))
    leaf = mint_leaf(ca, ["x"], NOW + timedelta(hours=2))
    early = replace_validity(leaf, ca, NOW - timedelta(hours=1))
    assert why_not_trusted([early], [one(ca)], "x", NOW) == (
        f"the CA that signed the serving certificate, {label(one(ca))}, is not valid now"
    )


def replace_validity(leaf: Pair, ca: Pair, since: datetime) -> x509.Certificate:
    template, key = one(leaf), serialization.load_pem_private_key(ca.key, None)
    builder = x509.CertificateBuilder(
        issuer_name=template.issuer,
        subject_name=template.subject,
        public_key=template.public_key(),  # type: ignore[arg-type]  # of a kind that a certificate can have
        serial_number=template.serial_number,
        not_valid_before=since,
        not_valid_after=template.not_valid_after_utc,
    )
    names = template.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return builder.add_extension(names, critical=False).sign(key, hashes.SHA256())  # type: ignore[arg-type]  # as above


NAMES = {
    "exact": ("gpuward.ns.svc", True),
    "upper case": ("GPUWARD.ns.SVC", True),
    "final dot": ("gpuward.ns.svc.", True),
    "wildcard": ("a.example.com", True),
    "a wildcard is one label": ("a.b.example.com", False),
    "a wildcard is a label": ("example.com", False),
    "address": ("127.0.0.1", True),
    "address of IPv6, written otherwise": ("0:0:0:0:0:0:0:1", True),
    "another address": ("127.0.0.2", False),
    "part of a name": ("ns.svc", False),
    "empty": ("", False),
}


@pytest.mark.parametrize(("name", "expected"), NAMES.values(), ids=NAMES)
def test_names_are_compared_as_clients_do(name: str, expected: bool) -> None:
    assert covers(one(LEAF), name) is expected


def test_a_bundle_is_read_as_far_as_it_can_be() -> None:
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    pem = b"# a comment\n" + CA.certificate + broken + CA.key + OTHER.certificate + CA.certificate
    assert read_certificates(pem) == (one(CA), one(OTHER))
    assert write_certificates((one(CA), one(OTHER))) == CA.certificate + OTHER.certificate


@given(st.binary(max_size=300))
def test_nothing_raises_on_any_bytes(content: bytes) -> None:
    assert read_certificates(content) == ()
    assert not key_fits(one(CA), content)
    wrapped = b"-----BEGIN CERTIFICATE-----\n" + content + b"\n-----END CERTIFICATE-----"
    assert read_certificates(wrapped) == ()
    assert not key_fits(one(CA), b"-----BEGIN PRIVATE KEY-----\n" + content + b"\n-----END PRIVATE KEY-----")


def test_keys_and_kinds_are_told_apart() -> None:
    assert key_fits(one(CA), CA.key)
    assert not key_fits(one(CA), OTHER.key)
    assert is_ca(one(CA))
    assert not is_ca(one(LEAF))
    assert names_of(one(CA)) == ()
    assert label(one(CA)) == f"one [{fingerprint(one(CA))[:8]}]"
    assert one(CA).not_valid_after_utc == NOW + CA_LIFETIME
