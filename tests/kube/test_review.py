"""The AdmissionReview envelope."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import json_values
from webhook.kube.gvk import GroupVersionKind
from webhook.kube.review import MalformedReview, decode, encode


def envelope(**changes: Any) -> dict[str, Any]:
    request: dict[str, Any] = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": "CREATE",
        "namespace": "ml",
        "name": "train",
        "userInfo": {"username": "ada", "groups": ["system:authenticated", "vision"]},
        "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "train"}, "spec": {}},
        "dryRun": True,
    }
    request.update(changes)
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def test_a_request_is_read() -> None:
    request = decode(json.dumps(envelope(subResource="resize")).encode())
    assert request.kind == GroupVersionKind("", "v1", "Pod")
    assert (request.operation, request.namespace, request.name, request.subresource) == (
        "CREATE",
        "ml",
        "train",
        "resize",
    )
    assert (request.username, request.groups) == ("ada", ("system:authenticated", "vision"))
    assert request.dry_run
    assert request.obj is not None
    assert request.old_object is None


def test_a_deletion_has_no_object() -> None:
    request = decode(
        json.dumps(envelope(operation="DELETE", object=None, oldObject={"kind": "Pod"})).encode()
    )
    assert request.obj is None
    assert request.old_object == {"kind": "Pod"}


def _body(document: Any) -> bytes:
    return json.dumps(document).encode()


MALFORMED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not valid JSON"),
    "truncated": (_body(envelope())[:-20], "not valid JSON"),
    "not UTF-8": (b'{"kind": "\xff"}', "not valid JSON"),
    "NaN": (_body(envelope(object={"spec": {"x": float("nan")}})), "not valid JSON"),
    "Infinity": (_body(envelope(object={"spec": {"x": float("inf")}})), "not valid JSON"),
    "a list": (b"[]", "must be an AdmissionReview object, not a list"),
    "a string": (b'"x"', "not a string"),
    "nested without end": (b"[" * 100_000, "not valid JSON"),
    "nested deeper than any object": (
        _body(envelope()).replace(b'"spec": {}', b'"spec": ' + b'{"a":' * 600 + b"1" + b"}" * 600),
        "nested too deeply",
    ),
    "another kind": (_body({**envelope(), "kind": "Pod"}), 'kind must be AdmissionReview, not "Pod"'),
    "no kind": (b"{}", "kind must be AdmissionReview, not null"),
    "v1beta1": (
        _body({**envelope(), "apiVersion": "admission.k8s.io/v1beta1"}),
        'apiVersion must be admission.k8s.io/v1, not "admission.k8s.io/v1beta1"',
    ),
    "no request": (_body({**envelope(), "request": None}), "request must be an object, not null"),
    "no uid": (_body(envelope(uid=None)), "request.uid"),
    "empty uid": (_body(envelope(uid="")), "request.uid"),
    "uid of another type": (_body(envelope(uid=7)), "request.uid"),
    "no kind of object": (_body(envelope(kind={})), "request.kind"),
    "an operation that is no text": (
        _body(envelope(operation=["CREATE"])),
        "request.operation must be one of",
    ),
    "unknown operation": (
        _body(envelope(operation="PATCH")),
        'must be one of CONNECT, CREATE, DELETE, UPDATE, not "PATCH"',
    ),
    "object of another type": (
        _body(envelope(object=[])),
        "request.object must be an object or null, not a list",
    ),
    "creation of nothing": (_body(envelope(object=None)), "request.object must be there on CREATE"),
    "namespace of another type": (
        _body(envelope(namespace={})),
        "request.namespace must be a string, not an object",
    ),
    "duplicate key in the envelope": (b'{"kind": "AdmissionReview", "kind": "Pod"}', 'the key "kind" twice'),
    "duplicate key deep in the object": (
        _body(envelope()).replace(b'"spec": {}', b'"spec": {"hostNetwork": false, "hostNetwork": true}'),
        'the key "hostNetwork" twice',
    ),
    "duplicate key spelt with an escape": (
        _body(envelope()).replace(b'"spec": {}', rb'"spec": {"hostPID": false, "host\u0050ID": true}'),
        'the key "hostPID" twice',
    ),
}


@pytest.mark.parametrize(("body", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_review_is_refused_with_a_sentence(body: bytes, message: str) -> None:
    with pytest.raises(MalformedReview) as refused:
        decode(body)
    assert message in str(refused.value)


def test_the_uid_is_kept_where_it_could_be_read() -> None:
    with pytest.raises(MalformedReview) as refused:
        decode(_body(envelope(operation="PATCH")))
    assert refused.value.uid == "705ab4f5-6393-11e8-b7cc-42010a800002"


# Without lone surrogates, which are no text and cannot be sent.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)

any_json = json_values(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    texts,
    most=3,
    leaves=15,
)


@given(
    st.dictionaries(texts, any_json, max_size=4),
    st.sampled_from([None, 2]),
    st.booleans(),
)
def test_objects_arrive_as_they_are_however_the_json_is_written(
    obj: dict[str, Any], indent: int | None, ascii_only: bool
) -> None:
    body = json.dumps(envelope(object=obj), indent=indent, ensure_ascii=ascii_only)
    assert decode(body.encode()).obj == obj


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_and_nothing_else(body: bytes) -> None:
    with pytest.raises(MalformedReview):
        decode(body)


@given(any_json)
def test_arbitrary_requests_are_read_or_refused(request: Any) -> None:
    body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
    with pytest.raises(MalformedReview):
        decode(body.encode())


def test_an_answer_without_changes_has_neither_patch_nor_patch_type() -> None:
    assert json.loads(encode("u", allowed=True)) == {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "response": {"uid": "u", "allowed": True},
    }


def test_a_refusal_is_forbidden_with_its_message_and_warnings() -> None:
    response = json.loads(encode("u", allowed=False, message="no", warnings=["hm"]))["response"]
    assert response == {
        "uid": "u",
        "allowed": False,
        "status": {"code": 403, "reason": "Forbidden", "message": "no"},
        "warnings": ["hm"],
    }


def test_a_patch_travels_in_base64() -> None:
    patch = [{"op": "add", "path": "/spec/x", "value": "ü"}]
    response = json.loads(encode("u", allowed=True, patch=patch, audit_annotations={"a": "b"}))["response"]
    assert response["patchType"] == "JSONPatch"
    assert json.loads(base64.b64decode(response["patch"])) == patch
    assert response["auditAnnotations"] == {"a": "b"}
