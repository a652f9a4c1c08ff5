"""Reading reviews without managed fields: as ``decode`` reads them, and only what it would take."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kube.test_review import MALFORMED, any_json, envelope, texts
from tests.support import shared
from webhook.kube.envelope import decode_without_managed_fields, read_without_managed_fields
from webhook.kube.review import AdmissionRequest, MalformedReview, decode

MANAGED = [{"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {}}}]


def written(obj: Any, **request: Any) -> bytes:
    """A review as Go writes it: members in the order of its types, nothing between them, a line feed at the end."""
    of_request = {**envelope()["request"], **request}
    before = ("uid", "kind", "name", "namespace", "operation", "userInfo")
    ordered = {name: of_request[name] for name in before} | {"object": obj, "oldObject": None}
    ordered |= {name: value for name, value in request.items() if name not in before} | {"dryRun": True}
    review = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": ordered}
    text = json.dumps(review, separators=(",", ":"), ensure_ascii=False)
    for plain in "&<>":
        text = text.replace(plain, f"\\u{ord(plain):04x}")
    return text.encode() + b"\n"


def pod(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "train", "labels": {"app": "a&b <c>"}, "managedFields": MANAGED}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": {}}


def without_managed_fields(whole: AdmissionRequest) -> AdmissionRequest:
    whole = copy.deepcopy(whole)
    for obj in (whole.obj, whole.old_object):
        if obj is not None:
            obj.get("metadata", {}).pop("managedFields", None)
    return whole


def test_what_an_api_server_sends_is_read_in_one_pass() -> None:
    files = sorted(shared("admission-reviews").glob("*.json"))
    assert files
    for file in files:
        body = file.read_bytes()
        assert read_without_managed_fields(body) is not None, file.name
        assert decode_without_managed_fields(body) == without_managed_fields(decode(body)), file.name


@given(
    st.dictionaries(texts, any_json | st.integers(-(2**70), 2**70), max_size=4),
    st.dictionaries(texts, texts, max_size=2),
    st.none() | st.just(pod(a="b")),
)
def test_objects_arrive_as_they_are_but_for_managed_fields(
    spec: dict[str, Any], labels: dict[str, str], old: Any
) -> None:
    obj = pod(**{"containers": [], **spec})
    obj["metadata"]["labels"] = labels
    body = written(obj, oldObject=old)
    # They may be there all the same, where there is a number that is none in Kubernetes.
    read = without_managed_fields(decode_without_managed_fields(body))
    assert read == without_managed_fields(decode(body))


@pytest.mark.parametrize(
    "obj",
    [
        {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"managedFields": MANAGED}},
        {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "x"}, "data": {"a": "Yg=="}},
        {"kind": "Pod", "apiVersion": "v1", "metadata": "x", "spec": {}},
        {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x", "generation": 1, "uid": "x"}},
        {"kind": "Pod", "spec": {}, "apiVersion": "v1"},
        {"kind": 1.50, "spec": [[]]},
        {},
    ],
    ids=lambda obj: ", ".join(obj) or "empty",
)
def test_objects_of_another_shape_are_read_whole(obj: Any) -> None:
    body = written(obj)
    assert decode_without_managed_fields(body) == decode(body)


@pytest.mark.parametrize(("body", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_review_is_refused_with_the_same_sentence(body: bytes, message: str) -> None:
    with pytest.raises(MalformedReview) as refused:
        decode_without_managed_fields(body)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"uid":', '"uid":"x","uid":'),
        ('"object":{"kind"', '"object":{"kind":"Job","kind"'),
        ('"name":"train","labels"', '"name":"x","name":"train","labels"'),
        ('"hostPID":true', '"hostPID":false,"hostPID":true'),
        # As long as what would be written without it: 1e9 takes eleven characters then.
        ('"hostPID":true,"x":1', '"a":1,"a":1,"x":1e9'),
        ('"hostPID":true', '"hostPID":false,"host\\u0050ID":true'),
    ],
)
def test_a_key_that_stands_twice_is_refused(old: str, new: str) -> None:
    body = written(pod(hostPID=True, x=1))
    assert decode_without_managed_fields(body).obj is not None
    twice = body.replace(old.encode(), new.encode())
    assert twice != body
    with pytest.raises(MalformedReview, match="twice"):
        decode_without_managed_fields(twice)
