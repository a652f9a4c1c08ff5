"""Examples of rules: every rule has one, and it shows what it says."""

from __future__ import annotations

import jsonpatch
import pytest

from webhook.adapters.rule_examples import EXAMPLES, example_of
from webhook.checks import CHECKS
from webhook.cli.main import main
from webhook.cli.review_output import to_yaml
from webhook.mutations import MUTATIONS
from webhook.policy.rule import Mutation, Rule


@pytest.mark.parametrize("check", CHECKS, ids=lambda rule: rule.name)
def test_a_check_has_an_object_that_breaks_it_and_one_that_does_not(check: type[Rule]) -> None:
    example = example_of(check)
    assert example is not None, f"add a case, or a policy with cases to {EXAMPLES.name}/"
    assert {finding.rule for finding in example.findings} == {check.name}
    # Who may write policies at all is said by a policy's `exclude`: nothing follows this rule.
    assert (example.good is None) == (check.name == "protected-objects")
    assert example.obj != example.good
    assert all(entry["rule"] == check.name for entry in example.entries)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda rule: rule.name)
def test_a_mutation_has_an_object_that_it_changes(mutation: type[Rule]) -> None:
    example = example_of(mutation)
    assert example is not None, f"add a case, or a policy with cases to {EXAMPLES.name}/"
    assert not example.findings
    assert list(jsonpatch.make_patch(example.obj, example.good))


@pytest.mark.parametrize("rule", [*CHECKS, *MUTATIONS], ids=lambda rule: rule.name)
def test_examples_are_short_enough_to_read(rule: type[Rule]) -> None:
    example = example_of(rule)
    assert example is not None
    assert max(len(to_yaml(obj).splitlines()) for obj in (example.obj, example.good or {})) <= 60


def test_a_rule_that_no_case_shows_has_no_example() -> None:
    class Unheard(Mutation):
        """Nobody uses it."""

        name = "unheard-of"
        title = "test"

        def __call__(self, pod: object, draft: object) -> None: ...

    assert example_of(Unheard) is None


def test_policies_that_are_there_for_their_examples_show_their_rules_both_ways() -> None:
    assert main(["lint", str(EXAMPLES)]) == 0
    assert main(["test", str(EXAMPLES), "--require-coverage"]) == 0


def test_no_example_is_kept_for_a_rule_that_is_gone() -> None:
    known = {rule.name for rule in (*CHECKS, *MUTATIONS)}
    assert {folder.name for folder in EXAMPLES.iterdir()} <= known
