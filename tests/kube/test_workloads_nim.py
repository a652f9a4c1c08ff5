"""NVIDIA's NIM operator: model servers described by an image and resources."""

from __future__ import annotations

import pytest

from tests.kube.workloads import described, written
from webhook.kube.path import render

SERVICE = """
    apiVersion: apps.nvidia.com/v1alpha1
    kind: NIMService
    metadata: {labels: {team: a}}
    spec:
      labels: {app: llm}
      image: {repository: nvcr.io/nim/meta/llama, tag: "1.0", pullPolicy: IfNotPresent}
      resources: {limits: {nvidia.com/gpu: 2}}
      tolerations: [{key: nvidia.com/gpu, operator: Exists}]
      userID: 0
      storage: {hostPath: /models}
      replicas: 3
      initContainers: [{name: fetch, image: {repository: a/b, tag: "2"}}]
      sidecarContainers: [{name: proxy, image: {repository: c/d}}]
"""


def test_a_service_is_a_container_of_its_image_and_resources() -> None:
    _, (pod,) = described(SERVICE)
    fetch, nim, proxy = pod.containers
    assert [c.raw["image"] for c in (fetch, nim, proxy)] == ["a/b:2", "nvcr.io/nim/meta/llama:1.0", "c/d"]
    assert nim.limits == {"nvidia.com/gpu": 2}
    assert pod.labels == {"team": "a", "app": "llm"}
    assert pod.spec["securityContext"] == {"runAsUser": 0}
    assert (pod.replicas, render(pod.replicas_path)) == (3, "spec.replicas")


@pytest.mark.parametrize(
    ("field", "place"),
    {
        "spec.containers[0].image": "spec.image",
        "spec.containers[0].resources.limits": "spec.resources.limits",
        "spec.containers[1].image": "spec.sidecarContainers[0].image",
        "spec.initContainers[0].image": "spec.initContainers[0].image",
        "spec.tolerations[0].key": "spec.tolerations[0].key",
        "spec.volumes[0].hostPath": "spec.storage.hostPath",
        "spec.securityContext.runAsUser": "spec.userID",
        "metadata.labels.app": "spec.labels.app",
    }.items(),
)
def test_fields_are_where_they_were_written(field: str, place: str) -> None:
    _, (pod,) = described(SERVICE)
    assert written(pod, field) == place


def test_services_of_a_pipeline_scale_and_spread_over_nodes() -> None:
    _, (pod,) = described(
        """
        apiVersion: apps.nvidia.com/v1alpha1
        kind: NIMPipeline
        spec:
          services:
            - {name: off, enabled: false, spec: {image: {repository: a}}}
            - name: on
              spec:
                image: {repository: a, tag: "1"}
                replicas: 1
                scale: {enabled: true, hpa: {maxReplicas: 4}}
                multiNode: {parallelism: {pipeline: 2, tensor: 8}}
        """
    )
    assert (pod.replicas, render(pod.replicas_path)) == (8, "spec.services[1].spec.scale.hpa.maxReplicas")
    assert written(pod, "spec.containers[0].image") == "spec.services[1].spec.image"


def test_without_an_image_there_is_no_pod() -> None:
    assert described("{apiVersion: apps.nvidia.com/v1alpha1, kind: NIMService, spec: {image: x}}")[1] == ()
