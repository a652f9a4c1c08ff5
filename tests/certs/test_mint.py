"""Certificates as strict verifiers see them: OpenSSL makes real connections with them."""

from __future__ import annotations

import contextlib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from certs.mint import CA_LIFETIME, LEAF_LIFETIME, Pair, mint_ca, mint_leaf

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def ca() -> Pair:
    return mint_ca("gpuward test CA", NOW)


def _handshake(leaf: Pair, trusted: Pair, name: str, folder: Path) -> None:
    """One TLS handshake in memory; raises what the client raises."""
    (folder / "tls.crt").write_bytes(leaf.certificate)
    (folder / "tls.key").write_bytes(leaf.key)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    client_context = ssl.create_default_context(cadata=trusted.certificate.decode())
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    client.write(b"done")
    assert server.read() == b"done"


@pytest.mark.parametrize("name", ["gpuward.gpuward.svc", "localhost", "127.0.0.1", "::1"])
def test_a_client_that_trusts_the_ca_accepts_the_leaf_under_each_of_its_names(
    ca: Pair, name: str, tmp_path: Path
) -> None:
    leaf = mint_leaf(ca, ["gpuward.gpuward.svc", "localhost", "127.0.0.1", "::1"], NOW)
    _handshake(leaf, ca, name, tmp_path)


def test_a_client_refuses_a_name_the_leaf_does_not_have(ca: Pair, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        _handshake(mint_leaf(ca, ["localhost"], NOW), ca, "other.example", tmp_path)


def test_a_client_refuses_the_leaf_of_another_ca(ca: Pair, tmp_path: Path) -> None:
    leaf = mint_leaf(mint_ca("gpuward test CA", NOW), ["localhost"], NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(leaf, ca, "localhost", tmp_path)


def test_a_client_refuses_an_expired_leaf(tmp_path: Path) -> None:
    old = mint_ca("old", NOW - timedelta(days=2), timedelta(days=30))
    leaf = mint_leaf(old, ["localhost"], NOW - timedelta(days=2), timedelta(days=1))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        _handshake(leaf, old, "localhost", tmp_path)


def test_a_clock_that_is_minutes_behind_accepts_a_new_leaf(ca: Pair) -> None:
    leaf = x509.load_pem_x509_certificate(mint_leaf(ca, ["localhost"], NOW).certificate)
    assert leaf.not_valid_before_utc <= NOW - timedelta(minutes=5)


def test_lifetimes_are_those_asked_for(ca: Pair) -> None:
    authority = x509.load_pem_x509_certificate(ca.certificate)
    leaf = x509.load_pem_x509_certificate(mint_leaf(ca, ["localhost"], NOW).certificate)
    assert authority.not_valid_after_utc == NOW + CA_LIFETIME
    assert leaf.not_valid_after_utc == NOW + LEAF_LIFETIME


def test_a_leaf_does_not_outlive_its_ca() -> None:
    short = mint_ca("short", NOW, timedelta(days=1))
    leaf = x509.load_pem_x509_certificate(mint_leaf(short, ["localhost"], NOW, timedelta(days=9)).certificate)
    assert leaf.not_valid_after_utc == NOW + timedelta(days=1)


def test_two_leaves_never_share_key_or_serial_number(ca: Pair) -> None:
    one, two = mint_leaf(ca, ["localhost"], NOW), mint_leaf(ca, ["localhost"], NOW)
    assert one.key != two.key
    serials = {x509.load_pem_x509_certificate(leaf.certificate).serial_number for leaf in (one, two)}
    assert len(serials) == 2


def test_a_service_name_longer_than_a_common_name_can_be_is_a_san(ca: Pair, tmp_path: Path) -> None:
    name = f"{'g' * 50}.{'n' * 60}.svc"
    _handshake(mint_leaf(ca, [name], NOW), ca, name, tmp_path)


def test_a_leaf_needs_a_name(ca: Pair) -> None:
    with pytest.raises(ValueError, match="at least one DNS name"):
        mint_leaf(ca, [], NOW)


@pytest.mark.parametrize("off", [timedelta(days=-1), CA_LIFETIME], ids=["not-yet-valid", "expired"])
def test_a_ca_signs_only_while_it_is_valid(ca: Pair, off: timedelta) -> None:
    with pytest.raises(ValueError, match="the CA is valid from"):
        mint_leaf(ca, ["localhost"], NOW + off)


def test_the_key_is_not_shown(ca: Pair) -> None:
    assert "PRIVATE" not in repr(ca)
