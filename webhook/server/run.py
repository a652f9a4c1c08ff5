"""Starting a server: sockets, event loop, the line that says it is ready."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from webhook.adapters.cluster import import_client
from webhook.adapters.logs import set_up
from webhook.engine.ruleset import Ruleset
from webhook.server.settings import Settings
from webhook.server.supervisor import Supervisor
from webhook.server.tls import ServingCertificate
from webhook.server.worker import Worker

# What a worker may take beyond its delays before it is killed.
_GRACE_SECONDS: Final = 5.0

_BACKLOG: Final = 1024


def bind(host: str, port: int, *, copies: int = 0) -> list[socket.socket]:
    """A listening socket, or ``copies`` of it that share out the connections to one port.

    An empty host means every address of the machine, of IPv4 and IPv6; port 0 any free one.

    Raises:
        OSError: the address cannot be used.
    """
    one = _bind(host, port)
    if not copies:
        return [one]
    # Sockets that share a port share it with any other process of this user that says so too: that nobody has it
    # is seen with one that does not share.
    port = one.getsockname()[1]
    one.close()
    return [_bind(host, port, shared=True) for _ in range(copies)]


def _bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    if host:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=family, backlog=_BACKLOG, reuse_port=shared)
    elif socket.has_dualstack_ipv6():
        listening = socket.create_server(
            ("::", port), family=socket.AF_INET6, backlog=_BACKLOG, reuse_port=shared, dualstack_ipv6=True
        )
    else:
        listening = socket.create_server(("", port), backlog=_BACKLOG, reuse_port=shared)
    listening.setblocking(False)
    return listening


def address_of(listening: socket.socket) -> str:
    """``host:port`` as it stands in a URL; where a socket listens on every address, a local one."""
    host, port = listening.getsockname()[:2]
    host = {"::": "127.0.0.1", "0.0.0.0": "127.0.0.1"}.get(host, host)  # noqa: S104  # the name, nothing is bound
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        # There is none for every platform. asyncio's own loop does the same, slower.
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


Announce = Callable[[str, str | None, int], None]


class Prepared(Struct, frozen=True):
    """All that a server needs, made and checked before it starts.

    ``policies_digest`` is of the files of ``ruleset``, ``listening`` has a socket for each worker. ``announce`` is
    called once it is ready, with the URLs of the webhook and of the admin port (None where there is none) and the
    number of policies.
    """

    settings: Settings
    ruleset: Ruleset
    policies_digest: str
    certificate: ServingCertificate
    listening: Sequence[socket.socket]
    admin: socket.socket | None
    announce: Announce

    def ready(self, policies: int) -> None:
        """Announce it."""
        health = f"http://{address_of(self.admin)}" if self.admin is not None else None
        self.announce(f"https://{address_of(self.listening[0])}", health, policies)


def serve(server: Prepared) -> None:
    """Serve in this process until it is told to stop."""
    (listening,) = server.listening
    _work(server, listening, admin=server.admin, ready=lambda worker: server.ready(worker.policy_count))


def serve_with_workers(server: Prepared) -> bool:
    """Serve in a process for each listening socket until this one is told to stop; whether all ended well."""

    def work(listening: socket.socket, channel: socket.socket) -> int:
        _work(server, listening, channel=channel)
        return 0

    if server.settings.cluster:
        import_client()
    # Threads do not survive a fork, so there is none here; the few lines of this process are written at once.
    log = set_up(server.settings.log_format, server.settings.log_level, threaded=False)
    settings = server.settings
    grace = settings.drain_delay + settings.shutdown_timeout + _GRACE_SECONDS
    gc.collect()
    gc.freeze()

    async def main() -> bool:
        supervisor = Supervisor(server.listening, work, grace=grace)
        return await supervisor.run(server.admin, server.ready)

    try:
        return asyncio.run(main())
    finally:
        log.close()


def _work(
    server: Prepared,
    listening: socket.socket,
    *,
    ready: Callable[[Worker], None] = lambda _: None,
    admin: socket.socket | None = None,
    channel: socket.socket | None = None,
) -> None:
    log = set_up(server.settings.log_format, server.settings.log_level)

    async def main() -> None:
        worker = Worker(
            server.settings,
            server.ruleset,
            server.policies_digest,
            server.certificate,
            log,
            # One for all; it is replaced when it dies, as any worker.
            keeps_certificates=listening is server.listening[0],
        )
        await worker.run(listening, ready, admin=admin, channel=channel)

    try:
        with asyncio.Runner(loop_factory=_new_event_loop) as runner:
            runner.run(main())
    finally:
        log.close()
        sys.stderr.flush()
