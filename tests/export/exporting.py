"""From policy documents to what is exported of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from tests.support import POLICIES
from webhook.adapters import policy_files
from webhook.adapters.policy_documents import built_in_catalog_document
from webhook.engine.compile import compile_policy
from webhook.engine.kubernetes.admission import KubernetesAdmission
from webhook.engine.kubernetes.load import compile_set
from webhook.engine.ruleset import Ruleset
from webhook.export.vap import Exported, Setting, Target, export_policy
from webhook.kube.accelerators import catalog_from_documents
from webhook.policy.rule import Context
from webhook.policy.validation import validate_policy

CATALOG = catalog_from_documents([built_in_catalog_document()])
TODAY = date(2026, 11, 27)


def exported(document: dict[str, Any], *, templates: bool = False, **setting: Any) -> Exported:
    """The export of a policy; ``setting`` is what it is exported with, see ``Setting``."""
    compiled = compile_policy(document, Context(CATALOG))
    target = Target(CATALOG, templates)
    return export_policy(validate_policy(document), compiled, target, Setting(**{"today": TODAY, **setting}))


def ruleset(*documents: dict[str, Any]) -> Ruleset:
    return Ruleset((compile_policy(document, Context(CATALOG)) for document in documents), CATALOG)


def policies_of(objects: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [document for document in objects if document["kind"] == "ValidatingAdmissionPolicy"]


def shipped_documents() -> list[dict[str, Any]]:
    """The documents of the policies that come with gpuward."""
    return [written.data for _, written in policy_files.load(POLICIES).policies]


def read_back(objects: Iterable[dict[str, Any]]) -> Ruleset:
    """The exported objects as gpuward runs them when they lie in its policies folder."""
    compiled = compile_set(list(objects))
    assert not compiled.problems
    assert not compiled.unknown
    admission = KubernetesAdmission([each for _, each in compiled.validating])
    return Ruleset((), CATALOG, kubernetes=admission)
