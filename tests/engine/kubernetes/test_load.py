"""Admission policies, bindings and parameters from the documents of a folder.

What is wrong with single documents is kept as golden text, see tests/cli/test_lint.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.kubernetes.policies import binding, compiled, config_map, problems, vap, warnings
from webhook.engine.kubernetes.load import compile_set
from webhook.engine.kubernetes.validating import annotation_key
from webhook.policy.findings import Severity

CONFIG = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
WIDGET = {"paramKind": {"apiVersion": "example.com/v1", "kind": "Widget"}}


def reference(**fields: Any) -> dict[str, Any]:
    return {"paramRef": {"parameterNotFoundAction": "Deny", **fields}}


def widget(name: str, namespace: str | None = None) -> dict[str, Any]:
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata}


def test_the_order_of_documents_does_not_matter() -> None:
    documents = [
        vap("b", "true"),
        binding("b"),
        vap("a", "true"),
        binding("a", name="z"),
        binding("a", name="y"),
    ]
    forward, backward = compiled(*documents), compiled(*reversed(documents))
    for found in (forward, backward):
        policies = {policy.name: policy for _, policy in found.validating}
        assert [b.name for b in policies["a"].bindings] == ["y", "z"]
        assert [b.name for b in policies["b"].bindings] == ["b"]


def test_the_older_version_is_taken_too() -> None:
    older = {"apiVersion": "admissionregistration.k8s.io/v1beta1"}
    assert len(compiled({**vap("p", "true"), **older}, {**binding("p"), **older}).validating) == 1


def test_the_annotations_of_gpuward_are_read() -> None:
    policy = vap("p", "true")
    policy["metadata"]["annotations"] = {
        "gpuward.dev/severity": "high",
        "gpuward.dev/title": "A title",
        "gpuward.dev/category": "c",
    }
    ((_, found),) = compiled(policy, binding("p")).validating
    assert (found.severity, found.title, found.category) == (Severity.HIGH, "A title", "c")
    ((_, plain),) = compiled(vap("p", "true"), binding("p")).validating
    assert (plain.severity, plain.title) == (Severity.MEDIUM, "p")


def test_objects_are_parameters_exactly_because_a_policy_names_their_kind() -> None:
    documents = [vap("p", "true", **CONFIG), binding("p", **reference(name="a")), config_map("a")]
    assert compile_set(documents).unknown == ()
    assert compile_set([vap("p", "true"), binding("p"), config_map("a")]).unknown == (2,)
    other_version = {**config_map("a"), "apiVersion": "v2"}
    assert compile_set([*documents[:2], other_version]).unknown == (2,)


def test_a_broken_policy_still_names_the_kind_of_its_parameters_and_has_its_bindings() -> None:
    broken = vap("p", "true", **CONFIG, nonsense=1)
    found = compile_set([broken, binding("p", **reference(name="a")), config_map("a")])
    assert found.unknown == ()
    assert [index for index, _ in found.problems] == [0]


@pytest.mark.parametrize(
    ("objects", "namespaced"),
    [
        ([widget("a", "platform")], True),
        ([widget("a"), widget("b", "platform")], True),
        ([widget("a")], False),
        ([], True),
    ],
)
def test_the_objects_of_a_custom_kind_tell_whether_it_lives_in_namespaces(
    objects: list[dict[str, Any]], namespaced: bool
) -> None:
    documents = [vap("p", "true", **WIDGET), binding("p", **reference(name="a", namespace="platform"))]
    message = "spec.paramRef.namespace: must not be there: objects of kind Widget live in no namespace"
    assert problems(*documents, *objects) == ([] if namespaced else [message])


def test_parameters_need_different_names_within_a_namespace() -> None:
    documents = [vap("p", "true", **CONFIG), binding("p", **reference(name="a"))]
    assert problems(*documents, config_map("a"), config_map("a", namespace="b")) == []
    twice = problems(*documents, config_map("a"), config_map("a", namespace="default"))
    assert twice == ['metadata.name: there is another ConfigMap of the name "a"']


def test_a_parameter_that_is_not_there_is_warned_of() -> None:
    documents = [vap("p", "true", **CONFIG), binding("p", **reference(name="maximun"))]
    assert warnings(*documents, config_map("maximum")) == [
        'spec.paramRef.name: there is no ConfigMap "maximun" in the policies folder; did you mean "maximum"?'
    ]
    assert warnings(*documents, config_map("maximun", namespace="anywhere")) == []


def test_everything_that_is_wrong_is_found_at_once() -> None:
    found = problems(
        vap("p", "object.spec.x", "params.x == 1", failurePolicy="Fail"),
        binding("q", "Deny", "Warn"),
    )
    assert len(found) == 4


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "ValidatingAdmissionPolicy"},
        {"kind": "ValidatingAdmissionPolicy", "metadata": [], "spec": "x"},
        {**vap("p", "true"), "spec": {"paramKind": "x"}},
        {**vap("p", "true"), "metadata": {"name": 3}},
        {"kind": "ValidatingAdmissionPolicyBinding", "spec": {"policyName": {}}},
        vap("p", "true", matchConstraints={"resourceRules": [{"resources": [1]}]}),
        vap("p", "true", validations=[None]),
        vap("p", "true", variables={"a": "b"}),
    ],
)
def test_no_document_is_too_odd(document: dict[str, Any]) -> None:
    assert compile_set([document]).problems


@pytest.mark.parametrize(
    ("policy", "key"),
    [("p", "k"), ("a.b", "c-d_e"), ("p" * 253, "k" * 63), ("p" * 60, ".k" * 20 + "k"), ("-" + "p" * 90, "k")],
)
def test_the_key_of_an_annotation_is_one_the_api_server_takes(policy: str, key: str) -> None:
    made = annotation_key(policy, key)
    assert len(made) <= 63
    assert made[0].isalnum()
    assert made[-1] == key[-1]
    assert "/" not in made
    assert annotation_key(policy + "x", key) != made
