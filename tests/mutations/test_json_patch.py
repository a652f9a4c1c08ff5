"""json-patch: RFC 6902 made safe to apply again and again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mutations.support import compiled, container, deployment, keeps, mutate, pod, refused, table
from tests.strategies import json_values, pods
from webhook.kube.shape import JSONObject
from webhook.mutations.json_patch import JSONPatch
from webhook.policy.rule import Mutation, ParameterError


def op(name: str, path: str, value: Any = None, **more: Any) -> JSONObject:
    return {"op": name, "path": path} | ({} if value is None else {"value": value}) | more


def copy(source: str, path: str) -> JSONObject:
    return op("copy", path, **{"from": source})


def rule(*operations: JSONObject) -> Mutation:
    return compiled(JSONPatch, {"operations": list(operations)})


def spec(obj: JSONObject, *operations: JSONObject) -> JSONObject:
    found: JSONObject = mutate(rule(*operations), obj)["spec"]
    return found


SHM = {"name": "shm", "emptyDir": {"medium": "Memory"}}
DATA = {"name": "data", "emptyDir": {}}
TOLERATION = {"key": "x", "operator": "Exists"}


@table(
    {
        "an absent member": ({}, op("add", "/spec/schedulerName", "kueue"), {"schedulerName": "kueue"}),
        "a null member": (
            {"schedulerName": None},
            op("add", "/spec/schedulerName", "a"),
            {"schedulerName": "a"},
        ),
        "a member that is there": (
            {"schedulerName": "b"},
            op("add", "/spec/schedulerName", "a"),
            {"schedulerName": "b"},
        ),
        "false is there": ({"hostIPC": False}, op("add", "/spec/hostIPC", True), {"hostIPC": False}),
        "with the maps above": ({}, op("add", "/spec/dnsConfig/x/y", 1), {"dnsConfig": {"x": {"y": 1}}}),
        "a key with a slash": (
            {},
            op("add", "/spec/nodeSelector/example.com~1pool", "gpu"),
            {"nodeSelector": {"example.com/pool": "gpu"}},
        ),
        "below text": ({"os": "linux"}, op("add", "/spec/os/name", "x"), {"os": "linux"}),
        "a number as a key": (
            {"nodeSelector": {}},
            op("add", "/spec/nodeSelector/0", "x"),
            {"nodeSelector": {"0": "x"}},
        ),
        "at the end": ({"volumes": [DATA]}, op("add", "/spec/volumes/-", SHM), {"volumes": [DATA, SHM]}),
        "to an absent list": ({}, op("add", "/spec/volumes/-", SHM), {"volumes": [SHM]}),
        "to a null list": ({"volumes": None}, op("add", "/spec/volumes/-", SHM), {"volumes": [SHM]}),
        "at the end of a map": ({"volumes": {}}, op("add", "/spec/volumes/-", SHM), {"volumes": {}}),
        "at the start": ({"volumes": [DATA]}, op("add", "/spec/volumes/0", SHM), {"volumes": [SHM, DATA]}),
        "behind the end": ({"volumes": [DATA]}, op("add", "/spec/volumes/7", SHM), {"volumes": [DATA, SHM]}),
        "at an index of an absent list": ({}, op("add", "/spec/volumes/0", SHM), {}),
        "an equal item": (
            {"volumes": [SHM, DATA]},
            op("add", "/spec/volumes/-", SHM),
            {"volumes": [SHM, DATA]},
        ),
        "an equal item, at an index": (
            {"volumes": [SHM, DATA]},
            op("add", "/spec/volumes/1", SHM),
            {"volumes": [SHM, DATA]},
        ),
        "an item with defaults filled in": (
            {"tolerations": [TOLERATION | {"effect": "NoSchedule"}]},
            op("add", "/spec/tolerations/-", TOLERATION),
            {"tolerations": [TOLERATION | {"effect": "NoSchedule"}]},
        ),
        "an item that differs": (
            {"tolerations": [TOLERATION]},
            op("add", "/spec/tolerations/-", TOLERATION | {"effect": "NoSchedule"}),
            {"tolerations": [TOLERATION, TOLERATION | {"effect": "NoSchedule"}]},
        ),
        "a volume of that name": (
            {"volumes": [{"name": "shm", "hostPath": {}}]},
            op("add", "/spec/volumes/-", SHM),
            {"volumes": [{"name": "shm", "hostPath": {}}]},
        ),
        "below a null item": ({"x": [None]}, op("add", "/spec/x/0/y", 1), {"x": [None]}),
        "text that is there": ({"x": ["a"]}, op("add", "/spec/x/-", "a"), {"x": ["a"]}),
        "true is not 1": ({"x": [1]}, op("add", "/spec/x/-", True), {"x": [1, True]}),
    },
    "before, operation, after",
)
def test_add(before: JSONObject, operation: JSONObject, after: JSONObject) -> None:
    assert spec(pod(**before), operation) == pod(**after)["spec"]


def test_a_volume_and_its_mount() -> None:
    mount = {"name": "shm", "mountPath": "/dev/shm"}
    operations = (op("add", "/spec/volumes/-", SHM), op("add", "/spec/containers/0/volumeMounts/-", mount))
    assert spec(pod(), *operations) == pod(container(volumeMounts=[mount]), volumes=[SHM])["spec"]
    theirs = {"name": "mine", "mountPath": "/dev/shm"}
    after = spec(pod(container(volumeMounts=[theirs])), *operations)
    assert after["containers"][0]["volumeMounts"] == [theirs]


def test_a_sidecar_in_front() -> None:
    after = spec(pod(), op("add", "/spec/containers/0", container("proxy")))
    assert [c["name"] for c in after["containers"]] == ["proxy", "main"]


@table(
    {
        "a value": ({"schedulerName": "a"}, {"schedulerName": "b"}),
        "nothing": ({}, {}),
        "null": ({"schedulerName": None}, {"schedulerName": None}),
        "the same": ({"schedulerName": "b"}, {"schedulerName": "b"}),
    },
    "before, after",
)
def test_replace_overwrites_what_is_there(before: JSONObject, after: JSONObject) -> None:
    assert spec(pod(**before), op("replace", "/spec/schedulerName", "b")) == pod(**after)["spec"]


def test_replace_of_an_item() -> None:
    after = spec(pod(container("a"), container("b")), op("replace", "/spec/containers/1/image", "x"))
    assert [c["image"] for c in after["containers"]] == ["ghcr.io/org/app:1.2", "x"]
    assert spec(pod(), op("replace", "/spec/containers/1/image", "x")) == pod()["spec"]


def test_remove() -> None:
    assert spec(pod(nodeName="a"), op("remove", "/spec/nodeName")) == pod()["spec"]
    assert spec(pod(), op("remove", "/spec/nodeName")) == pod()["spec"]


@table(
    {
        "to a field": ({"team": "ml"}, "/metadata/labels/owner", {"team": "ml", "owner": "ml"}),
        "to a field that is there": (
            {"team": "ml", "owner": "x"},
            "/metadata/labels/owner",
            {"team": "ml", "owner": "x"},
        ),
        "of nothing": ({"app": "a"}, "/metadata/labels/owner", {"app": "a"}),
    },
    "labels, path, after",
)
def test_copy(labels: JSONObject, path: str, after: JSONObject) -> None:
    obj = pod(metadata={"labels": labels})
    assert mutate(rule(copy("/metadata/labels/team", path)), obj)["metadata"]["labels"] == after


def test_copy_and_remove_is_a_move() -> None:
    operations = (copy("/metadata/labels/old", "/metadata/labels/new"), op("remove", "/metadata/labels/old"))
    assert mutate(rule(*operations), pod(metadata={"labels": {"old": "x"}}))["metadata"]["labels"] == {
        "new": "x"
    }


def test_a_copy_is_a_copy() -> None:
    operations = (copy("/spec/nodeSelector", "/metadata/labels"), op("add", "/metadata/labels/b", "2"))
    after = mutate(rule(*operations), pod(nodeSelector={"a": "1"}))
    assert after["metadata"]["labels"] == {"a": "1", "b": "2"}
    assert after["spec"]["nodeSelector"] == {"a": "1"}


@table(
    {
        "equal": ({"x": {"a": [1]}}, {"a": [1]}, True),
        "different": ({"x": {"a": [2]}}, {"a": [1]}, False),
        "true is not 1": ({"x": 1}, True, False),
        "absent": ({}, "a", False),
        "absent as wanted": ({}, None, True),
        "null as wanted": ({"x": None}, None, True),
        "not absent": ({"x": 0}, None, False),
    },
    "before, wanted, passes",
)
def test_a_failing_test_skips_the_rule(before: JSONObject, wanted: Any, passes: bool) -> None:
    # The test counts wherever it stands.
    after = spec(pod(**before), op("add", "/spec/done", True), op("test", "/spec/x", wanted))
    assert ("done" in after) == passes


def test_tests_can_look_at_what_nobody_may_change() -> None:
    after = spec(pod(), op("test", "/metadata/name", "train"), op("add", "/spec/done", True))
    assert after["done"] is True


def test_paths_start_at_the_template_of_a_workload() -> None:
    operations = (op("add", "/metadata/labels/a", "x"), op("add", "/spec/schedulerName", "y"))
    after = mutate(rule(*operations), deployment(pod()))
    assert after["spec"]["template"]["metadata"]["labels"] == {"a": "x"}
    assert after["spec"]["template"]["spec"]["schedulerName"] == "y"
    assert after["metadata"] == {"name": "d"}


RESOLVED = {"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}


@table(
    {
        "added": (op("add", "/spec/priorityClassName", "a"), {}, {"priorityClassName": "a"}),
        "not added": (
            op("add", "/spec/priorityClassName", "a"),
            {"priorityClassName": "b"},
            {"priorityClassName": "b", **RESOLVED},
        ),
        "replaced": (
            op("replace", "/spec/priorityClassName", "a"),
            {"priorityClassName": "b"},
            {"priorityClassName": "a"},
        ),
        "removed": (op("remove", "/spec/priorityClassName"), {"priorityClassName": "b"}, {}),
        "copied": (copy("/metadata/name", "/spec/priorityClassName"), {}, {"priorityClassName": "train"}),
        "the same": (
            op("replace", "/spec/priorityClassName", "a"),
            {"priorityClassName": "a"},
            {"priorityClassName": "a", **RESOLVED},
        ),
    },
    "operation, before, after",
)
def test_another_priority_class_clears_what_followed_from_the_old_one(
    operation: JSONObject, before: JSONObject, after: JSONObject
) -> None:
    assert spec(pod(**before, **RESOLVED), operation) == pod(**after)["spec"]


@table(
    {
        "move": (op("move", "/spec/a", **{"from": "/spec/b"}), "op", "copy, then remove"),
        "no pointer": (op("add", "spec/a", 1), "path", "must start with '/'"),
        "bad escape": (op("add", "/spec/a~b", 1), "path", "~0"),
        "status": (op("add", "/status/phase", "x"), "path", "/metadata or /spec"),
        "kind": (op("replace", "/kind", "x"), "path", "/metadata or /spec"),
        "the whole pod": (op("replace", "", {}), "path", "/metadata or /spec"),
        "the whole spec": (op("replace", "/spec", {}), "path", "/metadata or /spec"),
        "name": (op("replace", "/metadata/name", "x"), "path", "which object"),
        "namespace": (op("add", "/metadata/namespace", "x"), "path", "which object"),
        "uid": (op("remove", "/metadata/uid"), "path", "which object"),
        "managed fields": (op("remove", "/metadata/managedFields"), "path", "API server"),
        "priority": (op("add", "/spec/priority", 5), "path", "priorityClassName"),
        "copied onto the name": (copy("/metadata/labels/a", "/metadata/name"), "path", "which object"),
        "below the end of a list": (op("add", "/spec/x/-/y", 1), "path", "nothing is below"),
        "replacing the end of a list": (op("replace", "/spec/x/-", 1), "path", "only add and copy"),
        "removing by index": (op("remove", "/spec/tolerations/0"), "path", "another one each time"),
        "copying the end of a list": (copy("/spec/x/-", "/spec/y"), "from", "nothing to copy"),
        "copying into itself": (copy("/spec/x", "/spec/x/y"), "from", "into itself"),
        "copying into its own list": (copy("/spec/x/0", "/spec/x/-"), "from", "its own list"),
        "from somewhere else": (copy("/status/phase", "/spec/x"), "from", "/metadata or /spec"),
        "copy without from": (op("copy", "/spec/a"), "from", "needs from"),
        "add with from": (op("add", "/spec/a", 1, **{"from": "/spec/b"}), "from", "no from"),
        "add without value": (op("add", "/spec/a"), "", "needs a value"),
        "replace by nothing": (op("replace", "/spec/a"), "", "use remove"),
        "remove with value": (op("remove", "/spec/a", 1), "value", "no value"),
    },
    "operation, field, says",
)
def test_operations_that_cannot_be_meant_are_refused(operation: JSONObject, field: str, says: str) -> None:
    with pytest.raises(ParameterError) as caught:
        rule(operation)
    assert caught.value.field == ("operations[0]." + field).rstrip(".")
    assert says in str(caught.value)


def test_a_patch_of_tests_alone_is_a_mistake() -> None:
    assert "only tests" in str(refused(JSONPatch, {"operations": [op("test", "/spec/x", 1)]}))


@table(
    {
        "replacing what was added": (op("add", "/spec/x", 1), op("replace", "/spec/x", 2)),
        "replacing twice": (op("replace", "/spec/x", 1), op("replace", "/spec/x", 2)),
        "adding what was removed": (op("remove", "/spec/x"), op("add", "/spec/x", 2)),
        "removing above what was added": (op("add", "/spec/x/y", 1), op("remove", "/spec/x")),
        "replacing in an item that was added": (
            op("add", "/spec/tolerations/-", TOLERATION),
            op("replace", "/spec/tolerations/0/key", "y"),
        ),
        "inserting before an item that is addressed": (
            op("replace", "/spec/containers/0/image", "x"),
            op("add", "/spec/containers/0", container("proxy")),
        ),
        "adding to a list after counting in it": (
            op("add", "/spec/tolerations/0/effect", "NoSchedule"),
            op("add", "/spec/tolerations/-", TOLERATION),
        ),
        "making a list after counting in it": (
            op("add", "/spec/tolerations/0/effect", "NoSchedule"),
            op("add", "/spec/tolerations", [TOLERATION]),
        ),
        "making what may be a map by then": (op("add", "/spec/x/0", 1), op("add", "/spec/x/y", 1)),
        "growing an item that was added": (op("add", "/spec/x/-", []), op("add", "/spec/x/0/-", 1)),
        "changing what was copied": (copy("/spec/x", "/spec/y"), op("replace", "/spec/x", 1)),
        "making what was copied": (copy("/spec/x", "/spec/y"), copy("/spec/z", "/spec/x")),
        "removing a part of what was copied": (copy("/spec/x", "/spec/y/-"), op("remove", "/spec/x/z")),
    },
    "earlier, later",
)
def test_operations_in_each_others_way_are_refused(earlier: JSONObject, later: JSONObject) -> None:
    error = refused(JSONPatch, {"operations": [earlier, later]})
    assert error.field == "operations[1].path"
    assert "operations[0]" in str(error)


@table(
    {
        "a sidecar, its volume, and the mount beside it": (
            [
                op("add", "/spec/volumes/-", SHM),
                op(
                    "add",
                    "/spec/containers/-",
                    container("proxy", volumeMounts=[{"name": "shm", "mountPath": "/x"}]),
                ),
                op("add", "/spec/containers/0/volumeMounts/-", {"name": "shm", "mountPath": "/x"}),
            ],
        ),
        "images of several containers": (
            [
                op("replace", "/spec/containers/0/image", "a"),
                op("replace", "/spec/containers/1/image", "b"),
                op("replace", "/spec/initContainers/0/image", "c"),
            ],
        ),
        "a map and what is in it": (
            [op("add", "/spec/affinity", {}), op("add", "/spec/affinity/podAntiAffinity", {"x": 1})],
        ),
        "two items of one list": (
            [
                op("add", "/spec/tolerations/-", TOLERATION),
                op("add", "/spec/tolerations/-", TOLERATION | {"effect": "NoSchedule"}),
            ],
        ),
        "a guarded replacement": (
            [
                op("test", "/spec/containers/0/imagePullPolicy"),
                op("replace", "/spec/containers/0/image", "b"),
                op("add", "/spec/containers/0/imagePullPolicy", "Always"),
            ],
        ),
    },
    "operations",
)
def test_usual_patches_are_accepted(operations: list[JSONObject]) -> None:
    assert mutate(rule(*operations), pod()) != pod()


# --- laws ---------------------------------------------------------------------------------------------------

VALUES = st.sampled_from(
    [
        "v",
        1,
        True,
        {},
        [],
        {"x": 1},
        [{"x": 1}],
        [1],
        {"name": "c0"},
        {"key": "x"},
        {"key": "x", "x": "v"},
        {"x": {"y": "v"}},
    ]
)


def pointers(starts: list[str], steps: list[str]) -> st.SearchStrategy[str]:
    """Pointers below one of the starts; few steps to choose from, so that they meet."""
    return st.builds(
        lambda start, below: "/".join([start, *below]),
        st.sampled_from(starts),
        st.lists(st.sampled_from(steps), max_size=3),
    )


def additions(paths: st.SearchStrategy[str]) -> st.SearchStrategy[JSONObject]:
    places = paths | paths.map(lambda path: f"{path}/-")
    return st.builds(lambda path, value: op("add", path, value), places, VALUES) | st.builds(
        copy, paths, places
    )


def patches(paths: st.SearchStrategy[str]) -> st.SearchStrategy[list[JSONObject]]:
    replacements = st.builds(lambda path, value: op("replace", path, value), paths, VALUES)
    removals = st.builds(lambda path: op("remove", path), paths)
    tests = st.builds(lambda path, value: op("test", path, value), paths, st.none() | VALUES)
    either = additions(paths) | additions(paths) | replacements | removals | tests
    return st.lists(either, min_size=1, max_size=4)


SMALL = json_values(
    st.sampled_from([None, "v", 1, True]), st.sampled_from(["x", "y", "0", "key"]), most=3, leaves=6
)
SMALL_OBJECTS = st.dictionaries(st.sampled_from(["x", "y", "tolerations"]), SMALL, max_size=3).map(
    lambda spec: pod(**spec)
)
SMALL_PATHS = pointers(["/spec/x", "/spec/y", "/spec/tolerations"], ["x", "y", "0", "1"])
POD_PATHS = pointers(
    [
        "/spec/containers/0",
        "/spec/containers/1/env",
        "/spec/tolerations/0",
        "/spec/volumes/0",
        "/metadata/labels",
    ],
    ["name", "key", "0", "x"],
)


def compiled_or_refused(operations: list[JSONObject]) -> Mutation | None:
    try:
        return rule(*operations)
    except ParameterError:
        return None


@settings(deadline=None, max_examples=300)
@given(obj=SMALL_OBJECTS, operations=patches(SMALL_PATHS))
def test_whatever_is_not_refused_is_idempotent(obj: JSONObject, operations: list[JSONObject]) -> None:
    """The operations are few and the paths short, so that they get in each other's way as often as can be."""
    if made := compiled_or_refused(operations):
        mutate(made, obj)


@settings(deadline=None)
@given(obj=pods(), operations=patches(POD_PATHS))
def test_so_it_is_on_pods(obj: JSONObject, operations: list[JSONObject]) -> None:
    if made := compiled_or_refused(operations):
        mutate(made, obj)


@settings(deadline=None)
@given(obj=pods(), operations=st.lists(additions(POD_PATHS | SMALL_PATHS), min_size=1, max_size=4))
def test_additions_keep_what_was_set(obj: JSONObject, operations: list[JSONObject]) -> None:
    if made := compiled_or_refused(operations):
        assert keeps(obj, mutate(made, obj))
