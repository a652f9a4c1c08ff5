"""Real manifests and the checks of objects as they are: nothing crashes, and findings lead into the manifest."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from tests.support import shared, shipped_ruleset
from webhook.adapters.manifests import Manifest, read_manifests
from webhook.checks import CHECKS
from webhook.engine.compile import compile_policy
from webhook.engine.decision import Facts
from webhook.engine.offline import kind_of, request_for
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.kube.path import MISSING, lookup
from webhook.policy.findings import Mode
from webhook.policy.rule import Context, ObjectCheck

CORPUS = shared("corpus")
CHECKED = [check for check in CHECKS if issubclass(check, ObjectCheck)]
KINDS = {kind for check in CHECKED for kind in check.kinds}
MANIFESTS = [
    item
    for item in read_manifests([str(CORPUS)])
    if isinstance(item, Manifest) and (kind_of(item.obj).group, kind_of(item.obj).kind) in KINDS
]


@cache
def every_check() -> Ruleset:
    """All checks of objects, in one policy that names no kinds."""
    catalog = shipped_ruleset().catalog
    document: dict[str, Any] = {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": "all"},
        "spec": {"validate": [{"rule": check.name} for check in CHECKED]},
    }
    return Ruleset([compile_policy(document, Context(catalog))], catalog)


@pytest.mark.parametrize(
    "manifest", MANIFESTS, ids=lambda m: f"{m.source.removeprefix(str(CORPUS))}#{m.document}"
)
def test_every_finding_leads_into_the_manifest(manifest: Manifest) -> None:
    decision = review(request_for(manifest.obj), every_check(), Facts(mode=Mode.ENFORCE))
    for finding in decision.findings:
        assert not finding.error
        # A label that is missing is named by the key it should have; everything else is there.
        there = finding.path[:2] if finding.path[0] == "metadata" else finding.path
        assert lookup(manifest.obj, there) is not MISSING or there[0] == "metadata", finding


def test_the_corpus_has_objects_to_judge() -> None:
    kinds = {kind_of(manifest.obj).kind for manifest in MANIFESTS}
    assert {"NetworkPolicy", "ClusterRole", "ClusterRoleBinding", "RoleBinding"} <= kinds
