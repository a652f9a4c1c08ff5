"""Ray clusters: the head with the autoscaler that KubeRay adds to it, and the groups of workers.

Source: ray-project/kuberay ray-operator apis/ray/v1/raycluster_types.go and controllers/ray/common/pod.go
(BuildAutoscalerContainer, mergeAutoscalerOverrides).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from webhook.kube.shape import JSONObject
from webhook.kube.workloads.parts import Described, Found, Part, count, listing, made_pod
from webhook.kube.workloads.paths import Finder

_AUTOSCALER_RESOURCES: Final = {
    "limits": {"cpu": "500m", "memory": "512Mi"},
    "requests": {"cpu": "500m", "memory": "512Mi"},
}
_AUTOSCALER_OPTIONS: Final = ("imagePullPolicy", "env", "envFrom", "volumeMounts", "securityContext")

# The CustomResourceDefinition's default for maxReplicas: no bound.
_NO_BOUND: Final = 2**31 - 1


def ray_cluster(*path: str) -> Finder:
    """The pods of the RayClusterSpec at ``path``."""

    def find(obj: JSONObject) -> Iterator[Found]:
        spec = Part(obj, ())
        for key in path:
            spec = spec.get(key)
        autoscaling = spec.get("enableInTreeAutoscaling").value is True
        head = spec.get("headGroupSpec").get("template")
        if head.is_map:
            yield _with_autoscaler(head, spec.get("autoscalerOptions")) if autoscaling else _in_place(head)
        for group in spec.get("workerGroupSpecs").items():
            if group.get("template").is_map:
                yield _workers(group, autoscaling)

    at = ".".join(path)
    return Finder((f"{at}.headGroupSpec.template", f"{at}.workerGroupSpecs[*].template"), find)


def _in_place(template: Part) -> Described:
    return Described((*template.path, "metadata"), (*template.path, "spec"))


def _workers(group: Part, autoscaling: bool) -> Described:
    template = group.get("template")
    if autoscaling:
        number = group.get("maxReplicas")
        replicas = count(number.value, _NO_BOUND)
    else:
        number = group.get("replicas")
        replicas = max(count(number.value, 0), count(group.get("minReplicas").value, 0))
    return Described(
        (*template.path, "metadata"),
        (*template.path, "spec"),
        replicas=replicas * max(count(group.get("numOfHosts").value), 1),
        replicas_path=number.path,
    )


def _with_autoscaler(template: Part, options: Part) -> Described:
    spec = template.get("spec")
    containers = list(spec.get("containers").items())
    image = options.get("image")
    if not image.value and containers:
        image = containers[0].get("image")
    resources = options.get("resources")
    autoscaler = Part({"name": "autoscaler"}, options.path).having(
        image=image,
        resources=resources if resources.is_map else _AUTOSCALER_RESOURCES,
        **{name: options.get(name) for name in _AUTOSCALER_OPTIONS},
    )
    together = listing([*containers, autoscaler], spec.get("containers").path)
    metadata = template.get("metadata")
    return made_pod(
        metadata if metadata.is_map else replace(metadata, value={}), spec.having(containers=together)
    )
