"""What a set of objects says about the cluster it is meant for: the facts of reviews without a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from webhook.engine.decision import Facts
from webhook.engine.offline import device_classes, kind_of
from webhook.kube.gvk import NAMESPACE
from webhook.kube.review import AdmissionRequest
from webhook.kube.shape import JSONObject, mapping, text
from webhook.policy.findings import Mode


class Surroundings:
    """Namespaces with their labels, and the DeviceClasses behind resource claims and claim templates."""

    def __init__(self, objects: Iterable[JSONObject], labels: Mapping[str, Any]) -> None:
        """``labels`` are those of namespaces that are not among the objects."""
        self._labels = labels
        self._namespaces: dict[str, JSONObject] = {}
        self._classes: dict[str, dict[str, tuple[str, ...]]] = {}
        for obj in objects:
            metadata = mapping(obj, "metadata")
            if kind_of(obj) == NAMESPACE:
                self._namespaces[text(metadata, "name")] = obj
            elif classes := device_classes(obj):
                self._classes.setdefault(text(metadata, "namespace"), {})[text(metadata, "name")] = classes

    def facts(self, request: AdmissionRequest, mode: Mode, now: datetime | None) -> Facts:
        """What is known of a request's surroundings."""
        namespace = self._namespaces.get(request.namespace)
        if namespace is not None:
            labels: Mapping[str, Any] = mapping(mapping(namespace, "metadata"), "labels")
        else:
            # What is in no namespace has no namespace's labels, as in a cluster; a Namespace can get those given.
            labels = self._labels if request.namespace or request.kind == NAMESPACE else {}
        return Facts(
            mode=mode,
            namespace_labels=labels,
            namespace_object=namespace,
            now=now,
            # A claim written without a namespace is meant for wherever the pod goes.
            device_classes={**self._classes.get("", {}), **self._classes.get(request.namespace, {})},
        )
