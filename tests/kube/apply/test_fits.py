"""What can be in objects of Kubernetes' own kinds, and where."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.kube.apply import Unfit, is_known, kinds_of, of, type_at, unfit_parts
from webhook.kube.gvk import POD, GroupVersionKind

DEPLOYMENT = GroupVersionKind("apps", "v1", "Deployment")
TRAINER = GroupVersionKind("example.com", "v1", "Trainer")

PLACES: dict[str, tuple[GroupVersionKind, tuple[str | int, ...], str]] = {
    "a field": (POD, ("spec", "priorityClassName"), ""),
    "the object": (POD, (), ""),
    "of an item": (POD, ("spec", "containers", 0, "image"), ""),
    "of an item by its text": (POD, ("spec", "containers", "0", "image"), ""),
    "of each item": (POD, ("spec", "containers", "*", "image"), ""),
    "any key of a map": (POD, ("metadata", "labels", "example.com/a"), ""),
    "a key that is a number": (POD, ("metadata", "labels", "0"), ""),
    "of a template": (DEPLOYMENT, ("spec", "template", "spec", "containers", 1, "env", 2, "value"), ""),
    "anything in a kind that is not known": (TRAINER, ("spec", "anything", 3, "goes"), ""),
    "but not in its metadata": (TRAINER, ("metadata", "label"), 'metadata has no field "label"'),
    "misspelt": (POD, ("spec", "containers", 0, "imagee"), 'spec.containers[0] has no field "imagee"'),
    "at the root": (POD, ("data",), 'the object has no field "data"'),
    "a field of a list": (
        POD,
        ("spec", "containers", "image"),
        'spec.containers is a list, and has no field "image"',
    ),
    "an item of a map": (POD, ("spec", 0), "spec is a map, and has no item 0"),
    "below text": (POD, ("spec", "nodeName", "x"), 'spec.nodeName is a string, and has no field "x"'),
    "below a number": (DEPLOYMENT, ("spec", "replicas", 0), "spec.replicas is an integer, and has no item 0"),
    "below any scalar": (
        POD,
        ("spec", "containers", 0, "resources", "limits", "cpu", "x"),
        'spec.containers[0].resources.limits.cpu is any scalar, and has no field "x"',
    ),
}


@pytest.mark.parametrize(("kind", "path", "said"), PLACES.values(), ids=PLACES)
def test_a_path_leads_somewhere_or_is_told_where_it_ends(
    kind: GroupVersionKind, path: tuple[str | int, ...], said: str
) -> None:
    found = type_at(path, of(kind), {"*"})
    assert (found.message if isinstance(found, Unfit) else "") == said


def test_the_fields_there_are_come_with_one_there_is_not() -> None:
    found = type_at(("spec", "replica"), of(DEPLOYMENT))
    assert isinstance(found, Unfit)
    assert found.path == ("spec", "replica")
    assert "replicas" in found.known


VALUES: dict[str, tuple[Any, tuple[str | int, ...] | None, str]] = {
    "as it should be": ({"containers": [{"name": "a", "resources": {"limits": {"cpu": 1}}}]}, None, ""),
    "null anywhere": ({"containers": None, "nodeSelector": {"a": None}}, None, ""),
    "a misspelt field": (
        {"containers": [{}, {"nam": "a"}]},
        ("containers", 1, "nam"),
        'containers[1] has no field "nam"',
    ),
    "a number for text": ({"nodeSelector": {"zone": 3}}, ("nodeSelector", "zone"), "must be a string, not 3"),
    "text for a switch": ({"hostNetwork": "true"}, ("hostNetwork",), 'must be a boolean, not "true"'),
    "a map for a list": ({"tolerations": {"key": "a"}}, ("tolerations",), "must be a list, not a map"),
    "a list for a map": ({"nodeSelector": ["a"]}, ("nodeSelector",), "must be a map, not a list"),
}


@pytest.mark.parametrize(("value", "path", "said"), VALUES.values(), ids=VALUES)
def test_a_value_fits_or_is_told_what_does_not(
    value: Any, path: tuple[str | int, ...] | None, said: str
) -> None:
    kind = type_at(("spec",), of(POD))
    assert not isinstance(kind, Unfit)
    found = next(unfit_parts(value, kind), None)
    assert (None if found is None else found.path, "" if found is None else found.message) == (path, said)


def test_all_that_does_not_fit_is_told() -> None:
    value = {"spec": {"hostNetwork": 1, "containers": [{"x": 1}]}, "data": {}}
    assert [found.path for found in unfit_parts(value, of(POD))] == [
        ("spec", "hostNetwork"),
        ("spec", "containers", 0, "x"),
        ("data",),
    ]


def test_kinds_are_found_in_all_their_versions() -> None:
    assert [str(kind) for kind in kinds_of("autoscaling", "*", "HorizontalPodAutoscaler")] == [
        "autoscaling/v1/HorizontalPodAutoscaler",
        "autoscaling/v2/HorizontalPodAutoscaler",
    ]
    assert kinds_of("", "v1", "Pod") == (POD,)
    assert all(map(is_known, kinds_of("batch", "v1", "Job")))
    assert kinds_of("example.com", "*", "Trainer") == ()
