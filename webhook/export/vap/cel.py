"""Writing CEL: literals, and the patterns of policy files as regular expressions that CEL knows (RE2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from webhook.kube.accelerators import Catalog

_GLOB: Final = re.compile(r"[*?\[]")
_PLAIN: Final = re.compile(r"[ -&(-\[\]-~]*")
_ESCAPES: Final = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_NOTHING: Final = r"[^\x00-\x{10FFFF}]"


def text(value: str) -> str:
    """A string literal; a raw one where that reads better, as regular expressions do."""
    if _PLAIN.fullmatch(value):
        return f"'{value}'"
    # At its end a backslash would be taken to escape the quote after all.
    if (
        "\\" in value
        and "'" not in value
        and not value.endswith("\\")
        and _PLAIN.fullmatch(value.replace("\\", ""))
    ):
        return f"r'{value}'"
    return "'" + "".join(_escaped(character) for character in value) + "'"


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def texts(values: Iterable[str]) -> str:
    """A list of string literals."""
    return f"[{', '.join(map(text, values))}]"


def every(conditions: Iterable[str]) -> str:
    """All of the conditions; each is an operand of && as it stands."""
    return " && ".join(conditions)


def glob(pattern: str) -> str:
    """A glob (``*``, ``?``, ``[...]``, as Python's fnmatch reads them) as an RE2 expression, without anchors."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            parts.append("" if parts[-1:] == [".*"] else ".*")
        elif character == "?":
            parts.append(".")
        elif character == "[" and (end := _class_end(pattern, at)) >= 0:
            parts.append(_class(pattern[at:end]))
            at = end + 1
        else:
            parts.append(quoted(character))
    return "".join(parts)


def quoted(literal: str) -> str:
    """Text that stands for itself in an RE2 expression."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", literal)


def _class_end(pattern: str, start: int) -> int:
    """Where the class that begins at ``start`` ends; -1 where it does not, and the bracket is just a bracket."""
    first = start + (pattern[start : start + 1] == "!")
    return pattern.find("]", first + (pattern[first : first + 1] == "]"))


def _class(inside: str) -> str:
    negated = inside.startswith("!")
    characters = inside[1:] if negated else inside
    ranges: list[str] = []
    at = 0
    while at < len(characters):
        low = high = characters[at]
        if characters[at + 1 : at + 2] == "-" and at + 2 < len(characters):
            high = characters[at + 2]
            at += 2
        at += 1
        # A range that runs backwards holds nothing.
        if low <= high:
            ranges.append(_hex(low) if low == high else f"{_hex(low)}-{_hex(high)}")
    if not ranges:
        return "." if negated else _NOTHING
    return f"[{'^' if negated else ''}{''.join(ranges)}]"


def _hex(character: str) -> str:
    return character if character.isascii() and character.isalnum() else f"\\x{{{ord(character):x}}}"


def whole(*patterns: str) -> str:
    """A regular expression, as a CEL literal, that a whole text must match: one of the RE2 patterns."""
    return text(f"^(?s:{'|'.join(patterns)})$")


def among(value: str, names: Iterable[str]) -> str:
    """Whether ``value`` (CEL, a string) is one of the names or matches one of the globs."""
    given = tuple(dict.fromkeys(names))
    globs = [name for name in given if _GLOB.search(name)]
    literals = [name for name in given if not _GLOB.search(name)]
    tests = []
    if literals:
        tests.append(
            f"{value} == {text(literals[0])}" if len(literals) == 1 else f"{value} in {texts(literals)}"
        )
    if globs:
        tests.append(f"{value}.matches({whole(*map(glob, globs))})")
    return tests[0] if len(tests) == 1 else f"({' || '.join(tests)})" if tests else "false"


def is_accelerator(name: str, catalog: Catalog) -> str:
    """Whether ``name`` (CEL) is the name of an extended resource that the catalog calls an accelerator.

    Uses ``variables.accelerators``, the ``accelerator_names``.
    """
    globs = [resource for resource in _accelerators(catalog) if _GLOB.search(resource)]
    tests = [f"{name} in variables.accelerators", *([_extended(name, globs)] if globs else [])]
    return tests[0] if len(tests) == 1 else f"({' || '.join(tests)})"


def accelerator_names(catalog: Catalog) -> str:
    """The names of accelerators that are no globs, as a CEL list."""
    return texts(resource for resource in _accelerators(catalog) if not _GLOB.search(resource))


def is_rdma(name: str, catalog: Catalog) -> str:
    """Whether ``name`` (CEL) is a network device whose users lock memory."""
    known = [resource for resource in catalog.rdma_resources if _GLOB.search(resource) or "/" in resource]
    return _extended(name, known) if known else "false"


def _accelerators(catalog: Catalog) -> list[str]:
    named = dict.fromkeys(resource for each in catalog.accelerators for resource in each.resources)
    # A name without a slash is native (cpu, memory) and never an accelerator.
    return [resource for resource in named if "/" in resource or _GLOB.search(resource)]


def _extended(name: str, resources: Iterable[str]) -> str:
    known = tuple(resources)
    matched = among(name, known)
    return matched if all("/" in resource for resource in known) else f"({name}.contains('/') && {matched})"


def labels_selected(labels: str, selector: Any) -> list[str]:
    """The conditions of a LabelSelector (of the policy model) on ``labels``, which is CEL for a map."""
    conditions = [_one_of(labels, key, (value,)) for key, value in selector.matchLabels.items()]
    for requirement in selector.matchExpressions:
        key = requirement.key
        match requirement.operator:
            case "In":
                conditions.append(_one_of(labels, key, requirement.values))
            case "NotIn":
                conditions.append(f"!{_one_of(labels, key, requirement.values)}")
            case "Exists":
                conditions.append(f"{text(key)} in {labels}")
            case _:
                conditions.append(f"!({text(key)} in {labels})")
    return conditions


def labels_equal(labels: str, wanted: Mapping[str, str]) -> list[str]:
    """The conditions that each of the labels has this value."""
    return [_one_of(labels, key, (value,)) for key, value in wanted.items()]


def _one_of(labels: str, key: str, values: Iterable[str]) -> str:
    given = tuple(values)
    test = f"== {text(given[0])}" if len(given) == 1 else f"in {texts(given)}"
    return f"({text(key)} in {labels} && {labels}[{text(key)}] {test})"
