"""The documentation as the tests read it: pages, their headings, links and fenced blocks.

A fenced block may carry words after its language. ``sh run`` is run by the tests, ``exit=1`` is the status
it must end with, ``needs=PROGRAM`` what a machine may lack. ``text output`` is what the block before it
prints; a line ``...`` stands for any lines. ``yaml file=NAME`` is written to that file before the blocks
after it are run; ``broken`` says that it is meant to be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

_FENCE: Final = re.compile(r"^(?P<indent> *)(?P<fence>`{3,})(?P<info>[^`]*)$")
_HEADING: Final = re.compile(r"^#{1,6} +(?P<title>.+?) *$")
_LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
# The text of a link may be code: only what is no link's text is taken out.
_CODE: Final = re.compile(r"(?<!\[)`[^`\n]+`")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it starts (line from 1), its language, the words behind it, its text."""

    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str = field(repr=False)

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def option(self, name: str) -> str | None:
        """The value of a word ``name=value``."""
        return next((word.partition("=")[2] for word in self.words if word.startswith(f"{name}=")), None)


def pages() -> list[Path]:
    """Every page of the documentation."""
    return [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted(
        (ROOT / "docs").rglob("*.md")
    )


def page_id(page: Path) -> str:
    """A page's name in test ids."""
    return str(page.relative_to(ROOT))


def read(name: str) -> str:
    """The text of a page, named from the repository's root."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        number += 1
        if opening is None:
            continue
        first = number
        while lines[number].strip() != opening["fence"]:
            number += 1
        language, *words = opening["info"].split() or [""]
        indent = len(opening["indent"])
        text = "".join(f"{line[indent:]}\n" for line in lines[first:number])
        yield Block(page, first, language, tuple(words), text)
        number += 1


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    kept: list[str] = []
    fence = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        opening = _FENCE.match(line)
        if fence:
            fence = "" if line.strip() == fence else fence
        elif opening is not None:
            fence = opening["fence"]
        else:
            kept.append(line)
    return "\n".join(kept)


def links(page: Path) -> list[str]:
    """The targets of a page's links; what stands in code marks is none."""
    text = _CODE.sub("", prose(page))
    return [match["target"] for match in _LINK.finditer(text)]


def anchors(page: Path) -> set[str]:
    """The fragments that links to a page may have: its headings, as GitHub names them."""
    titles = [match["title"] for line in prose(page).splitlines() if (match := _HEADING.match(line))]
    return {re.sub(r"[^\w\- ]", "", title.replace("`", "").lower()).replace(" ", "-") for title in titles}
