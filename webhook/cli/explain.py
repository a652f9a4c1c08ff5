"""``gpuward explain``: the rules, from their own docstrings and parameters."""

from __future__ import annotations

import argparse
import inspect
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from webhook.checks import CHECKS
from webhook.cli.output import CLEAN, COULD_NOT_RUN, Style, add_color_argument
from webhook.mutations import MUTATIONS
from webhook.policy.problems import did_you_mean
from webhook.policy.rule import ObjectCheck, Rule, Validation

if TYPE_CHECKING:
    from webhook.policy.schema import JSONSchema

_WIDEST: Final = 110

# Parameters inside parameters inside parameters: nobody reads on.
_DEEPEST: Final = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``gpuward explain``."""
    parser.add_argument(
        "rule", nargs="?", metavar="RULE", help="the rule to explain; without it, all are listed"
    )
    add_color_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print the list of rules, or one of them; 2 if there is no such rule."""
    style = Style.for_stream(sys.stdout, args.color)
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    if args.rule is None:
        lines = _listing(style)
    else:
        rules: dict[str, type[Rule]] = {rule.name: rule for rule in (*MUTATIONS, *CHECKS)}
        if args.rule not in rules:
            hint = did_you_mean(args.rule, rules) or "`gpuward explain` lists the rules"
            print(f'gpuward: unknown rule "{args.rule}"; {hint}', file=sys.stderr)
            return COULD_NOT_RUN
        lines = _explanation(rules[args.rule], style, width)
    for line in lines:
        print(line)
    return CLEAN


def _listing(style: Style) -> Iterator[str]:
    sections: tuple[tuple[str, Sequence[type[Rule]]], ...] = (
        ("mutate: changes to pods", MUTATIONS),
        ("validate: checks", CHECKS),
    )
    width = max(len(rule.name) for _, rules in sections for rule in rules)
    for heading, rules in sections:
        yield style.bold(heading)
        for rule in sorted(rules, key=lambda rule: rule.name):
            yield f"  {rule.name:<{width}}  {rule.title}"
        yield ""
    yield "`gpuward explain RULE` tells more about one. A CEL `expression` can stand in place of a check."


def _explanation(rule: type[Rule], style: Style, width: int) -> Iterator[str]:
    from webhook.policy.schema import parameters_schema  # only for one rule: the list needs no types

    kind = f"check, severity {rule.severity.value}" if issubclass(rule, Validation) else "mutation"
    yield f"{style.bold(rule.name)} ({kind})"
    yield rule.title
    if issubclass(rule, ObjectCheck):
        yield f"Judges objects of the kinds {', '.join(judged_kinds(rule))}."
    yield ""
    for line in inspect.cleandoc(rule.__doc__ or "").replace("``", "`").splitlines():
        yield style.bold(line) if re.fullmatch(r"[A-Z][\w ]*:", line) else line
    yield ""
    yield style.bold("Parameters:")
    schema = parameters_schema(rule)
    rows = parameter_rows(schema)
    if not rows:
        yield "    none"
    for name, type_, default, description in rows:
        yield f"    {style.cyan(name)}  {style.dim(f'{type_}, {default}' if default else type_)}"
        yield from textwrap.wrap(description, width, initial_indent=" " * 8, subsequent_indent=" " * 8)
    yield from _example(rule, style)
    section = "validate" if issubclass(rule, Validation) else "mutate"
    yield ""
    yield style.bold("In a policy:")
    yield from (f"    {line}" for line in ("spec:", f"  {section}:", f"    - rule: {rule.name}"))
    if required := schema.get("required"):
        yield f"          parameters: {{{', '.join(f'{name}: ...' for name in required)}}}"


def _example(rule: type[Rule], style: Style) -> Iterator[str]:
    # Only for one rule: the examples are cases of policies, which are read for this.
    from webhook.adapters.rule_examples import example_of
    from webhook.cli.review_output import diff_lines, to_yaml

    example = example_of(rule)
    if example is None:
        return
    yield ""
    yield style.bold(f"Example, from the policy {example.policy}:")
    yield from _indented(to_yaml(list(example.entries)).splitlines())
    yield ""
    if not example.findings:
        yield from _indented(diff_lines(example.obj, example.good, "as written", "as admitted", style))
        return
    yield style.bold("  Breaks the rule:")
    yield from _indented(to_yaml(example.obj).splitlines())
    yield ""
    for finding in example.findings:
        yield from _indented([style.yellow(f"{finding.field}: {finding.message}")])
    if example.good is not None:
        yield ""
        yield style.bold("  Follows it:")
        yield from _indented(to_yaml(example.good).splitlines())


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)


def judged_kinds(check: type[ObjectCheck]) -> list[str]:
    """The kinds a check of objects judges, each with its group."""
    return [f"{kind} ({group})" if group else kind for group, kind in check.kinds]


Row = tuple[str, str, str, str]


def parameter_rows(schema: JSONSchema) -> list[Row]:
    """Name, type, default and description of each parameter in a rule's ``parameters_schema``, as people read them."""
    return list(_rows(schema, schema.get("$defs", {}), "", 0))


def _rows(schema: JSONSchema, definitions: dict[str, JSONSchema], prefix: str, depth: int) -> Iterator[Row]:
    """Name, type, default and description of each parameter, those inside others after them."""
    required = schema.get("required", ())
    for name, value in schema.get("properties", {}).items():
        default = "required" if name in required else _default(value)
        yield prefix + name, _type(value, definitions), default, value.get("description", "")
        inner, separator = _inside(value, definitions)
        if inner is not None and depth < _DEEPEST:
            yield from _rows(inner, definitions, f"{prefix}{name}{separator}", depth + 1)


def _default(schema: JSONSchema) -> str:
    default = schema.get("default")
    return "" if default in (None, [], {}, "") else f"default {_yaml(default)}"


def _yaml(value: Any) -> str:
    """A value as it would stand in a policy, in one line."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_yaml(item)}' for key, item in value.items())}}}"
    return value if isinstance(value, str) else json.dumps(value)


def _alternatives(schema: JSONSchema, definitions: dict[str, JSONSchema]) -> list[JSONSchema]:
    """What a value may be, references resolved, null left out."""
    if "$ref" in schema:
        return _alternatives(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return [found for part in schema["anyOf"] for found in _alternatives(part, definitions)]
    return [] if schema.get("type") == "null" else [schema]


def _inside(schema: JSONSchema, definitions: dict[str, JSONSchema]) -> tuple[JSONSchema | None, str]:
    """The map with fields of its own in a parameter, directly or as a list's entry, and how a path leads to
    it."""
    for found in _alternatives(schema, definitions):
        if "properties" in found:
            return found, "."
        if "items" in found:
            inner, separator = _inside(found["items"], definitions)
            return inner, f"[]{separator}"
    return None, ""


_TYPES: Final = {"object": "map", "integer": "whole number"}


def _type(schema: JSONSchema, definitions: dict[str, JSONSchema]) -> str:
    names: list[str] = []
    for found in _alternatives(schema, definitions):
        written = str(found.get("type", "anything"))
        if "enum" in found:
            names.append(" | ".join(map(_yaml, found["enum"])))
        elif "const" in found:
            names.append(_yaml(found["const"]))
        elif written == "array":
            names.append(f"list of {_type(found.get('items', {}), definitions)}")
        elif isinstance(found.get("additionalProperties"), dict):
            names.append(f"map of {_type(found['additionalProperties'], definitions)}")
        else:
            names.append(_TYPES.get(written, written))
    if "number" in names:
        names = [name for name in names if name != "whole number"]
    return " or ".join(dict.fromkeys(names)) or "anything"
