"""What an answer may look like: AdmissionReview v1, strictly.

Source: k8s.io/api admission/v1, and what k8s.io/apiserver ``pkg/admission/plugin/webhook/request`` accepts.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from tests.server.reviews import Answer

RESPONSE_FIELDS = {"uid", "allowed", "status", "patch", "patchType", "warnings", "auditAnnotations"}

# The API server makes "<webhook name>/<key>" of it, which must be a qualified name.
ANNOTATION_KEY = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


def checked(answer: Answer, uid: str) -> dict[str, Any]:
    """The response inside an answer, after every rule of its form has been checked."""
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    review = json.loads(answer.body)
    assert review.keys() == {"kind", "apiVersion", "response"}
    assert (review["kind"], review["apiVersion"]) == ("AdmissionReview", "admission.k8s.io/v1")
    response: dict[str, Any] = review["response"]
    assert response.keys() <= RESPONSE_FIELDS
    assert response["uid"] == uid
    assert response["allowed"] is True or response["allowed"] is False
    if response["allowed"]:
        assert "status" not in response
    else:
        status = response["status"]
        assert status.keys() == {"code", "reason", "message"}
        assert (status["code"], status["reason"]) == (403, "Forbidden")
        assert status["message"].startswith("gpuward: ")
        assert "patch" not in response
    assert ("patch" in response) == ("patchType" in response)
    if "patch" in response:
        assert response["patchType"] == "JSONPatch"
        _check_patch(patch_of(response))
    if "warnings" in response:
        _check_warnings(response["warnings"])
    if "auditAnnotations" in response:
        assert response["auditAnnotations"]
        for key, value in response["auditAnnotations"].items():
            assert ANNOTATION_KEY.fullmatch(key)
            assert type(value) is str
    return response


def patch_of(response: dict[str, Any]) -> list[dict[str, Any]]:
    """The operations of a response's patch; none where there is none."""
    if "patch" not in response:
        return []
    operations: list[dict[str, Any]] = json.loads(base64.b64decode(response["patch"], validate=True))
    return operations


def _check_patch(operations: list[dict[str, Any]]) -> None:
    assert operations
    for operation in operations:
        wanted = {"op", "path"} | ({"value"} if operation["op"] in ("add", "replace", "test") else set())
        assert operation.keys() == wanted
        assert operation["op"] in ("add", "replace", "remove", "test")
        assert operation["path"].startswith("/")


def _check_warnings(warnings: list[str]) -> None:
    assert warnings
    assert all(type(warning) is str for warning in warnings)
    assert all(0 < len(warning) <= 256 for warning in warnings)
    assert sum(map(len, warnings)) <= 4096
    assert not any(warning.lower().startswith("warning") for warning in warnings)
    # They become HTTP headers on the way to kubectl.
    assert all(warning.isprintable() for warning in warnings)
