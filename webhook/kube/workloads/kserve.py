"""KServe: pods of inference services, whose containers stand beside a PodSpec rather than in it.

A predictor is a PodSpec with further fields. One of them, ``model`` (or the name of a framework), is a container
without an image: the image, and whatever else it leaves out, is that of a ServingRuntime. It is judged for what it
says.

Source: kserve/kserve pkg/apis/serving v1alpha2/inferenceservice.go, v1beta1/predictor.go,
v1alpha1/servingruntime_types.go and v1alpha1/llm_inference_service_types.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from webhook.kube.path import Path
from webhook.kube.shape import JSONObject
from webhook.kube.workloads.parts import (
    Described,
    Found,
    Part,
    count,
    labels_and_annotations,
    listing,
    made_pod,
)
from webhook.kube.workloads.paths import Finder

_COMPONENTS: Final = ("predictor", "transformer", "explainer")

# Fields of a component that are containers: the model, and servers known by name (the older way to write it).
_SERVERS: Final = (
    "model",
    "huggingface",
    "lightgbm",
    "onnx",
    "paddle",
    "pmml",
    "pytorch",
    "sklearn",
    "tensorflow",
    "tensorrt",
    "triton",
    "xgboost",
    # explainers
    "aix",
    "alibi",
    "art",
)
_CONTAINER: Final = "kserve-container"

# What of a server's settings is no part of its container.
_NOT_OF_A_CONTAINER: Final = frozenset(
    {"config", "modelFormat", "protocolVersion", "runtime", "runtimeVersion", "storage", "storageUri", "type"}
)


def _inference_service(obj: JSONObject) -> Iterator[Found]:
    """The pods of an InferenceService of any version."""
    service = Part(obj, ())
    spec = service.get("spec")
    metadata = service.get("metadata")
    for name in _COMPONENTS:
        component = spec.get(name)
        yield from _component(component, metadata)
        worker = component.get("workerSpec")
        if type(worker.get("containers").value) is list:
            number, place = _workers(worker, component)
            owner = labels_and_annotations(metadata, component)
            yield made_pod(owner, worker, replicas=number, replicas_path=place)
    # v1alpha2: two sets of components, between which the traffic is split.
    for endpoint in ("default", "canary"):
        for name in _COMPONENTS:
            yield from _component(spec.get(endpoint).get(name), metadata)


def _component(component: Part, metadata: Part) -> Iterator[Described]:
    containers = [*component.get("containers").items(), *_servers(component)]
    if containers:
        number, place = _replicas(component)
        pod = component.having(containers=listing(containers, component.get("containers").path))
        yield made_pod(labels_and_annotations(metadata, component), pod, replicas=number, replicas_path=place)


def _servers(component: Part) -> Iterator[Part]:
    for name in _SERVERS:
        server = component.get(name)
        if server.is_map:
            container = {key: value for key, value in server.value.items() if key not in _NOT_OF_A_CONTAINER}
            yield replace(server, value={**container, "name": container.get("name") or _CONTAINER})
    custom = component.get("custom").get("container")  # v1alpha2
    if custom.is_map:
        yield custom.having(name=custom.get("name").value or _CONTAINER)


def _replicas(component: Part) -> tuple[int, Path]:
    """The most pods a component has. A maxReplicas of 0 stands for no bound, which is no number."""
    most, least = component.get("maxReplicas"), component.get("minReplicas")
    if count(most.value, 0) > 0:
        return count(most.value), most.path
    return max(count(least.value), 1), least.path


def _workers(worker: Part, component: Part) -> tuple[int, Path]:
    # pipelineParallelSize counts the head, which is the component's own pod.
    size = worker.get("pipelineParallelSize")
    replicas, _ = _replicas(component)
    return max(count(size.value, 2) - 1, 0) * replicas, size.path


def _serving_runtime(obj: JSONObject) -> Iterator[Found]:
    """The pods of a ServingRuntime or ClusterServingRuntime, to which its InferenceServices add theirs."""
    spec = Part(obj, ()).get("spec")
    for pod in (spec, spec.get("workerSpec")):
        if type(pod.get("containers").value) is list:
            yield made_pod(labels_and_annotations(pod), pod)


def _llm_inference_service(obj: JSONObject) -> Iterator[Found]:
    """The pods of an LLMInferenceService or LLMInferenceServiceConfig: servers, their workers, and the scheduler."""
    spec = Part(obj, ()).get("spec")
    for workload in (spec, spec.get("prefill")):
        replicas, place = _llm_replicas(workload)
        yield from _pod_spec(workload.get("template"), workload, replicas, place)
        nodes = _nodes(workload.get("parallelism"))
        yield from _pod_spec(workload.get("worker"), workload, replicas * max(nodes - 1, 0), place)
    scheduler = spec.get("router").get("scheduler")
    number = scheduler.get("replicas")
    yield from _pod_spec(scheduler.get("template"), scheduler, count(number.value), number.path)
    yield from _pod_spec(scheduler.get("tokenizer").get("template"), scheduler.get("tokenizer"), 1, ())


def _pod_spec(pod: Part, owner: Part, replicas: int, replicas_path: Path) -> Iterator[Described]:
    if type(pod.get("containers").value) is list:
        yield made_pod(labels_and_annotations(owner), pod, replicas=replicas, replicas_path=replicas_path)


def _llm_replicas(workload: Part) -> tuple[int, Path]:
    most = workload.get("scaling").get("maxReplicas")
    number = most if most.value is not None else workload.get("replicas")
    return count(number.value), number.path


def _nodes(parallelism: Part) -> int:
    """How many pods serve together, the head among them; two where that is not said.

    Source: ParallelismSpec.GetSize, llm_inference_service_types_func.go.
    """
    data, local = parallelism.get("data").value, parallelism.get("dataLocal").value
    if data is not None or local is not None:
        return max(max(count(data), 1) // max(count(local), 1), 1)
    return count(parallelism.get("pipeline").value, 2)


INFERENCE_SERVICE: Final = Finder(
    ("spec.predictor", "spec.predictor.workerSpec", "spec.transformer", "spec.explainer"), _inference_service
)
SERVING_RUNTIME: Final = Finder(("spec", "spec.workerSpec"), _serving_runtime)
LLM_INFERENCE_SERVICE: Final = Finder(
    (
        "spec.template",
        "spec.worker",
        "spec.prefill.template",
        "spec.prefill.worker",
        "spec.router.scheduler.template",
        "spec.router.scheduler.tokenizer.template",
    ),
    _llm_inference_service,
)
