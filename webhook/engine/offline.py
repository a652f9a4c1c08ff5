"""Requests for objects that come from files instead of an API server."""

from __future__ import annotations

from webhook.kube.gvk import GroupVersionKind, parse_api_version
from webhook.kube.resources import GroupVersionResource, is_cluster_scoped
from webhook.kube.review import AdmissionRequest
from webhook.kube.shape import JSONObject, items, mapping, text


def kind_of(obj: JSONObject) -> GroupVersionKind:
    """The type an object says it has; parts it does not name are empty."""
    return parse_api_version(text(obj, "apiVersion"), text(obj, "kind"))


def request_for(
    obj: JSONObject | None,
    *,
    old_object: JSONObject | None = None,
    default_namespace: str = "default",
    operation: str = "CREATE",
    subresource: str = "",
    username: str = "",
    groups: tuple[str, ...] = (),
    resource: GroupVersionResource | None = None,
) -> AdmissionRequest:
    """The request that applying ``obj`` would make, or deleting ``old_object`` where there is no ``obj``."""
    named = obj if obj is not None else old_object or {}
    kind = kind_of(named)
    metadata = mapping(named, "metadata")
    namespace = "" if is_cluster_scoped(kind) else text(metadata, "namespace") or default_namespace
    return AdmissionRequest(
        kind=kind,
        operation=operation,
        namespace=namespace,
        name=text(metadata, "name"),
        obj=obj,
        old_object=old_object,
        subresource=subresource,
        username=username,
        groups=groups,
        raw={},
        resource=resource,
    )


def device_classes(obj: JSONObject) -> tuple[str, ...]:
    """The DeviceClasses that a ResourceClaim or ResourceClaimTemplate asks for.

    Source: k8s.io/api resource/v1 (``exactly`` and ``firstAvailable``) and v1beta1 (the class beside the name).
    """
    kind = kind_of(obj)
    if kind.group != "resource.k8s.io" or kind.kind not in ("ResourceClaim", "ResourceClaimTemplate"):
        return ()
    spec = mapping(obj, "spec")
    if kind.kind == "ResourceClaimTemplate":
        spec = mapping(spec, "spec")
    classes: list[str] = []
    for request in items(mapping(spec, "devices"), "requests"):
        asked = [request, mapping(request, "exactly"), *items(request, "firstAvailable")]
        classes += [name for part in asked if (name := text(part, "deviceClassName"))]
    return tuple(dict.fromkeys(classes))
