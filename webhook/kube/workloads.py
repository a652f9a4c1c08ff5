"""Where pods are inside the objects that make them.

``WORKLOADS`` names, for each kind that carries pod templates, the path of each template. A path is a tuple of map
keys in which ``*`` stands for every value of a map and ``[]`` for every item of a list. Any version of a group is
taken: the paths have been the same in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from webhook.kube.accelerators import Catalog
from webhook.kube.gvk import GroupVersionKind
from webhook.kube.path import Path
from webhook.kube.pod import Pod
from webhook.kube.shape import JSONObject, mapping


@dataclass(frozen=True, slots=True)
class TemplatePath:
    """One place in a kind where a pod is described.

    ``holds`` says what stands there: a ``PodTemplateSpec`` (``metadata`` and ``spec``) or a bare ``PodSpec``.
    """

    segments: tuple[str, ...]
    holds: Literal["PodTemplateSpec", "PodSpec"] = "PodTemplateSpec"


def _template(dotted: str) -> TemplatePath:
    return TemplatePath(tuple(dotted.split(".")))


def _spec(dotted: str) -> TemplatePath:
    return TemplatePath(tuple(dotted.split(".")), "PodSpec")


_POD_TEMPLATE: Final = (_template("spec.template"),)
_JOB_TEMPLATE: Final = "template.spec.template"
_RAY_CLUSTER: Final = ("headGroupSpec.template", "workerGroupSpecs.[].template")


def _ray(prefix: str) -> tuple[TemplatePath, ...]:
    return tuple(_template(f"{prefix}.{path}") for path in _RAY_CLUSTER)


# (group, kind) to the templates it carries.
# Source: the API types of each project; for the built-in kinds k8s.io/api apps/v1, batch/v1 and core/v1.
WORKLOADS: Final[Mapping[tuple[str, str], tuple[TemplatePath, ...]]] = {
    ("apps", "Deployment"): _POD_TEMPLATE,
    ("apps", "StatefulSet"): _POD_TEMPLATE,
    ("apps", "DaemonSet"): _POD_TEMPLATE,
    ("apps", "ReplicaSet"): _POD_TEMPLATE,
    ("batch", "Job"): _POD_TEMPLATE,
    ("batch", "CronJob"): (_template("spec.jobTemplate.spec.template"),),
    ("", "ReplicationController"): _POD_TEMPLATE,
    ("", "PodTemplate"): (_template("template"),),
    ("kubeflow.org", "PyTorchJob"): (_template("spec.pytorchReplicaSpecs.*.template"),),
    ("kubeflow.org", "TFJob"): (_template("spec.tfReplicaSpecs.*.template"),),
    ("kubeflow.org", "XGBoostJob"): (_template("spec.xgbReplicaSpecs.*.template"),),
    ("kubeflow.org", "MPIJob"): (_template("spec.mpiReplicaSpecs.*.template"),),
    ("kubeflow.org", "JAXJob"): (_template("spec.jaxReplicaSpecs.*.template"),),
    ("kubeflow.org", "PaddleJob"): (_template("spec.paddleReplicaSpecs.*.template"),),
    # A notebook's template has no metadata; its pods carry the Notebook's own.
    ("kubeflow.org", "Notebook"): (_spec("spec.template.spec"),),
    ("trainer.kubeflow.org", "TrainingRuntime"): (
        _template(f"spec.template.spec.replicatedJobs.[].{_JOB_TEMPLATE}"),
    ),
    ("trainer.kubeflow.org", "ClusterTrainingRuntime"): (
        _template(f"spec.template.spec.replicatedJobs.[].{_JOB_TEMPLATE}"),
    ),
    ("jobset.x-k8s.io", "JobSet"): (_template(f"spec.replicatedJobs.[].{_JOB_TEMPLATE}"),),
    ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"): (
        _template("spec.leaderWorkerTemplate.leaderTemplate"),
        _template("spec.leaderWorkerTemplate.workerTemplate"),
    ),
    ("ray.io", "RayCluster"): _ray("spec"),
    ("ray.io", "RayJob"): (*_ray("spec.rayClusterSpec"), _template("spec.submitterPodTemplate")),
    ("ray.io", "RayService"): _ray("spec.rayClusterConfig"),
    ("ray.io", "RayCronJob"): (
        *_ray("spec.jobTemplate.rayClusterSpec"),
        _template("spec.jobTemplate.submitterPodTemplate"),
    ),
    ("batch.volcano.sh", "Job"): (_template("spec.tasks.[].template"),),
    ("serving.kserve.io", "InferenceService"): (
        _spec("spec.predictor"),
        _spec("spec.transformer"),
        _spec("spec.explainer"),
    ),
    ("serving.kserve.io", "ServingRuntime"): (_spec("spec"),),
    ("serving.kserve.io", "ClusterServingRuntime"): (_spec("spec"),),
    ("serving.kserve.io", "LLMInferenceService"): (
        _spec("spec.template"),
        _spec("spec.worker"),
        _spec("spec.prefill.template"),
        _spec("spec.prefill.worker"),
    ),
}


def carries_pods(kind: GroupVersionKind) -> bool:
    """Whether objects of this kind describe pods: Pod itself or a kind of ``WORKLOADS``."""
    return (kind.group, kind.kind) in WORKLOADS or (kind.group, kind.kind) == ("", "Pod")


def find_pods(
    kind: GroupVersionKind,
    obj: JSONObject,
    catalog: Catalog,
    device_classes: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[Pod, ...]:
    """Every pod an object describes: itself if it is a Pod, else one for each of its pod templates.

    A template that is absent or no map is left out. Paths of the pods are from the root of ``obj``.
    """
    if kind.kind == "Pod" and kind.group == "":
        return (Pod(mapping(obj, "metadata"), mapping(obj, "spec"), catalog, device_classes=device_classes),)
    pods: list[Pod] = []
    for template in WORKLOADS.get((kind.group, kind.kind), ()):
        for path, node in _walk(obj, template.segments, ()):
            if template.holds == "PodTemplateSpec":
                pods.append(
                    Pod(
                        mapping(node, "metadata"),
                        mapping(node, "spec"),
                        catalog,
                        metadata_path=(*path, "metadata"),
                        spec_path=(*path, "spec"),
                        device_classes=device_classes,
                    )
                )
            elif "containers" in node:
                # A bare PodSpec has no metadata of its own; its pods take the object's.
                pods.append(
                    Pod(
                        mapping(obj, "metadata"), node, catalog, spec_path=path, device_classes=device_classes
                    )
                )
    return tuple(pods)


def _walk(node: Any, segments: tuple[str, ...], path: Path) -> Iterator[tuple[Path, JSONObject]]:
    if not segments:
        if type(node) is dict:
            yield path, node
        return
    head, rest = segments[0], segments[1:]
    if head == "[]":
        if type(node) is list:
            for index, item in enumerate(node):
                yield from _walk(item, rest, (*path, index))
    elif type(node) is dict:
        if head == "*":
            for key, value in node.items():
                yield from _walk(value, rest, (*path, key))
        elif head in node:
            yield from _walk(node[head], rest, (*path, head))
