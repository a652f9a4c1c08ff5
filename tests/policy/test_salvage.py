"""What is left of a policy when its mistakes of form are taken out."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.policies import CONTEXT
from tests.policy.test_model import FULL, all_paths, any_json, with_change
from webhook.engine.compile import compile_policy
from webhook.kube.path import MISSING, Path, lookup
from webhook.policy.problems import InvalidPolicy, Problem
from webhook.policy.salvage import Remains
from webhook.policy.validation import validate_policy


def problems_of(document: Any) -> tuple[Problem, ...]:
    """What is wrong with the form of a document."""
    with pytest.raises(InvalidPolicy) as refused:
        validate_policy(document)
    return refused.value.problems


def compiled_problems(document: Any) -> tuple[Problem, ...]:
    try:
        compile_policy(document, CONTEXT)
    except InvalidPolicy as invalid:
        return invalid.problems
    return ()


def test_what_is_good_is_left_and_knows_where_it_stood() -> None:
    document = with_change(("spec", "match", "kinds"), [1, "Pod", None, "Job"])
    document["spec"]["acton"] = "Warn"
    before = copy.deepcopy(document)
    remains = Remains(document, problems_of(document))
    assert remains.policy is not None
    assert remains.policy.spec.match.kinds == ["Pod", "Job"]
    assert remains.original(("spec", "match", "kinds", 0)) == ("spec", "match", "kinds", 1)
    assert remains.original(("spec", "match", "kinds", 1)) == ("spec", "match", "kinds", 3)
    assert document == before


@pytest.mark.parametrize("document", [None, 1, "text", [], {"spec": 1}, {"kind": "Policy"}], ids=str)
def test_of_what_is_no_policy_at_all_nothing_is_made_up(document: Any) -> None:
    remains = Remains(document, problems_of(document))
    if remains.policy is not None:
        assert remains.policy.spec.mutate == []
        assert all(rule.rule is None for rule in remains.policy.spec.validate_)
    assert {problem.path for problem in compiled_problems(document)} == {
        problem.path for problem in problems_of(document)
    }


MISSPELT = ("spec", "validate", 0, "rule")


@given(st.sampled_from(all_paths(FULL)), any_json)
def test_a_mistake_of_form_elsewhere_hides_no_unknown_rule(path: Path, value: Any) -> None:
    document = with_change(path, value)
    entry = lookup(document, MISSPELT[:-1])
    if type(entry) is not dict or path[: len(MISSPELT)] == MISSPELT or "expression" in entry:
        return
    entry["rule"] = "no-such-rule"
    problems = compiled_problems(document)
    if lookup(document, MISSPELT[:-1]) is not MISSING and Remains(document, problems).policy is not None:
        assert any(problem.path == MISSPELT for problem in problems) or any(
            problem.path == MISSPELT[: len(problem.path)] for problem in problems
        )


@given(st.sampled_from(all_paths(FULL)), any_json)
def test_whatever_is_wrong_is_told_with_a_place_and_nothing_twice(path: Path, value: Any) -> None:
    document = with_change(path, value)
    problems = compiled_problems(document)
    for problem in problems:
        # The place is in the document, or one step (a missing field) beyond it.
        assert lookup(document, problem.path[:-1]) is not MISSING
    assert len(set(map(str, problems))) == len(problems)
