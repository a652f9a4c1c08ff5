"""Reading JSON as strictly as YAML: what two readers could see differently is refused, with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import orjson
from msgspec import Struct

from webhook.adapters.yaml_scalars import json_integer, json_number


class Fault(Struct, frozen=True):
    """Why a JSON document is refused, and the index in the text where."""

    at: int
    message: str


class Found(NamedTuple):
    """One JSON document: where in the text it starts and ends, and its data or what is wrong with it."""

    start: int
    end: int
    data: Any


def read_json(text: str, at: int, max_depth: int) -> list[Found] | None:
    """The JSON documents that follow one another from the index ``at``; None where the first is no JSON at
    all."""
    found: list[Found] = []
    at = _skip_space(text, at)
    while at < len(text):
        try:
            document = _read_one(text, at, max_depth)
        except json.JSONDecodeError as error:
            if not found:
                return None
            found.append(Found(at, len(text), Fault(error.pos, f"no JSON: {error.msg}")))
            break
        found.append(document)
        at = _skip_space(text, document.end)
    return found


def _read_one(text: str, at: int, max_depth: int) -> Found:
    """The document that starts at an index.

    Raises:
        json.JSONDecodeError: it is no JSON.
    """
    try:
        data, end = _STRICT.raw_decode(text, at)
        if not _too_deep(data, max_depth) and not _has_half_characters(data, text, at, end):
            return Found(at, end, data)
    except _Refused:
        _, end = _GRAMMAR.raw_decode(text, at)
    except RecursionError:
        # Where it ends cannot be told. What is refused comes before that.
        end = len(text)
    fault = next(_faults(text, at, end, max_depth), Fault(at, "no JSON that Kubernetes would read"))
    return Found(at, end, fault)


class _Refused(Exception):
    """Something is wrong; where, is found by looking again."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise _Refused
    return data


def _integer(word: str) -> int | float:
    number = json_integer(word)
    if number is None:
        raise _Refused
    return number


def _float(word: str) -> int | float:
    number = json_number(float(word))
    if number is None:
        raise _Refused
    return number


def _constant(_word: str) -> Any:
    raise _Refused


_STRICT: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_float, parse_constant=_constant
)

# Says where a document ends, whatever is in it.
_GRAMMAR: Final = json.JSONDecoder(parse_int=str, parse_float=str)

_SPACE: Final = re.compile(r"[ \t\n\r]*")


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _too_deep(data: Any, max_depth: int) -> bool:
    level = [data]
    for _ in range(max_depth):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node if type(node) is list else ())
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _has_half_characters(data: Any, text: str, at: int, end: int) -> bool:
    """Whether an escape stands for half of a surrogate pair, which no UTF-8 can hold."""
    if text.find("\\u", at, end) < 0:
        return False
    try:
        orjson.dumps(data)
    except orjson.JSONEncodeError:
        return True
    return False


_TOKEN: Final = re.compile(
    r'"(?P<string>(?:[^"\\]|\\.)*)"(?P<colon>\s*:)?|(?P<open>[{\[])|(?P<close>[}\]])'
    r"|(?P<word>[-+A-Za-z0-9.]+)",
    re.DOTALL,
)


def _faults(text: str, at: int, end: int, max_depth: int) -> Iterator[Fault]:
    """What is wrong with a text that is JSON by its grammar."""
    keys: list[set[str]] = []
    for token in _TOKEN.finditer(text, at, end):
        if token["open"]:
            keys.append(set())
            if len(keys) > max_depth:
                yield Fault(token.start(), f"nested more than {max_depth} levels deep")
                return
        elif token["close"]:
            keys.pop()
        elif token["word"] is not None:
            message = _about_word(token["word"])
            if message:
                yield Fault(token.start(), message)
        else:
            string = json.loads(f'"{token["string"]}"')
            if not _is_unicode(string):
                yield Fault(token.start(), "half of a surrogate pair is no character")
            if token["colon"]:
                if string in keys[-1]:
                    yield Fault(token.start(), f'the key "{string[:60]}" is here twice')
                keys[-1].add(string)


def _is_unicode(string: str) -> bool:
    """Whether it is all whole characters: half of a surrogate pair cannot be written in UTF-8 (Unicode, D92)."""
    try:
        string.encode()
    except UnicodeEncodeError:
        return False
    return True


def _about_word(word: str) -> str:
    if word in ("NaN", "Infinity", "-Infinity"):
        return f"JSON has no word for {word}; put it in quotes if it is text"
    if word in ("true", "false", "null"):
        return ""
    try:
        fits = json_number(float(word)) is not None
    except ValueError:
        return ""
    return "" if fits else "the number is too large"
