"""What holds for every check of objects as they are: its specification, and that nothing breaks it."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook.checks import CHECKS
from webhook.kube.gvk import GroupVersionKind
from webhook.kube.kinds import KNOWN
from webhook.kube.object import Object
from webhook.policy.problems import InvalidPolicy
from webhook.policy.rule import NoParameters, ObjectCheck
from webhook.policy.schema import parameters_schema
from webhook.policy.validation import validate_parameters

from .objects import as_object, compiled_object_check, resolves_in
from .test_every_check import SECTIONS, damaged, sections

OBJECT_CHECKS: list[type[ObjectCheck]] = [check for check in CHECKS if issubclass(check, ObjectCheck)]

# Settings under which a check says more.
PARAMETERS: dict[str, dict[str, Any]] = {
    "horizontal-autoscaler-bounds": {"minReplicas": 1, "maxReplicas": 8, "maxAccelerators": 8},
    "ingress-hosts-and-tls": {"hosts": ["*.ml.example.com"], "ingressClasses": ["internal"]},
    "karpenter-node-pools": {
        "pools": "All",
        "instanceTypes": ["p5.*"],
        "instanceFamilies": ["p5"],
        "capacityTypes": ["spot"],
    },
    "monitor-release-label": {"values": ["prometheus"]},
    "network-policy-isolation": {"allowedCIDRs": ["10.0.0.0/8"], "allowedNamespaces": ["monitoring"]},
    "role-binding-subjects": {"admins": ["platform"]},
    "role-privileges": {"readableSecrets": ["public-*"], "secretReaders": ["vault"], "execRoles": ["debug"]},
}

# Objects with every field that some check reads, each in a form that some check objects to.
OFFENDERS: dict[str, Any] = {
    offender["kind"]: offender
    for offender in yaml.safe_load_all("""
apiVersion: v1
kind: Namespace
metadata: {name: x, labels: {gpuward.dev/mode: audit, team: x}}
---
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {name: x}
spec: {validate: [{rule: no-privileged}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: x}
spec:
  podSelector: {matchLabels: {tier: ml-training}, matchExpressions: [{key: tier, operator: Exists}]}
  policyTypes: [Ingress, Egress]
  ingress:
    - {}
    - from:
        - podSelector: {matchExpressions: [{key: tier, operator: In, values: [data-storage, web]}]}
        - namespaceSelector: {}
        - {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: web}}, podSelector: {}}
        - ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}
      ports: [{port: 80, endPort: 90, protocol: TCP}]
  egress:
    - {to: [], ports: [{port: 443}]}
    - {to: [{podSelector: {}}], ports: [{port: 53, protocol: UDP}, {port: 54}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: x}
rules:
  - {apiGroups: ["*"], resources: ["*", "pods/*"], verbs: ["*"]}
  - {apiGroups: [""], resources: [secrets, pods/exec], resourceNames: [db], verbs: [get, create]}
  - {apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [bind, escalate, impersonate]}
  - {nonResourceURLs: [/metrics/*], verbs: [get]}
aggregationRule: {clusterRoleSelectors: [{}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: x}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects:
  - {kind: Group, name: "system:authenticated"}
  - {kind: ServiceAccount, name: default, namespace: ml}
---
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: x, labels: {tier: ml-training}}
spec:
  targetRef: {kind: Job, name: x}
  updatePolicy: {updateMode: Auto}
  resourcePolicy:
    containerPolicies:
      - {containerName: a, minAllowed: {cpu: 1m, memory: lots}, maxAllowed: {cpu: 400}}
      - {containerName: b, mode: "Off", controlledResources: [cpu]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: x, annotations: {gpuward.dev/accelerators-per-replica: "8"}}
spec: {minReplicas: 0, maxReplicas: 1000}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: x, annotations: {gpuward.dev/accelerators-per-replica: many}}
spec: {minReplicaCount: 0, maxReplicaCount: 1000}
---
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: x}
spec:
  limits: {cpu: 1}
  disruption: {consolidationPolicy: Always, consolidateAfter: Never}
  template:
    spec:
      taints: [{key: sku, effect: PreferNoSchedule}]
      requirements:
        - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}
        - {key: node.kubernetes.io/instance-type, operator: In, values: [g5.xlarge]}
        - {key: karpenter.k8s.aws/instance-family, operator: In, values: [g5]}
---
apiVersion: karpenter.sh/v1alpha5
kind: Provisioner
metadata: {name: x}
spec:
  limits: {resources: {nvidia.com/gpu: 1}}
  consolidation: {enabled: false}
  requirements: [{key: karpenter.k8s.aws/instance-category, operator: In, values: [p]}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: x, annotations: {kubernetes.io/ingress.class: public}}
spec:
  rules: [{}, {host: "*.a.b"}, {host: a.b}]
  tls: [{secretName: x}, {hosts: [c.d]}]
  defaultBackend: {service: {name: x}}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: x, labels: {release: other}}
""")
}
# Kinds that are judged as others are.
LIKE = {
    "ClusterRole": "Role",
    "ClusterRoleBinding": "RoleBinding",
    "PodMonitor": "ServiceMonitor",
    **dict.fromkeys(("AcceleratorCatalog", "BreakGlass", "PolicyException", "WorkloadCatalog"), "Policy"),
}

each_check = pytest.mark.parametrize("check", OBJECT_CHECKS, ids=[check.name for check in OBJECT_CHECKS])


def compiled(check: type[ObjectCheck]) -> ObjectCheck:
    return compiled_object_check(check, PARAMETERS.get(check.name))


# --- specification ------------------------------------------------------------------------------------------


@each_check
def test_a_check_is_specified_in_the_common_shape(check: type[ObjectCheck]) -> None:
    found = sections(check)  # type: ignore[arg-type]  # it reads the docstring alone
    assert list(found) == SECTIONS
    assert all(found.values())
    assert "https://" in found["Source"]
    assert re.search(r"\.go\b", found["Source"])
    for field in found["Restricted fields"].splitlines():
        assert re.fullmatch(r"[A-Za-z]+(\[\*\])?(\.[A-Za-z]+(\[\*\])?)*", field), field


@each_check
def test_a_checks_title_is_one_line(check: type[ObjectCheck]) -> None:
    assert re.fullmatch(r"[A-Z][^.\n]{10,79}", check.title)


@each_check
def test_a_check_is_named_as_its_module_and_class(check: type[ObjectCheck]) -> None:
    assert check.__module__ == f"webhook.checks.{check.name.replace('-', '_')}"
    assert check.__name__ == "".join(word.capitalize() for word in check.name.split("-"))


@each_check
def test_a_check_judges_kinds_that_exist(check: type[ObjectCheck]) -> None:
    assert check.kinds
    for group, kind in check.kinds:
        assert kind in KNOWN[group]


@each_check
def test_every_parameter_is_described_in_the_schema(check: type[ObjectCheck]) -> None:
    schema = parameters_schema(check)
    for part in (schema, *schema.get("$defs", {}).values()):
        for name, field in part.get("properties", {}).items():
            assert field.get("description", "").endswith("."), name
        assert part["additionalProperties"] is False
    assert schema["properties"] or check.Parameters is NoParameters
    with pytest.raises(InvalidPolicy, match='unknown field "nonsense"'):
        validate_parameters(check, {"nonsense": 1}, ())


# --- judging ------------------------------------------------------------------------------------------------


def offenders(check: type[ObjectCheck]) -> list[Any]:
    """An offending object of every kind that the check judges."""
    made = []
    for group, kind in check.kinds:
        like = OFFENDERS[LIKE.get(kind, kind)]
        version = like["apiVersion"].rpartition("/")[2]
        made.append({**copy.deepcopy(like), "apiVersion": f"{group}/{version}", "kind": kind})
    return made


@each_check
def test_a_check_has_something_to_say_of_its_offenders_in_readable_messages(check: type[ObjectCheck]) -> None:
    for offender in offenders(check):
        found = list(compiled(check)(as_object(offender)))
        assert found
        for violation in found:
            assert len(violation.message) <= 200
            assert resolves_in(offender, violation), violation


@each_check
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(st.data())
def test_no_json_makes_a_check_raise_or_changes_what_it_says(
    check: type[ObjectCheck], data: st.DataObject
) -> None:
    whole = data.draw(st.sampled_from(offenders(check)))
    obj = data.draw(damaged(whole))
    if not isinstance(obj, dict):
        return
    before = json.dumps(obj)
    group, _, version = whole["apiVersion"].rpartition("/")
    # The kind and the namespace are the request's.
    judged = Object(GroupVersionKind(group, version, whole["kind"]), "ml", obj)
    for rule in (compiled(check), compiled_object_check(check)):
        found = list(rule(judged))
        assert list(rule(judged)) == found
        for violation in found:
            assert re.fullmatch(r"[a-z]+(-[a-z]+)*", violation.reason)
            assert all(type(step) in (str, int) for step in violation.path)
            # One line, and no longer than long names make it.
            assert violation.message.isprintable()
            assert 20 < len(violation.message) <= 500
    assert json.dumps(obj) == before


@each_check
def test_an_object_of_nothing_does_not_crash_a_check(check: type[ObjectCheck]) -> None:
    for group, kind in check.kinds:
        list(compiled(check)(Object(GroupVersionKind(group, "v1", kind), "", {})))
