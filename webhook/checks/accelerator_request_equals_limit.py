"""The check ``accelerator-request-equals-limit``."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from webhook.checks.wording import container_called, short
from webhook.kube.quantity import quantity_or_none
from webhook.policy.findings import Severity, Violation
from webhook.policy.rule import Check

if TYPE_CHECKING:
    from webhook.kube.pod import Container, Pod


_ZERO: Final = Decimal(0)


class AcceleratorRequestEqualsLimit(Check):
    """An accelerator is asked for in whole numbers, and its request is its limit.

    Why:
        Devices cannot be shared between limit and request. The API server says so too, but only for pods: a
        Deployment or a training job with the mistake is accepted, and its pods never appear.

    Restricted fields:
        spec.initContainers[*].resources.limits[ACCELERATOR]
        spec.initContainers[*].resources.requests[ACCELERATOR]
        spec.containers[*].resources.limits[ACCELERATOR]
        spec.containers[*].resources.requests[ACCELERATOR]

    Allowed values:
        A whole number, zero included, as the limit; the same number or nothing as the request, which
        Kubernetes then fills from the limit. Accelerators are the resources of the accelerator catalog.
        Ephemeral containers are left out: Kubernetes allows them no resources.

    Remediation:
        Write the count once, under resources.limits, such as {nvidia.com/gpu: 1}, and remove the request.

    Source:
        https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/
        k8s.io/kubernetes pkg/apis/core/validation/validation.go (ValidateContainerResourceRequirements,
        validateResourceQuantityValue)
    """

    name = "accelerator-request-equals-limit"
    title = "Accelerator requests equal their limits"
    severity = Severity.MEDIUM

    def __call__(self, pod: Pod) -> Iterator[Violation]:
        find = pod.catalog.find
        for container in pod.containers:
            if container.is_ephemeral:
                continue
            limits, requests = container.limits, container.requests
            for resource in limits:
                # A name without a slash is native (cpu, memory) and never an accelerator: most end here.
                if "/" in resource and find(resource) is not None and _whole(limits[resource]) is None:
                    yield _not_whole(container, resource, "limits", limits[resource])
            for resource in requests:
                if "/" in resource and find(resource) is not None:
                    if resource not in limits:
                        yield _without_limit(container, resource, requests[resource])
                    elif requests[resource] != limits[resource]:
                        yield from _compare(container, resource, requests[resource], limits[resource])


def _whole(value: Any) -> Decimal | None:
    """The count, or None where the value is no whole number of devices."""
    # The API server reads null as zero.
    count = _ZERO if value is None else quantity_or_none(value)
    return count if count is not None and count >= 0 and count == count.to_integral_value() else None


def _not_whole(container: Container, resource: str, field: str, value: Any) -> Violation:
    return Violation(
        "count-not-whole",
        container.field("resources", field, resource),
        f'{container_called(container)} asks for "{short(value)}" of {short(resource)}; accelerators are '
        "handed out whole, so write 1, 2, ...",
    )


def _compare(container: Container, resource: str, request: Any, limit: Any) -> Iterator[Violation]:
    wanted, allowed = _whole(request), _whole(limit)
    if wanted is None:
        yield _not_whole(container, resource, "requests", request)
    elif allowed is not None and wanted != allowed:
        yield Violation(
            "request-differs",
            container.field("resources", "requests", resource),
            f"{container_called(container)} requests {short(request)} of {short(resource)} with a limit of "
            f"{short(limit)}; accelerators need both equal, so remove the request or write {short(limit)}",
        )


def _without_limit(container: Container, resource: str, request: Any) -> Violation:
    count = short(request) if _whole(request) else "1"
    return Violation(
        "limit-missing",
        container.field("resources", "limits", resource),
        f"{container_called(container)} requests {short(resource)} without a limit, which Kubernetes "
        f"refuses; write resources.limits: {{{short(resource)}: {count}}} instead",
    )
