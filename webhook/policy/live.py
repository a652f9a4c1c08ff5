"""A policy document as its author wrote it, from one that has been in a cluster."""

from __future__ import annotations

from typing import Any, Final

# What the API server and controllers put into metadata. Source: k8s.io/apimachinery meta/v1 ObjectMeta.
_SET_BY_THE_SERVER: Final = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generation",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)


def as_written(document: dict[str, Any]) -> dict[str, Any]:
    """The document without its status and without what the API server adds to metadata.

    So what ``kubectl get -o yaml`` prints is a policy document like any other. The document itself where there is
    nothing to leave out.
    """
    metadata = document.get("metadata")
    if type(metadata) is not dict:
        return document
    added = _SET_BY_THE_SERVER & metadata.keys()
    if not added and "status" not in document:
        return document
    written = {key: value for key, value in document.items() if key != "status"}
    written["metadata"] = {key: value for key, value in metadata.items() if key not in added}
    return written
