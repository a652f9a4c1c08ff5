"""The AdmissionReview envelope, ``admission.k8s.io/v1``: bytes in, bytes out.

Source: k8s.io/api ``admission/v1/types.go`` and the Kubernetes documentation, "Dynamic Admission Control".
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson
from msgspec import Struct, field

from webhook.kube.gvk import GroupVersionKind
from webhook.kube.shape import JSONObject, mapping, strings, text

if TYPE_CHECKING:
    from webhook.kube.resources import GroupVersionResource

OPERATIONS: Final = frozenset({"CREATE", "UPDATE", "DELETE", "CONNECT"})

_API_VERSION: Final = "admission.k8s.io/v1"


class MalformedReview(ValueError):
    """A body that is no AdmissionReview. The message is a sentence for the caller; ``uid`` is set where it was read."""

    def __init__(self, message: str, uid: str = "") -> None:
        super().__init__(message)
        self.uid = uid


class AdmissionRequest(Struct, frozen=True):
    """One admission request: what somebody wants to do to one object.

    ``namespace`` is authoritative (the object's own may be empty), ``name`` is empty for a pod made from
    ``generateName``, ``obj`` is None on DELETE and ``old_object`` None on CREATE. ``raw`` is the request as it came;
    ``resource`` is given where it is neither in there nor that of the kind.
    """

    kind: GroupVersionKind
    operation: str = "CREATE"
    namespace: str = ""
    name: str = ""
    obj: JSONObject | None = None
    old_object: JSONObject | None = None
    uid: str = ""
    subresource: str = ""
    username: str = ""
    groups: Sequence[str] = ()
    dry_run: bool = False
    raw: JSONObject = field(default_factory=dict)
    resource: GroupVersionResource | None = None


def decode(body: bytes) -> AdmissionRequest:
    """Read an AdmissionReview.

    Raises:
        MalformedReview: the body is not valid JSON (RFC 8259; NaN, invalid UTF-8, duplicate keys and nesting that no
            Kubernetes object has are refused) or not an ``admission.k8s.io/v1`` AdmissionReview with a request.
    """
    return admission_request(_read(body))


def _read(body: bytes) -> JSONObject:
    """The request, whole."""
    try:
        review = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedReview(f"the body is not valid JSON: {error}") from None
    if type(review) is not dict:
        raise MalformedReview(f"the body must be an AdmissionReview object, not {_json_type(review)}")
    _refuse_duplicate_keys(body, review)
    kind, api_version = review.get("kind"), review.get("apiVersion")
    if kind != "AdmissionReview":
        raise MalformedReview(f"kind must be AdmissionReview, not {_shown(kind)}")
    if api_version != _API_VERSION:
        raise MalformedReview(f"apiVersion must be {_API_VERSION}, not {_shown(api_version)}")
    request = review.get("request")
    if type(request) is not dict:
        raise MalformedReview(f"request must be an object, not {_json_type(request)}")
    return request


def admission_request(request: JSONObject) -> AdmissionRequest:
    """The request of an AdmissionReview, given as plain data.

    Raises:
        MalformedReview: something that every request has is missing or of another type.
    """
    uid = request.get("uid")
    if type(uid) is not str or not uid:
        raise MalformedReview("request.uid must be a non-empty string")
    kind = mapping(request, "kind")
    if not text(kind, "kind") or not text(kind, "version"):
        raise MalformedReview("request.kind must name a group, version and kind", uid)
    operation = request.get("operation")
    if type(operation) is not str or operation not in OPERATIONS:
        raise MalformedReview(
            f"request.operation must be one of {', '.join(sorted(OPERATIONS))}, not {_shown(operation)}", uid
        )
    for name in ("object", "oldObject"):
        value = request.get(name)
        if value is not None and type(value) is not dict:
            raise MalformedReview(f"request.{name} must be an object or null, not {_json_type(value)}", uid)
    if request.get("object") is None and operation in ("CREATE", "UPDATE"):
        raise MalformedReview(f"request.object must be there on {operation}", uid)
    for name in ("name", "namespace", "subResource"):
        value = request.get(name)
        if value is not None and type(value) is not str:
            raise MalformedReview(f"request.{name} must be a string, not {_json_type(value)}", uid)
    user = mapping(request, "userInfo")
    return AdmissionRequest(
        kind=GroupVersionKind(text(kind, "group"), kind["version"], kind["kind"]),
        operation=operation,
        namespace=text(request, "namespace"),
        name=text(request, "name"),
        obj=request.get("object"),
        old_object=request.get("oldObject"),
        uid=uid,
        subresource=text(request, "subResource"),
        username=text(user, "username"),
        groups=strings(user, "groups"),
        dry_run=request.get("dryRun") is True,
        raw=request,
    )


def encode(
    uid: str,
    *,
    allowed: bool,
    message: str = "",
    warnings: Sequence[str] = (),
    patch: Sequence[JSONObject] = (),
    audit_annotations: Mapping[str, str] | None = None,
) -> bytes:
    """Write the AdmissionReview that answers the request ``uid``.

    A refusal carries code 403 and reason Forbidden, as the API server's own admission plugins give. Nothing of the
    request but its uid is sent back. Without ``patch`` neither ``patch`` nor ``patchType`` is there.
    """
    response: dict[str, Any] = {"uid": uid, "allowed": allowed}
    if not allowed:
        response["status"] = {"code": 403, "reason": "Forbidden", "message": message}
    if patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(orjson.dumps(patch)).decode("ascii")
    if warnings:
        response["warnings"] = list(warnings)
    if audit_annotations:
        response["auditAnnotations"] = audit_annotations
    return orjson.dumps({"kind": "AdmissionReview", "apiVersion": _API_VERSION, "response": response})


# Go's encoder writes these three characters escaped, orjson does not.
_GO_ESCAPES: Final = ((b"&", b"\\u0026"), (b"<", b"\\u003c"), (b">", b"\\u003e"))


def is_written(body: bytes, parsed: Any) -> bool:
    """Whether this is what comes of writing ``parsed``, as Go or in short.

    Raises:
        orjson.JSONEncodeError: it cannot be written.
    """
    # Go ends what it writes with a line feed.
    written = orjson.dumps(parsed, option=orjson.OPT_APPEND_NEWLINE)
    if written == body:
        return True
    for plain, escaped in _GO_ESCAPES:
        written = written.replace(plain, escaped)
    return written.rstrip() == body.strip()


def _refuse_duplicate_keys(body: bytes, parsed: Any) -> None:
    """Refuse a body in which a map has a key twice: two readers could see two different objects in it.

    The parser keeps the last of two equal keys and tells nobody. Writing the result again gives the same bytes only
    if nothing was dropped; that is cheap, and true for what the API server sends. Anything else is read key by key.
    """
    try:
        if is_written(body, parsed):
            return
    except orjson.JSONEncodeError:
        raise MalformedReview("the body is nested too deeply") from None
    try:
        json.loads(body, object_pairs_hook=_unique)
    except RecursionError:
        raise MalformedReview("the body is nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise MalformedReview(f"the body has the key {_shown(key)} twice in one object")
            seen.add(key)


_JSON_TYPES: Final = {
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _json_type(value: Any) -> str:
    return _JSON_TYPES[type(value)]


def _shown(value: Any) -> str:
    """A value of the caller's in a message, short enough for a log line."""
    if type(value) is str:
        return json.dumps(value if len(value) <= 80 else value[:80] + "...")
    return _json_type(value)
