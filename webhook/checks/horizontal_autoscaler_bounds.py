"""The check ``horizontal-autoscaler-bounds``."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Struct

from webhook.checks.wording import number, short
from webhook.kube.names import annotation_key_problem
from webhook.kube.path import Path
from webhook.kube.quantity import quantity_or_none
from webhook.policy.constraints import Ge, MinLen
from webhook.policy.findings import Severity, Violation
from webhook.policy.rule import Context, ObjectCheck, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.object import Object


class _Fields(Struct, frozen=True):
    """Where a kind of autoscaler has its bounds, and what holds where it does not say; None: it has to."""

    least: str
    most: str
    default_least: int
    default_most: int | None


_HORIZONTAL_POD_AUTOSCALER: Final = _Fields("minReplicas", "maxReplicas", 1, None)
# Source: github.com/kedacore/keda apis/keda/v1alpha1/scaledobject_types.go (defaultHPAMinReplicas and -Max-).
_SCALED_OBJECT: Final = _Fields("minReplicaCount", "maxReplicaCount", 0, 100)


class HorizontalAutoscalerBounds(ObjectCheck):
    """A HorizontalPodAutoscaler or ScaledObject stays within bounds, and below a number of accelerators.

    Why:
        An autoscaler spends money while nobody looks: one wrong metric, and a model server has as many replicas as
        maxReplicas says, each with its accelerators, and the training next door waits.

    Restricted fields:
        spec.minReplicas
        spec.maxReplicas
        spec.minReplicaCount
        spec.maxReplicaCount
        metadata.annotations

    Allowed values:
        At least ``minReplicas`` and at most ``maxReplicas`` replicas, absent values taken as Kubernetes (1) and KEDA
        (0 and 100) take them.

        With ``maxAccelerators``, the most replicas times the accelerators of one are no more than that. An autoscaler
        does not say what its target requests, and the target is an object of its own, so the number comes from the
        annotation ``acceleratorsAnnotation`` of the autoscaler, else from ``acceleratorsPerReplica``. Where neither
        says it, this is not judged. What a workload itself asks for, replicas times accelerators as they are written
        in it, is bounded by perWorkload of the rule max-accelerators.

    Remediation:
        Lower maxReplicas, or ask for a higher bound.

    Source:
        https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/
        https://keda.sh/docs/latest/reference/scaledobject-spec/
        k8s.io/api autoscaling/v2/types.go (HorizontalPodAutoscalerSpec)
    """

    name = "horizontal-autoscaler-bounds"
    title = "Horizontal autoscalers stay below a number of replicas"
    severity = Severity.MEDIUM
    kinds = (("autoscaling", "HorizontalPodAutoscaler"), ("keda.sh", "ScaledObject"))

    class Parameters(Strict, frozen=True):
        """Settings of ``horizontal-autoscaler-bounds``."""

        minReplicas: Annotated[int, Ge(0)] = 0
        """The least that the lower bound may be: 1 forbids scaling to zero, 2 a single replica."""
        maxReplicas: Annotated[int, Ge(1)] = 64
        """The most that the upper bound may be."""
        maxAccelerators: Annotated[int, Ge(0)] | None = None
        """The most accelerators that all replicas may hold together. Without it there is no bound."""
        acceleratorsPerReplica: Annotated[int, Ge(0)] | None = None
        """How many accelerators one replica holds, where no annotation says it."""
        acceleratorsAnnotation: Annotated[str, MinLen(1)] = "gpuward.dev/accelerators-per-replica"
        """The annotation of an autoscaler that says how many accelerators one replica of its target holds."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        if parameters.minReplicas > parameters.maxReplicas:
            raise ParameterError(
                "minReplicas is above maxReplicas, so nothing would be allowed", "minReplicas"
            )
        if problem := annotation_key_problem(parameters.acceleratorsAnnotation):
            raise ParameterError(problem, "acceleratorsAnnotation")
        if parameters.acceleratorsPerReplica is not None and parameters.maxAccelerators is None:
            raise ParameterError(
                "counts only together with maxAccelerators; give that too", "acceleratorsPerReplica"
            )

    def __call__(self, obj: Object) -> Iterator[Violation]:
        fields = _SCALED_OBJECT if obj.kind.kind == "ScaledObject" else _HORIZONTAL_POD_AUTOSCALER
        parameters, spec = self.parameters, obj.spec
        least = _count(spec.get(fields.least), fields.default_least)
        most = _count(spec.get(fields.most), fields.default_most)
        path: Path = ("spec", fields.most) if fields.most in spec else ("spec",)
        if least is not None and least < parameters.minReplicas:
            yield Violation(
                "min-replicas",
                ("spec", fields.least) if fields.least in spec else ("spec",),
                f"{fields.least} is {short(least)}, and may be no lower than {parameters.minReplicas}; "
                f"write {fields.least}: {parameters.minReplicas}",
            )
        if most is None:
            yield Violation(
                "max-replicas-missing",
                path,
                f"{fields.most} is no number of replicas; write at most {parameters.maxReplicas}",
            )
            return
        if most > parameters.maxReplicas:
            said = f"is {short(most)}" if fields.most in spec else f"is {most} where it is not written"
            yield Violation(
                "max-replicas",
                path,
                f"{fields.most} {said}, and may be no higher than {parameters.maxReplicas}",
            )
        if parameters.maxAccelerators is not None:
            yield from self._accelerators(obj, fields, most, path)

    def _accelerators(self, obj: Object, fields: _Fields, most: int, path: Path) -> Iterator[Violation]:
        parameters = self.parameters
        key = parameters.acceleratorsAnnotation
        annotations = obj.annotations
        if key in annotations:
            # Read as a quantity, so that a pod that shares one can say 0.5.
            one = quantity_or_none(annotations[key]) if type(annotations[key]) is str else None
            if one is None or one < 0:
                yield Violation(
                    "accelerators-unreadable",
                    ("metadata", "annotations", key),
                    f'the annotation {short(key)} is "{short(annotations[key])}", which is no number of accelerators; '
                    'write one, such as "8"',
                )
                return
        elif parameters.acceleratorsPerReplica is not None:
            one = Decimal(parameters.acceleratorsPerReplica)
        else:
            return
        if one * most > parameters.maxAccelerators:
            yield Violation(
                "max-accelerators",
                path,
                f"{short(most)} replicas with {number(one)} accelerators each hold {number(one * most)}, and may hold "
                f"{parameters.maxAccelerators}; lower {fields.most}",
            )


def _count(value: Any, default: int | None) -> int | None:
    """A number of replicas; None for what is none."""
    if value is None:
        return default
    return value if type(value) is int and value >= 0 else None
