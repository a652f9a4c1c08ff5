"""Tekton: a pod for each task, whose containers are its steps.

A step's resources are ``computeResources`` (``resources`` before v1), and what it leaves out is the ``stepTemplate``'s.
A run lays a pod template over its tasks, and resources over their steps. What a task refers to by name (``taskRef``,
``ref`` of a step) is another object, which is judged by itself.

Source: tektoncd/pipeline pkg/apis/pipeline/v1 task_types.go, container_types.go, taskrun_types.go,
pipeline_types.go, pipelinerun_types.go; pkg/apis/pipeline/pod/template.go.
"""

from __future__ import annotations

from collections.abc import Iterator
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

# What of a pod template of Tekton's is no field of a PodSpec: it is for Tekton itself.
_NOT_OF_THE_POD: Final = frozenset({"containers", "initContainers"})


def tekton_task(*path: str) -> Finder:
    """The pod of the TaskSpec at ``path``, with what the spec around it lays over it, if it is a run."""

    def find(obj: JSONObject) -> Iterator[Found]:
        whole = Part(obj, ())
        task = whole
        for key in path:
            task = task.get(key)
        run = whole.get("spec") if len(path) > 1 else Part({}, ())
        yield from _pod(task, run, whole.get("metadata"), run.get("podTemplate"))

    return Finder((".".join(path),), find)


def tekton_pipeline(*path: str) -> Finder:
    """The pods of the tasks that are written out in the PipelineSpec at ``path``."""

    def find(obj: JSONObject) -> Iterator[Found]:
        whole = Part(obj, ())
        pipeline = whole
        for key in path:
            pipeline = pipeline.get(key)
        run = whole.get("spec") if len(path) > 1 else Part({}, ())
        # Before v1 it stood in the spec itself.
        of_all = first(run.get("taskRunTemplate").get("podTemplate"), run.get("podTemplate"))
        of_one = {text(own.value, "pipelineTaskName"): own for own in run.get("taskRunSpecs").items()}
        tasks = [task for field in ("tasks", "finally") for task in pipeline.get(field).items()]
        for task in islice(tasks, affordable(of_all)):
            own = of_one.get(text(task.value, "name"), Part({}, ()))
            template = merge(of_all, first(own.get("podTemplate"), own.get("taskPodTemplate")))
            yield from _pod(task.get("taskSpec"), own, whole.get("metadata"), template)

    places = tuple(".".join((*path, f"{field}[*].taskSpec")) for field in ("tasks", "finally"))
    return Finder(places, find)


def _pod(task: Part, run: Part, metadata: Part, template: Part) -> Iterator[Described]:
    steps = list(_steps(task, run))
    if not steps:
        return
    pod = Part({}, task.path)
    if template.is_map:
        fields = {key: template.get(key) for key in template.value if key not in _NOT_OF_THE_POD}
        pod = pod.having(**fields)
    volumes = joined([task.get("volumes"), template.get("volumes")], task.get("volumes").path)
    pod = pod.having(
        containers=listing([*steps, *map(_with_resources, task.get("sidecars").items())], task.path),
        volumes=volumes,
    )
    of_task = run.get("computeResources")
    if of_task.is_map:
        pod = pod.having(resources=of_task)
    yield made_pod(labels_and_annotations(metadata, task.get("metadata")), pod)


def _steps(task: Part, run: Part) -> Iterator[Part]:
    template = task.get("stepTemplate")
    laid_over = {text(spec.value, "name"): spec for spec in run.get("stepSpecs").items()}
    steps = list(task.get("steps").items())
    for index, step in enumerate(islice(steps, affordable(template))):
        name = text(step.value, "name")
        made = (
            merge(_with_resources(template), _with_resources(step))
            if template.is_map
            else _with_resources(step)
        )
        if name in laid_over:
            made = merge(made, _with_resources(laid_over[name]))
        yield made if name else made.having(name=f"unnamed-{index}")


def _with_resources(step: Part) -> Part:
    """A container of a step, or of a sidecar: with ``resources``, wherever they are written."""
    resources = first(step.get("computeResources"), step.get("resources"))
    return (
        step.having(resources=resources)
        if resources.is_map
        else step.having(resources=replace(resources, value=None))
    )
