"""What holds for every pod, whatever is in it."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.checks.pods import JUNK, catalog, compiled
from tests.strategies import places
from webhook.checks.pod_security import PodSecurity
from webhook.checks.pod_security.control import Control
from webhook.checks.pod_security.registry import CONTROLS, controls_at
from webhook.kube.pod import Pod

from .judging import LEVELS, VERSIONS, findings, rule
from .strategies import METADATA, SPECS

MINORS = st.sampled_from(VERSIONS)
laws = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[Any]) -> dict[str, Any]:
    """A map of the strategy's with some values replaced by what is of another type."""
    made: dict[str, Any] = copy.deepcopy(draw(whole))
    for _ in range(draw(st.integers(1, 4))):
        candidates = places(made)
        if candidates:
            path = draw(st.sampled_from(candidates))
            parent: Any = made
            for segment in path[:-1]:
                parent = parent[segment]
            parent[path[-1]] = copy.deepcopy(draw(st.sampled_from(JUNK)))
    return made


@laws
@given(damaged(SPECS), damaged(METADATA))
def test_no_json_makes_a_level_raise_at_any_version_or_change_it(
    pod_spec: dict[str, Any], metadata: dict[str, Any]
) -> None:
    before = json.dumps([pod_spec, metadata])
    for level in LEVELS:
        for minor in VERSIONS:
            judged = rule(level, minor)
            pod = Pod(
                metadata, pod_spec, catalog(), spec_path=("at", "spec"), metadata_path=("at", "metadata")
            )
            found = list(judged(pod))
            assert list(judged(pod)) == found
            for violation in found:
                assert violation.path[:1] == ("at",)
                assert violation.message.isprintable()
                assert len(violation.message) <= 500
    assert json.dumps([pod_spec, metadata]) == before


def standing_in(minor: int) -> dict[str, str]:
    """Each baseline control to the one that is judged for it at level restricted."""
    judged: list[Control] = [control for control, _ in controls_at("restricted", minor)]
    own: dict[str, str] = {control.id: control.id for control in CONTROLS if control.level == "baseline"}
    return own | {control.replaces: control.id for control in judged if control.replaces}


@laws
@given(SPECS, METADATA, MINORS)
def test_what_breaks_baseline_breaks_restricted_in_the_same_place(
    pod_spec: dict[str, Any], metadata: dict[str, Any], minor: int
) -> None:
    instead = standing_in(minor)
    restricted = {(found.reason, found.path) for found in findings("restricted", pod_spec, minor, metadata)}
    for found in findings("baseline", pod_spec, minor, metadata):
        # Of Windows pods restricted does not ask what baseline forbids, as the API server refuses the fields there.
        if not (pod_spec.get("os") == {"name": "windows"} and instead[found.reason] in _NOT_FOR_WINDOWS):
            assert (instead[found.reason], found.path) in restricted


_NOT_FOR_WINDOWS = ("capabilities-restricted", "seccomp-profile-restricted")


@laws
@given(SPECS, METADATA, MINORS, st.sampled_from(LEVELS), st.data())
def test_a_container_more_takes_no_breach_away(
    pod_spec: dict[str, Any], metadata: dict[str, Any], minor: int, level: Any, data: st.DataObject
) -> None:
    donor = data.draw(SPECS.filter(lambda other: other.get("containers")))
    added = {**donor["containers"][0], "name": "added"}
    larger = {**pod_spec, "containers": [*(pod_spec.get("containers") or []), added]}
    before, after = (set(findings(level, one, minor, metadata)) for one in (pod_spec, larger))
    assert before <= after


@laws
@given(SPECS, METADATA, st.sampled_from(LEVELS))
def test_lists_of_what_is_allowed_only_grow(
    pod_spec: dict[str, Any], metadata: dict[str, Any], level: Any
) -> None:
    for minor in VERSIONS[1:]:
        older, newer = (
            {
                f.path
                for f in findings(level, pod_spec, m, metadata)
                if f.reason in ("sysctls", "se-linux-options")
            }
            for m in (minor - 1, minor)
        )
        assert newer <= older


@laws
@given(SPECS, METADATA, st.sampled_from(LEVELS))
def test_only_the_listed_changes_make_a_newer_version_find_less(
    pod_spec: dict[str, Any], metadata: dict[str, Any], level: Any
) -> None:
    for minor in VERSIONS[1:]:
        older, newer = (
            {(f.reason, f.path) for f in findings(level, pod_spec, m, metadata)} for m in (minor - 1, minor)
        )
        if older - newer:
            changed = [c for c in CONTROLS if any(revision.since == minor for revision in c.revisions)]
            known: Collection[str | None] = [name for c in changed for name in (c.id, c.replaces)]
            assert {reason for reason, _ in older - newer} <= set(known)


@laws
@given(SPECS, METADATA, MINORS, st.sampled_from(LEVELS), st.data())
def test_an_exemption_of_all_images_takes_away_one_control_and_nothing_else(
    pod_spec: dict[str, Any], metadata: dict[str, Any], minor: int, level: Any, data: st.DataObject
) -> None:
    control = data.draw(st.sampled_from([control.id for control, _ in controls_at(level, minor)]))
    parameters = {
        "level": level,
        "version": f"v1.{minor}",
        "exempt": [{"control": control, "images": ["*"]}],
    }
    left = list(compiled(PodSecurity, parameters)(Pod(metadata, pod_spec, catalog())))
    assert left == [f for f in findings(level, pod_spec, minor, metadata) if f.reason != control]


@laws
@given(SPECS, METADATA, MINORS, st.sampled_from(LEVELS), st.data())
def test_an_exemption_of_some_images_only_takes_breaches_away(
    pod_spec: dict[str, Any], metadata: dict[str, Any], minor: int, level: Any, data: st.DataObject
) -> None:
    control = data.draw(st.sampled_from([control.id for control, _ in controls_at(level, minor)]))
    parameters = {
        "level": level,
        "version": f"v1.{minor}",
        "exempt": [{"control": control, "images": ["nvcr.io/nvidia/*"]}],
    }
    left = set(compiled(PodSecurity, parameters)(Pod(metadata, pod_spec, catalog())))
    assert left <= set(findings(level, pod_spec, minor, metadata))
