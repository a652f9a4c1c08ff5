"""Log lines: one a record, machine-readable, without anything from objects, and never in anybody's way."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from webhook.adapters import logs

SECRET = "hunter2-hunter2"


def record(
    message: str, level: int = logging.INFO, name: str = "gpuward.test", **fields: Any
) -> logging.LogRecord:
    made = logging.LogRecord(name, level, __file__, 1, message, None, None)
    made.fields = fields
    return made


def failed(error: Callable[[], None]) -> logging.LogRecord:
    try:
        error()
    except Exception:  # noqa: BLE001  # whatever the test raises
        return logging.LogRecord(
            "gpuward.test", logging.ERROR, __file__, 1, "it failed", None, sys.exc_info()
        )
    raise AssertionError("nothing was raised")


def render_json(made: logging.LogRecord) -> str:
    return logs.json_line(logs.line_of(made))


def render_text(made: logging.LogRecord) -> str:
    return logs.text_line(logs.line_of(made))


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The logging of the test run itself is as before afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("gpuward")
    before = (list(root.handlers), root.level, ours.level)
    for name in ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, getattr(logging, name))
    yield
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)


def test_a_json_line_has_time_level_message_and_fields() -> None:
    made = record("denied", uid="u-1", findings=[{"path": "spec"}])
    made.created = 1_700_000_000.1234
    line = render_json(made)
    assert line.endswith("}\n")
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.123Z",
        "level": "info",
        "msg": "denied",
        "uid": "u-1",
        "findings": [{"path": "spec"}],
    }


def test_a_library_is_named() -> None:
    assert json.loads(render_json(record("hello", name="asyncio")))["logger"] == "asyncio"


def test_a_text_line_is_one_line_whatever_names_hold() -> None:
    line = render_text(record("denied", name_="a\n2026-01-01 INFO allowed", user="ada"))
    assert line.count("\n") == 1
    assert line.endswith(' name_="a\\n2026-01-01 INFO allowed" user=ada\n')


@pytest.mark.parametrize("render", [render_json, render_text])
def test_an_exception_shows_where_and_what_but_not_its_text(
    render: Callable[[logging.LogRecord], str],
) -> None:
    def fail() -> None:
        try:
            {}[SECRET]
        except KeyError as error:
            raise ValueError(f"cannot use {SECRET}") from error

    line = render(failed(fail))
    assert SECRET not in line
    assert "ValueError from KeyError" in line
    assert "test_logs.py" in line
    assert "fail" in line


def test_what_json_does_not_know_is_written_as_text() -> None:
    assert json.loads(render_json(record("x", value={1, 2}.__class__)))["value"] == "<class 'set'>"


def test_set_up_sends_our_logs_from_the_level_on_and_libraries_from_warning_on() -> None:
    out = io.StringIO()
    writer = logs.set_up("json", "info", out)
    logging.getLogger("gpuward.admission").info("ours")
    logging.getLogger("gpuward.admission").debug("too fine")
    logging.getLogger("aiohttp.server").info("chatter")
    logging.getLogger("aiohttp.server").warning("theirs")
    writer.close()
    assert [json.loads(line)["msg"] for line in out.getvalue().splitlines()] == ["ours", "theirs"]


def test_lines_keep_their_order_and_none_is_lost_at_the_end() -> None:
    out = io.StringIO()
    writer = logs.LogWriter(out)
    for number in range(1000):
        writer.emit(record(str(number)))
    writer.close()
    assert [json.loads(line)["msg"] for line in out.getvalue().splitlines()] == [str(n) for n in range(1000)]


class Stuck(io.StringIO):
    """A stream that takes nothing until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def write(self, text: str) -> int:
        assert self.released.wait(20)
        return super().write(text)


def test_a_stream_that_takes_nothing_stops_nobody_and_what_is_lost_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "_WAITING_LIMIT", 10)
    out = Stuck()
    writer = logs.LogWriter(out)
    began = time.monotonic()
    for number in range(100):
        writer.emit(record(str(number)))
    assert time.monotonic() - began < 5
    assert writer.dropped >= 85
    out.released.set()
    writer.close()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert lines[0]["msg"] == "0"
    assert {"log lines were dropped": writer.dropped} in [
        {line["msg"]: line.get("dropped")} for line in lines
    ]


class Full(io.StringIO):
    """A stream on a full disk, until there is room again."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


@pytest.mark.parametrize("threaded", [True, False])
def test_a_record_that_cannot_be_shown_is_counted_and_those_behind_it_are_written(threaded: bool) -> None:
    stream = io.StringIO()
    writer = logs.set_up("json", "info", stream, threaded=threaded)
    logging.getLogger("library").warning("%d connections", "many")
    logging.getLogger("gpuward.test").info("denied")
    writer.close()
    assert writer.dropped == 1
    assert "denied" in [json.loads(line)["msg"] for line in stream.getvalue().splitlines()]


def test_what_is_said_is_what_would_have_been_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.5)
    stream = io.StringIO()
    writer = logs.set_up("text", "info", stream, threaded=False)
    fields = {"name": "a\nb", "findings": [{"path": "spec"}]}
    logging.getLogger("gpuward.test").warning("denied", extra={"fields": fields})
    writer.say(logging.WARNING, "denied", fields)
    writer.say(logging.WARNING, "denied", {"odd": float})
    writer.close()
    logged, said, _odd = stream.getvalue().splitlines()
    assert logged == said == '2023-11-14T22:13:20.500Z WARNING denied name="a\\nb" findings=[{"path":"spec"}]'


def test_a_full_disk_loses_lines_and_nothing_else() -> None:
    out = Full()
    writer = logs.LogWriter(out)
    writer.emit(record("lost"))
    deadline = time.monotonic() + 10
    while not writer.dropped and time.monotonic() < deadline:
        time.sleep(0.01)
    out.full = False
    writer.emit(record("written"))
    writer.close()
    messages = [json.loads(line)["msg"] for line in out.getvalue().splitlines()]
    assert messages == ["written", "log lines were dropped"]
    assert writer.dropped == 1
