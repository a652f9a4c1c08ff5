"""What a pod asks for, seen as the scheduler sees it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from webhook.kube.accelerators import Accelerator, Catalog, Taint
from webhook.kube.path import Path
from webhook.kube.pod import Pod
from webhook.policy.draft import Draft

CATALOG = Catalog(
    [
        Accelerator(
            "nvidia",
            ("nvidia.com/gpu", "nvidia.com/mig-*"),
            ("gpu.nvidia.com",),
            (Taint("nvidia.com/gpu", "NoSchedule"),),
        ),
        Accelerator("tpu", ("google.com/tpu",), (), (Taint("google.com/tpu", "NoSchedule"),)),
    ],
    ["rdma/*"],
)


def container(gpus: Any = None, **fields: Any) -> dict[str, Any]:
    resources = {"limits": {"nvidia.com/gpu": gpus}} if gpus is not None else {}
    return {"name": "c", "image": "x", "resources": resources, **fields}


def pod(spec: dict[str, Any], **known: Any) -> Pod:
    return Pod({}, spec, CATALOG, **known)


@pytest.mark.parametrize(
    ("spec", "total"),
    [
        ({"containers": [container("1"), container(2)]}, 3),
        ({"containers": [container("1")], "initContainers": [container("4")]}, 4),
        ({"containers": [container("4")], "initContainers": [container("1"), container("2")]}, 4),
        ({"containers": [container("1")], "initContainers": [container("1", restartPolicy="Always")]}, 2),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("2", restartPolicy="Always"), container("3")],
            },
            5,
        ),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("3"), container("2", restartPolicy="Always")],
            },
            3,
        ),
        ({"containers": [container("1")], "ephemeralContainers": [container("7")]}, 1),
        ({"containers": [container("0")]}, None),
        ({"containers": [container("many")]}, None),
        ({"containers": [container()]}, None),
    ],
    ids=[
        "containers add up",
        "a large init container counts",
        "init containers run one by one",
        "a sidecar adds up",
        "an init container runs beside the sidecars before it",
        "and not beside those after it",
        "debug containers have no resources",
        "zero is none",
        "what is no number is none",
        "nothing asked for",
    ],
)
def test_effective_accelerators(spec: dict[str, Any], total: int | None) -> None:
    expected = {} if total is None else {"nvidia.com/gpu": Decimal(total)}
    assert pod(spec).accelerators == expected
    assert pod(spec).requests_accelerator is (total is not None)


def test_the_larger_of_request_and_limit_counts() -> None:
    resources = {
        "limits": {"nvidia.com/gpu": "1"},
        "requests": {"nvidia.com/gpu": "2", "cpu": "1", "rdma/hca": "1"},
    }
    assert pod({"containers": [{"resources": resources}]}).accelerators == {"nvidia.com/gpu": Decimal(2)}


@pytest.mark.parametrize(
    ("classes", "families", "requested"),
    [
        ({"one-gpu": ("gpu.nvidia.com",)}, ["nvidia"], True),
        ({"one-gpu": ("nic.example.com",)}, [], False),
        ({}, [], True),
    ],
    ids=["an accelerator's class", "a class of something else", "an unknown class counts as an accelerator"],
)
def test_claims(classes: dict[str, tuple[str, ...]], families: list[str], requested: bool) -> None:
    claimed = pod(
        {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]}, device_classes=classes
    )
    assert [family.name for family in claimed.accelerator_families()] == families
    assert claimed.requests_accelerator is requested


def test_families_are_named_once_in_the_order_met() -> None:
    spec = {
        "containers": [
            {"resources": {"limits": {"google.com/tpu": 4}}},
            {"resources": {"limits": {"nvidia.com/mig-1g.5gb": 1, "nvidia.com/gpu": 1}}},
        ]
    }
    assert [family.name for family in pod(spec).accelerator_families()] == ["tpu", "nvidia"]


def test_every_list_of_containers_is_seen_with_its_path() -> None:
    seen = pod(
        {
            "initContainers": [container()],
            "containers": [container()],
            "ephemeralContainers": [None, container()],
        }
    )
    assert [c.path for c in seen.containers] == [
        ("spec", "initContainers", 0),
        ("spec", "containers", 0),
        ("spec", "ephemeralContainers", 1),
    ]


def test_a_container_without_a_name_is_called_by_its_place() -> None:
    (nameless,) = pod({"containers": [{"image": "x"}]}).containers
    assert nameless.name == "containers[0]"


def in_a_workload(sources: dict[Path, Path] | None = None) -> Pod:
    containers = [{"name": "a"}, {"name": "b"}, {"image": "nameless"}]
    root = {"at": {"metadata": {}, "spec": {"containers": containers, "tolerations": [{"key": "x"}]}}}
    return Pod.inside(
        root, CATALOG, metadata_path=("at", "metadata"), spec_path=("at", "spec"), sources=sources, replicas=3
    )


SPEC = ("at", "spec")


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ((*SPEC, "containers", 0, "image"), (*SPEC, "containers", 0, "image")),
        ((*SPEC, "containers", 1), (*SPEC, "containers")),
        ((*SPEC, "containers", 2, "image"), (*SPEC, "containers", 1, "image")),
        ((*SPEC, "containers", 9, "image"), (*SPEC, "containers", 9, "image")),
        ((*SPEC, "tolerations", 1, "key"), (*SPEC, "tolerations")),
        ((*SPEC, "volumes", 0), (*SPEC, "volumes")),
        ((*SPEC, "nodeSelector", "x"), (*SPEC, "nodeSelector", "x")),
        (("at", "metadata", "labels", "team"), ("at", "metadata", "labels", "team")),
    ],
    ids=[
        "as it was",
        "added between others",
        "moved by what was added",
        "never there",
        "added at the end",
        "added with its list",
        "absent",
        "metadata",
    ],
)
def test_a_path_after_a_mutation_leads_to_what_was_written(path: Path, written: Path) -> None:
    before = in_a_workload()
    spec = before.spec
    mutated = {
        **spec,
        "containers": [{"name": "a"}, {"name": "new"}, {"name": "b"}, {"image": "nameless"}],
        "tolerations": [*spec["tolerations"], {"key": "y"}],
        "volumes": [{"name": "v"}],
    }
    after = before.after({"at": {"metadata": {"labels": {"team": "a"}}, "spec": mutated}})
    assert after.written_at(path) == written
    assert (after.labels, after.replicas, after.written) == ({"team": "a"}, 3, before.root)


def test_a_pod_after_each_change_of_a_draft_is_the_pod_that_stands_there() -> None:
    pod = first = in_a_workload()
    draft = Draft(pod.root)
    gpu = {"limits": {"nvidia.com/gpu": "1"}}
    for change in (
        lambda: draft.append((*SPEC, "tolerations"), {"key": "y"}),
        # The lists are the draft's own from here on, and are written to where they stand.
        lambda: draft.set_default((*SPEC, "containers", 0, "resources"), gpu),
        lambda: draft.append((*SPEC, "containers"), {"name": "new", "resources": dict(gpu)}),
        lambda: draft.remove((*SPEC, "containers", 1)),
        lambda: draft.fill((*SPEC, "containers", 0, "resources", "limits"), {"cpu": "1"}),
        lambda: draft.replace((*SPEC, "containers", 0, "resources"), {}),
        lambda: draft.remove((*SPEC, "containers")),
        lambda: draft.set_default((*SPEC, "initContainers"), [{"name": "init", "resources": dict(gpu)}]),
    ):
        assert change()
        pod = pod.after(draft.object)
        found = Pod.inside(draft.object, CATALOG, metadata_path=("at", "metadata"), spec_path=SPEC)
        assert [(c.raw, c.path, c.accelerators) for c in pod.containers] == [
            (c.raw, c.path, c.accelerators) for c in found.containers
        ]
        assert [c.path for c in pod.accelerated] == [c.path for c in found.accelerated]
        assert pod.accelerators == found.accelerators
        assert pod.spec is found.spec
    assert [container.name for container in first.containers] == ["a", "b", "containers[2]"]


def test_containers_that_nobody_touched_are_not_looked_at_again() -> None:
    pod = in_a_workload()
    draft = Draft(pod.root)
    assert draft.append((*SPEC, "tolerations"), {"key": "y"})
    assert pod.after(draft.object).containers is pod.containers


def test_sources_say_where_the_parts_of_a_pod_were_written() -> None:
    sources: dict[Path, Path] = {
        SPEC: ("spec", "predictor"),
        (*SPEC, "containers", 1): ("spec", "predictor", "model"),
        (*SPEC, "containers", 1, "image"): ("spec", "image"),
    }
    pod = in_a_workload(sources)
    assert pod.place == ("spec", "predictor")
    assert pod.written_at((*SPEC, "containers", 0)) == ("spec", "predictor", "containers", 0)
    assert pod.written_at((*SPEC, "containers", 1, "env", 0)) == ("spec", "predictor", "model", "env", 0)
    assert pod.written_at((*SPEC, "containers", 1, "image")) == ("spec", "image")
    assert pod.written_at(("elsewhere",)) == ("elsewhere",)
    # A container that is moved takes its origin with it.
    spec = {**pod.spec, "containers": [{"name": "new"}, *pod.spec["containers"]]}
    moved = pod.after({"at": {"spec": spec}})
    assert moved.written_at((*SPEC, "containers", 2, "env")) == ("spec", "predictor", "model", "env")
