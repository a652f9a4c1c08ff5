"""Finding where in a text something is, after the fact.

Positions are wanted for mistakes, and most documents have none. So the text is read again when the first
position is asked for, and nobody else pays.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from webhook.adapters.yaml_events import RefusedError, events, scalar_of
from webhook.adapters.yaml_scalars import key_text
from webhook.kube.path import Path

# The anchor and the tag before a node.
_PROPERTIES: Final = re.compile(r"(?:[&!]\S*\s+)*")

# Merge keys refer to one another in turn; more than this is a circle.
_MOST_MERGES: Final = 64


class Locator:
    """The positions in one document.

    ``number`` is which document of the text it is, from 0. Lines and columns are counted from 0 and from the
    start of the text.
    """

    def __init__(self, text: str, number: int = 0) -> None:
        self._text = text
        self._events: list[Any] = []
        # For each event the index of the one after its node, and where anchors are.
        self._after: dict[int, int] = {}
        self._anchors: dict[str, int] = {}
        self._read(number)

    def _read(self, number: int) -> None:
        open_at: list[int] = []
        current = -1
        try:
            for event in events(self._text):
                if isinstance(event, DocumentStartEvent):
                    current += 1
                elif current == number:
                    if isinstance(event, DocumentEndEvent):
                        return
                    at = len(self._events)
                    self._events.append(event)
                    if isinstance(event, CollectionStartEvent):
                        open_at.append(at)
                    elif isinstance(event, CollectionEndEvent):
                        self._after[open_at.pop()] = at + 1
                    if isinstance(event, NodeEvent) and not isinstance(event, AliasEvent) and event.anchor:
                        self._anchors[event.anchor] = at
        except (yaml.YAMLError, ValueError):
            # The text is broken further on (or is JSON that YAML does not read): what was read is good.
            for at in open_at:
                self._after[at] = len(self._events)

    def locate(
        self, path: Path, *, on_key: bool = False, offset: tuple[int, int] | None = None
    ) -> tuple[int, int]:
        """The line and column of the value at ``path``, or of its key.

        Where the document does not go that far, the key of what is nearest above. ``offset`` is a line and
        column (from 1) inside the text of the scalar there.
        """
        if not self._events:
            return 0, 0
        at, key_at = 0, 0
        for segment in path:
            found = self._child(at, segment)
            if found is None:
                return self._mark(key_at)
            key_at, at = found
        if on_key:
            return self._mark(key_at)
        event = self._events[self._real(at)]
        if offset is not None and isinstance(event, ScalarEvent):
            return self._within(event, offset)
        return self._mark(at)

    def _mark(self, at: int) -> tuple[int, int]:
        mark = self._events[at].start_mark
        return mark.line, mark.column

    def _real(self, at: int) -> int:
        """The node an alias stands for."""
        event = self._events[at]
        return self._anchors.get(event.anchor or "", at) if isinstance(event, AliasEvent) else at

    def _next(self, at: int) -> int:
        return self._after.get(at, at + 1)

    def _child(self, at: int, segment: str | int, merges: int = 0) -> tuple[int, int] | None:
        """The events of the key and of the value under ``segment``; for a list's entry both are the entry."""
        at = self._real(at)
        event = self._events[at]
        if isinstance(event, SequenceStartEvent) and isinstance(segment, int):
            for i, entry in enumerate(self._entries(at)):
                if i == segment:
                    return entry, entry
        elif isinstance(event, MappingStartEvent) and isinstance(segment, str):
            merged = []
            entries = self._entries(at)
            for key, value in zip(entries[::2], entries[1::2], strict=False):
                name = self._key(key)
                if name == segment:
                    return key, value
                if name == "<<":
                    merged.append(value)
            if merges < _MOST_MERGES:
                for value in merged:
                    found = self._merged(value, segment, merges + 1)
                    if found is not None:
                        return found
        return None

    def _merged(self, at: int, segment: str, merges: int) -> tuple[int, int] | None:
        at = self._real(at)
        sources = self._entries(at) if isinstance(self._events[at], SequenceStartEvent) else [at]
        for source in sources:
            found = self._child(source, segment, merges)
            if found is not None:
                return found
        return None

    def _entries(self, at: int) -> list[int]:
        """The nodes directly inside a collection: a list's entries, a map's keys and values in turn."""
        entries = []
        inside = at + 1
        while inside < len(self._events) and not isinstance(self._events[inside], CollectionEndEvent):
            entries.append(inside)
            inside = self._next(inside)
        return entries

    def _key(self, at: int) -> str | None:
        event = self._events[self._real(at)]
        if not isinstance(event, ScalarEvent):
            return None
        try:
            return key_text(scalar_of(event))
        except RefusedError:
            return None

    def _within(self, event: Any, offset: tuple[int, int]) -> tuple[int, int]:
        """A place inside a scalar's text.

        YAML folds lines and takes indentation off, but it keeps every visible character, in order. So the
        place is found by counting those.
        """
        lines = event.value.split("\n")
        line = min(offset[0], len(lines)) - 1
        before = "".join(lines[:line]) + lines[line][: offset[1] - 1]
        wanted = sum(not character.isspace() for character in before)
        start, end = event.start_mark.index, event.end_mark.index
        content = self._content_start(event, start)
        at = _skip(self._text, content, end, wanted, event.style or "")
        newline = self._text.rfind("\n", 0, at)
        return self._text.count("\n", 0, at), at - newline - 1

    def _content_start(self, event: Any, start: int) -> int:
        """Where a scalar's own characters start, after its anchor, tag, quote or block header."""
        if match := _PROPERTIES.match(self._text, start):
            start = match.end()
        if event.style in ("|", ">"):
            return self._text.find("\n", start) + 1
        return start + 1 if event.style in ("'", '"') else start


def _skip(text: str, at: int, end: int, wanted: int, style: str) -> int:
    """The index of the visible character of a scalar's source that ``wanted`` others come before."""
    while at < end:
        character = text[at]
        if character.isspace():
            at += 1
            continue
        width = 1
        visible = True
        if style == "'" and text.startswith("''", at):
            width = 2
        elif style == '"' and character == "\\":
            width, visible = _escape(text, at)
        if visible:
            if wanted == 0:
                return at
            wanted -= 1
        at += width
    return end


# The escapes of double-quoted scalars: those that stand for white space, and those with hexadecimal digits.
_SPACES: Final = frozenset("tnvfr \tNLP_\n")
_HEX_DIGITS: Final = {"x": 2, "u": 4, "U": 8}


def _escape(text: str, at: int) -> tuple[int, bool]:
    """How long an escape is, and whether it stands for a visible character."""
    letter = text[at + 1 : at + 2]
    digits = _HEX_DIGITS.get(letter, 0)
    if digits:
        code = int(text[at + 2 : at + 2 + digits], 16)
        return 2 + digits, not chr(code).isspace()
    return 2, letter not in _SPACES
