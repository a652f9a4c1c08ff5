"""Policies that do not match cost a review nothing: counted in steps of the interpreter, as time is never certain."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.bench.bodies import notebook_review
from tests.bench.inprocess import NO_LABELS
from tests.bench.made import WAYS, policies_elsewhere, policies_here, write_policies
from webhook.adapters import policy_files
from webhook.engine.decision import Phase
from webhook.engine.review import review
from webhook.kube.review import decode


def steps(folder: Path, more: list[dict[str, Any]], phase: Phase) -> int:
    """How many lines of Python a review by the shipped policies and these runs through."""
    ruleset = policy_files.load(write_policies(folder, more)).ruleset
    assert ruleset is not None
    request = decode(notebook_review())
    for _ in range(3):
        # What is remembered of a policy set is known then.
        review(request, ruleset, NO_LABELS, phase)
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        review(request, ruleset, NO_LABELS, phase)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("phase", [Phase.MUTATE, Phase.VALIDATE])
@pytest.mark.parametrize("way", WAYS)
def test_policies_that_do_not_match_add_no_step(way: str, phase: Phase, tmp_path: Path) -> None:
    alone = steps(tmp_path / "alone", [], phase)
    assert alone > 100
    assert steps(tmp_path / "more", policies_elsewhere(way, 100), phase) == alone


def test_policies_that_match_add_steps_for_each(tmp_path: Path) -> None:
    counts = [steps(tmp_path / str(count), policies_here(count), Phase.VALIDATE) for count in (0, 10, 20)]
    assert counts[2] - counts[1] == counts[1] - counts[0] > 0
