"""What holds for every mutation, whatever the pod."""

from __future__ import annotations

import copy
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import webhook.mutations
from tests.mutations.support import check_laws, compiled, deployment, keeps, mutate, pods_of, run
from tests.strategies import pods
from webhook.kube.shape import JSONObject
from webhook.mutations import MUTATIONS
from webhook.policy.draft import Draft
from webhook.policy.problems import InvalidPolicy
from webhook.policy.rule import Mutation, NoParameters
from webhook.policy.schema import parameters_schema
from webhook.policy.validation import validate_parameters

SECTIONS = ("Why:", "Changes:", "Leaves alone:", "Source:")

# Parameters that make each mutation do as much as it can. The values of all of them are additive.
SETTINGS: dict[str, tuple[str, JSONObject]] = {
    "tolerations": ("accelerator-tolerations", {}),
    "tolerations of own taints": (
        "accelerator-tolerations",
        {"additionalTaints": [{"key": "sku", "value": "gpu"}, {"key": "spot", "effect": "NoExecute"}]},
    ),
    "required affinity": ("accelerator-node-affinity", {}),
    "preferred affinity": ("accelerator-node-affinity", {"required": False, "preferred": {"weight": 50}}),
    "both affinities": (
        "accelerator-node-affinity",
        {
            "preferred": {
                "weight": 10,
                "nodeAffinity": [
                    {"resource": "*", "key": "zone", "operator": "In", "values": ["a"]},
                    {"resource": "*", "key": "zone", "operator": "NotIn", "values": ["b"]},
                ],
            },
            "nodeAffinity": [{"resource": "nvidia.com/*", "key": "pool", "operator": "Exists"}],
        },
    ),
    "requests from limits": ("resource-defaults", {}),
    "flat resources": ("resource-defaults", {"cpu": 2, "memory": "8Gi", "ephemeral-storage": "10Gi"}),
    "scaled resources": (
        "resource-defaults",
        {
            "requests": {"cpu": "100m", "memory": "256Mi", "rdma/hca": 1},
            "limits": {"cpu": "1", "memory": "2Gi"},
            "perAccelerator": {"requests": {"cpu": "2"}, "limits": {"cpu": "8"}, "memory": "1.5Gi"},
        },
    ),
    "limits only": ("resource-defaults", {"limits": {"memory": "1Gi"}, "requestsFromLimits": False}),
    "security": ("security-context-defaults", {}),
    "all of security": ("security-context-defaults", {"runAsNonRoot": True, "readOnlyRootFilesystem": True}),
    "environment": (
        "environment",
        {
            "variables": [
                {"name": "GPU_MEMORY_FRACTION", "value": "0.8", "containers": "Accelerator"},
                {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void", "containers": "NonAccelerator"},
                {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ]
        },
    ),
    "environment of all": (
        "environment",
        {
            "variables": [{"name": "A", "value": ""}],
            "includeInitContainers": False,
            "skipContainersWithEnvFrom": False,
        },
    ),
    "labels": ("labels", {"values": {"team": "ml", "example.com/tier": "training"}}),
    "annotations": ("annotations", {"values": {"note": "é", "karpenter.sh/do-not-disrupt": "true"}}),
    "merge": (
        "merge-patch",
        {
            "patch": {
                "metadata": {"labels": {"team": "ml"}},
                "spec": {
                    "runtimeClassName": "nvidia",
                    "securityContext": {"fsGroup": 100},
                    "nodeSelector": {"zone": "a"},
                    "tolerations": [{"key": "x", "operator": "Exists"}],
                },
            }
        },
    ),
    "json": (
        "json-patch",
        {
            "operations": [
                {
                    "op": "add",
                    "path": "/spec/volumes/-",
                    "value": {"name": "shm", "emptyDir": {"medium": "Memory"}},
                },
                {
                    "op": "add",
                    "path": "/spec/containers/0/volumeMounts/-",
                    "value": {"name": "shm", "mountPath": "/dev/shm"},
                },
                {"op": "add", "path": "/spec/containers/0/env/0", "value": {"name": "A", "value": "first"}},
                {"op": "add", "path": "/spec/affinity/podAffinity", "value": {}},
                {"op": "copy", "path": "/metadata/annotations/who", "from": "/metadata/labels/app"},
            ]
        },
    ),
}
OVERWRITING: dict[str, tuple[str, JSONObject]] = {
    "overwriting merge": (
        "merge-patch",
        {
            "patch": {
                "metadata": {"labels": {"team": "ml", "app": None}},
                "spec": {
                    "priorityClassName": "training",
                    "tolerations": None,
                    "affinity": {"nodeAffinity": None},
                    "securityContext": {"runAsUser": 1, "seccompProfile": {"type": "Unconfined", "x": None}},
                },
            },
            "overwrite": True,
        },
    ),
    "overwriting json": (
        "json-patch",
        {
            "operations": [
                {"op": "replace", "path": "/spec/containers/0/image", "value": "mirror/app"},
                {"op": "add", "path": "/spec/priorityClassName", "value": "training"},
                {"op": "remove", "path": "/spec/nodeSelector"},
                {"op": "copy", "path": "/metadata/labels/app", "from": "/metadata/labels/team"},
                {"op": "remove", "path": "/metadata/labels/team"},
            ]
        },
    ),
}
BY_NAME = {mutation.name: mutation for mutation in MUTATIONS}


def made(settings: tuple[str, JSONObject]) -> Mutation:
    name, parameters = settings
    return compiled(BY_NAME[name], parameters)


ADDITIVE = {title: made(settings) for title, settings in SETTINGS.items()}
ALL = ADDITIVE | {title: made(settings) for title, settings in OVERWRITING.items()}

any_mutation = pytest.mark.parametrize("mutation", ALL.values(), ids=ALL)
any_rule = pytest.mark.parametrize("rule", MUTATIONS, ids=lambda rule: rule.name)


# --- laws ---------------------------------------------------------------------------------------------------


@contextmanager
def about(title: str) -> Iterator[None]:
    """Says which settings a failure is about."""
    try:
        yield
    except Exception as error:
        error.add_note(f"settings: {title}")
        raise


@settings(deadline=None)
@given(pod=pods())
def test_the_patch_applies_and_a_second_run_changes_nothing(pod: JSONObject) -> None:
    for title, mutation in ALL.items():
        with about(title):
            mutate(mutation, pod)


@settings(deadline=None)
@given(pod=pods())
def test_what_the_user_set_stays(pod: JSONObject) -> None:
    for title, mutation in ADDITIVE.items():
        with about(title):
            assert keeps(pod, run([mutation], pod).object)


@settings(deadline=None)
@given(pod=pods())
def test_a_template_is_changed_like_a_pod(pod: JSONObject) -> None:
    for title, mutation in ALL.items():
        with about(title):
            changed = run([mutation], pod).object
            workload = run([mutation], deployment(pod)).object
            assert workload["spec"]["template"] == {"metadata": changed["metadata"], "spec": changed["spec"]}


@settings(deadline=None)
@given(pod=pods(), order=st.permutations(list(ADDITIVE)))
def test_together_in_any_order_they_are_idempotent_and_keep_what_was_set(
    pod: JSONObject, order: list[str]
) -> None:
    assert keeps(pod, check_laws([ADDITIVE[title] for title in order], pod))


@settings(deadline=None)
@given(pod=pods(), order=st.permutations(list(ALL)))
def test_one_draft_for_all_gives_the_same_as_one_for_each(pod: JSONObject, order: list[str]) -> None:
    step_by_step = copy.deepcopy(pod)
    for title in order:
        step_by_step = copy.deepcopy(run([ALL[title]], step_by_step).object)
    assert run([ALL[title] for title in order], pod).object == step_by_step


@settings(deadline=None)
@given(pod=pods())
def test_what_a_draft_adds_is_its_own(pod: JSONObject) -> None:
    """Changing it must not change what the next pod gets."""
    for title, mutation in ALL.items():
        with about(title):
            as_it_was = copy.deepcopy(run([mutation], copy.deepcopy(pod)).object)
            spoil(run([mutation], copy.deepcopy(pod)).object)
            assert run([mutation], pod).object == as_it_was


def spoil(node: Any) -> None:
    for child in list(node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()):
        spoil(child)
    if isinstance(node, dict | list):
        node.clear()


@any_mutation
@pytest.mark.parametrize(
    "obj",
    [
        {},
        {"metadata": None, "spec": None},
        {"metadata": "x", "spec": []},
        {"spec": {"containers": {"a": 1}}},
        {"spec": {"containers": [None, "x", {}], "tolerations": "x", "affinity": [], "resources": 1}},
        {"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1e999"}}}]}},
        {"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": -1}}, "env": {}}]}},
    ],
    ids=str,
)
def test_odd_objects_do_not_crash(mutation: Mutation, obj: JSONObject) -> None:
    mutate(mutation, {"apiVersion": "v1", "kind": "Pod", **obj})


# --- form ---------------------------------------------------------------------------------------------------


@any_rule
def test_the_docstring_is_a_specification(rule: type[Mutation]) -> None:
    lines = inspect.cleandoc(rule.__doc__ or "").split("\n")
    assert lines[0].endswith(".")
    headings = [line for line in lines if line.endswith(":") and line[:1].isalpha()]
    assert tuple(headings) == SECTIONS
    assert rule.title
    assert not rule.title.endswith(".")


@any_rule
def test_its_file_is_named_like_it(rule: type[Mutation]) -> None:
    assert rule.__module__ == f"webhook.mutations.{rule.name.replace('-', '_')}"


def test_no_mutation_is_forgotten() -> None:
    found = set()
    for module in pkgutil.iter_modules(webhook.mutations.__path__, "webhook.mutations."):
        for member in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(member) and issubclass(member, Mutation) and member is not Mutation:
                found.add(member)
    assert found == set(MUTATIONS)
    assert len(BY_NAME) == len(MUTATIONS)


@any_rule
def test_parameters_are_frozen(rule: type[Mutation]) -> None:
    assert rule.Parameters.__struct_config__.frozen


@any_rule
def test_every_parameter_is_described_and_unknown_ones_are_refused(rule: type[Mutation]) -> None:
    schema = parameters_schema(rule)
    objects = [schema, *schema.get("$defs", {}).values()]
    for described in objects:
        if described.get("type") == "object" and "properties" in described:
            assert described["additionalProperties"] is False
            undescribed = [
                name for name, field in described["properties"].items() if not field.get("description")
            ]
            assert undescribed == [], described["title"]
    with pytest.raises(InvalidPolicy, match="noSuchThing"):
        validate_parameters(rule, {"noSuchThing": 1}, ("parameters",))


@any_rule
def test_parameters_are_camel_case_or_named_like_a_resource(rule: type[Mutation]) -> None:
    schema = parameters_schema(rule)
    names = {name for o in (schema, *schema.get("$defs", {}).values()) for name in o.get("properties", {})}
    assert all(re.fullmatch(r"[a-z][A-Za-z]*", name) for name in names - {"ephemeral-storage"})


def test_every_mutation_is_run_through_the_laws() -> None:
    assert {name for name, _ in SETTINGS.values()} == set(BY_NAME)
    assert all(rule.Parameters is not NoParameters for rule in MUTATIONS)


def test_nothing_is_done_for_what_is_absent() -> None:
    """A pod without accelerators that says everything is not touched, and not copied."""
    complete = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "labels": {"team": "a", "example.com/tier": "b"},
            "annotations": {"note": "", "who": "a"},
        },
        "spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 1}, "requests": {"cpu": 1}}}]},
    }
    for title in (
        "tolerations",
        "tolerations of own taints",
        "required affinity",
        "requests from limits",
        "labels",
    ):
        draft = Draft(complete)
        for pod in pods_of(complete):
            ALL[title](pod, draft)
        assert draft.object is complete
        assert draft.revision == 0


def test_the_mutations_load_without_pydantic() -> None:
    """The library that validates policies takes longer to import than a review takes; offline commands may
    not need it."""
    program = (
        "import sys, webhook.mutations; "
        "heavy = {'pydantic', 'aiohttp', 'kubernetes', 'cryptography'} & set(sys.modules); "
        "sys.exit(', '.join(heavy) or None)"
    )
    root = Path(webhook.mutations.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
