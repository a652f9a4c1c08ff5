"""The kinds that are known by name: so that a misspelt kind in a policy is an error, not silence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final


def _kinds(names: str) -> frozenset[str]:
    return frozenset(names.split())


# Built-in kinds that can be admitted, by group. Source: the Kubernetes API reference, v1.36.
BUILT_IN: Final[Mapping[str, frozenset[str]]] = {
    "": _kinds(
        "Binding ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume PersistentVolumeClaim Pod"
        " PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount"
    ),
    "admissionregistration.k8s.io": _kinds(
        "MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration"
        " ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration"
    ),
    "apiextensions.k8s.io": _kinds("CustomResourceDefinition"),
    "apiregistration.k8s.io": _kinds("APIService"),
    "apps": _kinds("ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet"),
    "autoscaling": _kinds("HorizontalPodAutoscaler Scale"),
    "batch": _kinds("CronJob Job"),
    "certificates.k8s.io": _kinds("CertificateSigningRequest ClusterTrustBundle PodCertificateRequest"),
    "coordination.k8s.io": _kinds("Lease LeaseCandidate"),
    "discovery.k8s.io": _kinds("EndpointSlice"),
    "events.k8s.io": _kinds("Event"),
    "flowcontrol.apiserver.k8s.io": _kinds("FlowSchema PriorityLevelConfiguration"),
    "networking.k8s.io": _kinds("IPAddress Ingress IngressClass NetworkPolicy ServiceCIDR"),
    "node.k8s.io": _kinds("RuntimeClass"),
    "policy": _kinds("Eviction PodDisruptionBudget"),
    "rbac.authorization.k8s.io": _kinds("ClusterRole ClusterRoleBinding Role RoleBinding"),
    "resource.k8s.io": _kinds(
        "DeviceClass DeviceTaintRule ResourceClaim ResourceClaimTemplate ResourceSlice"
    ),
    "scheduling.k8s.io": _kinds("PriorityClass Workload"),
    "storage.k8s.io": _kinds(
        "CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass"
    ),
}

# Custom resources of which every kind is known, by group. Source: the API types of each project.
CUSTOM: Final[Mapping[str, frozenset[str]]] = {
    "gpuward.dev": _kinds("AcceleratorCatalog BreakGlass Policy PolicyException WorkloadCatalog"),
    "kubeflow.org": _kinds(
        "Experiment JAXJob MPIJob MXJob Notebook PVCViewer PaddleJob PodDefault Profile PyTorchJob ScheduledWorkflow"
        " Suggestion TFJob Trial Viewer Workspace WorkspaceKind XGBoostJob"
    ),
    "trainer.kubeflow.org": _kinds("ClusterTrainingRuntime OptimizationJob TrainJob TrainingRuntime"),
    "jobset.x-k8s.io": _kinds("JobSet"),
    "leaderworkerset.x-k8s.io": _kinds("LeaderWorkerSet"),
    "ray.io": _kinds("RayCluster RayCronJob RayJob RayService"),
    "batch.volcano.sh": _kinds("CronJob Job Reservation"),
    "flow.volcano.sh": _kinds("JobFlow JobTemplate"),
    "scheduling.volcano.sh": _kinds("PodGroup Queue"),
    "workload.codeflare.dev": _kinds("AppWrapper"),
    "kueue.x-k8s.io": _kinds(
        "AdmissionCheck ClusterQueue Cohort LocalQueue MultiKueueCluster MultiKueueConfig ProvisioningRequestConfig"
        " ResourceFlavor Topology Workload WorkloadPriorityClass"
    ),
    "agents.x-k8s.io": _kinds("Sandbox"),
    "extensions.agents.x-k8s.io": _kinds("SandboxClaim SandboxTemplate SandboxWarmPool"),
    # Argo Workflows, Events, CD and Rollouts share a group.
    "argoproj.io": _kinds(
        "AnalysisRun AnalysisTemplate AppProject Application ApplicationSet ArgoCD ArgoCDExport"
        " ClusterAnalysisTemplate ClusterWorkflowTemplate CronWorkflow EventBus EventSource Experiment"
        " NotificationsConfiguration Rollout RolloutManager Sensor Workflow WorkflowArtifactGCTask"
        " WorkflowEventBinding WorkflowTaskResult WorkflowTaskSet WorkflowTemplate"
    ),
    "serving.kserve.io": _kinds(
        "ClusterLocalModel ClusterServingRuntime ClusterStorageContainer InferenceGraph InferenceService KernelCache"
        " KernelCacheCapture KernelCacheNode KernelCacheNodeGroup LLMInferenceService LLMInferenceServiceConfig"
        " LocalModelCache LocalModelNamespaceCache LocalModelNode LocalModelNodeGroup Predictor ServingRuntime"
        " TrainedModel"
    ),
    "serving.kubeflow.org": _kinds("InferenceService TrainedModel"),
    "serving.knative.dev": _kinds("Configuration DomainMapping Revision Route Service"),
    "sparkoperator.k8s.io": _kinds("ScheduledSparkApplication SparkApplication SparkConnect"),
    "apps.nvidia.com": _kinds(
        "NIMBuild NIMCache NIMPipeline NIMService NemoCustomizer NemoDatastore NemoEntitystore NemoEvaluator"
        " NemoGuardrail NemoGuardrails NemoService"
    ),
    "tekton.dev": _kinds(
        "ClusterTask Condition CustomRun Pipeline PipelineResource PipelineRun Run StepAction Task TaskRun"
        " VerificationPolicy"
    ),
    "keda.sh": _kinds("ClusterTriggerAuthentication ScaledJob ScaledObject TriggerAuthentication"),
    "karpenter.sh": _kinds("Machine NodeClaim NodeOverlay NodePool Provisioner"),
    "autoscaling.k8s.io": _kinds("VerticalPodAutoscaler VerticalPodAutoscalerCheckpoint"),
    "monitoring.coreos.com": _kinds(
        "Alertmanager AlertmanagerConfig PodMonitor Probe Prometheus PrometheusAgent PrometheusRule ScrapeConfig"
        " ServiceMonitor ThanosRuler"
    ),
    # Gone from Kubernetes since 1.22.
    "extensions": _kinds("DaemonSet Deployment Ingress NetworkPolicy PodSecurityPolicy ReplicaSet"),
}

# Groups of which every kind is known; in any other group any kind may exist.
KNOWN: Final[Mapping[str, frozenset[str]]] = {**BUILT_IN, **CUSTOM}


def has_version(group: str, version: str) -> bool:
    """Whether a version of a built-in group can be meant. Alpha and beta versions come and go with each release, so
    only the stable ones are known; of groups of custom resources none are."""
    if group not in BUILT_IN or re.fullmatch(r"v\d+", version) is None:
        return True
    return version in stable_versions(group)


def stable_versions(group: str) -> tuple[str, ...]:
    """The stable versions that a built-in group has or had."""
    return ("v1", "v2") if group == "autoscaling" else ("v1",)


Kind = tuple[str, str]
"""A group and a kind."""


def group_of(kind: str, declared: Iterable[Kind] = ()) -> str | None:
    """The group meant by a kind written alone: the built-in one if there is one, else that of a custom resource.

    Kubernetes' own kinds win over a custom resource of the same name (``Job`` is ``batch``, not Volcano's), known
    ones over those ``declared`` in configuration.
    """
    for group, kinds in KNOWN.items():
        if kind in kinds:
            return group
    return next((group for group, name in declared if name == kind), None)


def known_kinds(declared: Iterable[Kind] = ()) -> frozenset[str]:
    """Every kind known by name, for suggestions."""
    return frozenset().union(*KNOWN.values(), (kind for _, kind in declared))
