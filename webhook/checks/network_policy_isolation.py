"""The check ``network-policy-isolation``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Struct

from webhook.checks.wording import listed, short
from webhook.kube.names import NAMESPACE_NAME_LABEL, label_key_problem, label_value_problem
from webhook.kube.path import Path
from webhook.kube.shape import JSONObject, items, mapping, strings
from webhook.policy.constraints import Ge, Le, MinLen
from webhook.policy.findings import Severity, Violation
from webhook.policy.match import Listed
from webhook.policy.problems import did_you_mean
from webhook.policy.rule import Context, ObjectCheck, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.object import Object


class Tier(Strict, frozen=True):
    """One tier, and whom its pods may talk to."""

    name: Annotated[str, MinLen(1)]
    """The value of the tier label."""
    ingressFrom: tuple[str, ...] | None = None
    """The tiers that may connect to it. An empty list is none of the others; without it anybody may."""
    egressTo: tuple[str, ...] | None = None
    """The tiers it may connect to. An empty list is none of the others; without it, it may go anywhere."""


_TIERS: Final = (
    Tier("ml-training", ingressFrom=("ml-serving",), egressTo=("data-storage",)),
    Tier("ml-serving", ingressFrom=None, egressTo=("ml-training", "data-storage")),
    Tier("data-storage", ingressFrom=("ml-training", "ml-serving"), egressTo=()),
)


# What pods may be besides of one of the tiers. No label can have these values.
_OTHER: Final = " other"
_NONE: Final = " none"


class _Allowed(Struct, frozen=True):
    """Whom the pods of each tier may talk to in one direction; a tier that is not in it, to anybody."""

    # ingress or egress.
    direction: str
    # The field of a rule that lists its peers.
    peers: str
    tiers: dict[str, frozenset[str]]


class NetworkPolicyIsolation(ObjectCheck):
    """A NetworkPolicy keeps the tiers of a namespace apart as they are meant to be.

    Why:
        NetworkPolicies add up: whatever one of them allows is allowed. One rule without peers, or one peer with an
        empty selector, and training code that came with somebody's image reaches the data of every team, or the
        internet. It looks much like its opposite: from: [] allows everything, ingress: [] nothing.

    Restricted fields:
        spec.podSelector
        spec.policyTypes
        spec.ingress[*].from[*]
        spec.egress[*].to[*]

    Allowed values:
        A pod's tier is its label ``key``. For the pods that the policy selects, each rule allows at most what
        ``tiers`` says of their tier: peers that select pods of allowed tiers by that label, and of no other. A policy
        that selects pods without naming a tier is judged as one for all tiers, which is what it can be.

        Never allowed where a tier is restricted: a rule without peers (from or to absent or empty, as both stand for
        everybody), a peer without selectors, a podSelector that leaves the tier open (an empty one selects all pods),
        an empty namespaceSelector (all namespaces, where anybody may label pods), and an ipBlock, unless it lies
        within one of ``allowedCIDRs``.

        Always allowed: a policy without rules, which denies (such as a default for podSelector: {}); pods of the same
        tier with ``withinTier``; egress to ``dnsPorts`` alone, to whomever; namespaces that the peer selects by name
        and that are among ``allowedNamespaces``.

        With ``bothDirections``, a policy that names a tier isolates it in every direction in which the tier is
        restricted: policyTypes has it. That takes nothing away that another policy allows. Without policyTypes,
        Ingress counts as there, and Egress where there are egress rules. Ports are otherwise not looked at.

        Policies of other kinds (AdminNetworkPolicy, CiliumNetworkPolicy) are not judged.

    Remediation:
        Name the tier in podSelector, and in each peer the tiers that are meant: podSelector: {matchLabels: {tier:
        ml-serving}}.

    Source:
        https://kubernetes.io/docs/concepts/services-networking/network-policies/
        k8s.io/api networking/v1/types.go (NetworkPolicySpec, NetworkPolicyPeer); k8s.io/kubernetes
        pkg/apis/networking/v1/defaults.go (SetDefaults_NetworkPolicy)
    """

    name = "network-policy-isolation"
    title = "Network policies keep tiers apart"
    severity = Severity.HIGH
    kinds = (("networking.k8s.io", "NetworkPolicy"), ("extensions", "NetworkPolicy"))

    class Parameters(Strict, frozen=True):
        """Settings of ``network-policy-isolation``."""

        key: Annotated[str, MinLen(1)] = "tier"
        """The label that says which tier a pod is of."""
        tiers: Annotated[tuple[Tier, ...], MinLen(1)] = _TIERS
        """The tiers, and whom their pods may talk to."""
        withinTier: bool = True
        """Whether pods of one tier may talk to each other, as the workers of a distributed training must."""
        bothDirections: bool = True
        """Whether a policy that names a tier must isolate it in every direction in which the tier is restricted."""
        dnsPorts: tuple[Annotated[int, Ge(1), Le(65535)], ...] = (53,)
        """Ports on which egress is allowed to everybody, as names have to be resolved somewhere; with an empty list
        there are none. OpenShift's DNS listens on 5353."""
        allowedCIDRs: tuple[str, ...] = ()
        """Address ranges that may be named in an ipBlock, such as those of an object store."""
        allowedNamespaces: tuple[Annotated[str, MinLen(1)], ...] = ()
        """Namespaces whose pods all tiers may talk to, in both directions, where a peer selects them by the label
        kubernetes.io/metadata.name: that of the monitoring, for example. Names, or globs over them."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        if problem := label_key_problem(parameters.key):
            raise ParameterError(f"{problem}", "key")
        known = [tier.name for tier in parameters.tiers]
        for i, tier in enumerate(parameters.tiers):
            _refuse_unknown(tier, known, i)
        self._key = parameters.key
        self._known = frozenset(known)
        self._directions = tuple(
            _Allowed(
                direction,
                peers,
                {
                    tier.name: frozenset({*others, tier.name} if parameters.withinTier else others)
                    for tier in parameters.tiers
                    if (others := getattr(tier, field)) is not None
                },
            )
            for direction, peers, field in (("ingress", "from", "ingressFrom"), ("egress", "to", "egressTo"))
        )
        self._both_directions = parameters.bothDirections
        self._dns_ports = frozenset(parameters.dnsPorts)
        self._namespaces = Listed(parameters.allowedNamespaces)
        self._within_allowed_range = _ranges(parameters.allowedCIDRs)

    def __call__(self, obj: Object) -> Iterator[Violation]:
        spec = obj.spec
        selector = mapping(spec, "podSelector")
        selected = self._tiers(selector)
        yield from self._unknown_tiers(selector, ("spec", "podSelector"), selected)
        # Pods that are of no tier are nobody's business here.
        tiers = sorted(selected & self._known)
        if not tiers:
            return
        named = self._names_tier(selector)
        types = _policy_types(spec)
        for allowed in self._directions:
            restricted = [tier for tier in tiers if tier in allowed.tiers]
            if not restricted:
                continue
            if allowed.direction in types:
                yield from self._rules(spec, allowed, restricted, named=named)
            elif named and self._both_directions:
                title = allowed.direction.capitalize()
                yield Violation(
                    f"{allowed.direction}-not-isolated",
                    ("spec", "policyTypes") if "policyTypes" in spec else ("spec",),
                    f"{allowed.direction} of {_called(restricted)} is not isolated by this policy; write policyTypes: "
                    f"[Ingress, Egress]: {title} without rules takes nothing away that another policy allows",
                )

    def _rules(
        self, spec: JSONObject, allowed: _Allowed, restricted: Sequence[str], *, named: bool
    ) -> Iterator[Violation]:
        direction, peers_field = allowed.direction, allowed.peers
        for i, rule in _entries(spec, direction):
            if direction == "egress" and self._is_dns(rule):
                continue
            path: Path = ("spec", direction, i)
            peers = rule.get(peers_field)
            if not peers and type(peers) in (type(None), list):
                yield Violation(
                    f"open-{direction}",
                    (*path, peers_field) if peers_field in rule else path,
                    f"{_without(rule, peers_field)} allows {_what(direction)} everybody; "
                    + self._advice(allowed, restricted, named=named),
                )
            for j, peer in _entries(rule, peers_field):
                where = (*path, peers_field, j)
                yield from self._peer(peer, where, allowed, restricted, named=named)

    def _peer(
        self, peer: JSONObject, path: Path, allowed: _Allowed, restricted: Sequence[str], *, named: bool
    ) -> Iterator[Violation]:
        direction = allowed.direction
        if type(peer.get("ipBlock")) is dict:
            block = mapping(peer, "ipBlock")
            if not self._within_allowed_range(block.get("cidr")):
                yield Violation(
                    "ip-block",
                    (*path, "ipBlock", "cidr") if "cidr" in block else (*path, "ipBlock"),
                    f"the address range {short(block.get('cidr'))} is no tier that may be {_party(direction)} of "
                    f"{_called(restricted)}; " + self._advice(allowed, restricted, named=named),
                )
            return
        by_pod, by_namespace = (type(peer.get(f)) is dict for f in ("podSelector", "namespaceSelector"))
        if not by_pod and not by_namespace:
            yield Violation(
                "empty-peer",
                path,
                "the peer selects nothing by podSelector, namespaceSelector or ipBlock, which no API server accepts; "
                + self._advice(allowed, restricted, named=named),
            )
            return
        namespaces = mapping(peer, "namespaceSelector")
        if by_namespace and self._may_talk(namespaces):
            return
        selector = mapping(peer, "podSelector")
        selected = self._tiers(selector)
        reached = [tier for tier in restricted if not selected <= allowed.tiers[tier]]
        if reached:
            yield Violation(
                "peer-without-tier" if _NONE in selected else "peer-tier",
                (*path, "podSelector") if by_pod else path,
                self._who(selector, selected, by_pod=by_pod, reached=reached, allowed=allowed)
                + f" may not be {_party(direction)} of {_called(reached)}; "
                + self._advice(allowed, reached, named=named),
            )
        if by_namespace and not _requirements(namespaces):
            yield Violation(
                "any-namespace",
                (*path, "namespaceSelector"),
                "an empty namespaceSelector selects all namespaces, where anybody can label a pod "
                f"{short(self._key)}; leave it out for this namespace, or select others by a label",
            )

    def _who(
        self,
        selector: JSONObject,
        selected: frozenset[str],
        *,
        by_pod: bool,
        reached: Sequence[str],
        allowed: _Allowed,
    ) -> str:
        if not by_pod:
            return "all pods of the selected namespaces"
        if not _requirements(selector):
            return "all pods (the podSelector is empty)"
        if _NONE in selected:
            return f"pods that the podSelector selects without naming their {short(self._key)}"
        wrong = sorted(selected - frozenset.intersection(*(allowed.tiers[tier] for tier in reached)))
        known = [tier for tier in wrong if tier in self._known]
        return f"pods of {_called(known)}" if known else f"pods of an unknown {short(self._key)}"

    def _advice(self, allowed: _Allowed, tiers: Sequence[str], *, named: bool) -> str:
        common = frozenset.intersection(*(allowed.tiers[tier] for tier in tiers))
        # Listed as the policy lists them.
        names = [tier.name for tier in self.parameters.tiers if tier.name in common]
        wanted = f"in a podSelector name {short(self._key)}: {listed(names, 'or')}" if names else "remove it"
        if named:
            return wanted
        return f"{wanted}; or name the {short(self._key)} in spec.podSelector, if only some pods are meant"

    def _unknown_tiers(
        self, selector: JSONObject, path: Path, selected: frozenset[str]
    ) -> Iterator[Violation]:
        """A policy for a tier that does not exist isolates nobody, and its author believes it does."""
        if selected != {_OTHER}:
            return
        labels = mapping(selector, "matchLabels")
        if self._key in labels:
            path = (*path, "matchLabels", self._key)
        value = labels.get(self._key)
        meant = did_you_mean(value, sorted(self._known)) if type(value) is str else ""
        yield Violation(
            "unknown-tier",
            path,
            f"the policy is for a {short(self._key)} that does not exist; "
            + (meant or f"write {listed([t.name for t in self.parameters.tiers], 'or')}"),
        )

    def _names_tier(self, selector: JSONObject) -> bool:
        return self._key in mapping(selector, "matchLabels") or any(
            e.get("key") == self._key and e.get("operator") != "NotIn"
            for e in items(selector, "matchExpressions")
        )

    def _tiers(self, selector: JSONObject) -> frozenset[str]:
        """The tiers of which the selected pods may be; ``_OTHER`` for other values of the label, ``_NONE`` for none."""
        possible = self._known | {_OTHER, _NONE}
        labels = mapping(selector, "matchLabels")
        if self._key in labels:
            possible &= self._values((labels[self._key],))
        for expression in items(selector, "matchExpressions"):
            if expression.get("key") != self._key:
                continue
            operator, values = expression.get("operator"), strings(expression, "values")
            if operator == "In":
                possible &= self._values(values)
            elif operator == "NotIn":
                possible -= self._known.intersection(values)
            elif operator == "Exists":
                possible -= {_NONE}
            elif operator == "DoesNotExist":
                possible &= {_NONE}
        return possible

    def _values(self, values: Sequence[Any]) -> frozenset[str]:
        return frozenset(value if type(value) is str and value in self._known else _OTHER for value in values)

    def _may_talk(self, selector: JSONObject) -> bool:
        """Whether a namespaceSelector selects, by name, only namespaces that everybody may talk to."""
        named = [mapping(selector, "matchLabels").get(NAMESPACE_NAME_LABEL)]
        for expression in items(selector, "matchExpressions"):
            if expression.get("key") == NAMESPACE_NAME_LABEL and expression.get("operator") == "In":
                values = strings(expression, "values")
                if values and all(map(self._namespaces.match, values)):
                    return True
        return any(type(name) is str and self._namespaces.match(name) for name in named)

    def _is_dns(self, rule: JSONObject) -> bool:
        """Whether an egress rule is for nothing but ports of the DNS. A rule without ports is for all."""
        ports = rule.get("ports")
        if type(ports) is not list or not ports:
            return False
        return all(
            type(port) is dict
            and type(port.get("port")) is int
            and port["port"] in self._dns_ports
            and port.get("endPort") in (None, port["port"])
            and port.get("protocol") in (None, "UDP", "TCP")
            for port in ports
        )


def _refuse_unknown(tier: Tier, known: Sequence[str], index: int) -> None:
    field = f"tiers[{index}]"
    if problem := label_value_problem(tier.name):
        raise ParameterError(problem, f"{field}.name")
    if known.index(tier.name) != index:
        raise ParameterError(f'the tier "{short(tier.name)}" is there twice', f"{field}.name")
    for name, others in (("ingressFrom", tier.ingressFrom), ("egressTo", tier.egressTo)):
        for i, other in enumerate(others or ()):
            if other not in known:
                hint = did_you_mean(other, known) or f"the tiers are {listed(known)}"
                raise ParameterError(f'"{short(other)}" is no tier; {hint}', f"{field}.{name}[{i}]")


def _ranges(allowed: Sequence[str]) -> Callable[[Any], bool]:
    """A function that says whether a CIDR lies within one of those allowed."""
    if not allowed:
        return lambda _: False
    # Imported where it is needed: the shipped policies allow no ranges, and it is not small.
    from ipaddress import IPv4Network, IPv6Network, ip_network

    networks: list[IPv4Network | IPv6Network] = []
    for i, written in enumerate(allowed):
        try:
            networks.append(ip_network(written))
        except ValueError:
            message = f'"{short(written)}" is no address range; write it as 10.20.0.0/16'
            raise ParameterError(message, f"allowedCIDRs[{i}]") from None

    def within(cidr: Any) -> bool:
        try:
            network = ip_network(cidr, strict=False) if type(cidr) is str else None
        except ValueError:
            return False
        return network is not None and any(
            network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]  # of one version
            for other in networks
        )

    return within


def _policy_types(spec: JSONObject) -> frozenset[str]:
    """The directions a policy isolates, as the API server takes them where they are not written."""
    written = spec.get("policyTypes")
    if type(written) is list and written:
        return frozenset(item.lower() for item in written if item in ("Ingress", "Egress"))
    return frozenset({"ingress", "egress"} if spec.get("egress") else {"ingress"})


def _entries(parent: JSONObject, key: str) -> Iterator[tuple[int, JSONObject]]:
    """The maps of a list with their indexes; null is decoded as an empty one, which allows everything."""
    value = parent.get(key)
    for i, entry in enumerate(value if type(value) is list else ()):
        if entry is None:
            yield i, {}
        elif type(entry) is dict:
            yield i, entry


def _requirements(selector: JSONObject) -> bool:
    return bool(selector.get("matchLabels") or selector.get("matchExpressions"))


def _without(rule: JSONObject, peers: str) -> str:
    if not rule:
        return "an empty rule"
    return f'a rule with an empty "{peers}"' if peers in rule else f'a rule without "{peers}"'


def _what(direction: str) -> str:
    return "connections from" if direction == "ingress" else "connections to"


def _party(direction: str) -> str:
    return "a source" if direction == "ingress" else "a destination"


def _called(names: Sequence[str]) -> str:
    return f"{'tier' if len(names) == 1 else 'tiers'} {listed(names)}"
