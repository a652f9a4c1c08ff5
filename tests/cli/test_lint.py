"""`gpuward lint`: what is wrong with policy files, and where.

Each file or folder in golden/lint is a policy (set) with one kind of mistake; the text beside it is what lint says.
Add a file and run pytest with --regen-golden to get its text.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from webhook.cli import lint
from webhook.cli.main import main

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "lint"
POLICY_FILES = sorted(
    file.name for file in GOLDEN.iterdir() if file.is_dir() or file.suffix in (".yaml", ".json")
)

GOOD = """\
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata:
  name: good
spec:
  validate:
    - rule: no-privileged
"""


@pytest.fixture(autouse=True)
def in_november(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint, "_today", lambda: date(2026, 11, 21))


@pytest.mark.parametrize("name", POLICY_FILES)
def test_mistake_is_told_with_its_place(
    name: str,
    golden: Callable[[Path, str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(GOLDEN)
    status = main(["lint", name])
    printed = capsys.readouterr()
    assert printed.err == ""
    golden(GOLDEN / f"{Path(name).stem}.txt", f"{printed.out}exit status {status}\n")


def test_every_golden_text_has_its_policy() -> None:
    texts = {file.stem for file in GOLDEN.iterdir() if file.suffix == ".txt"}
    assert texts == {Path(name).stem for name in POLICY_FILES}
    assert {file.suffix for file in GOLDEN.iterdir() if file.is_file()} == {".txt", ".yaml", ".json"}


def test_every_error_of_a_golden_text_has_line_and_column() -> None:
    places = [
        line.split(": ")[0]
        for file in GOLDEN.glob("*.txt")
        for line in file.read_text().splitlines()
        if ": error: " in line and "no document of kind Policy" not in line
    ]
    assert len(places) > 50
    assert all(place.count(":") == 2 for place in places)


def test_messages_are_ours_and_not_those_of_the_libraries() -> None:
    text = "".join(file.read_text() for file in GOLDEN.glob("*.txt"))
    for foreign in (
        "Input should",
        "pydantic",
        "Value error",
        "_type",
        "dataclass",
        "<byte string>",
        "yaml.",
    ):
        assert foreign not in text.replace(".yaml", "")


def test_good_policies_are_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    assert main(["lint", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "1 policy, no errors\n"


def test_several_paths_are_checked_each_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(GOOD)
    assert main(["lint", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]) == 0
    assert capsys.readouterr().out == "2 policies, no errors\n"
    assert main(["lint", str(tmp_path)]) == 1


def test_without_a_path_the_default_policies_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    monkeypatch.setenv("GPUWARD_POLICIES", str(tmp_path))
    assert main(["lint"]) == 0
    assert capsys.readouterr().out == "1 policy, no errors\n"


def test_warnings_leave_the_status_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(GOLDEN / "warnings-alone.yaml")]) == 0
    assert "warning" in capsys.readouterr().out


def test_path_that_does_not_exist_could_not_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "/nowhere/at/all"]) == 2
    assert capsys.readouterr().out == "/nowhere/at/all: error: no such file or folder\n1 error\n"


def test_json_output_is_one_array(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(GOLDEN)
    assert main(["lint", "-o", "json", "unknown-field-of-spec.yaml"]) == 1
    assert json.loads(capsys.readouterr().out) == [
        {
            "file": "unknown-field-of-spec.yaml",
            "line": 6,
            "column": 3,
            "path": "spec.acton",
            "severity": "error",
            "message": 'unknown field "acton"',
            "suggestion": 'did you mean "action"?',
        }
    ]
    assert main(["lint", "-o", "json", "nothing-to-complain-about.yaml"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["lint", "-o", "json", "warnings-alone.yaml"]) == 0
    assert {remark["severity"] for remark in json.loads(capsys.readouterr().out)} == {"warning"}


def test_caret_stands_below_the_place_in_long_lines_and_behind_tabs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = '{"apiVersion": "gpuward.dev/v1alpha1",\t"kind": "Policy", "metadata": {"name": "x"}, '
    long += (
        '"spec": {"variables": ['
        + ", ".join(f'{{"name": "a{i}", "expression": "1"}}' for i in range(20))
        + '], "acton": "Warn"}}'
    )
    (tmp_path / "long.json").write_text(long)
    assert main(["lint", str(tmp_path)]) == 1
    _, line, caret, *_ = capsys.readouterr().out.splitlines()
    assert line.startswith("    1 | ")
    assert line[caret.index("^") :].startswith('"acton"')
    assert len(line) < 120


def test_what_a_terminal_would_obey_is_not_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(GOOD.replace("good", "\x1b[2Jgood"))
    assert main(["lint", str(tmp_path)]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_colours_are_there_when_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(GOLDEN / "unknown-field-of-spec.yaml")
    main(["lint", file, "--color", "always"])
    assert "\x1b[31merror\x1b[0m" in capsys.readouterr().out
    main(["lint", file])
    assert "\x1b" not in capsys.readouterr().out
