"""Argo Workflows: the pod that the controller makes of a template, and where each part of it was written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kube.workloads import described, pods_of, written

MAIN = {"name": "a", "container": {"image": "x"}}


def workflow(*templates: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "spec": {"templates": list(templates), **spec},
    }


def test_what_a_template_runs_its_sidecars_and_init_containers_are_one_pod() -> None:
    _, (pod,) = described("""
        apiVersion: argoproj.io/v1alpha1
        kind: Workflow
        spec:
          templates:
            - {name: nothing, suspend: {}}
            - name: train
              metadata: {labels: {team: vision}}
              container: {image: train, resources: {limits: {nvidia.com/gpu: 1}}}
              initContainers: [{name: fetch, image: fetch}]
              sidecars: [{name: log, image: log}, {name: metrics, image: metrics}]
    """)
    assert [(c.name, c.list_name, c.raw["image"]) for c in pod.containers] == [
        ("fetch", "initContainers", "fetch"),
        ("main", "containers", "train"),
        ("log", "containers", "log"),
        ("metrics", "containers", "metrics"),
    ]
    assert pod.labels == {"team": "vision"}
    assert pod.spec["restartPolicy"] == "Never"
    assert written(pod, "spec.initContainers[0].image") == "spec.templates[1].initContainers[0].image"
    assert written(pod, "spec.containers[0].resources.limits[nvidia.com/gpu]") == (
        "spec.templates[1].container.resources.limits[nvidia.com/gpu]"
    )
    assert written(pod, "spec.containers[2].image") == "spec.templates[1].sidecars[1].image"
    assert written(pod, "spec.tolerations[0]") == "spec.templates[1].tolerations[0]"
    assert written(pod, "metadata.labels.owner") == "spec.templates[1].metadata.labels.owner"


def test_a_script_is_a_container() -> None:
    (pod,) = pods_of(workflow({"name": "a", "script": {"image": "python", "source": "print()"}}))
    assert written(pod, "spec.containers[0].image") == "spec.templates[0].script.image"


def test_a_container_set_shares_its_mounts() -> None:
    together = {
        "volumeMounts": [{"name": "work", "mountPath": "/work"}],
        "containers": [
            {"name": "a", "image": "x"},
            {"name": "main", "image": "y", "volumeMounts": [{"name": "own", "mountPath": "/own"}]},
        ],
    }
    volumes = [{"name": "work", "emptyDir": {}}, {"name": "own", "hostPath": {"path": "/"}}]
    (pod,) = pods_of(workflow({"name": "a", "containerSet": together, "volumes": volumes}))
    assert [[mount["name"] for mount in c.raw["volumeMounts"]] for c in pod.containers] == [
        ["work"],
        ["own", "work"],
    ]
    at = "spec.templates[0].containerSet"
    assert written(pod, "spec.containers[0].volumeMounts[0].readOnly") == f"{at}.volumeMounts[0].readOnly"
    assert written(pod, "spec.containers[1].volumeMounts[0]") == f"{at}.containers[1].volumeMounts[0]"
    assert written(pod, "spec.containers[1].volumeMounts[1]") == f"{at}.volumeMounts[0]"
    assert written(pod, "spec.volumes[1].hostPath") == "spec.templates[0].volumes[1].hostPath"


def test_sidecars_can_mirror_the_mounts_of_the_main_container() -> None:
    template = {
        "name": "a",
        "container": {"image": "x", "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
        "sidecars": [{"name": "log", "image": "y", "mirrorVolumeMounts": True}, {"name": "no", "image": "z"}],
    }
    (pod,) = pods_of(workflow(template))
    assert [len(c.raw.get("volumeMounts", ())) for c in pod.containers] == [1, 1, 0]
    assert written(pod, "spec.containers[1].volumeMounts[0].readOnly") == (
        "spec.templates[0].container.volumeMounts[0].readOnly"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nodeSelector", {"a": "b"}),
        ("tolerations", [{"key": "nvidia.com/gpu", "operator": "Exists"}]),
        ("affinity", {"nodeAffinity": {}}),
        ("schedulerName", "volcano"),
        ("serviceAccountName", "trainer"),
        ("securityContext", {"runAsNonRoot": True}),
        ("automountServiceAccountToken", False),
    ],
)
def test_settings_of_the_workflow_hold_where_a_template_has_none(name: str, value: Any) -> None:
    inherited, own = pods_of(workflow(MAIN, {**MAIN, name: value}, **{name: value}))
    assert inherited.spec[name] == own.spec[name] == value
    assert written(inherited, f"spec.{name}.x") == f"spec.{name}.x"
    assert written(own, f"spec.{name}.x") == f"spec.templates[1].{name}.x"


@pytest.mark.parametrize(
    ("name", "empty", "of_the_workflow", "stands"),
    [
        ("tolerations", [], [{"operator": "Exists"}], [{"operator": "Exists"}]),
        ("nodeSelector", {}, {"a": "b"}, {"a": "b"}),
        ("securityContext", {}, {"runAsNonRoot": True}, {}),
        ("automountServiceAccountToken", True, False, True),
    ],
)
def test_an_empty_setting_counts_as_the_controller_counts_it(
    name: str, empty: Any, of_the_workflow: Any, stands: Any
) -> None:
    (pod,) = pods_of(workflow({**MAIN, name: empty}, **{name: of_the_workflow}))
    assert pod.spec[name] == stands


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hostNetwork", True),
        ("dnsPolicy", "Default"),
        ("dnsConfig", {"searches": ["x"]}),
        ("imagePullSecrets", [{"name": "x"}]),
    ],
)
def test_settings_that_only_the_workflow_has(name: str, value: Any) -> None:
    (pod,) = pods_of(workflow({**MAIN, name: "of no effect"}, **{name: value}))
    assert pod.spec[name] == value
    assert written(pod, f"spec.{name}") == f"spec.{name}"


def test_the_priority_class_has_another_name_in_the_workflow() -> None:
    inherited, own = pods_of(
        workflow(MAIN, {**MAIN, "priorityClassName": "high"}, podPriorityClassName="low", podPriority=0)
    )
    assert (inherited.spec["priorityClassName"], own.spec["priorityClassName"]) == ("low", "high")
    assert inherited.spec["priority"] == 0
    assert written(inherited, "spec.priorityClassName") == "spec.podPriorityClassName"
    assert written(own, "spec.priorityClassName") == "spec.templates[1].priorityClassName"


def test_pod_metadata_of_the_workflow_lies_below_the_templates() -> None:
    template = {**MAIN, "metadata": {"labels": {"team": "own"}, "annotations": {"b": "2"}}}
    (pod,) = pods_of(workflow(template, podMetadata={"labels": {"team": "all", "app": "x"}}))
    assert pod.metadata == {"labels": {"team": "own", "app": "x"}, "annotations": {"b": "2"}}
    assert written(pod, "metadata.labels.team") == "spec.templates[0].metadata.labels.team"
    assert written(pod, "metadata.labels.app") == "spec.podMetadata.labels.app"


def test_only_volumes_that_are_mounted_come_in_from_the_workflow() -> None:
    volumes = [
        {"name": "unused", "hostPath": {"path": "/"}},
        {"name": "host", "hostPath": {"path": "/data"}},
        {"name": "own", "hostPath": {"path": "/hidden"}},
    ]
    mounts = [{"name": "host", "mountPath": "/a"}, {"name": "own", "mountPath": "/b"}]
    template = {
        "container": {"image": "x", "volumeMounts": mounts},
        "volumes": [{"name": "own", "emptyDir": {}}],
    }
    (pod,) = pods_of(workflow(template, volumes=volumes))
    assert pod.spec["volumes"] == [{"name": "own", "emptyDir": {}}, volumes[1]]
    assert written(pod, "spec.volumes[0].emptyDir") == "spec.templates[0].volumes[0].emptyDir"
    assert written(pod, "spec.volumes[1].hostPath.path") == "spec.volumes[1].hostPath.path"


def test_host_aliases_are_those_of_both() -> None:
    (pod,) = pods_of(workflow({**MAIN, "hostAliases": [{"ip": "2"}]}, hostAliases=[{"ip": "1"}]))
    assert [alias["ip"] for alias in pod.spec["hostAliases"]] == ["1", "2"]
    assert written(pod, "spec.hostAliases[0].ip") == "spec.hostAliases[0].ip"
    assert written(pod, "spec.hostAliases[1].ip") == "spec.templates[0].hostAliases[0].ip"


def test_template_defaults_are_merged_below_each_template() -> None:
    defaults = {
        "tolerations": [{"key": "a", "effect": "NoSchedule"}],
        "script": {"image": "never", "securityContext": {"privileged": True}},
        "container": {
            "image": "default",
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
        },
    }
    template = {
        "container": {
            "image": "own",
            "env": [{"name": "B", "value": "2"}, {"name": "C", "value": "2"}],
            "resources": {"limits": {"memory": "2Gi"}},
        }
    }
    (pod,) = pods_of(workflow(template, templateDefaults=defaults))
    (container,) = pod.containers
    assert container.raw == {
        "name": "main",
        "image": "own",
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "2"}],
        "resources": {"limits": {"cpu": "1", "memory": "2Gi"}},
    }
    own, below = "spec.templates[0].container", "spec.templateDefaults.container"
    assert written(pod, "spec.containers[0].image") == f"{own}.image"
    assert written(pod, "spec.containers[0].resources.limits.cpu") == f"{below}.resources.limits.cpu"
    assert written(pod, "spec.containers[0].resources.limits.memory") == f"{own}.resources.limits.memory"
    assert written(pod, "spec.containers[0].env[0].value") == f"{below}.env[0].value"
    assert written(pod, "spec.containers[0].env[1].value") == f"{own}.env[0].value"
    assert written(pod, "spec.tolerations[0].key") == "spec.templateDefaults.tolerations[0].key"
    assert written(pod, "spec.securityContext") == "spec.templates[0].securityContext"


def test_inline_templates_of_steps_and_tasks_are_templates() -> None:
    obj, pods = described("""
        apiVersion: argoproj.io/v1alpha1
        kind: WorkflowTemplate
        spec:
          tolerations: [{key: all}]
          templates:
            - name: steps
              steps:
                - - {name: a, template: other}
                  - {name: b, inline: {container: {image: b}}}
            - name: dag
              dag:
                tasks:
                  - {name: c, inline: {steps: [[{name: d, inline: {script: {image: d}}}]]}}
    """)
    assert [written(pod, "spec.containers[0].image") for pod in pods] == [
        "spec.templates[0].steps[0][1].inline.container.image",
        "spec.templates[1].dag.tasks[0].inline.steps[0][0].inline.script.image",
    ]
    assert all(pod.tolerations == obj["spec"]["tolerations"] for pod in pods)


def test_inline_templates_have_an_end() -> None:
    template: dict[str, Any] = MAIN
    for _ in range(100):
        template = {"name": "x", "dag": {"tasks": [{"name": "t", "inline": template}]}}
    assert pods_of(workflow(template)) == ()


@pytest.mark.parametrize(
    ("api_version", "kind", "at"),
    [
        ("argoproj.io/v1alpha1", "Workflow", ("spec",)),
        ("argoproj.io/v1alpha1", "WorkflowTemplate", ("spec",)),
        ("argoproj.io/v1alpha1", "ClusterWorkflowTemplate", ("spec",)),
        ("argoproj.io/v1alpha1", "CronWorkflow", ("spec", "workflowSpec")),
        ("kubeflow.org/v1beta1", "ScheduledWorkflow", ("spec", "workflow", "spec")),
    ],
)
def test_every_kind_with_a_workflow_in_it(api_version: str, kind: str, at: tuple[str, ...]) -> None:
    spec: dict[str, Any] = {"templates": [MAIN], "hostNetwork": True}
    for key in reversed(at):
        spec = {key: spec}
    (pod,) = pods_of({"apiVersion": api_version, "kind": kind, **spec})
    assert written(pod, "spec.hostNetwork") == ".".join((*at, "hostNetwork"))
    assert written(pod, "spec.containers[0].image") == ".".join((*at, "templates[0].container.image"))


MANY = {f"key-{index}": "" for index in range(1000)}


@pytest.mark.parametrize(
    "shared",
    [
        {"podMetadata": {"labels": MANY}},
        {"templateDefaults": {"nodeSelector": MANY}},
        {"hostAliases": [{"ip": key} for key in MANY]},
    ],
    ids=["labels", "defaults", "host aliases"],
)
def test_what_templates_share_is_not_copied_without_end(shared: dict[str, Any]) -> None:
    template = {
        **MAIN,
        "metadata": {"labels": {"a": "b"}},
        "nodeSelector": {"a": "b"},
        "hostAliases": [{"ip": "1"}],
    }
    assert len(pods_of(workflow(*[template] * 20, **shared))) == 20
    assert 20 < len(pods_of(workflow(*[template] * 1000, **shared))) < 200


def test_containers_beyond_any_count_do_not_all_share_their_mounts() -> None:
    mounts = [{"name": key, "mountPath": f"/{key}"} for key in MANY]
    for many, shared in ((10, 1000), (1000, 0)):
        together = {
            "volumeMounts": mounts,
            "containers": [{"name": f"c{index}", "image": "x"} for index in range(many)],
        }
        (pod,) = pods_of(workflow({"containerSet": together}))
        assert {len(c.raw.get("volumeMounts", ())) for c in pod.containers} == {shared}
        sidecars = [{"name": f"c{index}", "image": "x", "mirrorVolumeMounts": True} for index in range(many)]
        template = {"container": {"image": "x", "volumeMounts": mounts}, "sidecars": sidecars}
        (pod,) = pods_of(workflow(template))
        assert len(pod.containers[1].raw.get("volumeMounts", ())) == shared
