"""The server does what the pages show of it: it starts as they say, and prints and logs what they show."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

from tests.docs.pages import ROOT, blocks

SECONDS = 30

# A pod that the shipped policies refuse.
REVIEW = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "3a2410fa-1664-4707-a670-7395b1b9a9a4",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": "CREATE",
        "namespace": "ml-team",
        "userInfo": {"username": "admin"},
        "object": {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "hello"},
            "spec": {"containers": [{"name": "hello", "image": "nginx:1.29"}]},
        },
    },
}


def _shown(word: str) -> str:
    (block,) = [block for block in blocks(ROOT / "docs" / "operating.md") if word in block.words]
    return block.text.strip()


@pytest.fixture
def printed(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The server that the pages tell people to start, on free ports, and the lines it prints once it is ready."""
    command = [sys.executable, "-m", "webhook", "serve", "--dev"]
    command += ["--port", "0", "--admin-port", "auto", "--drain-delay", "0s"]
    with (
        (tmp_path / "log").open("w", encoding="utf-8") as log,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        lines: Queue[str | None] = Queue()
        threading.Thread(target=_read, args=(process, lines), daemon=True).start()
        try:
            found: list[str] = []
            while not found or "try: " not in found[-1]:
                try:
                    line = lines.get(timeout=SECONDS)
                except Empty:
                    line = None
                assert line is not None, f"it printed {found} and logged {(tmp_path / 'log').read_text()}"
                found.append(line.rstrip())
            yield process, found
        finally:
            process.kill()


def _read(process: subprocess.Popen[str], lines: Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def test_the_development_server_prints_and_logs_what_the_pages_show(
    printed: tuple[subprocess.Popen[str], list[str]], tmp_path: Path
) -> None:
    process, lines = printed
    pattern = re.sub(r"\d+", r"\\d+", re.escape(_shown("ready")))
    assert any(re.fullmatch(pattern, line) for line in lines), lines

    answer = _ask(lines)
    assert answer["response"]["allowed"] is False
    process.terminate()
    assert process.wait(SECONDS) == 0
    logged = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    denied = next(line for line in logged if line["msg"] == "denied")
    shown = json.loads(_shown("log"))
    assert list(denied) == list(shown)
    assert list(denied["findings"][0]) == list(shown["findings"][0])


def _ask(lines: list[str]) -> Any:
    """The answer to the review, asked for as the line that begins with "try:" says."""
    tried = re.search(r"try: curl --cacert (\S+) .*https://127\.0\.0\.1:(\d+)/", lines[-1])
    assert tried is not None, lines
    ca, port = tried.groups()
    context = ssl.create_default_context(cafile=ca)
    connection = http.client.HTTPSConnection("127.0.0.1", int(port), context=context, timeout=SECONDS)
    connection.request("POST", "/validate/enforce", json.dumps(REVIEW), {"Content-Type": "application/json"})
    try:
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()
