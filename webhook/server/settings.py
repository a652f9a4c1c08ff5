"""What a server is told when it starts."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from webhook.adapters.logs import LogFormat
from webhook.policy.findings import Mode
from webhook.server.certificates import CertificateSettings
from webhook.server.limits import MAX_CONNECTIONS, MAX_IN_FLIGHT


class Settings(Struct, frozen=True, kw_only=True):
    """The settings of a server process; times are in seconds.

    With ``client_ca``, a file, callers have to show a certificate of one of its CAs; ``client_names`` are the common
    names and SANs that are served, any where it is empty. ``certificates`` is None where nothing is done about them
    but following the files. ``kubeconfig`` is as for ``Cluster``; without
    ``cluster`` none is asked. ``drain_delay`` is how long it goes on serving after it has said that it is not
    ready, ``shutdown_timeout`` how long calls under way may take after that. ``policy_resources`` says that policies
    come from the cluster too.
    """

    policies: Path
    certificate: Path
    key: Path
    client_ca: Path | None = None
    client_names: frozenset[str] = frozenset()
    certificates: CertificateSettings | None = None
    cluster: bool = True
    kubeconfig: str | None = None
    default_mode: Mode | None = None
    exempt_namespaces: tuple[str, ...] = ()
    max_in_flight: int = MAX_IN_FLIGHT
    max_connections: int = MAX_CONNECTIONS
    policy_poll: float = 1.0
    policy_resources: bool = False
    drain_delay: float = 5.0
    shutdown_timeout: float = 10.0
    log_format: LogFormat = "json"
    log_level: str = "info"
