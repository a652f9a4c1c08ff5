"""An object as it is judged when it is judged for itself, not for the pods it may describe."""

from __future__ import annotations

from msgspec import Struct

from webhook.kube.gvk import GroupVersionKind
from webhook.kube.shape import JSONObject, mapping


class Object(Struct, frozen=True):
    """One object of an admission request.

    ``kind`` and ``namespace`` are the request's, which are authoritative: the object's own may be missing.
    ``namespace`` is empty for objects that are in none. ``old`` is the object before an update, or as it is deleted:
    then it is the object itself.
    """

    kind: GroupVersionKind
    namespace: str
    raw: JSONObject
    old: Object | None = None

    @property
    def spec(self) -> JSONObject:
        """Its ``spec``; empty where there is none."""
        return mapping(self.raw, "spec")

    @property
    def labels(self) -> JSONObject:
        return mapping(mapping(self.raw, "metadata"), "labels")

    @property
    def annotations(self) -> JSONObject:
        return mapping(mapping(self.raw, "metadata"), "annotations")
