"""Certificates while the server runs: kept in a Secret, and compared with what the API server is told to trust.

One process of a server does this. It leaves what it has found in a folder of the server's own, and every process that
serves follows that by content: the pair to serve, and in ``trust.json`` what must trust it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography import x509
from msgspec import Struct

from certs.inspect import label, read_certificates, write_certificates
from certs.install import ForeignSecret, Installer, Place, read_configurations, written_bundles
from certs.mint import Pair
from certs.renew import Seen, Step, Trust, Wanted, may_take, refusals, serves_what_is_stored
from webhook.adapters.cluster import Cluster, ClusterError
from webhook.server.health import State

logger: Final = logging.getLogger("gpuward.certificates")

_LONGEST_PAUSE_SECONDS: Final = 30.0

# Of all names of Secrets and configurations at once, nobody reads more in a line of readiness.
_SHOWN: Final = 5


class CertificateSettings(Struct, frozen=True, kw_only=True):
    """What is done about certificates; times are in seconds.

    ``folder`` is private to this server. ``place`` names the webhook configurations whose trust is checked and, where
    ``wanted`` is given, the Secret that is kept. ``poll`` is how often they are looked at. Without news for longer
    than ``stale``, a server that lives from the Secret is not ready: a CA may have been retired meanwhile.
    """

    folder: Path
    place: Place
    wanted: Wanted | None
    poll: float
    stale: float


class PairFolder:
    """The pair to serve, as files that change together, as the kubelet changes those of a mounted Secret."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self._current: Final = folder / "current"
        self.certificate: Final = self._current / "tls.crt"
        self.key: Final = self._current / "tls.key"

    def chain(self) -> tuple[x509.Certificate, ...]:
        """What is in the files; empty where there are none."""
        try:
            return read_certificates(self.certificate.read_bytes())
        except OSError:
            return ()

    def put(self, pair: Pair) -> None:
        """Replace the pair in one step.

        Raises:
            OSError: it cannot be written; the pair of before stays.
        """
        before = self._current.resolve() if self._current.exists() else None
        version = self._folder / f"pair-{time.monotonic_ns()}"
        version.mkdir(mode=0o700)
        _write(version / self.certificate.name, pair.certificate)
        _write(version / self.key.name, pair.key)
        link = self._folder / "next"
        link.unlink(missing_ok=True)
        link.symlink_to(version.name)
        link.replace(self._current)
        if before is not None:
            shutil.rmtree(before, ignore_errors=True)


def _write(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)


class CertificateKeeper:
    """Looks at the webhook configurations, and at the Secret where there is one, for as long as the server runs."""

    def __init__(
        self, settings: CertificateSettings, cluster: Cluster, *, did: Callable[[Step], None] = lambda _: None
    ) -> None:
        """``cluster`` is for this alone. ``did`` is told of each step that was done to the certificates."""
        self._settings: Final = settings
        self._cluster: Final = cluster
        self._pair: Final = PairFolder(settings.folder)
        self._installer: Final = (
            Installer(cluster, settings.place, settings.wanted, did=did) if settings.wanted else None
        )
        self._attempts = 0
        self._told: dict[str, Any] = {"at": None, "problem": "", "waits": "", "caExpires": None, "trusts": []}

    async def run(self) -> None:
        """Look for ever; errors are logged and tried again."""
        try:
            while True:
                await self.look()
                pause = min(
                    self._settings.poll * 2.0 ** min(self._attempts, 16),
                    max(_LONGEST_PAUSE_SECONDS, self._settings.poll),
                )
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311  # spreads load, guards nothing
        finally:
            await self._cluster.reset()

    async def look(self) -> None:
        """Look once, do what is due, and tell the processes that serve."""
        try:
            await (self._keep() if self._installer else self._watch())
        except (ClusterError, ForeignSecret, OSError, ValueError) as error:
            self._attempts += 1
            self._complain(str(error))
            await self._cluster.reset()
        else:
            self._attempts = 0
            self._told["problem"] = ""
        self._tell()

    async def _keep(self) -> None:
        assert self._installer is not None
        began = time.monotonic()
        seen = await self._installer.advance(self._take)
        stored, place = seen.stored, self._settings.place
        assert stored is not None
        if serves_what_is_stored(seen):
            # Else it counts as no news: the CA of what is served may be retired before long.
            self._told["at"] = began
        own = Trust(f"Secret {place.namespace}/{place.secret}", "", stored.bundle)
        self._told |= {
            "trusts": [_trust_to_json(one) for one in (*seen.trusts, own)],
            "waits": self._installer.decision.reason,
            "caExpires": stored.bundle[0].not_valid_after_utc.timestamp() if stored.bundle else None,
        }

    async def _watch(self) -> None:
        configurations = await read_configurations(self._cluster, self._settings.place.configurations)
        trusts = [_trust_to_json(one) for one in written_bundles(configurations)]
        self._told |= {"at": time.monotonic(), "trusts": trusts}

    def _take(self, seen: Seen) -> tuple[x509.Certificate, ...]:
        assert self._settings.wanted is not None
        seen = replace(seen, serving=self._pair.chain())
        if may_take(seen, self._settings.wanted):
            assert seen.stored is not None
            assert seen.stored.leaf is not None
            self._pair.put(seen.stored.leaf)
        return self._pair.chain()

    def _complain(self, problem: str) -> None:
        if problem != self._told["problem"]:
            logger.warning(
                "certificates cannot be looked after; trying again", extra={"fields": {"problem": problem}}
            )
        self._told["problem"] = problem

    def _tell(self) -> None:
        file = self._settings.folder / "trust.json"
        new = file.with_suffix(".new")
        try:
            new.write_bytes(orjson.dumps(self._told))
            new.replace(file)
        except OSError as error:
            self._complain(f"{error.filename}: {error.strerror}")


def _trust_to_json(trust: Trust) -> dict[str, str]:
    return {"where": trust.where, "name": trust.name, "bundle": write_certificates(trust.bundle).decode()}


class TrustState:
    """What a serving process knows about who trusts its certificate; ``look`` reads it anew."""

    def __init__(self, settings: CertificateSettings) -> None:
        self._file: Final = settings.folder / "trust.json"
        self._needs_news: Final = settings.wanted is not None
        self._stale: Final = settings.stale
        self._content = b""
        self._at: float | None = None
        self._problem = ""
        self._waits = ""
        self._trusts: tuple[Trust, ...] = ()
        self.ca_expires_at: float | None = None
        """When the CA that signs expires, in Unix time; None where it is not known."""

    def look(self) -> None:
        """Read what the keeper has told last."""
        try:
            content = self._file.read_bytes()
        except OSError:
            return
        if content == self._content:
            return
        told = orjson.loads(content)
        self._content, self._at, self._problem = content, told["at"], told["problem"]
        self._waits, self.ca_expires_at = told["waits"], told["caExpires"]
        self._trusts = tuple(
            Trust(one["where"], one["name"], read_certificates(one["bundle"].encode()))
            for one in told["trusts"]
        )

    def state(self, chain: Sequence[x509.Certificate]) -> State:
        """Whether a server that presents ``chain`` is one that the API server is told to trust."""
        if self._at is None:
            detail = self._problem or "asking the API server"
            return State(not self._needs_news, f"not looked at yet: {detail}")
        if self._needs_news and (age := time.monotonic() - self._at) > self._stale:
            return State(False, f"not looked at for {age:.0f} s: {self._problem or 'the keeper is silent'}")
        if refused := refusals(chain, self._trusts, datetime.now(UTC)):
            return State(False, "\n    ".join(refused[:_SHOWN]))
        webhooks = sum(trust.name != "" for trust in self._trusts)
        detail = f"{label(chain[0])} is trusted by {webhooks} webhook{'' if webhooks == 1 else 's'}"
        return State(True, "; ".join(filter(None, (detail, self._waits, self._problem))))
