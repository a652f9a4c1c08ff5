"""karpenter-node-pools: limits, what may be bought, taints and consolidation."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from webhook.checks.karpenter_node_pools import KarpenterNodePools
from webhook.kube.path import parse

from .objects import found, from_yaml, judge_object
from .pods import JUNK, Said, table

POOL = from_yaml("""
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: gpu}
spec:
  limits: {cpu: 512, nvidia.com/gpu: 64}
  disruption: {consolidationPolicy: WhenEmpty, consolidateAfter: 5m}
  template:
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: gpu}
      taints:
        - {key: nvidia.com/gpu, effect: NoSchedule}
      requirements:
        - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand, spot]}
        - {key: node.kubernetes.io/instance-type, operator: In, values: [p5.48xlarge, g6.xlarge]}
""")
PROVISIONER = from_yaml("""
apiVersion: karpenter.sh/v1alpha5
kind: Provisioner
metadata: {name: gpu}
spec:
  limits: {resources: {cpu: 512, nvidia.com/gpu: 64}}
  consolidation: {enabled: true}
  taints:
    - {key: nvidia.com/gpu, effect: NoSchedule}
  requirements:
    - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}
    - {key: karpenter.k8s.aws/instance-family, operator: In, values: [p5]}
""")
ABSENT = object()


def changed(pool: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The pool with other values at these paths, or nothing there."""
    made = copy.deepcopy(pool)
    for field, value in changes.items():
        *parents, last = parse(field)
        node: Any = made
        for segment in parents:
            node = node[segment]
        if value is ABSENT:
            del node[last]
        else:
            node[last] = value
    return made


T = "spec.template.spec"
REQUIREMENTS = f"{T}.requirements"
GPU_COUNT = {"key": "karpenter.k8s.aws/instance-gpu-count", "operator": "Gt", "values": ["0"]}
ON_DEMAND = {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]}

CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any], Said]] = {
    "a good pool": ({}, POOL, {}, []),
    "a good pool of v1beta1": (
        {},
        POOL,
        {
            "apiVersion": "karpenter.sh/v1beta1",
            "spec.disruption": {"consolidationPolicy": "WhenUnderutilized"},
        },
        [],
    ),
    "no limits": ({}, POOL, {"spec.limits": ABSENT}, [("limits-missing", "spec")]),
    "empty limits": ({}, POOL, {"spec.limits": {}}, [("limits-missing", "spec.limits")]),
    "limits of CPU only": (
        {},
        POOL,
        {"spec.limits": {"cpu": 512}},
        [("accelerator-limit-missing", "spec.limits")],
    ),
    "limits of another accelerator": ({}, POOL, {"spec.limits": {"aws.amazon.com/neuron": 16}}, []),
    "limits of another accelerator than wanted": (
        {"acceleratorLimits": ["nvidia.com/gpu"]},
        POOL,
        {"spec.limits": {"aws.amazon.com/neuron": 16}},
        [("accelerator-limit-missing", "spec.limits")],
    ),
    "no taint": ({}, POOL, {f"{T}.taints": ABSENT}, [("taint-missing", T)]),
    "another taint": (
        {},
        POOL,
        {f"{T}.taints": [{"key": "team", "effect": "NoSchedule"}]},
        [("taint-missing", f"{T}.taints")],
    ),
    "a taint that only asks": (
        {},
        POOL,
        {f"{T}.taints": [{"key": "nvidia.com/gpu", "effect": "PreferNoSchedule"}]},
        [("taint-missing", f"{T}.taints")],
    ),
    "a taint that goes away": (
        {},
        POOL,
        {f"{T}.taints": ABSENT, f"{T}.startupTaints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]},
        [("taint-missing", T)],
    ),
    "a taint of one's own": (
        {"taints": ["sku"]},
        POOL,
        {f"{T}.taints": [{"key": "sku", "value": "gpu", "effect": "NoExecute"}]},
        [],
    ),
    "no capacity type": (
        {},
        POOL,
        {f"{REQUIREMENTS}[0]": GPU_COUNT},
        [("capacity-type-missing", REQUIREMENTS)],
    ),
    "a capacity type by exclusion": (
        {},
        POOL,
        {f"{REQUIREMENTS}[0].operator": "NotIn"},
        [("capacity-type-missing", f"{REQUIREMENTS}[0]")],
    ),
    "a capacity type that may not be bought": (
        {"capacityTypes": ["on-demand"]},
        POOL,
        {},
        [("capacity-type", f"{REQUIREMENTS}[0].values[1]")],
    ),
    "any capacity type": ({"capacityTypes": []}, POOL, {f"{REQUIREMENTS}[0]": GPU_COUNT}, []),
    "instance types that may be bought": ({"instanceTypes": ["p5.*", "g6*.*"]}, POOL, {}, []),
    "one that may not": (
        {"instanceTypes": ["p5.*"]},
        POOL,
        {},
        [("instance-type", f"{REQUIREMENTS}[1].values[1]")],
    ),
    "no instance types": (
        {"instanceTypes": ["p5.*"]},
        POOL,
        {f"{REQUIREMENTS}[1]": GPU_COUNT},
        [("instance-types-missing", REQUIREMENTS)],
    ),
    "the wrong of two": (
        {"instanceFamilies": ["p5"]},
        POOL,
        {},
        [("instance-types-missing", REQUIREMENTS)],
    ),
    "one of two is enough": ({"instanceTypes": ["p5.*", "g6.*"], "instanceFamilies": ["p5"]}, POOL, {}, []),
    "no consolidation": ({}, POOL, {"spec.disruption": ABSENT}, [("consolidation-missing", "spec")]),
    "no consolidation policy": (
        {},
        POOL,
        {"spec.disruption": {"consolidateAfter": "5m"}},
        [("consolidation-missing", "spec.disruption")],
    ),
    "a consolidation policy that is not allowed": (
        {"consolidationPolicies": ["WhenEmpty"]},
        POOL,
        {"spec.disruption.consolidationPolicy": "WhenEmptyOrUnderutilized"},
        [("consolidation-policy", "spec.disruption.consolidationPolicy")],
    ),
    "consolidation that never comes": (
        {},
        POOL,
        {"spec.disruption.consolidateAfter": "Never"},
        [("consolidation-never", "spec.disruption.consolidateAfter")],
    ),
    "consolidation is not judged": ({"consolidationPolicies": []}, POOL, {"spec.disruption": ABSENT}, []),
    "a good provisioner": ({}, PROVISIONER, {}, []),
    "a provisioner without limits": ({}, PROVISIONER, {"spec.limits": ABSENT}, [("limits-missing", "spec")]),
    "a provisioner without accelerator limits": (
        {},
        PROVISIONER,
        {"spec.limits.resources": {"cpu": 8}},
        [("accelerator-limit-missing", "spec.limits.resources")],
    ),
    "a provisioner without a taint": ({}, PROVISIONER, {"spec.taints": ABSENT}, [("taint-missing", "spec")]),
    "a provisioner that consolidates nothing": (
        {},
        PROVISIONER,
        {"spec.consolidation": {"enabled": False}},
        [("consolidation-missing", "spec.consolidation")],
    ),
    "a provisioner that removes empty nodes": (
        {},
        PROVISIONER,
        {"spec.consolidation": ABSENT, "spec.ttlSecondsAfterEmpty": 30},
        [],
    ),
    "a provisioner of other families": (
        {"instanceFamilies": ["g6"]},
        PROVISIONER,
        {},
        [("instance-family", "spec.requirements[1].values[0]")],
    ),
}


@table(CASES, "parameters, pool, changes, said")
def test_a_pool_of_accelerators_is_bounded(
    parameters: Any, pool: dict[str, Any], changes: dict[str, Any], said: Said
) -> None:
    assert judge_object(KarpenterNodePools, changed(pool, changes), parameters) == said


def pool_with(requirement: Any = None, taints: Any = (), limits: Any = None) -> dict[str, Any]:
    requirements = [requirement] if requirement else []
    return changed(
        POOL,
        {REQUIREMENTS: requirements, f"{T}.taints": list(taints), "spec.limits": limits or {"cpu": 8}},
    )


def asks(key: str, operator: str, *values: str) -> dict[str, Any]:
    return pool_with({"key": key, "operator": operator, "values": list(values)})


ACCELERATORS: dict[str, tuple[dict[str, Any], bool]] = {
    "nothing said": (pool_with(), False),
    "a limit": (pool_with(limits={"google.com/tpu": 8}), True),
    "a taint": (pool_with(taints=[{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]), True),
    "GPUs counted": (asks("karpenter.k8s.aws/instance-gpu-count", "Gt", "0"), True),
    "GPUs kept away": (asks("karpenter.k8s.aws/instance-gpu-count", "DoesNotExist"), False),
    "a GPU by name": (asks("karpenter.k8s.aws/instance-gpu-name", "In", "h100"), True),
    "an accelerator by name": (asks("karpenter.k8s.aws/instance-accelerator-name", "Exists"), True),
    "on Azure": (asks("karpenter.azure.com/sku-gpu-manufacturer", "In", "nvidia"), True),
    "on Auto Mode": (asks("eks.amazonaws.com/instance-gpu-name", "In", "l4"), True),
    "an instance type": (asks("node.kubernetes.io/instance-type", "In", "m7i.large", "g5.xlarge"), True),
    "instance types without": (asks("node.kubernetes.io/instance-type", "In", "m7i.large"), False),
    "instance types kept away": (asks("node.kubernetes.io/instance-type", "NotIn", "g5.xlarge"), False),
    "a family": (asks("karpenter.k8s.aws/instance-family", "In", "trn2"), True),
    "a family without": (asks("karpenter.k8s.aws/instance-family", "In", "c7i"), False),
    "a category": (asks("karpenter.k8s.aws/instance-category", "In", "p"), True),
    "categories without": (asks("karpenter.k8s.aws/instance-category", "In", "c", "m"), False),
}


@table(ACCELERATORS, "pool, accelerators")
def test_a_pool_is_for_accelerators_by_what_it_says(pool: dict[str, Any], accelerators: bool) -> None:
    reasons = {reason for reason, _ in judge_object(KarpenterNodePools, pool)}
    assert bool(reasons) is accelerators
    of_all = {reason for reason, _ in judge_object(KarpenterNodePools, pool, {"pools": "All"})}
    assert "capacity-type-missing" in of_all
    assert ("taint-missing" in of_all) is (accelerators and not pool["spec"]["template"]["spec"]["taints"])


def test_messages_say_what_to_write() -> None:
    bare = changed(POOL, {"spec.limits": ABSENT, f"{T}.taints": ABSENT})
    assert [v.message for v in found(KarpenterNodePools, bare)] == [
        (
            "the pool has no limits, so it grows as long as pods are pending; write limits, such as "
            "{cpu: 512, nvidia.com/gpu: 64}"
        ),
        "pods that need no accelerator land on these nodes; add to taints {key: nvidia.com/gpu, effect: NoSchedule}",
    ]


@pytest.mark.parametrize("junk", JUNK)
def test_parts_of_the_wrong_type_do_not_crash(junk: Any) -> None:
    parameters = {"pools": "All", "instanceTypes": ["p5.*"], "instanceFamilies": ["p5"]}
    for pool in (POOL, PROVISIONER):
        for field in ("limits", "disruption", "template", "taints", "requirements", "consolidation"):
            judge_object(KarpenterNodePools, changed(pool, {f"spec.{field}": junk}), parameters)
        judge_object(KarpenterNodePools, {**pool, "spec": junk}, parameters)
    for field in (
        "taints",
        "requirements",
        "requirements[0]",
        "requirements[0].key",
        "requirements[0].values",
    ):
        judge_object(KarpenterNodePools, changed(POOL, {f"{T}.{field}": junk}), parameters)
    judge_object(KarpenterNodePools, changed(POOL, {"spec.disruption.consolidationPolicy": junk}), parameters)
