"""The bodies that are sent: reviews recorded from a real API server where they are there, else generated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from tests.support import SHARED

TRAIN, NOTEBOOK, ALL = "train-good", "notebook-bad", "all"


@dataclass(frozen=True, slots=True)
class Bodies:
    """Sets of review bodies by name. ``source`` says where they are from."""

    source: str
    sets: dict[str, tuple[bytes, ...]]


def load_bodies() -> Bodies:
    """The sets: one good training pod, one bad notebook, and all there are."""
    folder = SHARED / "admission-reviews"
    files = sorted(folder.glob("*.json"))
    if not files:
        train, notebook = training_review(), notebook_review()
        return Bodies("generated", {TRAIN: (train,), NOTEBOOK: (notebook,), ALL: (train, notebook)})
    return Bodies(
        f"{len(files)} reviews recorded from kube-apiserver",
        {
            TRAIN: ((folder / "pod-create-train-good.json").read_bytes(),),
            NOTEBOOK: ((folder / "pod-create-notebook-bad.json").read_bytes(),),
            ALL: tuple(file.read_bytes() for file in files),
        },
    )


def training_pod() -> dict[str, Any]:
    """A training pod on eight GPUs that breaks no rule, as its author writes it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "train", "labels": {"app": "train", "team": "vision", "cost-center": "cc-42"}},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {
                "runAsUser": 1000,
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": [_container("fetch", {"cpu": "1", "memory": "2Gi"})],
            "containers": [
                {
                    **_container("trainer", {"cpu": "32", "memory": "256Gi", "nvidia.com/gpu": "8"}),
                    "command": ["torchrun", "--nproc_per_node=8", "train.py"],
                    "env": [
                        {"name": name, "value": "1"} for name in ("NCCL_DEBUG", "HF_HOME", "OMP_NUM_THREADS")
                    ],
                },
                {
                    **_container("exporter", {"cpu": "200m", "memory": "256Mi"}),
                    "livenessProbe": {"httpGet": {"path": "/healthz", "port": 9100}},
                },
            ],
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "volumes": [{"name": "cache", "emptyDir": {"sizeLimit": "50Gi"}}],
        },
    }


def _container(name: str, resources: dict[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "image": f"registry.example.com/ml/{name}:2026.11",
        "imagePullPolicy": "IfNotPresent",
        "resources": {"limits": resources, "requests": dict(resources)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
        },
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
    }


def training_review() -> bytes:
    """The review of ``training_pod``, about as large as one that was recorded."""
    return review_of(training_pod())


def notebook_review() -> bytes:
    """The review of a notebook pod that breaks many rules."""
    return review_of(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "notebook", "labels": {"app": "notebook"}},
            "spec": {
                "hostNetwork": True,
                "hostIPC": True,
                "containers": [
                    {
                        "name": "jupyter",
                        "image": "registry.example.com/ml/jupyter:2026.11",
                        "resources": {"limits": {"nvidia.com/gpu": "1"}},
                        "securityContext": {"privileged": True},
                    }
                ],
                "volumes": [{"name": "data", "hostPath": {"path": "/data"}}],
            },
        }
    )


def review_of(pod: dict[str, Any]) -> bytes:
    """The review of the creation of a pod in the namespace ``ml-team``, with what kubectl and the API server add."""
    metadata = {
        **pod["metadata"],
        "namespace": "ml-team",
        # Most of a real review is what the API server and kubectl add to it, and all of it is parsed.
        "annotations": {
            **pod["metadata"].get("annotations", {}),
            "kubectl.kubernetes.io/last-applied-configuration": orjson.dumps(
                # An annotation is not in itself.
                {**pod, "metadata": {key: v for key, v in pod["metadata"].items() if key != "annotations"}}
            ).decode(),
        },
        "managedFields": [
            {
                "manager": "kubectl-client-side-apply",
                "operation": "Update",
                "apiVersion": "v1",
                "time": "2026-11-21T00:47:20Z",
                "fieldsType": "FieldsV1",
                "fieldsV1": {f"f:{key}": _fields(pod[key]) for key in ("metadata", "spec")},
            }
        ],
    }
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    resource = {"group": "", "version": "v1", "resource": "pods"}
    request = {
        "uid": "6f4cd648-30b6-4979-8508-0dc60062c57b",
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": pod["metadata"]["name"],
        "namespace": "ml-team",
        "operation": "CREATE",
        "userInfo": {
            "username": "admin",
            "uid": "admin",
            "groups": ["system:masters", "system:authenticated"],
        },
        "object": {**pod, "metadata": metadata},
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    return orjson.dumps({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})


def _fields(value: Any) -> dict[str, Any]:
    """What ``managedFields`` says about a value (k8s.io/apimachinery ``FieldsV1``), near enough in size."""
    if isinstance(value, dict):
        return {f"f:{key}": _fields(item) for key, item in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict) and "name" in value[0]:
        return {f'k:{{"name":"{item["name"]}"}}': {".": {}, **_fields(item)} for item in value}
    return {}
