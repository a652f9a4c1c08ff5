"""ingress-hosts-and-tls: hosts that are named, and served over TLS."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.ingress_hosts_and_tls import IngressHostsAndTls

from .objects import found, judge_object
from .pods import JUNK, Said, table

BACKEND = {"service": {"name": "model", "port": {"number": 80}}}


def ingress(*hosts: Any, tls: Any = None, **spec: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"rules": [{"host": host} if host is not None else {} for host in hosts], **spec}
    if tls is not None:
        made["tls"] = tls
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"}, "spec": made}


def secured(*hosts: str) -> list[dict[str, Any]]:
    return [{"hosts": list(hosts), "secretName": "tls"}]


HOST = "spec.rules[0].host"
CLASSES = {"ingressClasses": ["internal-*"]}
ANNOTATED = {
    **ingress("a.b", tls=secured("a.b")),
    "metadata": {"annotations": {"kubernetes.io/ingress.class": "web"}},
}

CASES: dict[str, tuple[Any, dict[str, Any], Said]] = {
    "a host with TLS": ({}, ingress("m.example.com", tls=secured("m.example.com")), []),
    "hosts in several entries": ({}, ingress("a.b", "c.d", tls=[*secured("a.b"), *secured("c.d")]), []),
    "no TLS": ({}, ingress("m.example.com"), [("host-without-tls", HOST)]),
    "TLS for another host": (
        {},
        ingress("m.example.com", tls=secured("n.example.com")),
        [("host-without-tls", HOST)],
    ),
    "a wildcard certificate": ({}, ingress("m.example.com", tls=secured("*.example.com")), []),
    "a wildcard stands for one part": (
        {},
        ingress("a.m.example.com", tls=secured("*.example.com")),
        [("host-without-tls", HOST)],
    ),
    "a wildcard does not stand for its domain": (
        {},
        ingress("example.com", tls=secured("*.example.com")),
        [("host-without-tls", HOST)],
    ),
    "case does not matter": ({}, ingress("M.example.com", tls=secured("m.Example.com")), []),
    "no host": ({}, ingress(None, tls=secured("a.b")), [("host-missing", "spec.rules[0]")]),
    "an empty host": ({}, ingress("", tls=secured("a.b")), [("host-missing", HOST)]),
    "no rules": ({}, {**ingress(), "spec": {"tls": secured("a.b")}}, [("host-missing", "spec")]),
    "every host is judged": (
        {},
        ingress("a.b", None, "c.d"),
        [
            ("host-without-tls", HOST),
            ("host-missing", "spec.rules[1]"),
            ("host-without-tls", "spec.rules[2].host"),
        ],
    ),
    "a wildcard host": ({}, ingress("*.b.c", tls=secured("*.b.c")), [("wildcard-host", HOST)]),
    "a wildcard host that is allowed": (
        {"allowWildcardHosts": True},
        ingress("*.b.c", tls=secured("*.b.c")),
        [],
    ),
    "a host of ours": ({"hosts": ["*.ml.io"]}, ingress("a.ml.io", tls=secured("a.ml.io")), []),
    "a host of others": (
        {"hosts": ["*.ml.io"]},
        ingress("a.web.io", tls=secured("a.web.io")),
        [("host-not-allowed", HOST)],
    ),
    "TLS without hosts covers none": (
        {},
        ingress("a.b", tls=[{"secretName": "tls"}]),
        [("host-without-tls", HOST), ("tls-without-hosts", "spec.tls[0]")],
    ),
    "a default backend without TLS": (
        {},
        ingress("a.b", defaultBackend=BACKEND),
        [("host-without-tls", HOST), ("default-backend-without-tls", "spec.defaultBackend")],
    ),
    "a default backend beside TLS": ({}, ingress("a.b", tls=secured("a.b"), defaultBackend=BACKEND), []),
    "nothing but a default backend": (
        {},
        {**ingress(), "spec": {"defaultBackend": BACKEND}},
        [("host-missing", "spec"), ("default-backend-without-tls", "spec.defaultBackend")],
    ),
    "the backend of old versions": (
        {},
        {**ingress("a.b", backend={"serviceName": "x"}), "apiVersion": "extensions/v1beta1"},
        [("host-without-tls", HOST), ("default-backend-without-tls", "spec.backend")],
    ),
    "a class that is allowed": (
        CLASSES,
        ingress("a.b", tls=secured("a.b"), ingressClassName="internal-1"),
        [],
    ),
    "a class that is not": (
        CLASSES,
        ingress("a.b", tls=secured("a.b"), ingressClassName="public"),
        [("ingress-class", "spec.ingressClassName")],
    ),
    "the default class is not known": (
        CLASSES,
        ingress("a.b", tls=secured("a.b")),
        [("ingress-class", "spec")],
    ),
    "the class by annotation": (
        CLASSES,
        ANNOTATED,
        [("ingress-class", "metadata.annotations[kubernetes.io/ingress.class]")],
    ),
}


@table(CASES, "parameters, obj, said")
def test_hosts_are_named_and_secured(parameters: Any, obj: dict[str, Any], said: Said) -> None:
    assert judge_object(IngressHostsAndTls, obj, parameters) == said


def test_the_message_says_what_to_write() -> None:
    (violation,) = found(IngressHostsAndTls, ingress("m.example.com"))
    assert (
        violation.message
        == "m.example.com is served without TLS; add tls: [{hosts: [m.example.com], secretName: ...}]"
    )


@pytest.mark.parametrize("junk", JUNK)
def test_parts_of_the_wrong_type_do_not_crash(junk: Any) -> None:
    for obj in (
        ingress(junk, tls=junk),
        {**ingress(), "spec": {"rules": junk, "tls": junk, "defaultBackend": junk, "ingressClassName": junk}},
        ingress("a.b", tls=[junk, {"hosts": junk}, {"hosts": [junk]}]),
        {**ingress("a.b"), "metadata": {"annotations": {"kubernetes.io/ingress.class": junk}}},
    ):
        judge_object(IngressHostsAndTls, obj, {**CLASSES, "hosts": ["x"]})
