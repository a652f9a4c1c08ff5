"""Workloads whose pods are put together from settings of their own: Ray heads, TrainJobs, Spark applications."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kube.workloads import described, pods_of, written
from webhook.kube.path import render

RAY = """
    apiVersion: ray.io/v1
    kind: RayCluster
    spec:
      enableInTreeAutoscaling: {autoscaling}
      autoscalerOptions: {options}
      headGroupSpec:
        template:
          metadata: {{labels: {{team: a}}}}
          spec:
            containers:
              - {{name: ray-head, image: "rayproject/ray:2.55"}}
"""


def test_the_autoscaler_is_a_container_of_the_head() -> None:
    options = "{resources: {limits: {cpu: 2}}, securityContext: {privileged: true}, idleTimeoutSeconds: 60}"
    _, (head,) = described(RAY.format(autoscaling="true", options=options))
    ray, autoscaler = head.containers
    assert autoscaler.raw == {
        "name": "autoscaler",
        "image": "rayproject/ray:2.55",
        "resources": {"limits": {"cpu": 2}},
        "securityContext": {"privileged": True},
    }
    assert (ray.name, head.labels) == ("ray-head", {"team": "a"})
    at = "spec.headGroupSpec.template.spec"
    assert written(head, "spec.containers[0].image") == f"{at}.containers[0].image"
    assert written(head, "spec.containers[1].image") == f"{at}.containers[0].image"
    assert written(head, "spec.containers[1].securityContext.privileged") == (
        "spec.autoscalerOptions.securityContext.privileged"
    )
    assert written(head, "spec.tolerations") == f"{at}.tolerations"
    assert written(head, "metadata.labels.x") == "spec.headGroupSpec.template.metadata.labels.x"


def test_the_autoscaler_has_an_image_of_its_own_and_kuberays_resources() -> None:
    _, (head,) = described(RAY.format(autoscaling="true", options="{image: own}"))
    assert head.containers[1].raw["image"] == "own"
    assert head.containers[1].limits == {"cpu": "500m", "memory": "512Mi"}
    assert written(head, "spec.containers[1].image") == "spec.autoscalerOptions.image"


@pytest.mark.parametrize("autoscaling", ["false", "null", '"true"'])
def test_without_autoscaling_its_options_mean_nothing(autoscaling: str) -> None:
    obj, (head,) = described(RAY.format(autoscaling=autoscaling, options="{image: own}"))
    assert [c.name for c in head.containers] == ["ray-head"]
    assert head.root is obj


def train_job(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainJob", "spec": spec}


def test_a_train_job_gives_its_nodes_image_and_resources() -> None:
    trainer = {"numNodes": 4, "image": "x", "resourcesPerNode": {"limits": {"nvidia.com/gpu": 8}}}
    (pod,) = pods_of(train_job(trainer=trainer))
    (container,) = pod.containers
    assert (container.raw["image"], container.limits) == ("x", {"nvidia.com/gpu": 8})
    assert (pod.replicas, render(pod.replicas_path)) == (4, "spec.trainer.numNodes")
    at = "spec.trainer"
    assert written(pod, "spec.containers[0].image") == f"{at}.image"
    assert written(pod, "spec.containers[0].resources.limits") == f"{at}.resourcesPerNode.limits"


@pytest.mark.parametrize("trainer", [None, {}, {"numNodes": 2, "args": ["x"]}, []])
def test_a_train_job_that_leaves_all_to_its_runtime_has_no_pods_here(trainer: Any) -> None:
    assert pods_of(train_job(trainer=trainer)) == ()


OVERRIDES = {
    "podSpecOverrides": (
        {"targetJobs": [{"name": "node"}, {"name": "other"}], "tolerations": [{"key": "a"}]},
        "spec.podSpecOverrides[0]",
    ),
    "podTemplateOverrides": (
        {
            "targetJobs": [{"name": "node"}, {"name": "other"}],
            "metadata": {"labels": {"team": "a"}},
            "spec": {"tolerations": [{"key": "a"}], "containers": [{"name": "node", "env": []}]},
        },
        "spec.podTemplateOverrides[0].spec",
    ),
}


@pytest.mark.parametrize(("name", "override", "at"), [(k, *v) for k, v in OVERRIDES.items()], ids=OVERRIDES)
def test_overrides_lie_over_the_jobs_they_name(name: str, override: dict[str, Any], at: str) -> None:
    node, other = pods_of(train_job(trainer={"image": "x"}, **{name: [override]}))
    assert (len(node.containers), len(other.containers)) == (1, 0)
    for pod in (node, other):
        assert pod.tolerations == [{"key": "a"}]
        assert written(pod, "spec.tolerations[0].key") == f"{at}.tolerations[0].key"
    assert written(node, "spec.containers[0].image") == "spec.trainer.image"
    assert written(node, "spec.containers[0].resources") == "spec.trainer.resourcesPerNode"


def test_runtime_patches_of_several_managers_are_merged() -> None:
    _, (pod,) = described("""
        apiVersion: trainer.kubeflow.org/v1alpha1
        kind: TrainJob
        spec:
          runtimePatches:
            - manager: a
              trainingRuntimeSpec: &patch
                template:
                  spec:
                    replicatedJobs:
                      - name: node
                        template:
                          spec:
                            template:
                              metadata: {labels: {team: a}}
                              spec: {nodeSelector: {gpu: h100}, volumes: [{name: v, hostPath: {path: /}}]}
            - manager: b
              trainingRuntimeSpec:
                template:
                  spec:
                    replicatedJobs:
                      - name: node
                        template: {spec: {template: {spec: {nodeSelector: {zone: z}}}}}
    """)
    path = "trainingRuntimeSpec.template.spec.replicatedJobs[0].template.spec.template"
    assert pod.spec["nodeSelector"] == {"gpu": "h100", "zone": "z"}
    assert pod.labels == {"team": "a"}
    assert (
        written(pod, "spec.volumes[0].hostPath") == f"spec.runtimePatches[0].{path}.spec.volumes[0].hostPath"
    )
    assert written(pod, "spec.nodeSelector.gpu") == f"spec.runtimePatches[0].{path}.spec.nodeSelector.gpu"
    assert written(pod, "spec.nodeSelector.zone") == f"spec.runtimePatches[1].{path}.spec.nodeSelector.zone"
    assert written(pod, "metadata.labels.team") == f"spec.runtimePatches[0].{path}.metadata.labels.team"


def test_an_optimization_job_runs_train_jobs_at_the_same_time() -> None:
    trainer = {"numNodes": 2, "resourcesPerNode": {"limits": {"nvidia.com/gpu": 1}}}
    spec = {"parallelTrials": 3, "trainJobTemplate": {"spec": {"trainer": trainer}}}
    (pod,) = pods_of({"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "OptimizationJob", "spec": spec})
    assert pod.replicas == 6
    assert (
        written(pod, "spec.containers[0].resources") == "spec.trainJobTemplate.spec.trainer.resourcesPerNode"
    )


SPARK = """
    apiVersion: sparkoperator.k8s.io/v1beta2
    kind: SparkApplication
    spec:
      type: Python
      image: spark
      volumes: [{name: data, hostPath: {path: /data}}]
      driver: {cores: 1, memory: 512m, labels: {team: a}, serviceAccount: spark}
      executor:
        instances: 5
        image: own
        coreLimit: 1200m
        memory: 8g
        memoryOverhead: 1g
        gpu: {name: nvidia.com/gpu, quantity: 2}
        tolerations: [{key: gpu}]
        podSecurityContext: {runAsUser: 1}
        securityContext: {privileged: true}
        sidecars: [{name: log, image: log}]
        template:
          metadata: {labels: {team: b}}
          spec: {hostPID: true, containers: [{name: any, image: ignored, ports: []}]}
"""


def test_driver_and_executors_of_spark() -> None:
    _, (driver, executor) = described(SPARK)
    assert (driver.containers[0].raw["image"], driver.labels, driver.replicas) == ("spark", {"team": "a"}, 1)
    # 512 MiB and the least overhead there is.
    assert driver.containers[0].limits == {"memory": "896Mi"}
    assert driver.containers[0].requests == {"memory": "896Mi", "cpu": 1}
    assert written(driver, "spec.containers[0].image") == "spec.image"
    assert written(driver, "spec.containers[0].resources.limits.memory") == "spec.driver.memory"
    assert written(driver, "spec.volumes[0].hostPath") == "spec.volumes[0].hostPath"
    assert written(driver, "spec.serviceAccountName") == "spec.driver.serviceAccount"

    assert (executor.replicas, render(executor.replicas_path)) == (5, "spec.executor.instances")
    assert executor.containers[0].limits == {"memory": "9216Mi", "cpu": "1200m", "nvidia.com/gpu": 2}
    assert executor.containers[0].raw["image"] == "own"
    assert [c.name for c in executor.containers] == ["spark-kubernetes-executor", "log"]
    assert (executor.spec["hostPID"], executor.labels) == (True, {"team": "b"})
    assert executor.security_context == {"runAsUser": 1}
    at = "spec.executor"
    assert written(executor, "spec.containers[0].resources.limits[nvidia.com/gpu]") == f"{at}.gpu.quantity"
    assert written(executor, "spec.containers[0].resources.limits.cpu") == f"{at}.coreLimit"
    assert written(driver, "spec.containers[0].resources.limits.cpu") == "spec.driver.coreLimit"
    assert written(executor, "spec.containers[0].securityContext") == f"{at}.securityContext"
    assert written(executor, "spec.containers[0].ports") == f"{at}.template.spec.containers[0].ports"
    assert written(executor, "spec.containers[1].image") == f"{at}.sidecars[0].image"
    assert written(executor, "spec.securityContext.runAsUser") == f"{at}.podSecurityContext.runAsUser"
    assert written(executor, "spec.hostPID") == f"{at}.template.spec.hostPID"
    assert written(executor, "spec.priorityClassName") == f"{at}.priorityClassName"


@pytest.mark.parametrize(
    ("spec", "limit"),
    [
        ({"driver": {}}, "1408Mi"),
        ({"driver": {"memory": "10g"}}, "11264Mi"),
        ({"driver": {"memory": "10g"}, "type": "Python"}, "14336Mi"),
        ({"driver": {"memory": "10g"}, "memoryOverheadFactor": "0.2"}, "12288Mi"),
        ({"driver": {"memory": "1024"}}, "1408Mi"),
        ({"driver": {"memory": "lots"}}, None),
        ({"driver": {"memory": 7}}, None),
    ],
)
def test_memory_is_that_of_the_jvm_and_what_is_around_it(spec: dict[str, Any], limit: str | None) -> None:
    kind = {"apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "ScheduledSparkApplication"}
    (pod,) = pods_of({**kind, "spec": {"template": spec}})
    assert pod.containers[0].limits.get("memory") == limit


def test_spark_may_allocate_executors_as_it_goes() -> None:
    spec = {"executor": {"instances": 1}, "dynamicAllocation": {"enabled": True, "maxExecutors": 20}}
    (pod,) = pods_of({"apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication", "spec": spec})
    assert (pod.replicas, render(pod.replicas_path)) == (20, "spec.dynamicAllocation.maxExecutors")


def test_overrides_are_not_laid_over_each_other_without_end() -> None:
    def overriding(jobs: int, keys: int) -> dict[str, Any]:
        targets = [{"name": f"job-{index}"} for index in range(jobs)]
        selector = {f"key-{index}": "" for index in range(keys)}
        return train_job(podSpecOverrides=[{"targetJobs": targets, "nodeSelector": selector}])

    assert len(pods_of(overriding(20, 100))) == 20
    assert len(pods_of(overriding(500, 5000))) < 50
