"""The frame of the command line: commands, exit statuses, names, colours."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support import REPOSITORY
from webhook.cli import main as main_module
from webhook.cli import output
from webhook.cli.main import COMMANDS, Command, main
from webhook.version import __version__


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the commands one: `probe`, which does what it is given."""

    def make(run: Any) -> None:
        module = ModuleType("probe_command")
        module.add_arguments = lambda parser: parser.add_argument("--flag")  # type: ignore[attr-defined]
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "probe_command", module)
        monkeypatch.setattr(main_module, "COMMANDS", (Command("probe", "probe", "probe_command"),))

    return make


def raising(error: BaseException) -> Any:
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


STATUSES = [
    pytest.param(lambda args: 0, 0, "", id="clean"),
    pytest.param(lambda args: 1, 1, "", id="violations"),
    pytest.param(lambda args: 2, 2, "", id="could not run"),
    pytest.param(raising(KeyboardInterrupt()), 130, "", id="interrupted"),
    pytest.param(raising(BrokenPipeError()), 141, "", id="reader went away"),
    pytest.param(raising(OSError(2, "No such file", "x.yaml")), 2, "gpuward: x.yaml: No such file\n", id="file"),
    pytest.param(raising(OSError("no space")), 2, "gpuward: no space\n", id="other error of the system"),
    pytest.param(raising(SystemExit(3)), 3, "", id="exit"),
    pytest.param(raising(SystemExit("why")), 2, "", id="exit with a text"),
]  # fmt: skip


@pytest.mark.parametrize(("run", "status", "said"), STATUSES)
def test_end_of_a_command_gives_the_status(
    command: Any, run: Any, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command(run)
    kept = sys.stdout
    try:
        assert main(["probe"]) == status
    finally:
        sys.stdout = kept
    assert capsys.readouterr().err == said


def test_fault_of_ours_is_not_taken_for_a_violation(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    command(raising(ZeroDivisionError("oops")))
    assert main(["probe"]) == 2
    said = capsys.readouterr().err
    assert "ZeroDivisionError: oops" in said
    assert said.endswith("gpuward: internal error; please report it together with the lines above\n")


def test_command_gets_its_arguments(command: Any) -> None:
    seen = []
    command(lambda args: seen.append(args.flag) or 0)
    assert main(["probe", "--flag", "x"]) == 0
    assert seen == ["x"]


USAGE = [
    pytest.param([], "usage: gpuward", id="nothing"),
    pytest.param(["revew"], 'no command "revew"; did you mean "review"?', id="misspelt command"),
    pytest.param(["zzz"], 'no command "zzz"; commands: review, serve,', id="unknown command"),
    pytest.param(["lint", "--zzz"], "unrecognized arguments: --zzz", id="unknown option"),
    pytest.param(["--zzz"], "unrecognized arguments: --zzz", id="unknown option before the command"),
    pytest.param(["lint", "-o", "xml"], "invalid choice", id="bad value"),
]


@pytest.mark.parametrize(("arguments", "said"), USAGE)
def test_wrong_usage_is_status_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("arguments", [["--version"], ["version"]], ids=" ".join)
def test_version_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith(f"gpuward {__version__}")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    for command in COMMANDS:
        assert f"    {command.name}" in listed
        assert command.help in " ".join(listed.split())


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_a_module_with_its_help(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    module = import_module(command.module)
    assert callable(module.run)
    assert module.__doc__
    assert main([command.name, "--help"]) == 0
    assert f"usage: gpuward {command.name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("invoked_as", "name"),
    [
        ("/usr/bin/gpuward", "gpuward"),
        ("webhook/__main__.py", "gpuward"),
        ("kubectl-gpuward", "kubectl gpuward"),
    ],
)
def test_usage_says_the_name_people_used(
    invoked_as: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [invoked_as])
    main(["lint", "--help"])
    assert capsys.readouterr().out.startswith(f"usage: {name} lint ")


# What a command must not wait for: (arguments, modules that stay out).
SERVER = ("aiohttp", "kubernetes", "uvloop", "cryptography", "prometheus_client", "asyncio", "ssl")
# What says what is wrong where something is, and describes it.
EXPLAINING = ("pydantic", "pydantic_core", "annotated_types")
LAZY = [
    pytest.param(["--help"], (*SERVER, "pydantic", "yaml", "orjson", "difflib"), id="help"),
    pytest.param(["version"], (*SERVER, "pydantic", "yaml", "orjson"), id="version"),
    pytest.param(
        ["lint", "policies"], (*SERVER, *EXPLAINING, "cel_expr_python", "jsonpatch", "difflib"), id="lint"
    ),
    pytest.param(["explain"], (*SERVER, *EXPLAINING, "cel_expr_python", "jsonpatch"), id="explain"),
    pytest.param(["explain", "no-privileged"], (*SERVER, "cel_expr_python", "jsonpatch"), id="explain one"),
    pytest.param(["schema"], (*SERVER, "cel_expr_python", "jsonpatch"), id="schema"),
    pytest.param(["review", "--policies", "policies", "-f", "POD"], (*SERVER, *EXPLAINING), id="review"),
    pytest.param(["test", "policies/gpu-scheduling"], (*SERVER, *EXPLAINING), id="test"),
]


@pytest.mark.parametrize(("arguments", "unwanted"), LAZY)
def test_command_imports_only_what_it_needs(
    arguments: list[str], unwanted: tuple[str, ...], tmp_path: Path
) -> None:
    pod = tmp_path / "pod.yaml"
    pod.write_text(
        "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, image: 'a:1'}]}}"
    )
    code = (
        "import sys; from webhook.cli.main import main; status = main(sys.argv[1:]); "
        "print(*sys.modules, file=sys.stderr); sys.exit(status == 2)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *(str(pod) if word == "POD" else word for word in arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "webhook" in loaded
    assert sorted(loaded & set(unwanted)) == []


def test_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "webhook", "schema"],
        cwd=REPOSITORY, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_terminal_that_lacks_a_character_stops_nothing(tmp_path: Any) -> None:
    (tmp_path / "ü.yaml").write_text("a: [")
    done = subprocess.run(
        [sys.executable, "-m", "webhook", "lint", str(tmp_path)],
        cwd=REPOSITORY, capture_output=True, timeout=60, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 1
    assert b"\\xfc.yaml:1:5" in done.stdout


class Stream:
    def __init__(self, *, terminal: bool) -> None:
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


COLOURS = [
    pytest.param("auto", True, {}, True, id="terminal"),
    pytest.param("auto", False, {}, False, id="pipe"),
    pytest.param("auto", True, {"NO_COLOR": "1"}, False, id="terminal with NO_COLOR"),
    pytest.param("auto", True, {"NO_COLOR": ""}, True, id="empty NO_COLOR is none"),
    pytest.param("auto", True, {"TERM": "dumb"}, False, id="dumb terminal"),
    pytest.param("always", False, {"NO_COLOR": "1"}, True, id="always"),
    pytest.param("never", True, {}, False, id="never"),
]


@pytest.mark.parametrize(("when", "terminal", "environment", "coloured"), COLOURS)
def test_colours_go_where_they_are_wanted(
    when: str, terminal: bool, environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    style = output.Style.for_stream(Stream(terminal=terminal), when)  # type: ignore[arg-type]  # all that is asked of it
    assert style.red("x") == ("\x1b[31mx\x1b[0m" if coloured else "x")
    assert style.bold("") == ""
