"""The kinds that are known to describe pods.

Any version of a group is taken: a place that a version does not have is simply empty. Source: the API types of each
project; for the built-in kinds k8s.io/api apps/v1, batch/v1 and core/v1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from webhook.kube.workloads.argo import workflow
from webhook.kube.workloads.kserve import INFERENCE_SERVICE, LLM_INFERENCE_SERVICE, SERVING_RUNTIME
from webhook.kube.workloads.leaderworkerset import LEADER_WORKER_SET
from webhook.kube.workloads.nim import NIM_PIPELINE, NIM_SERVICE
from webhook.kube.workloads.paths import Finder, each, pod_spec, template, whole_object
from webhook.kube.workloads.ray import ray_cluster
from webhook.kube.workloads.spark import spark_application
from webhook.kube.workloads.tekton import tekton_pipeline, tekton_task
from webhook.kube.workloads.trainer import train_job


def _kubeflow_job(specs: str) -> Finder:
    return template(f"spec.{specs}.*.template", replicas=(f"spec.{specs}.*.replicas",))


def _job(path: str) -> Finder:
    return template(f"{path}.template", replicas=(f"{path}.parallelism",))


def _job_set(path: str) -> Finder:
    job = f"{path}.replicatedJobs[*]"
    return template(
        f"{job}.template.spec.template", replicas=(f"{job}.replicas", f"{job}.template.spec.parallelism")
    )


def _tasks(path: str) -> Finder:
    return template(f"{path}.tasks[*].template", replicas=(f"{path}.tasks[*].replicas",))


_REPLICATED: Final = template("spec.template", replicas=("spec.replicas",))
# A runtime makes no pods of its own, so nothing is to be counted.
_TRAINING_RUNTIME: Final = template("spec.template.spec.replicatedJobs[*].template.spec.template")

# (group, kind) to what finds its pods.
WORKLOADS: Final[Mapping[tuple[str, str], Finder]] = {
    ("apps", "Deployment"): _REPLICATED,
    ("apps", "StatefulSet"): _REPLICATED,
    # As many pods as nodes, and nobody here knows the nodes.
    ("apps", "DaemonSet"): template("spec.template"),
    ("apps", "ReplicaSet"): _REPLICATED,
    ("batch", "Job"): _job("spec"),
    ("batch", "CronJob"): _job("spec.jobTemplate.spec"),
    ("", "ReplicationController"): _REPLICATED,
    ("", "PodTemplate"): template("template"),
    # Gone from Kubernetes since 1.16; manifests with it are still about, and are judged for what they mean.
    ("extensions", "Deployment"): _REPLICATED,
    ("extensions", "DaemonSet"): template("spec.template"),
    ("extensions", "ReplicaSet"): _REPLICATED,
    ("kubeflow.org", "PyTorchJob"): _kubeflow_job("pytorchReplicaSpecs"),
    ("kubeflow.org", "TFJob"): _kubeflow_job("tfReplicaSpecs"),
    ("kubeflow.org", "XGBoostJob"): _kubeflow_job("xgbReplicaSpecs"),
    ("kubeflow.org", "MPIJob"): _kubeflow_job("mpiReplicaSpecs"),
    ("kubeflow.org", "JAXJob"): _kubeflow_job("jaxReplicaSpecs"),
    ("kubeflow.org", "PaddleJob"): _kubeflow_job("paddleReplicaSpecs"),
    ("kubeflow.org", "MXJob"): _kubeflow_job("mxReplicaSpecs"),
    # A notebook's template has no metadata; its pods carry the Notebook's own.
    ("kubeflow.org", "Notebook"): pod_spec("spec.template.spec"),
    ("kubeflow.org", "Experiment"): whole_object("spec.trialTemplate.trialSpec"),
    ("kubeflow.org", "Trial"): whole_object("spec.runSpec"),
    ("kubeflow.org", "ScheduledWorkflow"): workflow("spec", "workflow", "spec"),
    ("trainer.kubeflow.org", "TrainJob"): train_job("spec"),
    ("trainer.kubeflow.org", "OptimizationJob"): train_job(
        "spec", "trainJobTemplate", "spec", times="parallelTrials"
    ),
    ("trainer.kubeflow.org", "TrainingRuntime"): _TRAINING_RUNTIME,
    ("trainer.kubeflow.org", "ClusterTrainingRuntime"): _TRAINING_RUNTIME,
    ("jobset.x-k8s.io", "JobSet"): _job_set("spec"),
    ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"): LEADER_WORKER_SET,
    ("ray.io", "RayCluster"): ray_cluster("spec"),
    ("ray.io", "RayJob"): each(ray_cluster("spec", "rayClusterSpec"), template("spec.submitterPodTemplate")),
    ("ray.io", "RayService"): ray_cluster("spec", "rayClusterConfig"),
    ("ray.io", "RayCronJob"): each(
        ray_cluster("spec", "jobTemplate", "rayClusterSpec"),
        template("spec.jobTemplate.submitterPodTemplate"),
    ),
    ("batch.volcano.sh", "Job"): _tasks("spec"),
    ("batch.volcano.sh", "CronJob"): _tasks("spec.jobTemplate.spec"),
    ("batch.volcano.sh", "Reservation"): _tasks("spec"),
    ("flow.volcano.sh", "JobTemplate"): _tasks("spec"),
    ("workload.codeflare.dev", "AppWrapper"): each(
        whole_object("spec.components[*].template"),
        whole_object("spec.resources.GenericItems[*].generictemplate"),  # v1beta1
    ),
    ("kueue.x-k8s.io", "Workload"): template("spec.podSets[*].template", replicas=("spec.podSets[*].count",)),
    ("agents.x-k8s.io", "Sandbox"): template("spec.podTemplate", replicas=("spec.replicas",)),
    ("extensions.agents.x-k8s.io", "SandboxTemplate"): template("spec.podTemplate"),
    ("argoproj.io", "Workflow"): workflow("spec"),
    ("argoproj.io", "WorkflowTemplate"): workflow("spec"),
    ("argoproj.io", "ClusterWorkflowTemplate"): workflow("spec"),
    ("argoproj.io", "CronWorkflow"): workflow("spec", "workflowSpec"),
    ("argoproj.io", "Rollout"): _REPLICATED,
    ("serving.kserve.io", "InferenceService"): INFERENCE_SERVICE,
    ("serving.kubeflow.org", "InferenceService"): INFERENCE_SERVICE,  # its name before 0.7
    ("serving.kserve.io", "ServingRuntime"): SERVING_RUNTIME,
    ("serving.kserve.io", "ClusterServingRuntime"): SERVING_RUNTIME,
    ("serving.kserve.io", "LLMInferenceService"): LLM_INFERENCE_SERVICE,
    ("serving.kserve.io", "LLMInferenceServiceConfig"): LLM_INFERENCE_SERVICE,
    # Their PodSpec has fields of Knative's besides; the number of pods follows the requests.
    ("serving.knative.dev", "Service"): template("spec.template"),
    ("serving.knative.dev", "Configuration"): template("spec.template"),
    ("serving.knative.dev", "Revision"): pod_spec("spec"),
    ("sparkoperator.k8s.io", "SparkApplication"): spark_application("spec"),
    ("sparkoperator.k8s.io", "ScheduledSparkApplication"): spark_application("spec", "template"),
    ("apps.nvidia.com", "NIMService"): NIM_SERVICE,
    ("apps.nvidia.com", "NIMPipeline"): NIM_PIPELINE,
    ("tekton.dev", "Task"): tekton_task("spec"),
    ("tekton.dev", "ClusterTask"): tekton_task("spec"),
    ("tekton.dev", "TaskRun"): tekton_task("spec", "taskSpec"),
    ("tekton.dev", "Pipeline"): tekton_pipeline("spec"),
    ("tekton.dev", "PipelineRun"): tekton_pipeline("spec", "pipelineSpec"),
    ("keda.sh", "ScaledJob"): template(
        "spec.jobTargetRef.template", replicas=("spec.jobTargetRef.parallelism", "spec.maxReplicaCount")
    ),
}
