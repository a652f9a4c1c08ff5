"""What is exported judges as gpuward does: read back by gpuward itself, which runs Kubernetes' own policies too.

`tests/e2e/test_exported_policies.py` asks the real API server the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.export.exporting import CATALOG, exported, read_back, ruleset, shipped_documents
from tests.export.policies import CHECKS, PODS, all_policies, pods_for, policy
from tests.support import shared
from webhook.adapters.manifests import read_manifests
from webhook.engine.decision import Decision, Facts, Phase
from webhook.engine.offline import kind_of, request_for
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.kube.review import AdmissionRequest
from webhook.kube.workloads import find_pods
from webhook.policy.findings import Mode

NOW = datetime(2026, 11, 27, tzinfo=UTC)
LABELS = {
    "gpuward.dev/mode": "enforce",
    "kubernetes.io/metadata.name": "default",
    "workload": "ml",
}
NAMESPACE: dict[str, Any] = {"metadata": {"name": "default", "labels": LABELS}}
# What the API server sets before it asks.
CREATED = {"creationTimestamp": "2026-11-27T12:00:00Z"}


def judged(rules: Ruleset, request: AdmissionRequest, mode: Mode = Mode.ENFORCE) -> Decision:
    labels = {**LABELS, "gpuward.dev/mode": mode.value}
    facts = Facts(mode, labels, {"metadata": {"name": "default", "labels": labels}}, NOW)
    return review(request, rules, facts, Phase.VALIDATE)


def created(obj: dict[str, Any]) -> AdmissionRequest:
    metadata = {**obj["metadata"], **CREATED}
    if "generateName" in metadata:
        metadata["name"] = metadata["generateName"] + "x1y2z"
    return request_for({**obj, "metadata": metadata}, username="tester", groups=("system:masters",))


@pytest.mark.parametrize("name", all_policies())
def test_exported_policy_judges_every_pod_as_gpuward_does(name: str) -> None:
    document = all_policies()[name]
    result = exported(document)
    assert not result.left_out
    own, back = ruleset(document), read_back(result.objects)
    verdicts = set()
    for called, pod in pods_for(name).items():
        one, other = (judged(rules, created(pod)) for rules in (own, back))
        assert one.allowed is other.allowed, (called, one.findings, other.findings)
        assert not any(finding.error for finding in other.findings), (called, other.findings)
        verdicts.add(one.allowed)
    if name not in ("match-users", "accelerator-request-equals-limit"):
        assert verdicts == {True, False}, "the pods do not try the policy"


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("action", ["Enforce", "Warn", "Audit"])
def test_weaker_of_action_and_mode_is_what_is_done(action: str, mode: Mode) -> None:
    document = policy("ladder", CHECKS["no-host-namespaces"], action=action)
    own, back = ruleset(document), read_back(exported(document).objects)
    one, other = (judged(rules, created(PODS["host-pid"]), mode) for rules in (own, back))
    assert one.allowed is other.allowed
    assert [finding.action for finding in one.findings] == [finding.action for finding in other.findings]
    assert bool(one.warnings) is bool(other.warnings)


def recorded_pods() -> Iterator[dict[str, Any]]:
    for file in sorted(shared("admission-reviews").glob("*.json")):
        request = json.loads(file.read_bytes()).get("request") or {}
        if request.get("kind", {}).get("kind") == "Pod" and request.get("object"):
            yield request["object"]


def corpus_pods() -> Iterator[dict[str, Any]]:
    for found in read_manifests([str(shared("corpus"))]):
        obj = getattr(found, "obj", None)
        if type(obj) is dict:
            for pod in find_pods(kind_of(obj), obj, CATALOG):
                yield pod.as_object("default")


def test_real_pods_are_judged_as_gpuward_does() -> None:
    documents = [document for document in shipped_documents() if document["spec"].get("validate")]
    documents += [all_policies()[name] for name in CHECKS]
    exports = [(document, exported(document).objects) for document in documents]
    pairs = [
        (document["metadata"]["name"], ruleset(document), read_back(objects))
        for document, objects in exports
        if objects
    ]
    compared = {True: 0, False: 0}
    pods = {json.dumps(pod, sort_keys=True): pod for pod in (*recorded_pods(), *corpus_pods())}
    for pod in pods.values():
        request = created({"metadata": {}, **pod})
        for name, own, back in pairs:
            one, other = judged(own, request), judged(back, request)
            assert one.allowed is other.allowed, (name, pod, one.findings, other.findings)
            compared[one.allowed] += 1
    assert min(compared.values()) > 1000, compared
