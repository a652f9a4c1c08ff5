"""Documents of Kubernetes' own policies: what the real API server refuses is an error in gpuward, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import ApiError, ControlPlane
from tests.e2e.differential import harness
from tests.support import REPOSITORY
from webhook.engine.kubernetes.load import KINDS, compile_set
from webhook.kube.gvk import parse_api_version
from webhook.kube.path import render
from webhook.kube.resources import resource_for

GOLDEN = sorted((REPOSITORY / "tests/golden/lint").glob("admission-polic*.yaml"))

# What is right to the API server, which sees one document at a time, and wrong in a folder, or not supported here.
_OUR_OWN = (
    "authorizer is not available",
    "there is another ValidatingAdmissionPolicy",
    "there is no ValidatingAdmissionPolicy",
    "there is no MutatingAdmissionPolicy",
    "has no kind",
    "live in no namespace",
    "must be one of critical",
)


def _documents(file: Path) -> list[dict[str, Any]]:
    return [d for d in yaml.safe_load_all(file.read_text()) if d["kind"] in KINDS]


def _refusal(cluster: ControlPlane, document: dict[str, Any]) -> dict[str, Any] | None:
    """The API server's `Status` where it does not take a document."""
    resource = resource_for(parse_api_version(document["apiVersion"], document["kind"]))
    # As strict about fields as kubectl asks it to be.
    path = f"/apis/{resource}?dryRun=All&fieldValidation=Strict"
    try:
        cluster.api("POST", path, document)
    except ApiError as error:
        return error.body
    return None


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_what_the_api_server_refuses_is_an_error(control_plane: ControlPlane, file: Path) -> None:
    documents = _documents(file)
    problems = compile_set(documents).problems
    for index, document in enumerate(documents):
        refusal = _refusal(control_plane, document)
        found = [problem for at, problem in problems if at == index]
        serious = [problem for problem in found if not any(own in str(problem) for own in _OUR_OWN)]
        said = f"the API server: {refusal or 'takes it'}; gpuward: {list(map(str, found))}"
        assert (refusal is not None) == bool(serious), said
        # Every field that it names is named here, or one above or below it.
        paths = [render(problem.path) for problem in found]
        for cause in ((refusal or {}).get("details") or {}).get("causes", ()):
            field = cause["field"]
            if "mutually exclusive" in cause["message"]:
                # The API server says it of both.
                field = field.rpartition(".")[0]
            assert any(field.startswith(path) or path.startswith(field) for path in paths), f"{cause}; {said}"


@pytest.mark.parametrize("name", harness.policy_names())
def test_what_gpuward_takes_the_api_server_takes(control_plane: ControlPlane, name: str) -> None:
    for document in harness.read_policy(name).of_kinds(KINDS):
        assert _refusal(control_plane, document) is None
