"""Certificates in a cluster: the Secret that holds them and the ``caBundle`` of the webhook configurations.

Whoever sees that a step is due does it; there is no leader. Each write says which version it was decided on, so of
several that come at once one wins, and the others look again.
Source: Kubernetes API conventions, "Concurrency control and consistency".
"""

from __future__ import annotations

import asyncio
import binascii
import logging
import random
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509

from certs.inspect import label, read_certificates, write_certificates
from certs.renew import CA_KEY, Decision, Seen, Step, Stored, Trust, Wanted, after, decide, trusts_ca
from webhook.adapters.cluster import Cluster, ClusterError
from webhook.kube.shape import JSONObject, items, mapping, text

logger: Final = logging.getLogger("gpuward.certificates")

MANAGED_LABEL: Final = "gpuward.dev/certificates"
MANAGED: Final = "managed"

_SECONDS: Final = 10.0

# Between nothing and all in its place there are five steps; the rest is for others that come in between.
_MOST_ROUNDS: Final = 20
_CONFLICT_SECONDS: Final = (0.02, 0.2)
_CONFLICT: Final = 409
_ABSENT: Final = 404

_KINDS: Final = (
    ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
)
_CONFIGURATIONS: Final = "/apis/admissionregistration.k8s.io/v1"


class ForeignSecret(Exception):
    """The Secret is somebody else's and is left alone. The message is for people."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where certificates are in a cluster: the Secret, and the names of the webhook configurations."""

    namespace: str
    secret: str
    configurations: tuple[str, ...]

    @property
    def path(self) -> str:
        """Of the Secret in the API."""
        return f"{self.collection}/{self.secret}"

    @property
    def collection(self) -> str:
        """Of the Secrets beside it."""
        return f"/api/v1/namespaces/{self.namespace}/secrets"


class Configuration:
    """One webhook configuration as it was read."""

    def __init__(self, kind: str, path: str, obj: JSONObject) -> None:
        self.kind: Final = kind
        self.path: Final = path
        self.name: Final = text(mapping(obj, "metadata"), "name")
        self._version: Final = text(mapping(obj, "metadata"), "resourceVersion")
        self._webhooks: Final = tuple(items(obj, "webhooks"))

    def trusts(self) -> list[Trust]:
        """What the API server is told in each of its webhooks."""
        return [
            Trust(
                f"{self.kind} {self.name}, webhook {text(webhook, 'name')}",
                _called(mapping(webhook, "clientConfig")),
                read_certificates(_ca_bundle(webhook)),
            )
            for webhook in self._webhooks
        ]

    def has_bundles(self) -> list[bool]:
        """For each webhook whether it has a ``caBundle``; without one the roots of the system are trusted."""
        return [bool(mapping(webhook, "clientConfig").get("caBundle")) for webhook in self._webhooks]

    def patch(self, bundle: tuple[x509.Certificate, ...]) -> list[JSONObject]:
        """The JSON patch that puts ``bundle`` into every webhook; it conflicts with any change made meanwhile."""
        written = b64encode(write_certificates(bundle)).decode()
        wrong = [
            index for index, trust in enumerate(self.trusts()) if frozenset(trust.bundle) != frozenset(bundle)
        ]
        if not wrong:
            return []
        return [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": self._version},
            *(
                {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": written}
                for index in wrong
            ),
        ]


def written_bundles(configurations: Iterable[Configuration]) -> list[Trust]:
    """What is trusted where that is said. Without a ``caBundle`` it is the roots of the API server's system, which
    nobody here can see."""
    return [
        trust
        for one in configurations
        for trust, has_bundle in zip(one.trusts(), one.has_bundles(), strict=True)
        if has_bundle
    ]


async def read_configurations(cluster: Cluster, names: tuple[str, ...]) -> list[Configuration]:
    """The webhook configurations of these names, of both kinds; those that do not exist are left out.

    Raises:
        ClusterError: the API server does not give them.
    """
    found = []
    for name in names:
        for kind, plural in _KINDS:
            path = f"{_CONFIGURATIONS}/{plural}/{name}"
            if (obj := await _get(cluster, path)) is not None:
                found.append(Configuration(kind, path, obj))
    return found


async def read_secret(cluster: Cluster, place: Place) -> JSONObject | None:
    """The Secret, whoever made it; None where there is none.

    Raises:
        ClusterError: the API server does not give it.
    """
    return await _get(cluster, place.path)


async def _get(cluster: Cluster, path: str) -> JSONObject | None:
    try:
        obj = await cluster.get_json(path, seconds=_SECONDS)
    except ClusterError as error:
        if error.status == _ABSENT:
            return None
        raise
    if not isinstance(obj, dict):
        raise ClusterError(f"{path}: the answer is no object")
    return obj


def _called(client: JSONObject) -> str:
    """The name that the API server expects in the certificate."""
    service = mapping(client, "service")
    if service:
        return f"{text(service, 'name')}.{text(service, 'namespace')}.svc"
    try:
        return urlsplit(text(client, "url")).hostname or ""
    except ValueError:
        return ""


def _ca_bundle(webhook: JSONObject) -> bytes:
    return _decoded(mapping(webhook, "clientConfig").get("caBundle"))


def _decoded(value: object) -> bytes:
    if not isinstance(value, str):
        return b""
    try:
        return b64decode(value)
    except (binascii.Error, ValueError):
        return b""


def data_of(secret: JSONObject) -> dict[str, bytes]:
    """The data of a Secret."""
    return {key: _decoded(value) for key, value in mapping(secret, "data").items()}


def refuse_foreign(secret: JSONObject) -> None:
    """Make sure that a Secret is ours to change: made here, or empty.

    Raises:
        ForeignSecret: it is not.
    """
    metadata = mapping(secret, "metadata")
    name = f"Secret {text(metadata, 'namespace')}/{text(metadata, 'name')}"
    if any(key.startswith("cert-manager.io/") for key in mapping(metadata, "annotations")):
        raise ForeignSecret(
            f"{name} is kept by cert-manager and left alone: mount it and give its files with --tls-cert and "
            "--tls-key, or name another Secret with --cert-secret"
        )
    data = data_of(secret)
    ours = mapping(metadata, "labels").get(MANAGED_LABEL) == MANAGED or CA_KEY in data
    if any(data.values()) and not ours:
        raise ForeignSecret(
            f"{name} was not made by gpuward and is left alone: mount it and give its files with --tls-cert and "
            f"--tls-key, name another Secret with --cert-secret, or label it {MANAGED_LABEL}={MANAGED} to have it "
            "replaced"
        )


@dataclass(frozen=True, slots=True)
class Looked:
    """What was read in one look: what a decision sees, and the objects that a step changes."""

    seen: Seen
    secret: JSONObject | None
    configurations: tuple[Configuration, ...]


Take = Callable[[Seen], tuple[x509.Certificate, ...]]
"""Takes what the Secret offers into service, where it should be, and returns the chain in service."""


class Installer:
    """Looks, decides and does what is due, as often as it is asked."""

    def __init__(
        self,
        cluster: Cluster,
        place: Place,
        wanted: Wanted,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        did: Callable[[Step], None] = lambda _: None,
    ) -> None:
        """``did`` is told of each step that was done."""
        self._cluster: Final = cluster
        self.place: Final = place
        self.wanted: Final = wanted
        self._clock: Final = clock
        self._monotonic: Final = monotonic
        self._did: Final = did
        self._trusted: tuple[x509.Certificate, float] | None = None
        self._served: tuple[x509.Certificate, float] | None = None
        self.decision = Decision(Step.KEEP)
        """The last one."""

    async def look(self) -> Looked:
        """Read everything, and note for how long it has been so.

        Raises:
            ClusterError: it cannot be read.
            ForeignSecret: the Secret is not ours.
        """
        # In this order: a configuration that still is as it was before the Secret was read has not been given the
        # bundle of a later Secret, so a process that was asleep cannot take back what others have done since.
        configurations = await read_configurations(self._cluster, self.place.configurations)
        secret = await read_secret(self._cluster, self.place)
        if secret is not None:
            refuse_foreign(secret)
        seen = Seen(
            stored=Stored.read(data_of(secret)) if secret is not None else None,
            trusts=tuple(trust for one in configurations for trust in one.trusts()),
            now=self._clock(),
        )
        stored, now = seen.stored, self._monotonic()
        ca = stored.ca if stored is not None else None
        self._trusted = _since(self._trusted, ca if trusts_ca(seen) else None, now)
        self._served = _since(
            self._served, ca if stored is not None and stored.is_of_signing_ca else None, now
        )
        seen = replace(seen, trusted_for=_elapsed(self._trusted, now), served_for=_elapsed(self._served, now))
        return Looked(seen, secret, tuple(configurations))

    async def advance(self, take: Take = lambda _: ()) -> Seen:
        """Do all that is due now; returns what there is then.

        Raises:
            ClusterError: the API server does not let us, or others are faster all the time.
            ForeignSecret: the Secret is not ours.
        """
        for _ in range(_MOST_ROUNDS):
            looked = await self.look()
            seen = replace(looked.seen, serving=take(looked.seen))
            self.decision = decide(seen, self.wanted)
            if self.decision.step is Step.KEEP:
                return seen
            try:
                await self.do(self.decision, replace(looked, seen=seen))
            except ClusterError as error:
                if error.status not in (_CONFLICT, _ABSENT):
                    raise
                await asyncio.sleep(random.uniform(*_CONFLICT_SECONDS))  # noqa: S311  # spreads load, guards nothing
        raise ClusterError(f"{self.place.path}: others change it all the time", _CONFLICT)

    async def do(self, decision: Decision, looked: Looked) -> None:
        """Do one step.

        Raises:
            ClusterError: it was not done, with the status 409 where somebody else was faster.
            ValueError: it cannot be done with what there is.
        """
        if decision.step is Step.TRUST:
            await self._trust(looked)
        else:
            await self.write(after(decision.step, looked.seen, self.wanted), looked.secret)
        logger.info(
            "a step of the certificates was done",
            extra={"fields": {"step": decision.step.value, "reason": decision.reason}},
        )
        self._did(decision.step)

    async def write(self, stored: Stored, secret: JSONObject | None) -> None:
        """Write the Secret, made anew where ``secret`` is None, else in place of that one.

        Raises:
            ClusterError: it was not written, with the status 409 where somebody else was faster.
        """
        obj = manifest(self.place, stored, secret)
        method, path = ("POST", self.place.collection) if secret is None else ("PUT", self.place.path)
        try:
            await self._cluster.send_json(method, path, obj, seconds=_SECONDS)
        except ClusterError as error:
            if error.status in (0, 403, _ABSENT, _CONFLICT):
                raise
            # Other messages can quote what was sent.
            raise ClusterError(f"{path}: the API server answered {error.status}", error.status) from None

    async def _trust(self, looked: Looked) -> None:
        assert looked.seen.stored is not None
        failures: list[ClusterError] = []
        for configuration in looked.configurations:
            if patch := configuration.patch(looked.seen.stored.bundle):
                try:
                    await self._cluster.send_json(
                        "PATCH",
                        configuration.path,
                        patch,
                        content_type="application/json-patch+json",
                        seconds=_SECONDS,
                    )
                except ClusterError as error:
                    failures.append(error)
        if failures:
            # What cannot be done weighs more than what only has to be tried again.
            raise max(failures, key=lambda error: error.status not in (_CONFLICT, _ABSENT))


def manifest(place: Place, stored: Stored, secret: Mapping[str, Any] | None = None) -> JSONObject:
    """The Secret as an object: a new one, or ``secret`` with other certificates and all else as it is."""
    if secret is None:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": place.secret,
                "namespace": place.namespace,
                "labels": {"app.kubernetes.io/managed-by": "gpuward", "app.kubernetes.io/part-of": "gpuward"},
            },
            "type": "kubernetes.io/tls",
        }
    metadata = dict(mapping(secret, "metadata"))
    metadata["labels"] = {**mapping(metadata, "labels"), MANAGED_LABEL: MANAGED}
    written = {key: b64encode(value).decode() for key, value in stored.data().items()}
    return {**secret, "metadata": metadata, "data": {**mapping(secret, "data"), **written}}


def _since(
    before: tuple[x509.Certificate, float] | None, ca: x509.Certificate | None, now: float
) -> tuple[x509.Certificate, float] | None:
    """Since when something has been so for a CA: as before, from now on, or not at all."""
    if ca is None:
        return None
    return before if before is not None and before[0] == ca else (ca, now)


def _elapsed(since: tuple[x509.Certificate, float] | None, now: float) -> timedelta:
    return timedelta(seconds=now - since[1]) if since is not None else timedelta(0)


def summary(stored: Stored) -> str:
    """What a Secret holds, in a line for people."""
    leaf = label(stored.chain[0]) if stored.chain else "none"
    return f"leaf {leaf}, CAs {', '.join(label(one) for one in stored.bundle) or 'none'}"
