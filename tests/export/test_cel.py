"""What is written as CEL means what the policy file says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.checks import CHECKS
from webhook.export.vap.cel import among, text
from webhook.export.vap.expressions import code, names
from webhook.export.vap.rules import TRANSLATIONS
from webhook.policy.cel import Environment, Scope
from webhook.policy.match import Names

PATTERNS = st.text("ab-.*?[]!^\\$(){}|+é\n'\"/", min_size=1, max_size=8)
TEXTS = st.text("ab-.*?[]!^\\$(){}|+é\n'\"/", max_size=6)


def _value(expression: str, **scope: object) -> object:
    return Environment().compile(expression, returns="any").evaluate(Scope(**scope))  # type: ignore[arg-type]  # any JSON


@given(st.lists(PATTERNS, min_size=1, max_size=3), TEXTS)
def test_globs_match_what_the_policy_file_says(patterns: list[str], name: str) -> None:
    assert _value(among("object.name", patterns), object={"name": name}) is Names(patterns).match(name)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("[a-c]x", "bx"),
        ("[!a-c]x", "bx"),
        ("[]]", "]"),
        ("[!]]", "a"),
        ("[z-a]", "b"),
        ("[!z-a]", "b"),
        ("[", "["),
    ],
)
def test_classes_match_what_the_policy_file_says(pattern: str, name: str) -> None:
    assert _value(among("object.name", [pattern]), object={"name": name}) is Names([pattern]).match(name)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufdd0"), max_size=20))
def test_text_is_what_it_was(value: str) -> None:
    assert _value(text(value)) == value


def test_every_translation_is_of_a_check() -> None:
    assert TRANSLATIONS.keys() <= {check.name for check in CHECKS}


@pytest.mark.parametrize(
    ("expression", "left"),
    [
        ("'math.abs(1)' == x", "'' == x"),
        ("x // math.abs(1)\n== 1", "x \n== 1"),
        ('"""a"b""" + r"\\"', "'' + ''"),
        ("'it\\'s' + y", "'' + y"),
    ],
)
def test_code_is_what_is_neither_text_nor_comment(expression: str, left: str) -> None:
    assert code(expression) == left


def test_names_in_texts_are_no_variables() -> None:
    assert not names("object.kind == 'params'", "params")
    assert names("params.limit > 1", "params")
