"""`gpuward test`: policies against their cases."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

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


MESSAGE = (
    'container "main" is privileged, which is root on the node; '
    "remove privileged, and request devices such as GPUs in resources.limits"
)
GOOD = case("plain is fine", "allow", "false")
BAD = case("privileged is not", "deny", "true", "  findings: [{rule: no-privileged}]")


def test_the_shipped_policies_pass_their_cases_and_every_rule_is_covered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["test", str(POLICIES), "--require-coverage"]) == 0
    out = capsys.readouterr().out
    assert ", 0 failed" in out
    assert "not covered" not in out


def test_cases_that_pass_exit_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", folder(tmp_path, GOOD, BAD), "-v"]) == 0
    out = capsys.readouterr().out
    assert "ok   plain is fine" in out
    assert out.endswith("2 passed, 0 failed\n")


def test_a_case_that_fails_shows_the_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = case("privileged passes", "allow", "true", "  fields: {spec.hostNetwork: true, metadata.name: x}")
    root = folder(tmp_path, GOOD, wrong)
    assert main(["test", root]) == 1
    assert (
        capsys.readouterr().out
        == f"""\
{root}/baseline
  FAIL privileged passes ({root}/baseline/cases/1.yaml:2)
       outcome: expected allow, got deny
       --- findings expected
       +++ findings as seen
       @@ -1 +1,6 @@
       -[]
       +- rule: no-privileged
       +  policy: baseline
       +  path: spec.containers[0].securityContext.privileged
       +  reason: privileged
       +  action: Enforce
       +  message: {MESSAGE}
       --- fields expected
       +++ fields as seen
       @@ -1,2 +1,2 @@
       -spec.hostNetwork: true
       +spec.hostNetwork: null
        metadata.name: x
1 passed, 1 failed
"""
    )


def test_of_a_finding_that_is_nearly_right_only_what_differs_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    near = case("nearly", "deny", "true", "  findings: [{rule: no-privileged, path: spec, action: Enforce}]")
    assert main(["test", folder(tmp_path, near)]) == 1
    assert (
        """\
        - rule: no-privileged
       -  path: spec
       +  path: spec.containers[0].securityContext.privileged
          action: Enforce
"""
        in capsys.readouterr().out
    )


def test_findings_are_compared_both_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = case("another rule", "deny", "true", "  findings: [{rule: no-host-path, path: spec.volumes}]")
    assert main(["test", folder(tmp_path, other)]) == 1
    out = capsys.readouterr().out
    assert "-- rule: no-host-path\n" in out
    assert "+- rule: no-privileged\n" in out


def test_a_change_that_was_not_expected_is_shown_in_the_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = POLICY + "  mutate: [{rule: labels, parameters: {values: {team: a}}}]\n"
    patch = "  patch: [{op: add, path: /metadata/labels, value: {team: b}}]"
    cases = (case("unchanged", "allow", "false"), case("other", "mutate", "false", patch))
    assert main(["test", folder(tmp_path, *cases, policy=policy)]) == 1
    out = capsys.readouterr().out
    assert "+  labels:\n       +    team: a\n" in out
    assert "-    team: b\n       +    team: a\n" in out


def test_colours_are_there_where_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["test", folder(tmp_path, case("no", "allow", "true")), "--color", "always"])
    assert "\x1b[32m+- rule: no-privileged\x1b[0m" in capsys.readouterr().out


def test_a_rule_without_a_case_for_either_side_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder(tmp_path, GOOD)
    assert main(["test", root]) == 0
    assert "baseline/no-privileged has no case in which it finds something" in capsys.readouterr().out
    assert main(["test", root, "--require-coverage"]) == 1
    assert "baseline/no-privileged has no case in which it finds something" in capsys.readouterr().out


def test_a_policy_without_any_case_is_not_covered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder(tmp_path, GOOD, BAD)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "policy.yaml").write_text(POLICY.replace("baseline", "other"))
    assert main(["test", root, "--require-coverage"]) == 1
    assert (
        "other/no-privileged has no case in which it finds something and none in which it passes"
        in capsys.readouterr().out
    )


def test_all_rules_are_covered(tmp_path: Path) -> None:
    assert main(["test", folder(tmp_path, GOOD, BAD), "--require-coverage"]) == 0


def test_a_rule_that_an_exception_sets_aside_has_let_nothing_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = POLICY + "  exceptions: [{name: x, reason: ticket, match: {names: [x]}}]\n"
    excepted = case("excepted", "allow", "true", "  exceptions: [x]")
    assert main(["test", folder(tmp_path, excepted, policy=policy), "--require-coverage"]) == 1
    assert "and none in which it passes" in capsys.readouterr().out


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
    assert "no such file or folder" in capsys.readouterr().err


def test_some_cases_can_be_chosen_by_name_or_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder(tmp_path, GOOD, BAD)
    assert main(["test", root, "-k", "IS FINE"]) == 0
    assert capsys.readouterr().out.endswith("1 passed, 0 failed\n")
    assert main(["test", root, "-k", "cases/1.yaml", "-v"]) == 0
    assert "ok   privileged is not" in capsys.readouterr().out
    assert main(["test", root, "-k", "nothing like it"]) == 2
    assert 'no case has "nothing like it" in its name' in capsys.readouterr().err
    assert main(["test", root, "-k", "x", "--require-coverage"]) == 2


def test_one_policy_file_is_tested_by_the_cases_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder(tmp_path, GOOD, BAD)
    (tmp_path / "baseline" / "manifest.yaml").write_text("apiVersion: v1\nkind: ConfigMap\n")
    assert main(["test", f"{root}/baseline/policy.yaml", "--require-coverage"]) == 0
    assert capsys.readouterr().out.endswith("2 passed, 0 failed\n")


CATALOG = """
apiVersion: gpuward.dev/v1alpha1
kind: AcceleratorCatalog
metadata: {name: ours}
spec: {accelerators: [{name: npu, resources: [example.com/npu], deviceClasses: [npu.example.com]}]}
"""
ACCELERATED = """
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: accelerated}
spec:
  match: {accelerators: Required}
  validate: [{rule: no-privileged}]
"""
CLAIMED = """
apiVersion: gpuward.dev/v1alpha1
kind: PolicyCase
metadata: {name: a pod that claims a device}
spec:
  expect: deny
  objects:
    - apiVersion: resource.k8s.io/v1
      kind: ResourceClaimTemplate
      metadata: {name: one-npu}
      spec: {spec: {devices: {requests: [{name: npu, exactly: {deviceClassName: npu.example.com}}]}}}
    - apiVersion: v1
      kind: Namespace
      metadata: {name: default, labels: {workload: ml}}
  object:
    apiVersion: v1
    kind: Pod
    metadata: {name: x}
    spec:
      resourceClaims: [{name: npu, resourceClaimTemplateName: one-npu}]
      containers: [{name: main, image: "x:1", securityContext: {privileged: true}}]
"""


def test_catalogs_at_the_top_are_known_to_the_cases_below(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = case("an npu pod", "deny", "true").replace(
        "privileged: true}", "privileged: true}, resources: {limits: {example.com/npu: 1}}"
    )
    root = folder(tmp_path, bad, GOOD, CLAIMED, policy=ACCELERATED)
    assert main(["test", root]) == 1
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    assert main(["test", root, "-v"]) == 0


def test_claims_and_the_namespace_can_stand_around_an_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = ACCELERATED.replace(
        "Required}",
        "Required, namespaceSelector: {matchLabels: {workload: ml}}, "
        "conditions: [{name: device, expression: object.spec.resourceClaims.size() == 1}]}",
    )
    root = folder(tmp_path, CLAIMED, policy=policy)
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    assert main(["test", root]) == 0
    (tmp_path / "baseline" / "cases" / "0.yaml").write_text(CLAIMED.replace("kind: Namespace", "kind: Node"))
    assert main(["test", root]) == 2
    assert (
        "0.yaml:12:7: spec.objects[1]: must be an object of kind Namespace, ResourceClaim, ResourceClaimTemplate"
        in capsys.readouterr().err
    )


LETS_PASS = """
apiVersion: gpuward.dev/v1alpha1
kind: PolicyException
metadata: {name: legacy}
spec: {policies: [baseline], reason: ticket ML-123, match: {users: [ada]}}
---
apiVersion: gpuward.dev/v1alpha1
kind: BreakGlass
metadata: {name: on-call}
spec: {reason: emergencies, groups: [sre]}
"""


def test_cases_say_which_exceptions_and_break_glass_are_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    excepted = case("ada may", "allow", "true", "  user: {name: ada}\n  exceptions: [legacy]")
    passed = case(
        "sre may", "warn", "true", "  user: {groups: [sre]}\n  breakGlass: on-call\n  exceptions: []"
    )
    root = folder(tmp_path, GOOD, BAD, excepted, passed)
    (tmp_path / "exceptions").mkdir()
    (tmp_path / "exceptions" / "all.yaml").write_text(LETS_PASS)
    assert main(["test", root, "--require-coverage"]) == 0
    wrong = case(
        "eve may", "deny", "true", "  user: {name: eve}\n  breakGlass: on-call\n  exceptions: [legacy]"
    )
    (tmp_path / "baseline" / "cases" / "9.yaml").write_text(wrong)
    capsys.readouterr()
    assert main(["test", root]) == 1
    out = capsys.readouterr().out
    assert "-- legacy\n       +[]\n" in out
    assert "breakGlass: expected on-call, got none" in out


def test_cases_in_a_folder_without_policies_are_judged_by_the_whole_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder(tmp_path, GOOD, BAD)
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "all.yaml").write_text(BAD.replace("privileged is not", "the whole set"))
    assert main(["test", root, "-v", "--require-coverage"]) == 0
    assert capsys.readouterr().out.startswith(f"{root}\n  ok   the whole set\n{root}/baseline\n")


def test_a_broken_policy_does_not_keep_the_others_from_being_tested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder(tmp_path, GOOD, BAD)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "policy.yaml").write_text(
        POLICY.replace("baseline", "other").replace("rule:", "rul:")
    )
    assert main(["test", root]) == 2
    captured = capsys.readouterr()
    assert "2 passed, 0 failed" in captured.out
    assert "other/policy.yaml:7:" in captured.err


def test_results_are_there_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = case("privileged passes", "allow", "true")
    root = folder(tmp_path, GOOD, wrong)
    assert main(["test", root, "-o", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["passed"], report["failed"], report["problems"], report["notCovered"]) == (1, 1, [], [])
    good, bad = report["cases"]
    assert good == {
        "folder": f"{root}/baseline", "file": f"{root}/baseline/cases/0.yaml", "line": 2, "name": "plain is fine",
        "passed": True, "expect": "allow", "outcome": "allow", "differences": [],
    }  # fmt: skip
    assert [difference["what"] for difference in bad["differences"]] == ["outcome", "findings"]
    assert bad["differences"][0] == {"what": "outcome", "expected": "allow", "actual": "deny"}


def test_ci_systems_get_junit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = case("privileged passes", "allow", "true", "  findings: []")
    root = folder(tmp_path, wrong)
    file = tmp_path / "report.xml"
    assert main(["test", root, "--junit", str(file), "--require-coverage"]) == 1
    assert "0 passed, 1 failed" in capsys.readouterr().out
    main(["test", root, "-o", "junit", "--require-coverage"])
    assert capsys.readouterr().out == file.read_text()
    (suite,) = ElementTree.fromstring(file.read_text())
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == (f"{root}/baseline", "2", "2")
    failed, gap = suite
    assert failed.get("name") == "privileged passes"
    assert failed[0].get("message") == "differs in outcome, findings"
    assert "+- rule: no-privileged" in (failed[0].text or "")
    assert gap.get("name") == "baseline/no-privileged is covered"


def test_unreadable_cases_are_errors_in_junit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", folder(tmp_path, GOOD, "a: ["), "-o", "junit"]) == 2
    root = ElementTree.fromstring(capsys.readouterr().out)
    assert (root.get("tests"), root.get("errors")) == ("2", "1")


def test_a_report_that_cannot_be_written_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", folder(tmp_path, GOOD), "--junit", str(tmp_path / "no" / "x.xml")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_an_object_that_is_none_of_the_policys_business_shows_nothing_of_its_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = POLICY.replace("spec:\n", "spec:\n  match: {objectSelector: {matchLabels: {tier: training}}}\n")
    labelled = BAD.replace("metadata: {name: x}", "metadata: {name: x, labels: {tier: training}}")
    root = folder(tmp_path, GOOD, labelled, policy=policy)
    assert main(["test", root, "--require-coverage"]) == 1
    assert "baseline/no-privileged has no case in which it passes\n" in capsys.readouterr().out
    good = GOOD.replace("metadata: {name: x}", "metadata: {name: x, labels: {tier: training}}")
    (tmp_path / "baseline" / "cases" / "2.yaml").write_text(good)
    assert main(["test", root, "--require-coverage"]) == 0


def test_a_check_of_objects_lets_nothing_pass_in_a_case_about_another_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = POLICY.replace("no-privileged", "monitor-release-label")
    monitor = BAD.replace("apiVersion: v1", "apiVersion: monitoring.coreos.com/v1")
    monitor = monitor.replace("kind: Pod\n", "kind: PodMonitor\n").replace(
        "no-privileged", "monitor-release-label"
    )
    root = folder(tmp_path, GOOD, monitor, policy=policy)
    assert main(["test", root, "--require-coverage"]) == 1
    assert "baseline/monitor-release-label has no case in which it passes\n" in capsys.readouterr().out
    good = monitor.replace("expect: deny", "expect: allow").replace(
        "{name: x}", "{name: x, labels: {release: r}}"
    )
    good = good.replace("  findings: [{rule: monitor-release-label}]", "")
    (tmp_path / "baseline" / "cases" / "2.yaml").write_text(good)
    assert main(["test", root, "--require-coverage"]) == 0
