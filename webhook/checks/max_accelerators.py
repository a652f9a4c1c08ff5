"""The check ``max-accelerators``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from webhook.checks.wording import container_called, number, short
from webhook.policy.constraints import Ge
from webhook.policy.findings import Severity, Violation
from webhook.policy.match import Names
from webhook.policy.rule import Check, Context, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.pod import Container, Pod


class MaxAccelerators(Check):
    """A container, a pod, and a workload as a whole ask for no more accelerators than allowed.

    Why:
        A typo (80 for 8) or a single greedy job can hold all accelerators of a team, or ask for more than any
        node has and wait for ever.

    Restricted fields:
        spec.initContainers[*].resources.limits[ACCELERATOR]
        spec.initContainers[*].resources.requests[ACCELERATOR]
        spec.containers[*].resources.limits[ACCELERATOR]
        spec.containers[*].resources.requests[ACCELERATOR]

    Allowed values:
        Up to ``perContainer`` accelerators in one container, up to ``perPod`` in a pod, and up to
        ``perWorkload`` in all pods of a workload, over all resource names that ``resources`` selects together.
        A pod counts as the scheduler counts it: regular containers and sidecars add up, of ordinary init
        containers the largest counts. A workload counts as the sum over its pod templates of replicas times
        accelerators; where an autoscaler of its own may add pods, the most it may have. Where the object does
        not say how many pods there will be (a DaemonSet, steps of a workflow), each template counts once.
        Devices asked for by resource claim are not counted: their number stands in the claim, which is an
        object of its own. Ephemeral containers are left out: Kubernetes allows them no resources.

    Remediation:
        Lower the count under resources.limits, or the number of pods; or spread the work over several pods or
        workloads.

    Source:
        https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
        k8s.io/component-helpers resource/helpers.go (PodRequests)
    """

    name = "max-accelerators"
    title = "Pods stay below a number of accelerators"
    severity = Severity.MEDIUM

    class Parameters(Strict, frozen=True):
        """Settings of ``max-accelerators``. At least one of the bounds is needed."""

        perContainer: Annotated[int, Ge(0)] | None = None
        """The most accelerators one container may ask for. Without it there is no bound for a container."""
        perPod: Annotated[int, Ge(0)] | None = None
        """The most accelerators a pod may hold at once. Without it there is no bound for a pod."""
        perWorkload: Annotated[int, Ge(0)] | None = None
        """The most accelerators all pods of one workload may hold together. Without it there is no bound for a
        workload."""
        resources: tuple[str, ...] = ()
        """Resource names, or globs over them (``nvidia.com/mig-*``), that are counted. Without it: every
        accelerator of the catalog."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        bounds = {name: getattr(parameters, name) for name in ("perContainer", "perPod", "perWorkload")}
        given = [(name, bound) for name, bound in bounds.items() if bound is not None]
        if not given:
            raise ParameterError("nothing is bounded; give perContainer, perPod or perWorkload", "perPod")
        for (inner, lower), (outer, upper) in pairwise(given):
            if lower > upper:
                raise ParameterError(f"{inner} is above {outer}, so it could never be reached", inner)
        known = [name for accelerator in context.catalog.accelerators for name in accelerator.resources]
        for index, name in enumerate(parameters.resources):
            if not any(_overlap(_as_wildcards(name), _as_wildcards(resource)) for resource in known):
                raise ParameterError(
                    f'no accelerator of the catalog is called "{short(name)}", so it would never be counted; '
                    "correct it, or add it in an AcceleratorCatalog",
                    f"resources[{index}]",
                )
        self._counts = Names(parameters.resources)
        # Compared with decimals for every pod, so made ones here.
        self._per_container = _decimal(parameters.perContainer)
        self._per_pod = _decimal(parameters.perPod)
        self._per_workload = _decimal(parameters.perWorkload)

    def __call__(self, pod: Pod) -> Iterator[Violation]:
        per_container, per_pod = self._per_container, self._per_pod
        if per_container is not None:
            for container in pod.containers:
                accelerators = container.accelerators
                if accelerators:
                    counted = self._counted(accelerators)
                    total = _total(counted)
                    if total > per_container:
                        yield Violation(
                            "too-many-per-container",
                            _where(container, counted),
                            f"{container_called(container)} asks for {_described(counted, total)}, and one "
                            f"container may have {per_container}; lower the limit, or use more pods",
                        )
        if per_pod is not None and pod.accelerators:
            counted = self._counted(pod.accelerators)
            total = _total(counted)
            if total > per_pod:
                yield Violation(
                    "too-many-per-pod",
                    pod.field(),
                    f"the pod asks for {_described(counted, total)}, and one pod may have {per_pod}; "
                    "lower the limits, or use more pods",
                )

    def check_workload(self, pods: Sequence[Pod]) -> Iterator[Violation]:
        if self._per_workload is None:
            return
        together: dict[str, Decimal] = {}
        shares: list[tuple[Decimal, Pod]] = []
        for pod in pods:
            counted = self._counted(pod.accelerators)
            if counted:
                shares.append((_total(counted) * pod.replicas, pod))
                for resource, count in counted.items():
                    together[resource] = together.get(resource, Decimal(0)) + count * pod.replicas
        total = sum((share for share, _ in shares), Decimal(0))
        if total > self._per_workload:
            share, pod = max(shares, key=lambda each: each[0])
            pods_of_it = f"{pod.replicas} pod{'s' if pod.replicas > 1 else ''} with {number(share / pod.replicas)} each"
            yield Violation(
                "too-many-per-workload",
                pod.replicas_path or pod.place,
                f"all pods of the workload together ask for {_described(together, total)}, and one workload may have "
                f"{self._per_workload}; most are for {pods_of_it}: lower one of the two",
            )

    def _counted(self, accelerators: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
        if self._counts.everything:
            return accelerators
        return {resource: count for resource, count in accelerators.items() if self._counts.match(resource)}


def _decimal(count: int | None) -> Decimal | None:
    return None if count is None else Decimal(count)


def _total(counted: Mapping[str, Decimal]) -> Decimal:
    # Nearly always there is one.
    return next(iter(counted.values())) if len(counted) == 1 else sum(counted.values(), Decimal(0))


def _where(container: Container, counted: Mapping[str, Decimal]) -> tuple[str | int, ...]:
    if len(counted) > 1:
        return container.field("resources")
    resource = next(iter(counted))
    return container.field("resources", "limits" if resource in container.limits else "requests", resource)


def _described(counted: Mapping[str, Decimal], total: Decimal) -> str:
    if len(counted) == 1:
        return f"{number(total)} of {short(next(iter(counted)))}"
    each = ", ".join(f"{number(count)} {short(resource)}" for resource, count in list(counted.items())[:3])
    return f"{number(total)} accelerators ({each}{', ...' if len(counted) > 3 else ''})"


def _as_wildcards(glob: str) -> str:
    """A glob with each character class widened to any one character: enough to say what it cannot match."""
    return re.sub(r"\[[^\]]+\]", "?", glob)


def _overlap(one: str, other: str) -> bool:
    """Whether some name matches both globs (of ``*`` and ``?``)."""
    # row[j] says it of the part of `one` read so far and the first j characters of `other`.
    row = [True]
    for right in other:
        row.append(row[-1] and right == "*")
    for left in one:
        following = [row[0] and left == "*"]
        for j, right in enumerate(other):
            if "*" in (left, right):
                following.append(row[j + 1] or following[j])
            else:
                following.append(row[j] and (left == right or "?" in (left, right)))
        row = following
    return row[-1]
