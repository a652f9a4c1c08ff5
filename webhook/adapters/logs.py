"""Logs: one line an event on standard error, JSON or text, written by a thread of its own.

What is logged is said in the message and in ``extra={"fields": {...}}``. Objects, and values from them, are
never logged: Secrets pass through here. That is why an exception is shown by its type and the lines it came
through, and its text is not: text often quotes what could not be handled.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Literal, TextIO

import orjson

LogFormat = Literal["json", "text"]

# Lines that wait while standard error does not take any (a full disk, a stopped reader). Further ones are
# dropped and counted: a log must not stop admission.
_WAITING_LIMIT: Final = 10_000

# A line is written at the latest after so long, and lines are written together as far as they wait.
_WRITE_SECONDS: Final = 0.1
_WRITTEN_TOGETHER: Final = 1000

_FRAMES: Final = 12

Line = dict[str, Any]
"""What one line says."""


def json_line(line: Line) -> str:
    """One line of JSON, with its newline."""
    return orjson.dumps(line, default=str).decode() + "\n"


def text_line(line: Line) -> str:
    """One line for people, with its newline; a stack is on lines below it. Takes the line apart."""
    out = io.StringIO()
    out.write(f"{line.pop('time')} {line.pop('level').upper():7} {_plain(line.pop('msg'))}")
    frames = line.pop("stack", ())
    for key, value in line.items():
        out.write(f" {key}={_plain(value)}")
    for frame in frames:
        out.write(f"\n    {_plain(frame)}")
    out.write("\n")
    return out.getvalue()


def line_of(record: logging.LogRecord) -> Line:
    """What a record says, by the names under which it is shown."""
    line = _said(record.created, record.levelno, record.getMessage())
    if not record.name.startswith("gpuward"):
        line["logger"] = record.name
    fields = getattr(record, "fields", None)
    if isinstance(fields, Mapping):
        line.update(fields)
    if record.exc_info and record.exc_info[1] is not None:
        line["error"] = describe(record.exc_info[1])
        line["stack"] = stack(record.exc_info[2])
    return line


def _said(when: float, level: int, message: str) -> Line:
    """How every line begins."""
    second = int(when)
    return {
        "time": f"{_second(second)}.{int((when - second) * 1000):03}Z",
        "level": _level(level),
        "msg": message,
    }


# A few, as not all lines are written in the order of their times.
@lru_cache(maxsize=8)
def _second(when: int) -> str:
    """A time in whole seconds as text, without its zone, which is UTC."""
    return datetime.fromtimestamp(when, UTC).isoformat().removesuffix("+00:00")


@lru_cache(maxsize=64)
def _level(level: int) -> str:
    return logging.getLevelName(level).lower()


def set_up(
    log_format: LogFormat, level: str, stream: TextIO | None = None, *, threaded: bool = True
) -> DirectLogWriter:
    """Send all logs to ``stream`` (standard error by default) from now on.

    ``level`` is for gpuward's own logs; libraries are heard from warning on. Close the writer at the end. Without
    ``threaded``, lines are written where they are logged, for a process that is to fork.
    """
    shown = json_line if log_format == "json" else text_line
    writer = (LogWriter if threaded else DirectLogWriter)(stream or sys.stderr, shown)
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(writer)
    root.setLevel(logging.WARNING)
    # Records would be given their caller's file and line, thread and process, none of which is ever shown. Source: the
    # Python documentation, Logging HOWTO, "Optimization".
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger("gpuward").setLevel(level.upper())
    return writer


class DirectLogWriter(logging.Handler):
    """Writes records where they are logged."""

    def __init__(self, stream: TextIO, shown: Callable[[Line], str] = json_line) -> None:
        super().__init__()
        self._stream: Final = stream
        self._shown: Final = shown
        self.dropped = 0
        """How many lines were lost because they could not be shown or written, or not in time."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; see ``logging.Handler``."""
        try:
            self._take(self._shown(line_of(record)))
        except Exception:  # noqa: BLE001 - what somebody cannot log right must fail neither them nor the log
            self.dropped += 1

    def say(self, level: int, message: str, fields: dict[str, Any]) -> None:
        """Write a line of gpuward's own: what ``Logger.log(level, message, extra={"fields": fields})`` writes where
        the level is enabled. A record, which has some twenty attributes, costs more than all else about a line."""
        try:
            self._take(self._shown(_said(time.time(), level, message) | fields))
        except Exception:  # noqa: BLE001 - as above
            self.dropped += 1

    def _take(self, text: str) -> None:
        if not self._write(text):
            self.dropped += 1

    def _write(self, lines: str) -> bool:
        """Whether the lines could be written; where they cannot, there is nowhere to say so."""
        try:
            self._stream.write(lines)
            self._stream.flush()
        except (OSError, ValueError):
            return False
        return True


class LogWriter(DirectLogWriter):
    """Takes records on any thread at once, and writes them on its own, many together.

    Their text is made at once: it is smaller than what it is made of, and made of many by another thread it would keep
    reviews waiting for milliseconds. Nobody is woken for a line: under load that would cost more than writing it.
    """

    def __init__(self, stream: TextIO, shown: Callable[[Line], str] = json_line) -> None:
        super().__init__(stream, shown)
        self._waiting: Final[deque[str]] = deque()
        self._ended: Final = threading.Event()
        self._told = 0
        self._thread: Final = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def _take(self, text: str) -> None:
        if len(self._waiting) >= _WAITING_LIMIT:
            self.dropped += 1
        else:
            self._waiting.append(text)

    def close(self) -> None:
        """Write what is waiting, for at most a second, and end."""
        self._ended.set()
        self._thread.join(1)
        super().close()

    def _run(self) -> None:
        ended = False
        while not ended:
            # What came before the end was set is still written after it.
            ended = self._ended.wait(_WRITE_SECONDS)
            self._write_waiting()

    def _write_waiting(self) -> None:
        while self._waiting or self.dropped != self._told:
            count = min(len(self._waiting), _WRITTEN_TOGETHER)
            lines = [self._waiting.popleft() for _ in range(count)]
            dropped = self.dropped
            if dropped != self._told:
                said = _said(time.time(), logging.WARNING, "log lines were dropped")
                lines.append(self._shown(said | {"dropped": dropped - self._told}))
            if not self._write("".join(lines)):
                # There may be room again next time.
                self.dropped += count
                return
            self._told = dropped


def _plain(value: Any) -> str:
    """A value on one line: names come from outside and must not look like another line of the log."""
    text = value if type(value) is str else orjson.dumps(value, default=str).decode()
    return text if text.isprintable() else orjson.dumps(text).decode()


def describe(error: BaseException) -> str:
    """The types of an exception and of those it came from, without their texts."""
    names: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(names) < 5:
        names.append(type(seen).__name__)
        seen = seen.__cause__ or seen.__context__
    return " from ".join(names)


def stack(trace: TracebackType | None) -> list[str]:
    """The lines an exception came through, the innermost last."""
    return [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)[-_FRAMES:]
    ]
