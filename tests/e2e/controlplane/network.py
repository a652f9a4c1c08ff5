"""Addresses and ports of this machine for a control plane."""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket

# Where nothing else picks ports by itself: below Linux' ephemeral range, outside Kubernetes' node ports.
PORTS = range(20000, 30000)

# Of several processes with tests each has ports of its own (pytest-xdist names them gw0, gw1, ...): a port that is free
# now is taken only when its program has started.
PROCESSES = 20


def own_address() -> str | None:
    """An IPv4 address of this machine that is not loopback, or None. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a datagram socket only looks the route up
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") else address


def free_ports(count: int) -> list[int]:
    """So many ports that nobody listens on. Raises OSError if there are not as many."""
    process = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or 0)
    ports = PORTS[process % PROCESSES :: PROCESSES]
    found: list[int] = []
    for port in random.sample(ports, len(ports)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
            if len(found) == count:
                return found
    raise OSError(f"no {count} free ports in {PORTS.start}-{PORTS.stop - 1}")
