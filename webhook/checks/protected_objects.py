"""The check ``protected-objects``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from webhook.policy.findings import Severity, Violation
from webhook.policy.rule import ObjectCheck

if TYPE_CHECKING:
    from webhook.kube.object import Object


class ProtectedObjects(ObjectCheck):
    """gpuward's own policies are written by nobody.

    The policy's ``exclude`` says who may all the same.

    Why:
        Who may edit a policy, an exception or a catalog decides what is enforced in every namespace.

    Restricted fields:
        metadata
        spec

    Allowed values:
        None: every creation, update and deletion is a violation. An update of the status alone is not one.

    Remediation:
        Send the change to those who may make it. They are excluded in the policy.

    Source:
        https://kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practices/
        k8s.io/apiserver pkg/registry/rest/update.go (an update of the status keeps spec and metadata)
    """

    name = "protected-objects"
    title = "Policies are written only by those who may"
    severity = Severity.CRITICAL
    kinds = (
        ("gpuward.dev", "AcceleratorCatalog"),
        ("gpuward.dev", "BreakGlass"),
        ("gpuward.dev", "Policy"),
        ("gpuward.dev", "PolicyException"),
        ("gpuward.dev", "WorkloadCatalog"),
    )
    judges_deletion = True
    judges_changes = True

    def __call__(self, obj: Object) -> Iterator[Violation]:
        if (
            obj.old is not None
            and obj.raw is not obj.old.raw
            and _without_status(obj) == _without_status(obj.old)
        ):
            return
        yield Violation(
            "protected-object",
            (),
            f"a {obj.kind.kind} may not be created, changed or deleted; send the change to the platform team",
        )


def _without_status(obj: Object) -> dict[str, object]:
    # The API server moves managedFields and resourceVersion along with every write.
    metadata = obj.raw.get("metadata")
    kept = (
        {
            key: value
            for key, value in metadata.items()
            # By an owner that is gone the garbage collector is told to delete it.
            if key in ("labels", "annotations", "finalizers", "ownerReferences", "name")
        }
        if type(metadata) is dict
        else metadata
    )
    return {
        **{key: value for key, value in obj.raw.items() if key not in ("status", "metadata")},
        "metadata": kept,
    }
