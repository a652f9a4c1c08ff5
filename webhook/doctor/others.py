"""Other webhooks: those that could hold up gpuward itself, and those that change the same pods."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.doctor.diagnosis import Diagnosis, Level, Ref
from webhook.doctor.entries import Call
from webhook.doctor.installation import Installation
from webhook.kube.names import NAMESPACE_NAME_LABEL
from webhook.policy.findings import MODE_LABEL


def holding_up(installation: Installation) -> Iterator[Diagnosis]:
    """Webhooks of others without which gpuward's own pods cannot be created."""
    for namespace in sorted(installation.namespaces):
        call = Call("", "v1", "pods", "CREATE", namespace)
        for entry in installation.others:
            if entry.fails and entry.may_be_called(call, installation.labels_of(namespace)):
                yield Diagnosis(
                    "other-webhook-holds-up-gpuward",
                    Level.WARNING,
                    Ref.of(entry.configuration),
                    entry.field("namespaceSelector"),
                    f"{entry.name} has failurePolicy Fail and is called for pods in {namespace}: while it does not "
                    "answer, gpuward's pods cannot start. If gpuward in turn holds up its pods, neither comes back",
                    f"exclude {namespace} there, by {NAMESPACE_NAME_LABEL}",
                )


def changing_pods(installation: Installation) -> Iterator[Diagnosis]:
    """Webhooks of others that change the pods that gpuward changes."""
    ours = [entry for entry in installation.ours if entry.mutating]
    labels = {NAMESPACE_NAME_LABEL: "a-namespace", MODE_LABEL: "enforce"}
    call = Call("", "v1", "pods", "CREATE", "a-namespace")
    if not any(entry.may_be_called(call, labels) for entry in ours):
        return
    for entry in installation.others:
        if entry.mutating and entry.may_be_called(call, labels):
            yield Diagnosis(
                "other-webhook-changes-pods",
                Level.NOTE,
                Ref.of(entry.configuration),
                entry.field(),
                f"{entry.name} changes pods in namespaces gpuward changes pods in. gpuward is called again when it "
                "has changed one, never takes back what is written, and finds nothing to do the second time; if it "
                "sets the same fields (tolerations, affinity, security contexts), decide which of the two does",
                "try it in a namespace of mode audit: what gpuward would change on top is in its decisions",
            )
