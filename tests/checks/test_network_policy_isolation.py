"""network-policy-isolation: what NetworkPolicies really allow, and to whom."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.network_policy_isolation import NetworkPolicyIsolation

from .objects import found, judge_object, refused_object_check
from .pods import JUNK, Said, table

TRAINING = {"matchLabels": {"tier": "ml-training"}}
SERVING = {"matchLabels": {"tier": "ml-serving"}}
STORAGE = {"matchLabels": {"tier": "data-storage"}}
BOTH = ["Ingress", "Egress"]
DNS = {
    "to": [{"namespaceSelector": {}}],
    "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
}


def policy(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": "ml"},
        "spec": spec,
    }


def ingress(*peers: Any, selector: Any = TRAINING, **rule: Any) -> dict[str, Any]:
    return policy(podSelector=selector, policyTypes=BOTH, ingress=[{"from": list(peers), **rule}])


def egress(*peers: Any, selector: Any = TRAINING, **rule: Any) -> dict[str, Any]:
    return policy(podSelector=selector, policyTypes=BOTH, egress=[{"to": list(peers), **rule}])


def tier(operator: str, *values: str) -> dict[str, Any]:
    expression: dict[str, Any] = {"key": "tier", "operator": operator}
    return {"matchExpressions": [expression | ({"values": list(values)} if values else {})]}


FROM = "spec.ingress[0].from"
TO = "spec.egress[0].to"

CASES: dict[str, tuple[dict[str, Any], Said]] = {
    # What is meant.
    "training from serving, to storage and DNS": (
        policy(
            podSelector=TRAINING,
            policyTypes=BOTH,
            ingress=[{"from": [{"podSelector": SERVING}]}],
            egress=[{"to": [{"podSelector": STORAGE}]}, DNS],
        ),
        [],
    ),
    "default deny of everything": (policy(podSelector={}, policyTypes=BOTH), []),
    "default deny of ingress": (policy(podSelector={}, policyTypes=["Ingress"]), []),
    "default deny with empty lists": (policy(podSelector={}, policyTypes=BOTH, ingress=[], egress=[]), []),
    "default deny, and DNS for all": (policy(podSelector={}, policyTypes=["Egress"], egress=[DNS]), []),
    "serving takes ingress from anywhere": (
        ingress({"ipBlock": {"cidr": "0.0.0.0/0"}}, {"namespaceSelector": {}}, selector=SERVING),
        [],
    ),
    "serving goes to training and storage": (
        egress({"podSelector": tier("In", "ml-training", "data-storage")}, selector=SERVING),
        [],
    ),
    "storage from both": (
        ingress({"podSelector": tier("In", "ml-training", "ml-serving")}, selector=STORAGE),
        [],
    ),
    "workers of one training talk to each other": (ingress({"podSelector": TRAINING}), []),
    "pods of no tier are free": (ingress({}, selector=tier("DoesNotExist")), []),
    # Rules that open everything.
    "an empty rule": (
        policy(podSelector=TRAINING, policyTypes=BOTH, ingress=[{}]),
        [("open-ingress", "spec.ingress[0]")],
    ),
    "a null rule is an empty one": (
        policy(podSelector=TRAINING, policyTypes=BOTH, ingress=[None]),
        [("open-ingress", "spec.ingress[0]")],
    ),
    "from is empty": (ingress(), [("open-ingress", FROM)]),
    "from is null": (
        policy(podSelector=TRAINING, policyTypes=BOTH, ingress=[{"from": None}]),
        [("open-ingress", FROM)],
    ),
    "ports alone bound no sources": (
        policy(podSelector=TRAINING, policyTypes=BOTH, ingress=[{"ports": [{"port": 80}]}]),
        [("open-ingress", "spec.ingress[0]")],
    ),
    "an empty egress rule": (
        policy(podSelector=TRAINING, policyTypes=BOTH, egress=[{}]),
        [("open-egress", "spec.egress[0]")],
    ),
    "all pods, and everything open": (
        policy(podSelector={}, policyTypes=BOTH, ingress=[{}], egress=[{}]),
        [("open-ingress", "spec.ingress[0]"), ("open-egress", "spec.egress[0]")],
    ),
    "no pod selector is an empty one": (
        policy(policyTypes=["Ingress"], ingress=[{}]),
        [("open-ingress", "spec.ingress[0]")],
    ),
    # Peers.
    "a peer with an empty podSelector": (
        ingress({"podSelector": {}}),
        [("peer-without-tier", f"{FROM}[0].podSelector")],
    ),
    "a peer selected by another label": (
        ingress({"podSelector": {"matchLabels": {"app": "web"}}}),
        [("peer-without-tier", f"{FROM}[0].podSelector")],
    ),
    "a peer of the wrong tier": (
        ingress({"podSelector": STORAGE}),
        [("peer-tier", f"{FROM}[0].podSelector")],
    ),
    "a peer of a tier that does not exist": (
        ingress({"podSelector": {"matchLabels": {"tier": "web"}}}),
        [("peer-tier", f"{FROM}[0].podSelector")],
    ),
    "an expression with one tier too many": (
        ingress({"podSelector": tier("In", "ml-serving", "data-storage")}),
        [("peer-tier", f"{FROM}[0].podSelector")],
    ),
    "every tier": (ingress({"podSelector": tier("Exists")}), [("peer-tier", f"{FROM}[0].podSelector")]),
    "all but one tier, and pods without any": (
        ingress({"podSelector": tier("NotIn", "data-storage")}),
        [("peer-without-tier", f"{FROM}[0].podSelector")],
    ),
    "labels and expressions narrow each other": (
        ingress({"podSelector": {**SERVING, **tier("In", "ml-serving", "data-storage")}}),
        [],
    ),
    "all pods of some namespaces": (
        ingress({"namespaceSelector": {"matchLabels": {"team": "a"}}}),
        [("peer-without-tier", f"{FROM}[0]")],
    ),
    "the tier of some namespaces": (
        ingress({"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": SERVING}),
        [],
    ),
    "all namespaces": (
        ingress({"namespaceSelector": {}}),
        [("peer-without-tier", f"{FROM}[0]"), ("any-namespace", f"{FROM}[0].namespaceSelector")],
    ),
    "the tier, of all namespaces": (
        ingress({"namespaceSelector": {}, "podSelector": SERVING}),
        [("any-namespace", f"{FROM}[0].namespaceSelector")],
    ),
    "an empty peer": (ingress({}), [("empty-peer", f"{FROM}[0]")]),
    "the internet": (
        egress({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}),
        [("ip-block", f"{TO}[0].ipBlock.cidr")],
    ),
    "every peer is judged": (
        egress({"podSelector": STORAGE}, {"podSelector": SERVING}, {"ipBlock": {"cidr": "::/0"}}),
        [("peer-tier", f"{TO}[1].podSelector"), ("ip-block", f"{TO}[2].ipBlock.cidr")],
    ),
    "storage goes nowhere": (
        egress({"podSelector": TRAINING}, selector=STORAGE),
        [("peer-tier", f"{TO}[0].podSelector")],
    ),
    # DNS.
    "DNS beside another port is no DNS": (
        egress({"namespaceSelector": {}}, ports=[{"port": 53}, {"port": 443}]),
        [("peer-without-tier", f"{TO}[0]"), ("any-namespace", f"{TO}[0].namespaceSelector")],
    ),
    "a range of ports from that of DNS": (
        policy(podSelector=TRAINING, policyTypes=BOTH, egress=[{"ports": [{"port": 53, "endPort": 60000}]}]),
        [("open-egress", "spec.egress[0]")],
    ),
    "no ports are all ports": (
        policy(podSelector=TRAINING, policyTypes=BOTH, egress=[{"ports": []}]),
        [("open-egress", "spec.egress[0]")],
    ),
    "a port without a number is all ports": (
        policy(podSelector=TRAINING, policyTypes=BOTH, egress=[{"ports": [{"protocol": "UDP"}]}]),
        [("open-egress", "spec.egress[0]")],
    ),
    "DNS to everybody": (
        policy(podSelector=TRAINING, policyTypes=BOTH, egress=[{"ports": [{"port": 53, "protocol": "UDP"}]}]),
        [],
    ),
    "ingress on port 53 is no DNS": (
        ingress(ports=[{"port": 53}]),
        [("open-ingress", FROM)],
    ),
    # policyTypes.
    "no policyTypes, no egress: only ingress is isolated": (
        policy(podSelector=TRAINING, ingress=[]),
        [("egress-not-isolated", "spec")],
    ),
    "no policyTypes, with egress rules: both are": (
        policy(podSelector=TRAINING, egress=[{"to": [{"podSelector": STORAGE}]}]),
        [],
    ),
    "egress rules without the type have no effect": (
        policy(podSelector=TRAINING, policyTypes=["Ingress"], egress=[{}]),
        [("egress-not-isolated", "spec.policyTypes")],
    ),
    "only egress is isolated": (
        policy(podSelector=TRAINING, policyTypes=["Egress"]),
        [("ingress-not-isolated", "spec.policyTypes")],
    ),
    "the ingress of serving is not restricted": (policy(podSelector=SERVING, policyTypes=["Egress"]), []),
    "a policy for a tier that does not exist": (
        policy(podSelector={"matchLabels": {"tier": "ml-trainning"}}, policyTypes=BOTH),
        [("unknown-tier", "spec.podSelector.matchLabels.tier")],
    ),
    # Policies that select by other labels.
    "a policy by another label can be for every tier": (
        ingress({"podSelector": {}}, selector={"matchLabels": {"app": "x"}}),
        [("peer-without-tier", f"{FROM}[0].podSelector")],
    ),
    "a policy for all but training and storage": (
        ingress({"podSelector": {}}, selector=tier("NotIn", "ml-training", "data-storage")),
        [],
    ),
    "a peer that suits all tiers": (ingress({"podSelector": SERVING}, selector={}), []),
}


@table(CASES, "obj, said")
def test_what_a_policy_allows_is_what_the_tiers_may(obj: dict[str, Any], said: Said) -> None:
    assert judge_object(NetworkPolicyIsolation, obj) == said


OWN = {
    "key": "app.kubernetes.io/component",
    "tiers": [
        {"name": "front", "egressTo": ["back"]},
        {"name": "back", "ingressFrom": ["front"], "egressTo": []},
    ],
}
FRONT = {"matchLabels": {"app.kubernetes.io/component": "front"}}
BACK = {"matchLabels": {"app.kubernetes.io/component": "back"}}

SETTINGS: dict[str, tuple[Any, dict[str, Any], Said]] = {
    "other tiers by another label": (OWN, ingress({"podSelector": FRONT}, selector=BACK), []),
    "other tiers, the wrong way": (
        OWN,
        egress({"podSelector": FRONT}, selector=BACK),
        [("peer-tier", f"{TO}[0].podSelector")],
    ),
    "not within a tier": (
        {"withinTier": False},
        ingress({"podSelector": TRAINING}),
        [("peer-tier", f"{FROM}[0].podSelector")],
    ),
    "one direction is enough": ({"bothDirections": False}, policy(podSelector=TRAINING, ingress=[]), []),
    "no DNS": (
        {"dnsPorts": []},
        policy(podSelector=TRAINING, policyTypes=BOTH, egress=[{"ports": [{"port": 53}]}]),
        [("open-egress", "spec.egress[0]")],
    ),
    "DNS on another port": (
        {"dnsPorts": [53, 5353]},
        policy(podSelector=TRAINING, policyTypes=BOTH, egress=[{"ports": [{"port": 5353}]}]),
        [],
    ),
    "a range that is allowed": (
        {"allowedCIDRs": ["10.20.0.0/16", "fd00::/8"]},
        egress({"ipBlock": {"cidr": "10.20.30.0/24"}}, {"ipBlock": {"cidr": "fd00:1::/32"}}),
        [],
    ),
    "a range that is wider than the one allowed": (
        {"allowedCIDRs": ["10.20.0.0/16"]},
        egress({"ipBlock": {"cidr": "10.0.0.0/8"}}, {"ipBlock": {"cidr": "junk"}}),
        [("ip-block", f"{TO}[0].ipBlock.cidr"), ("ip-block", f"{TO}[1].ipBlock.cidr")],
    ),
    "the monitoring may always come": (
        {"allowedNamespaces": ["monitoring"]},
        ingress({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}),
        [],
    ),
    "by an expression": (
        {"allowedNamespaces": ["monitoring*"]},
        ingress({"namespaceSelector": {"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["monitoring", "monitoring-2"]}
        ]}}),
        [],
    ),
    "others may not": (
        {"allowedNamespaces": ["monitoring"]},
        ingress({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "web"}}}),
        [("peer-without-tier", f"{FROM}[0]")],
    ),
}  # fmt: skip


@table(SETTINGS, "parameters, obj, said")
def test_the_settings_say_what_is_intended(parameters: Any, obj: dict[str, Any], said: Said) -> None:
    assert judge_object(NetworkPolicyIsolation, obj, parameters) == said


MESSAGES: dict[str, tuple[dict[str, Any], str]] = {
    "an empty rule": (
        policy(podSelector=TRAINING, policyTypes=BOTH, ingress=[{}]),
        "an empty rule allows connections from everybody; in a podSelector name tier: ml-training or ml-serving",
    ),
    "a tier that may not": (
        egress({"podSelector": SERVING}),
        (
            "pods of tier ml-serving may not be a destination of tier ml-training; "
            "in a podSelector name tier: ml-training or data-storage"
        ),
    ),
    "no tier is named": (
        ingress({"podSelector": {}}, selector={}),
        (
            "all pods (the podSelector is empty) may not be a source of tiers data-storage and ml-training; "
            "in a podSelector name tier: ml-training or ml-serving; "
            "or name the tier in spec.podSelector, if only some pods are meant"
        ),
    ),
    "a misspelt tier": (
        policy(podSelector={"matchLabels": {"tier": "ml-trainning"}}),
        'the policy is for a tier that does not exist; did you mean "ml-training"?',
    ),
}


@table(MESSAGES, "obj, message")
def test_the_message_says_what_to_write(obj: dict[str, Any], message: str) -> None:
    assert [v.message for v in found(NetworkPolicyIsolation, obj)] == [message]


@pytest.mark.parametrize("junk", JUNK)
def test_parts_of_the_wrong_type_do_not_crash(junk: Any) -> None:
    for obj in (
        policy(podSelector=junk, ingress=junk, egress=junk, policyTypes=junk),
        ingress(junk),
        ingress({"podSelector": junk, "namespaceSelector": junk, "ipBlock": junk}),
        ingress({"podSelector": {"matchLabels": {"tier": junk}, "matchExpressions": junk}}),
        egress({"podSelector": {}}, ports=junk),
        egress({"podSelector": {}}, ports=[junk, {"port": junk}]),
    ):
        judge_object(NetworkPolicyIsolation, obj)


BAD_PARAMETERS: dict[str, tuple[Any, str, str]] = {
    "an unknown tier": (
        {"tiers": [{"name": "a", "ingressFrom": ["b"]}]}, "tiers[0].ingressFrom[0]", '"b" is no tier; the tiers are a',
    ),
    "a misspelt tier": (
        {"tiers": [{"name": "train"}, {"name": "serve", "egressTo": ["trian"]}]}, "tiers[1].egressTo[0]", '"train"?',
    ),
    "a tier twice": ({"tiers": [{"name": "a"}, {"name": "a"}]}, "tiers[1].name", "twice"),
    "a tier no label can name": ({"tiers": [{"name": "a b"}]}, "tiers[0].name", "must be"),
    "a key no label can have": ({"key": "a b"}, "key", "must be a name"),
    "a range that is none": ({"allowedCIDRs": ["10.0.0.0/8", "10.0.0.1/8"]}, "allowedCIDRs[1]", "no address range"),
}  # fmt: skip


@table(BAD_PARAMETERS, "parameters, field, message")
def test_parameters_that_cannot_be_meant_are_refused(parameters: Any, field: str, message: str) -> None:
    error = refused_object_check(NetworkPolicyIsolation, parameters)
    assert error.field == field
    assert message in str(error)
