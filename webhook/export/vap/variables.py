"""The variables that exported expressions share: the pod that is judged, and what of it an update changed.

Each is written into a policy only where something uses it. The values are dyn: in Kubernetes' types the lists of init
and regular containers are lists of different things, and could not be put together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from webhook.export.vap.cel import accelerator_names, is_accelerator
from webhook.export.vap.parts import Target

_PATH: Final = "v.hostPath.?path.orValue('')"
_SAFE: Final = f"{_PATH}.startsWith('/') && !{_PATH}.contains('\\\\') && !('..' in {_PATH}.split('/'))"
_WITH_SLASHES: Final = f"'/' + {_PATH}.split('/').filter(p, !(p in ['', '.'])).map(p, p + '/').join('')"

_NOT_LIMITED: Final = "!variables.containers.exists(d, r in d.?resources.?limits.orValue({}))"

# Where the number of pods stands. Source: k8s.io/api apps/v1, batch/v1, core/v1.
_REPLICATED: Final = "['Deployment', 'ReplicaSet', 'StatefulSet', 'ReplicationController']"

USED: Final = re.compile(r"\bvariables\.([A-Za-z_][A-Za-z0-9_]*)")


def _template(of: str) -> str:
    """The pod, or the pod template of a workload; ``of`` is object or oldObject."""
    return (
        f"{of}.kind == 'Pod' ? dyn({of}) : {of}.kind == 'PodTemplate' ? dyn({of}).template"
        f" : {of}.kind == 'CronJob' ? dyn({of}).spec.jobTemplate.spec.template : dyn({of}).spec.template"
    )


# An update of a pod changes its debug containers, through a resource of their own, or anything else.
_SAME_POD: Final = (
    "(request.?subResource.orValue('') == 'ephemeralcontainers' || dyn(object.spec) == dyn(oldObject.spec))"
)


def _quantities(container: str, field: str) -> str:
    return f"{container}.?resources.?{field}.orValue({{}})"


def _names(field: str, condition: str, target: Target) -> str:
    """The names of accelerators under ``field`` for which the condition on ``r`` holds, in one text."""
    first = f"variables.containers.filter(d, r in {_quantities('d', field)})[0].name == c.name"
    wanted = f"{is_accelerator('r', target.catalog)} && {condition} && {first}"
    return f"variables.containers.map(c, {_quantities('c', field)}.map(r, {wanted}, string(r)).join(' ')).join(' ')"


def shared(target: Target) -> Mapping[str, str]:
    """Name to expression, each after those that it uses."""
    found: dict[str, str] = {}
    if target.templates:
        found |= {
            "template": _template("object"),
            "oldTemplate": f"oldObject == null ? dyn({{}}) : ({_template('oldObject')})",
            "metadata": "variables.template.?metadata.orValue(dyn({}))",
            "spec": "variables.template.?spec.orValue(dyn({}))",
            "specUnchanged": f"request.operation == 'UPDATE' && (object.kind == 'Pod' ? {_SAME_POD}"
            " : variables.template == variables.oldTemplate)",
            "labelsUnchanged": "request.operation == 'UPDATE' && (object.kind == 'Pod' ?"
            " variables.labels == variables.oldTemplate.?metadata.?labels.orValue(dyn({}))"
            " : variables.template == variables.oldTemplate)",
            "replicas": f"object.kind in {_REPLICATED} ? dyn(object.spec).?replicas.orValue(1)"
            " : object.kind == 'Job' ? dyn(object.spec).?parallelism.orValue(1)"
            " : object.kind == 'CronJob' ? dyn(object.spec).jobTemplate.spec.?parallelism.orValue(1) : dyn(1)",
            "workloadUnchanged": "object.kind == 'Pod' ? variables.specUnchanged : variables.objectUnchanged",
        }
    else:
        found |= {
            "metadata": "dyn(object.metadata)",
            "spec": "dyn(object.spec)",
            "specUnchanged": f"request.operation == 'UPDATE' && {_SAME_POD}",
            "labelsUnchanged": "request.operation == 'UPDATE'"
            " && variables.labels == dyn(oldObject.metadata).?labels.orValue(dyn({}))",
            "replicas": "dyn(1)",
            "workloadUnchanged": "variables.specUnchanged",
        }
    return found | {
        "labels": "variables.metadata.?labels.orValue(dyn({}))",
        "objectUnchanged": OBJECT_UNCHANGED,
        "containers": "variables.spec.?initContainers.orValue([]) + variables.spec.?containers.orValue([])",
        "accelerators": accelerator_names(target.catalog),
        "initNames": "variables.spec.?initContainers.orValue([]).map(c, string(c.name))",
        "changed": "variables.specUnchanged ? [] : variables.containers",
        "judged": "variables.changed + variables.spec.?ephemeralContainers.orValue([]).filter(c,"
        " oldObject == null || !(c in dyn(oldObject.spec).?ephemeralContainers.orValue([])))",
        # The names of accelerators that the pod asks for, each once: where the first container asks for it.
        "acceleratorNames": f"({_names('limits', 'true', target)} + ' ' +"
        f" {_names('requests', _NOT_LIMITED, target)})"
        ".split(' ').filter(r, r != '')",
        # Each with its path: one slash between parts and one at the end, empty where it may lead anywhere.
        "hostPaths": "variables.spec.?volumes.orValue([]).filter(v, has(v.hostPath))"
        f".map(v, {{'name': string(v.name), 'path': {_SAFE} ? {_WITH_SLASHES} : ''}})",
        "requestsAccelerator": "variables.containers.exists(c,"
        " [c.?resources.?limits.orValue({}), c.?resources.?requests.orValue({})].exists(q, q.exists(r,"
        f" {is_accelerator('r', target.catalog)} && quantity(string(q[r])).isGreaterThan(quantity('0')))))"
        " || size(variables.spec.?resourceClaims.orValue([])) > 0",
    }


_PARTS: Final = "['metadata', 'status']"

OBJECT_UNCHANGED: Final = (
    "request.operation == 'UPDATE'"
    f" && dyn(object).all(k, k in {_PARTS} || (k in dyn(oldObject) && dyn(object)[k] == dyn(oldObject)[k]))"
    f" && dyn(oldObject).all(k, k in {_PARTS} || k in dyn(object))"
    " && ['labels', 'annotations'].all(k, dyn(object.metadata)[?k].orValue(dyn({}))"
    " == dyn(oldObject.metadata)[?k].orValue(dyn({})))"
)

OBJECTS: Final[Mapping[str, str]] = {
    "metadata": "object == null ? dyn(oldObject.metadata) : dyn(object.metadata)",
    "labels": "variables.metadata.?labels.orValue(dyn({}))",
    "objectUnchanged": OBJECT_UNCHANGED,
    "specUnchanged": f"request.operation == 'UPDATE' && {_SAME_POD}",
}
"""The variables of expressions about objects themselves, which may be being deleted."""


def needed(known: Mapping[str, str], texts: Iterable[str]) -> dict[str, str]:
    """Those of the known variables that the texts use, directly or through another, in the order of definition."""
    wanted: set[str] = set()
    waiting = [name for written in texts for name in USED.findall(written)]
    while waiting:
        name = waiting.pop()
        if name in known and name not in wanted:
            wanted.add(name)
            waiting.extend(USED.findall(known[name]))
    # Definitions refer backwards only; a walk in depth keeps that order whatever order they are listed in.
    ordered: dict[str, str] = {}

    def define(name: str) -> None:
        if name in ordered or name not in known:
            return
        for used in USED.findall(known[name]):
            define(used)
        ordered[name] = known[name]

    for name in known:
        if name in wanted:
            define(name)
    return ordered
