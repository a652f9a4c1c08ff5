"""The baseline control ``host-probes-and-host-lifecycle`` (``hostProbesAndHostLifecycle`` in Kubernetes): probes and
lifecycle handlers call the pod itself and no other host.

Why:
    It is the node's kubelet that calls: through a probe with a host of its own a pod reaches what the node can and
    the pod must not.

Restricted fields:
    spec.initContainers[*].livenessProbe.httpGet.host
    spec.initContainers[*].livenessProbe.tcpSocket.host
    spec.initContainers[*].readinessProbe.httpGet.host
    spec.initContainers[*].readinessProbe.tcpSocket.host
    spec.initContainers[*].startupProbe.httpGet.host
    spec.initContainers[*].startupProbe.tcpSocket.host
    spec.initContainers[*].lifecycle.postStart.httpGet.host
    spec.initContainers[*].lifecycle.postStart.tcpSocket.host
    spec.initContainers[*].lifecycle.preStop.httpGet.host
    spec.initContainers[*].lifecycle.preStop.tcpSocket.host
    spec.containers[*].livenessProbe.httpGet.host
    spec.containers[*].livenessProbe.tcpSocket.host
    spec.containers[*].readinessProbe.httpGet.host
    spec.containers[*].readinessProbe.tcpSocket.host
    spec.containers[*].startupProbe.httpGet.host
    spec.containers[*].startupProbe.tcpSocket.host
    spec.containers[*].lifecycle.postStart.httpGet.host
    spec.containers[*].lifecycle.postStart.tcpSocket.host
    spec.containers[*].lifecycle.preStop.httpGet.host
    spec.containers[*].lifecycle.preStop.tcpSocket.host
    spec.ephemeralContainers[*].livenessProbe.httpGet.host
    spec.ephemeralContainers[*].livenessProbe.tcpSocket.host
    spec.ephemeralContainers[*].readinessProbe.httpGet.host
    spec.ephemeralContainers[*].readinessProbe.tcpSocket.host
    spec.ephemeralContainers[*].startupProbe.httpGet.host
    spec.ephemeralContainers[*].startupProbe.tcpSocket.host
    spec.ephemeralContainers[*].lifecycle.postStart.httpGet.host
    spec.ephemeralContainers[*].lifecycle.postStart.tcpSocket.host
    spec.ephemeralContainers[*].lifecycle.preStop.httpGet.host
    spec.ephemeralContainers[*].lifecycle.preStop.tcpSocket.host

Allowed values:
    Absent or empty.

Versions:
    v1.34 and later.

Remediation:
    Remove host: the pod's own address is called. For HTTP a name goes into httpHeaders, as Host.

Source:
    k8s.io/pod-security-admission policy/check_hostProbesAndhostLifecycle.go
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.checks.pod_security.control import Breach, Control, Revision
from webhook.checks.pod_security.visitor import Visitor
from webhook.checks.wording import container_called, short
from webhook.kube.pod import Container
from webhook.kube.shape import JSONObject, mapping, text

_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_LIFECYCLE: Final = ("postStart", "preStop")
_ACTIONS: Final = ("httpGet", "tcpSocket")


def _judge(visitor: Visitor) -> Iterator[Breach]:
    for container in visitor.containers:
        raw = container.raw
        for probe in _PROBES:
            if probe in raw:
                yield from _calls(container, mapping(raw, probe), probe)
        if "lifecycle" in raw:
            lifecycle = mapping(raw, "lifecycle")
            for moment in _LIFECYCLE:
                yield from _calls(container, mapping(lifecycle, moment), "lifecycle", moment)


def _calls(container: Container, handler: JSONObject, *where: str) -> Iterator[Breach]:
    for action in _ACTIONS:
        host = text(mapping(handler, action), "host")
        if host:
            yield Breach(
                container.field(*where, action, "host"),
                f"{container_called(container)} lets the node call {short(host)} as its {where[-1]}; remove host, so "
                "that the pod itself is called",
            )


CONTROL: Final = Control(
    "host-probes-and-host-lifecycle", "hostProbesAndHostLifecycle", "baseline", (Revision(34, _judge),)
)
