"""The check ``ingress-hosts-and-tls``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Final

from webhook.checks.wording import listed, short
from webhook.kube.path import Path
from webhook.kube.shape import JSONObject, indexed, strings, text
from webhook.policy.constraints import MinLen
from webhook.policy.findings import Severity, Violation
from webhook.policy.match import Names
from webhook.policy.rule import Context, ObjectCheck
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.object import Object

# What named the class before spec.ingressClassName did.
_CLASS_ANNOTATION: Final = "kubernetes.io/ingress.class"


class IngressHostsAndTls(ObjectCheck):
    """An Ingress serves hosts that it names, and each of them over TLS.

    Why:
        A rule without a host answers for every name that leads to the load balancer, those of other teams too. Without
        TLS, prompts, answers and tokens cross the network in the clear.

    Restricted fields:
        spec.rules[*].host
        spec.tls[*].hosts
        spec.defaultBackend
        spec.ingressClassName

    Allowed values:
        There is a rule, and every rule has a host; one with a * only with ``allowWildcardHosts``; where ``hosts`` is
        given, one of those. Every host is among the hosts of an entry of tls, itself or as *.DOMAIN for one part in
        front. An entry of tls without hosts covers none: what it stands for is the controller's choice. No
        defaultBackend (in older versions: backend) without tls. Where ``ingressClasses`` is given, the class is one of
        those, and named: a default class is not known here.

    Remediation:
        Give every rule a host, and list it under tls with the secret of its certificate:
        tls: [{hosts: [model.example.com], secretName: model-tls}].

    Source:
        https://kubernetes.io/docs/concepts/services-networking/ingress/#tls
        k8s.io/api networking/v1/types.go (IngressRule, IngressTLS)
    """

    name = "ingress-hosts-and-tls"
    title = "Ingresses name their hosts and serve them over TLS"
    severity = Severity.MEDIUM
    kinds = (("networking.k8s.io", "Ingress"), ("extensions", "Ingress"))

    class Parameters(Strict, frozen=True):
        """Settings of ``ingress-hosts-and-tls``."""

        allowWildcardHosts: bool = False
        """Whether a host may be a wildcard (``*.example.com``)."""
        hosts: tuple[Annotated[str, MinLen(1)], ...] = ()
        """Hosts that may be served, or globs over them (``*.ml.example.com``). Without it: any."""
        ingressClasses: tuple[Annotated[str, MinLen(1)], ...] = ()
        """Ingress classes that may be used, or globs over them. Without it: any, and the default one."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        self._wildcards = parameters.allowWildcardHosts
        self._hosts = Names(parameters.hosts)
        self._classes = Names(parameters.ingressClasses)

    def __call__(self, obj: Object) -> Iterator[Violation]:
        spec = obj.spec
        rules = indexed(spec, "rules")
        tls = indexed(spec, "tls")
        secured = [host for _, entry in tls for host in strings(entry, "hosts")]
        if not rules:
            yield Violation(
                "host-missing",
                ("spec", "rules") if "rules" in spec else ("spec",),
                "the ingress has no rule with a host; add one to rules, such as {host: model.example.com, http: ...}",
            )
        for i, rule in rules:
            yield from self._rule(rule, ("spec", "rules", i), secured)
        for i, entry in tls:
            if not strings(entry, "hosts"):
                yield Violation(
                    "tls-without-hosts",
                    ("spec", "tls", i, "hosts") if "hosts" in entry else ("spec", "tls", i),
                    "the entry of tls names no hosts, so which of them it secures is left to the controller; add hosts",
                )
        if not tls:
            for field in ("defaultBackend", "backend"):
                if type(spec.get(field)) is dict:
                    yield Violation(
                        "default-backend-without-tls",
                        ("spec", field),
                        f"the {field} answers for every host, without TLS; give the backend a rule with a host, and "
                        "list that under tls",
                    )
        yield from self._class(obj)

    def _rule(self, rule: JSONObject, path: Path, secured: Sequence[str]) -> Iterator[Violation]:
        host = text(rule, "host")
        where = (*path, "host") if "host" in rule else path
        if not host:
            yield Violation(
                "host-missing",
                where,
                "the rule has no host, so it answers for every name that leads here; add host, such as "
                "model.example.com",
            )
            return
        if "*" in host and not self._wildcards:
            yield Violation(
                "wildcard-host",
                where,
                f"{short(host)} takes every name of the domain; write the one host that is meant",
            )
        elif not self._hosts.match(host):
            yield Violation(
                "host-not-allowed",
                where,
                f"{short(host)} is none of the hosts of this cluster's ML services; write "
                f"{listed(self.parameters.hosts, 'or')}",
            )
        if not any(_covers(name, host) for name in secured):
            yield Violation(
                "host-without-tls",
                where,
                f"{short(host)} is served without TLS; add tls: [{{hosts: [{short(host)}], secretName: ...}}]",
            )

    def _class(self, obj: Object) -> Iterator[Violation]:
        if self._classes.everything:
            return
        spec, annotations = obj.spec, obj.annotations
        path: Path = ("spec", "ingressClassName") if "ingressClassName" in spec else ("spec",)
        name = text(spec, "ingressClassName")
        if not name and _CLASS_ANNOTATION in annotations:
            path, name = ("metadata", "annotations", _CLASS_ANNOTATION), text(annotations, _CLASS_ANNOTATION)
        if not name or not self._classes.match(name):
            found = (
                f'the ingress class "{short(name)}" is not for ML services'
                if name
                else "no ingress class is named"
            )
            yield Violation(
                "ingress-class",
                path,
                f"{found}; write ingressClassName: {listed(self.parameters.ingressClasses, 'or')}",
            )


def _covers(name: str, host: str) -> bool:
    """Whether a name under ``tls`` stands for a host: the same, or with a * for its first part."""
    name, host = name.lower(), host.lower()
    return name == host or (name.startswith("*.") and host.partition(".")[2] == name[2:] and name != "*.")
