"""Pods are found wherever a kind keeps them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kube.workloads import CATALOG, described, pods_of, written
from tests.strategies import json_values
from webhook.kube.gvk import GroupVersionKind, parse_api_version
from webhook.kube.kinds import BUILT_IN, KNOWN
from webhook.kube.path import lookup, render
from webhook.kube.workloads import MOST_PODS, WORKLOADS, carries_pods, find_pods, may_carry_pods

SPEC = {"containers": [{"name": "main", "image": "x"}]}
TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": SPEC}


def nested(path: str, leaf: Any) -> dict[str, Any]:
    """An object with `leaf` at a dotted path; `0` makes a list of one."""
    value = leaf
    for segment in reversed(path.split(".")):
        value = [value] if segment == "0" else {segment: value}
    assert isinstance(value, dict)
    return value


TEMPLATES = [
    ("v1", "ReplicationController", "spec.template"),
    ("v1", "PodTemplate", "template"),
    ("apps/v1", "Deployment", "spec.template"),
    ("apps/v1", "StatefulSet", "spec.template"),
    ("apps/v1", "DaemonSet", "spec.template"),
    ("apps/v1", "ReplicaSet", "spec.template"),
    ("extensions/v1beta1", "Deployment", "spec.template"),
    ("extensions/v1beta1", "DaemonSet", "spec.template"),
    ("extensions/v1beta1", "ReplicaSet", "spec.template"),
    ("batch/v1", "Job", "spec.template"),
    ("batch/v1", "CronJob", "spec.jobTemplate.spec.template"),
    ("batch/v1beta1", "CronJob", "spec.jobTemplate.spec.template"),
    ("kubeflow.org/v1", "PyTorchJob", "spec.pytorchReplicaSpecs.Worker.template"),
    ("kubeflow.org/v1", "TFJob", "spec.tfReplicaSpecs.PS.template"),
    ("kubeflow.org/v1", "XGBoostJob", "spec.xgbReplicaSpecs.Master.template"),
    ("kubeflow.org/v1", "JAXJob", "spec.jaxReplicaSpecs.Worker.template"),
    ("kubeflow.org/v1", "PaddleJob", "spec.paddleReplicaSpecs.Worker.template"),
    ("kubeflow.org/v1", "MXJob", "spec.mxReplicaSpecs.Scheduler.template"),
    ("kubeflow.org/v1", "MPIJob", "spec.mpiReplicaSpecs.Worker.template"),
    ("kubeflow.org/v2beta1", "MPIJob", "spec.mpiReplicaSpecs.Launcher.template"),
    (
        "trainer.kubeflow.org/v1alpha1",
        "TrainingRuntime",
        "spec.template.spec.replicatedJobs.0.template.spec.template",
    ),
    (
        "trainer.kubeflow.org/v1alpha1",
        "ClusterTrainingRuntime",
        "spec.template.spec.replicatedJobs.0.template.spec.template",
    ),
    ("jobset.x-k8s.io/v1alpha2", "JobSet", "spec.replicatedJobs.0.template.spec.template"),
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "spec.leaderWorkerTemplate.leaderTemplate"),
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "spec.leaderWorkerTemplate.workerTemplate"),
    ("ray.io/v1alpha1", "RayCluster", "spec.headGroupSpec.template"),
    ("ray.io/v1", "RayCluster", "spec.workerGroupSpecs.0.template"),
    ("ray.io/v1", "RayJob", "spec.rayClusterSpec.workerGroupSpecs.0.template"),
    ("ray.io/v1", "RayJob", "spec.submitterPodTemplate"),
    ("ray.io/v1", "RayService", "spec.rayClusterConfig.headGroupSpec.template"),
    ("ray.io/v1", "RayCronJob", "spec.jobTemplate.rayClusterSpec.headGroupSpec.template"),
    ("ray.io/v1", "RayCronJob", "spec.jobTemplate.submitterPodTemplate"),
    ("batch.volcano.sh/v1alpha1", "Job", "spec.tasks.0.template"),
    ("batch.volcano.sh/v1alpha1", "CronJob", "spec.jobTemplate.spec.tasks.0.template"),
    ("batch.volcano.sh/v1alpha1", "Reservation", "spec.tasks.0.template"),
    ("flow.volcano.sh/v1alpha1", "JobTemplate", "spec.tasks.0.template"),
    ("kueue.x-k8s.io/v1beta1", "Workload", "spec.podSets.0.template"),
    ("agents.x-k8s.io/v1alpha1", "Sandbox", "spec.podTemplate"),
    ("extensions.agents.x-k8s.io/v1beta1", "SandboxTemplate", "spec.podTemplate"),
    ("argoproj.io/v1alpha1", "Rollout", "spec.template"),
    ("serving.knative.dev/v1", "Service", "spec.template"),
    ("serving.knative.dev/v1", "Configuration", "spec.template"),
    ("keda.sh/v1alpha1", "ScaledJob", "spec.jobTargetRef.template"),
]


@pytest.mark.parametrize(("api_version", "kind", "path"), TEMPLATES)
def test_a_template_is_found_where_it_stands(api_version: str, kind: str, path: str) -> None:
    obj = {"apiVersion": api_version, "kind": kind, **nested(path, TEMPLATE)}
    (pod,) = pods_of(obj)
    assert carries_pods(parse_api_version(api_version, kind))
    assert pod.root is obj
    assert render(pod.spec_path) == f"{path}.spec".replace(".0", "[0]")
    assert lookup(obj, pod.spec_path) is pod.spec
    assert pod.labels == {"app": "x"}
    assert render(pod.containers[0].path) == f"{path}.spec.containers[0]".replace(".0.", "[0].")
    assert pod.written_at(pod.containers[0].path) == pod.containers[0].path


POD_SPECS = [
    ("kubeflow.org/v1", "Notebook", "spec.template.spec"),
    ("serving.kserve.io/v1beta1", "InferenceService", "spec.predictor"),
    ("serving.kubeflow.org/v1beta1", "InferenceService", "spec.transformer"),
    ("serving.knative.dev/v1", "Revision", "spec"),
]


@pytest.mark.parametrize(("api_version", "kind", "path"), POD_SPECS)
def test_a_bare_pod_spec_takes_the_labels_of_its_object(api_version: str, kind: str, path: str) -> None:
    metadata = {
        "name": "n",
        "labels": {"team": "a"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "b"},
    }
    obj = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **nested(path, SPEC)}
    (pod,) = pods_of(obj)
    assert pod.metadata == {"labels": {"team": "a"}, "annotations": {"note": "b"}}
    assert render(pod.place) == path
    assert written(pod, "spec.containers[0].image") == f"{path}.containers[0].image"
    assert written(pod, "metadata.labels.team") == "metadata.labels.team"


EMBEDDED = [
    ("workload.codeflare.dev/v1beta2", "AppWrapper", "spec.components.0.template"),
    ("workload.codeflare.dev/v1beta1", "AppWrapper", "spec.resources.GenericItems.0.generictemplate"),
    ("kubeflow.org/v1beta1", "Experiment", "spec.trialTemplate.trialSpec"),
    ("kubeflow.org/v1beta1", "Trial", "spec.runSpec"),
    # Not listed: found by its shape.
    ("argoproj.io/v1alpha1", "Sensor", "spec.triggers.0.template.k8s.source.resource"),
]


@pytest.mark.parametrize(("api_version", "kind", "path"), EMBEDDED)
def test_a_whole_object_inside_another_is_looked_into_by_its_own_kind(
    api_version: str, kind: str, path: str
) -> None:
    where = path.replace(".0", "[0]")
    job = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"parallelism": 3, "template": TEMPLATE}}
    (pod,) = pods_of({"apiVersion": api_version, "kind": kind, **nested(path, job)})
    assert render(pod.place) == f"{where}.spec.template.spec"
    assert (pod.replicas, render(pod.replicas_path)) == (3, f"{where}.spec.parallelism")

    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"labels": {"team": "a"}},
        "spec": {"predictor": {"maxReplicas": 2, "model": {"resources": {}}}},
    }
    (pod,) = pods_of({"apiVersion": api_version, "kind": kind, **nested(path, service)})
    assert written(pod, "spec.containers[0].resources") == f"{where}.spec.predictor.model.resources"
    assert written(pod, "metadata.labels.team") == f"{where}.metadata.labels.team"
    assert render(pod.replicas_path) == f"{where}.spec.predictor.maxReplicas"

    bare = {"apiVersion": "v1", "kind": "Pod", **TEMPLATE}
    (pod,) = pods_of({"apiVersion": api_version, "kind": kind, **nested(path, bare)})
    assert (render(pod.place), pod.labels) == (f"{where}.spec", {"app": "x"})


def test_objects_inside_objects_have_an_end() -> None:
    obj: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", **TEMPLATE}
    for _ in range(50):
        component = {"template": obj}
        obj = {
            "apiVersion": "workload.codeflare.dev/v1beta2",
            "kind": "AppWrapper",
            "spec": {"components": [component]},
        }
    assert pods_of(obj) == ()


def test_every_listed_kind_is_tried_here_or_in_tests_of_its_own() -> None:
    own = {
        ("argoproj.io", "Workflow"),
        ("argoproj.io", "WorkflowTemplate"),
        ("argoproj.io", "ClusterWorkflowTemplate"),
        ("argoproj.io", "CronWorkflow"),
        ("kubeflow.org", "ScheduledWorkflow"),
        ("serving.kserve.io", "ServingRuntime"),
        ("serving.kserve.io", "ClusterServingRuntime"),
        ("serving.kserve.io", "LLMInferenceService"),
        ("serving.kserve.io", "LLMInferenceServiceConfig"),
        ("trainer.kubeflow.org", "TrainJob"),
        ("trainer.kubeflow.org", "OptimizationJob"),
        ("sparkoperator.k8s.io", "SparkApplication"),
        ("sparkoperator.k8s.io", "ScheduledSparkApplication"),
        ("apps.nvidia.com", "NIMService"),
        ("apps.nvidia.com", "NIMPipeline"),
        ("tekton.dev", "Task"),
        ("tekton.dev", "ClusterTask"),
        ("tekton.dev", "TaskRun"),
        ("tekton.dev", "Pipeline"),
        ("tekton.dev", "PipelineRun"),
    }
    here = {
        (parse_api_version(version, kind).group, kind)
        for version, kind, _ in TEMPLATES + POD_SPECS + EMBEDDED
    }
    assert set(WORKLOADS) <= here | own


def test_every_listed_kind_is_a_known_one() -> None:
    assert all(kind in KNOWN[group] for group, kind in WORKLOADS)


def test_a_pod_is_its_own() -> None:
    obj = {"apiVersion": "v1", "kind": "Pod", **TEMPLATE}
    (pod,) = pods_of(obj)
    assert (pod.spec_path, pod.metadata_path, pod.place) == (("spec",), ("metadata",), ("spec",))
    assert pod.root is obj


def test_every_worker_group_has_its_own_pod() -> None:
    spec = {
        "headGroupSpec": {"template": TEMPLATE},
        "workerGroupSpecs": [{"template": TEMPLATE}, {"template": TEMPLATE}],
    }
    pods = pods_of({"apiVersion": "ray.io/v1", "kind": "RayCluster", "spec": spec})
    assert [render(pod.place) for pod in pods] == [
        "spec.headGroupSpec.template.spec",
        "spec.workerGroupSpecs[0].template.spec",
        "spec.workerGroupSpecs[1].template.spec",
    ]


REPLICAS = {
    "a Deployment's": (
        "apps/v1",
        "Deployment",
        {"replicas": 3, "template": TEMPLATE},
        [(3, "spec.replicas")],
    ),
    "not said": ("apps/v1", "Deployment", {"template": TEMPLATE}, [(1, "spec.replicas")]),
    "scaled to none": (
        "apps/v1",
        "StatefulSet",
        {"replicas": 0, "template": TEMPLATE},
        [(0, "spec.replicas")],
    ),
    "no number": ("apps/v1", "Deployment", {"replicas": "3", "template": TEMPLATE}, [(1, "spec.replicas")]),
    "true is no number": (
        "apps/v1",
        "Deployment",
        {"replicas": True, "template": TEMPLATE},
        [(1, "spec.replicas")],
    ),
    "nobody knows the nodes": ("apps/v1", "DaemonSet", {"template": TEMPLATE}, [(1, "")]),
    "a Job's": ("batch/v1", "Job", {"parallelism": 8, "template": TEMPLATE}, [(8, "spec.parallelism")]),
    "a Job never runs more than it needs": (
        "batch/v1",
        "Job",
        {"parallelism": 8, "completions": 3, "template": TEMPLATE},
        [(3, "spec.parallelism")],
    ),
    "a CronJob's": (
        "batch/v1",
        "CronJob",
        {"jobTemplate": {"spec": {"parallelism": 2, "template": TEMPLATE}}},
        [(2, "spec.jobTemplate.spec.parallelism")],
    ),
    "each role's": (
        "kubeflow.org/v1",
        "PyTorchJob",
        {
            "pytorchReplicaSpecs": {
                "Master": {"template": TEMPLATE},
                "Worker": {"replicas": 7, "template": TEMPLATE},
            }
        },
        [
            (1, "spec.pytorchReplicaSpecs.Master.replicas"),
            (7, "spec.pytorchReplicaSpecs.Worker.replicas"),
        ],
    ),
    "jobs times pods": (
        "jobset.x-k8s.io/v1alpha2",
        "JobSet",
        {
            "replicatedJobs": [
                {"template": {"spec": {"parallelism": 2, "template": TEMPLATE}}},
                {"replicas": 4, "template": {"spec": {"parallelism": 2, "template": TEMPLATE}}},
            ]
        },
        [(2, "spec.replicatedJobs[0].replicas"), (8, "spec.replicatedJobs[1].replicas")],
    ),
    "groups times size, a leader of its own": (
        "leaderworkerset.x-k8s.io/v1",
        "LeaderWorkerSet",
        {
            "replicas": 2,
            "leaderWorkerTemplate": {"size": 4, "leaderTemplate": TEMPLATE, "workerTemplate": TEMPLATE},
        },
        [(2, "spec.replicas"), (6, "spec.replicas")],
    ),
    "groups times size, all alike": (
        "leaderworkerset.x-k8s.io/v1",
        "LeaderWorkerSet",
        {"replicas": 2, "leaderWorkerTemplate": {"size": 4, "workerTemplate": TEMPLATE}},
        [(8, "spec.replicas")],
    ),
    "tasks": (
        "batch.volcano.sh/v1alpha1",
        "Job",
        {"tasks": [{"replicas": 5, "template": TEMPLATE}]},
        [(5, "spec.tasks[0].replicas")],
    ),
    "a training runtime makes none itself": (
        "trainer.kubeflow.org/v1alpha1",
        "TrainingRuntime",
        {
            "template": {
                "spec": {"replicatedJobs": [{"replicas": 4, "template": {"spec": {"template": TEMPLATE}}}]}
            }
        },
        [(1, "")],
    ),
    "hosts of a slice": (
        "ray.io/v1",
        "RayCluster",
        {"workerGroupSpecs": [{"replicas": 2, "maxReplicas": 9, "numOfHosts": 4, "template": TEMPLATE}]},
        [(8, "spec.workerGroupSpecs[0].replicas")],
    ),
    "the autoscaler goes to the maximum": (
        "ray.io/v1",
        "RayCluster",
        {
            "enableInTreeAutoscaling": True,
            "workerGroupSpecs": [{"replicas": 2, "maxReplicas": 9, "template": TEMPLATE}],
        },
        [(9, "spec.workerGroupSpecs[0].maxReplicas")],
    ),
    "without a maximum there is none": (
        "ray.io/v1",
        "RayCluster",
        {"enableInTreeAutoscaling": True, "workerGroupSpecs": [{"replicas": 2, "template": TEMPLATE}]},
        [(2**31 - 1, "spec.workerGroupSpecs[0].maxReplicas")],
    ),
    "at least the minimum": (
        "ray.io/v1",
        "RayCluster",
        {"workerGroupSpecs": [{"minReplicas": 3, "template": TEMPLATE}]},
        [(3, "spec.workerGroupSpecs[0].replicas")],
    ),
}


@pytest.mark.parametrize(("api_version", "kind", "spec", "expected"), REPLICAS.values(), ids=REPLICAS)
def test_how_many_pods_a_template_makes(
    api_version: str, kind: str, spec: dict[str, Any], expected: list[tuple[int, str]]
) -> None:
    pods = pods_of({"apiVersion": api_version, "kind": kind, "spec": spec})
    assert [(pod.replicas, render(pod.replicas_path)) for pod in pods] == expected


@pytest.mark.parametrize(
    ("api_version", "kind", "known", "possible"),
    [
        ("v1", "Pod", True, True),
        ("apps/v1", "Deployment", True, True),
        ("argoproj.io/v1alpha1", "Workflow", True, True),
        ("example.com/v1", "Trainer", False, True),
        ("serving.kserve.io/v1alpha1", "InferenceGraph", False, True),
        ("v1", "ConfigMap", False, False),
        ("v1", "Secret", False, False),
        ("coordination.k8s.io/v1", "Lease", False, False),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", False, False),
        ("kyverno.io/v1", "ClusterPolicy", False, False),
    ],
)
def test_which_kinds_can_describe_pods(api_version: str, kind: str, known: bool, possible: bool) -> None:
    gvk = parse_api_version(api_version, kind)
    assert (carries_pods(gvk), may_carry_pods(gvk)) == (known, possible)


def test_built_in_kinds_without_pods_are_not_searched() -> None:
    for group, kinds in BUILT_IN.items():
        for kind in kinds:
            gvk = GroupVersionKind(group, "v1", kind)
            if not carries_pods(gvk):
                assert find_pods(gvk, {"spec": {"any": TEMPLATE}, "data": TEMPLATE}, CATALOG) == ()


@pytest.mark.parametrize("broken", [None, "text", 7, [], {}, [None], {"x": None}, {"x": {"template": []}}])
@pytest.mark.parametrize("key", ["spec", "template", "containers"])
def test_odd_shapes_are_no_pods_and_no_crash(broken: Any, key: str) -> None:
    for group, kind in WORKLOADS:
        pods = find_pods(parse_api_version(f"{group}/v1" if group else "v1", kind), {key: broken}, CATALOG)
        assert all(not pod.containers for pod in pods)


# The keys by which any finder goes down, so that odd values turn up where they matter.
KEYS = st.sampled_from(
    """
    spec template templates container script containerSet containers initContainers sidecars steps dag tasks inline
    templateDefaults volumes volumeMounts metadata labels predictor model workerSpec default custom prefill worker
    router scheduler headGroupSpec workerGroupSpecs rayClusterSpec autoscalerOptions enableInTreeAutoscaling trainer
    resourcesPerNode podTemplateOverrides runtimePatches targetJobs name image replicas parallelism data components
    kind apiVersion driver executor gpu quantity memory self leaderWorkerTemplate workflowSpec pytorchReplicaSpecs
    replicatedJobs jobTemplate podSets mirrorVolumeMounts
    """.split()  # noqa: SIM905 - a word a line would be sixty lines
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 9),
    st.sampled_from(["", "main", "v1", "Pod", "batch/v1", "Job", "8g"]),
)
JSON = json_values(LEAVES, KEYS, most=5, leaves=40)


@given(st.sampled_from(sorted(WORKLOADS)), st.dictionaries(KEYS, JSON, max_size=4))
def test_any_json_in_any_kind_gives_pods_whose_paths_are_the_users(
    named: tuple[str, str], spec: dict[str, Any]
) -> None:
    group, kind = named
    obj = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    before = json.dumps(obj)
    for pod in find_pods(GroupVersionKind(group, "v1", kind), obj, CATALOG):
        assert json.dumps(pod.root)
        for container in pod.containers:
            for key, value in container.raw.items():
                place = pod.written_at(container.field(key))
                # What the user wrote is where it is said to be, unless it is made: a name, or resources.
                found = lookup(obj, place)
                assert found == value or key in ("name", "resources", "image", "volumeMounts", "env"), place
    assert json.dumps(obj) == before


def test_a_whole_manifest_as_people_write_it() -> None:
    _, pods = described("""
        apiVersion: kubeflow.org/v1
        kind: PyTorchJob
        metadata: {name: bert}
        spec:
          pytorchReplicaSpecs:
            Worker:
              replicas: 4
              template:
                spec:
                  containers:
                    - name: pytorch
                      image: x
    """)
    assert [written(pod, "spec.containers[0].resources.limits") for pod in pods] == [
        "spec.pytorchReplicaSpecs.Worker.template.spec.containers[0].resources.limits"
    ]


def test_an_object_describes_only_so_many_pods() -> None:
    group = {"template": TEMPLATE}
    spec = {"workerGroupSpecs": [group] * (MOST_PODS + 5)}
    assert len(pods_of({"apiVersion": "ray.io/v1", "kind": "RayCluster", "spec": spec})) == MOST_PODS
