"""AdmissionReviews to send, and what comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

GOOD_CONTAINER = {
    "name": "app",
    "image": "registry.k8s.io/app:1.0",
    "resources": {
        "limits": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"},
        "requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"},
    },
}


def pod(*containers: dict[str, Any], name: str = "train", **spec: Any) -> dict[str, Any]:
    """A pod; without containers it gets one that no policy minds."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": list(containers) or [GOOD_CONTAINER], **spec},
    }


def review(obj: dict[str, Any] | None = None, **request: Any) -> dict[str, Any]:
    """The AdmissionReview that creates an object; ``request`` overrides parts of its request."""
    obj = pod() if obj is None else obj
    group, _, version = obj["apiVersion"].rpartition("/")
    return {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": group, "version": version, "kind": obj["kind"]},
            "name": obj["metadata"].get("name", ""),
            "namespace": "ml-team",
            "operation": "CREATE",
            "userInfo": {"username": "ada", "groups": ["system:authenticated"]},
            "object": obj,
            "oldObject": None,
            "dryRun": False,
            **request,
        },
    }


def body(obj: dict[str, Any] | None = None, **request: Any) -> bytes:
    """``review`` as it goes over the wire."""
    return json.dumps(review(obj, **request), separators=(",", ":")).encode()


# A pod that every shipped policy set refuses, and one that it lets through.
BAD = body(pod({"name": "app", "image": "app:1", "securityContext": {"privileged": True}}))
GOOD = body()


@dataclass(frozen=True)
class Answer:
    """One HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed

    @property
    def response(self) -> dict[str, Any]:
        """The ``response`` of an AdmissionReview."""
        assert self.status == 200, self.body
        inner: dict[str, Any] = self.json["response"]
        return inner

    @property
    def allowed(self) -> bool:
        return self.response["allowed"] is True

    def is_status(self, code: int, *words: str) -> None:
        """Asserts that this is a Kubernetes Status of that code whose message has all these words."""
        assert self.status == code, self.body
        assert self.headers["Content-Type"] == "application/json"
        status = self.json
        assert (status["kind"], status["apiVersion"], status["status"]) == ("Status", "v1", "Failure")
        assert status["code"] == code
        for word in words:
            assert word in status["message"]
