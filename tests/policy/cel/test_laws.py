"""Laws that hold for every object and every expression."""

from __future__ import annotations

import json
import string
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.strategies import json_values
from webhook.policy.cel import CelCompileError, CelEvaluationError, Environment, Program, Scope, tree, wire

from .evaluating import evaluate

# Anything a JSON text can hold, lone surrogates and NUL included.
_TEXT = st.text(st.characters(), max_size=8) | st.sampled_from(
    ["", "\0", "a\0b", "\ud800", "\ufdd0Q1e0s", "1Gi", "::1"]
)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([2**63, 2**63 - 1, -(2**63), 2**64])
    | st.floats()
    | _TEXT
)
_KEYS = st.sampled_from(["metadata", "spec", "labels", "containers", "name", "x", "managedFields"]) | _TEXT
_JSON = json_values(_SCALARS, _KEYS, most=4, leaves=12)

_EXPRESSIONS = [
    "object",
    "object.metadata",
    "object.metadata.name",
    "has(object.metadata.labels.x)",
    "has(object.x)",
    "object.?metadata.?labels.?x.orValue('')",
    "object[?'x'].hasValue()",
    "object.x + object.x",
    "object == oldObject",
    "object < oldObject",
    "type(object) == type(oldObject)",
    "object.map(k, k)",
    "object.all(k, v, k != v)",
    "object.transformList(k, v, v)",
    "object.sum()",
    "object.min()",
    "object.isSorted()",
    "object.sort()",
    "object.distinct()",
    "object.indexOf(oldObject)",
    "object.lastIndexOf(oldObject)",
    "oldObject in object",
    "object.find('[a-z]+')",
    "'abc'.matches(object)",
    "'abc'.findAll(object)",
    "object.split(oldObject)",
    "object.replace(oldObject, 'x')",
    "object.substring(oldObject)",
    "object.format([oldObject])",
    "'%s %d'.format([object, oldObject])",
    "'%f %x'.format([object, oldObject])",
    "string(object)",
    "int(object)",
    "double(object)",
    "size(object)",
    "isQuantity(object)",
    "quantity(object).add(quantity(oldObject)).asApproximateFloat()",
    "quantity(object).isInteger()",
    "isURL(object)",
    "url(object).getQuery()",
    "url(object).getHost()",
    "isIP(object)",
    "ip(object).family()",
    "isCIDR(object)",
    "string(cidr(object).masked())",
    "isSemver(object, true)",
    "semver(object).compareTo(semver(oldObject))",
    "format.named(object).hasValue()",
    "format.dns1123Label().validate(object).orValue([])",
    "format.qualifiedName().validate(object).orValue([])",
    "format.datetime().validate(object).hasValue()",
    "sets.contains(object, oldObject)",
    "duration(object) < duration(oldObject)",
    "timestamp(object).getFullYear()",
    "object ? 1 : 2",
    "strings.quote(object)",
    "base64.encode(bytes(object))",
    "math.greatest(object, oldObject)",
    "[object, oldObject].sort()",
    "object.join(oldObject)",
    "object.flatten()",
]


@pytest.fixture(scope="module")
def programs() -> list[Program]:
    environment = Environment([("both", "[object, oldObject]")])
    return [environment.compile(expression, "any") for expression in (*_EXPRESSIONS, "variables.both")]


@settings(max_examples=150, deadline=None)
@given(new=_JSON, old=_JSON)
def test_no_object_makes_an_evaluation_crash(programs: list[Program], new: Any, old: Any) -> None:
    scope = Scope(object=new, old_object=old, request={"name": new}, namespace_object=old, params=new)
    before = repr((new, old))
    for program in programs:
        with suppress(CelEvaluationError):
            program.evaluate(scope)
    assert repr((new, old)) == before


_PLAIN_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufdd0"))
)
_PLAIN_KEYS = st.text(string.ascii_letters + "./-é", max_size=6)
_PLAIN_JSON = json_values(_PLAIN_SCALARS, _PLAIN_KEYS, most=None, leaves=20)


@settings(max_examples=150, deadline=None)
@given(_PLAIN_JSON)
def test_an_object_goes_in_and_out_unchanged(value: Any) -> None:
    assert json.dumps(evaluate("object", scope=Scope(object=value)), sort_keys=True) == json.dumps(
        value, sort_keys=True
    )
    assert evaluate("object == oldObject", scope=Scope(object=value, old_object=value)) is True


@settings(max_examples=60, deadline=None)
@given(
    managed=_PLAIN_JSON,
    expression=st.sampled_from(
        [
            "object.metadata.name",
            "has(object.metadata.labels)",
            "size(object.metadata)",
            "object.metadata",
            "has(object.metadata.managedFields)",
            "object.metadata.?managedFields.hasValue()",
            "object['metadata'].size()",
            "object.size()",
            "[object].all(o, has(o.metadata.managedFields))",
            "object.map(k, k)",
        ]
    ),
)
def test_managed_fields_are_there_for_whoever_looks(managed: Any, expression: str) -> None:
    """Most expressions are evaluated without them; none can tell."""
    pod = {"metadata": {"name": "n", "managedFields": managed}}
    alone = evaluate(expression, scope=Scope(object=pod))
    both = evaluate(f"[dyn({expression}), dyn(object)][0]", scope=Scope(object=pod))
    assert alone == both


_FRAGMENTS = st.sampled_from(
    [
        *(
            "object",
            "request",
            "variables",
            "namespaceObject",
            "oldObject",
            "x",
            "1",
            "1.5",
            "'a'",
            "b'a'",
            "null",
            "true",
        ),
        *(
            ".",
            "?.",
            ".?",
            "[",
            "]",
            "(",
            ")",
            "{",
            "}",
            ",",
            ":",
            "?",
            "[?",
            "&&",
            "||",
            "!",
            "-",
            "+",
            "*",
            "/",
            "%",
        ),
        *(
            "==",
            "!=",
            "<",
            ">",
            "<=",
            ">=",
            " in ",
            " ",
            "\n",
            "\t",
            "//",
            "`",
            '"',
            "'",
            "\\",
            "é",
            "\0",
            "=",
            "and",
        ),
        *(
            "metadata",
            "name",
            "kind",
            "userInfo",
            "has(",
            "all(x,",
            "map(k,",
            "exists(x,",
            "quantity(",
            "size(",
            "type(",
        ),
        *(
            "matches(",
            "format(",
            "find(",
            "sum()",
            "min()",
            "validate(",
            "format.dns1123Label()",
            "ip(",
            "cel.bind(y,",
        ),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(_FRAGMENTS, max_size=12).map("".join))
@example("'%s'.format([")
@example("{'a': 1}.all(k, v, k)")
@example("object.`a")
def test_no_text_makes_compiling_crash(text: str) -> None:
    compiled = _compile(text)
    if isinstance(compiled, Program):
        with suppress(CelEvaluationError):
            compiled.evaluate(Scope(object={"metadata": {"name": "n"}}))
    else:
        assert 1 <= compiled.line <= text.count("\n") + 1
        assert compiled.column >= 1
        assert compiled.message in str(compiled)


def _compile(text: str) -> Program | CelCompileError:
    try:
        return Environment([("x", "1")]).compile(text, "any")
    except CelCompileError as error:
        return error


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(_EXPRESSIONS), st.integers(0, 5), st.sampled_from(["\n", " ", "\t", "\n  "]))
def test_space_before_an_expression_moves_its_errors_and_nothing_else(
    expression: str, times: int, space: str
) -> None:
    bad = expression + " + nope"
    with pytest.raises(CelCompileError) as plain:
        Environment().compile(bad)
    with pytest.raises(CelCompileError) as moved:
        Environment().compile(space * times + bad)
    assume(plain.value.line == 1)
    assert moved.value.message == plain.value.message
    prefix = space * times
    assert moved.value.line == 1 + prefix.count("\n")
    assert moved.value.column == plain.value.column + len(prefix.rpartition("\n")[2])


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=300))))
def test_what_is_written_to_the_wire_is_read_from_it(fields: list[tuple[int, int | bytes]]) -> None:
    data = b"".join(
        wire.int_field(number, value) if isinstance(value, int) else wire.bytes_field(number, value)
        for number, value in fields
    )
    message = wire.Message(data)
    last = dict(fields)
    for number, value in last.items():
        assert (message.int64(number) if isinstance(value, int) else message.blob(number)) == value


@given(st.binary(max_size=40))
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with suppress(wire.WireError, UnicodeDecodeError):
        tree.decode(data)
