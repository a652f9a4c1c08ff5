"""Reading JSON as strictly as YAML: what two readers could see differently is refused, with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from webhook.adapters.yaml_scalars import json_integer, json_number


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a JSON document is refused, and the index in the text where."""

    at: int
    message: str


def read_json(text: str, at: int, max_depth: int) -> list[tuple[int, Any]] | None:
    """The JSON documents that follow one another from the index ``at``: where each starts, and its data or a
    Fault.

    None where the first of them is no JSON at all.
    """
    found: list[tuple[int, Any]] = []
    at = _skip_space(text, at)
    while at < len(text):
        try:
            data, end = _STRICT.raw_decode(text, at)
            refused = _too_deep(data, max_depth) or _has_half_characters(data, text, at, end)
        except json.JSONDecodeError as error:
            if not found:
                return None
            found.append((at, Fault(error.pos, f"no JSON: {error.msg}")))
            break
        except (_Refused, RecursionError):
            data, end, refused = None, _end(text, at), True
        if refused:
            data = next(_faults(text, at, end, max_depth), Fault(at, "no JSON that Kubernetes would read"))
        found.append((at, data))
        at = _skip_space(text, end)
    return found


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

_SPACE: Final = re.compile(r"[ \t\n\r]*")


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _end(text: str, at: int) -> int:
    """Where a document ends that is JSON by its grammar."""
    try:
        return json.JSONDecoder().raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        return len(text)


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
            if _LONE_SURROGATE.search(string):
                yield Fault(token.start(), "half of a surrogate pair is no character")
            if token["colon"]:
                if string in keys[-1]:
                    yield Fault(token.start(), f'the key "{string[:60]}" is here twice')
                keys[-1].add(string)


_LONE_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


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
