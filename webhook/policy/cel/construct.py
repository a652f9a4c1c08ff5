"""``Object{...}`` and ``JSONPatch{...}``: the values of mutations, as a MutatingAdmissionPolicy writes them.

Kubernetes makes a type of any name that begins with ``Object``: ``Object.spec.containers`` is the type of what stands
at ``spec.containers``, the items of a list having the list's path. Every field name is accepted, every field is dyn.
The library knows no types by rule, so ``Object.spec{replicas: 1}`` is checked as a call, ``make({"replicas": 1})``, of
a function that returns a type of that name; what runs is the map alone, so that an int stays one.

That names and paths agree is found here when the expression is loaded; Kubernetes finds it at evaluation.
Source: k8s.io/apiserver 1.36 ``pkg/cel/mutation``, ``pkg/admission/plugin/policy/mutating/patch``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import NoReturn

import msgspec

from . import tree
from .celtype import BYTES, DURATION, DYN, OPAQUE_NAMES, STRING, TIMESTAMP, CelType
from .tree import Call, Checked, Constant, Expr, Struct

Report = Callable[[str, Expr], NoReturn]

OBJECT = CelType("Object")
JSON_PATCH = CelType("JSONPatch")
PREFIX = "gpuward_make_"
"""How the names of the functions begin."""

_OPERATIONS = ("add", "remove", "replace", "move", "copy", "test")
_TEXT_FIELDS = ("op", "path", "from")
_PATCH_FIELDS = (*_TEXT_FIELDS, "value")

_NOT_JSON = OPAQUE_NAMES | {kind.name for kind in (BYTES, DURATION, TIMESTAMP)}

# What may be done with an Object or a JSONPatch, or with lists and maps of them. ``_+_`` joins lists.
_PASS_ON = frozenset(
    ("_?_:_", "_+_", "_[_]", "_[?_]", "flatten", "hasValue", "optional.of", "or", "orValue", "size", "value")
)

_TOKEN = re.compile(
    r"""
    (?P<comment> //[^\n]*)
    | (?P<raw> [bB]?[rR](?: \"{3}[\s\S]*?\"{3} | '{3}[\s\S]*?'{3} | "[^"\n]*" | '[^'\n]*' ))
    | (?P<text> [bB]?(?: \"{3}(?:\\[\s\S]|[^\\])*?\"{3} | '{3}(?:\\[\s\S]|[^\\])*?'{3}
        | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' ))
    | (?P<name> [A-Za-z_][A-Za-z0-9_]* | `[^`\n]*`)
    | (?P<number> [0-9]\w*)
    | (?P<sign> [^\s])
    """,
    re.VERBOSE,
)


class Edit(msgspec.Struct, frozen=True):
    """Text in the place of a part of an expression, from ``start`` to ``end``."""

    start: int
    end: int
    text: str


class Constructions(msgspec.Struct, frozen=True):
    """What an expression constructs: how it is rewritten, and the type that each function makes."""

    edits: tuple[Edit, ...]
    functions: Mapping[str, CelType]


def is_constructed(name: str) -> bool:
    """Whether a type is one that a mutation may construct."""
    return name == JSON_PATCH.name or name == OBJECT.name or name.startswith(OBJECT.name + ".")


def find(expression: str, parsed: Checked) -> Constructions:
    """The constructions in an expression that was parsed."""
    made = [
        node
        for node in tree.walk(parsed.expr)
        if isinstance(node, Struct) and is_constructed(node.message) and node.id in parsed.positions
    ]
    if not made:
        return Constructions((), {})
    names = {name: f"{PREFIX}{index}" for index, name in enumerate(sorted({node.message for node in made}))}
    tokens = [match for match in _TOKEN.finditer(expression) if match.lastgroup != "comment"]
    at = {token.start(): index for index, token in enumerate(tokens)}
    edits: list[Edit] = []
    for node in made:
        edits += _rewrite(tokens, at[parsed.positions[node.id]], node.message, names[node.message])
    edits.sort(key=lambda edit: edit.start)
    return Constructions(tuple(edits), {function: CelType(name) for name, function in names.items()})


def _rewrite(tokens: list[re.Match[str]], index: int, name: str, function: str) -> Iterator[Edit]:
    """``Name{field: value}`` as ``function({"field": value})``."""
    opening = index + 2 * name.count(".") + 1
    yield Edit(tokens[index].start(), tokens[opening - 1].end(), function + "(")
    depth = 0
    for position in range(opening, len(tokens)):
        text = tokens[position][0]
        if text in ("(", "[", "{"):
            depth += 1
        elif text in (")", "]", "}"):
            depth -= 1
            if depth == 0:
                yield Edit(tokens[position].end(), tokens[position].end(), ")")
                return
        if depth == 1 and text in ("{", ",", "?") and (text != "?" or tokens[position - 1][0] in ("{", ",")):
            token = tokens[position + 1]
            if token.lastgroup == "name" and tokens[position + 2][0] == ":":
                yield Edit(token.start(), token.end(), json.dumps(token[0].strip("`")))


def fields(call: Call) -> tuple[tree.Entry, ...]:
    """The fields of a construction."""
    literal = call.args[0]
    assert isinstance(literal, Struct)
    return literal.entries


def check(checked: Checked, functions: Mapping[str, CelType], report: Report) -> None:
    """Reports the first construction that is wrong, or that goes where it cannot be followed."""
    for node in tree.walk(checked.expr):
        if not isinstance(node, Call):
            continue
        kind = functions.get(node.function)
        if kind is None:
            _check_use(checked, node, report)
            continue
        seen: set[str] = set()
        for entry in fields(node):
            assert isinstance(entry.key, Constant)
            name = str(entry.key.value)
            if name in seen:
                report(f"field {name!r} is given twice", entry.value)
            seen.add(name)
            value = checked.type_of(entry.value)
            if entry.optional and value.parameters:
                value = value.parameters[0]
            if value.contains(_NOT_JSON):
                report(f"{name} takes a JSON value but got {value}; convert it with string()", entry.value)
            if kind == JSON_PATCH:
                _check_operation(name, entry.value, value, report)
            else:
                _check_field(kind, name, entry.value, value, report)


def _check_operation(name: str, node: Expr, value: CelType, report: Report) -> None:
    if name not in _PATCH_FIELDS:
        close = get_close_matches(name, _PATCH_FIELDS, n=1)
        report(
            f"undefined field in JSONPatch: {name!r}{f'; did you mean {close[0]!r}?' if close else ''}", node
        )
    if name in _TEXT_FIELDS:
        if value not in (STRING, DYN):
            report(f"JSONPatch's {name} must be a string but got {value}", node)
        if name == "op" and isinstance(node, Constant) and node.value not in _OPERATIONS:
            report(f"{node.value!r} is no operation of JSON Patch; it knows {', '.join(_OPERATIONS)}", node)
    elif any(found == JSON_PATCH.name for found in _constructed(value)):
        report("a JSONPatch cannot be the value of another", node)
    elif not is_constructed(value.name) and any(_constructed(value)):
        report(
            "Kubernetes cannot convert lists and maps of Object{...} in a JSONPatch's value; "
            "write maps, or one operation for each",
            node,
        )


def _check_field(kind: CelType, name: str, node: Expr, value: CelType, report: Report) -> None:
    expected = f"{kind.name}.{name}"
    for found in _constructed(value):
        if found == JSON_PATCH.name:
            report("a JSONPatch cannot be part of an Object", node)
        if found != expected:
            report(
                f"field {name!r} of {kind} takes {expected}{{...}}, named after its path, but got {found}",
                node,
            )
    if value.name in ("list", "map"):
        if value.name == "map" and value.parameters[0] not in (STRING, DYN):
            report(f"the keys of a map must be strings but got {value}", node)
        inner = value.parameters[-1]
        if inner.name in ("list", "map"):
            report(
                f"Kubernetes cannot apply a {value}; write {expected}{{...}} for what is within the {value.name}",
                node,
            )


def _check_use(checked: Checked, call: Call, report: Report) -> None:
    operands = [checked.type_of(operand) for operand in call.operands]
    found = next((name for kind in operands for name in _constructed(kind)), None)
    if found is None:
        return
    if call.function not in _PASS_ON:
        what = {"_==_": "comparing", "_!=_": "comparing", "@in": "looking for"}.get(
            call.function, f"{call.function}() of"
        )
        report(f"{what} {found}{{...}} is not supported", call)
    result = checked.type_of(call)
    if result == DYN:
        report(f"{found}{{...}} cannot be mixed with dyn values", call)


def _constructed(kind: CelType) -> Iterator[str]:
    if is_constructed(kind.name):
        yield kind.name
    for parameter in kind.parameters:
        yield from _constructed(parameter)
