"""The check ``required-labels`` in CEL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from webhook.checks.required_labels import RequiredLabel, RequiredLabels
from webhook.checks.wording import listed, short
from webhook.export.vap.cel import text, texts
from webhook.export.vap.parts import Demand, Inexpressible, Target

# What Python's expressions and RE2's have in common, on the characters that a label's value can have.
_COMMON: Final = re.compile(
    r"(?:[^\\(*+?]|\\[dDwWsS.\-_\\*+?()\[\]{}|^$/]|\((?:\?:)?(?!\?)|(?:[*+?]\??(?![*+?])))*"
)


def translate(check: RequiredLabels, _target: Target) -> Iterator[Demand]:
    """A demand for each label: absent, or of another value than is wanted."""
    for index, label in enumerate(check.parameters.labels):
        key = text(label.key)
        yield Demand(
            f"label{index}",
            "labels",
            f"[{key}].filter(k, !(k in variables.labels && {_good(label)}))",
            "the pod lacks the label, or its value is not what it should be",
            f"add it with {_wanted(label)}",
        )


def _good(label: RequiredLabel) -> str:
    if label.allowedValues:
        return f"variables.labels[k] in {texts(label.allowedValues)}"
    if label.pattern is None:
        return "variables.labels[k] != ''"
    if not _COMMON.fullmatch(label.pattern) or re.search(r"\{\d*,?\d*\}[+?]", label.pattern):
        raise Inexpressible(
            f'the pattern "{short(label.pattern)}" uses what the regular expressions of CEL (RE2) lack, or may read '
            "otherwise; use classes, groups, alternatives and repetitions only"
        )
    return f"variables.labels[k].matches({text(f'^(?:{label.pattern})$')})"


def _wanted(label: RequiredLabel) -> str:
    if label.allowedValues:
        return listed(label.allowedValues, "or")
    return "a value" if label.pattern is None else f"a value that matches {short(label.pattern)}"
