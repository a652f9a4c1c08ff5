"""Laws of Kubernetes' mutating policies: the patch applies, nothing given is changed, and nothing is a crash."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.kubernetes.policies import JSON, map_binding, map_policy, ruleset
from tests.strategies import json_values, pods
from webhook.engine.decision import Decision, Facts, Phase
from webhook.engine.offline import request_for
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.policy.findings import Mode

# Idempotent, each and all together: what a second review of the result must leave alone.
IDEMPOTENT = (
    "Object{metadata: Object.metadata{labels: {'seen': 'yes'}, finalizers: ['example.com/a', 'example.com/b']}}",
    """Object{spec: Object.spec{
        volumes: [Object.spec.volumes{name: 'shm', emptyDir: Object.spec.volumes.emptyDir{medium: 'Memory'}}],
        containers: object.spec.?containers.orValue([]).filter(c, has(c.name)).map(c, Object.spec.containers{
            name: c.name, env: [Object.spec.containers.env{name: 'A', value: 'x'}],
            resources: Object.spec.containers.resources{limits: {'memory': '1Gi'}}})}}""",
    "[JSONPatch{op: 'add', path: '/metadata/annotations', value: {'a/b': 'c'}}]",
    "[JSONPatch{op: 'replace', path: '/spec/hostNetwork', value: false}]",
    (
        "has(object.spec.containers) && size(object.spec.containers) > 1"
        " ? [JSONPatch{op: 'remove', path: '/spec/containers/1/image'},"
        " JSONPatch{op: 'add', path: '/spec/containers/1/image', value: 'other:1'}] : []"
    ),
)


def as_mutation(expression: str) -> JSON:
    if "JSONPatch{" in expression:
        return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def set_of(failure_policy: str) -> Ruleset:
    """Each mutation in a policy of its own."""
    documents = []
    for index, expression in enumerate(IDEMPOTENT):
        name = f"p{index}"
        spec = {"mutations": [as_mutation(expression)], "failurePolicy": failure_policy}
        documents += [map_policy(name, **spec), map_binding(name)]
    return ruleset(*documents)


RULESETS = {policy: set_of(policy) for policy in ("Fail", "Ignore")}

odd: Any = json_values(
    st.none() | st.booleans() | st.integers() | st.text(max_size=2),
    st.sampled_from(["metadata", "spec", "containers", "name", "labels", "finalizers", "env"]),
    most=3,
    leaves=12,
)


def decide(obj: JSON, mode: Mode, policy: str) -> Decision:
    return review(request_for(obj), RULESETS[policy], Facts(mode=mode), Phase.MUTATE)


@given(pods(), st.sampled_from(Mode), st.sampled_from(("Fail", "Ignore")))
def test_the_patch_applies_and_a_second_review_finds_nothing(pod: JSON, mode: Mode, policy: str) -> None:
    before = copy.deepcopy(pod)

    decision = decide(pod, mode, policy)

    assert pod == before
    assert jsonpatch.apply_patch(pod, list(decision.patch)) == decision.object
    assert decision.object is not None
    if decision.allowed:
        assert decide(decision.object, mode, policy).patch == ()


@given(odd, odd, st.sampled_from(("Pod", "Deployment", "Unheard")))
def test_no_json_is_a_crash(metadata: Any, spec: Any, kind: str) -> None:
    obj = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}
    before = copy.deepcopy(obj)

    decision = decide(obj, Mode.ENFORCE, "Ignore")

    assert obj == before
    assert jsonpatch.apply_patch(obj, list(decision.patch)) == decision.object
    assert not [finding for finding in decision.findings if "internal error" in finding.message]
