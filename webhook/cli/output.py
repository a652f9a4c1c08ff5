"""What the commands share towards the terminal: exit statuses and a few colours.

The colours are done here, in a page, because every command waits for its imports: a library for them takes as
long to load as a review takes to run.
"""

from __future__ import annotations

import argparse
import os
from typing import Final, TextIO

# Exit statuses of every command.
CLEAN: Final = 0
VIOLATIONS: Final = 1
COULD_NOT_RUN: Final = 2
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE


def add_color_argument(parser: argparse.ArgumentParser) -> None:
    """``--color``; its value is for ``Style.for_stream``."""
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colours: auto (on a terminal, unless NO_COLOR is set), always or never",
    )


class Style:
    """Paints text, or leaves it alone where colours are off."""

    __slots__ = ("_on",)

    def __init__(self, *, on: bool) -> None:
        self._on = on

    @classmethod
    def for_stream(cls, stream: TextIO, when: str) -> Style:
        """The style for a stream; ``when`` is the value of ``--color``.

        ``auto`` follows https://no-color.org: a variable NO_COLOR that is not empty switches colours off.
        """
        if when == "auto":
            wanted = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
            return cls(on=wanted)
        return cls(on=when == "always")

    def bold(self, text: str) -> str:
        return self._paint("1", text)

    def dim(self, text: str) -> str:
        return self._paint("2", text)

    def red(self, text: str) -> str:
        return self._paint("31", text)

    def green(self, text: str) -> str:
        return self._paint("32", text)

    def yellow(self, text: str) -> str:
        return self._paint("33", text)

    def cyan(self, text: str) -> str:
        return self._paint("36", text)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._on and text else text
