"""Finding where in a text something is."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from webhook.adapters.yaml_documents import Document, read_documents
from webhook.kube.path import Path

POLICY = """\
# a comment
kind: Policy
spec:
  match: &match
    kinds:
      - Pod
      - apps/v1/Deployment
    empty:
  other: *match
  merged:
    <<: *match
    own: {a: 1, "b c": [x, yes]}
  1: number
---
second: document
...
---
third: one
"""


def documents(text: str) -> list[Document]:
    found = list(read_documents(text.encode(), "f.yaml", positions=True))
    assert all(isinstance(document, Document) for document in found)
    return [document for document in found if isinstance(document, Document)]


VALUES: list[tuple[Path, tuple[int, int]]] = [
    ((), (2, 1)),
    (("kind",), (2, 7)),
    (("spec",), (4, 3)),
    (("spec", "match"), (4, 10)),
    (("spec", "match", "kinds"), (6, 7)),
    (("spec", "match", "kinds", 1), (7, 9)),
    (("spec", "match", "empty"), (8, 11)),
    (("spec", "other"), (9, 10)),
    (("spec", "other", "kinds", 0), (6, 9)),
    (("spec", "merged", "kinds", 0), (6, 9)),
    (("spec", "merged", "own", "b c", 1), (12, 28)),
    (("spec", "1"), (13, 6)),
]


@pytest.mark.parametrize(("path", "place"), VALUES, ids=[str(path) for path, _ in VALUES])
def test_value_is_found(path: Path, place: tuple[int, int]) -> None:
    assert documents(POLICY)[0].locate(path) == place


KEYS: list[tuple[Path, tuple[int, int]]] = [
    (("kind",), (2, 1)),
    (("spec", "match", "kinds"), (5, 5)),
    (("spec", "match", "kinds", 1), (7, 9)),
    (("spec", "merged", "own", "b c"), (12, 17)),
    (("spec", "1"), (13, 3)),
]


@pytest.mark.parametrize(("path", "place"), KEYS, ids=[str(path) for path, _ in KEYS])
def test_key_is_found(path: Path, place: tuple[int, int]) -> None:
    assert documents(POLICY)[0].locate(path, on_key=True) == place


MISSING: list[tuple[Path, tuple[int, int]]] = [
    (("metadata",), (2, 1)),
    (("spec", "match", "names"), (4, 3)),
    (("spec", "match", "kinds", 2), (5, 5)),
    (("spec", "match", "kinds", 0, "x"), (6, 9)),
    (("kind", 0), (2, 1)),
    (("spec", "match", "kinds", "x"), (5, 5)),
]


@pytest.mark.parametrize(("path", "place"), MISSING, ids=[str(path) for path, _ in MISSING])
def test_what_is_missing_is_shown_at_the_key_above_it(path: Path, place: tuple[int, int]) -> None:
    assert documents(POLICY)[0].locate(path) == place


def test_each_document_knows_its_own_lines() -> None:
    _, second, third = documents(POLICY)
    assert (second.line, second.locate(("second",))) == (15, (15, 9))
    assert (third.line, third.locate(("third",))) == (18, (18, 8))


def test_documents_of_one_part_are_told_apart() -> None:
    text = "a: 1\n--- {a: 22}\n---\n[{}, {a: 333}]\n"
    first, second, third = documents(text)
    assert first.locate(("a",)) == (1, 4)
    assert second.locate(("a",)) == (2, 9)
    assert third.locate((1, "a")) == (4, 10)


JSON = """{"a": {"b": 1},
  "c": ["\\ud83d\\ude00", {"d": 22}]}
{"a": {"b": "x\\/y"}}
"""


def test_json_is_found_in_too() -> None:
    first, second = documents(JSON)
    assert first.locate(("c", 1, "d")) == (2, 31)
    assert first.locate(("c", 1, "d"), on_key=True) == (2, 26)
    assert second.locate(("a", "b")) == (3, 13)


def test_json_that_no_yaml_parser_takes_is_found_as_far_as_it_goes() -> None:
    long = "k" * 2000
    (document,) = documents(json.dumps({"a": 1, long: {"b": 2}}, indent=1))
    assert document.locate(("a",)) == (2, 7)
    assert document.locate((long, "b")) == (3, 2)


# An expression of three lines; the place is that of `wrong`, line 2, column 3 of the text as the reader sees it.
WITHIN = [
    pytest.param("a: |\n  one &&\n    wrong\n", (2, 3), (3, 5), id="literal"),
    pytest.param("a: |+2\n    one &&\n    wrong\n", (2, 3), (3, 5), id="literal with a header"),
    pytest.param("a: | # comment\n  one\n  x wrong\n", (2, 3), (3, 5), id="literal after a comment"),
    pytest.param("a: >-\n  one &&\n  wrong\n", (1, 8), (3, 3), id="folded"),
    pytest.param("a: >-\n  one\n\n\n  wrong\n", (3, 1), (5, 3), id="folded with empty lines"),
    pytest.param("a: one wrong\n", (1, 5), (1, 8), id="plain"),
    pytest.param("a: one\n  wrong\n", (1, 5), (2, 3), id="plain over two lines"),
    pytest.param("a: &x !!str one wrong\n", (1, 5), (1, 17), id="plain with anchor and tag"),
    pytest.param("a: &x !!str one\n  wrong\n", (1, 5), (2, 3), id="plain over two lines with anchor and tag"),
    pytest.param("a: 'it''s wrong'\n", (1, 6), (1, 11), id="single quotes"),
    pytest.param('a: "\\"one\\" wrong"\n', (1, 7), (1, 13), id="double quotes"),
    pytest.param('a: "one\\nwrong"\n', (2, 1), (1, 10), id="double quotes, escaped line break"),
    pytest.param('a: "\\u00e9 \\x41 wrong"\n', (1, 5), (1, 17), id="double quotes, escaped characters"),
    pytest.param('a: "one \\\n  wrong"\n', (1, 5), (2, 3), id="double quotes over two lines"),
    pytest.param("ü: ä wrong\n", (1, 3), (1, 6), id="characters, not bytes"),
    pytest.param('{"a": "one\\n wrong"}', (2, 2), (1, 14), id="JSON"),
]


@pytest.mark.parametrize(("text", "offset", "place"), WITHIN)
def test_place_within_a_text_is_found(text: str, offset: tuple[int, int], place: tuple[int, int]) -> None:
    (document,) = documents(text)
    ((key, value),) = document.data.items()
    shown = value.split("\n")[offset[0] - 1][offset[1] - 1 :]
    assert shown.startswith("wrong"), "the table is wrong"
    assert document.locate((key,), offset=offset) == place
    assert text.split("\n")[place[0] - 1][place[1] - 1 :].startswith("wrong")


def test_place_beyond_a_text_is_its_end() -> None:
    (document,) = documents("a: one\nb: 2\n")
    assert document.locate(("a",), offset=(9, 9)) == (1, 7)


# --- laws ------------------------------------------------------------------------------------------------


@st.composite
def numbered(draw: st.DrawFn) -> Any:
    """Data in which every value and every key has a number of its own."""
    count = itertools.count(1000)
    shape = draw(
        st.recursive(
            st.just(None), lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner), max_leaves=25
        )
    )

    def fill(node: Any) -> Any:
        if isinstance(node, tuple):
            return {f"k{next(count)}": fill(item) for item in node}
        return [fill(item) for item in node] if isinstance(node, list) else next(count)

    return {"top": fill(shape)}


def leaves(value: Any, path: Path = ()) -> list[tuple[Path, str]]:
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in leaves(item, (*path, key))]
    if isinstance(value, list):
        return [found for i, item in enumerate(value) for found in leaves(item, (*path, i))]
    return [(path, str(value))]


@given(numbered(), st.sampled_from(["block", "flow", "JSON", "indented JSON"]), st.integers(0, 3))
def test_every_value_and_key_is_where_it_is_written(data: Any, style: str, before: int) -> None:
    if style.endswith("JSON"):
        written = json.dumps(data, indent=2 if style.startswith("indented") else None)
    else:
        written = yaml.safe_dump(data, default_flow_style=style == "flow", width=40)
    text = "x: 1\n---\n" * before + written
    lines = text.split("\n")
    document = documents(text)[-1]
    for path, number in leaves(data):
        line, column = document.locate(path)
        assert lines[line - 1][column - 1 :].startswith(number)
        if isinstance(path[-1], str):
            line, column = document.locate(path, on_key=True)
            assert lines[line - 1][column - 1 :].lstrip('"').startswith(path[-1])
