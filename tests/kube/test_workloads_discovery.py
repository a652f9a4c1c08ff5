"""Pods in kinds nobody listed, found by their shape."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kube.workloads import CATALOG, pods_of, written
from webhook.kube.gvk import parse_api_version
from webhook.kube.path import lookup, render
from webhook.kube.workloads import discovery, find_pods

CONTAINERS = [{"name": "main", "image": "x"}]
TEMPLATE = {"metadata": {"labels": {"app": "t"}}, "spec": {"containers": CONTAINERS}}


def custom(**fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Trainer",
        "metadata": {"labels": {"team": "a"}},
        **fields,
    }


FOUND: dict[str, tuple[dict[str, Any], list[tuple[str, dict[str, str]]]]] = {
    "a template": ({"spec": {"template": TEMPLATE}}, [("spec.template.spec", {"app": "t"})]),
    "templates in lists and maps, in order": (
        {"spec": {"roles": [{"pod": TEMPLATE}, {"pod": TEMPLATE}], "extra": {"x": {"pod": TEMPLATE}}}},
        [
            ("spec.roles[0].pod.spec", {"app": "t"}),
            ("spec.roles[1].pod.spec", {"app": "t"}),
            ("spec.extra.x.pod.spec", {"app": "t"}),
        ],
    ),
    "a template without metadata": (
        {"spec": {"template": {"spec": {"containers": CONTAINERS}}}},
        [("spec.template.spec", {})],
    ),
    "a bare PodSpec": ({"spec": {"server": {"containers": CONTAINERS}}}, [("spec.server", {"team": "a"})]),
    "the spec itself": ({"spec": {"containers": CONTAINERS}}, [("spec", {"team": "a"})]),
    "the object itself": ({"containers": CONTAINERS}, [("", {"team": "a"})]),
    "one beside another": (
        {"spec": {"containers": CONTAINERS, "workers": {"containers": CONTAINERS}}},
        [("spec", {"team": "a"}), ("spec.workers", {"team": "a"})],
    ),
    "one container of which is named by its image only": (
        {"spec": {"containers": [*CONTAINERS, {"image": "y"}]}},
        [("spec", {"team": "a"})],
    ),
    "containers without images": ({"spec": {"containers": [{"name": "a"}]}}, []),
    "a list of names": ({"spec": {"containers": ["a", "b"]}}, []),
    "no list": ({"spec": {"containers": {"name": "a", "image": "b"}}}, []),
    "an empty list": ({"spec": {"containers": []}}, []),
    "what a controller reports": ({"status": {"template": TEMPLATE}}, []),
}


@pytest.mark.parametrize(("fields", "expected"), FOUND.values(), ids=FOUND)
def test_what_has_the_shape_of_a_pod_is_one(
    fields: dict[str, Any], expected: list[tuple[str, dict[str, str]]]
) -> None:
    obj = custom(**fields)
    pods = pods_of(obj)
    assert [(render(pod.place), pod.labels) for pod in pods] == expected
    for pod in pods:
        place = pod.written_at(pod.field("containers", 0, "image"))
        assert lookup(obj, place) == "x"


def test_paths_of_metadata_are_those_beside_the_spec_or_the_objects() -> None:
    in_place, bare = pods_of(custom(spec={"a": TEMPLATE, "b": {"containers": CONTAINERS}}))
    assert written(in_place, "metadata.labels.x") == "spec.a.metadata.labels.x"
    assert written(bare, "metadata.labels.x") == "metadata.labels.x"


@pytest.mark.parametrize(
    ("role", "number", "place"),
    [
        ({"template": TEMPLATE, "replicas": 4}, 4, "spec.role.replicas"),
        ({"template": TEMPLATE, "replicas": 0}, 0, "spec.role.replicas"),
        ({"template": TEMPLATE, "replicas": "4"}, 1, ""),
        ({"template": TEMPLATE}, 1, ""),
        ({"templates": [TEMPLATE], "replicas": 4}, 1, ""),
        ({"podSpec": {"containers": CONTAINERS}, "replicas": 4}, 4, "spec.role.replicas"),
        ({"containers": CONTAINERS, "replicas": 4}, 1, ""),
    ],
    ids=[
        "beside the template",
        "none",
        "text",
        "not written",
        "beside a list",
        "beside a PodSpec",
        "in a PodSpec",
    ],
)
def test_replicas_beside_a_template_are_its_pods(role: dict[str, Any], number: int, place: str) -> None:
    (pod,) = pods_of(custom(spec={"role": role}))
    assert (pod.replicas, render(pod.replicas_path)) == (number, place)


def test_the_search_goes_only_so_deep() -> None:
    inner: dict[str, Any] = {"containers": CONTAINERS}
    for _ in range(discovery._DEPTH - 2):
        inner = {"x": inner}
    assert len(pods_of(custom(spec=inner))) == 1
    assert pods_of(custom(spec={"x": {"x": inner}})) == ()


@pytest.mark.parametrize(
    ("filler", "enough"),
    [([{"x": 1}], discovery._BUDGET // discovery._MAP_COST), ([1], discovery._BUDGET)],
    ids=["maps", "values"],
)
def test_the_search_goes_only_so_far(filler: list[Any], enough: int) -> None:
    bare = {"containers": CONTAINERS}
    assert len(pods_of(custom(spec={"first": bare, "filler": filler * enough}))) == 1
    assert len(pods_of(custom(spec={"filler": filler * (enough // 2), "last": bare}))) == 1
    assert pods_of(custom(spec={"filler": filler * enough, "last": bare})) == ()


def test_policies_about_pods_are_no_pods() -> None:
    rule = {"pattern": {"spec": {"containers": [{"name": "*", "image": "!*:latest"}]}}}
    obj = {"spec": {"rules": [{"validate": rule}]}}
    assert find_pods(parse_api_version("kyverno.io/v1", "Policy"), obj, CATALOG) == ()


def test_objects_inside_an_object_share_the_search() -> None:
    inner = custom(spec={"filler": [{"x": 1}] * 1000, "last": {"containers": CONTAINERS}})
    found = pods_of(custom(spec={"items": [inner] * 100}))
    assert 0 < len(found) < 20


@pytest.mark.parametrize(
    ("api_version", "kind", "spec", "place"),
    [
        (
            "kubeflow.org/v1alpha1",
            "TFJob",
            {"replicaSpecs": [{"template": TEMPLATE}]},
            "replicaSpecs[0].template.spec",
        ),
        ("kubeflow.org/v1alpha1", "MPIJob", {"template": TEMPLATE}, "template.spec"),
        (
            "ray.io/v2",
            "RayCluster",
            {"groups": {"head": {"template": TEMPLATE}}},
            "groups.head.template.spec",
        ),
    ],
)
def test_a_version_of_a_known_kind_that_keeps_its_pods_elsewhere_is_searched(
    api_version: str, kind: str, spec: dict[str, Any], place: str
) -> None:
    (pod,) = pods_of({"apiVersion": api_version, "kind": kind, "spec": spec})
    assert render(pod.place) == f"spec.{place}"


def test_a_built_in_kind_is_not_searched() -> None:
    assert pods_of({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"elsewhere": TEMPLATE}}) == ()
