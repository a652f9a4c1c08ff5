"""The check ``vertical-autoscaler-bounds``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Struct, field

from webhook.checks.wording import listed, short
from webhook.kube.path import Path, present
from webhook.kube.quantity import QuantityError, parse_quantity, quantity_or_none
from webhook.kube.shape import JSONObject, indexed, mapping, strings, text
from webhook.policy.constraints import MinLen
from webhook.policy.findings import Severity, Violation
from webhook.policy.match import Names
from webhook.policy.rule import Context, ObjectCheck, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.object import Object

Quantity = str | int | float

# What a VerticalPodAutoscaler does where it does not say; newer versions say Recreate, which is the same.
_DEFAULT_MODE: Final = "Auto"


class _Bound(Struct, frozen=True):
    value: Decimal
    written: str


class VerticalAutoscalerBounds(ObjectCheck):
    """A VerticalPodAutoscaler recommends within bounds, and does not restart accelerator training.

    Why:
        Without minAllowed, an idle model server is shrunk until the first request kills it; without maxAllowed, a leak
        is rewarded with ever more memory, up to a pod that fits no node. To apply a recommendation a pod is evicted,
        and a training that loses one worker loses the work since its last checkpoint, while its accelerators idle.

    Restricted fields:
        spec.updatePolicy.updateMode
        spec.resourcePolicy.containerPolicies[*].minAllowed
        spec.resourcePolicy.containerPolicies[*].maxAllowed

    Allowed values:
        Each container policy has minAllowed and maxAllowed for each resource that ``minAllowed`` and ``maxAllowed``
        name, none of them below or above those. One policy is for containerName "*", as it bounds the containers that
        nobody named. Policies of mode Off, and resources that controlledResources leaves out, need no bounds. An
        autoscaler of updateMode Off only recommends; ``boundsInModeOff`` says whether it needs them.

        Where the target is a training, updateMode is Off or Initial (``trainingModes``). The autoscaler does not say
        what its target requests, so it counts as training by what can be known from it: its targetRef is of a kind of
        ``trainingKinds``, or it has a label of ``trainingLabels``.

    Remediation:
        Write the bounds: resourcePolicy: {containerPolicies: [{containerName: "*", minAllowed: {cpu: 100m, memory:
        256Mi}, maxAllowed: {cpu: "4", memory: 8Gi}}]}. For training: updatePolicy: {updateMode: "Off"}, and read the
        recommendation from the status.

    Source:
        https://kubernetes.io/docs/concepts/workloads/autoscaling/vertical-pod-autoscale/
        k8s.io/autoscaler vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1/types.go (PodUpdatePolicy,
        ContainerResourcePolicy)
    """

    name = "vertical-autoscaler-bounds"
    title = "Vertical autoscalers are bounded and let training run"
    severity = Severity.MEDIUM
    kinds = (("autoscaling.k8s.io", "VerticalPodAutoscaler"),)

    class Parameters(Strict, frozen=True):
        """Settings of ``vertical-autoscaler-bounds``."""

        minAllowed: Mapping[str, Quantity] = field(default_factory=lambda: {"cpu": "100m", "memory": "256Mi"})
        """The least that may be recommended, by resource."""
        maxAllowed: Mapping[str, Quantity] = field(default_factory=lambda: {"cpu": "4", "memory": "8Gi"})
        """The most that may be recommended, by resource."""
        boundsInModeOff: bool = True
        """Whether an autoscaler that only recommends needs bounds too."""
        trainingKinds: tuple[Annotated[str, MinLen(1)], ...] = (
            "JAXJob",
            "Job",
            "JobSet",
            "MPIJob",
            "PaddleJob",
            "PyTorchJob",
            "RayJob",
            "TFJob",
            "TrainJob",
            "XGBoostJob",
        )
        """Kinds of targets that are trainings."""
        trainingLabels: Mapping[str, str] = field(default_factory=lambda: {"tier": "ml-training"})
        """Labels of the autoscaler that say that its target is a training; one is enough. Values may be globs."""
        trainingModes: tuple[Annotated[str, MinLen(1)], ...] = ("Off", "Initial")
        """The update modes that are allowed for trainings."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        self._least = _bounds(parameters.minAllowed, "minAllowed")
        self._most = _bounds(parameters.maxAllowed, "maxAllowed")
        for resource, least in self._least.items():
            most = self._most.get(resource)
            if most is not None and least.value > most.value:
                message = f"{least.written} is above maxAllowed, {most.written}"
                raise ParameterError(message, f"minAllowed[{resource}]")
        self._bounds = (
            ("minAllowed", self._least, "write at least"),
            ("maxAllowed", self._most, "write at most"),
        )
        self._bounds_in_mode_off = parameters.boundsInModeOff
        self._kinds = frozenset(parameters.trainingKinds)
        self._labels = tuple((key, Names((glob,))) for key, glob in parameters.trainingLabels.items())
        self._modes = frozenset(parameters.trainingModes)

    def __call__(self, obj: Object) -> Iterator[Violation]:
        spec = obj.spec
        update = mapping(spec, "updatePolicy")
        mode = text(update, "updateMode") or _DEFAULT_MODE
        if mode not in self._modes and (training := self._training(obj)):
            yield Violation(
                "update-mode-on-training",
                present(obj.raw, ("spec", "updatePolicy", "updateMode")),
                f"updateMode {short(mode)} evicts pods to resize them, and {training}; write updateMode: "
                f"{listed([_quoted(allowed) for allowed in self.parameters.trainingModes], 'or') or 'Off'}",
            )
        if mode == "Off" and not self._bounds_in_mode_off:
            return
        policies = indexed(mapping(spec, "resourcePolicy"), "containerPolicies")
        for i, policy in policies:
            yield from self._policy(policy, ("spec", "resourcePolicy", "containerPolicies", i))
        if not any(text(policy, "containerName") in ("*", "") for _, policy in policies):
            yield Violation(
                "no-default-bounds",
                present(obj.raw, ("spec", "resourcePolicy", "containerPolicies")),
                'containers without a policy have no bounds; add one to containerPolicies for containerName "*", with '
                f"{self._example()}",
            )

    def _policy(self, policy: JSONObject, path: Path) -> Iterator[Violation]:
        if policy.get("mode") == "Off":
            return
        controlled = strings(policy, "controlledResources") if policy.get("controlledResources") else None
        called = f'containerName "{short(policy.get("containerName") or "*")}"'
        for name, bounds, advice in self._bounds:
            written = mapping(policy, name)
            for resource, bound in bounds.items():
                if controlled is not None and resource not in controlled:
                    continue
                value = written.get(resource)
                where = (*path, name, resource) if resource in written else (*path, name) if written else path
                if value is None:
                    yield Violation(
                        f"{_REASONS[name]}-missing",
                        where,
                        f"the policy for {called} has no {name} for {short(resource)}; {advice} {bound.written}",
                    )
                    continue
                quantity = quantity_or_none(value)
                if quantity is None:
                    yield Violation(
                        f"{_REASONS[name]}-unreadable",
                        where,
                        f"{name} of {called} is no quantity of {short(resource)}; {advice} {bound.written}",
                    )
                elif self._outside(quantity, resource):
                    yield Violation(
                        f"{_REASONS[name]}-out-of-bounds",
                        where,
                        f"{name} of {called} is {short(value)} of {short(resource)}, and may be "
                        f"{self._range(resource)}",
                    )

    def _outside(self, quantity: Decimal, resource: str) -> bool:
        least, most = self._least.get(resource), self._most.get(resource)
        return (least is not None and quantity < least.value) or (most is not None and quantity > most.value)

    def _range(self, resource: str) -> str:
        least, most = self._least.get(resource), self._most.get(resource)
        if least is not None and most is not None:
            return f"from {least.written} to {most.written}"
        return (
            f"at least {least.written}" if least is not None else f"at most {most.written if most else 'all'}"
        )

    def _example(self) -> str:
        parts = []
        for name, bounds, _ in self._bounds:
            values = ", ".join(
                f"{short(resource)}: {_quoted(bound.written)}" for resource, bound in bounds.items()
            )
            parts += [f"{name}: {{{values}}}"] if values else []
        return " and ".join(parts)

    def _training(self, obj: Object) -> str:
        """Why the target counts as a training; empty where it does not."""
        kind = text(mapping(obj.spec, "targetRef"), "kind")
        if kind in self._kinds:
            return f"its target, a {kind}, is a training"
        labels = obj.labels
        for key, values in self._labels:
            value = labels.get(key)
            if type(value) is str and values.match(value):
                return f"its label {short(key)}: {short(value)} says its target is a training"
        return ""


_REASONS: Final = {"minAllowed": "min-allowed", "maxAllowed": "max-allowed"}


def _bounds(written: Mapping[str, Quantity], field_name: str) -> dict[str, _Bound]:
    bounds = {}
    for resource, quantity in written.items():
        try:
            bounds[resource] = _Bound(parse_quantity(quantity), str(quantity))
        except QuantityError as error:
            raise ParameterError(str(error), f"{field_name}[{resource}]") from error
    return bounds


def _quoted(value: str) -> str:
    """As it has to stand in YAML: Off alone is false there, and 4 a number."""
    return f'"{value}"' if value == "Off" or value.isdigit() else value
