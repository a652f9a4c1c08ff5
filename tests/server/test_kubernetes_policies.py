"""Kubernetes' own policies in the server: any kind, deletions and connections, and policies that change."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.kubernetes.policies import JSON, binding, config_map, map_binding, map_policy, vap
from tests.server.inprocess import FakeNamespaces, ruleset_of, running
from tests.server.reviews import body
from webhook.adapters import policy_files
from webhook.adapters.policy_reload import PolicyReload
from webhook.engine.decision import Facts
from webhook.engine.offline import request_for
from webhook.engine.review import review
from webhook.policy.findings import Mode

NAMESPACES = FakeNamespaces({"ml-team": {"team": "ml"}, "web": {"team": "web"}})


def text(*documents: JSON) -> str:
    return yaml.safe_dump_all(documents)


def config_map_review(**request: Any) -> bytes:
    resource = {"group": "", "version": "v1", "resource": "configmaps"}
    return body(config_map("x"), resource=resource, requestResource=resource, **request)


NOT_IN_ML = text(
    vap("p", "namespaceObject.metadata.labels.team != 'ml'", auditAnnotations=[
        {"key": "who", "valueExpression": "request.userInfo.username"}
    ]),
    binding("p", "Deny", "Audit"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("address", "namespace", "allowed", "warned"),
    [
        ("/validate/enforce", "ml-team", False, False),
        ("/validate/warn", "ml-team", True, True),
        ("/validate/audit", "ml-team", True, False),
        ("/validate/enforce", "web", True, False),
        ("/mutate/enforce", "ml-team", True, False),
    ],
)
async def test_any_kind_is_judged_in_the_mode_of_the_address(
    tmp_path: Path, address: str, namespace: str, allowed: bool, warned: bool
) -> None:
    async with running(ruleset_of(tmp_path, NOT_IN_ML), NAMESPACES) as server:
        response = (await server.post(address, config_map_review(namespace=namespace))).response
    assert response["allowed"] is allowed
    assert ("warnings" in response) is warned
    if not allowed:
        assert "[p/validations[0]]" in response["status"]["message"]


async def test_audit_annotations_have_keys_that_the_api_server_takes(tmp_path: Path) -> None:
    async with running(ruleset_of(tmp_path, NOT_IN_ML), NAMESPACES) as server:
        annotations = (await server.post("/validate/audit", config_map_review())).response["auditAnnotations"]
    assert annotations["p.who"] == "ada"
    assert json.loads(annotations["validation_failure"])[0]["binding"] == "p"
    assert not any("/" in key for key in annotations)


async def test_deletions_and_connections_are_judged(tmp_path: Path) -> None:
    policy = text(vap("p", "request.operation == 'CREATE'"), binding("p"))
    deletion = config_map_review(operation="DELETE", object=None, oldObject=config_map("x"))
    options = {"apiVersion": "v1", "kind": "PodExecOptions", "metadata": {}, "command": ["sh"]}
    pods = {"group": "", "version": "v1", "resource": "pods"}
    connection = body(options, operation="CONNECT", subResource="exec", resource=pods, name="train")
    async with running(ruleset_of(tmp_path, policy), NAMESPACES) as server:
        for review_body in (deletion, connection):
            assert not (await server.post("/validate/enforce", review_body)).allowed
        assert (await server.post("/validate/enforce", config_map_review())).allowed


async def test_policies_and_their_parameters_follow_their_files(tmp_path: Path) -> None:
    kind = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
    reference = {"paramRef": {"name": "limits", "namespace": "platform", "parameterNotFoundAction": "Deny"}}
    (tmp_path / "policy.yaml").write_text(
        text(vap("p", "object.metadata.name != params.data.name", **kind), binding("p", **reference))
    )
    parameters = tmp_path / "limits.yaml"
    parameters.write_text(text(config_map("limits", {"name": "y"}, namespace="platform")))
    loaded = policy_files.load(tmp_path)
    assert loaded.ruleset is not None
    changes: asyncio.Queue[bool] = asyncio.Queue()
    reload = PolicyReload(
        tmp_path,
        loaded.ruleset,
        loaded.digest,
        poll_seconds=0.02,
        reloaded=lambda ruleset: changes.put_nowait(ruleset is not None),
    )

    def allowed() -> bool:
        return review(request_for(config_map("x")), reload.ruleset, Facts(Mode.ENFORCE)).allowed

    following = asyncio.create_task(reload.run())
    try:
        async with asyncio.timeout(20):
            assert allowed()
            parameters.write_text(text(config_map("limits", {"name": "x"}, namespace="platform")))
            assert await changes.get()
            assert not allowed()
            parameters.write_text(text({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}))
            assert not await changes.get()
            assert not allowed()
            assert "must be one of" in reload.problems[0]
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@pytest.mark.parametrize(
    ("address", "patched"),
    [
        ("/mutate/enforce", True),
        ("/mutate/warn", True),
        ("/mutate/audit", False),
        ("/validate/enforce", False),
    ],
)
async def test_any_kind_is_changed_where_it_is_asked_for(tmp_path: Path, address: str, patched: bool) -> None:
    labels = "Object{metadata: Object.metadata{labels: {'team': namespaceObject.metadata.labels.team}}}"
    async with running(
        ruleset_of(tmp_path, text(map_policy("p", labels), map_binding("p"))), NAMESPACES
    ) as server:
        response = (await server.post(address, config_map_review(namespace="ml-team"))).response
    assert response["allowed"]
    if patched:
        assert response["patchType"] == "JSONPatch"
        assert json.loads(base64.b64decode(response["patch"])) == [
            {"op": "add", "path": "/metadata/labels", "value": {"team": "ml"}}
        ]
    else:
        assert "patch" not in response
