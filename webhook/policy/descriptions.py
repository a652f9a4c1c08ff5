"""The docstrings of fields, which Python itself throws away.

Read from the source when the schema or the reference is made, not where policies are loaded: it takes longer
than loading them.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from itertools import cycle
from typing import Any, Final

# How a section of a rule's docstring begins; as `gpuward explain` has it.
_SECTION: Final = re.compile(r"[A-Z][\w ]*:")

_INLINE_CODE = re.compile(r"``([^`]*)``")


def field_descriptions(cls: type[Any]) -> dict[str, str]:
    """The descriptions of a class's fields by their Python names, those of its bases included.

    Empty where there is no source to read.
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found |= _of_module(base.__module__).get(base.__qualname__, {})
    return found


def one_paragraph(docstring: str) -> str:
    """A description as other tools show it: unwrapped, with code in single backticks as Markdown has it."""
    return _INLINE_CODE.sub(r"`\1`", " ".join(docstring.split()))


def markdown_lines(docstring: str) -> Iterator[str]:
    """A rule's docstring (its specification) as lines of Markdown: sections have bold headings, and the lines of
    their text stay as they are."""
    lines = inspect.cleandoc(docstring).splitlines()
    section = ""
    for number, line in enumerate(lines):
        if _SECTION.fullmatch(line):
            section = line.removesuffix(":")
            yield f"**{section}**"
            yield ""
        elif not line.strip():
            yield ""
        elif section == "Restricted fields":
            yield f"- `{line.strip()}`"
        else:
            last = number == len(lines) - 1
            yield as_markdown(line.strip()) + ("\\" if section == "Source" and not last else "")


def as_markdown(text: str) -> str:
    """A docstring's text as Markdown: ``x`` is code, and what Markdown would take for its own is not."""
    parts = zip(text.replace("``", "`").split("`"), cycle((False, True)), strict=False)
    return "".join(f"`{part}`" if code else re.sub(r"([*<])", r"\\\1", part) for part, code in parts)


@cache
def _of_module(name: str) -> dict[str, dict[str, str]]:
    module = sys.modules.get(name)
    try:
        source = inspect.getsource(module) if module else ""
    except (OSError, TypeError):
        return {}
    classes: dict[str, dict[str, str]] = {}
    _collect(ast.parse(source), "", classes)
    return classes


def _collect(node: ast.AST, prefix: str, classes: dict[str, dict[str, str]]) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            name = prefix + child.name
            classes[name] = _fields(child)
            _collect(child, f"{name}.", classes)


def _fields(node: ast.ClassDef) -> dict[str, str]:
    fields = {}
    for field, after in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            fields[field.target.id] = one_paragraph(after.value.value)
    return fields
