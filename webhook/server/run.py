"""Starting a server: sockets, event loop, the line that says it is ready."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable

from webhook.adapters.logs import set_up
from webhook.engine.ruleset import Ruleset
from webhook.server.settings import Settings
from webhook.server.tls import ServingCertificate
from webhook.server.worker import Worker


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; an empty host means every address of the machine, of IPv4 and IPv6.

    Raises:
        OSError: the address cannot be used.
    """
    if host:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=family, backlog=1024)
    elif socket.has_dualstack_ipv6():
        listening = socket.create_server(
            ("::", port), family=socket.AF_INET6, backlog=1024, dualstack_ipv6=True
        )
    else:
        listening = socket.create_server(("", port), backlog=1024)
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


def serve(
    settings: Settings,
    ruleset: Ruleset,
    policies_digest: str,
    certificate: ServingCertificate,
    listening: socket.socket,
    admin: socket.socket | None,
    announce: Callable[[str, str | None, int], None],
) -> None:
    """Serve in this process until it is told to stop.

    ``announce`` is called once it is ready, with the URLs of the webhook and of the admin port (None where
    there is none) and the number of policies.
    """
    log = set_up(settings.log_format, settings.log_level)

    def ready(worker: Worker) -> None:
        health = f"http://{address_of(admin)}" if admin is not None else None
        announce(f"https://{address_of(listening)}", health, worker.policy_count)

    async def main() -> None:
        await Worker(settings, ruleset, policies_digest, certificate, log).run(listening, admin, ready)

    try:
        with asyncio.Runner(loop_factory=_new_event_loop) as runner:
            runner.run(main())
    finally:
        log.close()
        sys.stderr.flush()
