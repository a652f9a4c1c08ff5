"""protected-objects: gpuward's own policies."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tests.engine.policies import ruleset
from webhook.checks.protected_objects import ProtectedObjects
from webhook.engine.compile import compile_policy
from webhook.engine.decision import Facts
from webhook.engine.offline import request_for
from webhook.engine.review import review
from webhook.policy.findings import Mode
from webhook.policy.rule import Context

from .objects import as_object, compiled_object_check
from .pods import catalog


def policy(action: str = "Enforce", **changes: Any) -> dict[str, Any]:
    metadata = {"name": "x", "resourceVersion": "1"}
    return {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "Policy",
        "metadata": metadata,
        "spec": {"action": action},
        **changes,
    }


def said(obj: dict[str, Any], old: dict[str, Any] | None) -> list[str]:
    judged = replace(as_object(obj), old=None if old is None else as_object(old))
    return [violation.reason for violation in compiled_object_check(ProtectedObjects)(judged)]


def test_it_may_be_neither_created_nor_changed() -> None:
    assert said(policy(), None) == ["protected-object"]
    assert said(policy("Audit"), policy()) == ["protected-object"]
    assert said(policy(metadata={"name": "x", "labels": {"a": "b"}}), policy()) == ["protected-object"]
    for field in ("finalizers", "ownerReferences"):
        assert said(policy(metadata={"name": "x", field: ["a"]}), policy()) == ["protected-object"], field


def test_its_status_is_the_servers() -> None:
    later = {"name": "x", "resourceVersion": "2", "managedFields": [{"manager": "gpuward"}]}
    assert said(policy(status={"conditions": []}, metadata=later), policy()) == []


def test_its_deletion_is_judged_where_the_policy_is_about_deletions() -> None:
    gate = {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": "gate"},
        "spec": {
            "match": {"operations": ["CREATE", "UPDATE", "DELETE"]},
            "exclude": [{"groups": ["admins"]}],
            "validate": [{"rule": "protected-objects"}, {"rule": "protected-labels"}],
        },
    }
    compiled = compile_policy(gate, Context(catalog()))
    for groups, allowed in ((("developers",), False), (("admins",), True)):
        deletion = request_for(None, old_object=policy(), operation="DELETE", username="ada", groups=groups)
        assert review(deletion, ruleset(compiled), Facts(mode=Mode.ENFORCE)).allowed is allowed
    # Whoever may delete a namespace takes its labels along.
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "ml", "labels": {"gpuward.dev/mode": "warn"}},
    }
    deletion = request_for(
        None, old_object=namespace, operation="DELETE", username="ada", groups=("developers",)
    )
    assert review(deletion, ruleset(compiled), Facts(mode=Mode.ENFORCE)).allowed
