"""`gpuward explain`: the rules, from their own words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import REPOSITORY
from webhook.adapters.policy_files import load
from webhook.checks import CHECKS
from webhook.cli.main import main
from webhook.mutations import MUTATIONS
from webhook.policy.rule import Rule

RULES: tuple[type[Rule], ...] = (*MUTATIONS, *CHECKS)


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["explain", *arguments]) == 0
    return capsys.readouterr().out


def test_list_names_every_rule_with_its_title(capsys: pytest.CaptureFixture[str]) -> None:
    listed = explained(capsys)
    mutations, _, checks = listed.partition("validate: ")
    for section, rules in ((mutations, MUTATIONS), (checks, CHECKS)):
        for rule in rules:
            assert any(line.split() == [rule.name, *rule.title.split()] for line in section.splitlines())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_is_explained_with_all_its_parameters(
    rule: type[Rule], capsys: pytest.CaptureFixture[str]
) -> None:
    text = explained(capsys, rule.name)
    assert text.startswith(f"{rule.name} (")
    assert rule.title in text
    assert "Why:" in text
    assert "``" not in text
    _, _, parameters = text.partition("Parameters:")
    names = [
        line.split()[0] for line in parameters.splitlines() if line.startswith("    ") and line[4:5].strip()
    ]
    assert len([name for name in names if "." not in name]) >= len(rule.Parameters.__struct_fields__)


GOLDEN = REPOSITORY / "tests" / "golden" / "explain"
SHOWN = ("max-accelerators", "no-privileged", "required-labels", "role-binding-subjects")


def test_every_golden_text_has_its_rule() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == {f"{rule}.txt" for rule in SHOWN}


@pytest.mark.parametrize("rule", SHOWN)
def test_explanation_reads_well(
    rule: str,
    golden: Callable[[Path, str], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    golden(GOLDEN / f"{rule}.txt", explained(capsys, rule))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_example_of_a_rule_that_needs_nothing_is_a_policy(
    rule: type[Rule], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, _, example = explained(capsys, rule.name).partition("In a policy:\n")
    if "parameters:" in example:
        assert "..." in example
        return
    head = "apiVersion: gpuward.dev/v1alpha1\nkind: Policy\nmetadata: {name: x}\n"
    (tmp_path / "policy.yaml").write_text(
        head + "".join(line[4:] for line in example.splitlines(keepends=True))
    )
    problems = load(tmp_path).problems
    # A rule may still ask for one of several parameters, in words.
    assert all("parameters" in str(problem) for problem in problems)


def test_unknown_rule_is_an_error_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "no-priviledged"]) == 2
    assert (
        capsys.readouterr().err == 'gpuward: unknown rule "no-priviledged"; did you mean "no-privileged"?\n'
    )
    assert main(["explain", "zzz"]) == 2
    assert capsys.readouterr().err == 'gpuward: unknown rule "zzz"; `gpuward explain` lists the rules\n'


def test_colours_are_there_when_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\x1b[1mParameters:\x1b[0m" in explained(capsys, "required-labels", "--color", "always")
    assert "\x1b" not in explained(capsys, "required-labels")
