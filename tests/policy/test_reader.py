"""The law of the two readers: what ``reader`` accepts pydantic accepts, as the same; and the other way round."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from pydantic import Field, TypeAdapter, ValidationError

from tests.policy.test_model import FULL, all_paths, any_json
from tests.policy.test_schema import BREAK_GLASS, EXCEPTION
from tests.policy.test_validation import Parameters as EveryType
from tests.support import POLICIES, REPOSITORY
from webhook.adapters.yaml_documents import Document, DocumentError, read_documents
from webhook.checks import CHECKS
from webhook.kube.path import Path as FieldPath
from webhook.kube.path import lookup
from webhook.mutations import MUTATIONS
from webhook.policy.case import PolicyCase
from webhook.policy.constraints import Pattern
from webhook.policy.kubernetes import documents
from webhook.policy.model import (
    AcceleratorCatalog,
    BreakGlass,
    Match,
    Policy,
    PolicyException,
    WorkloadCatalog,
)
from webhook.policy.reader import GivenUp, _reader, _unknown, read
from webhook.policy.rule import Rule
from webhook.policy.strict import Strict
from webhook.policy.validation import validate_document

MODELS: dict[str, type[Strict]] = {
    model.__name__: model
    for model in (
        Policy,
        PolicyException,
        BreakGlass,
        AcceleratorCatalog,
        WorkloadCatalog,
        PolicyCase,
        documents.ValidatingAdmissionPolicy,
        documents.ValidatingAdmissionPolicyBinding,
        documents.MutatingAdmissionPolicy,
        documents.MutatingAdmissionPolicyBinding,
    )
}
RULES: dict[str, type[Rule]] = {rule.name: rule for rule in (*CHECKS, *MUTATIONS)}

ADAPTERS = {
    kind: TypeAdapter(kind)
    for kind in (*MODELS.values(), *(rule.Parameters for rule in RULES.values()), EveryType)
}


def by_reader(kind: type[Strict], data: Any) -> Strict | None:
    try:
        return read(kind, data)
    except GivenUp:
        return None


def by_pydantic(kind: type[Strict], data: Any) -> Strict | None:
    try:
        found: Strict = ADAPTERS[kind].validate_json(orjson.dumps(data), strict=True)
    except ValidationError:
        return None
    return found


def assert_read_alike(kind: type[Strict], data: Any) -> Strict | None:
    """By both or by none; the same to the last type: 1 is no 1.0, and a list no tuple."""
    ours, theirs = by_reader(kind, data), by_pydantic(kind, data)
    assert repr(ours) == repr(theirs)
    assert ours == theirs
    return ours


# --- documents of this repository ------------------------------------------------------------------------

FOLDERS = (POLICIES, REPOSITORY / "webhook/examples", REPOSITORY / "tests/golden")
FILES = [
    *(file for folder in FOLDERS for suffix in ("yaml", "json") for file in sorted(folder.rglob(f"*.{suffix}"))),
    REPOSITORY / "webhook/kube/accelerators.yaml",
]  # fmt: skip


def documents_of(file: Path) -> list[Any]:
    found: list[Document | DocumentError] = list(read_documents(file.read_bytes(), str(file)))
    return [document.data for document in found if isinstance(document, Document)]


def parameters_in(policy: Any) -> list[tuple[type[Strict], Any]]:
    """What a policy gives to rules that there are."""
    given = []
    for section in ("mutate", "validate"):
        entries = lookup(policy, ("spec", section))
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and isinstance(name := entry.get("rule"), str) and name in RULES:
                given.append((RULES[name].Parameters, entry.get("parameters", {})))  # noqa: PERF401 - plainer
    return given


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_documents_right_and_wrong_are_read_alike(file: Path) -> None:
    for document in documents_of(file):
        kind = document.get("kind") if isinstance(document, dict) else None
        model = MODELS.get(kind) if isinstance(kind, str) else None
        if model is not None:
            assert_read_alike(model, document)
        for parameters, data in parameters_in(document):
            assert_read_alike(parameters, data)


def test_shipped_policies_are_read_without_pydantic() -> None:
    for file in sorted(POLICIES.rglob("*.yaml")):
        for document in documents_of(file):
            assert read(MODELS[document["kind"]], document)
            assert all(read(parameters, data) for parameters, data in parameters_in(document))


# --- changed documents -----------------------------------------------------------------------------------

CASE = {
    "apiVersion": "gpuward.dev/v1alpha1",
    "kind": "PolicyCase",
    "metadata": {"name": "a case"},
    "spec": {
        "expect": "deny",
        "object": {"kind": "Pod"},
        "resource": "apps/v1/deployments",
        "mode": "warn",
        "user": {"name": "a", "groups": ["b"]},
        "objects": [{"kind": "Namespace"}],
        "today": "2027-03-31",
        "findings": [{"rule": "r", "action": "Warn", "path": "spec"}],
        "patch": [{"op": "add"}],
        "fields": {"spec.a": 1.5},
    },
}
KUBERNETES = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "MutatingAdmissionPolicy",
    "metadata": {"name": "a", "labels": {"a": "b"}},
    "spec": {
        "failurePolicy": "Ignore",
        "matchConstraints": {
            "resourceRules": [{"apiGroups": [""], "operations": ["CREATE"], "scope": "*"}],
            "objectSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
        },
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}],
    },
}
WORKLOADS = {
    "apiVersion": "gpuward.dev/v1alpha1",
    "kind": "WorkloadCatalog",
    "metadata": {"name": "w"},
    "spec": {
        "workloads": [{"kind": "a/v1/B", "templates": [{"path": "spec", "replicas": ["spec.a", "spec.b"]}]}]
    },
}
ACCELERATORS = documents_of(REPOSITORY / "webhook/kube/accelerators.yaml")[0]
WRITTEN: list[dict[str, Any]] = [
    FULL,
    EXCEPTION,
    BREAK_GLASS,
    CASE,
    KUBERNETES,
    WORKLOADS,
    {**ACCELERATORS, "spec": {"accelerators": ACCELERATORS["spec"]["accelerators"][:1]}},
]

# Near misses of every type: of numbers, texts, dates, names, lists and maps.
ODD = [
    None, True, False, 0, 1, -1, 1.0, 0.5, -0.0, 1e300, 2**63, 2**64 - 1, -(2**63), "", "a", "a\n", "A", "a.b", "-",
    "é", "1", "true", "null", "Warn", "warn", "high", "In", "CREATE", "*", "Pod", "2027-03-31", "2027-02-30",
    "0000-01-01", "2027-03-31\n", " 2027-03-31", "2027-3-31", "2027-03-31T00:00:00", "\uff12027-03-31", "9999-12-31",
    "x" * 253, "x" * 254,
    "spec[a]", "spec.containers[0].image", "a]", [], {}, [[]], ["a"], ["a", 1], [None], {"a": "b"}, {"a": None},
    {"": ""}, {"a\n": 1}, {"kind": "Namespace"}, {"name": "n"}, {"key": "a", "operator": "In"}, {"matchLabels": {}},
]  # fmt: skip


def changed(document: Any, path: FieldPath, value: Any) -> Any:
    changed = copy.deepcopy(document)
    holder = lookup(changed, path[:-1])
    holder[path[-1]] = value
    return changed


def without(document: Any, path: FieldPath) -> Any:
    changed = copy.deepcopy(document)
    del lookup(changed, path[:-1])[path[-1]]
    return changed


@pytest.mark.parametrize("document", WRITTEN, ids=[str(document["kind"]) for document in WRITTEN])
def test_documents_with_something_odd_anywhere_are_read_alike(document: Any) -> None:
    model = MODELS[document["kind"]]
    assert assert_read_alike(model, document) is not None
    for path in all_paths(document):
        assert_read_alike(model, without(document, path))
        for value in ODD:
            assert_read_alike(model, changed(document, path, value))


@given(st.sampled_from([(document, path) for document in WRITTEN for path in all_paths(document)]), any_json)
def test_documents_with_any_value_anywhere_are_read_alike(place: tuple[Any, FieldPath], value: Any) -> None:
    document, path = place
    assert_read_alike(MODELS[document["kind"]], changed(document, path, value))


def values_of(kind: type[Strict], depth: int = 3) -> st.SearchStrategy[Any]:
    """Maps with the fields of a class, some of them fitting and some not."""
    fields = {}
    for field in structs.fields(kind):
        inner = [below for below in _classes(field.type) if depth]
        maps = [values_of(below, depth - 1) for below in inner]
        fields[field.encode_name] = st.one_of(
            *maps, *(st.lists(value, max_size=2) for value in maps), st.sampled_from(ODD), any_json
        )
    return st.fixed_dictionaries({}, optional=fields | {"unknown": st.just(1)} if depth == 1 else fields)


def _classes(annotation: Any) -> list[type[Strict]]:
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return [annotation]
    return [found for argument in getattr(annotation, "__args__", ()) for found in _classes(argument)]


@pytest.mark.parametrize("name", sorted(RULES))
def test_parameters_are_read_alike(name: str) -> None:
    kind = RULES[name].Parameters

    @settings(max_examples=60)
    @given(values_of(kind))
    def alike(data: Any) -> None:
        assert_read_alike(kind, data)

    alike()
    # One field alone, so that another's mistake hides nothing.
    for field in structs.fields(kind):
        for value in ODD:
            assert_read_alike(kind, {field.encode_name: value})


@pytest.mark.parametrize("kind", [*MODELS.values(), *(rule.Parameters for rule in RULES.values())])
def test_every_type_of_a_field_is_known_to_the_reader(kind: type[Strict]) -> None:
    for field in structs.fields(kind):
        for annotation in _types_in(field.type):
            assert _reader(annotation) is not _unknown, f"{field.name}: {annotation}"


def _types_in(annotation: Any) -> Iterator[Any]:
    """A type and those it is made of."""
    yield annotation
    arguments = () if get_origin(annotation) is Literal else get_args(annotation)
    for argument in arguments[:1] if get_origin(annotation) is Annotated else arguments:
        if argument is not ...:
            yield from _types_in(argument)
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        for field in structs.fields(annotation):
            yield from _types_in(field.type)


@pytest.mark.parametrize(
    "field", [f.name for f in structs.fields(EveryType) if f.name not in ("odd", "even")]
)
def test_every_type_is_read_alike(field: str) -> None:
    for value in [*ODD, ["a", "b"], {"cpu": "1"}, {"count": 1}, {"count": 1.0}, "red", "green", {"A": 1}]:
        assert_read_alike(EveryType, {field: value})


# --- what the reader leaves to pydantic ------------------------------------------------------------------


class Elsewhere(Strict, frozen=True):
    """What is only good because pydantic knows it."""

    day: date | None = None
    deep: Any = None
    number: Annotated[int, Field(multiple_of=2)] = 2
    either: bool | tuple[str, str] = True


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


LEFT = [
    pytest.param({"day": "86400"}, Elsewhere(day=date(1970, 1, 2)), id="a day told in seconds"),
    pytest.param({"deep": nested(150)}, Elsewhere(deep=nested(150)), id="deeper than any document that is meant"),
    pytest.param({"number": 4}, Elsewhere(number=4), id="a constraint of another library"),
    pytest.param({"either": ["a", "b"]}, Elsewhere(either=("a", "b")), id="a tuple of two"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), LEFT)
def test_reader_gives_up_and_pydantic_reads_it(data: Any, expected: Elsewhere) -> None:
    with pytest.raises(GivenUp):
        read(Elsewhere, data)
    assert validate_document(Elsewhere, data) == expected


@pytest.mark.parametrize("reader", [by_reader, by_pydantic])
def test_operations_are_written_or_not_whatever_they_are(reader: Any) -> None:
    def operations_named(match: dict[str, Any]) -> bool:
        named: bool = reader(Policy, changed(FULL, ("spec", "match"), match)).spec.match.names_operations
        return named

    assert operations_named({"operations": ["CREATE", "UPDATE"]})
    assert not operations_named({})
    assert not operations_named({"kinds": ["Pod"]})
    assert not structs.replace(Match(), kinds=["Pod"]).names_operations


def test_a_pattern_is_of_the_whole_text() -> None:
    assert Pattern("^a|b$").accepts("b")
    assert not Pattern("^a$").accepts("a\n")
    with pytest.raises(ValueError, match=r"from \^ to \$, not a"):
        Pattern("a")
