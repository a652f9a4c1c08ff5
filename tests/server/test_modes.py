"""In which mode a request is judged, and what is known of its namespace."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.inprocess import ML_ONLY, NO_PRIVILEGED, FakeNamespaces, ruleset_of, running
from tests.server.reviews import BAD, Answer, body, pod
from webhook.engine.ruleset import Ruleset
from webhook.policy.findings import Mode

PRIVILEGED = {"name": "app", "image": "app:1", "securityContext": {"privileged": True}}


@pytest.fixture
def ruleset(tmp_path: Path) -> Ruleset:
    return ruleset_of(tmp_path, NO_PRIVILEGED)


def outcome(answer: Answer) -> str:
    """The mode that an answer to a bad pod shows; ``none`` where nobody looked."""
    response = answer.response
    if not response["allowed"]:
        return "enforce"
    if response.get("warnings"):
        return "warn"
    return "audit" if "auditAnnotations" in response else "none"


LABELS = {
    "none": {},
    "audit": {"gpuward.dev/mode": "audit"},
    "warn": {"gpuward.dev/mode": "warn"},
    "enforce": {"gpuward.dev/mode": "enforce"},
    "unknown": {"gpuward.dev/mode": "Enforce!"},
}


@pytest.mark.parametrize(
    ("label", "default", "expected"),
    [
        ("none", None, "none"),
        ("audit", None, "audit"),
        ("warn", None, "warn"),
        ("enforce", None, "enforce"),
        ("unknown", None, "audit"),
        ("none", Mode.WARN, "warn"),
        ("none", Mode.ENFORCE, "enforce"),
        ("audit", Mode.ENFORCE, "audit"),
        ("enforce", Mode.AUDIT, "enforce"),
        ("unknown", Mode.ENFORCE, "audit"),
    ],
)
@pytest.mark.parametrize("source", ["cache", "live"])
async def test_a_plain_address_takes_the_mode_from_the_label_else_the_default(
    ruleset: Ruleset, label: str, default: Mode | None, expected: str, source: str
) -> None:
    there = {"ml-team": LABELS[label]}
    namespaces = FakeNamespaces(there) if source == "cache" else FakeNamespaces(live=there)
    async with running(ruleset, namespaces, default_mode=default) as server:
        assert outcome(await server.post("/validate", BAD)) == expected


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("mode", ["audit", "warn", "enforce"])
async def test_an_address_with_a_mode_decides_whatever_the_label_says(
    ruleset: Ruleset, label: str, mode: str
) -> None:
    async with running(ruleset, FakeNamespaces({"ml-team": LABELS[label]})) as server:
        assert outcome(await server.post(f"/validate/{mode}", BAD)) == mode


async def test_a_known_namespace_is_not_asked_for_and_an_unknown_one_once_a_call(ruleset: Ruleset) -> None:
    namespaces = FakeNamespaces({"ml-team": {}}, live={"new": {}})
    async with running(ruleset, namespaces) as server:
        await server.post("/validate", BAD)
        assert namespaces.asked == []
        await server.post("/validate?timeout=2s", body(namespace="new"))
    ((name, seconds),) = namespaces.asked
    assert name == "new"
    # What is left of the caller's time, which ends a little early.
    assert 0 < seconds <= 1.8


@pytest.mark.parametrize(
    ("path", "default", "expected"),
    [
        ("/validate", None, "none"),
        ("/validate", Mode.WARN, "warn"),
        ("/validate/audit", None, "audit"),
        ("/validate/warn", None, "warn"),
    ],
)
async def test_where_the_cluster_is_silent_a_call_goes_on_without_labels(
    ruleset: Ruleset, path: str, default: Mode | None, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    namespaces = FakeNamespaces(unreachable=frozenset({"ml-team"}))
    async with running(ruleset, namespaces, default_mode=default) as server:
        assert outcome(await server.post(path, BAD)) == expected
    (record,) = [record for record in caplog.records if "labels of a namespace" in record.message]
    assert record.__dict__["fields"] == {"namespace": "ml-team", "error": "no route to host"}


async def test_where_the_cluster_is_silent_enforce_asks_the_caller_to_try_again(ruleset: Ruleset) -> None:
    namespaces = FakeNamespaces(unreachable=frozenset({"ml-team"}))
    async with running(ruleset, namespaces) as server:
        answer = await server.post("/validate/enforce", BAD)
    answer.is_status(503, "labels of the request's namespace", "try again")
    assert answer.headers["Retry-After"] == "1"


async def test_a_namespace_that_does_not_exist_has_no_labels(ruleset: Ruleset) -> None:
    async with running(ruleset, FakeNamespaces()) as server:
        assert outcome(await server.post("/validate", BAD)) == "none"
        assert outcome(await server.post("/validate/enforce", BAD)) == "enforce"


@pytest.mark.parametrize("source", ["cache", "live"])
@pytest.mark.parametrize(("team", "expected"), [("ml", "enforce"), ("web", "none")])
async def test_policies_select_by_the_labels_of_the_namespace(
    tmp_path: Path, source: str, team: str, expected: str
) -> None:
    there = {"ml-team": {"team": team}}
    namespaces = FakeNamespaces(there) if source == "cache" else FakeNamespaces(live=there)
    async with running(ruleset_of(tmp_path, ML_ONLY), namespaces) as server:
        assert outcome(await server.post("/validate/enforce", BAD)) == expected


@pytest.mark.parametrize("path", ["/validate", "/mutate", "/validate/enforce"])
async def test_exempt_namespaces_are_allowed_unseen(ruleset: Ruleset, path: str) -> None:
    namespaces = FakeNamespaces(unreachable=frozenset({"kube-system"}))
    async with running(ruleset, namespaces, default_mode=Mode.ENFORCE, exempt=("kube-system",)) as server:
        answer = await server.post(path, body(pod(PRIVILEGED), namespace="kube-system"))
        assert answer.response == {"uid": answer.response["uid"], "allowed": True}
        assert namespaces.asked == []
        assert outcome(await server.post("/validate/enforce", BAD)) == "enforce"


NAMESPACE_POLICY = """
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: namespaces}
spec:
  match: {kinds: [v1/Namespace], namespaceSelector: {matchLabels: {team: ml}}}
  validate:
    - {expression: "'owner' in object.metadata.labels", message: a team's namespace needs an owner}
"""


@pytest.mark.parametrize(
    ("labels", "path", "expected"),
    [
        ({"team": "ml"}, "/validate", "warn"),
        ({"team": "ml"}, "/validate/enforce", "enforce"),
        ({"team": "ml", "owner": "ada"}, "/validate", "none"),
        ({"team": "web"}, "/validate", "none"),
        ({"team": "ml", "gpuward.dev/mode": "enforce"}, "/validate", "warn"),
    ],
)
async def test_a_namespace_itself_is_judged_by_its_own_labels_in_the_default_mode(
    tmp_path: Path, labels: dict[str, str], path: str, expected: str
) -> None:
    pytest.importorskip("cel_expr_python")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new", "labels": labels}}
    namespaces = FakeNamespaces()
    async with running(ruleset_of(tmp_path, NAMESPACE_POLICY), namespaces, default_mode=Mode.WARN) as server:
        assert outcome(await server.post(path, body(namespace, namespace="new"))) == expected
    assert namespaces.asked == []


async def test_an_object_without_a_namespace_is_judged_in_the_default_mode(ruleset: Ruleset) -> None:
    template = {"apiVersion": "v1", "kind": "Pod", **{k: pod(PRIVILEGED)[k] for k in ("metadata", "spec")}}
    namespaces = FakeNamespaces()
    async with running(ruleset, namespaces) as server:
        assert outcome(await server.post("/validate", body(template, namespace=""))) == "none"
    async with running(ruleset, namespaces, default_mode=Mode.AUDIT) as server:
        assert outcome(await server.post("/validate", body(template, namespace=""))) == "audit"
    assert namespaces.asked == []


@pytest.mark.parametrize(
    ("path", "default", "expected"),
    [
        ("/validate", None, "none"),
        ("/validate", Mode.AUDIT, "audit"),
        ("/validate", Mode.ENFORCE, "enforce"),
        ("/validate/warn", None, "warn"),
        ("/validate/enforce", Mode.AUDIT, "enforce"),
    ],
)
async def test_the_mode_of_a_cluster_scoped_object_is_that_of_the_address_else_the_default(
    tmp_path: Path, path: str, default: Mode | None, expected: str
) -> None:
    node_pools = """
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: pools}
spec:
  validate: [{rule: karpenter-node-pools, parameters: {pools: All}}]
"""
    pool = {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "gpu"}, "spec": {}}
    namespaces = FakeNamespaces()
    async with running(ruleset_of(tmp_path, node_pools), namespaces, default_mode=default) as server:
        assert outcome(await server.post(path, body(pool, namespace=""))) == expected
    assert namespaces.asked == []
