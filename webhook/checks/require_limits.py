"""The check ``require-limits``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from webhook.checks.wording import container_called, listed, plural, short
from webhook.kube.quantity import quantity_or_none
from webhook.kube.shape import JSONObject
from webhook.policy.findings import Severity, Violation
from webhook.policy.problems import did_you_mean
from webhook.policy.rule import Check, Context, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.pod import Container, Pod

# What a message tells the author to write where the container itself gives no better hint.
_EXAMPLES: Final = {"cpu": "1", "memory": "2Gi", "ephemeral-storage": "10Gi"}
_NATIVE: Final = tuple(_EXAMPLES)

_LONGEST_QUANTITY: Final = 64


class RequireLimits(Check):
    """Every container has a limit, and where asked a request, for each of the named resources.

    Why:
        A container without a memory limit takes the node's memory until the kernel kills its neighbours; one
        without a CPU limit starves the data loaders beside it. Without requests the scheduler packs pods onto
        nodes that cannot carry them.

    Restricted fields:
        spec.initContainers[*].resources.limits
        spec.initContainers[*].resources.requests
        spec.containers[*].resources.limits
        spec.containers[*].resources.requests

    Allowed values:
        A quantity above zero for each resource in ``resources`` (limits) and ``requests`` (requests). Zero is
        no limit: the kubelet takes it for unlimited. A limit implies the request, as Kubernetes fills the
        absent request from it; a request that is written as zero stays zero. A pod-level limit or request
        (spec.resources, Kubernetes 1.34 and later) counts for every container. Ephemeral containers are left
        out: Kubernetes allows them no resources.

    Remediation:
        Write resources.limits with what the container needs at its peak, such as {cpu: "1", memory: 2Gi}.

    Source:
        https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
        k8s.io/kubernetes pkg/apis/core/v1/defaults.go (SetDefaults_Pod: requests from limits)
    """

    name = "require-limits"
    title = "Containers have resource limits"
    severity = Severity.MEDIUM

    class Parameters(Strict, frozen=True):
        """Settings of ``require-limits``."""

        resources: tuple[str, ...] = ("cpu", "memory")
        """Resources that need a limit: cpu, memory, ephemeral-storage, hugepages-SIZE or DOMAIN/NAME."""
        requests: tuple[str, ...] = ()
        """Resources that need a request. A limit for the same resource is request enough."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        if not parameters.resources and not parameters.requests:
            raise ParameterError("nothing is required; name a resource in resources or requests", "resources")
        for field, names in (("resources", parameters.resources), ("requests", parameters.requests)):
            for index, name in enumerate(names):
                _refuse_unknown(name, f"{field}[{index}]")
        self._limits = tuple(dict.fromkeys(parameters.resources))
        self._requests = tuple(dict.fromkeys(parameters.requests))

    def __call__(self, pod: Pod) -> Iterator[Violation]:
        need_limit, need_request = self._limits, self._requests
        if "resources" in pod.spec:
            limits, requests = pod.limits, pod.requests
            need_limit = tuple(name for name in need_limit if not _positive(limits.get(name)))
            need_request = tuple(name for name in need_request if not _requested(name, limits, requests))
        for container in pod.containers:
            if container.is_ephemeral:
                continue
            limits = container.limits
            missing: list[str] | None = None
            for name in need_limit:
                if not _positive(limits.get(name)):
                    missing = [*(missing or ()), name]
            if missing:
                yield _missing(container, "limit", missing, limits)
            if need_request:
                requests = container.requests
                unasked = [
                    name
                    for name in need_request
                    if not _requested(name, limits, requests)
                    # Its limit is missing and reported: with the limit, the request is there too.
                    and (name in requests or name not in (missing or ()))
                ]
                if unasked:
                    yield _missing(container, "request", unasked, requests)


def _refuse_unknown(name: str, field: str) -> None:
    # A name with a slash can be anybody's; a native one that is misspelt could never be satisfied.
    if "/" in name or name in _NATIVE or (name.startswith("hugepages-") and _positive(name[10:])):
        return
    meant = did_you_mean(name, _NATIVE) or f"write {', '.join(_NATIVE)}, hugepages-SIZE or DOMAIN/NAME"
    raise ParameterError(f'"{short(name)}" is no resource; {meant}', field)


def _positive(value: Any) -> bool:
    """Whether a value is a quantity above zero. Asked for every container, so answers about text are kept."""
    if type(value) is str:
        return len(value) <= _LONGEST_QUANTITY and _positive_text(value)
    quantity = quantity_or_none(value)
    return quantity is not None and quantity > 0


@lru_cache(maxsize=4096)
def _positive_text(value: str) -> bool:
    quantity = quantity_or_none(value)
    return quantity is not None and quantity > 0


def _requested(name: str, limits: JSONObject, requests: JSONObject) -> bool:
    # Kubernetes fills a request from the limit only where the key is absent.
    return _positive(requests[name]) if name in requests else _positive(limits.get(name))


def _missing(container: Container, kind: str, names: Sequence[str], written: JSONObject) -> Violation:
    field = f"{kind}s"
    unusable = next((name for name in names if name in written), None)
    why = "" if unusable is None else f' ({short(unusable)}: "{short(written[unusable])}" does not count)'
    values = ", ".join([f"{name}: {_example(name, container)}" for name in names])
    verb = "write in" if unusable is not None else "add to" if written else "add"
    return Violation(
        f"{kind}-missing",
        container.field("resources", field),
        f"{container_called(container)} has no {plural(names, kind, field)} for {listed(names)}{why}; "
        f"{verb} resources.{field}: {{{values}}}",
    )


def _example(name: str, container: Container) -> str:
    # A limit below the container's own request would only be the next error.
    request = container.requests.get(name)
    value = short(request) if request is not None and _positive(request) else _EXAMPLES.get(name, "")
    if not value:
        value = name[10:] if name.startswith("hugepages-") else "1"
    return f'"{value}"' if value[-1].isdigit() else value
