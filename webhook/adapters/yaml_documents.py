"""Reading YAML and JSON text into plain JSON data, as kubectl does, strictly.

Built on YAML events rather than on PyYAML's loaders: those know other booleans and timestamps than kubectl,
let duplicate keys pass, recurse, expand aliases without bound and are slower.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Any, Final

import orjson
import yaml
from msgspec import Struct
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from webhook.adapters.json_documents import Fault, read_json
from webhook.adapters.yaml_events import RefusedError, check_collection_tag, events, scalar_of
from webhook.adapters.yaml_positions import Locator
from webhook.adapters.yaml_scalars import key_text
from webhook.kube.path import Path

# What files of such documents are called.
SUFFIXES: Final = (".yaml", ".yml", ".json")

# Collections inside one another. orjson writes 254 and pydantic reads 200 of them; a pod has ten.
MAX_DEPTH: Final = 128

# What aliases may add to a text, in characters: what an API server accepts as one request, and in proportion
# to it.
_EXPANSION: Final = 3_000_000
_EXPANSION_RATIO: Final = 10


class DocumentError(Struct, frozen=True):
    """A document that cannot be read: where (line and column from 1) and why."""

    source: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}: {self.message}"


class Document(Struct):
    """One document: plain JSON data, and where it stands.

    ``source`` is the name of the text, ``index`` counts its documents from 0, ``line`` is where it starts,
    from 1.
    """

    source: str
    index: int
    line: int
    data: Any
    # The part of the text this is in, the line that part starts at (from 0), which document of the part it
    # is.
    _text: str = ""
    _first: int = 0
    _number: int = 0
    _locator: Locator | None = None

    def locate(
        self, path: Path, on_key: bool = False, offset: tuple[int, int] | None = None
    ) -> tuple[int, int]:
        """The line and column (from 1) of the value at ``path``, or of its key.

        Of what is nearest above it where the document has no such path. ``offset`` is a line and column (from
        1) within the text at ``path``, such as a CEL expression. Documents read without positions know their
        first line only.
        """
        if not self._text:
            return self.line, 1
        if self._locator is None:
            self._locator = Locator(self._text, self._number)
        line, column = self._locator.locate(path, on_key=on_key, offset=offset)
        return self._first + line + 1, column + 1


def read_documents(
    text: bytes, source: str, *, positions: bool = False
) -> Iterator[Document | DocumentError]:
    """The documents of a YAML or JSON text, in order; empty ones are left out.

    A document that cannot be read is an error in its place, and reading goes on at the next ``---``. Nothing
    is raised. ``positions`` keeps the text, so that ``Document.locate`` can answer.
    """
    try:
        content = _decode(text)
    except UnicodeDecodeError as error:
        yield DocumentError(source, 1, 1, f"the text is no {error.encoding}: {error.reason}")
        return
    reader = _Reader(source, _EXPANSION + _EXPANSION_RATIO * len(content), keep_text=positions)
    for chunk, first in _chunks(content):
        yield from reader.read(chunk, first)


def _decode(text: bytes) -> str:
    """The characters of a text. Bytes that are no UTF-8 become lone surrogates, which are refused later.

    Raises:
        UnicodeDecodeError: the byte order mark promises UTF-16, and it is none.
    """
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return text.decode("utf-16")
    return text.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


# --- documents within a text -----------------------------------------------------------------------------

_SEPARATOR: Final = re.compile(r"^---(?=\s|\Z)", re.MULTILINE)


def _chunks(content: str) -> Iterator[tuple[str, int]]:
    """The text cut before each ``---``, and the line (from 0) each part starts at.

    kubectl cuts in the same way, before it parses: so one broken document does not take the others with it.
    """
    start = line = 0
    for match in _SEPARATOR.finditer(content):
        end = _before_directives(content, start, match.start())
        if end > start:
            yield content[start:end], line
            line += content.count("\n", start, end)
            start = end
    yield content[start:], line


def _before_directives(content: str, start: int, end: int) -> int:
    """The end of a part, less the directives (``%YAML 1.2``) of the document that follows."""
    at = end
    directives = end
    while at > start:
        begin = content.rfind("\n", start, at - 1) + 1 or start
        line = content[begin:at].strip()
        if line.startswith("%"):
            directives = begin
        elif line and not line.startswith("#"):
            # Directives may only follow the start of the text or an explicit end of the document before.
            return directives if line == "..." else end
        at = begin
    return directives


class _Reader:
    """Reads the parts of one text."""

    def __init__(self, source: str, budget: int, *, keep_text: bool) -> None:
        self.source = source
        self.keep_text = keep_text
        self.index = 0
        self.budget = budget

    def read(self, chunk: str, first: int) -> Iterator[Document | DocumentError]:
        """The documents of one part of the text, which starts at the line ``first`` (from 0)."""
        unprintable = _UNPRINTABLE.search(chunk)
        if unprintable:
            at = unprintable.start()
            line, column = first + chunk.count("\n", 0, at), _column(chunk, at)
            yield self._error(line + 1, column + 1, _why_unprintable(unprintable[0]))
            return
        body = chunk.removeprefix("---").lstrip()
        if body[:1] in ("{", "["):
            documents = self._json(chunk, len(chunk) - len(body), first)
            if documents is not None:
                yield from documents
                return
        yield from self._yaml(chunk, first)

    def _json(self, chunk: str, start: int, first: int) -> list[Document | DocumentError] | None:
        """The documents of a part that is JSON, one after another as kubectl accepts them.

        None where it is no JSON.
        """
        found = read_json(chunk, start, MAX_DEPTH)
        if found is None:
            return None
        documents: list[Document | DocumentError] = []
        # The line (from 0) that the index `counted` is on. Counted on, so that many documents cost no more
        # than one.
        line = counted = 0
        for start, end, data in found:
            line += chunk.count("\n", counted, start)
            counted = start
            if isinstance(data, Fault):
                below, column = line + chunk.count("\n", start, data.at), _column(chunk, data.at)
                documents.append(self._error(first + below + 1, column + 1, data.message))
            elif data is not None:
                # For the locator the document starts where it stands in its line; YAML knows no surrogate
                # pairs.
                text = ""
                if self.keep_text:
                    text = " " * _column(chunk, start) + _SURROGATE.sub(r"\\u0041", chunk[start:end])
                documents.append(self._document(data, first + line + 1, text, first + line, 0))
        return documents

    def _yaml(self, chunk: str, first: int) -> Iterator[Document | DocumentError]:
        stream = events(chunk)
        number = -1
        try:
            for event in stream:
                if isinstance(event, DocumentStartEvent):
                    number += 1
                    builder = _Builder(first, self.budget)
                    data = builder.build(stream)
                    self.budget = builder.budget
                    if data is not None:
                        line = first + builder.line + 1
                        yield self._document(data, line, chunk if self.keep_text else "", first, number)
        except RefusedError as error:
            yield self._broken(chunk, first, error.mark, str(error))
        except yaml.MarkedYAMLError as error:
            yield self._broken(chunk, first, error.problem_mark or error.context_mark, _why_no_yaml(error))
        except (yaml.YAMLError, ValueError) as error:
            yield self._error(first + 1, 1, f"no YAML: {' '.join(str(error).split())}")

    def _broken(self, chunk: str, first: int, mark: Any, message: str) -> DocumentError:
        lines = chunk.rstrip().split("\n")
        line, column = mark.line, mark.column
        if line >= len(lines):
            # What is missing at the end is missing after the last word, not in the empty lines below it.
            line, column = len(lines) - 1, len(lines[-1])
        written = lines[line]
        if "{{" in written:
            message = f"this looks like a template; render it first, as `helm template` does ({message})"
        elif message == _CANNOT_START:
            message = _why_no_token(written[column : column + 1])
        return self._error(first + line + 1, column + 1, message)

    def _document(self, data: Any, line: int, text: str, first: int, number: int) -> Document:
        self.index += 1
        return Document(self.source, self.index - 1, line, data, text, first, number)

    def _error(self, line: int, column: int, message: str) -> DocumentError:
        self.index += 1
        return DocumentError(self.source, line, column, message)


# --- why not ---------------------------------------------------------------------------------------------

# Everything but what YAML 1.1 calls printable. Lone surrogates stand for bytes that are no UTF-8.
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def _why_unprintable(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"the byte 0x{ord(character) - 0xDC00:02x} here is no UTF-8"
    return f"the character U+{ord(character):04X} is not allowed; write it as an escape in double quotes"


# What the parser says, and what its reader can do about it.
_CANNOT_START: Final = "found character that cannot start any token"
_HINTS: Final = {
    _CANNOT_START: _CANNOT_START,
    "mapping values are not allowed in this context": (
        "a key is not allowed here: either the line is indented wrongly, or text with ': ' in it needs quotes"
    ),
    "block sequence entries are not allowed in this context": (
        "an entry '- ' is not allowed here; it goes on a line of its own"
    ),
    "did not find expected key": "a key was expected here: is the line indented like those above?",
    "did not find expected '-' indicator": (
        "an entry '- ' was expected here: is the line indented like those above?"
    ),
    "did not find expected ',' or '}'": "a ',' or '}' was expected here",
    "did not find expected ',' or ']'": "a ',' or ']' was expected here",
    "did not find expected node content": "a value was expected here",
    "did not find expected <document start>": (
        "this does not belong to the document above; is it indented wrongly?"
    ),
    "could not find expected ':'": "a key needs ': ' after it; text over several lines needs quotes or '|'",
    "found unexpected end of stream": "a quote, bracket or brace is not closed",
}


def _why_no_yaml(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "no YAML"
    return _HINTS.get(problem, problem if error.context is None else f"{problem} {error.context}")


def _why_no_token(character: str) -> str:
    if character == "\t":
        return "a tab cannot indent; use spaces"
    return f"text cannot start with {character} here; put it in quotes"


def _column(text: str, at: int) -> int:
    """The column, from 0, of an index in a text."""
    return at - text.rfind("\n", 0, at) - 1


# --- one document ----------------------------------------------------------------------------------------

_NO_KEY: Final = object()
_MERGE: Final = object()


class _Node:
    """A value under construction or done, with its size in characters and its height in collections."""

    __slots__ = ("anchor", "height", "key", "lines", "merge_at", "merges", "size", "value")

    def __init__(self, value: Any, anchor: str | None, size: int, height: int) -> None:
        self.value = value
        self.anchor = anchor
        self.size = size
        self.height = height
        # Of maps: the key whose value comes next, the line of each key, what `<<` merges.
        self.key: Any = _NO_KEY
        self.lines: dict[str, int] = {}
        self.merges: list[dict[str, Any]] = []
        self.merge_at: Any = None

    @property
    def wants_key(self) -> bool:
        return self.key is _NO_KEY and type(self.value) is dict


class _Builder:
    """Builds one document from its events, without recursion.

    ``first`` is the line (from 0) at which the events' line 0 is, ``budget`` what aliases may still add.
    """

    def __init__(self, first: int, budget: int) -> None:
        self.budget = budget
        self.line = 0
        self._first = first
        self._stack: list[_Node] = []
        self._anchors: dict[str, _Node | None] = {}
        self._root: Any = None

    def build(self, stream: Iterator[Any]) -> Any:
        """The document whose start has just been read from the stream.

        Raises:
            RefusedError: it is YAML, but not what kubectl takes.
            yaml.YAMLError: it is no YAML.
        """
        first_event = True
        for event in stream:
            if first_event:
                self.line = event.start_mark.line
                first_event = False
            if isinstance(event, ScalarEvent):
                self._scalar(event)
            elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
                self._close()
            elif isinstance(event, (MappingStartEvent, SequenceStartEvent)):
                self._open(event)
            elif isinstance(event, AliasEvent):
                self._alias(event)
            elif isinstance(event, DocumentEndEvent):
                break
        return self._root

    def _scalar(self, event: Any) -> None:
        node = _Node(scalar_of(event), event.anchor, len(event.value) + 1, 0)
        if event.anchor:
            self._anchors[event.anchor] = node
        parent = self._stack[-1] if self._stack else None
        if parent is None or not parent.wants_key:
            self._add(node)
        elif event.value == "<<" and event.implicit[0]:
            parent.key = _MERGE
            parent.merge_at = event.start_mark
        else:
            self._set_key(parent, node, event.start_mark)

    def _set_key(self, parent: _Node, node: _Node, mark: Any) -> None:
        key = key_text(node.value)
        if key is None:
            raise RefusedError("a key must not be null; put it in quotes if it is text", mark)
        line = self._first + mark.line + 1
        first = parent.lines.setdefault(key, line)
        if key in parent.value:
            where = "on this line" if first == line else f"on line {first}"
            raise RefusedError(f'the key "{key[:60]}" is here twice; the first is {where}', mark)
        parent.key = key
        parent.size += node.size

    def _open(self, event: Any) -> None:
        is_map = isinstance(event, MappingStartEvent)
        check_collection_tag(event, "map" if is_map else "seq")
        if self._stack and self._stack[-1].wants_key:
            raise RefusedError(f"a key must be text, not {'a map' if is_map else 'a list'}", event.start_mark)
        if len(self._stack) >= MAX_DEPTH:
            raise RefusedError(f"nested more than {MAX_DEPTH} levels deep", event.start_mark)
        if event.anchor:
            # None until it is complete: what is inside cannot refer to it.
            self._anchors[event.anchor] = None
        self._stack.append(_Node({} if is_map else [], event.anchor, 1, 1))

    def _close(self) -> None:
        node = self._stack.pop()
        for merged in node.merges:
            for key, value in merged.items():
                node.value.setdefault(key, value)
        if node.anchor:
            self._anchors[node.anchor] = node
        self._add(node)

    def _alias(self, event: Any) -> None:
        mark = event.start_mark
        if event.anchor not in self._anchors:
            raise RefusedError(f"there is no anchor &{event.anchor} before this alias", mark)
        node = self._anchors[event.anchor]
        if node is None:
            raise RefusedError(f"the alias *{event.anchor} is inside what it stands for", mark)
        self.budget -= node.size
        if self.budget < 0:
            raise RefusedError("the aliases make this far larger than any object may be", mark)
        if len(self._stack) + node.height > MAX_DEPTH:
            raise RefusedError(f"nested more than {MAX_DEPTH} levels deep", mark)
        parent = self._stack[-1]
        if not parent.wants_key:
            # A copy: whoever changes one of them must not change the other.
            value = orjson.loads(orjson.dumps(node.value)) if node.height else node.value
            self._add(_Node(value, None, node.size, node.height))
        elif node.height:
            raise RefusedError("a key must be text, not a map or a list", mark)
        else:
            self._set_key(parent, node, mark)

    def _add(self, node: _Node) -> None:
        """Put a complete value where it belongs."""
        if not self._stack:
            self._root = node.value
            return
        parent = self._stack[-1]
        parent.size += node.size
        parent.height = max(parent.height, node.height + 1)
        if type(parent.value) is list:
            parent.value.append(node.value)
            return
        if parent.key is _MERGE:
            merged = node.value if type(node.value) is list else [node.value]
            if not all(type(value) is dict for value in merged):
                raise RefusedError("`<<` merges a map or a list of maps", parent.merge_at)
            parent.merges.extend(merged)
        else:
            parent.value[parent.key] = node.value
        parent.key = _NO_KEY
