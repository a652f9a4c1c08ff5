"""What is no admission call gets a clear 4xx, and the server lives on."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.server.conftest import Caller
from tests.server.reviews import BAD, GOOD, Answer, body, pod, review
from webhook.server.limits import BODY_LIMIT


@pytest.fixture(autouse=True)
async def lives_on(caller: Caller) -> AsyncIterator[None]:
    """After each test the server answers as ever."""
    yield
    assert (await caller.post("/validate", GOOD)).allowed
    assert not (await caller.post("/validate", BAD)).allowed


def _with(change: Any) -> bytes:
    changed = review()
    change(changed)
    return json.dumps(changed).encode()


UNREADABLE = {
    "empty": (b"", "not valid JSON"),
    "truncated": (GOOD[: len(GOOD) // 2], "not valid JSON"),
    "two documents": (GOOD + GOOD, "not valid JSON"),
    "not UTF-8": (GOOD.replace(b"train", b"tr\xffin"), "not valid JSON"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "not valid JSON"),
    "NaN": (GOOD.replace(b'"dryRun":false', b'"dryRun":NaN'), "not valid JSON"),
    "Infinity": (GOOD.replace(b'"dryRun":false', b'"dryRun":-Infinity'), "not valid JSON"),
    "duplicate keys": (GOOD.replace(b'"dryRun":false', b'"dryRun":false,"dryRun":true'), '"dryRun" twice'),
    "nested too deeply": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, ""),
    "lists nested too deeply": (b"[" * 100_000 + b"]" * 100_000, ""),
    "YAML": (b"kind: AdmissionReview\n", "not valid JSON"),
    "a list": (b"[]", "must be an AdmissionReview object"),
    "null": (b"null", "must be an AdmissionReview object"),
    "wrong kind": (_with(lambda r: r.update(kind="Review")), 'kind must be AdmissionReview, not "Review"'),
    "v1beta1": (
        _with(lambda r: r.update(apiVersion="admission.k8s.io/v1beta1")),
        "apiVersion must be admission.k8s.io/v1",
    ),
    "no request": (_with(lambda r: r.pop("request")), "request must be an object"),
    "missing uid": (_with(lambda r: r["request"].pop("uid")), "uid must be a non-empty string"),
    "uid is a number": (_with(lambda r: r["request"].update(uid=7)), "uid must be a non-empty string"),
    "object is a list": (_with(lambda r: r["request"].update(object=[])), "object must be an object"),
    "unknown operation": (
        _with(lambda r: r["request"].update(operation="PATCH")),
        "operation must be one of",
    ),
}


@pytest.mark.parametrize("path", ["/mutate", "/validate", "/validate/audit"])
@pytest.mark.parametrize(("sent", "words"), UNREADABLE.values(), ids=UNREADABLE)
async def test_what_is_no_admission_review_is_a_bad_request(
    caller: Caller, path: str, sent: bytes, words: str
) -> None:
    (await caller.post(path, sent)).is_status(400, "gpuward: ", words)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
async def test_another_method_is_not_allowed(caller: Caller, method: str) -> None:
    answer = await caller.request(method, "/mutate", data=GOOD if method == "PUT" else None)
    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"
    if method == "HEAD":
        assert answer.body == b""
    else:
        answer.is_status(405, "with POST", method)


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/yaml",
        "application/json-patch+json",
        "application/x-www-form-urlencoded",
        "json",
    ],
)
async def test_another_media_type_is_unsupported(caller: Caller, media_type: str) -> None:
    answer = await caller.post("/mutate", GOOD, headers={"Content-Type": media_type})
    answer.is_status(415, "Content-Type: application/json")


async def test_a_call_without_media_type_is_unsupported(caller: Caller) -> None:
    reader, writer = await caller.connect()
    writer.write(b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(GOOD), GOOD))
    assert (await reader.readline()).startswith(b"HTTP/1.1 415 ")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;q=1"]
)
async def test_parameters_and_case_of_the_media_type_do_not_matter(caller: Caller, media_type: str) -> None:
    assert (await caller.post("/validate", GOOD, headers={"Content-Type": media_type})).allowed


async def test_a_compressed_body_is_unsupported_and_not_unpacked(caller: Caller) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await caller.post("/mutate", gzip.compress(b" " * 50_000_000), headers=headers)
    answer.is_status(415, "without Content-Encoding")


async def test_a_body_of_10_mb_is_too_large(caller: Caller) -> None:
    answer = await caller.post("/mutate", body(pod(name="x" * 10_000_000)))
    answer.is_status(413, "7 MiB")


async def test_a_chunked_body_of_10_mb_is_too_large(caller: Caller) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b" " * 65_536

    answer = await caller.request(
        "POST", "/mutate", data=chunks(), headers={"Content-Type": "application/json"}
    )
    answer.is_status(413, "7 MiB")


async def test_a_body_just_below_the_limit_is_reviewed(caller: Caller) -> None:
    room = BODY_LIMIT - len(body(pod(name="")))
    filler = {"apiVersion": "v1", "kind": "Pod", "metadata": {"annotations": {"fill": "x" * (room - 100)}}}
    sent = body(pod(), operation="UPDATE", oldObject=filler)
    assert BODY_LIMIT - 1000 < len(sent) <= BODY_LIMIT
    assert (await caller.post("/validate", sent)).allowed


async def test_a_chunked_body_is_reviewed_like_any_other(caller: Caller) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(BAD), 100):
            yield BAD[start : start + 100]

    answer = await caller.request(
        "POST", "/validate", data=chunks(), headers={"Content-Type": "application/json"}
    )
    assert not answer.allowed


async def test_10_000_bad_containers_are_refused_in_a_message_that_can_be_read(caller: Caller) -> None:
    containers = [{"name": f"c{i}", "image": f"image{i}:latest"} for i in range(10_000)]
    answer = await caller.post("/validate?timeout=30s", body(pod(*containers)))
    assert not answer.allowed
    assert len(answer.body) < 100_000
    assert "containers[0]" in answer.response["status"]["message"]


@pytest.mark.parametrize(
    "path", ["/", "/mutate/", "/validate/strict", "/metrics", "/readyz/", "/validate/audit/x"]
)
async def test_what_is_at_no_address_is_not_found(caller: Caller, path: str) -> None:
    (await caller.post(path, GOOD)).is_status(404)


@pytest.mark.parametrize("given", ["", "0s", "tomorrow", "-5s", "10"])
async def test_a_timeout_that_is_none_is_a_bad_request(caller: Caller, given: str) -> None:
    (await caller.post(f"/validate?timeout={given}", GOOD)).is_status(400, "timeout: ")


async def test_the_answer_to_a_bad_call_repeats_nothing_of_an_object(caller: Caller) -> None:
    secret = "hunter2-hunter2"
    sent = body(pod({"name": "app", "env": [{"name": "PASSWORD", "value": secret}]}))
    answers: list[Answer] = [
        await caller.post("/mutate", sent[:-2]),
        await caller.post("/mutate", sent, headers={"Content-Type": "text/plain"}),
        await caller.post("/mutate", sent.replace(b'"uid":', b'"uuid":')),
        await caller.request("PUT", "/mutate", data=sent),
    ]
    assert [answer.status for answer in answers] == [400, 415, 400, 405]
    assert all(secret.encode() not in answer.body for answer in answers)
    assert not any(secret in line for line in caller.served.log)
