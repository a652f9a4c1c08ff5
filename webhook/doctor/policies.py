"""Policies that would refuse the pods which must run before any policy can."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.doctor.diagnosis import Diagnosis, Level, Ref
from webhook.doctor.entries import Call, Entry
from webhook.doctor.installation import Installation
from webhook.engine.decision import Decision, Facts
from webhook.engine.offline import request_for
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.kube.shape import JSONObject, mapping, text
from webhook.kube.system_namespaces import CLUSTER_NAMESPACES, NODE_NAMESPACES
from webhook.policy.findings import MODE_LABEL, Action, Mode

# What pods come from. ReplicaSets and single pods are made by these, or by the node itself.
_MADE_FROM: Final = ("Deployment", "DaemonSet", "StatefulSet")


def broken(installation: Installation) -> Iterator[Diagnosis]:
    """Policies that the servers have been given and cannot use."""
    for about, problem in installation.policy_problems:
        yield Diagnosis(
            "policy-broken",
            Level.ERROR,
            about,
            (),
            f"{problem}: servers that run keep the policies they had, and one that starts has none to serve"
            if about.kind == "ConfigMap"
            else f"{problem}: it is left out, or its last good version stays in force",
            "gpuward lint says what is wrong, in the editor or in CI",
        )


def own_pods(installation: Installation) -> Iterator[Diagnosis]:
    """Policies that would refuse gpuward's own pods in a namespace of mode enforce."""
    if installation.ruleset is None:
        return
    for server in installation.servers():
        decision = _judge(installation, installation.ruleset, server.deployment, Mode.ENFORCE)
        reaching = _reaching(installation, server.namespace)
        for finding in decision.findings:
            if finding.action is not Action.ENFORCE:
                continue
            guarded = "" if reaching else "; that its namespace is left alone is all that keeps it running"
            yield Diagnosis(
                "policy-refuses-gpuward",
                Level.ERROR if reaching else Level.WARNING,
                Ref.of(server.deployment),
                finding.path,
                f"policy {finding.policy} would refuse gpuward's own pods{guarded}: {finding.message}",
                "change the pod, or exclude the namespace in the policy",
            )


def node_pods(installation: Installation) -> Iterator[Diagnosis]:
    """Policies that refuse the pods of nodes and of the cluster itself, where the webhook is called for them."""
    if installation.ruleset is None:
        return
    for namespace in (*CLUSTER_NAMESPACES, *NODE_NAMESPACES):
        if not (reaching := _reaching(installation, namespace)):
            continue
        labelled = installation.labels_of(namespace).get(MODE_LABEL)
        mode = reaching[0].mode or labelled
        if mode != Mode.ENFORCE.value:
            continue
        for kind in _MADE_FROM:
            for workload in installation.of_kind(kind):
                if text(mapping(workload, "metadata"), "namespace") != namespace:
                    continue
                decision = _judge(installation, installation.ruleset, workload, Mode.ENFORCE)
                if decision.allowed:
                    continue
                first = next(finding for finding in decision.findings if finding.action is Action.ENFORCE)
                yield Diagnosis(
                    "policy-refuses-node-pods",
                    Level.ERROR,
                    Ref.of(workload),
                    first.path,
                    f"policy {first.policy} refuses its pods: the next one of them does not start, on a new node or "
                    f"after an upgrade. {first.message}",
                    f"exclude the namespace {namespace} in the webhook configurations",
                )


def _reaching(installation: Installation, namespace: str) -> list[Entry]:
    """Our entries that would be called to judge pods of a namespace."""
    call = Call("", "v1", "pods", "CREATE", namespace)
    labels = installation.labels_of(namespace)
    return [entry for entry in installation.ours if not entry.mutating and entry.may_be_called(call, labels)]


def _judge(installation: Installation, ruleset: Ruleset, workload: JSONObject, mode: Mode) -> Decision:
    request = request_for(workload)
    facts = Facts(mode=mode, namespace_labels=installation.labels_of(request.namespace), now=installation.now)
    return review(request, ruleset, facts)
