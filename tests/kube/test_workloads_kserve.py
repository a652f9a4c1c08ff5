"""KServe: models beside PodSpecs, runtimes, and the parts of a language model service."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kube.workloads import described, pods_of, written
from webhook.kube.path import render


def service(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "spec": spec}


def test_a_model_is_a_container_without_an_image() -> None:
    obj, (pod,) = described("""
        apiVersion: serving.kserve.io/v1beta1
        kind: InferenceService
        metadata: {labels: {team: nlp, app: x}}
        spec:
          predictor:
            labels: {app: y}
            tolerations: [{key: nvidia.com/gpu, operator: Exists}]
            model:
              modelFormat: {name: huggingface}
              storageUri: gs://models/x
              args: [--model_name=x]
              resources: {limits: {nvidia.com/gpu: 1}}
    """)
    (container,) = pod.containers
    predictor = obj["spec"]["predictor"]
    assert container.raw == {
        "name": "kserve-container",
        "args": ["--model_name=x"],
        "resources": predictor["model"]["resources"],
    }
    assert pod.tolerations == predictor["tolerations"]
    assert pod.labels == {"team": "nlp", "app": "y"}
    at = "spec.predictor"
    assert written(pod, "spec.containers[0].resources.limits") == f"{at}.model.resources.limits"
    assert written(pod, "spec.tolerations[0].key") == f"{at}.tolerations[0].key"
    assert written(pod, "metadata.labels.team") == "metadata.labels.team"
    assert written(pod, "metadata.labels.app") == f"{at}.labels.app"
    assert written(pod, "metadata.labels.owner") == f"{at}.labels.owner"


def test_a_model_stands_beside_containers_of_the_users_own() -> None:
    containers = [{"name": "log", "image": "log"}]
    (pod,) = pods_of(service(predictor={"model": {"image": "own"}, "containers": containers}))
    assert [c.name for c in pod.containers] == ["log", "kserve-container"]
    assert written(pod, "spec.containers[0].image") == "spec.predictor.containers[0].image"
    assert written(pod, "spec.containers[1].image") == "spec.predictor.model.image"


@pytest.mark.parametrize(
    "framework", ["sklearn", "pytorch", "triton", "tensorflow", "xgboost", "huggingface"]
)
def test_servers_known_by_name(framework: str) -> None:
    server = {"storageUri": "gs://x", "runtimeVersion": "1", "resources": {"limits": {"cpu": 1}}}
    (pod,) = pods_of(service(predictor={framework: server}))
    assert pod.containers[0].limits == {"cpu": 1}
    assert "storageUri" not in pod.containers[0].raw
    assert written(pod, "spec.containers[0].resources") == f"spec.predictor.{framework}.resources"


def test_transformer_explainer_and_workers_are_pods_too() -> None:
    main = {"containers": [{"name": "main", "image": "x"}]}
    predictor = {
        "model": {"name": "own-name"},
        "maxReplicas": 3,
        "workerSpec": {**main, "pipelineParallelSize": 4},
    }
    pods = pods_of(
        service(predictor=predictor, transformer=main, explainer={"art": {"type": "SquareAttack"}})
    )
    assert [(render(pod.place), pod.replicas, render(pod.replicas_path)) for pod in pods] == [
        ("spec.predictor", 3, "spec.predictor.maxReplicas"),
        ("spec.predictor.workerSpec", 9, "spec.predictor.workerSpec.pipelineParallelSize"),
        ("spec.transformer", 1, "spec.transformer.minReplicas"),
        ("spec.explainer", 1, "spec.explainer.minReplicas"),
    ]
    assert pods[0].containers[0].name == "own-name"


@pytest.mark.parametrize(
    ("component", "replicas"),
    [
        ({}, 1),
        ({"minReplicas": 0}, 1),
        ({"minReplicas": 2}, 2),
        ({"minReplicas": 2, "maxReplicas": 5}, 5),
        ({"minReplicas": 2, "maxReplicas": 0}, 2),
    ],
)
def test_a_component_has_at_most_so_many_pods(component: dict[str, int], replicas: int) -> None:
    (pod,) = pods_of(service(predictor={"model": {}, **component}))
    assert pod.replicas == replicas


def test_a_component_without_a_container_makes_no_pod_of_its_own() -> None:
    assert pods_of(service(predictor={"minReplicas": 1}, transformer=None, explainer=[])) == ()


def test_the_older_form_has_two_sets_of_components() -> None:
    _, pods = described("""
        apiVersion: serving.kserve.io/v1alpha2
        kind: InferenceService
        spec:
          default:
            predictor: {tensorflow: {storageUri: gs://x, resources: {limits: {cpu: 1}}}}
            transformer: {custom: {container: {image: y}}}
          canary:
            predictor: {custom: {container: {name: own, image: z}}}
    """)
    assert [(pod.containers[0].name, written(pod, "spec.containers[0].image")) for pod in pods] == [
        ("kserve-container", "spec.default.predictor.tensorflow.image"),
        ("kserve-container", "spec.default.transformer.custom.container.image"),
        ("own", "spec.canary.predictor.custom.container.image"),
    ]


@pytest.mark.parametrize("kind", ["ServingRuntime", "ClusterServingRuntime"])
def test_a_runtime_has_labels_of_its_own(kind: str) -> None:
    spec = {
        "labels": {"team": "a"},
        "containers": [{"name": "kserve-container", "image": "x"}],
        "workerSpec": {"containers": [{"name": "worker", "image": "y"}]},
    }
    obj = {"apiVersion": "serving.kserve.io/v1alpha1", "kind": kind, "metadata": {"labels": {"b": "c"}}}
    head, worker = pods_of({**obj, "spec": spec})
    assert (head.labels, worker.labels) == ({"team": "a"}, {})
    assert written(head, "spec.containers[0].image") == "spec.containers[0].image"
    assert written(worker, "spec.containers[0].image") == "spec.workerSpec.containers[0].image"


LLM = """
    apiVersion: serving.kserve.io/v1alpha1
    kind: {kind}
    spec:
      replicas: 2
      labels: {{team: nlp}}
      parallelism: {{data: 16, dataLocal: 8}}
      template: {{containers: [{{name: main}}]}}
      worker: {{containers: [{{name: main}}]}}
      prefill:
        scaling: {{maxReplicas: 5}}
        parallelism: {{pipeline: 3}}
        template: {{containers: [{{name: main}}]}}
        worker: {{containers: [{{name: main}}]}}
      router:
        scheduler:
          replicas: 2
          labels: {{team: gateway}}
          template: {{containers: [{{name: epp, image: x}}]}}
          tokenizer: {{template: {{containers: [{{name: tokenizer, image: x}}]}}}}
"""


@pytest.mark.parametrize("kind", ["LLMInferenceService", "LLMInferenceServiceConfig"])
def test_servers_workers_and_scheduler_of_a_language_model(kind: str) -> None:
    _, pods = described(LLM.format(kind=kind))
    assert [(render(pod.place), pod.replicas, pod.labels) for pod in pods] == [
        ("spec.template", 2, {"team": "nlp"}),
        ("spec.worker", 2, {"team": "nlp"}),
        ("spec.prefill.template", 5, {}),
        ("spec.prefill.worker", 10, {}),
        ("spec.router.scheduler.template", 2, {"team": "gateway"}),
        ("spec.router.scheduler.tokenizer.template", 1, {}),
    ]
    assert written(pods[0], "metadata.labels.owner") == "spec.labels.owner"
    assert written(pods[2], "metadata.labels.owner") == "spec.prefill.labels.owner"
    assert render(pods[2].replicas_path) == "spec.prefill.scaling.maxReplicas"
