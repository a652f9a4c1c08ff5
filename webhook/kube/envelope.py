"""An AdmissionReview read in one pass, without what no rule looks at.

A third or more of what the API server sends is ``metadata.managedFields``: who last wrote which field, of use to
server-side apply and nobody else. Here the envelope and the object's metadata have a type, so that the parser can step
over those bytes instead of making hundreds of small objects of them. Everything else is plain JSON data.

What does not have this shape (another member somewhere) is not refused here, it is just not read: the caller reads it
whole. So there are no rules here that ``webhook.kube.review`` has too.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypedDict

import orjson
from msgspec import DecodeError, Raw
from msgspec.json import Decoder

from webhook.kube.review import AdmissionRequest, admission_request, decode, is_written
from webhook.kube.shape import JSONObject

# Members that are not named here are left out by the parser, which then shows when the whole is written again.


class _ObjectMeta(TypedDict, total=False):
    """Source: k8s.io/apimachinery ``meta/v1/types.go``, ObjectMeta."""

    name: Any
    generateName: Any
    namespace: Any
    selfLink: Any
    uid: Any
    resourceVersion: Any
    generation: Any
    creationTimestamp: Any
    deletionTimestamp: Any
    deletionGracePeriodSeconds: Any
    labels: Any
    annotations: Any
    ownerReferences: Any
    finalizers: Any
    managedFields: Raw


class _Object(TypedDict, total=False):
    """What pods and the built-in workloads are at their top."""

    kind: Any
    apiVersion: Any
    metadata: _ObjectMeta
    spec: Any
    status: Any


class _Request(TypedDict, total=False):
    """Source: k8s.io/api ``admission/v1/types.go``, AdmissionRequest."""

    uid: Any
    kind: Any
    resource: Any
    subResource: Any
    requestKind: Any
    requestResource: Any
    requestSubResource: Any
    name: Any
    namespace: Any
    operation: Any
    userInfo: Any
    object: _Object | None
    oldObject: _Object | None
    dryRun: Any
    options: Any


class _Review(TypedDict):
    kind: Literal["AdmissionReview"]
    apiVersion: Literal["admission.k8s.io/v1"]
    request: _Request


_DECODER: Final = Decoder(_Review)

_NONE: Final[JSONObject] = {}

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
        request: Any = review["request"]
        described = [
            metadata
            for name in ("object", "oldObject")
            if (obj := request.get(name)) and "managedFields" in (metadata := obj.get("metadata", _NONE))
        ]
        for metadata in described:
            metadata["managedFields"] = orjson.Fragment(bytes(metadata["managedFields"]))
        # Also what makes sure that there are no numbers in it which only this parser reads.
        if not is_written(body, review):
            return None
    except (DecodeError, RecursionError, UnicodeDecodeError, orjson.JSONEncodeError):
        return None
    for metadata in described:
        del metadata["managedFields"]
    return request  # type: ignore[no-any-return]  # a TypedDict is a dict
