"""The check ``max-accelerators`` in CEL."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.checks.max_accelerators import MaxAccelerators
from webhook.export.vap.cel import among, is_accelerator
from webhook.export.vap.parts import About, Demand, Target

_SIDECAR = "s.?restartPolicy.orValue('') == 'Always'"
_INITS = "variables.spec.?initContainers.orValue([])"
# Sums of what was divided are compared; a count is whole, so this is far from any that would matter.
_SLACK = 0.001


def translate(check: MaxAccelerators, target: Target) -> Iterator[Demand]:
    """Containers, pods and workloads above their bounds."""
    parameters = check.parameters
    counted = is_accelerator("r", target.catalog)
    if parameters.resources:
        counted = f"({counted} && {among('r', parameters.resources)})"
    if parameters.perContainer is not None:
        limits, requests = (f"c.?resources.?{field}.orValue({{}})" for field in ("limits", "requests"))
        yield Demand(
            "perContainer",
            "containers",
            f"variables.changed.filter(c, {limits}.map(r, {counted}, {_count('c')}).sum()"
            f" + {requests}.map(r, {counted} && !(r in {limits}), {_count('c')}).sum()"
            f" > {_bound(parameters.perContainer)}).map(c, c.name)",
            "containers that ask for too many accelerators",
            f"one container may have {parameters.perContainer}; lower the limit, or use more pods",
        )
    if parameters.perPod is not None:
        yield _whole("perPod", "spec", "pod", parameters.perPod, _total(counted))
    if parameters.perWorkload is not None:
        total = f"({_total(counted)}) * double(variables.replicas)"
        yield _whole("perWorkload", "workload", "workload", parameters.perWorkload, total)


def _whole(name: str, about: About, what: str, bound: int, total: str) -> Demand:
    return Demand(
        name,
        about,
        f"[{total}].filter(n, n > {_bound(bound)}).map(n, string(int(n + {_SLACK})))",
        f"the {what} asks for too many accelerators",
        f"one {what} may have {bound}; lower the number",
    )


def _bound(count: int) -> str:
    return f"{count}{str(_SLACK)[1:]}"


def _quantity(quantities: str) -> str:
    return f"quantity(string({quantities}[?r].orValue('0'))).asApproximateFloat()"


def _count(container: str) -> str:
    """How many devices of ``r`` a container asks for: the larger of limit and request."""
    of = f"{container}.?resources"
    return f"[{_quantity(f'{of}.?limits')}, {_quantity(f'{of}.?requests')}].max()"


def _total(counted: str) -> str:
    """How many the pod holds at once.

    Regular containers and sidecars add up; of ordinary init containers, each with the sidecars before it, the
    largest counts. A list of names has a name once for each container, so each of its places has a part of the sum.
    """
    names = (
        "variables.containers.map(c, [c.?resources.?limits.orValue({}), c.?resources.?requests.orValue({})]"
        f".map(q, q.map(r, {counted}, string(r)).join(' ')).join(' ')).join(' ').split(' ').filter(r, r != '')"
    )
    running = (
        f"variables.spec.?containers.orValue([]).map(c, {_count('c')}).sum()"
        f" + {_INITS}.filter(s, {_SIDECAR}).map(s, {_count('s')}).sum()"
    )
    before = "variables.initNames.indexOf(s.name) < variables.initNames.indexOf(c.name)"
    starting = (
        f"([0.0] + {_INITS}.filter(c, c.?restartPolicy.orValue('') != 'Always').map(c, {_count('c')}"
        f" + {_INITS}.filter(s, {_SIDECAR} && {before}).map(s, {_count('s')}).sum())).max()"
    )
    return (
        f"[{names}].map(all, all.map(r, [{running}, {starting}].max()"
        " / double(size(all.filter(n, n == r)))).sum())[0]"
    )
