"""NetworkPolicies that keep calls from gpuward, and gpuward from the API server.

Other kinds of policies that networks know (of Cilium, of Calico, AdminNetworkPolicy) are not looked at.
Source: k8s.io/api networking/v1: policies add up, one that selects a pod shuts all that none of them admits.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from webhook.doctor.diagnosis import Diagnosis, Level, Ref, puts
from webhook.doctor.entries import selects
from webhook.doctor.installation import Installation, Server
from webhook.kube.shape import JSONObject, items, mapping, strings, text

_DNS: Final = 53

Direction = Literal["Ingress", "Egress"]


def policies(installation: Installation) -> Iterator[Diagnosis]:
    """Policies that shut the webhook's port, or the way to the API server."""
    for server in installation.servers():
        # Networks do not, or not reliably, apply policies to pods on the node's own network.
        if server.pod.get("hostNetwork") is True:
            continue
        selecting = [
            policy
            for policy in installation.of_kind("NetworkPolicy")
            if text(mapping(policy, "metadata"), "namespace") == server.namespace
            and selects(mapping(mapping(policy, "spec"), "podSelector"), server.labels)
        ]
        yield from _calls(server, [policy for policy in selecting if _is_about(policy, "Ingress")])
        if server.asks_api_server:
            yield from _asking(
                installation, server, [policy for policy in selecting if _is_about(policy, "Egress")]
            )


def _calls(server: Server, selecting: Sequence[JSONObject]) -> Iterator[Diagnosis]:
    """Whether the API server gets through to the webhook."""
    if not selecting:
        return
    rules = [
        rule
        for policy in selecting
        for rule in items(mapping(policy, "spec"), "ingress")
        if _admits(rule, "TCP", server.port, server)
    ]
    if any(_from_outside(rule, "from") for rule in rules):
        return
    about = _own(selecting)
    yield Diagnosis(
        "network-policy-shuts-webhook",
        Level.WARNING if rules else Level.ERROR,
        Ref.of(about),
        ("spec", "ingress"),
        f"it admits only pods to port {server.port} of gpuward. API servers are no pods: their calls fail, but for "
        "those that come through a tunnel whose pods are selected"
        if rules
        else f"no NetworkPolicy that selects gpuward's pods ({_named(selecting)}) admits calls to port {server.port}: "
        "every call fails",
        f"admit TCP port {server.port} from everywhere, or from the addresses of the API servers (ipBlock)",
        _adds(about, "ingress", [server.port]),
    )


def _asking(
    installation: Installation, server: Server, selecting: Sequence[JSONObject]
) -> Iterator[Diagnosis]:
    """Whether gpuward gets through to the API server, and to what knows its address."""
    if not selecting:
        return
    rules = [rule for policy in selecting for rule in items(mapping(policy, "spec"), "egress")]
    ports = _api_server_ports(installation)
    open_ports = (
        [rule for rule in rules if any(_admits(rule, "TCP", port, server) for port in ports)]
        if ports
        else [rule for rule in rules if _admits_some(rule)]
    )
    about = _own(selecting)
    if not any(_from_outside(rule, "to") for rule in open_ports):
        where = f"port {' and '.join(map(str, ports))} of the API server" if ports else "the API server"
        yield Diagnosis(
            "network-policy-shuts-api-server",
            Level.WARNING if open_ports else Level.ERROR,
            Ref.of(about),
            ("spec", "egress"),
            f"it lets gpuward's pods connect only to pods, and the API server mostly is none: {_without(server)}"
            if open_ports
            else f"no NetworkPolicy that selects gpuward's pods ({_named(selecting)}) lets them connect to {where}: "
            f"{_without(server)}",
            f"let them connect to TCP port {' and '.join(map(str, ports or (443, 6443)))}",
            _adds(about, "egress", ports or [443, 6443]),
        )
    if _asks_names(server) and not any(_admits(rule, "UDP", _DNS, server) for rule in rules):
        yield Diagnosis(
            "network-policy-shuts-dns",
            Level.ERROR,
            Ref.of(about),
            ("spec", "egress"),
            "KUBERNETES_SERVICE_HOST is a name, and no NetworkPolicy that selects gpuward's pods lets them ask for "
            f"addresses (UDP port {_DNS}): {_without(server)}",
            f"let them connect to UDP and TCP port {_DNS}",
            _adds(about, "egress", [_DNS], ("UDP", "TCP")),
        )


def _without(server: Server) -> str:
    return (
        "it gets no certificate and no labels of namespaces, and does not become ready"
        if "cert-secret" in server.flags
        else "it knows no labels of namespaces, and does not become ready"
    )


def _api_server_ports(installation: Installation) -> list[int]:
    """Where the API server itself listens, behind the Service ``kubernetes``; empty where that is not known."""
    return sorted(
        {
            number
            for obj in installation.of_kind("EndpointSlice")
            if text(mapping(obj, "metadata"), "namespace") == "default"
            and text(mapping(mapping(obj, "metadata"), "labels"), "kubernetes.io/service-name")
            == "kubernetes"
            for port in items(obj, "ports")
            if type(number := port.get("port")) is int
        }
    )


def _asks_names(server: Server) -> bool:
    """Whether it is told the API server's name instead of its address."""
    host = text(server.environment.get("KUBERNETES_SERVICE_HOST", {}), "value")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(host)
    return False


def _is_about(policy: JSONObject, direction: Direction) -> bool:
    spec = mapping(policy, "spec")
    types = strings(spec, "policyTypes")
    if types:
        return direction in types
    return direction == "Ingress" or "egress" in spec


def _admits(rule: JSONObject, protocol: str, port: int, server: Server) -> bool:
    """Whether a rule is about a port. Without any it is about all; so is an entry without one."""
    if not rule.get("ports"):
        return True
    for one in items(rule, "ports"):
        if (text(one, "protocol") or "TCP") != protocol:
            continue
        written, last = one.get("port"), one.get("endPort")
        if written is None:
            return True
        if type(written) is int and type(last) is int:
            if written <= port <= last:
                return True
        # A name is one of the container's ports, and for what they connect to, one of the other side's.
        elif (server.port_number(written) if type(written) is str else written) == port:
            return True
    return False


def _admits_some(rule: JSONObject) -> bool:
    """Whether a rule lets connect to something that may be an API server: any port by TCP but that of DNS."""
    return not rule.get("ports") or any(
        (text(one, "protocol") or "TCP") == "TCP" and one.get("port") != _DNS for one in items(rule, "ports")
    )


def _from_outside(rule: JSONObject, peers: Literal["from", "to"]) -> bool:
    """Whether a rule may be about others than pods: everybody, or addresses, which nobody can judge from here."""
    return not rule.get(peers) or any("ipBlock" in peer for peer in items(rule, peers))


def _own(selecting: Sequence[JSONObject]) -> JSONObject:
    """The one to change: that which selects these pods, rather than one for the whole namespace."""
    return next(
        (policy for policy in selecting if mapping(mapping(policy, "spec"), "podSelector")), selecting[0]
    )


def _named(selecting: Sequence[JSONObject]) -> str:
    return ", ".join(sorted(text(mapping(policy, "metadata"), "name") for policy in selecting))


def _adds(
    policy: JSONObject,
    field: Literal["ingress", "egress"],
    ports: Sequence[int],
    protocols: Sequence[str] = ("TCP",),
) -> tuple[JSONObject, ...]:
    """A rule for these ports; none for a policy of the whole namespace, where it would open all pods."""
    spec = mapping(policy, "spec")
    if not mapping(spec, "podSelector"):
        return ()
    rule = {"ports": [{"port": port, "protocol": protocol} for protocol in protocols for port in ports]}
    if type(spec.get(field)) is list:
        return (puts(("spec", field, "-"), rule),)
    return (puts(("spec", field), [rule]),)
