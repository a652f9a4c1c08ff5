"""The serving certificate follows its files; what cannot be used changes nothing."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from certs.mint import Pair, mint_ca, mint_leaf
from webhook.server.tls import CertificateError, ServingCertificate

NOW = datetime.now(UTC)
CA = mint_ca("one", NOW)
OTHER_CA = mint_ca("two", NOW)


class Files:
    """A mounted Secret."""

    def __init__(self, folder: Path) -> None:
        self.certificate = folder / "tls.crt"
        self.key = folder / "tls.key"

    def write(self, pair: Pair) -> None:
        self.certificate.write_bytes(pair.certificate)
        self.key.write_bytes(pair.key)

    def load(self) -> ServingCertificate:
        return ServingCertificate(self.certificate, self.key)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(tmp_path)
    files.write(mint_leaf(CA, ["localhost"], NOW))
    return files


@asynccontextmanager
async def echoing(certificate: ServingCertificate) -> AsyncIterator[int]:
    """A TLS server that sends back each line; yields its port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=certificate.context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class Client:
    """One TLS connection to it."""

    @classmethod
    async def connect(cls, port: int, ca: Pair, **options: object) -> Client:
        client = cls()
        trust = ssl.create_default_context(cadata=ca.certificate.decode())
        for name, value in options.items():
            setattr(trust, name, value)
        client.reader, client.writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trust, server_hostname="localhost"
        )
        der = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        client.serial = x509.load_der_x509_certificate(der).serial_number
        return client

    async def echo(self) -> None:
        self.writer.write(b"hello\n")
        async with asyncio.timeout(10):
            assert await self.reader.readline() == b"hello\n"

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def test_new_handshakes_get_the_new_pair_and_open_connections_go_on(files: Files) -> None:
    certificate = files.load()
    async with echoing(certificate) as port:
        old = await Client.connect(port, CA)
        await old.echo()
        files.write(mint_leaf(OTHER_CA, ["localhost"], NOW))
        certificate.look()
        new = await Client.connect(port, OTHER_CA)
        await new.echo()
        await old.echo()
        assert new.serial != old.serial
        with pytest.raises(ssl.SSLCertVerificationError):
            await Client.connect(port, CA)
        await old.close()
        await new.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_pair_of_another_key_type_replaces_the_old_one_whole(
    files: Files, version: ssl.TLSVersion
) -> None:
    certificate = files.load()
    async with echoing(certificate) as port:
        files.write(rsa_leaf())
        certificate.look()
        assert certificate.problem == ""
        client = await Client.connect(port, CA, minimum_version=version, maximum_version=version)
        der = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert isinstance(x509.load_der_x509_certificate(der).public_key(), rsa.RSAPublicKey)
        await client.close()


def rsa_leaf() -> Pair:
    """As ``mint_leaf`` makes it, with an RSA key, as some tools do."""
    template = x509.load_pem_x509_certificate(mint_leaf(CA, ["localhost"], NOW).certificate)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    authority_key = serialization.load_pem_private_key(CA.key, None)
    builder = x509.CertificateBuilder(
        issuer_name=template.issuer,
        subject_name=template.subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=template.not_valid_before_utc,
        not_valid_after=template.not_valid_after_utc,
    )
    for kind in (x509.SubjectAlternativeName, x509.AuthorityKeyIdentifier):
        builder = builder.add_extension(
            template.extensions.get_extension_for_class(kind).value, critical=False
        )
    signed = builder.sign(authority_key, template.signature_hash_algorithm)  # type: ignore[arg-type]
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return Pair(signed.public_bytes(serialization.Encoding.PEM), pem)


def _mismatched(files: Files) -> None:
    files.key.write_bytes(mint_leaf(CA, ["localhost"], NOW).key)


def _encrypted(files: Files) -> None:
    pair = mint_leaf(CA, ["localhost"], NOW)
    key = serialization.load_pem_private_key(pair.key, None)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    files.write(Pair(pair.certificate, secret))


def _expired(files: Files) -> None:
    then = NOW - timedelta(days=3)
    ca = mint_ca("old", then)
    files.write(mint_leaf(ca, ["localhost"], then, timedelta(days=1)))


UNUSABLE = {
    "key of another certificate": (_mismatched, "the key does not belong to the certificate"),
    "no PEM": (lambda files: files.certificate.write_bytes(b"nothing"), "no usable PEM certificate and key"),
    "empty": (lambda files: files.certificate.write_bytes(b""), "no usable PEM certificate and key"),
    "gone": (lambda files: files.key.unlink(), "No such file"),
    "encrypted key": (_encrypted, "the key must not be encrypted"),
    "expired": (_expired, "expired at"),
}


@pytest.mark.parametrize(("spoil", "words"), UNUSABLE.values(), ids=UNUSABLE)
async def test_a_pair_that_cannot_be_used_leaves_the_last_good_one(
    files: Files, spoil: object, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = files.load()
    expires = certificate.expires_at
    async with echoing(certificate) as port:
        before = await Client.connect(port, CA)
        spoil(files)  # type: ignore[operator]
        certificate.look()
        certificate.look()
        assert words in certificate.problem
        assert certificate.expires_at == expires
        after = await Client.connect(port, CA)
        assert after.serial == before.serial
        # Told once, not at every look.
        assert len([record for record in caplog.records if "cannot be used" in record.message]) == 1

        files.write(mint_leaf(CA, ["localhost"], NOW, timedelta(days=30)))
        certificate.look()
        assert certificate.problem == ""
        assert certificate.expires_at == (NOW + timedelta(days=30)).replace(microsecond=0)
        for client in (before, after):
            await client.close()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [case for name, case in UNUSABLE.items() if name != "expired"],
    ids=[name for name in UNUSABLE if name != "expired"],
)
def test_a_server_does_not_start_with_a_pair_that_cannot_be_used(
    files: Files, spoil: object, words: str
) -> None:
    spoil(files)  # type: ignore[operator]
    with pytest.raises(CertificateError, match=words):
        files.load()


def test_a_server_starts_with_an_expired_pair_to_take_the_renewed_one(files: Files) -> None:
    good = Pair(files.certificate.read_bytes(), files.key.read_bytes())
    _expired(files)
    certificate = files.load()
    assert certificate.is_expired()
    files.write(good)
    certificate.look()
    assert not certificate.is_expired()


async def test_a_resumed_session_cannot_go_around_a_new_certificate(files: Files) -> None:
    """Without tickets there is nothing to resume: every handshake sees the certificate of that moment."""
    certificate = files.load()
    async with echoing(certificate) as port:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            client = await Client.connect(port, CA, minimum_version=version, maximum_version=version)
            await client.echo()
            session = client.writer.get_extra_info("ssl_object").session
            assert session is None or not session.has_ticket
            await client.close()
