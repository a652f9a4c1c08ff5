"""The policy documents as custom resources, as a real API server sees them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.policy.test_model import FULL, SMALLEST
from tests.support import POLICIES, REPOSITORY
from webhook.adapters.policy_documents import built_in_catalog_document
from webhook.adapters.policy_files import load
from webhook.adapters.yaml_documents import Document, read_documents
from webhook.kube.path import MISSING, parse
from webhook.policy.crd import custom_resource_definitions

from .cluster import ControlPlane

CRDS = REPOSITORY / "manifests" / "crds"
WORKLOADS = {
    "apiVersion": "gpuward.dev/v1alpha1",
    "kind": "WorkloadCatalog",
    "metadata": {"name": "ours"},
    "spec": {
        "workloads": [
            {
                "kind": "example.com/v1/Training",
                "templates": [
                    {"path": "spec.template", "replicas": "spec.replicas"},
                    {
                        "path": "spec.roles[*].template",
                        "replicas": ["spec.roles[*].replicas", "spec.replicas"],
                    },
                ],
            }
        ]
    },
}
EXCEPTION = {
    "apiVersion": "gpuward.dev/v1alpha1",
    "kind": "PolicyException",
    "metadata": {"name": "legacy"},
    "spec": {
        "reason": "ticket ML-123",
        "expires": "2099-12-31",
        "policies": ["resource-defaults"],
        "match": {"namespaces": ["ml-legacy"]},
    },
}


@pytest.fixture(scope="module")
def crds(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane with the CRDs installed and established."""
    control_plane.kubectl("apply", "--server-side", "-k", str(CRDS))
    names = [f"crd/{definition['metadata']['name']}" for definition in custom_resource_definitions()]
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    yield control_plane
    control_plane.kubectl("delete", "--wait", "-k", str(CRDS))


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(POLICIES.glob("*/*.yaml")):
        for document in read_documents(file.read_bytes(), str(file)):
            assert isinstance(document, Document)
            if document.data["apiVersion"] == "gpuward.dev/v1alpha1":
                yield f"{file.parent.name}-{document.index}", document.data
    yield "every-field", FULL
    yield "smallest", SMALLEST
    yield "accelerators", built_in_catalog_document()
    yield "workloads", WORKLOADS
    yield "exception", EXCEPTION


GOOD = dict(documents())


def test_the_api_server_takes_the_definitions_as_they_are(crds: ControlPlane) -> None:
    for definition in custom_resource_definitions():
        name = definition["metadata"]["name"]
        live = crds.api("GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
        conditions = {one["type"]: one for one in live["status"]["conditions"]}
        assert conditions["Established"]["status"] == "True"
        assert "NonStructuralSchema" not in conditions
        (written,) = definition["spec"]["versions"]
        (stored,) = live["spec"]["versions"]
        assert stored["schema"] == written["schema"], "a keyword was dropped"


@pytest.mark.parametrize("name", GOOD)
def test_good_documents_are_accepted_whole(crds: ControlPlane, name: str) -> None:
    document = GOOD[name]
    done = crds.apply(document, None, "--dry-run=server", "-o", "json")
    applied = json.loads(done.stdout)
    assert "Warning" not in done.stderr
    assert_holds(document["spec"], applied["spec"])


def assert_holds(written: Any, stored: Any) -> None:
    """All that was written is there; the API server adds defaults and takes nothing away."""
    if isinstance(written, dict):
        for key, value in written.items():
            assert key in stored
            assert_holds(value, stored[key])
    elif isinstance(written, list):
        assert len(written) == len(stored)
        for one, other in zip(written, stored, strict=True):
            assert_holds(one, other)
    else:
        assert stored == written


def changed(path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(FULL)
    *way, last = parse(path)
    node: Any = document
    for segment in way:
        node = node[segment]
    if value is MISSING:
        del node[last]
    else:
        node[last] = value
    return document


SELECTOR = "spec.match.namespaceSelector"
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no rules": (
        {**SMALLEST, "spec": {"action": "Warn"}},
        "needs at least one rule under `mutate` or `validate`",
    ),
    "no spec": ({key: value for key, value in SMALLEST.items() if key != "spec"}, "spec: Required value"),
    "a word that is none of the choices": (changed("spec.action", "Deny"), "spec.action: Unsupported value"),
    "a wrong type": (changed("spec.validate", "require-limits"), "spec.validate: Invalid value"),
    "an empty text": (changed("spec.mutate", [{"rule": ""}]), "spec.mutate[0].rule: Invalid value"),
    "something required": (changed("spec.mutate", [{"parameters": {}}]), "spec.mutate[0].rule: Required value"),
    "neither rule nor expression": (
        changed("spec.validate", [{"severity": "high"}]), "needs a `rule` or an `expression`",
    ),
    "what goes with an expression": (
        changed("spec.validate", [{"rule": "no-privileged", "message": "no"}]),
        "`message` goes with `expression`, not with `rule`",
    ),
    "parameters of an expression": (
        changed("spec.validate", [{"expression": "true", "parameters": {"a": 1}}]),
        "`parameters` go with `rule`, not with `expression`",
    ),
    "an operator without values": (
        changed(SELECTOR, {"matchExpressions": [{"key": "a", "operator": "In"}]}),
        "operators In and NotIn need at least one value",
    ),
    "an operator with values": (
        changed(SELECTOR, {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}),
        "operators Exists and DoesNotExist take no values",
    ),
    "a day that is none": (
        changed("spec.exceptions", [{"name": "a", "reason": "b", "match": {}, "expires": "soon"}]),
        "spec.exceptions[0].expires: Invalid value",
    ),
    "a name that is none": (
        changed("spec.variables", [{"name": "not-cel", "expression": "1"}]),
        "spec.variables[0].name: Invalid value",
    ),
    "a bad name": ({**SMALLEST, "metadata": {"name": "Not_A_Name"}}, "metadata.name: Invalid value"),
}  # fmt: skip


@pytest.mark.parametrize("why", BROKEN)
def test_broken_documents_are_refused_by_the_api_server(crds: ControlPlane, why: str) -> None:
    document, message = BROKEN[why]
    done = crds.apply(document, None, "--dry-run=server", "--validate=ignore", check=False)
    assert done.returncode == 1
    assert message in done.stderr


def test_an_unknown_field_is_refused_by_kubectl_and_pruned_without_validation(crds: ControlPlane) -> None:
    document = changed("spec.acton", "Warn")
    done = crds.apply(document, None, "--dry-run=server", check=False)
    assert done.returncode == 1
    assert 'unknown field "acton"' in done.stderr
    kept = crds.apply(document, None, "--dry-run=server", "--validate=ignore", "-o", "json")
    assert "acton" not in json.loads(kept.stdout)["spec"]


def test_lint_takes_what_kubectl_prints(crds: ControlPlane, tmp_path: Path) -> None:
    document = {**SMALLEST, "metadata": {"name": "exported"}}
    crds.apply(document)
    try:
        for name, arguments in (("one", ("policies", "exported")), ("list", ("policies",))):
            exported = crds.kubectl("get", *arguments, "-o", "yaml").stdout
            assert "uid" in exported
            file = tmp_path / f"{name}.yaml"
            file.write_text(exported)
            loaded = load(file)
            assert not loaded.problems
            assert "exported" in [policy.name for policy, _ in loaded.policies]
    finally:
        crds.kubectl("delete", "policy", "exported")


def test_the_columns_say_whether_it_is_ready(crds: ControlPlane) -> None:
    crds.apply({**SMALLEST, "metadata": {"name": "columns"}})
    try:
        heading = crds.kubectl("get", "gpol", "columns").stdout.splitlines()[0]
        assert heading.split() == ["NAME", "ACTION", "READY", "AGE"]
    finally:
        crds.kubectl("delete", "policy", "columns")


def test_the_files_are_what_is_applied() -> None:
    written = [yaml.safe_load(file.read_text()) for file in sorted(CRDS.glob("gpuward.dev_*.yaml"))]
    names = sorted(definition["metadata"]["name"] for definition in custom_resource_definitions())
    assert sorted(one["metadata"]["name"] for one in written) == names
