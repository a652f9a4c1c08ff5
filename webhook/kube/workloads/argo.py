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

from collections.abc import Iterator
from typing import Final

from webhook.kube.shape import JSONObject, text
from webhook.kube.workloads.parts import (
    Described,
    Found,
    Part,
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
        for template in spec.get("templates").items():
            yield from _templates(template, spec, 0)

    return Finder((".".join((*path, "templates[*]")),), find)


def _templates(template: Part, spec: Part, depth: int) -> Iterator[Found]:
    main = next((name for name in _MAIN if template.get(name).is_map), None)
    if main is not None:
        yield _pod(main, template, spec)
    if depth < _INLINE_DEPTH:
        for inline in _inline(template):
            yield from _templates(inline, spec, depth + 1)


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


def _pod(main: str, template: Part, spec: Part) -> Described:
    defaults = spec.get("templateDefaults")
    if defaults.is_map:
        # Of what the defaults run, only a template of the same type takes anything.
        of_main = {key: value for key, value in defaults.value.items() if key not in _MAIN or key == main}
        merged = merge(defaults._replace(value=of_main), template)
        template = merged._replace(path=template.path)
    containers = _main_containers(main, template)
    mounts = next((part.get("volumeMounts") for part in containers if part.value.get("name") == "main"), None)
    init_containers = [_mirroring(part, mounts) for part in template.get("initContainers").items()]
    containers += [_mirroring(part, mounts) for part in template.get("sidecars").items()]
    of_workflow = _used_volumes(spec, template, [*init_containers, *containers])
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
    if shared.value:
        containers = [
            part.having(
                volumeMounts=joined([part.get("volumeMounts"), shared], part.get("volumeMounts").path)
            )
            for part in containers
        ]
    return containers


def _mirroring(container: Part, mounts: Part | None) -> Part:
    """A sidecar or init container, with the main container's mounts if it asks for them."""
    if mounts is None or container.get("mirrorVolumeMounts").value is not True:
        return container
    own = container.get("volumeMounts")
    return container.having(volumeMounts=joined([own, mounts], own.path))


def _used_volumes(spec: Part, template: Part, containers: list[Part]) -> Part:
    """The workflow's volumes that a container mounts; others do not come into the pod."""
    mounted = [_name(mount) for container in containers for mount in container.get("volumeMounts").items()]
    own = [_name(volume) for volume in template.get("volumes").items()]
    volumes = spec.get("volumes")
    used = [part for part in volumes.items() if _name(part) in mounted and _name(part) not in own]
    return listing(used, volumes.path)


def _name(part: Part) -> str:
    return text(part.value, "name")
