"""Every AdmissionReview recorded from a real API server is answered validly, on both paths and in each mode."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonpatch
import pytest

from tests.server.conftest import Caller
from tests.support import shared
from tests.wire.shape import checked, patch_of

RECORDED = shared("admission-reviews")
FILES = sorted(RECORDED.glob("*.json"))
MODES = ["", "/audit", "/warn", "/enforce"]


@cache
def sent(file: Path) -> bytes:
    return file.read_bytes()


def request_of(file: Path) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(sent(file))["request"]
    return request


def test_all_of_them_are_there() -> None:
    assert len(FILES) == 38


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.strip("/") or "plain")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_recorded_review_is_answered_validly(caller: Caller, file: Path, mode: str) -> None:
    request = request_of(file)
    mutated = checked(await caller.post(f"/mutate{mode}?timeout=10s", sent(file)), request["uid"])
    judged = checked(await caller.post(f"/validate{mode}?timeout=10s", sent(file)), request["uid"])
    operations = patch_of(mutated)

    assert mutated["allowed"], "a mutating webhook refuses nothing"
    assert "patch" not in judged, "a validating webhook changes nothing"
    if mode == "/audit":
        assert judged["allowed"]
        assert not operations
        assert "warnings" not in mutated | judged
    if mode == "/warn":
        assert judged["allowed"]
    if request["kind"]["kind"] != "Pod":
        assert not operations, "only pods are changed"

    if operations:
        before = json.dumps(request["object"], sort_keys=True)
        patched = jsonpatch.apply_patch(request["object"], operations)
        assert json.dumps(patched, sort_keys=True) != before, "a patch that changes nothing"
        again = json.dumps({**json.loads(sent(file)), "request": {**request, "object": patched}}).encode()
        assert not patch_of(checked(await caller.post(f"/mutate{mode}", again), request["uid"])), (
            "not idempotent"
        )


@pytest.mark.parametrize("path", ["/mutate", "/validate"])
async def test_the_same_question_gets_the_same_bytes(caller: Caller, path: str) -> None:
    for file in FILES:
        answers = {(await caller.post(path, sent(file))).body for _ in range(3)}
        assert len(answers) == 1


async def test_an_answer_holds_nothing_of_the_request_but_its_uid(caller: Caller) -> None:
    """The user, the object's own uid and what managedFields name must not come back."""
    for file in FILES:
        request = request_of(file)
        words = {request["userInfo"]["username"], *request["userInfo"].get("groups", ())} - {"admin"}
        for path in ("/mutate", "/validate"):
            answer = (await caller.post(path, sent(file))).body.decode()
            assert not [word for word in words if word in answer]
            assert "managedFields" not in answer
            assert "userInfo" not in answer


async def test_the_modes_agree_on_what_they_see(caller: Caller) -> None:
    """What enforce rejects, warn warns of; what warn warns of, enforce rejects or warns of."""
    for file in FILES:
        uid = request_of(file)["uid"]
        enforced = checked(await caller.post("/validate/enforce", sent(file)), uid)
        warned = checked(await caller.post("/validate/warn", sent(file)), uid)
        assert bool(warned.get("warnings")) == (not enforced["allowed"] or bool(enforced.get("warnings"))), (
            file.stem
        )
