"""What a mode would do to what a namespace runs, and what its record and the ladder say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doctor.installs import ruleset
from webhook.audit.ladder import rung_of, skipped
from webhook.audit.plan import NOBODY, Planned, plan
from webhook.audit.record import Offence, read_record
from webhook.engine.decision import Facts
from webhook.policy.findings import Mode

ENFORCE = Facts(mode=Mode.ENFORCE, namespace_labels={"team": "vision"})

LIMITS = {"cpu": "1", "memory": "1Gi"}


def template(labels: dict[str, str] | None = None, **resources: str) -> dict[str, Any]:
    container = {"name": "c", "image": "ghcr.io/a/b:1", "resources": {"limits": {**LIMITS, **resources}}}
    return {"metadata": {"labels": labels or {}}, "spec": {"containers": [container]}}


def obj(kind: str, name: str, api_version: str = "apps/v1", owner: str = "", **fields: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "ml", "uid": f"uid-{name}"}
    if owner:
        metadata["ownerReferences"] = [
            {"uid": f"uid-{owner}", "controller": True, "kind": "X", "name": owner}
        ]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def deployment(name: str, pod: dict[str, Any]) -> list[dict[str, Any]]:
    """A Deployment with all that its controllers made of it."""
    spec = {"selector": {}, "template": pod}
    return [
        obj("Deployment", name, spec=spec),
        obj("ReplicaSet", f"{name}-1", owner=name, spec=spec),
        *(
            obj("Pod", f"{name}-1-{i}", "v1", owner=f"{name}-1", spec=pod["spec"], status={"phase": phase})
            for i, phase in enumerate(("Running", "Running", "Failed"))
        ),
    ]


def by_name(planned: list[Planned]) -> dict[str, Planned]:
    return {one.name: one for one in planned}


def test_what_controllers_made_is_told_with_its_maker() -> None:
    planned = plan(deployment("web", template()), ruleset(), ENFORCE)
    assert [(one.kind.kind, one.name, one.pods) for one in planned] == [("Deployment", "web", 2)]


def test_what_would_be_rejected_has_its_findings_with_paths_in_the_workload() -> None:
    bad = template()
    del bad["spec"]["containers"][0]["resources"]
    bad["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    [one] = plan(deployment("web", bad), ruleset(), ENFORCE)
    fields = {finding.field for finding in one.rejected_for}
    assert "spec.template.spec.containers[0].securityContext.privileged" in fields


def test_what_would_be_changed_names_the_mutations_of_its_pods() -> None:
    planned = by_name(
        plan(
            [
                *deployment("train", template(**{"nvidia.com/gpu": "1"})),
                obj("Pod", "lonely", "v1", spec=template(**{"nvidia.com/gpu": "1"})["spec"]),
            ],
            ruleset(),
            ENFORCE,
        )
    )
    for name in ("train", "lonely"):
        assert ("gpu-scheduling", "accelerator-tolerations") in planned[name].changed_by


def test_a_plan_for_warn_rejects_nothing() -> None:
    bad = template()
    bad["spec"]["hostNetwork"] = True
    [one] = plan(deployment("web", bad), ruleset(), Facts(mode=Mode.WARN))
    assert not one.rejected_for
    assert one.warned_for


@pytest.mark.parametrize(
    ("pod_labels", "namespace_labels", "owner"),
    [
        ({"owner": "ada", "team": "nlp"}, {"team": "vision"}, "ada"),
        ({"team": "nlp"}, {"owner": "vision"}, "nlp"),
        ({}, {"team": "vision"}, "vision"),
        ({"team": ""}, {}, NOBODY),
    ],
)
def test_the_owner_is_the_pods_then_the_namespaces(
    pod_labels: dict[str, str], namespace_labels: dict[str, str], owner: str
) -> None:
    facts = Facts(mode=Mode.ENFORCE, namespace_labels=namespace_labels)
    [one] = plan(deployment("web", template(pod_labels)), ruleset(), facts)
    assert one.owner == owner


def test_owners_in_a_circle_end_somewhere() -> None:
    pair = [obj("Job", "a", "batch/v1", owner="b"), obj("Job", "b", "batch/v1", owner="a")]
    assert plan(pair, ruleset(), ENFORCE)


def test_objects_of_any_form_are_planned() -> None:
    odd = [
        {},
        {"kind": "Pod", "apiVersion": "v1", "metadata": 7, "spec": []},
        {"kind": "Job", "metadata": {"ownerReferences": [7]}},
    ]
    assert plan(odd, ruleset(), ENFORCE) is not None


def test_the_record_counts_what_would_have_been_rejected() -> None:
    def line(policy: str, namespace: str = "ml", **more: Any) -> dict[str, Any]:
        found = [{"policy": policy, "rule": "r", "action": "Audit", **more}]
        return {"namespace": namespace, "user": "ada", "kind": "v1/Pod", "findings": found}

    record = read_record(
        [
            line("limits-required"),
            line("limits-required"),
            line("limits-required", namespace="other"),
            line("gone-since"),
            line("limits-required", error=True),
            {"message": "listening"},
            None,
            7,
        ],
        "ml",
        ruleset(),
    )
    assert (record.requests, record.rejected, record.unreadable) == (4, 2, 2)
    assert record.offences == {Offence("ada", "v1/Pod", "limits-required", "r"): 2}


@pytest.mark.parametrize(
    ("now", "wanted", "between"),
    [
        ("off", "audit", ()),
        ("off", "enforce", ("audit", "warn")),
        ("audit", "enforce", ("warn",)),
        ("warn", "enforce", ()),
        ("enforce", "off", ()),
        ("enforce", "audit", ()),
    ],
)
def test_the_ladder(now: str, wanted: str, between: tuple[str, ...]) -> None:
    assert skipped(now, wanted) == between


def test_a_label_that_is_no_mode_is_none() -> None:
    assert [rung_of(label) for label in ("warn", "enforced", "off", None, 7)] == [
        "warn",
        "off",
        "off",
        "off",
        "off",
    ]
