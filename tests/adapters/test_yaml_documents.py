"""Reading YAML and JSON as kubectl does, whatever the bytes are."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import json_values
from webhook.adapters import yaml_events
from webhook.adapters.yaml_documents import MAX_DEPTH, Document, DocumentError, read_documents


@pytest.fixture(params=["libyaml", "pure Python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both parsers that PyYAML may have."""
    if request.param == "pure Python":
        monkeypatch.setattr(yaml_events, "Parser", yaml.SafeLoader)
    return str(request.param)


def read(text: str | bytes) -> list[Document | DocumentError]:
    content = text.encode() if isinstance(text, str) else text
    return list(read_documents(content, "f.yaml", positions=True))


def data(text: str | bytes) -> list[Any]:
    """The data of the documents; an error is its text."""
    return [document.data if isinstance(document, Document) else str(document) for document in read(text)]


# What kubectl 1.36 makes of a plain scalar.
SCALARS = {
    "true": True, "True": True, "TRUE": True, "yes": True, "on": True, "y": True, "Y": True, "On": True,
    "false": False, "no": False, "off": False, "n": False, "OFF": False,
    "tRue": "tRue", "yEs": "yEs", "'yes'": "yes", '"true"': "true",
    "": None, "~": None, "null": None, "Null": None, "nULL": "nULL", "''": "",
    "0": 0, "-0": 0, "12": 12, "+12": 12, "-12": -12, "1_000": 1000,
    "010": 8, "0o10": 8, "0x1F": 31, "0b101": 5, "-0x1f": -31, "-0b11": -3, "08": 8, "0x": "0x", "0b2": "0b2",
    "9223372036854775807": 2**63 - 1, "18446744073709551615": 2**64 - 1, "18446744073709551616": float(2**64),
    "-9223372036854775808": -(2**63), "-9223372036854775809": -(2**63),
    "1.5": 1.5, ".5": 0.5, "1.": 1, "1.0": 1, "1e3": 1000, "1E-2": 0.01, "-.5e1": -5, "1e999": "1e999",
    "1e30": 1e30, "._5": "._5", "1.2.3": "1.2.3", "1:30": "1:30", "12:30:45": "12:30:45", "190:20:30": "190:20:30",
    "2026-11-21": "2026-11-21", "2026-11-21T10:00:00Z": "2026-11-21T10:00:00Z",
    "-": ["", None], "+": "+", ".": ".", "..": "..", "_1": "_1", "0_": 0, "=": "=", "500m": "500m", "8Gi": "8Gi",
    "!!str 12": "12", "!!int '12'": 12, "!!float 3": 3, "!!float 1.5": 1.5, "!!bool 'yes'": True, "!!null ''": None,
    "! 12": "12", "!!timestamp 2026-11-21": "2026-11-21",
}  # fmt: skip


@pytest.mark.parametrize(("written", "value"), SCALARS.items(), ids=[repr(key) for key in SCALARS])
def test_scalar_is_what_kubectl_makes_of_it(written: str, value: Any, parser: str) -> None:
    if written == "-":
        assert data("- ") == [[None]]
        return
    (found,) = data(f"a: {written}\n")
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


KEYS = {"1": "1", "true": "true", "yes": "true", "1.5": "1.5", "'on'": "on", "0x10": "16", "!!str 1": "1"}


@pytest.mark.parametrize(("written", "key"), KEYS.items())
def test_key_becomes_text_as_in_kubectl(written: str, key: str, parser: str) -> None:
    assert data(f"{written}: v\n") == [{key: "v"}]


DOCUMENTS = [
    pytest.param("a: 1\n---\nb: 2\n", [{"a": 1}, {"b": 2}], id="two documents"),
    pytest.param("---\na: 1\n---\n", [{"a": 1}], id="separators at both ends"),
    pytest.param("---\n---\n# comment\n---\nnull\n---\n~\n", [], id="empty documents are left out"),
    pytest.param("", [], id="no bytes"),
    pytest.param("\n\n", [], id="empty lines"),
    pytest.param("# only a comment", [], id="comment"),
    pytest.param(
        "--- # Source: chart/pod.yaml\na: 1\n", [{"a": 1}], id="comment after the separator, as Helm writes"
    ),
    pytest.param("--- {a: 1}\n--- text\n", [{"a": 1}, "text"], id="content on the separator's line"),
    pytest.param("a: 1\n...\n---\nb: 2\n...\n", [{"a": 1}, {"b": 2}], id="explicit ends"),
    pytest.param(
        "%YAML 1.1\n---\na: 1\n...\n# c\n%YAML 1.1\n\n---\nb: 2\n", [{"a": 1}, {"b": 2}], id="directives"
    ),
    pytest.param("a: |\n  text\n  ---\n  more\n", [{"a": "text\n---\nmore\n"}], id="separator inside a text"),
    pytest.param(
        "a: 1\r\nb: |\r\n  x\r\n  y\r\n---\r\nc: 2\r\n", [{"a": 1, "b": "x\ny\n"}, {"c": 2}], id="CRLF"
    ),
    pytest.param("\ufeffa: 1", [{"a": 1}], id="UTF-8 byte order mark"),
    pytest.param("a: ü\n".encode("utf-16"), [{"a": "ü"}], id="UTF-16"),
    pytest.param(b"\xfe\xff" + "a: ü\n".encode("utf-16-be"), [{"a": "ü"}], id="UTF-16, big end first"),
    pytest.param("- 1\n- [a, {b: c}]\n", [[1, ["a", {"b": "c"}]]], id="list"),
    pytest.param('a: "\\x41\\u00e9\\n"\n', [{"a": "Aé\n"}], id="escapes"),
    pytest.param("a: >-\n  one\n  two\n\n  three\n", [{"a": "one two\nthree"}], id="folded"),
    pytest.param('{"a": 1}', [{"a": 1}], id="JSON"),
    pytest.param(
        '[{"a": 1.0}, null, 1e3]',
        [[{"a": 1}, None, 1000]],
        id="JSON list, numbers as the API server has them",
    ),
    pytest.param('{"a": 1}\n{"b": 2}', [{"a": 1}, {"b": 2}], id="JSON documents one after another"),
    pytest.param('{"a": 1}\n---\n{"b": 2}\n', [{"a": 1}, {"b": 2}], id="JSON documents with separators"),
    pytest.param(
        '{\n\t"a": "\\ud83d\\ude00\\/"\n}', [{"a": "😀/"}], id="JSON with tabs and a surrogate pair"
    ),
    pytest.param(
        '{"a": 18446744073709551616}', [{"a": float(2**64)}], id="JSON integer of more than 64 bits"
    ),
    pytest.param("{a: 1, 'b': [c]}", [{"a": 1, "b": ["c"]}], id="flow style that is no JSON"),
    pytest.param('{"a": 1, } # comment', [{"a": 1}], id="nearly JSON"),
]


@pytest.mark.parametrize(("text", "expected"), DOCUMENTS)
def test_documents_are_read(text: str | bytes, expected: list[Any], parser: str) -> None:
    assert data(text) == expected


def test_tabs_may_stand_between_words() -> None:
    assert data("a:\t1\t# tab\n") == [{"a": 1}]


ALIASES = [
    pytest.param(
        "a: &x [1, {b: c}]\nd: *x\n", [{"a": [1, {"b": "c"}], "d": [1, {"b": "c"}]}], id="of a list"
    ),
    pytest.param("a: &x text\nb: *x\n", [{"a": "text", "b": "text"}], id="of a text"),
    pytest.param("&k a: 1\nb: *k\n", [{"a": 1, "b": "a"}], id="of a key"),
    pytest.param("a: &k b\n*k : 1\n", [{"a": "b", "b": 1}], id="as a key"),
    pytest.param(
        "a: &x 1\nb: &x 2\nc: *x\n", [{"a": 1, "b": 2, "c": 2}], id="of an anchor that was set again"
    ),
    pytest.param(
        "base: &b {x: 1, z: 2}\nd: {<<: *b, z: 3}\n",
        [{"base": {"x": 1, "z": 2}, "d": {"z": 3, "x": 1}}],
        id="merged",
    ),
    pytest.param(
        "d:\n  z: 3\n  <<: [{x: 1, z: 0}, {x: 2, v: 4}]\n",
        [{"d": {"x": 1, "z": 3, "v": 4}}],
        id="list of maps merged",
    ),
    pytest.param("a: {<<: {x: 1}, <<: {z: 2}}", [{"a": {"x": 1, "z": 2}}], id="merged twice"),
    pytest.param('a: {"<<": 1}', [{"a": {"<<": 1}}], id="quoted merge key is a key"),
]


@pytest.mark.parametrize(("text", "expected"), ALIASES)
def test_aliases_stand_for_copies(text: str, expected: list[Any], parser: str) -> None:
    assert data(text) == expected


def test_changing_what_an_alias_stood_for_changes_nothing_else() -> None:
    (found,) = data("a: &x [[1]]\nb: *x\nc: {<<: &m {d: [1]}}\ne: *m\n")
    found["a"][0].append(2)
    found["c"]["d"].append(2)
    assert found["b"] == [[1]]
    assert found["e"] == {"d": [1]}


UNSUPPORTED = "is not supported: there are maps, lists, text, numbers, booleans and null"
NO_WORD = "put it in quotes if it is text"
ESCAPE_IT = "is not allowed; write it as an escape in double quotes"
ERRORS = [
    pytest.param(
        "a: 1\nb: 2\na: 3\n", '3:1: the key "a" is here twice; the first is on line 1', id="key twice"
    ),
    pytest.param(
        "---\n1: a\n'1': b\n",
        '3:1: the key "1" is here twice; the first is on line 2',
        id="keys equal as text",
    ),
    pytest.param(
        "a: {b: 1, b: 2}\n",
        '1:11: the key "b" is here twice; the first is on this line',
        id="key twice in a line",
    ),
    pytest.param(
        "x: &k b\nb: 1\n*k : 2\n",
        '3:1: the key "b" is here twice; the first is on line 2',
        id="alias repeats a key",
    ),
    pytest.param('{"a": {"b": 1,\n "b": 2}}', '2:2: the key "b" is here twice', id="key twice in JSON"),
    pytest.param(
        '{"a": 1, "\\u0061": 2}', '1:10: the key "a" is here twice', id="key twice in JSON, once escaped"
    ),
    pytest.param("~: 1\n", f"1:1: a key must not be null; {NO_WORD}", id="null key"),
    pytest.param("? [a]\n: b\n", "1:3: a key must be text, not a list", id="list as key"),
    pytest.param("{a: b}: c\n", "1:1: a key must be text, not a map", id="map as key"),
    pytest.param(
        "a: &x [1]\n*x : b\n", "2:1: a key must be text, not a map or a list", id="alias of a list as key"
    ),
    pytest.param("a: !Ref b\n", f"1:4: the tag !Ref {UNSUPPORTED}", id="own tag"),
    pytest.param(
        "a: !!python/object/apply:os.system [x]\n",
        f"1:4: the tag !!python/object/apply:os.system {UNSUPPORTED}",
        id="Python tag",
    ),
    pytest.param("a: !!binary aGk=\n", f"1:4: the tag !!binary {UNSUPPORTED}", id="binary"),
    pytest.param("a: !!set {b: null}\n", f"1:4: the tag !!set {UNSUPPORTED}", id="set"),
    pytest.param("a: !!int x\n", '1:4: "x" is no !!int', id="tag that does not fit"),
    pytest.param("a: .nan\n", f"1:4: JSON has no word for .nan; {NO_WORD}", id="not a number"),
    pytest.param("a: -.inf\n", f"1:4: JSON has no word for -.inf; {NO_WORD}", id="infinity"),
    pytest.param('{"a": [NaN]}', f"1:8: JSON has no word for NaN; {NO_WORD}", id="NaN in JSON"),
    pytest.param(
        '{"a": "NaN", "b": -Infinity}',
        f"1:19: JSON has no word for -Infinity; {NO_WORD}",
        id="infinity in JSON",
    ),
    pytest.param('{"a": 1e999}', "1:7: the number is too large", id="number out of range in JSON"),
    pytest.param(
        '{"a": "\\ud800"}', "1:7: half of a surrogate pair is no character", id="half a character in JSON"
    ),
    pytest.param("a: *x\n", "1:4: there is no anchor &x before this alias", id="unknown anchor"),
    pytest.param("a: &x [*x]\n", "1:8: the alias *x is inside what it stands for", id="alias of itself"),
    pytest.param(
        "a: &x {b: [{c: *x}]}\n", "1:16: the alias *x is inside what it stands for", id="alias of an ancestor"
    ),
    pytest.param("<<: 3\n", "1:1: `<<` merges a map or a list of maps", id="merging a number"),
    pytest.param(
        "a: {<<: [{b: 1}, 2]}\n", "1:5: `<<` merges a map or a list of maps", id="merging a list of anything"
    ),
    pytest.param(b"a: 1\nb: \xe9\n", "2:4: the byte 0xe9 here is no UTF-8", id="Latin-1"),
    pytest.param("# ü\na: \x07\n", f"2:4: the character U+0007 {ESCAPE_IT}", id="control character"),
    pytest.param("a: \x00", f"1:4: the character U+0000 {ESCAPE_IT}", id="null character"),
    pytest.param(b"\xff\xfea", "1:1: the text is no utf-16-le: truncated data", id="half of UTF-16"),
]


@pytest.mark.parametrize(("text", "expected"), ERRORS)
def test_error_says_where_and_what(text: str | bytes, expected: str, parser: str) -> None:
    assert data(text) == [f"f.yaml:{expected}"]


# Sentences of our own for libyaml's; the pure parser has its own words, which are good enough.
SYNTAX_ERRORS = [
    pytest.param("a: [1,\n", "1:7: a value was expected here", id="bracket not closed"),
    pytest.param(
        "a: [1, 2\nb: 3\n", "2:2: a ',' or ']' was expected here", id="bracket not closed before the next key"
    ),
    pytest.param("a: {b: 1]\n", "1:9: a ',' or '}' was expected here", id="wrong bracket"),
    pytest.param("a: 'x\n", "1:6: a quote, bracket or brace is not closed", id="quote not closed"),
    pytest.param("a:\n\tb: 1\n", "2:1: a tab cannot indent; use spaces", id="tab as indentation"),
    pytest.param("a: @x\n", "1:4: text cannot start with @ here; put it in quotes", id="reserved character"),
    pytest.param(
        "a: b: c\n",
        "1:5: a key is not allowed here: either the line is indented wrongly, or text with ': ' in it needs quotes",
        id="colon in a text",
    ),
    pytest.param(
        "a:\n  b: 1\n c: 2\n",
        "3:2: a key was expected here: is the line indented like those above?",
        id="indented less",
    ),
    pytest.param(
        "- a\n- b\nc: d\n",
        "3:1: an entry '- ' was expected here: is the line indented like those above?",
        id="key after a list",
    ),
    pytest.param(
        "a: - b\n",
        "1:4: an entry '- ' is not allowed here; it goes on a line of its own",
        id="entry in the key's line",
    ),
    pytest.param(
        "a: 1\nb\nc: 2\n",
        "3:1: a key needs ': ' after it; text over several lines needs quotes or '|'",
        id="key without a colon",
    ),
    pytest.param(
        "a: {{ .Values.a }}\n",
        "1:5: this looks like a template; render it first, as `helm template` does (a key must be text, not a map)",
        id="Helm template",
    ),
    pytest.param("{{- if .Values.x }}\na: 1\n{{- end }}\n", None, id="Helm block"),
]


@pytest.mark.parametrize(("text", "expected"), SYNTAX_ERRORS)
def test_syntax_error_is_told_in_words_of_our_own(text: str, expected: str | None) -> None:
    (found,) = read(text)
    assert isinstance(found, DocumentError)
    if expected is None:
        assert "this looks like a template" in found.message
    else:
        assert str(found) == f"f.yaml:{expected}"


def test_documents_after_a_broken_one_are_still_read(parser: str) -> None:
    text = b"a: 1\n---\nb: [\n---\nc: 1\nc: 2\n---\nd: \xff\n---\ne: 5\n"
    found = read(text)
    assert [document.line for document in found] == [1, 3, 6, 8, 10]
    assert [isinstance(document, Document) for document in found] == [True, False, False, False, True]
    assert [document.index for document in found if isinstance(document, Document)] == [0, 4]


def test_broken_json_document_does_not_hide_its_neighbours() -> None:
    found = data('{"a": 1}\n{"b": 1, "b": 2}\n{"c": 3}\n{"d": }')
    assert found == [
        {"a": 1},
        'f.yaml:2:10: the key "b" is here twice',
        {"c": 3},
        "f.yaml:4:7: no JSON: Expecting value",
    ]


# What JSON forbids stands before the place at which the text stops to be JSON.
BROKEN_TWICE = [
    '{"a": {"b": NaN}, ]}',
    '{"a": {"b": 1, "b": 2}, "c\n": 1]',
    '[1e999, "',
    '{"a": {"b": 1, "b": 2}',
    "[NaN}}}]",
    '{"a": 99999999999999999999999999999, "b": NaN',
]


@pytest.mark.parametrize("text", BROKEN_TWICE)
def test_json_that_is_broken_twice_is_an_error_all_the_same(text: str) -> None:
    assert any(isinstance(document, DocumentError) for document in read(text))
    first, *_, last = read(f"{{}}\n{text}")
    assert isinstance(first, Document)
    assert isinstance(last, DocumentError)


@pytest.mark.parametrize(
    "opening", ["[", '{"a":', "{a: ", "- ", "? "], ids=["list", "JSON map", "flow map", "entries", "keys"]
)
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 1_000, 200_000])
def test_endless_nesting_is_an_error_and_takes_no_time(opening: str, depth: int, parser: str) -> None:
    started = time.monotonic()
    (found,) = read(opening * depth)
    assert isinstance(found, DocumentError)
    # Not a measurement: a parser that goes to the bottom needs minutes, or crashes the interpreter.
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("template", ["[%s]", '{"a":%s}', "{a: %s}"], ids=["list", "JSON map", "flow map"])
def test_nesting_is_allowed_up_to_the_limit(template: str, parser: str) -> None:
    deepest = "0"
    for _ in range(MAX_DEPTH):
        deepest = template % deepest
    (found,) = read(deepest)
    assert isinstance(found, Document)
    (found,) = read(template % deepest)
    assert isinstance(found, DocumentError)
    assert found.message == f"nested more than {MAX_DEPTH} levels deep"


def test_aliases_cannot_nest_beyond_the_limit() -> None:
    half = "[" * (MAX_DEPTH // 2) + "]" * (MAX_DEPTH // 2)
    deep = "[" * (MAX_DEPTH // 2) + "*h" + "]" * (MAX_DEPTH // 2)
    assert data(f"- &h {half}\n- {deep}\n") == [
        f"f.yaml:2:{MAX_DEPTH // 2 + 3}: nested more than {MAX_DEPTH} levels deep"
    ]


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


BOMBS = [
    pytest.param(laughs(9), id="billion laughs"),
    pytest.param(laughs(60), id="many more laughs"),
    pytest.param(
        "x: &x " + "y" * 10_000 + "\na: [" + ", ".join(["*x"] * 5_000) + "]", id="one large text, often"
    ),
    pytest.param(
        "a0: &a0 {k: v}\n" + "".join(f"a{i}: &a{i} {{x: *a{i - 1}, y: *a{i - 1}}}\n" for i in range(1, 40)),
        id="maps",
    ),
    pytest.param(
        "a0: &a0 {k: [1]}\n"
        + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}, k{i}: *a{i - 1}}}\n" for i in range(1, 40)),
        id="merges",
    ),
]


@pytest.mark.parametrize("text", BOMBS)
def test_alias_bomb_is_an_error(text: str) -> None:
    (found,) = read(text)
    assert isinstance(found, DocumentError)
    assert found.message == "the aliases make this far larger than any object may be"


def test_aliases_that_stay_small_are_fine() -> None:
    (found,) = read(laughs(4))
    assert isinstance(found, Document)
    assert len(found.data["a3"]) == 9


def test_lines_are_known_without_positions() -> None:
    documents = list(read_documents(b"a: 1\n---\n\nb: 2\n", "f", positions=False))
    assert [
        (document.line, document.locate(("b",))) for document in documents if isinstance(document, Document)
    ] == [
        (1, (1, 1)),
        (4, (4, 1)),
    ]


# --- laws ------------------------------------------------------------------------------------------------

yaml_ish = st.text(alphabet=st.sampled_from(list("ab01:-,[]{}&*!|>'\"%@`#?~<=.\\/ \t\n\ré\x07\ufeff\x85")))
json_ish = st.text(alphabet=st.sampled_from(list('{}[]",:0123456789.eE+-truefalsn \n\\u')))


@given(st.one_of(st.binary(), st.text().map(str.encode), yaml_ish.map(str.encode), json_ish.map(str.encode)))
def test_nothing_raises_and_all_that_is_read_is_json(content: bytes) -> None:
    lines = content.count(b"\n") + content.count(b"\r") + 3
    for document in read_documents(content, "f", positions=True):
        if isinstance(document, DocumentError):
            assert document.message
            assert 1 <= document.line <= lines + 3 * len(content)
            assert document.column >= 1
        else:
            json.dumps(document.data, allow_nan=False).encode()
            line, column = document.locate(("a", 0, "b"))
            assert line >= 1
            assert column >= 1


# What YAML 1.1 calls printable; the other characters are refused, see above.
characters = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff")
plain_data = json_values(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(characters, max_size=20),
    st.text(characters, max_size=8),
    most=4,
    leaves=20,
)


def whole_numbers(value: Any) -> Any:
    """Data as the API server has it: 1.0 is 1."""
    if isinstance(value, dict):
        return {key: whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole_numbers(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    return value


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good text in which some things were put where they do not belong."""
    value = draw(plain_data)
    stream = f"{{}}\n{json.dumps([value])}"
    text = draw(st.sampled_from([json.dumps([value], indent=1), yaml.safe_dump({"a": value}), stream]))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        dropped = draw(st.integers(0, 3))
        text = text[:at] + draw(st.sampled_from(DAMAGES)) + text[at + dropped :]
    return text.encode()


DAMAGES = [
    "", "\n", "---\n", "...\n", "{", "}", "[", "]", '"', "'", ":", ": ", "- ", ",", "NaN", "1e999", "\\ud800", "\\",
    "\t", "&a ", "*a", "<<: ", "!x ", "!!int ", "|\n", "? ", "%", "#", "\x00", '"k":1,"k":1,', "[" * 200, "9" * 5000,
]  # fmt: skip


@given(damaged())
def test_damage_is_an_error_or_harmless_and_never_raises(content: bytes) -> None:
    for document in read_documents(content, "f", positions=True):
        if isinstance(document, Document):
            json.dumps(document.data, allow_nan=False)
            document.locate(("a", "b", 0), offset=(2, 2))


@given(plain_data)
def test_json_reads_as_itself(value: Any) -> None:
    expected = [[whole_numbers(value)]]
    assert data(json.dumps([value])) == expected
    assert data(json.dumps([value], ensure_ascii=False, indent=2)) == expected


class Kubernetes(yaml.SafeDumper):
    """PyYAML's writer, quoting also what only kubectl takes for a boolean or a number."""


def quote_all(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')


Kubernetes.add_representer(str, quote_all)


@given(plain_data, st.booleans())
def test_what_pyyaml_writes_reads_as_itself(value: Any, flow: bool) -> None:
    expected = [] if value is None else [whole_numbers(value)]
    written = yaml.dump(value, Dumper=Kubernetes, default_flow_style=flow, allow_unicode=True, width=40)
    assert data(written) == expected


words = st.one_of(st.from_regex(r"[a-z0-9.+_-]{1,12}", fullmatch=True), st.sampled_from(sorted(SCALARS)))


@given(words)
def test_word_is_read_the_same_by_both_parsers(word: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fast = data(f"a: {word}\n")
        patch.setattr(yaml_events, "Parser", yaml.SafeLoader)
        pure = data(f"a: {word}\n")
    if all(isinstance(found, dict) for found in fast):
        assert fast == pure
        assert not any(
            isinstance(value, float) and not math.isfinite(value)
            for found in fast
            for value in found.values()
        )
