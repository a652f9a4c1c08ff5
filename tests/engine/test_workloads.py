"""The engine on workloads whose pods are put together from several places."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import pytest

from tests.engine.policies import (
    Crashes,
    NeedsTeam,
    NoHostNetwork,
    OnlyKnownImages,
    SetTeam,
    policy,
    request,
    ruleset,
)
from webhook.engine.decision import Facts
from webhook.engine.review import review
from webhook.kube.pod import Pod
from webhook.policy.draft import Draft
from webhook.policy.findings import Action, Mode, Violation
from webhook.policy.rule import Check, Mutation

ENFORCE = Facts(mode=Mode.ENFORCE)


def workflow(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "train"},
        "spec": {
            "templates": [
                {"name": "steps", "steps": []},
                {"name": "a", "container": {"image": "good"}},
                {"name": "b", "script": {"image": "bad"}},
            ],
            **spec,
        },
    }


class Tolerates(Mutation):
    """Adds a toleration, and a container before the others."""

    name = "tolerates"
    title = "test"

    def __call__(self, pod: Pod, draft: Draft) -> None:
        draft.append(pod.field("tolerations"), {"key": "added"})
        draft.insert(pod.field("containers", 0), {"name": "added", "image": "good"})


class KeepsTolerations(Check):
    """Pods have the toleration of the workflow, and the one that is added."""

    name = "keeps"
    title = "test"

    def __call__(self, pod: Pod) -> Iterable[Violation]:
        keys = [toleration.get("key") for toleration in pod.tolerations]
        if keys != ["own", "added"]:
            yield Violation("toleration-missing", pod.field("tolerations"), f"tolerates {keys}")


def test_every_pod_is_judged_with_what_the_workflow_and_mutations_add() -> None:
    obj = workflow(tolerations=[{"key": "own"}])
    before = copy.deepcopy(obj)
    decision = review(request(obj), ruleset(policy(Tolerates, KeepsTolerations, OnlyKnownImages)), ENFORCE)
    # The bad container is the second of its pod by then, and still the script that the user wrote.
    assert [finding.field for finding in decision.findings] == ["spec.templates[2].script.image"]
    assert (
        decision.message.splitlines()[1]
        == "- spec.templates[2].script.image: bad image in main [p/known-images]"
    )
    assert (decision.patch, decision.would_patch, decision.mutated_by) == ((), (), ())
    assert decision.object is obj
    assert obj == before


def test_a_finding_about_the_whole_workflow_names_its_field() -> None:
    decision = review(request(workflow(hostNetwork=True)), ruleset(policy(NoHostNetwork)), ENFORCE)
    assert [finding.field for finding in decision.findings] == ["spec.hostNetwork", "spec.hostNetwork"]


def test_policies_that_only_record_see_their_own_mutations() -> None:
    policies = ruleset(policy(SetTeam, NeedsTeam, action=Action.AUDIT), policy(NeedsTeam, name="z"))
    decision = review(request(workflow()), policies, ENFORCE)
    assert [(finding.policy, finding.field) for finding in decision.findings] == [
        ("z", "spec.templates[1].metadata.labels.team"),
        ("z", "spec.templates[2].metadata.labels.team"),
    ]


UPDATES: dict[str, tuple[dict[str, Any], list[Action]]] = {
    "nothing of the pods": ({"parallelism": 2}, [Action.WARN]),
    "a setting of all pods": ({"tolerations": [{"key": "own"}]}, [Action.ENFORCE]),
    "another template": (
        {
            "templates": [
                {"name": "steps", "suspend": {}},
                {"name": "a", "container": {"image": "good", "args": ["x"]}},
                {"name": "b", "script": {"image": "bad"}},
            ]
        },
        [Action.WARN],
    ),
    "the template": (
        {"templates": [{}, {}, {"name": "b", "script": {"image": "bad", "source": "x"}}]},
        [Action.ENFORCE],
    ),
    "the template's place": ({"templates": [{"name": "b", "script": {"image": "bad"}}]}, [Action.ENFORCE]),
}


@pytest.mark.parametrize(("changes", "actions"), UPDATES.values(), ids=UPDATES)
def test_an_update_is_refused_for_the_pods_it_changes(changes: dict[str, Any], actions: list[Action]) -> None:
    decision = review(
        request(workflow(**changes), operation="UPDATE", old_object=workflow()),
        ruleset(policy(OnlyKnownImages)),
        ENFORCE,
    )
    assert [finding.action for finding in decision.findings] == actions


def test_metadata_that_kubectl_writes_changes_no_pod() -> None:
    def notebook(**annotations: str) -> dict[str, Any]:
        spec = {"template": {"spec": {"containers": [{"name": "main", "image": "bad"}]}}}
        metadata = {"name": "n", "labels": {"team": "a"}, "annotations": annotations}
        return {"apiVersion": "kubeflow.org/v1", "kind": "Notebook", "metadata": metadata, "spec": spec}

    new = notebook(**{"kubectl.kubernetes.io/last-applied-configuration": "{}"})
    decision = review(
        request(new, operation="UPDATE", old_object=notebook()), ruleset(policy(OnlyKnownImages)), ENFORCE
    )
    assert [finding.action for finding in decision.findings] == [Action.WARN]


def test_a_custom_resource_nobody_listed_is_judged_by_its_shape() -> None:
    obj = {
        "apiVersion": "example.com/v1",
        "kind": "Trainer",
        "metadata": {"name": "t"},
        "spec": {"roles": [{"template": {"spec": {"containers": [{"name": "m", "image": "bad"}]}}}]},
    }
    decision = review(request(obj), ruleset(policy(OnlyKnownImages)), ENFORCE)
    assert [finding.field for finding in decision.findings] == [
        "spec.roles[0].template.spec.containers[0].image"
    ]


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret", "ServiceAccount", "Event"])
def test_no_policy_without_kinds_looks_at_built_in_kinds_that_carry_no_pods(kind: str) -> None:
    policies = ruleset(policy(OnlyKnownImages, Crashes))
    obj = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, "data": {"containers": "x"}}
    assert policies.candidates(request(obj).kind, "CREATE", "ml") == ()
    assert review(request(obj), policies, ENFORCE).findings == ()


class AtMost(Check):
    """All pods of a workload together are at most four."""

    name = "at-most"
    title = "test"

    def __call__(self, pod: Pod) -> Iterable[Violation]:
        return ()

    def check_workload(self, pods: Iterable[Pod]) -> Iterable[Violation]:
        if sum(pod.replicas for pod in pods) > 4:
            yield Violation("too-many", ("spec",), "more than four pods")


def job(replicas: int, **labels: str) -> dict[str, Any]:
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "m", "image": "good"}]}}
    specs = {"Master": {"template": template}, "Worker": {"replicas": replicas, "template": template}}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": "x"},
        "spec": {"pytorchReplicaSpecs": specs},
    }


@pytest.mark.parametrize(("replicas", "findings"), [(3, []), (4, ["spec"])])
def test_a_check_can_judge_all_pods_of_a_workload_together(replicas: int, findings: list[str]) -> None:
    decision = review(request(job(replicas)), ruleset(policy(AtMost)), ENFORCE)
    assert [finding.field for finding in decision.findings] == findings
    assert decision.allowed is not findings


@pytest.mark.parametrize(
    ("old", "action"), [(job(9), Action.WARN), (job(10), Action.ENFORCE), (job(1), Action.ENFORCE)]
)
def test_an_update_that_leaves_the_workload_as_it_was_only_warns(old: dict[str, Any], action: Action) -> None:
    decision = review(request(job(9), operation="UPDATE", old_object=old), ruleset(policy(AtMost)), ENFORCE)
    assert [finding.action for finding in decision.findings] == [action]
