"""Tekton: a task's steps are the containers of one pod, and a run lays settings over them."""

from __future__ import annotations

import pytest

from tests.kube.workloads import described, written

TASK = """
    apiVersion: tekton.dev/v1
    kind: Task
    metadata: {labels: {team: a}}
    spec:
      stepTemplate: {computeResources: {limits: {cpu: 1}}, securityContext: {runAsNonRoot: true}}
      steps:
        - {name: build, image: "a:1", computeResources: {limits: {memory: 1Gi}}}
        - {image: "b:1"}
        - {name: shared, ref: {name: an-action}}
      sidecars:
        - {name: db, image: "c:1"}
      volumes:
        - {name: data, emptyDir: {}}
"""


def test_steps_and_sidecars_are_the_containers_of_one_pod() -> None:
    _, (pod,) = described(TASK)
    assert [c.name for c in pod.containers] == ["build", "unnamed-1", "shared", "db"]
    assert pod.labels == {"team": "a"}
    assert pod.containers[0].limits == {"cpu": 1, "memory": "1Gi"}
    assert pod.containers[1].limits == {"cpu": 1}
    assert pod.containers[2].raw["securityContext"] == {"runAsNonRoot": True}
    assert pod.containers[3].limits == {}


@pytest.mark.parametrize(
    ("field", "place"),
    {
        "spec.containers[0].image": "spec.steps[0].image",
        "spec.containers[0].resources.limits.cpu": "spec.stepTemplate.computeResources.limits.cpu",
        "spec.containers[0].resources.limits.memory": "spec.steps[0].computeResources.limits.memory",
        "spec.containers[1].securityContext.runAsNonRoot": "spec.stepTemplate.securityContext.runAsNonRoot",
        "spec.containers[3].image": "spec.sidecars[0].image",
        "spec.containers[3].resources.limits": "spec.sidecars[0].computeResources.limits",
        "spec.volumes[0].emptyDir": "spec.volumes[0].emptyDir",
        "metadata.labels.team": "metadata.labels.team",
    }.items(),
)
def test_fields_are_where_they_were_written(field: str, place: str) -> None:
    _, (pod,) = described(TASK)
    assert written(pod, field) == place


def test_resources_are_where_older_versions_have_them() -> None:
    _, (pod,) = described(
        """
        apiVersion: tekton.dev/v1beta1
        kind: ClusterTask
        spec: {steps: [{name: s, image: "a:1", resources: {limits: {cpu: 2}}}]}
        """
    )
    assert pod.containers[0].limits == {"cpu": 2}
    assert written(pod, "spec.containers[0].resources.limits") == "spec.steps[0].resources.limits"


def test_a_run_lays_a_pod_template_and_resources_over_its_task() -> None:
    _, (pod,) = described(
        """
        apiVersion: tekton.dev/v1
        kind: TaskRun
        spec:
          computeResources: {limits: {memory: 4Gi}}
          podTemplate: {hostNetwork: true, volumes: [{name: b, emptyDir: {}}]}
          stepSpecs: [{name: s, computeResources: {limits: {cpu: 4}}}]
          taskSpec:
            steps: [{name: s, image: "a:1", computeResources: {limits: {cpu: 2}}}]
            volumes: [{name: a, emptyDir: {}}]
        """
    )
    assert pod.containers[0].limits == {"cpu": 4}
    assert pod.spec["hostNetwork"] is True
    assert [volume["name"] for volume in pod.spec["volumes"]] == ["a", "b"]
    assert pod.spec["resources"] == {"limits": {"memory": "4Gi"}}
    assert written(pod, "spec.hostNetwork") == "spec.podTemplate.hostNetwork"
    assert written(pod, "spec.volumes[1].emptyDir") == "spec.podTemplate.volumes[0].emptyDir"
    assert (
        written(pod, "spec.containers[0].resources.limits.cpu")
        == "spec.stepSpecs[0].computeResources.limits.cpu"
    )
    assert written(pod, "spec.containers[0].image") == "spec.taskSpec.steps[0].image"


@pytest.mark.parametrize(
    "template", ["taskRunTemplate: {podTemplate: {hostPID: true}}", "podTemplate: {hostPID: true}"]
)
def test_every_task_that_is_written_out_in_a_pipeline_is_a_pod(template: str) -> None:
    _, pods = described(
        f"""
        apiVersion: tekton.dev/v1
        kind: PipelineRun
        spec:
          {template}
          taskRunSpecs: [{{pipelineTaskName: b, podTemplate: {{hostNetwork: true}}}}]
          pipelineSpec:
            tasks:
              - {{name: a, taskSpec: {{metadata: {{labels: {{x: y}}}}, steps: [{{name: s, image: "a:1"}}]}}}}
              - {{name: elsewhere, taskRef: {{name: t}}}}
            finally:
              - {{name: b, taskSpec: {{steps: [{{name: s, image: "b:1"}}]}}}}
        """
    )
    first, last = pods
    assert (first.labels, first.spec.get("hostNetwork"), last.spec["hostNetwork"]) == ({"x": "y"}, None, True)
    assert first.spec["hostPID"] is last.spec["hostPID"] is True
    assert (
        written(first, "spec.hostPID")
        == f"spec.{template.partition(': {hostPID')[0].replace(': {', '.')}.hostPID"
    )
    assert written(last, "spec.hostNetwork") == "spec.taskRunSpecs[0].podTemplate.hostNetwork"
    assert written(last, "spec.containers[0].image") == "spec.pipelineSpec.finally[0].taskSpec.steps[0].image"


def test_a_pipeline_is_judged_before_it_runs() -> None:
    _, (pod,) = described(
        """
        apiVersion: tekton.dev/v1
        kind: Pipeline
        spec: {tasks: [{name: a, taskSpec: {steps: [{name: s, image: "a:1"}]}}]}
        """
    )
    assert written(pod, "spec.containers[0].image") == "spec.tasks[0].taskSpec.steps[0].image"
