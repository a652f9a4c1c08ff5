"""merge-patch: adds what is absent; with overwrite it is RFC 7386."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mutations.support import compiled, container, deployment, keeps, mutate, pod, refused, table
from tests.strategies import json_values, plausible_pods, pods
from webhook.kube.shape import JSONObject
from webhook.mutations.merge_patch import MergePatch


def rule(*, overwrite: bool = False, metadata: JSONObject | None = None, **spec: Any) -> Any:
    patch = {name: part for name, part in (("metadata", metadata), ("spec", spec)) if part}
    return compiled(MergePatch, {"patch": patch, "overwrite": overwrite})


def spec(obj: JSONObject, using: Any) -> JSONObject:
    found: JSONObject = mutate(using, obj)["spec"]
    found.pop("containers")
    return found


@table(
    {
        "absent": ({}, {"runtimeClassName": "nvidia"}, {"runtimeClassName": "nvidia"}),
        "null": ({"runtimeClassName": None}, {"runtimeClassName": "nvidia"}, {"runtimeClassName": "nvidia"}),
        "another value": (
            {"runtimeClassName": "kata"},
            {"runtimeClassName": "nvidia"},
            {"runtimeClassName": "kata"},
        ),
        "false is a value": ({"hostIPC": False}, {"hostIPC": True}, {"hostIPC": False}),
        "maps are merged": (
            {"securityContext": {"runAsUser": 5}},
            {"securityContext": {"runAsUser": 1, "fsGroup": 2}},
            {"securityContext": {"runAsUser": 5, "fsGroup": 2}},
        ),
        "deeper maps, too": (
            {"affinity": {"nodeAffinity": {"a": 1}}},
            {"affinity": {"nodeAffinity": {"b": 2}, "podAffinity": {}}},
            {"affinity": {"nodeAffinity": {"a": 1, "b": 2}, "podAffinity": {}}},
        ),
        "lists stay": ({"tolerations": []}, {"tolerations": [{"key": "x"}]}, {"tolerations": []}),
        "an absent list": ({}, {"tolerations": [{"key": "x"}]}, {"tolerations": [{"key": "x"}]}),
        "a map over text": ({"os": "linux"}, {"os": {"name": "linux"}}, {"os": "linux"}),
        "text over a map": ({"os": {"name": "linux"}}, {"os": "linux"}, {"os": {"name": "linux"}}),
        "an empty map": ({}, {"securityContext": {}}, {"securityContext": {}}),
    },
    "before, patch, after",
)
def test_only_what_is_absent_is_added(before: JSONObject, patch: JSONObject, after: JSONObject) -> None:
    assert spec(pod(**before), rule(**patch)) == after


@table(
    {
        "a value": (
            {"runtimeClassName": "kata"},
            {"runtimeClassName": "nvidia"},
            {"runtimeClassName": "nvidia"},
        ),
        "null deletes": ({"hostIPC": True, "x": 1}, {"hostIPC": None}, {"x": 1}),
        "null deletes what is absent": ({}, {"hostIPC": None}, {}),
        "null deletes null": ({"hostIPC": None}, {"hostIPC": None}, {}),
        "a list as a whole": ({"tolerations": [1, 2]}, {"tolerations": [3]}, {"tolerations": [3]}),
        "maps are merged": (
            {"securityContext": {"runAsUser": 5, "fsGroup": 1}},
            {"securityContext": {"runAsUser": None, "fsGroup": 2}},
            {"securityContext": {"fsGroup": 2}},
        ),
        "a map over text": ({"os": "linux"}, {"os": {"name": "linux", "x": None}}, {"os": {"name": "linux"}}),
        "a map with nulls, absent": (
            {},
            {"os": {"name": "linux", "x": {"y": None}}},
            {"os": {"name": "linux", "x": {}}},
        ),
        "true is not 1": ({"hostIPC": 1}, {"hostIPC": True}, {"hostIPC": True}),
        "the same changes nothing": (
            {"os": {"name": "linux"}},
            {"os": {"name": "linux"}},
            {"os": {"name": "linux"}},
        ),
    },
    "before, patch, after",
)
def test_overwrite_is_a_json_merge_patch(before: JSONObject, patch: JSONObject, after: JSONObject) -> None:
    assert spec(pod(**before), rule(overwrite=True, **patch)) == after


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2, word for word."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


FIELDS = [
    "securityContext",
    "nodeSelector",
    "tolerations",
    "affinity",
    "nodeAffinity",
    "labels",
    "team",
    "containers",
    "new",
]
VALUES = json_values(
    st.none() | st.booleans() | st.sampled_from(["", "x", 0, 1, 1.5]),
    st.sampled_from(FIELDS),
    most=3,
    leaves=6,
)
PATCHES = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.dictionaries(st.sampled_from(["labels", "annotations", "new"]), VALUES, max_size=2),
        "spec": st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3),
    },
).filter(lambda patch: any(patch.values()))


def without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_null(member) for name, member in value.items() if member is not None}
    return value


@settings(deadline=None)
@given(obj=plausible_pods(), patch=PATCHES)
def test_any_patch_with_overwrite_is_what_the_rfc_says(obj: JSONObject, patch: JSONObject) -> None:
    assert mutate(compiled(MergePatch, {"patch": patch, "overwrite": True}), obj) == merged(obj, patch)


@settings(deadline=None)
@given(obj=pods(), patch=PATCHES)
def test_any_patch_with_overwrite_is_idempotent(obj: JSONObject, patch: JSONObject) -> None:
    mutate(compiled(MergePatch, {"patch": patch, "overwrite": True}), obj)


@settings(deadline=None)
@given(obj=pods(), patch=PATCHES.map(without_null).filter(lambda patch: any(patch.values())))
def test_any_patch_without_overwrite_keeps_what_was_set(obj: JSONObject, patch: JSONObject) -> None:
    assert keeps(obj, mutate(compiled(MergePatch, {"patch": patch}), obj))


def test_metadata_is_merged_too() -> None:
    after = mutate(rule(metadata={"labels": {"team": "ml"}, "finalizers": ["x/y"]}), pod())
    assert after["metadata"] == {"name": "train", "labels": {"team": "ml"}, "finalizers": ["x/y"]}


def test_the_patch_is_merged_into_the_template_of_a_workload() -> None:
    after = mutate(rule(metadata={"labels": {"team": "ml"}}, runtimeClassName="nvidia"), deployment(pod()))
    assert after["spec"]["template"]["spec"]["runtimeClassName"] == "nvidia"
    assert after["spec"]["template"]["metadata"]["labels"] == {"team": "ml"}
    assert after["metadata"] == {"name": "d"}


RESOLVED = {"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}


@table(
    {
        "set where absent": (RESOLVED, False, "training", {"priorityClassName": "training"}),
        "set where empty": (
            {"priorityClassName": "", **RESOLVED},
            True,
            "training",
            {"priorityClassName": "training"},
        ),
        "not overwritten": (
            {"priorityClassName": "low", **RESOLVED},
            False,
            "training",
            {"priorityClassName": "low", **RESOLVED},
        ),
        "overwritten": (
            {"priorityClassName": "low", **RESOLVED},
            True,
            "training",
            {"priorityClassName": "training"},
        ),
        "the same": (
            {"priorityClassName": "training", **RESOLVED},
            True,
            "training",
            {"priorityClassName": "training", **RESOLVED},
        ),
        "deleted": ({"priorityClassName": "low", **RESOLVED}, True, None, {}),
        "nothing worked out yet": ({}, False, "training", {"priorityClassName": "training"}),
    },
    "before, overwrite, class_name, after",
)
def test_another_priority_class_clears_what_followed_from_the_old_one(
    before: JSONObject, overwrite: bool, class_name: str | None, after: JSONObject
) -> None:
    assert spec(pod(**before), rule(overwrite=overwrite, priorityClassName=class_name)) == after


def test_a_list_of_containers_is_replaced_only_with_overwrite() -> None:
    other = [container("other")]
    assert mutate(rule(containers=other), pod()) == pod()
    assert mutate(rule(overwrite=True, containers=other), pod()) == pod(*copy.deepcopy(other))


@table(
    {
        "empty": ({}, "patch", "empty"),
        "name": ({"metadata": {"name": "x"}}, "patch.metadata.name", "which object"),
        "namespace": ({"metadata": {"namespace": "x"}}, "patch.metadata.namespace", "which object"),
        "uid": ({"metadata": {"uid": "x"}}, "patch.metadata.uid", "which object"),
        "managed fields": ({"metadata": {"managedFields": []}}, "patch.metadata.managedFields", "API server"),
        "priority": ({"spec": {"priority": 5}}, "patch.spec.priority", "priorityClassName"),
        "null without overwrite": ({"spec": {"hostIPC": None}}, "patch.spec.hostIPC", "overwrite: true"),
        "null deep down": ({"spec": {"os": {"name": None}}}, "patch.spec.os.name", "overwrite: true"),
    },
    "patch, field, says",
)
def test_patches_that_cannot_be_meant_are_refused(patch: JSONObject, field: str, says: str) -> None:
    error = refused(MergePatch, {"patch": patch})
    assert error.field == field
    assert says in str(error)
