"""What the pages tell people to type works, and prints what the pages say."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.command_line import parser_of
from tests.docs.pages import ROOT, Block, blocks, page_id, pages
from webhook.cli.main import COMMANDS

RUNNABLE = [page for page in pages() if any("run" in block.words for block in blocks(page))]

_SECONDS = 60


@pytest.mark.parametrize("page", RUNNABLE, ids=page_id)
def test_runnable_blocks_do_what_the_page_says(page: Path, tmp_path: Path) -> None:
    """A page is one session: its files and commands in their order, in an empty folder."""
    desk, environment = tmp_path / "desk", _environment(tmp_path)
    desk.mkdir()
    printed: str | None = None
    for block in blocks(page):
        name = block.option("file")
        if name is not None:
            file = desk / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        elif "run" in block.words:
            needed = block.option("needs")
            if needed is not None and shutil.which(needed) is None:
                pytest.skip(f"{block.where}: the rest of the page needs {needed}")
            printed = _run(block, desk, environment)
        elif "output" in block.words:
            assert printed is not None, f"{block.where}: the output of nothing"
            expected = block.text
            assert _fits(expected, printed), f"{block.where}: expected\n{expected}\nprinted\n{printed}"


def _environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``gpuward`` is this checkout."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "gpuward"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m webhook "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "100",
    }


def _run(block: Block, desk: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=desk,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    expected = int(block.option("exit") or 0)
    assert done.returncode == expected, f"{block.where}: ended with {done.returncode}\n{done.stdout}"
    return done.stdout


def _fits(expected: str, printed: str) -> bool:
    """Whether what was printed is what the page shows; a line ``...`` stands for any lines."""
    pattern = "".join(
        "(?:.*\n)*?" if line == "...\n" else f"{re.escape(line.rstrip())}[ ]*\n"
        for line in expected.splitlines(keepends=True)
    )
    return re.fullmatch(pattern, printed) is not None


@pytest.mark.parametrize(
    ("expected", "printed", "fits"),
    [
        ("one\n", "one\n", True),
        ("one\n", "two\n", False),
        ("one\n", "one\ntwo\n", False),
        ("one\n...\n", "one\ntwo\nthree\n", True),
        ("one\n...\nthree\n", "one\ntwo\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_what_is_shown_is_compared_as_text(expected: str, printed: str, fits: bool) -> None:
    assert _fits(expected, printed) is fits


def _gpuward_lines() -> Iterator[tuple[str, list[str]]]:
    for page in pages():
        for block in blocks(page):
            if block.language == "sh":
                for line in block.text.replace("\\\n", " ").splitlines():
                    yield from ((block.where, words) for words in _gpuward_calls(line))


def _gpuward_calls(line: str) -> Iterator[list[str]]:
    """The words behind each ``gpuward`` in a line of shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    command: list[str] = []
    for word in (*lexer, ";"):
        if not set(word) <= set("|&;<>"):
            command.append(word)
            continue
        if command and command[0].rpartition("/")[2] == "gpuward":
            yield command[1:]
        command = []


def test_every_command_line_on_a_page_is_one_that_gpuward_understands() -> None:
    names = [command.name for command in COMMANDS]
    calls = list(_gpuward_lines())
    assert calls
    for where, words in calls:
        assert words, f"{where}: gpuward without a command"
        if words[0].startswith("-"):
            assert words[0] in ("--version", "--help"), where
            continue
        assert words[0] in names, f"{where}: gpuward has no command {words[0]}"
        try:
            parser_of(words[0]).parse_args(words[1:])
        except SystemExit as end:
            pytest.fail(f"{where}: gpuward {shlex.join(words)} is refused ({end.code})")


def test_every_make_target_on_a_page_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for page in pages():
        written = page.read_text(encoding="utf-8")
        named = set(re.findall(r"`make ([a-z]+)", written))
        for block in blocks(page):
            if block.language == "sh":
                named |= set(re.findall(r"^make ([a-z]+)", block.text, re.MULTILINE))
        assert named <= targets, f"{page_id(page)} names make targets that do not exist"
