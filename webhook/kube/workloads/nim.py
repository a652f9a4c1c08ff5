"""NVIDIA's NIM operator: model servers described by an image and resources rather than by a pod template.

Probes, the model's volume and what else the operator adds is not here: rules judge what the author wrote.

Source: NVIDIA/k8s-nim-operator api/apps/v1alpha1/nimservice_types.go and nimpipeline_types.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from webhook.kube.path import Path
from webhook.kube.shape import JSONObject, text
from webhook.kube.workloads.parts import (
    Described,
    Found,
    Part,
    count,
    joined,
    labels_and_annotations,
    listing,
    made_pod,
)
from webhook.kube.workloads.paths import Finder

# The operator calls it NAME-ctr.
_CONTAINER: Final = "nim"
_OF_THE_CONTAINER: Final = ("command", "args", "env", "resources")
_OF_THE_POD: Final = ("nodeSelector", "tolerations", "runtimeClassName", "schedulerName")


def _service(obj: JSONObject) -> Iterator[Found]:
    service = Part(obj, ())
    yield from _pods(service.get("spec"), service.get("metadata"))


def _pipeline(obj: JSONObject) -> Iterator[Found]:
    pipeline = Part(obj, ())
    for service in pipeline.get("spec").get("services").items():
        if service.get("enabled").value is not False:
            yield from _pods(service.get("spec"), pipeline.get("metadata"))


NIM_SERVICE: Final = Finder(("spec",), _service)
NIM_PIPELINE: Final = Finder(("spec.services[*].spec",), _pipeline)


def _pods(spec: Part, metadata: Part) -> Iterator[Described]:
    image = spec.get("image")
    if not image.is_map:
        return
    container = Part({"name": _CONTAINER}, spec.path).having(
        image=_reference(image),
        imagePullPolicy=image.get("pullPolicy"),
        **{name: spec.get(name) for name in _OF_THE_CONTAINER},
    )
    pod = Part({}, spec.path).having(
        containers=listing([container, *_further(spec.get("sidecarContainers"))], spec.path),
        initContainers=_listed(spec.get("initContainers")),
        volumes=_volumes(spec.get("storage").get("hostPath")),
        **{name: spec.get(name) for name in _OF_THE_POD},
    )
    user, group = spec.get("userID"), spec.get("groupID")
    if user.value is not None or group.value is not None:
        # What has no field of its own stands where one of the two is.
        ids = Part({}, user.path).having(runAsUser=user, runAsGroup=group, fsGroup=group)
        pod = pod.having(securityContext=ids)
    number, place = _replicas(spec)
    # The pods' labels are those of the spec; those of the object are for the object.
    owner = labels_and_annotations(metadata, spec)
    yield made_pod(owner, pod, replicas=number, replicas_path=place)


def _reference(image: Part) -> Part:
    repository, tag = text(image.value, "repository"), text(image.value, "tag")
    return Part(f"{repository}:{tag}" if tag else repository or None, image.path)


def _further(containers: Part) -> Iterator[Part]:
    for container in containers.items():
        yield container.having(image=_reference(container.get("image")))


def _listed(containers: Part) -> Part:
    found = list(_further(containers))
    return (
        joined([listing(found, containers.path)], containers.path)
        if found
        else replace(containers, value=None)
    )


def _volumes(host_path: Part) -> Part:
    if type(host_path.value) is not str:
        return Part(None, host_path.path)
    volume = {"name": "model-store", "hostPath": {"path": host_path.value}}
    moved: dict[Path, Path] = {("hostPath",): host_path.path, ("hostPath", "path"): host_path.path}
    return listing([Part(volume, host_path.path, moved)], host_path.path)


def _replicas(spec: Part) -> tuple[int, Path]:
    written = spec.get("replicas")
    scale = spec.get("scale")
    if scale.get("enabled").value is True:
        written = scale.get("hpa").get("maxReplicas")
    nodes = spec.get("multiNode")
    each = count(nodes.get("parallelism").get("pipeline").value) * count(nodes.get("size").value)
    return count(written.value) * each, written.path
