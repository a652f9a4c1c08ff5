"""Kubernetes' own policies among gpuward's in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.engine.kubernetes.policies import JSON, binding, config_map, vap
from webhook.adapters.policy_documents import LoadedPolicies
from webhook.adapters.policy_files import load
from webhook.engine.decision import Facts
from webhook.engine.offline import request_for
from webhook.engine.review import review
from webhook.policy.findings import Action, Mode

OURS = {
    "apiVersion": "gpuward.dev/v1alpha1",
    "kind": "Policy",
    "metadata": {"name": "ours"},
    "spec": {"validate": [{"rule": "no-privileged"}]},
}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "x"},
    "spec": {"containers": [{"name": "a", "image": "b", "securityContext": {"privileged": True}}]},
}
LIVE = {"uid": "1", "resourceVersion": "2", "creationTimestamp": "2026-11-27T00:00:00Z", "managedFields": []}


def loaded(folder: Path, **files: list[JSON]) -> LoadedPolicies:
    for name, documents in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(documents))
    return load(folder)


def problems(found: LoadedPolicies) -> list[str]:
    return [problem.text for problem in found.problems]


def test_both_kinds_of_policies_judge_a_pod_and_all_findings_are_told(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, a=[OURS], b=[vap("theirs", "object.metadata.name != 'x'"), binding("theirs", "Warn")]
    )
    assert found.ruleset is not None
    assert found.ruleset.names() == ("ours", "theirs")
    decision = review(request_for(POD), found.ruleset, Facts(Mode.ENFORCE))
    assert [(f.policy, f.action) for f in decision.findings] == [
        ("ours", Action.ENFORCE),
        ("theirs", Action.WARN),
    ]
    assert "ours/no-privileged" in decision.message
    assert "theirs/validations[0]" in decision.warnings[0]


def test_policies_of_kubernetes_alone_are_a_set(tmp_path: Path) -> None:
    found = loaded(tmp_path, a=[vap("p", "true"), binding("p")])
    assert problems(found) == []
    assert found.ruleset is not None
    assert [policy.name for policy, _ in found.kubernetes] == ["p"]


def test_parts_of_one_policy_may_be_in_different_files_and_in_lists(tmp_path: Path) -> None:
    reference = {"paramRef": {"name": "limits", "parameterNotFoundAction": "Deny"}}
    kind = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
    items = {"apiVersion": "v1", "kind": "List", "items": [config_map("limits"), binding("p", **reference)]}
    found = loaded(tmp_path, a=[items], b=[vap("p", "params.metadata.name == 'limits'", **kind)])
    assert problems(found) == []
    assert found.ruleset is not None
    assert review(request_for(POD), found.ruleset, Facts(Mode.ENFORCE)).findings == ()


def test_what_a_cluster_prints_is_a_policy(tmp_path: Path) -> None:
    policy = {**vap("p", "true"), "status": {"observedGeneration": 1}}
    policy["metadata"] = {**policy["metadata"], **LIVE}
    bound = binding("p")
    bound["metadata"] = {**bound["metadata"], **LIVE}
    assert problems(loaded(tmp_path, a=[policy, bound])) == []


def test_parameters_are_seen_whole(tmp_path: Path) -> None:
    reference = {"paramRef": {"name": "limits", "parameterNotFoundAction": "Deny"}}
    kind = {"paramKind": {"apiVersion": "example.com/v1", "kind": "Limits"}}
    params = {
        "apiVersion": "example.com/v1",
        "kind": "Limits",
        "metadata": {"name": "limits"},
        "status": {"most": 3},
    }
    documents = [vap("p", "params.status.most == 3", **kind), binding("p", **reference), params]
    found = loaded(tmp_path, a=documents)
    assert found.ruleset is not None
    assert review(request_for(POD), found.ruleset, Facts(Mode.ENFORCE)).findings == ()


@pytest.mark.parametrize(
    "document",
    [config_map("x"), {"apiVersion": "apps/v1", "kind": "Deployment"}, {"apiVersion": 3, "kind": "x"}],
)
def test_other_objects_are_errors(tmp_path: Path, document: JSON) -> None:
    found = loaded(tmp_path, a=[OURS, document])
    assert found.ruleset is None
    assert len(found.problems) == 1
    assert "a policy's paramKind names" in problems(found)[0]


def test_a_problem_has_its_place_in_the_file(tmp_path: Path) -> None:
    (problem,) = loaded(tmp_path, a=[OURS], b=[vap("p", "object.x"), binding("p")]).problems
    assert Path(problem.file).name == "b.yaml"
    assert problem.line > 0
    assert problem.path == ("spec", "validations", 0, "expression")


def test_the_set_is_not_loaded_for_a_single_wrong_binding(tmp_path: Path) -> None:
    found = loaded(tmp_path, a=[OURS, vap("p", "true"), binding("q")])
    assert found.ruleset is None
    assert [policy.name for policy, _ in found.policies] == ["ours"]


def test_warnings_do_not_keep_a_set_from_being_loaded(tmp_path: Path) -> None:
    found = loaded(tmp_path, a=[vap("p", "true")])
    assert found.ruleset is not None
    assert [warning.path for warning in found.warnings] == [("metadata", "name")]


def test_break_glass_lets_pass_what_a_policy_of_kubernetes_denies(tmp_path: Path) -> None:
    glass = {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "BreakGlass",
        "metadata": {"name": "night"},
        "spec": {"groups": ["oncall"], "reason": "the pager rang"},
    }
    found = loaded(tmp_path, a=[vap("p", "false"), binding("p"), glass])
    assert problems(found) == []
    assert found.ruleset is not None
    denied = review(request_for(POD), found.ruleset, Facts(Mode.ENFORCE))
    passed = review(request_for(POD, groups=("oncall",)), found.ruleset, Facts(Mode.ENFORCE))
    assert (denied.allowed, passed.allowed) == (False, True)
    assert [finding.action for finding in passed.findings] == [Action.AUDIT]
    assert passed.break_glass is not None


def test_a_mirror_pod_is_judged_by_kubernetes_own_policies_alone(tmp_path: Path) -> None:
    found = loaded(tmp_path, a=[OURS, vap("p", "false"), binding("p")])
    assert found.ruleset is not None
    mirror = {**POD, "metadata": {"name": "x", "annotations": {"kubernetes.io/config.mirror": "y"}}}
    decision = review(request_for(mirror), found.ruleset, Facts(Mode.ENFORCE))
    assert [finding.policy for finding in decision.findings] == ["p"]
