"""The mutation ``resource-defaults``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from msgspec import Struct, field

from webhook.kube.names import label_key_problem
from webhook.kube.path import render
from webhook.kube.pod import Container, Pod
from webhook.kube.quantity import QuantityError, multiply_quantity, parse_quantity, quantity_or_none
from webhook.mutations.devices import MOST_ACCELERATORS, accelerator_count
from webhook.policy.draft import Draft
from webhook.policy.problems import did_you_mean
from webhook.policy.rule import Context, Mutation, ParameterError
from webhook.policy.strict import Strict

# As Kubernetes takes them: text, or a bare number.
Quantity = str | int | float

_NATIVE: Final = ("cpu", "memory", "ephemeral-storage")

# Counts of accelerators in one container are few; the bound only keeps hostile input from growing the memo.
_MEMO_LIMIT: Final = 256


def _resource_name(name: str) -> str:
    return "ephemeral-storage" if name == "ephemeralStorage" else name


class PerAccelerator(Strict, frozen=True, kw_only=True, rename=_resource_name):
    """Defaults for one accelerator; a container that requests several gets as many times as much."""

    cpu: Quantity | None = None
    """CPU, as request and as limit."""
    memory: Quantity | None = None
    """Memory, as request and as limit."""
    ephemeralStorage: Quantity | None = None
    """Local disk, as request and as limit."""
    requests: Mapping[str, Quantity] = field(default_factory=dict)
    """Requests by resource name, in place of the values above."""
    limits: Mapping[str, Quantity] = field(default_factory=dict)
    """Limits by resource name, in place of the values above."""


class _Default(Struct, frozen=True):
    """What a container gets of one resource; None where there is no default."""

    resource: str
    request: str | None
    limit: str | None
    limit_value: Decimal


class _Defaults(Struct, frozen=True):
    """What a container gets, and of which resources there is a default."""

    each: tuple[_Default, ...]
    resources: frozenset[str]

    @classmethod
    def of(cls, defaults: Iterable[_Default]) -> _Defaults:
        each = tuple(defaults)
        return cls(each, frozenset(default.resource for default in each))


_NO_DEFAULTS: Final = _Defaults.of(())
_NO_RESOURCES: Final[Collection[str]] = ()


class ResourceDefaults(Mutation):
    """A container that leaves open what it needs gets default requests and limits.

    Why:
        A container without requests is packed onto a full node; one without limits can take its neighbours
        down. On accelerator nodes, CPU and memory in proportion to the accelerators keep one pod from
        stranding the devices that are left.

    Changes:
        spec.initContainers[*].resources and spec.containers[*].resources, sidecars included.

        Of a resource for which a container gives neither request nor limit, it gets both defaults; a default
        limit alone becomes the request as well. Where it gives the request only, it gets the default limit,
        or the request where that is more. ``perAccelerator`` counts for containers that request accelerators
        (a claim counts as one), as many times as they request; a resource it does not name falls back to the
        other defaults.

        Where a container gives the limit only, that becomes the request (``requestsFromLimits``), as in
        Kubernetes. Extended resources (accelerators, rdma/hca) and huge pages with a request and no limit get
        the equal limit, with a limit and no request the equal request: the API server allows nothing else.

    Leaves alone:
        Every value that stands, also one that a LimitRange put there. A resource that spec.resources has for
        the whole pod: a container must not ask for more than that. Ephemeral containers, which can have no
        resources. Values that are no quantities, and counts of accelerators that no node has.

    Source:
        https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
        k8s.io/kubernetes pkg/apis/core/v1/defaults.go (SetDefaults_Pod: a limit without a request)
        k8s.io/kubernetes pkg/apis/core/validation (validateResourceRequirements, validatePodResources)
    """

    name = "resource-defaults"
    title = "Containers get default requests and limits"

    class Parameters(Strict, frozen=True, kw_only=True, rename=_resource_name):
        """Settings of ``resource-defaults``."""

        cpu: Quantity | None = None
        """CPU, as request and as limit."""
        memory: Quantity | None = None
        """Memory, as request and as limit."""
        ephemeralStorage: Quantity | None = None
        """Local disk, as request and as limit."""
        requests: Mapping[str, Quantity] = field(default_factory=dict)
        """Requests by resource name, in place of the values above."""
        limits: Mapping[str, Quantity] = field(default_factory=dict)
        """Limits by resource name, in place of the values above."""
        perAccelerator: PerAccelerator | None = None
        """Defaults for one accelerator, in place of the others in containers that request accelerators; a
        container that requests several gets as many times as much."""
        requestsFromLimits: bool = True
        """Whether a limit without a request is written down as the request too. Kubernetes does it for pods
        anyway; written down, it is there as well where a manifest is reviewed before it reaches a cluster."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        self._from_limits: bool = parameters.requestsFromLimits
        base = _compile(parameters, (), context)
        self._base = _Defaults.of(base.values())
        one = parameters.perAccelerator
        self._one = _compile(one, ("perAccelerator",), context) if one is not None else {}
        self._unscaled = tuple(default for name, default in base.items() if name not in self._one)
        self._scaled: dict[int, _Defaults] = {}

    def __call__(self, pod: Pod, draft: Draft) -> None:
        whole_pod: Collection[str] = _NO_RESOURCES
        if "resources" in pod.spec:
            whole_pod = {*_given(pod.limits), *_given(pod.requests)}
        for container in pod.containers:
            if container.is_ephemeral:
                continue
            defaults = self._defaults(pod, container) if self._one else self._base
            # Most containers say everything themselves.
            if not (_is_complete(container) and container.limits.keys() >= defaults.resources):
                self._complete(container, defaults.each, whole_pod, draft)

    def _complete(
        self, container: Container, defaults: Iterable[_Default], whole_pod: Collection[str], draft: Draft
    ) -> None:
        # Collected first and written then: what is read here may be what the draft writes to.
        limits: dict[str, Any] = {}
        requests: dict[str, Any] = {}
        for default in defaults:
            # With a limit and no request Kubernetes makes the limit the request, before it asks us.
            if container.limits.get(default.resource) is None and default.resource not in whole_pod:
                self._fill(default, container, limits, requests)
        self._pair(container, whole_pod, limits, requests)
        resources = {"limits": limits} if limits else {}
        if requests:
            resources["requests"] = requests
        if resources:
            draft.fill(container.field("resources"), resources)

    def _defaults(self, pod: Pod, container: Container) -> _Defaults:
        if not container.accelerators and "resourceClaims" not in pod.spec:
            return self._base
        count = accelerator_count(pod, container)
        if not count:
            return self._base
        if count > MOST_ACCELERATORS:
            return _NO_DEFAULTS
        return self._times(count)

    def _times(self, count: int) -> _Defaults:
        found = self._scaled.get(count)
        if found is None:
            found = _Defaults.of(
                (*(_multiply(default, count) for default in self._one.values()), *self._unscaled)
            )
            if len(self._scaled) < _MEMO_LIMIT:
                self._scaled[count] = found
        return found

    def _fill(
        self, default: _Default, container: Container, limits: dict[str, Any], requests: dict[str, Any]
    ) -> None:
        resource = default.resource
        request = container.requests.get(resource)
        if request is None:
            # Without a default request Kubernetes would make the limit the request, too.
            requests[resource] = default.request or default.limit
            if default.limit is not None:
                limits[resource] = default.limit
        elif default.limit is not None and not _must_be_equal(resource):
            asked = quantity_or_none(request)
            if asked is not None:
                limits[resource] = request if asked > default.limit_value else default.limit

    def _pair(
        self,
        container: Container,
        whole_pod: Collection[str],
        limits: dict[str, Any],
        requests: dict[str, Any],
    ) -> None:
        """Complete what follows from the container's own values."""
        own_limits, own_requests = container.limits, container.requests
        limits |= {
            resource: request
            for resource, request in own_requests.items()
            if own_limits.get(resource) is None
            and _must_be_equal(resource)
            and quantity_or_none(request) is not None
        }
        requests |= {
            resource: limit
            for resource, limit in own_limits.items()
            if own_requests.get(resource) is None
            and (self._from_limits or _must_be_equal(resource))
            and resource not in whole_pod
            and quantity_or_none(limit) is not None
        }


def _is_complete(container: Container) -> bool:
    """Whether each limit has its request and each request its limit."""
    limits, requests = container.limits, container.requests
    return limits.keys() == requests.keys() and None not in limits.values() and None not in requests.values()


def _given(quantities: Mapping[str, Any]) -> Iterable[str]:
    return (resource for resource, value in quantities.items() if value is not None)


def _must_be_equal(resource: str) -> bool:
    """Whether Kubernetes wants request and limit of a resource to be equal.

    Source: k8s.io/kubernetes pkg/apis/core/helper (IsOvercommitAllowed, IsNativeResource).
    """
    return ("/" in resource and "kubernetes.io/" not in resource) or resource.startswith("hugepages-")


def _compile(
    parameters: ResourceDefaults.Parameters | PerAccelerator, at: tuple[str, ...], context: Context
) -> dict[str, _Default]:
    """The defaults by resource name. ``at`` is where the parameters are, for messages."""
    flat = {
        "cpu": parameters.cpu,
        "memory": parameters.memory,
        "ephemeral-storage": parameters.ephemeralStorage,
    }
    both = {
        name: _quantity(value, (*at, name), at_least_one=True)
        for name, value in flat.items()
        if value is not None
    }
    limits, requests = dict(both), dict(both)
    for side, written, values in (
        ("requests", parameters.requests, requests),
        ("limits", parameters.limits, limits),
    ):
        for name, value in written.items():
            path = (*at, side, name)
            _check_name(name, path, context)
            values[name] = _quantity(value, path, at_least_one=side == "limits")
    return {name: _default(name, requests.get(name), limits.get(name), at) for name in {**limits, **requests}}


def _default(name: str, request: str | None, limit: str | None, at: tuple[str, ...]) -> _Default:
    equal = _must_be_equal(name)
    if equal:
        request, limit = request or limit, limit or request
    limit_value = parse_quantity(limit) if limit is not None else Decimal(0)
    if request is not None and limit is not None:
        asked = parse_quantity(request)
        if asked > limit_value:
            raise ParameterError(
                f"the default request {request} is more than the default limit {limit}: no pod can have both",
                render((*at, "requests", name)),
            )
        if equal and asked != limit_value:
            raise ParameterError(
                f"request and limit of {name} must be equal, as the API server wants for such resources",
                render((*at, "requests", name)),
            )
    return _Default(name, request, limit, limit_value)


def _check_name(name: str, path: tuple[str, ...], context: Context) -> None:
    problem = None
    if "/" in name:
        problem = label_key_problem(name)
    elif name not in _NATIVE and not (name.startswith("hugepages-") and quantity_or_none(name[10:])):
        meant = did_you_mean(name, _NATIVE) or f"write {', '.join(_NATIVE)}, hugepages-SIZE or DOMAIN/NAME"
        problem = f'"{name}" is no resource of a container; {meant}'
    if context.catalog.find(name) is not None:
        problem = "an accelerator is asked for, never given by default: every container would get one"
    if problem:
        raise ParameterError(problem, render(path))


def _quantity(value: Quantity, path: tuple[str, ...], *, at_least_one: bool) -> str:
    try:
        number = parse_quantity(value)
    except QuantityError as error:
        raise ParameterError(str(error), render(path)) from error
    if number < 0 or (at_least_one and number == 0):
        # Zero would be a limit in name only: the kubelet takes it for unlimited.
        raise ParameterError(
            "must be more than zero" if at_least_one else "must not be negative", render(path)
        )
    if _must_be_equal(path[-1]) and number != number.to_integral_value():
        raise ParameterError(f"{path[-1]} comes in whole numbers only", render(path))
    return str(value)


def _multiply(default: _Default, count: int) -> _Default:
    return _Default(
        default.resource,
        multiply_quantity(default.request, count) if default.request is not None else None,
        multiply_quantity(default.limit, count) if default.limit is not None else None,
        default.limit_value * count,
    )
