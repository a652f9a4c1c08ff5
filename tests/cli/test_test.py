"""`gpuward test`: policies against their cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import POLICIES
from webhook.cli.main import main

POLICY = """
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: baseline}
spec:
  validate:
    - rule: no-privileged
"""
CASE = """
apiVersion: gpuward.dev/v1alpha1
kind: PolicyCase
metadata: {{name: "{name}"}}
spec:
  expect: {expect}
  object:
    apiVersion: v1
    kind: Pod
    metadata: {{name: x}}
    spec:
      containers:
        - {{name: main, image: "x:1", securityContext: {{privileged: {privileged}}}}}
{more}
"""


def case(name: str, expect: str, privileged: str, more: str = "") -> str:
    return CASE.format(name=name, expect=expect, privileged=privileged, more=more)


def folder(tmp_path: Path, *cases: str, policy: str = POLICY) -> str:
    (tmp_path / "baseline" / "cases").mkdir(parents=True)
    (tmp_path / "baseline" / "policy.yaml").write_text(policy)
    for index, text in enumerate(cases):
        (tmp_path / "baseline" / "cases" / f"{index}.yaml").write_text(text)
    return str(tmp_path)


GOOD = case("plain is fine", "allow", "false")
BAD = case("privileged is not", "deny", "true", "  findings: [{rule: no-privileged}]")


def test_the_shipped_policies_pass_their_cases_and_every_rule_is_covered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["test", str(POLICIES)]) == 0
    out = capsys.readouterr().out
    assert ", 0 failed" in out
    assert "not covered" not in out


def test_cases_that_pass_exit_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", folder(tmp_path, GOOD, BAD), "-v"]) == 0
    out = capsys.readouterr().out
    assert "ok   plain is fine" in out
    assert out.endswith("2 passed, 0 failed\n")


def test_a_case_that_fails_says_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = case("privileged passes", "allow", "true", "  fields: {spec.hostNetwork: true, metadata.name: x}")
    assert main(["test", folder(tmp_path, GOOD, wrong)]) == 1
    out = capsys.readouterr().out
    assert "FAIL privileged passes" in out
    assert "expected allow, got deny" in out
    assert "found baseline/no-privileged spec.containers[0].securityContext.privileged (privileged)" in out
    assert "spec.hostNetwork: expected True, got None" in out
    assert out.endswith("1 passed, 1 failed\n")


def test_findings_are_compared_both_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = case("another rule", "deny", "true", "  findings: [{rule: no-host-path, path: spec.volumes}]")
    assert main(["test", folder(tmp_path, other)]) == 1
    out = capsys.readouterr().out
    assert "missing finding: rule=no-host-path, path=spec.volumes" in out
    assert "unexpected finding: baseline/no-privileged" in out


def test_a_rule_without_a_case_for_either_side_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", folder(tmp_path, GOOD)]) == 0
    assert "baseline/no-privileged has no case in which it finds something" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cases", "policy", "message"),
    [
        ([GOOD.replace("expect: allow", "expect: alow")], POLICY, 'did you mean "allow"'),
        (["a: ["], POLICY, "0.yaml:"),
        ([GOOD], POLICY.replace("no-privileged", "no-privilege"), 'did you mean "no-privileged"'),
        ([], POLICY, "no cases found"),
    ],
    ids=["a misspelt expectation", "broken YAML", "a broken policy", "no cases"],
)
def test_what_cannot_be_run_exits_2(
    cases: list[str], policy: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", folder(tmp_path, *cases, policy=policy)]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_not_there_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "/nonexistent"]) == 2
    assert "no such folder" in capsys.readouterr().err
