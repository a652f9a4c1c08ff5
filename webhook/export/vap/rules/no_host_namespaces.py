"""The check ``no-host-namespaces`` in CEL."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.checks.no_host_namespaces import NoHostNamespaces
from webhook.export.vap.parts import Demand, Target


def translate(_check: NoHostNamespaces, _target: Target) -> Iterator[Demand]:
    """The fields that are true."""
    yield Demand(
        "fields",
        "spec",
        "['hostNetwork', 'hostPID', 'hostIPC'].filter(f, variables.spec[?f].orValue(false) == true)",
        "the pod shares namespaces with its node",
        "remove the fields; use a Service for the network, and a Memory emptyDir as a larger /dev/shm",
    )
