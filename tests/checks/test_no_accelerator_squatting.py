"""no-accelerator-squatting: who requests no accelerator tolerates no accelerator taint."""

from __future__ import annotations

from typing import Any

import pytest

from webhook.checks.no_accelerator_squatting import NoAcceleratorSquatting as Rule
from webhook.kube.accelerators import Accelerator, Catalog, Taint
from webhook.kube.pod import Pod
from webhook.policy.rule import Context

from .pods import JUNK, Said, container, judge, limits, refused, spec, table, violations

GPU = "nvidia.com/gpu"
KEYED: Said = [("accelerator-taint-tolerated", "spec.tolerations[0]")]
BLANKET: Said = [("every-taint-tolerated", "spec.tolerations[0]")]

TOLERATIONS: dict[str, tuple[Any, Said]] = {
    "another taint": ({"key": "team", "operator": "Equal", "value": "ml", "effect": "NoSchedule"}, []),
    "Exists": ({"key": GPU, "operator": "Exists", "effect": "NoSchedule"}, KEYED),
    "Exists, every effect": ({"key": GPU, "operator": "Exists"}, KEYED),
    "an empty effect is every effect": ({"key": GPU, "operator": "Exists", "effect": ""}, KEYED),
    "one value": ({"key": GPU, "operator": "Equal", "value": "present", "effect": "NoSchedule"}, KEYED),
    "one value, operator left out": ({"key": GPU, "value": "present"}, KEYED),
    "no value, operator left out": ({"key": GPU}, KEYED),
    "a numeric comparison": ({"key": GPU, "operator": "Gt", "value": "1"}, KEYED),
    "another effect": ({"key": GPU, "operator": "Exists", "effect": "NoExecute"}, []),
    "a preference": ({"key": GPU, "operator": "Exists", "effect": "PreferNoSchedule"}, []),
    "another accelerator's": ({"key": "google.com/tpu", "operator": "Exists"}, KEYED),
    "a key that only begins so": ({"key": f"{GPU}.shared", "operator": "Exists"}, []),
    "everything": ({"operator": "Exists"}, BLANKET),
    "everything, empty key": ({"key": "", "operator": "Exists"}, BLANKET),
    "everything, null key": ({"key": None, "operator": "Exists"}, BLANKET),
    "everything NoSchedule": ({"operator": "Exists", "effect": "NoSchedule"}, BLANKET),
    "everything NoExecute": ({"operator": "Exists", "effect": "NoExecute"}, []),
    "no key and no operator is invalid and tolerates nothing": ({"effect": "NoSchedule"}, []),
    "what Kubernetes adds": (
        {
            "key": "node.kubernetes.io/not-ready",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 300,
        },
        [],
    ),
    "a key of the wrong type": ({"key": ["x"], "operator": "Exists"}, []),
}


@table(TOLERATIONS, "toleration, said")
def test_a_pod_without_accelerators_tolerates_no_accelerator_taint(toleration: Any, said: Said) -> None:
    assert judge(Rule, spec(tolerations=[toleration])) == said


FREE: dict[str, tuple[Any, bool]] = {
    "a GPU": (spec(container(resources=limits(gpu=1))), True),
    "a MIG slice": (spec(container(resources={"limits": {"nvidia.com/mig-1g.5gb": 1}})), True),
    "another family's accelerator": (spec(container(resources={"limits": {"amd.com/gpu": 1}})), True),
    "in an init container": (spec(initContainers=[container(resources=limits(gpu=1))]), True),
    "a claim": (spec(resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]), True),
    "none of a GPU": (spec(container(resources=limits(gpu=0))), False),
    "no accelerator": (spec(container(resources={"limits": {"example.com/licence": 1}})), False),
    "in an ephemeral container, which can have none": (
        spec(ephemeralContainers=[container(resources=limits(gpu=1))]),
        False,
    ),
}


@table(FREE, "pod, free")
def test_pods_that_request_an_accelerator_are_free(pod: Any, free: bool) -> None:
    pod["tolerations"] = [{"key": GPU, "operator": "Exists"}]
    assert judge(Rule, pod) == ([] if free else KEYED)


def test_every_such_toleration_is_reported_at_its_place() -> None:
    tolerations = [{"key": "team"}, {"operator": "Exists"}, "junk", {"key": GPU, "operator": "Exists"}]
    assert judge(Rule, spec(tolerations=tolerations)) == [
        ("every-taint-tolerated", "spec.tolerations[1]"),
        ("accelerator-taint-tolerated", "spec.tolerations[3]"),
    ]


@pytest.mark.parametrize("junk", JUNK)
def test_tolerations_of_the_wrong_type_tolerate_nothing(junk: Any) -> None:
    assert judge(Rule, spec(tolerations=junk)) == []


def owner(kind: str = "DaemonSet", api_version: str = "apps/v1", **fields: Any) -> dict[str, Any]:
    reference = {"apiVersion": api_version, "kind": kind, "name": "agent", "uid": "1", "controller": True}
    return {"ownerReferences": [reference | fields]}


OWNERS: dict[str, tuple[Any, bool]] = {
    "a DaemonSet": (owner(), True),
    "a ReplicaSet": (owner("ReplicaSet"), False),
    "a DaemonSet of another group": (owner(api_version="apps.example.com/v1"), False),
    "a DaemonSet that does not control it": (owner(controller=False), False),
    "nobody": ({}, False),
    "junk": ({"ownerReferences": ["DaemonSet", {"kind": ["DaemonSet"]}]}, False),
}


@table(OWNERS, "metadata, daemon")
def test_pods_of_a_daemon_set_can_be_allowed(metadata: Any, daemon: bool) -> None:
    pod = spec(tolerations=[{"operator": "Exists"}])
    assert judge(Rule, pod, {"allowDaemonSets": True}, metadata) == ([] if daemon else BLANKET)
    assert judge(Rule, pod, {"allowDaemonSets": False}, metadata) == BLANKET


OWN_TAINTS: dict[str, tuple[str, Any, bool]] = {
    "key, any value": ("sku", {"key": "sku", "value": "gpu"}, False),
    "key, Exists": ("sku", {"key": "sku", "operator": "Exists"}, False),
    "value, the same": ("sku=gpu:NoSchedule", {"key": "sku", "value": "gpu"}, False),
    "value, another": ("sku=gpu:NoSchedule", {"key": "sku", "value": "cpu"}, True),
    "value, Exists": ("sku=gpu:NoSchedule", {"key": "sku", "operator": "Exists"}, False),
    "effect, the same": ("sku:NoExecute", {"key": "sku", "operator": "Exists", "effect": "NoExecute"}, False),
    "effect, another": ("sku:NoExecute", {"key": "sku", "operator": "Exists", "effect": "NoSchedule"}, True),
    "effect left out is NoSchedule": (
        "sku",
        {"key": "sku", "operator": "Exists", "effect": "NoExecute"},
        True,
    ),
    "a NoExecute taint makes NoExecute blankets count": (
        "sku:NoExecute",
        {"operator": "Exists", "effect": "NoExecute"},
        False,
    ),
    "the catalog's own still count": ("sku", {"key": GPU, "operator": "Exists"}, False),
}


@table(OWN_TAINTS, "taint, toleration, admitted")
def test_a_cluster_can_name_its_own_taints(taint: str, toleration: Any, admitted: bool) -> None:
    said = judge(Rule, spec(tolerations=[toleration]), {"taints": [taint]})
    assert (said == []) is admitted


def test_without_taints_in_the_catalog_a_blanket_toleration_gains_nothing() -> None:
    for taints in ((), (Taint(GPU, "PreferNoSchedule"),)):
        catalog = Catalog([Accelerator("nvidia", (GPU,), taints=taints)])
        rule = Rule(Rule.Parameters(), Context(catalog))
        for toleration in ({"operator": "Exists"}, {"key": GPU, "operator": "Exists"}):
            assert list(rule(Pod({}, spec(tolerations=[toleration]), catalog))) == []


def test_the_message_says_what_to_do() -> None:
    tolerations = [{"key": GPU, "operator": "Exists"}, {"operator": "Exists", "effect": "NoSchedule"}]
    assert [v.message for v in violations(Rule, spec(tolerations=tolerations))] == [
        (
            "the pod requests no accelerator but tolerates the taint nvidia.com/gpu, which keeps accelerator "
            "nodes free; remove the toleration, or request an accelerator in resources.limits"
        ),
        (
            "the pod requests no accelerator but tolerates every NoSchedule taint, those of accelerator "
            "nodes too; remove the toleration, or give it the key of the taint that is meant"
        ),
    ]


BAD_PARAMETERS: dict[str, tuple[str, str]] = {
    "empty": ("", "is no taint"),
    "not a key": ("my sku", "is no taint"),
    "misspelt effect": ("sku:NoSchedul", 'did you mean "NoSchedule"?'),
    "empty effect": ("sku:", "is no taint effect"),
    "a preference": ("sku:PreferNoSchedule", "keeps no pod away"),
    "Kubernetes' own": ("node.kubernetes.io/not-ready", "Kubernetes adds"),
}


@table(BAD_PARAMETERS, "taint, message")
def test_taints_that_cannot_be_meant_are_refused(taint: str, message: str) -> None:
    error = refused(Rule, {"taints": ["sku", taint]})
    assert error.field == "taints[1]"
    assert message in str(error)
