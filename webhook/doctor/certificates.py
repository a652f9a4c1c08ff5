"""Whether the API server trusts what gpuward serves: the CA bundles, the serving certificate, and how long."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from certs.inspect import read_certificates, why_not_trusted
from webhook.doctor.diagnosis import Diagnosis, Level, Ref
from webhook.doctor.entries import Entry
from webhook.doctor.installation import Installation, Server
from webhook.kube.shape import JSONObject, items, mapping, text

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

# Others write the bundle into the configuration, where one of these annotations is.
_INJECTING: Final = (
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "service.beta.openshift.io/inject-cabundle",
)

_SOON: Final = timedelta(days=14)


def trust(installation: Installation) -> Iterator[Diagnosis]:
    """Entries that do not trust what answers, and certificates that will not be trusted much longer."""
    chains = {
        (server.namespace, *_secret_of(server)): chain
        for server in installation.servers()
        if (chain := _served(installation, server)) is not None
    }
    told: set[str] = set()
    for entry in installation.ours:
        found = _bundle(installation, entry)
        if isinstance(found, Diagnosis):
            yield found
            continue
        if not found:
            continue
        namespace, name = entry.service or ("", "")
        for (where, _, _), chain in chains.items():
            if where != namespace:
                continue
            why = why_not_trusted(chain, found, f"{name}.{namespace}.svc", installation.now)
            if why:
                yield Diagnosis(
                    "certificate-not-trusted",
                    Level.ERROR,
                    Ref.of(entry.configuration),
                    entry.field("clientConfig", "caBundle"),
                    f"the API server refuses what gpuward serves, so every call of {entry.name} fails: {why}",
                    "gpuward certs show tells what is where; with cert-manager or files of your own, renew the "
                    "certificate or write its CA into caBundle",
                )
        yield from _expiring(installation, entry, found, told)
    for server in installation.servers():
        yield from _served_soon_expired(installation, server)


def _bundle(installation: Installation, entry: Entry) -> Sequence[Certificate] | Diagnosis:
    """The CAs the API server trusts for an entry; none where somebody will write them."""
    written = text(mapping(entry.raw, "clientConfig"), "caBundle")
    path = entry.field("clientConfig", "caBundle")
    ref = Ref.of(entry.configuration)
    if not written:
        annotations = mapping(mapping(entry.configuration, "metadata"), "annotations")
        managed = any("cert-secret" in server.flags for server in installation.servers())
        injected = next((name for name in _INJECTING if name in annotations), "")
        if not installation.whole and (managed or injected):
            return ()
        who = (
            f"{injected} has not been heeded" if injected else "gpuward has not written it" if managed else ""
        )
        return Diagnosis(
            "ca-bundle-missing",
            Level.ERROR,
            ref,
            path,
            f"{entry.name} has no caBundle, so the API server trusts public CAs there and not gpuward's"
            + (f": {who}" if who else ""),
            "see the log of gpuward, or run gpuward certs install"
            if managed
            else "write the CA of the serving certificate there, or let gpuward or cert-manager do it",
        )
    try:
        certificates = read_certificates(base64.b64decode(written, validate=True))
    except (binascii.Error, ValueError):
        certificates = ()
    if not certificates:
        return Diagnosis(
            "ca-bundle-unreadable",
            Level.ERROR,
            ref,
            path,
            f"the caBundle of {entry.name} has no certificate in it: no call of it can succeed",
            "write the CA's PEM there, in base64",
        )
    return certificates


def _expiring(
    installation: Installation, entry: Entry, bundle: Sequence[Certificate], told: set[str]
) -> Iterator[Diagnosis]:
    last = max(certificate.not_valid_after_utc for certificate in bundle)
    if last <= installation.now:
        level, code, word = Level.ERROR, "ca-expired", "expired"
    elif last <= installation.now + _SOON:
        level, code, word = Level.WARNING, "ca-expires-soon", "expires"
    else:
        return
    message = (
        f"the last CA the API server trusts {word} at {last:%Y-%m-%d %H:%M} UTC; afterwards no call succeeds"
    )
    if message not in told:
        told.add(message)
        yield Diagnosis(
            code,
            level,
            Ref.of(entry.configuration),
            entry.field("clientConfig", "caBundle"),
            message,
            "gpuward certs rotate --ca, or renew it where it comes from",
        )


def _served_soon_expired(installation: Installation, server: Server) -> Iterator[Diagnosis]:
    namespace, name = _secret_of(server)
    if not name:
        return
    chain = _served(installation, server)
    if chain is None:
        if installation.knows("Secret"):
            yield Diagnosis(
                "certificate-missing",
                Level.ERROR,
                Ref("Secret", namespace, name),
                (),
                "the Secret with the serving certificate does not exist or has no certificate in it: gpuward is not "
                "ready without",
                "see the log of gpuward or of cert-manager, or run gpuward certs install",
            )
        return
    until = chain[0].not_valid_after_utc
    # What has expired is not trusted, and that has been said.
    if installation.now < until <= installation.now + _SOON:
        yield Diagnosis(
            "certificate-expires-soon",
            Level.WARNING,
            Ref("Secret", namespace, name),
            ("data", "tls.crt"),
            f"the serving certificate expires at {until:%Y-%m-%d %H:%M} UTC and should have been renewed by now",
            "see the log of gpuward or of cert-manager; gpuward certs rotate renews it",
        )


def _served(installation: Installation, server: Server) -> Sequence[Certificate] | None:
    namespace, name = _secret_of(server)
    secret = installation.find("Secret", namespace, name) if name else None
    try:
        pem = base64.b64decode(text(mapping(secret or {}, "data"), "tls.crt"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return read_certificates(pem) or None


def _secret_of(server: Server) -> tuple[str, str]:
    """Namespace and name of the Secret that the server's certificate comes from; no name where it is no Secret."""
    if written := server.flags.get("cert-secret"):
        namespace, _, name = written.rpartition("/")
        return namespace or server.namespace, name
    file = server.flags.get("tls-cert")
    if not file:
        return server.namespace, ""
    folder = str(PurePosixPath(file).parent)
    for mount in items(server.container, "volumeMounts"):
        if text(mount, "mountPath").rstrip("/") == folder:
            return server.namespace, _volume_secret(server.pod, text(mount, "name"))
    return server.namespace, ""


def _volume_secret(pod: JSONObject, volume: str) -> str:
    for one in items(pod, "volumes"):
        if text(one, "name") == volume:
            return text(mapping(one, "secret"), "secretName")
    return ""
