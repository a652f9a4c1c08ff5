"""Whether the calls arrive: the Service, its ports and its endpoints."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.doctor.diagnosis import Diagnosis, Level, Ref
from webhook.doctor.entries import Entry
from webhook.doctor.installation import Installation, Server
from webhook.kube.shape import JSONObject, items, mapping, strings, text

_SERVICE_NAME_LABEL = "kubernetes.io/service-name"


def services(installation: Installation) -> Iterator[Diagnosis]:
    """Entries whose Service is missing, or leads nowhere."""
    for namespace, name in installation.services:
        callers = [entry for entry in installation.ours if entry.service == (namespace, name)]
        service = installation.find("Service", namespace, name)
        if service is None:
            if installation.knows("Service") or any(installation.servers()):
                yield Diagnosis(
                    "no-service",
                    Level.ERROR,
                    Ref.of(callers[0].configuration),
                    callers[0].field("clientConfig", "service"),
                    f"there is no Service {namespace}/{name}, so no call arrives",
                    "install it, or name the one that there is",
                )
            continue
        servers = [server for server in installation.servers() if server.namespace == namespace]
        if not servers and (installation.knows("Deployment") or any(installation.of_kind("Deployment"))):
            yield Diagnosis(
                "service-selects-nothing",
                Level.ERROR,
                Ref.of(service),
                ("spec", "selector"),
                "no Deployment in the namespace has pods with the labels it selects, so no call arrives",
                "select the labels of the pods of gpuward",
            )
        yield from _ports(service, callers, servers)
        if installation.knows("EndpointSlice") and servers:
            yield from _endpoints(installation, service, namespace, name)


def _ports(service: JSONObject, callers: list[Entry], servers: list[Server]) -> Iterator[Diagnosis]:
    ports = {
        number: port
        for port in items(mapping(service, "spec"), "ports")
        if type(number := port.get("port")) is int
    }
    for number in dict.fromkeys(entry.port for entry in callers):
        port = ports.get(number)
        if port is None:
            caller = next(entry for entry in callers if entry.port == number)
            yield Diagnosis(
                "service-port",
                Level.ERROR,
                Ref.of(caller.configuration),
                caller.field("clientConfig", "service", "port"),
                f"the Service has no port {number}; it has {', '.join(map(str, ports)) or 'none'}",
                "name a port of the Service",
            )
            continue
        target = port.get("targetPort", number)
        for server in servers:
            reached = server.port_number(target)
            if reached != server.port:
                yield Diagnosis(
                    "service-target-port",
                    Level.ERROR,
                    Ref.of(service),
                    ("spec", "ports"),
                    f"port {number} leads to {target!r} of the pods"
                    + (f" ({reached})" if isinstance(target, str) and reached else "")
                    + f", and gpuward listens on {server.port}",
                    f"write targetPort: {server.port}",
                )


def _endpoints(
    installation: Installation, service: JSONObject, namespace: str, name: str
) -> Iterator[Diagnosis]:
    ready = sum(
        len(strings(endpoint, "addresses"))
        for one in installation.of_kind("EndpointSlice")
        if text(mapping(one, "metadata"), "namespace") == namespace
        and text(mapping(mapping(one, "metadata"), "labels"), _SERVICE_NAME_LABEL) == name
        for endpoint in items(one, "endpoints")
        # Absent counts as ready. Source: k8s.io/api discovery/v1, EndpointConditions.
        if mapping(endpoint, "conditions").get("ready") is not False
    )
    if not ready:
        yield Diagnosis(
            "no-endpoints",
            Level.ERROR,
            Ref.of(service),
            (),
            "no pod behind it is ready, so every call fails",
            f"see why: kubectl -n {namespace} get pods, and GET /readyz?verbose of one",
        )
