"""Every fault is found, and a good installation has none."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jsonpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certs.mint import mint_ca, mint_leaf
from tests.doctor.installs import NAMES, NOW, Install, authority, encoded, entry
from tests.strategies import json_values
from tests.support import REPOSITORY
from webhook.cli.serve import add_arguments
from webhook.doctor import Installation, Level, examine, installation, lifecycle
from webhook.kube.path import MISSING, lookup

Break = Callable[[Install], Any]

LEASES = {
    "apiGroups": ["coordination.k8s.io"],
    "apiVersions": ["v1"],
    "resources": ["leases"],
    "operations": ["*"],
}
ALL = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}


def _rule(group: str, resource: str) -> dict[str, Any]:
    return {"apiGroups": [group], "apiVersions": ["v1"], "resources": [resource], "operations": ["*"]}


def _select(install: Install, selector: Any) -> None:
    install.enforcing["namespaceSelector"] = selector


def _opted_in(*values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": "gpuward.dev/mode", "operator": "In", "values": list(values)}]}


def _excluding_nothing(install: Install, namespace: str) -> None:
    _select(install, _opted_in("enforce"))
    install.label(namespace, {"gpuward.dev/mode": "enforce"})


def _all_namespaces(install: Install) -> None:
    del install.enforcing["namespaceSelector"]


def _bundle(install: Install, pem: bytes | None) -> None:
    for webhook in install.mutating + install.validating:
        if pem is None:
            del webhook["clientConfig"]["caBundle"]
        else:
            webhook["clientConfig"]["caBundle"] = encoded(pem)


def _scaler(install: Install, least: int) -> None:
    install.add(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "gpuward", "namespace": "gpuward-system"},
            "spec": {
                "minReplicas": least,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "gpuward"},
            },
        }
    )


def _other(install: Install, kind: str, **changes: Any) -> None:
    webhook = {**entry("mutate", "enforce"), "name": "inject.mesh.example", **changes}
    webhook["clientConfig"] = {"service": {"namespace": "mesh", "name": "mesh", "path": "/inject"}}
    metadata = {"name": "mesh"}
    install.add(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": metadata,
            "webhooks": [webhook],
        }
    )


def _budget(install: Install, **spec: Any) -> None:
    budget = install["PodDisruptionBudget gpuward"]
    budget["spec"] = {"selector": budget["spec"]["selector"], **spec}


def _cluster_admin(install: Install) -> None:
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    install["ClusterRole gpuward"]["rules"].append(everything)


def _network(install: Install, **spec: Any) -> None:
    """Replace parts of the NetworkPolicy of the pods."""
    install["NetworkPolicy gpuward"]["spec"].update(spec)


def _another_network_policy(install: Install, **spec: Any) -> None:
    """A NetworkPolicy for all pods of the namespace, in place of that of the pods."""
    install.remove("NetworkPolicy gpuward")
    install.add(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "default-deny", "namespace": "gpuward-system"},
            "spec": {"podSelector": {}, **spec},
        }
    )


PODS_OF_A_MESH = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "mesh"}}}]


def _probe(install: Install, kind: str, **asked: Any) -> None:
    install.container[kind] = {"httpGet": asked}


def _serving_for(install: Install, *names: str, days: int = 90) -> None:
    install.serve(mint_leaf(authority(), names, NOW - timedelta(days=1), timedelta(days=days)))


ERRORS: dict[str, tuple[str, Break]] = {
    "Fail for every namespace": ("fail-without-opt-in", _all_namespaces),
    "Fail for kube-system": (
        "fail-matches-cluster-namespace",
        lambda i: _excluding_nothing(i, "kube-system"),
    ),
    "Fail for its own namespace": (
        "fail-matches-own-namespace",
        lambda i: _excluding_nothing(i, "gpuward-system"),
    ),
    "Fail for the network's namespace": (
        "fail-matches-node-namespace",
        lambda i: i.label("calico-system", {"gpuward.dev/mode": "enforce"}),
    ),
    "Fail for leases": (
        "matches-essentials",
        lambda i: (i.enforcing.update(rules=[LEASES]), _excluding_nothing(i, "kube-node-lease")),
    ),
    "Fail for everything there is": ("matches-essentials", lambda i: i.enforcing.update(rules=[ALL])),
    "Fail for deployments of every namespace": (
        "fail-matches-cluster-namespace",
        lambda i: (i.enforcing.update(rules=[_rule("apps", "deployments")]), _all_namespaces(i)),
    ),
    "Fail for configuration, not opted in": (
        "fail-without-opt-in",
        lambda i: (i.enforcing.update(rules=[_rule("", "configmaps")]), _all_namespaces(i)),
    ),
    "Fail for ClusterRoles": (
        "fail-matches-cluster-scoped",
        lambda i: i.enforcing.update(rules=[_rule("rbac.authorization.k8s.io", "clusterroles")]),
    ),
    "Fail for namespaces": (
        "fail-matches-cluster-scoped",
        lambda i: i.enforcing.update(rules=[_rule("", "namespaces")]),
    ),
    **{
        f"Fail for {resource}": (
            "matches-essentials",
            lambda i, resource=resource: (
                i.enforcing.update(rules=[_rule("", resource)], matchConditions=[]),
                _all_namespaces(i),
            ),
        )
        for resource in ("nodes/status", "*/status", "pods/binding", "pods/*", "serviceaccounts/token")
    },
    "an address that nobody answers": (
        "address-wrong",
        lambda i: i.enforcing["clientConfig"]["service"].update(path="/validate/enforced"),
    ),
    "no address": (
        "address-wrong",
        lambda i: i.enforcing["clientConfig"]["service"].pop("path"),
    ),
    "validation that mutates": (
        "address-wrong",
        lambda i: i.enforcing["clientConfig"]["service"].update(path="/mutate/enforce"),
    ),
    "mutation that validates": (
        "address-wrong",
        lambda i: i.mutating[2]["clientConfig"]["service"].update(path="/validate/enforce"),
    ),
    "Fail in audit for deployments": (
        "gentle-mode-fails",
        lambda i: i.enforcing.update(
            rules=[_rule("apps", "deployments")], namespaceSelector=_opted_in("audit")
        ),
    ),
    "Fail in audit": ("gentle-mode-fails", lambda i: i.validating[0].update(failurePolicy="Fail")),
    "Fail in warn, by default": ("gentle-mode-fails", lambda i: i.validating[1].pop("failurePolicy")),
    "address of another mode": (
        "mode-mismatch",
        lambda i: i.validating[1]["clientConfig"]["service"].update(path="/validate/enforce"),
    ),
    "waits half a minute": ("long-timeout", lambda i: i.enforcing.update(timeoutSeconds=30)),
    "reviews of v1beta1": (
        "review-version",
        lambda i: i.enforcing.update(admissionReviewVersions=["v1beta1"]),
    ),
    "one replica": ("one-replica", lambda i: i.deployment["spec"].update(replicas=1)),
    "one replica by default": ("one-replica", lambda i: i.deployment["spec"].pop("replicas")),
    "scaled down to one": ("one-replica", lambda i: _scaler(i, 1)),
    "no pod is ready": ("replicas-missing", lambda i: i.deployment.update(status={"replicas": 2})),
    "readiness asks whether it lives": (
        "no-readiness-probe",
        lambda i: i.container.update(readinessProbe={"httpGet": {"path": "/healthz", "port": "admin"}}),
    ),
    "no readiness probe": ("no-readiness-probe", lambda i: i.container.pop("readinessProbe")),
    **{
        f"{kind} of {what}": ("probe-fails", lambda i, kind=kind, asked=asked: _probe(i, kind, **asked))
        for kind in ("readinessProbe", "livenessProbe", "startupProbe")
        for what, asked in (
            ("another port", {"path": "/readyz", "port": 8081}),
            ("a port of no name", {"path": "/healthz", "port": "health"}),
            ("the webhook's port in the clear", {"path": "/readyz", "port": "webhook"}),
            ("the admin port by HTTPS", {"path": "/readyz", "port": 8080, "scheme": "HTTPS"}),
            ("nothing", {"path": "/livez", "port": "admin"}),
        )
    },
    "readiness asks the webhook's port, which wants a certificate": (
        "probe-fails",
        lambda i: (
            i.container["args"].append("--client-ca=/ca.crt"),
            _probe(i, "readinessProbe", path="/readyz", port="webhook", scheme="HTTPS"),
        ),
    ),
    "probes of an admin port that is none": (
        "probe-fails",
        lambda i: i.container["args"].append("--admin-port=0"),
    ),
    "readiness is an open port": (
        "no-readiness-probe",
        lambda i: i.container.update(readinessProbe={"tcpSocket": {"port": "webhook"}}),
    ),
    "the network admits no calls": (
        "network-policy-shuts-webhook",
        lambda i: _network(i, ingress=[{"ports": [{"port": "admin"}]}]),
    ),
    "the network admits calls by UDP": (
        "network-policy-shuts-webhook",
        lambda i: _network(i, ingress=[{"ports": [{"port": 9443, "protocol": "UDP"}]}]),
    ),
    "the network admits calls to the port of the Service": (
        "network-policy-shuts-webhook",
        lambda i: _network(i, ingress=[{"ports": [{"port": 443}]}]),
    ),
    "the network admits calls to other ports": (
        "network-policy-shuts-webhook",
        lambda i: _network(i, ingress=[{"ports": [{"port": 9000, "endPort": 9442}]}]),
    ),
    "everything is denied": (
        "network-policy-shuts-webhook",
        lambda i: _another_network_policy(i, policyTypes=["Ingress", "Egress"]),
    ),
    "everything is denied, by default about ingress": (
        "network-policy-shuts-webhook",
        lambda i: _another_network_policy(i),
    ),
    "the network leads nowhere": (
        "network-policy-shuts-api-server",
        lambda i: _another_network_policy(i, policyTypes=["Egress"]),
    ),
    "the network leads nowhere, by its field alone": (
        "network-policy-shuts-api-server",
        lambda i: _another_network_policy(i, ingress=[{}], egress=[]),
    ),
    "the network leads to the port of the Service alone": (
        "network-policy-shuts-api-server",
        lambda i: _network(i, egress=[{"ports": [{"port": 443}]}]),
    ),
    "manifests of a network that leads to names alone": (
        "network-policy-shuts-api-server",
        lambda i: (i.remove("EndpointSlice kubernetes"), _network(i, egress=[{"ports": [{"port": 53}]}])),
    ),
    "the API server's name cannot be asked for": (
        "network-policy-shuts-dns",
        lambda i: i.container["env"].append({"name": "KUBERNETES_SERVICE_HOST", "value": "api.example.com"}),
    ),
    "pods without a token": ("token-missing", lambda i: i.pod.update(automountServiceAccountToken=False)),
    "an account without a token": (
        "token-missing",
        lambda i: i["ServiceAccount gpuward"].update(automountServiceAccountToken=False),
    ),
    "no account": ("service-account-missing", lambda i: i.remove("ServiceAccount gpuward")),
    "an opted-in namespace that the server lets pass": (
        "exempt-but-asked",
        lambda i: i.container["args"].append("--exempt-namespaces=kube-system,team-vision"),
    ),
    "no Service": ("no-service", lambda i: i.remove("Service gpuward")),
    "Service of other pods": (
        "service-selects-nothing",
        lambda i: i["Service gpuward"]["spec"].update(selector={"app": "gpuwrad"}),
    ),
    "Service without the port": (
        "service-port",
        lambda i: i["Service gpuward"]["spec"].update(ports=[{"port": 8443, "targetPort": "webhook"}]),
    ),
    "Service to another port of the pods": (
        "service-target-port",
        lambda i: i["Service gpuward"]["spec"].update(ports=[{"port": 443, "targetPort": "admin"}]),
    ),
    "no endpoint is ready": (
        "no-endpoints",
        lambda i: i["EndpointSlice gpuward-1"].update(
            endpoints=[{"addresses": ["192.0.2.7"], "conditions": {"ready": False}}]
        ),
    ),
    "no caBundle": ("ca-bundle-missing", lambda i: _bundle(i, None)),
    "caBundle of rubbish": ("ca-bundle-unreadable", lambda i: _bundle(i, b"rubbish")),
    "caBundle of another CA": (
        "certificate-not-trusted",
        lambda i: _bundle(i, authority("another CA").certificate),
    ),
    "CA has expired": (
        "ca-expired",
        lambda i: _bundle(i, mint_ca("old", NOW - timedelta(days=400)).certificate),
    ),
    "certificate has expired": ("certificate-not-trusted", lambda i: _serving_for(i, *NAMES, days=0)),
    "certificate for another name": (
        "certificate-not-trusted",
        lambda i: _serving_for(i, "gpuward.default.svc"),
    ),
    "no certificate": ("certificate-missing", lambda i: i.remove("Secret gpuward-certs")),
    "may not read namespaces": (
        "permission-missing",
        lambda i: i["ClusterRole gpuward"]["rules"].pop(0),
    ),
    "may not renew its certificate": ("permission-missing", lambda i: i["Role gpuward"]["rules"].pop()),
    "may not write its CA": (
        "permission-missing",
        lambda i: i["ClusterRole gpuward"]["rules"][1].update(resourceNames=["another"]),
    ),
    "may not read policies": (
        "permission-missing",
        lambda i: i.container["args"].append("--policy-resources"),
    ),
    "bound to nobody": ("permission-missing", lambda i: i["ClusterRoleBinding gpuward"].update(subjects=[])),
    "no validation at all": (
        "no-configuration",
        lambda i: i.remove("ValidatingWebhookConfiguration gpuward"),
    ),
    "Kubernetes without match conditions": (
        "match-conditions-unknown",
        lambda i: setattr(i, "server_version", "v1.26.4"),
    ),
    "policies refuse gpuward": (
        "policy-refuses-gpuward",
        lambda i: (_excluding_nothing(i, "gpuward-system"), i.container.pop("resources")),
    ),
    "policies refuse the pods of nodes": (
        "policy-refuses-node-pods",
        lambda i: _excluding_nothing(i, "kube-system"),
    ),
}

WARNINGS: dict[str, tuple[str, Break]] = {
    "system namespaces are not excluded": ("exclusion-missing", lambda i: _select(i, _opted_in("enforce"))),
    "Ignore for leases": (
        "matches-essentials",
        lambda i: i.validating[0].update(rules=[LEASES], namespaceSelector={}),
    ),
    "mutation fails": ("mutation-fails", lambda i: i.mutating[2].update(failurePolicy="Fail")),
    "waits the default": ("long-timeout", lambda i: i.mutating[0].pop("timeoutSeconds")),
    "side effects unknown": ("side-effects", lambda i: i.enforcing.update(sideEffects="Unknown")),
    "other versions are missed": ("match-policy-exact", lambda i: i.enforcing.update(matchPolicy="Exact")),
    "not called again": ("reinvocation-never", lambda i: i.mutating[2].pop("reinvocationPolicy")),
    "called by a URL": (
        "address-outside",
        lambda i: i.mutating[0].update(clientConfig={"url": "https://gpuward.example/mutate/audit"}),
    ),
    "warn is not served": ("mode-not-served", lambda i: i.validating.pop(1)),
    "enforce is served twice": (
        "mode-served-twice",
        lambda i: i.validating.append(entry("validate", "enforce")),
    ),
    "a mode that is none": (
        "unknown-mode",
        lambda i: i.label("team-vision", {"gpuward.dev/mode": "enforced"}),
    ),
    "no disruption budget": ("no-disruption-budget", lambda i: i.remove("PodDisruptionBudget gpuward")),
    "budget allows no eviction": ("disruption-budget-blocks", lambda i: _budget(i, minAvailable="100%")),
    "budget allows every eviction": ("disruption-budget-allows-all", lambda i: _budget(i, maxUnavailable=2)),
    "all pods on one node": ("not-spread", lambda i: i.pod.pop("topologySpreadConstraints")),
    "all pods are replaced at once": (
        "rollout-takes-all",
        lambda i: i.deployment["spec"].update(strategy={"type": "Recreate"}),
    ),
    "all pods may be unavailable": (
        "rollout-takes-all",
        lambda i: i.deployment["spec"].update(strategy={"rollingUpdate": {"maxUnavailable": "100%"}}),
    ),
    "may read all Secrets": (
        "permissions-excessive",
        lambda i: i["ClusterRole gpuward"]["rules"].append(
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}
        ),
    ),
    "no requests": ("no-requests", lambda i: i.container["resources"].pop("requests")),
    "no time to drain": (
        "grace-period-short",
        lambda i: i.container["args"].extend(["--drain-delay", "25s", "--shutdown-timeout=10s"]),
    ),
    "no time to drain after preStop": (
        "grace-period-short",
        lambda i: i.container.update(lifecycle={"preStop": {"sleep": {"seconds": 20}}}),
    ),
    "stops at once": ("no-drain", lambda i: i.container["args"].append("--drain-delay=0s")),
    "stops at once, with another hook": (
        "no-drain",
        lambda i: (
            i.container["args"].append("--drain-delay=0s"),
            i.container.update(lifecycle={"preStop": {"exec": {"command": ["/bin/sleep", "0"]}}}),
        ),
    ),
    **{
        f"{kind} asks who is ready": (
            "restarted-when-not-ready",
            lambda i, kind=kind: _probe(i, kind, path="/readyz?verbose", port="admin"),
        )
        for kind in ("livenessProbe", "startupProbe")
    },
    "the network admits calls of pods": (
        "network-policy-shuts-webhook",
        lambda i: _network(i, ingress=[{"from": PODS_OF_A_MESH}]),
    ),
    "the network leads to pods": (
        "network-policy-shuts-api-server",
        lambda i: _network(i, egress=[{"to": PODS_OF_A_MESH}]),
    ),
    "a namespace that the server would let pass": (
        "exempt-but-asked",
        lambda i: i.container["args"].append("--exempt-namespaces=kube-system,storage"),
    ),
    "one of two pods is ready": (
        "replicas-missing",
        lambda i: i.deployment["status"].update(availableReplicas=1),
    ),
    "CA expires soon": ("ca-expires-soon", lambda i: _bundle(i, authority("short", 8).certificate)),
    "certificate expires soon": ("certificate-expires-soon", lambda i: _serving_for(i, *NAMES, days=8)),
    "may do everything": ("permissions-excessive", _cluster_admin),
    "an old Kubernetes": ("kubernetes-untested", lambda i: setattr(i, "server_version", "v1.30.1")),
    "another version than this": (
        "version-skew",
        lambda i: i.container.update(image="ghcr.io/gpuward/gpuward:0.0.1"),
    ),
    "another webhook holds it up": (
        "other-webhook-holds-up-gpuward",
        lambda i: _other(i, "ValidatingWebhookConfiguration", failurePolicy="Fail", namespaceSelector={}),
    ),
    "policies would refuse gpuward": ("policy-refuses-gpuward", lambda i: i.container.pop("resources")),
}

FAULTS = [
    *((name, code, fault, Level.ERROR) for name, (code, fault) in ERRORS.items()),
    *((name, code, fault, Level.WARNING) for name, (code, fault) in WARNINGS.items()),
]


def test_a_good_installation_has_nothing_wrong() -> None:
    assert Install().examined() == []


def test_its_manifests_have_nothing_wrong_either() -> None:
    install = Install()
    install.whole = False
    install.server_version = ""
    install.remove("Secret gpuward-certs")
    install.remove("EndpointSlice gpuward-1")
    _bundle(install, None)
    assert install.examined() == []


@pytest.mark.parametrize(("code", "fault", "level"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_fault_is_found(code: str, fault: Break, level: Level) -> None:
    install = Install()
    fault(install)
    found = [one for one in install.examined() if one.code == code]
    assert found, [one.code for one in install.examined()]
    assert level in {one.level for one in found}
    for one in found:
        assert one.message
        assert one.remedy
        assert one.about.name


@pytest.mark.parametrize(("code", "fault"), [f[1:3] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_what_a_patch_mends_is_mended(code: str, fault: Break) -> None:
    install = Install()
    fault(install)
    patched = 0
    for one in install.examined():
        if one.patch:
            patched += 1
            target = install[f"{one.about.kind} {one.about.name}"]
            mended = jsonpatch.apply_patch(target, list(one.patch))
            target.clear()
            target.update(mended)
    left = [one for one in install.examined() if one.patch]
    assert not left, f"after {patched} patches"


def test_what_enforces_is_never_mended_by_failing_open() -> None:
    install = Install()
    _select(install, _opted_in("warn", "enforce"))
    found = {one.code: one for one in install.examined()}
    assert not found["gentle-mode-fails"].patch
    assert "In [enforce]" in found["gentle-mode-fails"].remedy
    assert not any(
        "failurePolicy" in str(one.patch) or "path" in one.field for one in found.values() if one.patch
    )


def test_a_note_says_who_else_changes_pods() -> None:
    install = Install()
    _other(install, "MutatingWebhookConfiguration")
    [note] = install.examined()
    assert (note.code, note.level) == ("other-webhook-changes-pods", Level.NOTE)


def test_what_the_server_would_judge_and_is_never_asked_about_is_a_note() -> None:
    install = Install()
    for webhook in install.mutating + install.validating:
        webhook["namespaceSelector"]["matchExpressions"][-1]["values"].append("storage")
    [note] = install.examined()
    assert (note.code, note.level) == ("excluded-but-not-exempt", Level.NOTE)
    assert "storage would be judged" in note.message
    install.container["args"].append(note.remedy.removeprefix("write "))
    assert install.examined() == []


def test_both_lists_are_told_where_they_differ() -> None:
    install = Install()
    install.container["args"].append("--exempt-namespaces=kube-system,storage")
    told = [one for one in install.examined() if one.code == "exempt-but-asked"]
    assert {one.about.kind for one in told} == {
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    }
    for one in told:
        assert "kube-system, storage, gpuward-system" in one.message
        assert "gpuward-system, kube-system, kube-public, kube-node-lease" in one.message


Quiet = Callable[[Install], Any]

# What looks like a fault and is none.
NO_FAULTS: dict[str, Quiet] = {
    "a network policy of other pods": lambda i: _network(
        i, podSelector={"matchLabels": {"app": "other"}}, ingress=[], egress=[]
    ),
    "a network policy that a second one opens": lambda i: i.add(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "default-deny", "namespace": "gpuward-system"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
        }
    ),
    "a network policy of another namespace": lambda i: i["NetworkPolicy gpuward"].update(
        metadata={"name": "gpuward", "namespace": "default"}, spec={"podSelector": {}}
    ),
    "a network policy that admits addresses": lambda i: _network(
        i,
        ingress=[{"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 9443}]}],
        egress=[{"to": [{"ipBlock": {"cidr": "192.0.2.1/32"}}]}],
    ),
    "a network policy with a range of ports": lambda i: _network(
        i, ingress=[{"ports": [{"port": 9000, "endPort": 9999}]}], egress=[{"ports": [{"protocol": "TCP"}]}]
    ),
    "a network policy of a pod on the node's network": lambda i: (
        i.pod.update(hostNetwork=True),
        _another_network_policy(i),
    ),
    "an account without a token, and pods that ask for theirs": lambda i: (
        i["ServiceAccount gpuward"].update(automountServiceAccountToken=False),
        i.pod.update(automountServiceAccountToken=True),
    ),
    "no token where no API server is asked": lambda i: (
        i.container.update(args=["serve", "--port=9443", "--no-cluster", "--default-mode=audit"]),
        i.pod.update(automountServiceAccountToken=False),
        _network(i, egress=[]),
    ),
    "a token that is mounted otherwise": lambda i: (
        i.pod.update(automountServiceAccountToken=False),
        i.container.update(
            volumeMounts=[{"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]
        ),
    ),
    "probes of the webhook's port": lambda i: [
        _probe(i, kind, path=path, port=9443, scheme="HTTPS")
        for kind, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz"))
    ],
    "a readiness probe that is a command": lambda i: i.container.update(
        readinessProbe={"exec": {"command": ["/ready"]}}
    ),
    "a hook of which nobody can tell": lambda i: (
        i.container["args"].append("--drain-delay=0s"),
        i.container.update(lifecycle={"preStop": {"exec": {"command": ["/drain"]}}}),
    ),
    "a hook in place of the delay": lambda i: (
        i.container["args"].append("--drain-delay=0s"),
        i.container.update(lifecycle={"preStop": {"sleep": {"seconds": 5}}}),
    ),
    "an exemption of what is excluded": lambda i: i.container["args"].append(
        "--exempt-namespaces=kube-node-lease, kube-public,kube-system"
    ),
}


@pytest.mark.parametrize("change", NO_FAULTS.values(), ids=NO_FAULTS)
def test_what_is_no_fault_is_not_told(change: Quiet) -> None:
    install = Install()
    change(install)
    # On the node's network the pods themselves are against a policy.
    found = [(one.code, one.message) for one in install.examined() if one.code != "policy-refuses-gpuward"]
    assert found == []


def test_what_match_conditions_keep_away_is_not_called_for() -> None:
    install = Install()
    _all_namespaces(install)
    guarded = "!request.namespace.startsWith('kube-') && request.namespace != 'gpuward-system'"
    install.enforcing["matchConditions"] = [{"name": "guarded", "expression": guarded}]
    codes = {one.code for one in install.examined()}
    assert "fail-without-opt-in" in codes
    assert not codes & {"fail-matches-cluster-namespace", "fail-matches-own-namespace"}


def test_a_condition_that_cannot_be_known_protects_nobody() -> None:
    install = Install()
    _excluding_nothing(install, "kube-system")
    unknown = [
        {"name": "x", "expression": "authorizer.serviceAccount('a', 'b').group('').check('x').allowed()"}
    ]
    install.enforcing["matchConditions"] = unknown
    assert "fail-matches-cluster-namespace" in {one.code for one in install.examined()}


def test_what_could_not_be_read_is_not_taken_for_missing() -> None:
    install = Install()
    for called in ("Secret gpuward-certs", "Service gpuward", "Role gpuward"):
        install.remove(called)
    install.unread = {"Secret": "403", "Service": "403", "Role": "403"}
    codes = {one.code for one in install.examined()}
    assert not codes & {"certificate-missing", "permission-missing"}


def test_every_code_is_explained() -> None:
    page = (REPOSITORY / "docs" / "doctor.md").read_text(encoding="utf-8")
    codes = {code for _, code, _, _ in FAULTS} | {
        "other-webhook-changes-pods",
        "policy-broken",
        "excluded-but-not-exempt",
    }
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)) == codes


def test_the_server_has_the_defaults_that_are_assumed() -> None:
    import argparse

    from webhook.cli import serve

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert parser.get_default("shutdown_timeout") == lifecycle.SHUTDOWN_TIMEOUT
    assert serve._DRAIN_SECONDS == lifecycle.DRAIN_DELAY
    assert parser.get_default("port") == installation.PORT
    assert parser.get_default("admin_port") == installation.ADMIN_PORT


# What nobody wrote by hand: any part of the installation replaced by anything.
any_json = json_values(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab*-", max_size=4),
    st.text("ab", max_size=2),
    most=2,
    leaves=4,
)


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    keys = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(below for key, inner in keys for below in _paths(inner, (*path, key)))]


GOOD = Install().objects
PLACES = [path for path in _paths(GOOD) if len(path) > 1]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), any_json), min_size=1, max_size=3), st.booleans())
def test_nothing_it_may_meet_makes_it_fail(
    changes: list[tuple[tuple[str | int, ...], Any]], whole: bool
) -> None:
    objects = copy.deepcopy(GOOD)
    for path, value in changes:
        parent = lookup(objects, path[:-1])
        if parent is not MISSING and lookup(objects, path) is not MISSING:
            parent[path[-1]] = value
    found = examine(Installation(tuple(o for o in objects if isinstance(o, dict)), NOW, whole=whole))
    json.dumps([(one.code, one.field, one.message, one.patch) for one in found])
