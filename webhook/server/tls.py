"""TLS of the webhook: version and ciphers, and a serving certificate that follows its files."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from certs.inspect import read_certificates

logger: Final = logging.getLogger("gpuward.tls")

_POLL_SECONDS: Final = 1.0

# For TLS 1.2; those of 1.3 are all good. Forward secrecy and authenticated encryption, as Mozilla's
# "intermediate" recommendation has them.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


_Content = tuple[bytes, ...]


class CertificateError(Exception):
    """The files hold no usable certificate and key. The message is for people."""


class ServingCertificate:
    """The certificate and key of the server. ``run`` follows their files by content (a Secret is mounted so).

    ``context`` is what listeners use; it stays the same for ever, and every handshake through it gets the
    pair that is good at that moment. A pair that cannot be used never replaces one that can.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None) -> None:
        """Read the pair. One that has expired is taken: readiness tells, and a renewed one ends it.

        With ``client_ca``, a file of CAs that is followed too, callers have to show a certificate of one of them.

        Raises:
            CertificateError: it cannot be read or used.
        """
        self._files: Final = (certificate, key) if client_ca is None else (certificate, key, client_ca)
        self._content = self._read()
        self._current, self.chain = self._load(self._content)
        self.problem = ""
        """Why the files as they are now are not in use; empty while they are."""
        self.context: Final = _context(*self._files)
        # A new pair gets a new context, and each handshake is pointed to the newest. Loading the pair into
        # the one context again would leave a certificate of another key type in place, and could fail
        # half-way.
        self.context.sni_callback = self._choose

    def _choose(self, connection: Any, name: str | None, context: ssl.SSLContext) -> None:  # noqa: ARG002  # ssl's
        connection.context = self._current

    async def run(self) -> None:
        """Follow the files for ever."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Take the pair that is in the files, where it is another and can be used."""
        try:
            content = self._read()
            if content != self._content:
                self._take(content, *self._load(content))
        except CertificateError as error:
            if str(error) != self.problem:
                self.problem = str(error)
                fields = {"problem": self.problem}
                logger.warning(
                    "the new certificate cannot be used; the one before stays", extra={"fields": fields}
                )
        else:
            self.problem = ""

    def _take(self, content: _Content, context: ssl.SSLContext, chain: tuple[x509.Certificate, ...]) -> None:
        expires_at = chain[0].not_valid_after_utc
        if expires_at <= datetime.now(UTC):
            raise CertificateError(f"{self._files[0]}: expired at {expires_at:%Y-%m-%d %H:%M} UTC")
        self._current, self.chain, self._content = context, chain, content
        logger.info("a new certificate is served", extra={"fields": {"expires": expires_at.isoformat()}})

    @property
    def expires_at(self) -> datetime:
        """When the certificate in use expires."""
        return self.chain[0].not_valid_after_utc

    def is_expired(self) -> bool:
        """Whether the certificate in use has expired."""
        return datetime.now(UTC) >= self.expires_at

    def _read(self) -> _Content:
        try:
            return tuple(file.read_bytes() for file in self._files)
        except OSError as error:
            raise CertificateError(f"{error.filename}: {error.strerror}") from error

    def _load(self, content: _Content) -> tuple[ssl.SSLContext, tuple[x509.Certificate, ...]]:
        context = _context(*self._files)
        if self._read() != content:
            raise CertificateError(f"{self._files[0]}: changed while it was read")
        chain = read_certificates(content[0])
        if not chain:
            raise CertificateError(f"{self._files[0]}: no certificate that can be read")
        return context, chain


def _context(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    # A resumed session goes on with the certificate of before. Callers keep their connections, so full
    # handshakes are few.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        reason = (
            "the key does not belong to the certificate"
            if error.reason == "KEY_VALUES_MISMATCH"
            else (f"no usable PEM certificate and key ({error.reason or error})")
        )
        raise CertificateError(f"{certificate}, {key}: {reason}") from error
    except OSError as error:
        raise CertificateError(f"{error.filename or certificate}: {error.strerror}") from error
    if client_ca is not None:
        _require_client_certificate(context, client_ca)
    return context


def _require_client_certificate(context: ssl.SSLContext, ca: Path) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    # Clusters' own CAs often lack the extensions that Python asks for from 3.13 on; Kubernetes does not.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(cafile=ca)
    except ssl.SSLError as error:
        raise CertificateError(f"{ca}: no usable PEM certificates of CAs") from error
    except OSError as error:
        raise CertificateError(f"{ca}: {error.strerror}") from error


def names_of_client(certificate: Mapping[str, Any] | None) -> set[str]:
    """The common name and the SANs in a client's certificate, as ``ssl.SSLSocket.getpeercert`` gives it."""
    if not certificate:
        return set()
    names = {value for _, value in certificate.get("subjectAltName", ())}
    for attributes in certificate.get("subject", ()):
        names |= {value for key, value in attributes if key == "commonName"}
    return names


def _no_password() -> str:
    # Without this, OpenSSL asks for one on the terminal.
    raise CertificateError("the key must not be encrypted")
