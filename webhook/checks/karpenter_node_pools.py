"""The check ``karpenter-node-pools``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Struct

from webhook.checks.wording import listed, short
from webhook.kube.path import Path
from webhook.kube.shape import JSONObject, indexed, indexed_strings, items, mapping, text
from webhook.policy.constraints import MinLen
from webhook.policy.findings import Severity, Violation
from webhook.policy.match import Listed, Names
from webhook.policy.rule import Context, ObjectCheck
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.object import Object

_CAPACITY_TYPE: Final = "karpenter.sh/capacity-type"
_INSTANCE_TYPE: Final = "node.kubernetes.io/instance-type"
# Labels of a node's instance family, by the provider's own name.
_FAMILIES: Final = frozenset(
    {
        "karpenter.k8s.aws/instance-family",
        "eks.amazonaws.com/instance-family",
        "karpenter.azure.com/sku-family",
        "karpenter.k8s.gcp/instance-family",
    }
)
# Labels that only nodes with accelerators have.
_ACCELERATOR_LABEL: Final = re.compile(
    r"(karpenter\.k8s\.aws|eks\.amazonaws\.com)/instance-(gpu|accelerator)-[a-z]+"
    r"|karpenter\.azure\.com/sku-gpu-[a-z]+"
    r"|cloud\.google\.com/gke-(accelerator|tpu-accelerator)|karpenter\.k8s\.gcp/instance-gpu-[a-z]+"
)
# Operators by which a requirement asks for a label rather than keeping it away.
_ASKING: Final = frozenset({"In", "Exists", "Gt", "Gte"})
_CATEGORY: Final = re.compile(r"(karpenter\.k8s\.aws|eks\.amazonaws\.com)/instance-category")
_ACCELERATOR_CATEGORIES: Final = frozenset({"dl", "g", "inf", "p", "trn", "vt"})
_KEEPS_AWAY: Final = ("NoSchedule", "NoExecute")


# Source: sigs.k8s.io/karpenter pkg/apis/v1/labels.go (CapacityTypeOnDemand, -Reserved, -Spot).
CapacityType = Literal["on-demand", "reserved", "spot"]


class _Pool(Struct, frozen=True):
    """The parts of a NodePool, or of a Provisioner, that matter here."""

    limits: JSONObject
    limits_path: Path
    template: JSONObject
    template_path: Path


class KarpenterNodePools(ObjectCheck):
    """A Karpenter NodePool for accelerators is limited, buys what it may, keeps others off and gives nodes back.

    Why:
        A pool without limits buys as long as pods are pending, and accelerator nodes cost as much in a day as others in
        a month. Without the taint they fill up with pods that need none, and without consolidation nobody gives them
        back.

    Restricted fields:
        spec.limits
        spec.template.spec.requirements[*]
        spec.template.spec.taints[*]
        spec.disruption
        spec.requirements[*]
        spec.taints[*]
        spec.consolidation

    Allowed values:
        limits is there and not empty. A pool for accelerators limits one of ``acceleratorLimits``, besides.

        A requirement for karpenter.sh/capacity-type, operator In, has values of ``capacityTypes`` only. Where
        ``instanceTypes`` or ``instanceFamilies`` are given, there is a requirement for node.kubernetes.io/instance-type
        or for the instance family, operator In, and all its values are among them.

        A pool for accelerators has a taint with a key of ``taints``, effect NoSchedule or NoExecute; startupTaints,
        which go away, do not count.

        disruption.consolidationPolicy is written and one of ``consolidationPolicies``, and consolidateAfter is not
        Never. In a Provisioner: consolidation.enabled is true, or ttlSecondsAfterEmpty is written.

        A pool is for accelerators if it limits or taints as one, asks for labels that only accelerator nodes have
        (karpenter.k8s.aws/instance-gpu-count and the like, instance categories p, g, trn, inf, dl and vt), or for an
        instance type or family of ``acceleratorInstances``. With ``pools: Accelerators`` others are not judged; with
        ``All`` they are, but need neither taint nor limit for accelerators.

        Judged are NodePools of v1 and v1beta1 and Provisioners of v1alpha5. They live in no namespace.

    Remediation:
        See the example in docs/ml-namespaces.md.

    Source:
        https://karpenter.sh/docs/concepts/nodepools/
        https://karpenter.sh/v0.32/upgrading/v1beta1-migration/
        sigs.k8s.io/karpenter pkg/apis/v1/nodepool.go (NodePoolSpec, Disruption, Limits)
    """

    name = "karpenter-node-pools"
    title = "Karpenter pools of accelerators have limits and a taint"
    severity = Severity.HIGH
    kinds = (("karpenter.sh", "NodePool"), ("karpenter.sh", "Provisioner"))

    class Parameters(Strict, frozen=True):
        """Settings of ``karpenter-node-pools``."""

        pools: Literal["Accelerators", "All"] = "Accelerators"
        """Which pools are judged."""
        acceleratorLimits: tuple[Annotated[str, MinLen(1)], ...] = ()
        """Resources of which a pool for accelerators must limit one, or globs over them. Without it: any accelerator of
        the catalog, such as nvidia.com/gpu."""
        capacityTypes: tuple[CapacityType, ...] = ("on-demand", "reserved", "spot")
        """Capacity types that may be bought: on-demand, reserved and spot are all there are. With an empty list the
        capacity type is not judged."""
        instanceTypes: tuple[Annotated[str, MinLen(1)], ...] = ()
        """Instance types that may be bought, or globs over them (``p5*.*``)."""
        instanceFamilies: tuple[Annotated[str, MinLen(1)], ...] = ()
        """Instance families that may be bought, or globs over them (``p5*``)."""
        acceleratorInstances: tuple[Annotated[str, MinLen(1)], ...] = (
            "p[2-9]*",
            "g[2-9]*",
            "trn[1-9]*",
            "inf[1-9]*",
            "dl[1-9]*",
            "vt[1-9]*",
            "a[2-4]-*",
            "ct[4-9]*",
            "Standard_N*",
        )
        """Instance types and families that have accelerators, as globs."""
        taints: tuple[Annotated[str, MinLen(1)], ...] = ()
        """Keys of taints that keep other pods off accelerator nodes. Without it: those of the accelerator catalog, such
        as nvidia.com/gpu."""
        consolidationPolicies: tuple[Annotated[str, MinLen(1)], ...] = (
            "WhenEmpty",
            "WhenEmptyOrUnderutilized",
            "WhenUnderutilized",
        )
        """Consolidation policies that may be set. WhenUnderutilized is the name in v1beta1. With an empty list,
        consolidation is not judged."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        self._limits = Names(parameters.acceleratorLimits)
        self._taints = frozenset(parameters.taints or (taint.key for taint in context.catalog.taints))
        self._types = Names(parameters.instanceTypes) if parameters.instanceTypes else None
        self._families = Names(parameters.instanceFamilies) if parameters.instanceFamilies else None
        self._instances = Listed(parameters.acceleratorInstances)

    def __call__(self, obj: Object) -> Iterator[Violation]:
        pool = _pool(obj)
        accelerators = self._has_accelerators(pool)
        if not accelerators and self.parameters.pools == "Accelerators":
            return
        yield from self._limited(pool, accelerators=accelerators)
        yield from self._capacity_types(pool)
        yield from self._instance_types(pool)
        if accelerators and not any(
            text(taint, "key") in self._taints and taint.get("effect") in _KEEPS_AWAY
            for taint in items(pool.template, "taints")
        ):
            yield Violation(
                "taint-missing",
                _field(pool, "taints"),
                "pods that need no accelerator land on these nodes; add to taints {key: "
                f"{self._example_taint()}, effect: NoSchedule}}",
            )
        if self.parameters.consolidationPolicies:
            yield from self._consolidation(obj)

    def _has_accelerators(self, pool: _Pool) -> bool:
        if any(self._is_accelerator(resource) for resource in pool.limits):
            return True
        if any(text(taint, "key") in self._taints for taint in items(pool.template, "taints")):
            return True
        return any(
            self._asks_for_accelerators(requirement) for requirement in items(pool.template, "requirements")
        )

    def _asks_for_accelerators(self, requirement: JSONObject) -> bool:
        key, operator = text(requirement, "key"), text(requirement, "operator")
        if operator not in _ASKING:
            return False
        if _ACCELERATOR_LABEL.fullmatch(key):
            return True
        values = [value for _, value in indexed_strings(requirement, "values")] if operator == "In" else []
        if key == _INSTANCE_TYPE or key in _FAMILIES:
            return self._instances.match_any(values)
        return _CATEGORY.fullmatch(key) is not None and not _ACCELERATOR_CATEGORIES.isdisjoint(values)

    def _is_accelerator(self, resource: Any) -> bool:
        if type(resource) is not str:
            return False
        return self.context.catalog.find(resource) is not None or (
            not self._limits.everything and self._limits.match(resource)
        )

    def _limited(self, pool: _Pool, *, accelerators: bool) -> Iterator[Violation]:
        wanted = listed(self.parameters.acceleratorLimits, "or") or "nvidia.com/gpu"
        if not pool.limits:
            yield Violation(
                "limits-missing",
                pool.limits_path,
                "the pool has no limits, so it grows as long as pods are pending; write limits, such as "
                f"{{cpu: 512{f', {wanted}: 64' if accelerators else ''}}}",
            )
        elif accelerators and not any(
            self._is_accelerator(name) if self._limits.everything else self._limits.match(name)
            for name in pool.limits
            if type(name) is str
        ):
            yield Violation(
                "accelerator-limit-missing",
                pool.limits_path,
                f"the limits name no accelerator, so their number is only bounded by CPU and memory; add {wanted}",
            )

    def _capacity_types(self, pool: _Pool) -> Iterator[Violation]:
        allowed = self.parameters.capacityTypes
        if not allowed:
            return
        found = False
        for path, requirement in _requirements(pool, {_CAPACITY_TYPE}):
            found = True
            for j, value in indexed_strings(requirement, "values"):
                if value not in allowed:
                    yield Violation(
                        "capacity-type",
                        (*path, "values", j),
                        f'capacity of the type "{short(value)}" may not be bought; write {listed(allowed, "or")}',
                    )
        if found:
            return
        wanted = f"operator: In, values: [{', '.join(map(short, allowed))}]"
        for i, requirement in indexed(pool.template, "requirements"):
            if text(requirement, "key") == _CAPACITY_TYPE:
                yield Violation(
                    "capacity-type-missing",
                    (*pool.template_path, "requirements", i),
                    f"the requirement does not name the capacity types that may be bought; write {wanted}",
                )
                return
        yield Violation(
            "capacity-type-missing",
            _field(pool, "requirements"),
            "what capacity is bought is left to Karpenter; add to requirements {key: karpenter.sh/capacity-type, "
            f"{wanted}}}",
        )

    def _instance_types(self, pool: _Pool) -> Iterator[Violation]:
        if self._types is None and self._families is None:
            return
        found = False
        for path, requirement in _requirements(pool, {_INSTANCE_TYPE, *_FAMILIES}):
            of_types = requirement["key"] == _INSTANCE_TYPE
            names = self._types if of_types else self._families
            if names is None:
                # Bounded by the other of the two, which has to be there.
                continue
            found = True
            wanted = self.parameters.instanceTypes if of_types else self.parameters.instanceFamilies
            for j, value in indexed_strings(requirement, "values"):
                if not names.match(value):
                    what = "type" if of_types else "family"
                    yield Violation(
                        f"instance-{what}",
                        (*path, "values", j),
                        f'the instance {what} "{short(value)}" may not be bought; write {listed(wanted, "or")}',
                    )
        if not found:
            which = []
            if self._types is not None:
                which.append(f"{_INSTANCE_TYPE} ({listed(self.parameters.instanceTypes, 'or')})")
            if self._families is not None:
                which.append(f"the instance family ({listed(self.parameters.instanceFamilies, 'or')})")
            yield Violation(
                "instance-types-missing",
                _field(pool, "requirements"),
                f"any instance type may be bought; add a requirement, operator In, for {' or '.join(which)}",
            )

    def _consolidation(self, obj: Object) -> Iterator[Violation]:
        spec = obj.spec
        allowed = self.parameters.consolidationPolicies
        if obj.kind.kind == "Provisioner":
            if (
                mapping(spec, "consolidation").get("enabled") is not True
                and spec.get("ttlSecondsAfterEmpty") is None
            ):
                yield Violation(
                    "consolidation-missing",
                    ("spec", "consolidation") if "consolidation" in spec else ("spec",),
                    "nodes that are no longer needed stay; write consolidation: {enabled: true}, or "
                    "ttlSecondsAfterEmpty",
                )
            return
        disruption = mapping(spec, "disruption")
        policy = disruption.get("consolidationPolicy")
        path: Path = ("spec", "disruption") if "disruption" in spec else ("spec",)
        if policy is None:
            yield Violation(
                "consolidation-missing",
                path,
                "when nodes are given back is left open; write disruption.consolidationPolicy: "
                f"{listed(allowed, 'or')}",
            )
        elif policy not in allowed:
            yield Violation(
                "consolidation-policy",
                (*path, "consolidationPolicy"),
                f'the consolidation policy "{short(policy)}" is not allowed; write {listed(allowed, "or")}',
            )
        if disruption.get("consolidateAfter") == "Never":
            yield Violation(
                "consolidation-never",
                (*path, "consolidateAfter"),
                "with consolidateAfter: Never nodes that are no longer needed stay; write how long to wait, such as 5m",
            )

    def _example_taint(self) -> str:
        if "nvidia.com/gpu" in self._taints or not self._taints:
            return "nvidia.com/gpu"
        return short(min(self._taints))


def _pool(obj: Object) -> _Pool:
    spec = obj.spec
    if obj.kind.kind == "Provisioner":
        limits = mapping(spec, "limits")
        path: Path = ("spec", "limits") if "limits" in spec else ("spec",)
        if "resources" in limits:
            path = (*path, "resources")
        return _Pool(mapping(limits, "resources"), path, spec, ("spec",))
    template = mapping(spec, "template")
    return _Pool(
        mapping(spec, "limits"),
        ("spec", "limits") if "limits" in spec else ("spec",),
        mapping(template, "spec"),
        ("spec", "template", "spec") if "spec" in template else ("spec",),
    )


def _field(pool: _Pool, name: str) -> Path:
    return (*pool.template_path, name) if name in pool.template else pool.template_path


def _requirements(pool: _Pool, keys: Sequence[str] | set[str]) -> Iterator[tuple[Path, JSONObject]]:
    """The requirements that say which values one of the labels may have, each with its path."""
    for i, requirement in indexed(pool.template, "requirements"):
        if text(requirement, "key") in keys and requirement.get("operator") == "In":
            yield (*pool.template_path, "requirements", i), requirement
