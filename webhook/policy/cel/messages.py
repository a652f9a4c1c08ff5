"""The library's compile errors in plain words, with their place and what was perhaps meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from difflib import get_close_matches

from . import library
from .engine import VARIABLES
from .errors import CelCompileError

_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?=\n \| |\nERROR: |\Z)", re.DOTALL)
_UNDECLARED = re.compile(r"undeclared reference to '(.*)' \(in container ''\)")
_RECURSION = re.compile(r"recursion (?:limit|depth)")
_UNEXPECTED = re.compile(r"Syntax error: (?:mismatched|extraneous) input '(.*?)' expecting .*", re.DOTALL)
_UNRECOGNIZED = re.compile(r"Syntax error: token recognition error at: '(.*)'", re.DOTALL)
_NO_ALTERNATIVE = re.compile(r"Syntax error: no viable alternative at input '(.*)'", re.DOTALL)

_CALLEE = re.compile(r"([A-Za-z_][\w.]*)\s*$")
_NAMES = frozenset((*VARIABLES, "variables", "true", "false", "null"))

MAX_NESTING = 32
"""How deep the library lets an expression be nested. (Kubernetes: 250.)"""

_NOT_HERE = {
    "authorizer": "authorizer is not available: permissions can only be asked of the API server; see request.userInfo",
    "Object": "Object{...} and JSONPatch{...} are for mutations only",
    "JSONPatch": "Object{...} and JSONPatch{...} are for mutations only",
    "jsonpatch": "jsonpatch.escapeKey() is for mutations only",
    "kubernetes": "the names of Kubernetes' types are not supported",
    "net": "the names of Kubernetes' types are not supported",
}
_WORDS = {"and": "&&", "or": "||", "not": "!", "AND": "&&", "OR": "||", "NOT": "!", "is": "=="}


def compile_error(
    error: Exception, source: str, expression: str, origin: Callable[[int], int]
) -> CelCompileError:
    """The library's error over ``source`` as an error over ``expression``.

    ``origin`` gives the offset in the expression of an offset in the source.
    """
    text = str(error)
    found = [(int(line), int(column), message.strip()) for line, column, message in _ERROR.findall(text)]
    if _RECURSION.search(text):
        return CelCompileError.at(
            f"the expression is nested more than {MAX_NESTING} levels deep", expression, 0
        )
    if not found:
        return CelCompileError.at(text, expression, 0)
    located = sorted((_offset(source, line, column), message) for line, column, message in found)
    # A misspelt macro leaves its loop variables undeclared; they come before it and are not what is wrong.
    offset, message = next((entry for entry in located if _is_function(source, *entry)), located[0])
    undeclared = _UNDECLARED.search(message)
    if undeclared is not None:
        offset, message = _undeclared(undeclared[1], source, offset)
    else:
        message = _syntax(message)
    return CelCompileError.at(message, expression, origin(offset))


def _offset(source: str, line: int, column: int) -> int:
    lines = source.split("\n")
    if not 1 <= line <= len(lines):
        return 0
    return sum(len(earlier) + 1 for earlier in lines[: line - 1]) + min(
        max(column - 1, 0), len(lines[line - 1])
    )


def _is_function(source: str, offset: int, message: str) -> bool:
    """A call is located at its opening parenthesis."""
    return source[offset : offset + 1] == "(" and _UNDECLARED.search(message) is not None


def _undeclared(name: str, source: str, offset: int) -> tuple[int, str]:
    if source[offset : offset + 1] == "(":
        return _undeclared_function(name, source, offset)
    # A chain of fields is located at its last dot; its first name is what is unknown.
    root, chain = name.partition(".")[0], name.rpartition(".")[0]
    if chain and source[:offset].endswith(chain):
        offset -= len(chain)
    if root in _NOT_HERE:
        return offset, _NOT_HERE[root]
    if root in _WORDS:
        return offset, f"undeclared reference to {root!r}; write {_WORDS[root]}"
    return offset, f"undeclared reference to {root!r}{_did_you_mean(root, _NAMES)}"


def _undeclared_function(name: str, source: str, offset: int) -> tuple[int, str]:
    """A call is located at its parenthesis, and named without the names before it."""
    match = _CALLEE.search(source[:offset])
    written = match[1] if match is not None else name
    start = match.start(1) if match is not None else offset
    root = written.partition(".")[0]
    if root in _NOT_HERE:
        return start, _NOT_HERE[root]
    known = {*library.FUNCTIONS_BY_NAME, *library.NATIVE_NAMES}
    if not any(entry.startswith(root + ".") for entry in known):
        # A method of whatever stands before it.
        start += len(written) - len(name)
        written = name
    if written in library.FUNCTIONS_BY_NAME:
        # There is one of that name, but what it is about stands elsewhere: `sign(q)`, `q.isInteger()`.
        member = library.FUNCTIONS_BY_NAME[written].overloads[0].member
        return start, f"{written}() is called as {f'x.{written}()' if member else f'{written}(x)'}"
    return start, f"undeclared reference to function {written!r}{_did_you_mean(written, known)}"


def _did_you_mean(name: str, known: Collection[str]) -> str:
    by_case = {entry.lower(): entry for entry in sorted(known)}
    close = by_case.get(name.lower()) or next(iter(get_close_matches(name, sorted(known), n=1)), None)
    return f"; did you mean {close!r}?" if close else ""


def _syntax(message: str) -> str:
    for pattern in (_UNEXPECTED, _NO_ALTERNATIVE):
        match = pattern.fullmatch(message)
        if match is not None:
            word = match[1]
            if word == "<EOF>":
                return "syntax error: the expression ends too early"
            hint = f"; write {_WORDS[word]}" if word in _WORDS else ""
            return f"syntax error: unexpected {word!r}{hint}"
    match = _UNRECOGNIZED.fullmatch(message)
    if match is not None:
        word = match[1]
        if word[:1] in ("'", '"'):
            return "syntax error: a string is not closed"
        return f"syntax error: unexpected {word.strip()!r}" + ("; write ==" if word.startswith("=") else "")
    return message[:1].lower() + message[1:] if message.startswith("Syntax error") else message
