"""Files and resources as one policy set: what is bad takes nothing else with it, and its owner is told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from webhook.adapters.policy_resources import Merged, Merging, Resource, Verdict, resource_from_object
from webhook.adapters.policy_status import status_for

HINT = 'did you mean "no-privileged"?'
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
EARLIER = "2026-11-01T00:00:00Z"


def document(name: str, rule: str = "no-privileged", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": name},
        "spec": {"validate": [{"rule": rule}], **spec},
    }


def policy(name: str, rule: str = "no-privileged", **spec: Any) -> Resource:
    return Resource("Policy", name, "uid", 1, document(name, rule, **spec))


def catalog(kind: str, name: str, spec: dict[str, Any]) -> Resource:
    data = {"apiVersion": "gpuward.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return Resource(kind, name, "uid", 1, data)


TRAINING = catalog(
    "WorkloadCatalog",
    "ours",
    {"workloads": [{"kind": "example.com/v1/Training", "templates": [{"path": "spec.template"}]}]},
)
FILE = """\
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: filed}
spec: {validate: [{rule: no-latest-tag}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(FILE)
    return tmp_path


def names(merged: Merged) -> list[str]:
    assert merged.loaded.ruleset is not None
    return [one.name for one in merged.loaded.ruleset.policies]


def rules(merged: Merged, name: str) -> list[str]:
    assert merged.loaded.ruleset is not None
    return [check.name for one in merged.loaded.ruleset.policies if one.name == name for check in one.checks]


def problems(merged: Merged) -> list[list[str]]:
    return [[str(problem) for problem in verdict.problems] for verdict in merged.verdicts]


def test_files_and_resources_are_one_set(folder: Path) -> None:
    merged = Merging(folder).load([policy("one"), policy("two")])
    assert names(merged) == ["filed", "one", "two"]
    assert problems(merged) == [[], []]
    assert merged.files_problems == ()


def test_the_folder_may_be_empty(tmp_path: Path) -> None:
    assert names(Merging(tmp_path).load([policy("one")])) == ["one"]
    assert names(Merging(tmp_path).load([])) == []


def test_a_bad_resource_keeps_its_last_good_version_and_is_told(folder: Path) -> None:
    merging = Merging(folder)
    merging.load([policy("one")])
    merged = merging.load([policy("one", "no-privilege"), policy("two", "no-host-path")])
    assert rules(merged, "one") == ["no-privileged"]
    assert rules(merged, "two") == ["no-host-path"]
    (one, two) = problems(merged)
    assert one == ['policies.gpuward.dev/one: spec.validate[0].rule: unknown rule "no-privilege"; ' + HINT]
    assert two == []
    assert rules(merging.load([policy("one", "no-host-path")]), "one") == ["no-host-path"]


def test_one_that_was_never_good_is_left_out(folder: Path) -> None:
    merged = Merging(folder).load([policy("bad", "nothing"), policy("good")])
    assert names(merged) == ["filed", "good"]


def test_a_deleted_resource_leaves_nothing_behind(folder: Path) -> None:
    merging = Merging(folder)
    merging.load([policy("one")])
    assert names(merging.load([])) == ["filed"]
    assert names(merging.load([policy("one", "nothing")])) == ["filed"], (
        "a new one of that name is another one"
    )


def test_the_file_holds_where_both_have_one_name(folder: Path) -> None:
    merged = Merging(folder).load([policy("filed", "no-privileged"), policy("one")])
    assert rules(merged, "filed") == ["no-latest-tag"]
    ((message,), ones) = problems(merged)
    assert f'{folder}/policy.yaml:3 is called "filed" too' in message
    assert ones == []


def test_bad_files_leave_the_last_good_files_in_force_and_resources_free(folder: Path) -> None:
    merging = Merging(folder)
    merging.load([])
    (folder / "policy.yaml").write_text(FILE.replace("validate", "validat"))
    merged = merging.load([policy("one")])
    assert names(merged) == ["filed", "one"]
    assert len(merged.files_problems) == 1
    (folder / "policy.yaml").write_text(FILE.replace("filed", "mended"))
    merged = merging.load([policy("one")])
    assert names(merged) == ["mended", "one"]
    assert merged.files_problems == ()


def test_files_that_were_never_good_give_no_set(folder: Path) -> None:
    (folder / "policy.yaml").write_text(FILE.replace("validate", "validat"))
    merged = Merging(folder).load([policy("one")])
    assert merged.loaded.ruleset is None
    assert merged.files_problems


def test_a_catalog_that_goes_takes_those_along_that_need_it(folder: Path) -> None:
    merging = Merging(folder)
    using = policy("using", match={"kinds": ["Training"]})
    assert problems(merging.load([using, TRAINING])) == [[], []]
    merged = merging.load([using])
    assert names(merged) == ["filed"]
    assert 'unknown kind "Training"' in problems(merged)[0][0]


def test_a_kind_that_a_file_describes_is_the_files(folder: Path) -> None:
    (folder / "catalog.yaml").write_text("""\
apiVersion: gpuward.dev/v1alpha1
kind: WorkloadCatalog
metadata: {name: filed}
spec: {workloads: [{kind: example.com/v1/Training, templates: [{path: spec.pod}]}]}
""")
    merged = Merging(folder).load([TRAINING])
    assert "described twice" in problems(merged)[0][0]
    assert names(merged) == ["filed"]


def test_an_accelerator_that_a_file_describes_is_the_files(folder: Path) -> None:
    (folder / "catalog.yaml").write_text("""\
apiVersion: gpuward.dev/v1alpha1
kind: AcceleratorCatalog
metadata: {name: filed}
spec: {accelerators: [{name: ours, resources: [example.com/filed]}]}
""")
    resource = catalog(
        "AcceleratorCatalog",
        "more",
        {"accelerators": [{"name": "ours", "resources": ["example.com/resource"]}, {"name": "theirs"}]},
    )
    merged = Merging(folder).load([resource])
    assert problems(merged) == [[]]
    assert merged.loaded.ruleset is not None
    found = {one.name: tuple(one.resources) for one in merged.loaded.ruleset.catalog.accelerators}
    assert found["ours"] == ("example.com/filed",)
    assert "theirs" in found


def test_a_place_in_an_expression_is_told_without_a_file(folder: Path) -> None:
    bad = policy("bad", variables=[{"name": "a", "expression": "1 +"}])
    assert "(line 1, column " in problems(Merging(folder).load([bad]))[0][0]


# Objects of the API


def test_an_object_of_a_list_becomes_a_document() -> None:
    obj = {
        "metadata": {
            "name": "one",
            "uid": "u",
            "generation": 3,
            "resourceVersion": "9",
            "labels": {"a": "b"},
        },
        "spec": {"validate": [{"rule": "no-privileged"}]},
        "status": {"observedGeneration": 2},
    }
    resource = resource_from_object("Policy", obj)
    assert (resource.name, resource.uid, resource.generation) == ("one", "u", 3)
    assert resource.where == "policies.gpuward.dev/one"
    assert resource.path == "/apis/gpuward.dev/v1alpha1/policies/one"
    assert resource.document == {
        **document("one"), "metadata": {"name": "one", "labels": {"a": "b"}},
    }  # fmt: skip


@pytest.mark.parametrize("obj", [{}, {"metadata": None}, {"metadata": {"generation": "x"}, "spec": 1}])
def test_odd_objects_do_no_harm(obj: dict[str, Any], folder: Path) -> None:
    resource = resource_from_object("Policy", obj)
    merged = Merging(folder).load([resource])
    assert names(merged) == ["filed"]
    assert problems(merged)[0]


# Status


def bad_verdict(folder: Path) -> Verdict:
    return Merging(folder).load([policy("bad", "nothing")]).verdicts[0]


def test_a_good_resource_is_ready() -> None:
    assert status_for(Verdict(policy("one")), {}, NOW) == {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Compiled",
                "message": "it is in force",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-11-27T12:00:00Z",
            }
        ],
    }


def test_a_bad_one_says_what_is_wrong_with_the_field(folder: Path) -> None:
    status = status_for(bad_verdict(folder), {}, NOW)
    assert status is not None
    (condition,) = status["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "Invalid")
    assert condition["message"].startswith('spec.validate[0].rule: unknown rule "nothing"')


def test_what_is_said_already_is_not_said_again(folder: Path) -> None:
    for verdict in (Verdict(policy("one")), bad_verdict(folder)):
        status = status_for(verdict, {}, NOW)
        assert status is not None
        assert status_for(verdict, status, datetime.now(UTC)) is None


def test_the_time_of_the_last_change_stays_while_the_status_does(folder: Path) -> None:
    verdict = bad_verdict(folder)
    before = {"type": "Ready", "status": "False", "reason": "Other", "lastTransitionTime": EARLIER}
    status = status_for(verdict, {"conditions": [before]}, NOW)
    assert status is not None
    assert status["conditions"][0]["lastTransitionTime"] == EARLIER
    status = status_for(Verdict(policy("one")), {"conditions": [before]}, NOW)
    assert status is not None
    assert status["conditions"][0]["lastTransitionTime"] == "2026-11-27T12:00:00Z"


@pytest.mark.parametrize(
    "odd", [{"conditions": 1}, {"conditions": [1, {"type": 2}]}, {"observedGeneration": "x"}]
)
def test_an_odd_status_is_replaced(odd: dict[str, Any]) -> None:
    assert status_for(Verdict(policy("one")), odd, NOW) is not None
