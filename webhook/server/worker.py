"""One server process, from its listening sockets to its exit."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from certs.renew import Step
from webhook.adapters.cluster import Cluster
from webhook.adapters.logs import DirectLogWriter, stack
from webhook.adapters.metrics import Metrics
from webhook.adapters.metrics_merge import dump
from webhook.adapters.namespaces import ClusterNamespaces, EveryNamespace, Namespaces
from webhook.adapters.policy_reload import PolicyReload
from webhook.adapters.policy_resources import PolicyResources, Verdict
from webhook.adapters.policy_status import StatusWriter
from webhook.engine.ruleset import Ruleset
from webhook.server.accept import Acceptor, connection_limit
from webhook.server.admission import Admission
from webhook.server.app import AdminApp, WebhookApp
from webhook.server.certificates import CertificateKeeper, TrustState
from webhook.server.connections import Listener
from webhook.server.health import Check, Health, State
from webhook.server.limits import MAX_ADMIN_CONNECTIONS, Gate
from webhook.server.record import Recorder
from webhook.server.settings import Settings
from webhook.server.status import Status, tell
from webhook.server.tls import ServingCertificate, names_of_client
from webhook.version import __version__

logger: Final = logging.getLogger("gpuward.server")

_HANG_UP_SECONDS: Final = 0.1

_SWITCH_SECONDS: Final = 0.0005

# So many more maps, lists and the like than before are looked through for cycles, which takes 20 ms. Reviews that are
# done together make some 10,000, and 1,000 policies that are read while the last 1,000 are in force some 50,000.
_COLLECTED_AFTER: Final = 100_000

# How often is read what one process has found out for all about who trusts the certificate.
_TRUST_SECONDS: Final = 0.5


class Worker:
    """Serves until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        ruleset: Ruleset,
        policies_digest: str,
        certificate: ServingCertificate,
        log: DirectLogWriter,
        *,
        keeps_certificates: bool = True,
    ) -> None:
        """To be made in the event loop it will run in. ``policies_digest`` is of the files of ``ruleset``. Of several
        workers one ``keeps_certificates`` for all."""
        self._settings: Final = settings
        self._certificate: Final = certificate
        self._stop: Final = asyncio.Event()
        self._hurry: Final = asyncio.Event()
        self._draining = False

        self.metrics: Final = Metrics(__version__)
        self._policies: Final = PolicyReload(
            settings.policies,
            ruleset,
            policies_digest,
            poll_seconds=settings.policy_poll,
            reloaded=self._reloaded,
            judged=self._judged,
        )
        self._resources: PolicyResources | None = None
        if settings.policy_resources:
            self._resources = PolicyResources(self._connect, self._policies.resources_changed)
            self._policies.resources = self._resources
            self._statuses: Final = StatusWriter(self._connect(), self._resources)
        self._gate: Final = Gate(settings.max_in_flight)
        self._cluster: Final = Cluster(settings.kubeconfig) if settings.cluster else None
        self._namespaces: Final = ClusterNamespaces(self._cluster) if self._cluster else None
        certificates = settings.certificates
        self._trust: Final = TrustState(certificates) if certificates else None
        self._keeper: Final = (
            CertificateKeeper(certificates, Cluster(settings.kubeconfig), did=self._certificate_step)
            if certificates and keeps_certificates
            else None
        )
        # Not `or`: a cache that has not listed anything yet is empty, and so is false.
        namespaces: Namespaces = EveryNamespace() if self._namespaces is None else self._namespaces
        recorder = Recorder(self.metrics, log)
        self._admission: Final = Admission(
            ruleset=lambda: self._policies.ruleset,
            namespaces=namespaces,
            recorder=recorder,
            gate=self._gate,
            default_mode=settings.default_mode,
            exempt=settings.exempt_namespaces,
        )
        self.health: Final = Health(self._checks(), self.metrics.render)
        # Who can call the webhook's port need not be able to read its metrics.
        self._app: Final = WebhookApp(self._admission, Health(self._checks()), recorder)
        self._follow(log)

    def _connect(self) -> Cluster:
        return Cluster(self._settings.kubeconfig)

    def _follow(self, log: DirectLogWriter) -> None:
        metrics = self.metrics
        metrics.policies_loaded(len(self._policies.ruleset.names()), self._policies.loaded_at, first=True)
        metrics.in_flight.set_function(lambda: self._gate.in_flight)
        metrics.certificate_expiry.set_function(lambda: self._certificate.expires_at.timestamp())
        if (trust := self._trust) is not None:
            metrics.certificate_trusted.set_function(lambda: trust.state(self._certificate.chain).ready)
            metrics.ca_expiry.set_function(lambda: trust.ca_expires_at or math.inf)
        metrics.dropped_logs.set_function(lambda: log.dropped)
        metrics.namespaces_synced.set(1)
        if (namespaces := self._namespaces) is not None:
            metrics.namespaces.set_function(lambda: len(namespaces))
            metrics.namespaces_synced.set_function(lambda: namespaces.synced)
            metrics.namespace_failures.set_function(lambda: namespaces.failures)
        if (resources := self._resources) is not None:
            metrics.policy_resource_failures.set_function(lambda: resources.failures)

    def _reloaded(self, ruleset: Ruleset | None) -> None:
        if ruleset is None:
            self.metrics.policies_failed()
        else:
            self.metrics.policies_loaded(len(ruleset.names()), self._policies.loaded_at)

    def _certificate_step(self, step: Step) -> None:
        self.metrics.certificate_step(step.value)

    def _judged(self, verdicts: Sequence[Verdict]) -> None:
        self.metrics.policy_resources_judged(
            sum(not verdict.problems for verdict in verdicts),
            sum(bool(verdict.problems) for verdict in verdicts),
        )
        self._statuses.report(verdicts)

    @property
    def policy_count(self) -> int:
        """How many policies are in force."""
        return len(self._policies.ruleset.names())

    # Readiness

    def _checks(self) -> list[Check]:
        checks: list[Check] = [
            ("policies", self._policies_state),
            ("certificate", self._certificate_state),
            ("namespaces", self._namespaces_state),
            ("shutdown", self._shutdown_state),
        ]
        if (trust := self._trust) is not None:
            checks.insert(2, ("trust", lambda: trust.state(self._certificate.chain)))
        if self._settings.policy_resources:
            checks.insert(1, ("policy-resources", self._resources_state))
        return checks

    def _policies_state(self) -> State:
        policies = self._policies
        when = datetime.fromtimestamp(policies.loaded_at, UTC).isoformat(timespec="seconds")
        detail = f"{len(policies.ruleset.names())} policies, read at {when}"
        if policies.problems:
            # Ready all the same: the set in force is good, and without any replica there is no admission at
            # all.
            detail += "; the files have changed since and cannot be used:\n    " + "\n    ".join(
                policies.problems
            )
        return State(True, detail)

    def _resources_state(self) -> State:
        """Not ready before the first reading: until then, not every policy is in force."""
        resources = self._resources
        assert resources is not None
        if self._policies.resources_loaded < 0:
            return State(False, f"not read yet: {resources.problem or 'asking the API server'}")
        detail = f"{len(resources.all())} in the cluster"
        if resources.problem:
            detail += f"; {resources.problem}"
        if self._policies.resource_problems:
            detail += "; these cannot be used:\n    " + "\n    ".join(self._policies.resource_problems)
        return State(True, detail)

    def _certificate_state(self) -> State:
        certificate = self._certificate
        detail = (
            f"{'expired' if certificate.is_expired() else 'expires'} at {certificate.expires_at.isoformat()}"
        )
        if certificate.problem:
            detail += f"; the files have changed since and cannot be used: {certificate.problem}"
        return State(not certificate.is_expired(), detail)

    def _namespaces_state(self) -> State:
        namespaces = self._namespaces
        if namespaces is None:
            return State(True, "no cluster is asked")
        if not namespaces.synced:
            return State(False, f"not listed yet: {namespaces.problem or 'asking the API server'}")
        detail = f"{len(namespaces)} namespaces, last heard of {namespaces.silent_seconds:.0f} s ago"
        return State(True, f"{detail}; {namespaces.problem}" if namespaces.problem else detail)

    def _shutdown_state(self) -> State:
        return State(not self._draining, "draining" if self._draining else "serving")

    # Life

    async def run(
        self,
        listening: socket.socket,
        ready: Callable[[Worker], None],
        *,
        admin: socket.socket | None = None,
        channel: socket.socket | None = None,
    ) -> None:
        """Serve until SIGTERM or SIGINT, then finish what is under way.

        ``ready`` is called once, when the server first is. Health and metrics are served on ``admin``, or told to
        a supervisor through ``channel`` (see ``status``); when that has gone, the worker stops too.
        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_unhandled)
        loop.add_signal_handler(signal.SIGTERM, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._policies.ask)
        if channel is None:
            loop.add_signal_handler(signal.SIGINT, self._asked_to_stop)
        _settle_memory()
        _share_the_interpreter()
        settings = self._settings
        webhook_listener = Listener(
            self._app.answer,
            self._admits if settings.client_names else None,
            closed=self.metrics.connection_closed,
        )
        limit = connection_limit(settings.max_connections)
        webhook_acceptor = Acceptor(listening, webhook_listener, limit, self._certificate.context)
        self.metrics.connections.set_function(lambda: webhook_acceptor.open)
        webhook_acceptor.start()
        admin_listener = Listener(AdminApp(self.health).answer)
        admin_acceptor = Acceptor(admin, admin_listener, MAX_ADMIN_CONNECTIONS) if admin is not None else None
        if admin_acceptor is not None:
            admin_acceptor.start()
        background = self._begin_background()
        announce = asyncio.create_task(self._announce(ready))
        told_to_stop: list[asyncio.Task[Any]] = [asyncio.create_task(self._stop.wait())]
        if channel is not None:
            told_to_stop.append(asyncio.create_task(tell(channel, self._status)))
        try:
            # What runs in the background never ends by itself: if it does, this process is broken and must be
            # replaced.
            await asyncio.wait([*background, *told_to_stop], return_when=asyncio.FIRST_COMPLETED)
            broken = [task for task in background if task.done()]
            await self._drain(webhook_listener, webhook_acceptor)
            await _hang_up(admin_listener)
        finally:
            for acceptor in (webhook_acceptor, admin_acceptor):
                if acceptor is not None:
                    acceptor.close()
            self._admission.close()
            tasks = (*background, *told_to_stop, announce)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._cluster is not None:
                await self._cluster.reset()
            if self._resources is not None:
                await self._resources.close()
                await self._statuses.close()
        for task in broken:
            task.result()

    def _begin_background(self) -> list[asyncio.Task[None]]:
        """Begin all that goes on beside serving."""
        running = [self._policies.run(), self._certificate.run()]
        if self._trust is not None:
            running.append(self._follow_trust(self._trust))
        if self._keeper is not None:
            running.append(self._keeper.run())
        if self._namespaces is not None:
            running.append(self._namespaces.run())
        if self._resources is not None:
            running += [self._resources.run(), self._statuses.run()]
        return [asyncio.create_task(one) for one in running]

    async def _follow_trust(self, trust: TrustState) -> None:
        while True:
            trust.look()
            await asyncio.sleep(_TRUST_SECONDS)

    def _admits(self, connection: asyncio.BaseTransport) -> bool:
        names = names_of_client(connection.get_extra_info("peercert"))
        if names & self._settings.client_names:
            return True
        logger.warning(
            "a caller with the certificate of somebody else was turned away",
            extra={"fields": {"names": sorted(names), "served": sorted(self._settings.client_names)}},
        )
        return False

    def _status(self) -> Status:
        checks = [(name, check()) for name, check in self._checks()]
        return Status(
            ready=all(state.ready for _, state in checks),
            checks=[(name, state.ready, state.detail) for name, state in checks],
            policies=self.policy_count,
            metrics=dump(self.metrics.registry),
        )

    async def _announce(self, ready: Callable[[Worker], None]) -> None:
        while not self.health.is_ready():  # noqa: ASYNC110  # many things make it ready, none of them an event
            await asyncio.sleep(0.02)
        ready(self)

    def _asked_to_stop(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _drain(self, listener: Listener, acceptor: Acceptor) -> None:
        """Stop without dropping a call: say so, let callers go elsewhere, finish, and close.

        Connections are kept alive by callers, so they have to be told: from the middle of the delay on, when
        new connections go to other replicas, each answer closes its connection.
        """
        self._draining = True
        settings = self._settings
        logger.info("stopping", extra={"fields": {"inFlight": self._gate.in_flight}})
        await self._pause(settings.drain_delay / 2)
        self._app.closing = True
        await self._pause(settings.drain_delay / 2)
        acceptor.stop()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + settings.shutdown_timeout
        # One turn of the loop at least, so that what has arrived is begun.
        await asyncio.sleep(0.01)
        while self._gate.in_flight and loop.time() < deadline:  # noqa: ASYNC110  # costs calls nothing
            await asyncio.sleep(0.01)
        if self._gate.in_flight:
            logger.warning(
                "stopped before all was done", extra={"fields": {"inFlight": self._gate.in_flight}}
            )
        await _hang_up(listener)

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until somebody asks a second time."""
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            pass


async def _hang_up(listener: Listener) -> None:
    """Close every connection; what is still under way on one has had its time."""
    listener.pre_shutdown()
    await listener.shutdown(_HANG_UP_SECONDS)


def _settle_memory() -> None:
    """Keep the garbage collector from going through what stays, and through what goes by itself.

    A full collection of what has been loaded stops the server for 10 ms; without it, for less than 0.1 ms.

    Answering leaves no cycles behind, so looking for them among the objects of reviews under way finds nothing. By
    Python's threshold of 700 that would be done for every review, and those that are done together would be gone
    through again by the next.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECTED_AFTER, *gc.get_threshold()[1:])


def _share_the_interpreter() -> None:
    """Have threads that work beside the reviews hand over soon.

    A review gives the interpreter away for a moment whenever it reads or writes, and gets it back when the other thread
    has had its time: 5 ms, if nobody says otherwise, which is fifty reviews.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)


def _log_unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Errors nobody waits for. What they quote is not logged; see ``adapters.logs``."""
    error = context.get("exception")
    if isinstance(error, ssl.SSLError | ConnectionError | TimeoutError):
        # Somebody who does not trust us, speaks no TLS or has gone.
        logger.debug("a connection failed", extra={"fields": {"error": type(error).__name__}})
        return
    fields: dict[str, Any] = {"what": context.get("message", "")}
    if error is not None:
        fields |= {"error": type(error).__name__, "stack": stack(error.__traceback__)}
    logger.error("an error nobody waited for", extra={"fields": fields})
