"""Kubeflow Trainer: what a TrainJob itself says of its pods.

The template is in a runtime, another object, which is judged by itself. A TrainJob gives the trainer's image and
resources, and lays pod settings over the runtime's jobs, in ``runtimePatches`` (earlier ``podTemplateOverrides``, and
``podSpecOverrides`` before). The pods here are made of that alone. Containers that are only patched (``env``,
``volumeMounts``) are left out: of them too little is known.

Source: kubeflow/trainer pkg/apis/trainer/v1alpha1/trainjob_types.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from msgspec.structs import replace

from webhook.kube.shape import JSONObject, mapping, text
from webhook.kube.workloads.parts import (
    Found,
    Part,
    affordable,
    count,
    labels_and_annotations,
    listing,
    made_pod,
    merge,
)
from webhook.kube.workloads.paths import Finder

# The job and the container that the trainer's settings are for, in the runtimes that come with Kubeflow Trainer.
_TRAINER: Final = "node"

_OF_THE_CONTAINER: Final = ("image", "command", "args", "env")
_OVERRIDES: Final = ("podSpecOverrides", "podTemplateOverrides", "runtimePatches")
_NOT_OF_THE_POD: Final = frozenset({"containers", "initContainers", "targetJobs"})


def train_job(*path: str, times: str = "") -> Finder:
    """The pods that the TrainJobSpec at ``path`` says something about, one for each job of the runtime it names.

    ``times`` is the field of the object's spec that tells how many of the TrainJob run at once.
    """

    def find(obj: JSONObject) -> Iterator[Found]:
        spec = Part(obj, ())
        for key in path:
            spec = spec.get(key)
        at_once = count(mapping(obj, "spec").get(times)) if times else 1
        yield from _pods(spec, at_once)

    return Finder(tuple(".".join((*path, part)) for part in ("trainer", *_OVERRIDES)), find)


def _pods(spec: Part, at_once: int) -> Iterator[Found]:
    trainer = spec.get("trainer")
    container = _container(trainer)
    jobs: dict[str, list[Part]] = {_TRAINER: []} if container is not None else {}
    overrides = [spec.get(name) for name in _OVERRIDES]
    for job, pod_template in islice(_overrides(spec), affordable(*overrides)):
        jobs.setdefault(job, []).append(pod_template)
    for job, pod_templates in jobs.items():
        pod = Part({}, trainer.path)
        metadata = Part({}, (*trainer.path, "metadata"))
        for pod_template in pod_templates:
            pod = merge(pod, _settings(pod_template.get("spec")))
            metadata = merge(metadata, labels_and_annotations(pod_template.get("metadata")))
        if container is not None and job == _TRAINER:
            nodes = trainer.get("numNodes")
            pod = pod.having(containers=listing([container], trainer.path))
            yield made_pod(metadata, pod, replicas=count(nodes.value) * at_once, replicas_path=nodes.path)
        else:
            yield made_pod(metadata, pod, replicas=at_once)


def _settings(spec: Part) -> Part:
    if not spec.is_map:
        return replace(spec, value={})
    return replace(
        spec, value={key: value for key, value in spec.value.items() if key not in _NOT_OF_THE_POD}
    )


def _container(trainer: Part) -> Part | None:
    resources = trainer.get("resourcesPerNode")
    if not resources.is_map and not trainer.get("image").value:
        return None
    return Part({"name": _TRAINER}, trainer.path).having(
        resources=resources, **{name: trainer.get(name) for name in _OF_THE_CONTAINER}
    )


def _overrides(spec: Part) -> Iterator[tuple[str, Part]]:
    """What is laid over the jobs of the runtime: the job's name and a pod template each."""
    for override in spec.get("podSpecOverrides").items():
        for job in override.get("targetJobs").items():
            yield text(job.value, "name"), Part({}, override.path).having(spec=override)
    for override in spec.get("podTemplateOverrides").items():
        for job in override.get("targetJobs").items():
            yield text(job.value, "name"), override
    for patch in spec.get("runtimePatches").items():
        jobset = patch.get("trainingRuntimeSpec").get("template").get("spec")
        for job in jobset.get("replicatedJobs").items():
            pod_template = job.get("template").get("spec").get("template")
            if pod_template.is_map:
                yield text(job.value, "name"), pod_template
