"""Kinds in policies: which are meant, and which cannot be."""

from __future__ import annotations

import pytest

from webhook.policy.match import parse_kind

READ = {
    "Pod": ("", "*", "Pod"),
    "v1/Pod": ("", "v1", "Pod"),
    "apps/v1/Deployment": ("apps", "v1", "Deployment"),
    "batch/*/Job": ("batch", "*", "Job"),
    "Job": ("batch", "*", "Job"),
    "batch.volcano.sh/v1alpha1/Job": ("batch.volcano.sh", "v1alpha1", "Job"),
    "Workflow": ("argoproj.io", "*", "Workflow"),
    "Sandbox": ("agents.x-k8s.io", "*", "Sandbox"),
    "InferenceService": ("serving.kserve.io", "*", "InferenceService"),
    "serving.kserve.io/*/*": ("serving.kserve.io", "*", "*"),
    "example.com/v1/Trainer": ("example.com", "v1", "Trainer"),
    "*": ("*", "*", "*"),
}


@pytest.mark.parametrize(("written", "pattern"), READ.items(), ids=READ)
def test_a_kind_is_read(written: str, pattern: tuple[str, str, str]) -> None:
    assert parse_kind(written) == pattern


REFUSED = {
    "kubeflow.org/v1/PyTorchJobs": 'group "kubeflow.org" has no kind "PyTorchJobs"; did you mean "PyTorchJob"?',
    "argoproj.io/v1alpha1/WorkFlow": 'group "argoproj.io" has no kind "WorkFlow"; did you mean "Workflow"?',
    "ray.io/v1/Raycluster": 'group "ray.io" has no kind "Raycluster"; did you mean "RayCluster"?',
    "kubeflow.org/v1/Deployment": 'group "kubeflow.org" has no kind "Deployment"; did you mean "apps/v1/Deployment"?',
    "jobset.x-k8s.io/v1/Banana": 'group "jobset.x-k8s.io" has no kind "Banana"',
    "apps/v2/Deployment": 'group "apps" has no version "v2" ("apps/v2/Deployment"); it has v1, and * stands for any',
    "autoscaling/v3/HorizontalPodAutoscaler": (
        'group "autoscaling" has no version "v3" ("autoscaling/v3/HorizontalPodAutoscaler"); it has v1 and v2, and * '
        "stands for any"
    ),
    "v2/Pod": 'the core group has no version "v2" ("v2/Pod"); it has v1, and * stands for any',
    "core/v1/Pod": 'the core group has no name; write v1/Pod instead of "core/v1/Pod"',
    "app/v1/Deployment": 'there is no API group "app" ("app/v1/Deployment"); did you mean "apps"?',
    "acme/v1/Trainer": (
        'there is no API group "acme" ("acme/v1/Trainer"); groups of custom resources are domains, such as ray.io'
    ),
    "v1/ConfigMapp": 'the core group has no kind "ConfigMapp"; did you mean "ConfigMap"?',
    "PyTorchJobs": 'unknown kind "PyTorchJobs"; did you mean "PyTorchJob"?',
    "Banana": 'unknown kind "Banana"; name a custom resource as group/version/Kind',
}


@pytest.mark.parametrize(("written", "message"), REFUSED.items(), ids=REFUSED)
def test_a_kind_that_does_not_exist_is_an_error_that_says_what_was_meant(written: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_kind(written)
    assert str(refused.value) == message


def test_kinds_that_are_declared_exist() -> None:
    declared = {("kubeflow.org", "BananaJob"), ("example.com", "Trainer")}
    assert parse_kind("kubeflow.org/v1/BananaJob", declared) == ("kubeflow.org", "v1", "BananaJob")
    assert parse_kind("Trainer", declared) == ("example.com", "*", "Trainer")
    with pytest.raises(ValueError, match=r'unknown kind "Trainr"; did you mean "Trainer"\?'):
        parse_kind("Trainr", declared)
