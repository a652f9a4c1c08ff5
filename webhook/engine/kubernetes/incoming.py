"""A request as the API server's own admission policies see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from webhook.engine.decision import Facts
from webhook.kube.gvk import NAMESPACE
from webhook.kube.names import NAMESPACE_NAME_LABEL
from webhook.kube.resources import NAMESPACES, GroupVersionResource, resource_for
from webhook.kube.review import AdmissionRequest
from webhook.kube.shape import JSONObject, mapping, text
from webhook.policy.kubernetes.matching import Attributes
from webhook.policy.match import Labels, namespace_labels

if TYPE_CHECKING:
    from webhook.policy.cel import Scope


def resource_of(request: AdmissionRequest) -> GroupVersionResource:
    """The resource the request was made for: as the API server says it, else worked out from the kind."""
    raw = request.raw
    return (
        request.resource
        or _resource(raw.get("requestResource"))
        or _resource(raw.get("resource"))
        or resource_for(request.kind, request.subresource)
    )


def _resource(named: Any) -> GroupVersionResource | None:
    if type(named) is not dict or not text(named, "resource"):
        return None
    return GroupVersionResource(text(named, "group"), text(named, "version"), text(named, "resource"))


def namespace_of(request: AdmissionRequest) -> str:
    """The request's namespace, which for a Namespace is its own name, as in the API server."""
    if request.kind == NAMESPACE:
        return request.name or request.namespace
    return request.namespace


class Incoming:
    """One request. Lives as long as its review; ``obj`` is the object in the state that is judged."""

    __slots__ = ("_attributes", "_scope", "_scope_in_conditions", "attributes", "facts", "request")

    def __init__(self, request: AdmissionRequest, facts: Facts, obj: JSONObject | None) -> None:
        self.request = request
        self.facts = facts
        resource = resource_of(request)
        converted = _resource(request.raw.get("resource"))
        self.attributes = Attributes(
            resource=resource,
            subresource=request.subresource,
            operation=request.operation,
            namespace=namespace_of(request),
            name=request.name,
            namespace_labels=self._namespace_labels(resource),
            obj=obj,
            old_object=request.old_object,
            converted=converted if converted != resource else None,
        )
        self._attributes: JSONObject | None = None
        self._scope: Scope | None = None
        self._scope_in_conditions: Scope | None = None

    def scope(self, params: JSONObject | None = None) -> Scope:
        """What expressions see, with these parameters."""
        if params is not None:
            return self._new_scope(self._namespace_object(), params)
        if self._scope is None:
            self._scope = self._new_scope(self._namespace_object(), None)
        return self._scope

    def scope_in_conditions(self, params: JSONObject | None = None) -> Scope:
        """What match conditions see: the same, but for ``namespaceObject``, which is null."""
        if params is not None:
            return self._new_scope(None, params)
        if self._scope_in_conditions is None:
            self._scope_in_conditions = self._new_scope(None, None)
        return self._scope_in_conditions

    def _new_scope(self, namespace: JSONObject | None, params: JSONObject | None) -> Scope:
        from webhook.policy.cel import Scope

        return Scope(
            object=self.attributes.obj,
            old_object=self.attributes.old_object,
            request=self._request_attributes(),
            namespace_object=namespace,
            params=params,
        )

    def _namespace_labels(self, resource: GroupVersionResource) -> JSONObject:
        request = self.request
        namespace = namespace_of(request)
        labels: Labels = self.facts.namespace_labels
        if resource.resource == NAMESPACES.resource and not request.subresource:
            # The Namespace itself: what it is about to be, or is until it is deleted.
            labels = mapping(mapping(request.obj or request.old_object or {}, "metadata"), "labels")
        return namespace_labels(namespace, labels)

    def _namespace_object(self) -> JSONObject | None:
        request = self.request
        if not request.namespace or request.kind == NAMESPACE:
            return None
        known = self.facts.namespace_object
        if known is None:
            known = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": request.namespace}}
        metadata = mapping(known, "metadata")
        if NAMESPACE_NAME_LABEL in mapping(metadata, "labels"):
            return known
        # One from a manifest: the API server would have set the label.
        return {**known, "metadata": {**metadata, "labels": dict(self.attributes.namespace_labels)}}

    def _request_attributes(self) -> JSONObject:
        """``request``: the AdmissionRequest without the objects. What is empty is absent, as in the API server."""
        if self._attributes is None:
            request = self.request
            if request.raw:
                self._attributes = request.raw
            else:
                attributes = self.attributes
                kind = request.kind._asdict()
                resource = attributes.resource._asdict()
                optional = {
                    "subResource": request.subresource,
                    "requestSubResource": request.subresource,
                    "name": request.name,
                    "namespace": attributes.namespace,
                }
                self._attributes = {
                    "uid": request.uid,
                    "kind": kind,
                    "resource": resource,
                    "requestKind": kind,
                    "requestResource": resource,
                    **{key: value for key, value in optional.items() if value},
                    "operation": request.operation,
                    # Offline nobody may have asked; an expression that looks at who did need not fail for it.
                    "userInfo": {"username": request.username, "groups": list(request.groups)},
                    "dryRun": request.dry_run,
                    "options": None,
                }
        return self._attributes
