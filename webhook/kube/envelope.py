"""An AdmissionReview read in one pass, without what no rule looks at.

A third or more of what the API server sends is ``metadata.managedFields``: who last wrote which field, of use to
server-side apply and nobody else. Here the envelope and the object's metadata have a type, so that the parser can step
over those bytes instead of making hundreds of small objects of them. Everything else is plain JSON data.

What does not have this shape (another member somewhere, members in another order) is not refused here, it is just not
read: the caller reads it whole. So there are no rules here that ``webhook.kube.review`` has too.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import orjson
from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType
from msgspec.json import Decoder

from webhook.kube.review import AdmissionRequest, admission_request, decode, is_written
from webhook.kube.shape import JSONObject


class _Part(Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A part of the envelope: a member that is not there is UNSET, and one that is not named here is an error.

    Members stand in the order in which Go writes them, so that writing a part gives the bytes that came.
    """

    # gc=False: what comes from JSON has no cycles, so the garbage collector need not look at it.

    def present(self) -> JSONObject:
        """The members that are there."""
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not UNSET}


class _ObjectMeta(_Part):
    """Source: k8s.io/apimachinery ``meta/v1/types.go``, ObjectMeta."""

    name: Any = UNSET
    generateName: Any = UNSET
    namespace: Any = UNSET
    selfLink: Any = UNSET
    uid: Any = UNSET
    resourceVersion: Any = UNSET
    generation: Any = UNSET
    creationTimestamp: Any = UNSET
    deletionTimestamp: Any = UNSET
    deletionGracePeriodSeconds: Any = UNSET
    labels: Any = UNSET
    annotations: Any = UNSET
    ownerReferences: Any = UNSET
    finalizers: Any = UNSET
    managedFields: Raw | UnsetType = UNSET


class _Object(_Part):
    """What pods and the built-in workloads are at their top."""

    kind: Any = UNSET
    apiVersion: Any = UNSET
    metadata: _ObjectMeta | UnsetType = UNSET
    spec: Any = UNSET
    status: Any = UNSET

    def read(self) -> JSONObject:
        """The object as plain data, its managed fields as they were written."""
        obj = self.present()
        if self.metadata is not UNSET:
            metadata = obj["metadata"] = self.metadata.present()
            if self.metadata.managedFields is not UNSET:
                metadata["managedFields"] = orjson.Fragment(bytes(self.metadata.managedFields))
        return obj


class _Request(_Part):
    """Source: k8s.io/api ``admission/v1/types.go``, AdmissionRequest."""

    uid: Any = UNSET
    kind: Any = UNSET
    resource: Any = UNSET
    subResource: Any = UNSET
    requestKind: Any = UNSET
    requestResource: Any = UNSET
    requestSubResource: Any = UNSET
    name: Any = UNSET
    namespace: Any = UNSET
    operation: Any = UNSET
    userInfo: Any = UNSET
    object: _Object | UnsetType | None = UNSET
    oldObject: _Object | UnsetType | None = UNSET
    dryRun: Any = UNSET
    options: Any = UNSET


class _Review(_Part):
    kind: Literal["AdmissionReview"]
    apiVersion: Literal["admission.k8s.io/v1"]
    request: _Request


_DECODER: Final = Decoder(_Review)

# How an object of a built-in kind begins. Custom resources begin with apiVersion: their members are sorted.
_BUILT_IN: Final = b'"object":{"kind":'


def decode_without_managed_fields(body: bytes) -> AdmissionRequest:
    """As ``review.decode``, raising the same; but the objects may lack ``metadata.managedFields``."""
    request = read_without_managed_fields(body)
    return decode(body) if request is None else admission_request(request)


def read_without_managed_fields(body: bytes) -> JSONObject | None:
    """The request of an AdmissionReview as plain data, its objects without ``metadata.managedFields``.

    None where it is not of the usual shape, is no JSON, or may have a key twice: the parser keeps the last of two equal
    keys and tells nobody, but writing what was read again gives the bytes that came only if none was dropped. (Managed
    fields are copied as they are, so a key that stands twice in them shows nowhere; nobody reads them either.)
    """
    if _BUILT_IN not in body:
        return None
    try:
        review = _DECODER.decode(body)
        request = review.request.present()
        objects = [(name, part.read()) for name in ("object", "oldObject") if (part := request.get(name))]
        request.update(objects)
        # Also what makes sure that there are no numbers in it which only this parser reads.
        if not is_written(body, {"kind": review.kind, "apiVersion": review.apiVersion, "request": request}):
            return None
    except (DecodeError, RecursionError, UnicodeDecodeError, orjson.JSONEncodeError):
        return None
    for _, obj in objects:
        if "metadata" in obj:
            obj["metadata"].pop("managedFields", None)
    return request
