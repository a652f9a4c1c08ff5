"""Building the control plane: once, whole or not at all, and under a name that says what is in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from . import build

# Stands in for the Go toolchain: notes every compilation, and takes long enough for two builds to meet.
FAKE_GO = """\
#!/bin/sh
case "$1" in
env) echo '{"GOVERSION": "go1.99.0", "GOOS": "linux", "GOARCH": "amd64"}' ;;
list) echo one two three ;;
build)
    echo compiled >> "$FAKE_GO_LOG"
    sleep 1
    [ -z "$FAKE_GO_FAILS" ] || { echo 'main.go:1: no such thing' >&2; exit 1; }
    while [ "$1" != -o ]; do shift; done
    echo binary > "$2"
    ;;
esac
"""


@pytest.fixture
def fake_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with that toolchain and an empty cache. Gives the log of its compilations."""
    programs = tmp_path / "bin"
    programs.mkdir()
    go = programs / "go"
    go.write_text(FAKE_GO)
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GPUWARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FAKE_GO_LOG", str(tmp_path / "compilations"))
    return tmp_path / "compilations"


def test_two_builds_at_once_compile_once(fake_go: Path) -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, build.__file__], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for _ in range(2)
    ]
    folders = [run.communicate(timeout=60)[0].strip() for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert folders[0] == folders[1]
    assert fake_go.read_text() == "compiled\n"
    assert {path.name for path in Path(folders[0]).iterdir()} == {build.BINARY, *build.PROGRAMS}


def test_build_that_fails_says_why_and_leaves_nothing(fake_go: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_GO_FAILS", "1")
    with pytest.raises(build.BuildError, match="no such thing"):
        build.build(lambda line: None)
    assert build.find() is None
    assert [path.name for path in (build.cache_folder() / "controlplane").iterdir() if path.is_dir()] == []


def test_leftovers_of_a_killed_build_are_swept_by_the_next(fake_go: Path) -> None:
    whole = build.build(lambda line: None)
    leftover = whole.with_name(whole.name + ".tmp-1")
    whole.rename(leftover)
    assert build.find() is None
    assert build.build(lambda line: None) == whole
    assert not leftover.exists()


def test_finished_build_is_found_without_go(fake_go: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build.build(lambda line: None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert build.find() == folder


def test_build_without_go_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("GPUWARD_CACHE", str(tmp_path))
    with pytest.raises(build.BuildError, match=r"install Go \(https://go\.dev"):
        build.build(lambda line: None)


@pytest.mark.parametrize("changed", ["main.go", "go.mod", "go.sum"])
def test_name_changes_with_the_source(
    fake_go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    before = build.build(lambda line: None)
    copy = tmp_path / "source"
    shutil.copytree(build.SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(build, "SOURCE", copy)
    assert build.find() == before
    with (copy / changed).open("a") as file:
        file.write("// changed\n")
    assert build.find() is None


@pytest.mark.parametrize("version", ["1.36.3", "v1.36", "latest", "v2.0.0", "v1.36.3-rc.1"])
def test_regenerate_takes_releases_only(version: str) -> None:
    with pytest.raises(build.BuildError, match="is no Kubernetes release"):
        build.regenerate(version)
