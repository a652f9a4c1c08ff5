"""The check ``max-accelerators`` in CEL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from webhook.checks.max_accelerators import MaxAccelerators
from webhook.export.vap.cel import among, is_accelerator
from webhook.export.vap.parts import About, Demand, Target

_SIDECAR = "s.?restartPolicy.orValue('') == 'Always'"
_INITS = "variables.spec.?initContainers.orValue([])"


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
            f" > {parameters.perContainer}.0).map(c, c.name)",
            "containers that ask for too many accelerators",
            f"one container may have {parameters.perContainer}; lower the limit, or use more pods",
        )
    if parameters.perPod is not None:
        yield _whole("perPod", "spec", "pod", parameters.perPod, _total(parameters.resources))
    if parameters.perWorkload is not None:
        total = f"({_total(parameters.resources)}) * double(variables.replicas)"
        yield _whole("perWorkload", "workload", "workload", parameters.perWorkload, total)


def _whole(name: str, about: About, what: str, bound: int, total: str) -> Demand:
    return Demand(
        name,
        about,
        f"[{total}].filter(n, n > {bound}.0).map(n, string(int(n)))",
        f"the {what} asks for too many accelerators",
        f"one {what} may have {bound}; lower the number",
    )


def _quantity(quantities: str) -> str:
    return f"quantity(string({quantities}[?r].orValue('0'))).asApproximateFloat()"


def _count(container: str) -> str:
    """How many devices of ``r`` a container asks for: the larger of limit and request."""
    of = f"{container}.?resources"
    return f"[{_quantity(f'{of}.?limits')}, {_quantity(f'{of}.?requests')}].max()"


def _total(resources: Sequence[str]) -> str:
    """How many the pod holds at once.

    Regular containers and sidecars add up; of ordinary init containers, each with the sidecars before it, the
    largest counts.
    """
    chosen = f".filter(r, {among('r', resources)})" if resources else ""
    running = (
        f"variables.spec.?containers.orValue([]).map(c, {_count('c')}).sum()"
        f" + {_INITS}.filter(s, {_SIDECAR}).map(s, {_count('s')}).sum()"
    )
    before = "variables.initNames.indexOf(s.name) < variables.initNames.indexOf(c.name)"
    starting = (
        f"([0.0] + {_INITS}.filter(c, c.?restartPolicy.orValue('') != 'Always').map(c, {_count('c')}"
        f" + {_INITS}.filter(s, {_SIDECAR} && {before}).map(s, {_count('s')}).sum())).max()"
    )
    return f"variables.acceleratorNames{chosen}.map(r, [{running}, {starting}].max()).sum()"
