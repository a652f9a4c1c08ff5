"""Kinds whose pods are described in configuration."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.policies import CATALOG
from webhook.engine.workload_catalog import compile_workload_catalog
from webhook.kube.gvk import parse_api_version
from webhook.kube.kinds import Kind
from webhook.kube.path import render
from webhook.kube.pod import Pod
from webhook.kube.workloads import WORKLOADS, find_pods
from webhook.kube.workloads.configured import parse_template_path
from webhook.kube.workloads.paths import Finder
from webhook.policy.problems import InvalidPolicy


def compiled(*workloads: dict[str, Any]) -> dict[Kind, Finder]:
    document = {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "WorkloadCatalog",
        "metadata": {"name": "ours"},
        "spec": {"workloads": list(workloads)},
    }
    return dict(compile_workload_catalog(document, {}))


def templates(
    *paths: str, replicas: str | tuple[str, ...] = (), kind: str = "example.com/v1/Trainer"
) -> dict[str, Any]:
    counts = replicas if isinstance(replicas, str) else list(replicas)
    return {"kind": kind, "templates": [{"path": path, "replicas": counts} for path in paths]}


def pods(
    finders: dict[Kind, Finder], spec: Any, kind: str = "Trainer", group: str = "example.com"
) -> list[Pod]:
    obj = {"metadata": {"labels": {"team": "a"}}, "spec": spec}
    return list(find_pods(parse_api_version(f"{group}/v1", kind), obj, CATALOG, own=finders))


SPEC = {"containers": [{"name": "main"}]}
FOUND: dict[str, tuple[dict[str, Any], Any, list[tuple[str, int, str]]]] = {
    "a template, whose containers need no image": (
        templates("spec.pod"),
        {"pod": {"metadata": {}, "spec": SPEC}},
        [("spec.pod.spec", 1, "")],
    ),
    "a bare PodSpec": (templates("spec.pod"), {"pod": SPEC}, [("spec.pod", 1, "")]),
    "every item of a list": (
        templates("spec.roles[*].template", replicas=("spec.roles[*].replicas", "spec.copies")),
        {
            "copies": 3,
            "roles": [{"replicas": 2, "template": {"spec": SPEC}}, {"template": {"spec": SPEC}}, {}],
        },
        [
            ("spec.roles[0].template.spec", 6, "spec.roles[0].replicas"),
            ("spec.roles[1].template.spec", 3, "spec.roles[1].replicas"),
        ],
    ),
    "one number": (
        templates("spec.pod", replicas="spec.size"),
        {"size": 5, "pod": SPEC},
        [("spec.pod", 5, "spec.size")],
    ),
    "every value of a map": (
        templates("spec.roles.*.pod"),
        {"roles": {"a": {"pod": SPEC}, "b": {"pod": SPEC}}},
        [("spec.roles.a.pod", 1, ""), ("spec.roles.b.pod", 1, "")],
    ),
    "a whole object": (
        templates("spec.job"),
        {"job": {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": SPEC}}}},
        [("spec.job.spec.template.spec", 1, "spec.job.spec.parallelism")],
    ),
    "several places": (
        templates("spec.driver", "spec.worker"),
        {"driver": SPEC, "worker": SPEC},
        [("spec.driver", 1, ""), ("spec.worker", 1, "")],
    ),
    "nothing there": (templates("spec.pod"), {"pod": {"image": "x"}}, []),
    "something else there": (templates("spec.pod"), {"pod": "text"}, []),
    "no pods, whatever they look like": (
        {"kind": "example.com/v1/Trainer"},
        {"pod": {"containers": [{"name": "a", "image": "b"}]}},
        [],
    ),
}


@pytest.mark.parametrize(("workload", "spec", "expected"), FOUND.values(), ids=FOUND)
def test_pods_are_found_where_the_catalog_says(
    workload: dict[str, Any], spec: Any, expected: list[tuple[str, int, str]]
) -> None:
    found = pods(compiled(workload), spec)
    assert [(render(pod.place), pod.replicas, render(pod.replicas_path)) for pod in found] == expected


def test_a_kind_that_is_known_can_be_described_anew() -> None:
    finders = compiled(templates("spec.pods[*]", kind="kubeflow.org/*/PyTorchJob"))
    (pod,) = pods(finders, {"pods": [SPEC]}, "PyTorchJob", "kubeflow.org")
    assert render(pod.place) == "spec.pods[0]"


def test_a_kind_nobody_has_heard_of_can_be_declared_in_a_known_group() -> None:
    assert list(compiled(templates("spec.pod", kind="kubeflow.org/v1/DiffusionJob"))) == [
        ("kubeflow.org", "DiffusionJob")
    ]


def test_places_are_told_as_they_are_written() -> None:
    (finder,) = compiled(templates("spec.roles[*].pod", "spec.groups.*.pod")).values()
    assert finder.places == ("spec.roles[*].pod", "spec.groups.*.pod")


KIND, PATH = "spec.workloads[0].kind", "spec.workloads[0].templates[0].path"
COUNT = "spec.workloads[0].templates[0].replicas[0]"
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt kind of a known group": (
        templates("spec.pod", kind="kubeflow.org/v1/PyTorchJobs"),
        f'{KIND}: group "kubeflow.org" has no kind "PyTorchJobs"; did you mean "PyTorchJob"?',
    ),
    "a built-in kind that does not exist": (
        templates("spec.pod", kind="apps/v1/Deploymnt"),
        f'{KIND}: group "apps" has no kind "Deploymnt"; did you mean "Deployment"?',
    ),
    "a built-in kind": (
        templates("spec.pod", kind="apps/v1/Deployment"),
        f'{KIND}: where the pods of "apps/v1/Deployment" are is known; only custom resources can be described',
    ),
    "a built-in kind without pods": (
        templates("data.pod", kind="v1/ConfigMap"),
        f'{KIND}: where the pods of "v1/ConfigMap" are is known; only custom resources can be described',
    ),
    "a policy": (
        templates("spec.pod", kind="kyverno.io/v1/Policy"),
        f'{KIND}: objects of "kyverno.io/v1/Policy" say what pods must be like, they describe none',
    ),
    "a kind without its group": (
        templates("spec.pod", kind="Trainer"),
        f'{KIND}: unknown kind "Trainer"; did you mean "TrainJob"?',
    ),
    "all kinds": (
        templates("spec.pod", kind="*"),
        f'{KIND}: "*" is not one kind; name it as group/version/Kind',
    ),
    "all kinds of a group": (
        templates("spec.pod", kind="example.com/v1/*"),
        f'{KIND}: "example.com/v1/*" is not one kind; name it as group/version/Kind',
    ),
    "no version": (
        templates("spec.pod", kind="example.com/Trainer"),
        (
            f'{KIND}: "example.com" in "example.com/Trainer" is no API version; write group/version/Kind, such as '
            "apps/v1/Deployment"
        ),
    ),
    "an index": (
        templates("spec.roles[0].template"),
        f'{PATH}: "spec.roles[0].template" names one item of a list; write [*] for every item',
    ),
    "an empty step": (
        templates("spec..template"),
        (
            f'{PATH}: "spec..template" is no path; write keys with dots between them, [*] for every item of a list '
            "and * for every value of a map, such as spec.roles[*].template"
        ),
    ),
    "a JSON Pointer": (
        templates("/spec/template"),
        (
            f'{PATH}: "/spec/template" is no path; write keys with dots between them, [*] for every item of a list '
            "and * for every value of a map, such as spec.roles[*].template"
        ),
    ),
    "metadata": (
        templates("metadata.template"),
        f'{PATH}: "metadata.template" starts with metadata, which describes no pods; such as spec.roles[*].template',
    ),
    "status": (
        templates("status.template"),
        f'{PATH}: "status.template" starts with status, which describes no pods; such as spec.roles[*].template',
    ),
    "anything": (
        templates("*.template"),
        f'{PATH}: "*.template" must start with a field of the object, such as spec.roles[*].template',
    ),
    "containers": (
        templates("spec.template.spec.containers"),
        (
            f'{PATH}: "spec.template.spec.containers" leads to containers; name the pod template around them: '
            "spec.template.spec"
        ),
    ),
    "each container": (
        templates("spec.roles[*].containers[*]"),
        f'{PATH}: "spec.roles[*].containers[*]" leads to containers; name the pod template around them: spec.roles[*]',
    ),
    "numbers of other items": (
        templates("spec.roles[*].template", replicas=("spec.groups[*].replicas",)),
        (
            f'{COUNT}: "spec.groups[*].replicas" does not go along with "spec.roles[*].template"; up to the last '
            "wildcard both must be the same"
        ),
    ),
    "a number that is none": (
        templates("spec.pod", replicas="metadata.name"),
        (
            'spec.workloads[0].templates[0].replicas: "metadata.name" starts with metadata, which describes no pods; '
            "such as spec.roles[*].template"
        ),
    ),
    "many numbers": (
        templates("spec.roles[*].template", replicas=("spec.roles[*]",)),
        f'{COUNT}: "spec.roles[*]" leads to many values; name the number itself',
    ),
    "an unknown field": (
        {"kind": "example.com/v1/Trainer", "template": []},
        'spec.workloads[0].template: unknown field "template"; did you mean "templates"?',
    ),
}


@pytest.mark.parametrize(("workload", "message"), MISTAKES.values(), ids=MISTAKES)
def test_what_cannot_be_meant_is_told_with_its_place(workload: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        compiled(workload)
    assert [str(problem) for problem in refused.value.problems] == [message]


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InvalidPolicy) as refused:
        compiled(
            templates("spec.a[0]", "status.b", kind="apps/v1/Job"),
            templates("spec.pod"),
            templates("spec.pod", kind="example.com/v2/Trainer"),
        )
    assert [str(problem).split(":")[0] for problem in refused.value.problems] == [
        "spec.workloads[0].kind",
        "spec.workloads[0].templates[0].path",
        "spec.workloads[0].templates[1].path",
        "spec.workloads[2].kind",
    ]


def test_what_is_described_twice_is_an_error_over_catalogs_too() -> None:
    finders = compiled(templates("spec.pod"))
    document = {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "WorkloadCatalog",
        "metadata": {"name": "theirs"},
        "spec": {"workloads": [templates("spec.other")]},
    }
    with pytest.raises(InvalidPolicy, match=r'"example\.com/v1/Trainer" is described twice'):
        compile_workload_catalog(document, finders)


def test_the_places_of_known_kinds_read_like_those_of_a_catalog() -> None:
    for finder in WORKLOADS.values():
        assert finder.places
        for place in finder.places:
            # A runtime's spec is a PodSpec itself.
            assert place == "spec" or ".".join(parse_template_path(place)).replace(".[]", "[*]") == place
