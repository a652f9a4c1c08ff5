"""How much a server takes on at once."""

from __future__ import annotations

from typing import Final

_MIB: Final = 1024 * 1024

# The largest body that can be an admission call from an API server:
# - it accepts requests of at most 3 MiB from its clients (k8s.io/apiserver pkg/server/config.go, MaxRequestBodyBytes),
#   which bounds the object, and the old object that came in the same way;
# - the rest of the envelope is the user's name, groups and extra fields, which come from HTTP headers or a client
#   certificate, and those are at most 1 MiB (Go net/http, DefaultMaxHeaderBytes).
#
# Anything larger is refused with 413 before it is read to the end. Chunked bodies are counted as they come.
BODY_LIMIT: Final = 2 * 3 * _MIB + 1 * _MIB

# An API server handles at most 400 reads and 200 writes at once by default (--max-requests-inflight,
# --max-mutating-requests-inflight; with priority and fairness the sum of both), and each of its requests
# waits for one webhook call at a time but for validating webhooks, which it calls together. So one replica
# can take all that one API server ever has under way.
MAX_IN_FLIGHT: Final = 600

# What all slow bodies together may hold in memory while they arrive. Bodies are small and come at once, so
# only a flood of huge or slow ones gets here; without the bound, MAX_IN_FLIGHT bodies of BODY_LIMIT would be
# 4 GiB.
BUFFERED_LIMIT: Final = 16 * BODY_LIMIT

# A body is in one network packet or a few; a caller that takes longer than this holds a place others need.
BODY_SECONDS: Final = 5.0

# The head of a request, its first line and headers, is a few hundred bytes and comes in one packet, as a body does in
# a few. Counted from its first byte: a connection on which nothing has been sent is idle, as the API server's are.
HEAD_SECONDS: Final = BODY_SECONDS

# What one API server may have open to one replica: a connection for each of MAX_IN_FLIGHT requests, as HTTP/1.1
# carries one at a time and webhooks are called with it, and idle ones, of which its client keeps 25 for each of the
# six addresses (k8s.io/client-go transport/cache.go, idleConnsPerHost). Three API servers are the usual control plane,
# and when the other replicas are gone, all of them come here.
#
# It also bounds how long a call can wait for others: each connection has one under way, and a handshake with a small
# review takes about 1 ms, so all of them together about 2 s, less than webhooks' timeouts.
API_SERVERS: Final = 3
MAX_CONNECTIONS: Final = API_SERVERS * (MAX_IN_FLIGHT + 6 * 25)

# The kubelet and Prometheus, and people who look.
MAX_ADMIN_CONNECTIONS: Final = 32

# Files that a process needs besides the webhook's connections: those of the admin port, listening sockets, connections
# to the API server (namespaces, four kinds of policies, certificates, statuses), policies and certificates while they
# are read, the log, the event loop; doubled.
RESERVED_FILES: Final = 2 * (MAX_ADMIN_CONNECTIONS + 32)

# How long a call may take when the caller does not say: the API server's default for webhooks, and its
# maximum (k8s.io/api admissionregistration/v1, timeoutSeconds).
DEFAULT_SECONDS: Final = 10.0
MAX_SECONDS: Final = 30.0

# Bodies above this are decoded and reviewed in a thread of their own, so that the few that take long do not
# hold up the many that do not, nor the probes of the kubelet.
#
# Others that come at the same time are reviewed together as far as they are not larger than this together, so that
# nobody waits longer than for one such body. What is made of so many bytes, some six times as much, also fits into a
# core's cache (1 to 2 MiB) from one step of the review to the next.
INLINE_LIMIT: Final = 256 * 1024


class Gate:
    """Counts what is under way in one server. ``in_flight`` is the number of admission calls, ``buffered``
    the bytes of their bodies that are still arriving."""

    __slots__ = ("buffered", "buffered_limit", "in_flight", "limit")

    def __init__(self, limit: int = MAX_IN_FLIGHT, buffered_limit: int = BUFFERED_LIMIT) -> None:
        self.limit: Final = limit
        self.buffered_limit: Final = buffered_limit
        self.in_flight = 0
        self.buffered = 0
