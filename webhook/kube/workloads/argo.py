"""Argo Workflows: the pods that the workflow controller would make of each template.

A template has no PodTemplateSpec. Its pod is put together from its ``container``, ``script`` or ``containerSet``, its
``initContainers`` and ``sidecars``, its own pod settings, the workflow's ``templateDefaults`` below them, and the
settings of the whole workflow where the template says nothing.

What cannot be seen here, because it is no field: ``podSpecPatch`` (text, with parameters in it, that is merged into the
finished pod), the manifest of a ``resource`` template (text), templates of other objects (``templateRef``), and the
containers that the controller adds itself (``init``, ``wait``). All of them are seen when the pods are made.

Source: argoproj/argo-workflows workflow/controller/workflowpod.go (createWorkflowPod, addSchedulingConstraints,
addMetadata, addVolumeReferences) and operator.go (mergedTemplateDefaultsInto).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from msgspec.structs import replace

from webhook.kube.shape import JSONObject, text
from webhook.kube.workloads.parts import (
    Described,
    Found,
    Part,
    affordable,
    first,
    joined,
    labels_and_annotations,
    listing,
    made_pod,
    merge,
)
from webhook.kube.workloads.paths import Finder

# What a template runs in a pod, of which it has one. Templates of other types (steps, dag, suspend, http) have no pod.
_MAIN: Final = ("container", "script", "containerSet")

# Of the template or, where it has none, of the workflow. An empty one of the first is none, of the second is one.
_EITHER: Final = ("nodeSelector", "tolerations", "schedulerName", "serviceAccountName")
_EITHER_GIVEN: Final = ("affinity", "securityContext", "automountServiceAccountToken")
_OF_THE_WORKFLOW: Final = ("hostNetwork", "dnsPolicy", "dnsConfig", "imagePullSecrets")

# An inline template may hold steps with inline templates in turn; nobody nests them deeper than this.
_INLINE_DEPTH: Final = 8


def workflow(*path: str) -> Finder:
    """The pods of the WorkflowSpec at ``path``."""

    def find(obj: JSONObject) -> Iterator[Found]:
        spec = Part(obj, ())
        for key in path:
            spec = spec.get(key)
        shared = (spec.get("templateDefaults"), spec.get("podMetadata"), spec.get("hostAliases"))
        volumes = {_name(volume): volume for volume in spec.get("volumes").items()}
        templates = (part for template in spec.get("templates").items() for part in _with_inline(template, 0))
        for template in islice(templates, affordable(*shared)):
            main = next((name for name in _MAIN if template.get(name).is_map), None)
            if main is not None:
                yield _pod(main, template, spec, volumes)

    return Finder((".".join((*path, "templates[*]")),), find)


def _with_inline(template: Part, depth: int) -> Iterator[Part]:
    """A template, and those written inside its steps and tasks."""
    yield template
    if depth < _INLINE_DEPTH:
        for inline in _inline(template):
            yield from _with_inline(inline, depth + 1)


def _inline(template: Part) -> Iterator[Part]:
    steps = template.get("steps")
    for index in range(len(steps.value) if type(steps.value) is list else 0):
        group = steps.get(index)
        # Steps of one group run at the same time; a group of one may be written without its list.
        for step in [group] if group.is_map else group.items():
            if step.get("inline").is_map:
                yield step.get("inline")
    for task in template.get("dag").get("tasks").items():
        if task.get("inline").is_map:
            yield task.get("inline")


def _pod(main: str, template: Part, spec: Part, shared_volumes: Mapping[str, Part]) -> Described:
    defaults = spec.get("templateDefaults")
    if defaults.is_map:
        # Of what the defaults run, only a template of the same type takes anything.
        of_main = {key: value for key, value in defaults.value.items() if key not in _MAIN or key == main}
        merged = merge(replace(defaults, value=of_main), template)
        template = replace(merged, path=template.path)
    containers = _main_containers(main, template)
    mounts = next((part.get("volumeMounts") for part in containers if part.value.get("name") == "main"), None)
    init_containers = list(template.get("initContainers").items())
    sidecars = list(template.get("sidecars").items())
    if mounts is not None and len(init_containers) + len(sidecars) <= affordable(mounts):
        init_containers = [_mirroring(part, mounts) for part in init_containers]
        sidecars = [_mirroring(part, mounts) for part in sidecars]
    containers += sidecars
    of_workflow = _used_volumes(shared_volumes, template, [*init_containers, *containers])
    volumes, aliases = template.get("volumes"), template.get("hostAliases")
    pod = Part({"restartPolicy": "Never"}, template.path).having(
        containers=listing(containers, template.path),
        initContainers=listing(init_containers, template.get("initContainers").path)
        if init_containers
        else None,
        volumes=joined([volumes, of_workflow], volumes.path),
        hostAliases=joined([spec.get("hostAliases"), aliases], aliases.path),
        priorityClassName=first(template.get("priorityClassName"), spec.get("podPriorityClassName")),
        priority=_given(template.get("priority"), spec.get("podPriority")),
        **{name: first(template.get(name), spec.get(name)) for name in _EITHER},
        **{name: _given(template.get(name), spec.get(name)) for name in _EITHER_GIVEN},
        **{name: spec.get(name) for name in _OF_THE_WORKFLOW},
    )
    metadata = labels_and_annotations(spec.get("podMetadata"), template.get("metadata"))
    return made_pod(metadata, pod)


def _given(own: Part, of_workflow: Part) -> Part:
    return of_workflow if own.value is None and of_workflow.value is not None else own


def _main_containers(main: str, template: Part) -> list[Part]:
    if main != "containerSet":
        container = template.get(main)
        return [container.having(name=container.get("name").value or "main")]
    together = template.get(main)
    shared = together.get("volumeMounts")
    containers = list(together.get("containers").items())
    if shared.value and len(containers) <= affordable(shared):
        containers = [
            part.having(
                volumeMounts=joined([part.get("volumeMounts"), shared], part.get("volumeMounts").path)
            )
            for part in containers
        ]
    return containers


def _mirroring(container: Part, mounts: Part) -> Part:
    """A sidecar or init container, with the main container's mounts if it asks for them."""
    if container.get("mirrorVolumeMounts").value is not True:
        return container
    own = container.get("volumeMounts")
    return container.having(volumeMounts=joined([own, mounts], own.path))


def _used_volumes(shared: Mapping[str, Part], template: Part, containers: list[Part]) -> Part:
    """The workflow's volumes that a container mounts; others do not come into the pod."""
    own = {_name(volume) for volume in template.get("volumes").items()}
    mounted = dict.fromkeys(
        _name(mount) for container in containers for mount in container.get("volumeMounts").items()
    )
    return listing((shared[name] for name in mounted if name in shared and name not in own), ())


def _name(part: Part) -> str:
    return text(part.value, "name")
