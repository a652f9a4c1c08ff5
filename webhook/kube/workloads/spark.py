"""Spark applications: the driver and the executors, described by settings of Spark's own.

Spark asks for memory and an overhead for what is outside the JVM; both together are the request and the limit. A
limit for CPU there is only by ``coreLimit``.

Source: kubeflow/spark-operator api/v1beta2/sparkapplication_types.go;
https://spark.apache.org/docs/latest/running-on-kubernetes.html#spark-properties (memoryOverheadFactor).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from webhook.kube.path import Path
from webhook.kube.shape import JSONObject, text
from webhook.kube.workloads.parts import (
    Found,
    Part,
    count,
    first,
    joined,
    labels_and_annotations,
    listing,
    made_pod,
    merge,
)
from webhook.kube.workloads.paths import Finder

_CONTAINERS: Final = {"driver": "spark-kubernetes-driver", "executor": "spark-kubernetes-executor"}

# Settings that are fields of the pod or of its container, by another name or none.
_OF_THE_POD: Final = {
    "affinity": "affinity",
    "tolerations": "tolerations",
    "podSecurityContext": "securityContext",
    "schedulerName": "schedulerName",
    "hostNetwork": "hostNetwork",
    "dnsConfig": "dnsConfig",
    "terminationGracePeriodSeconds": "terminationGracePeriodSeconds",
    "serviceAccount": "serviceAccountName",
    "hostAliases": "hostAliases",
    "shareProcessNamespace": "shareProcessNamespace",
    "runtimeClassName": "runtimeClassName",
    "priorityClassName": "priorityClassName",
    "initContainers": "initContainers",
}
_OF_THE_CONTAINER: Final = ("env", "envFrom", "volumeMounts", "securityContext", "lifecycle")

_MEMORY: Final = re.compile(r"\s*(\d+)\s*(b|k|kb|m|mb|g|gb|t|tb|p|pb)?\s*", re.ASCII | re.IGNORECASE)
# To MiB, Spark's unit where none is written.
_UNITS: Final = {"b": 2**-20, "k": 2**-10, "m": 1.0, "g": 2.0**10, "t": 2.0**20, "p": 2.0**30}
_LEAST_OVERHEAD: Final = 384  # MiB


def spark_application(*path: str) -> Finder:
    """The pods of the SparkApplicationSpec at ``path``."""

    def find(obj: JSONObject) -> Iterator[Found]:
        spec = Part(obj, ())
        for key in path:
            spec = spec.get(key)
        for role in ("driver", "executor"):
            if spec.get(role).is_map:
                yield _pod(role, spec.get(role), spec)

    return Finder(tuple(".".join((*path, role)) for role in ("driver", "executor")), find)


def _pod(role: str, settings: Part, spec: Part) -> Found:
    written = settings.get("template")
    pod_spec = written.get("spec")
    containers = list(pod_spec.get("containers").items())
    own = containers[0] if containers else Part({}, settings.path)
    container = own.having(
        name=_CONTAINERS[role],
        image=first(settings.get("image"), spec.get("image")),
        resources=merge(own.get("resources"), _resources(settings, spec)),
        **{name: settings.get(name) for name in _OF_THE_CONTAINER},
    )
    sidecars = list(settings.get("sidecars").items())
    of_template = Part({}, settings.path)
    if pod_spec.is_map:
        of_template = of_template.having(**{key: pod_spec.get(key) for key in pod_spec.value})
    pod = of_template.having(
        containers=listing([container, *containers[1:], *sidecars], settings.path),
        volumes=joined([pod_spec.get("volumes"), spec.get("volumes")], spec.get("volumes").path),
        nodeSelector=first(settings.get("nodeSelector"), spec.get("nodeSelector")),
        **{name: settings.get(key) for key, name in _OF_THE_POD.items()},
    )
    metadata = labels_and_annotations(written.get("metadata"), settings)
    number, place = _replicas(role, settings, spec)
    return made_pod(metadata, pod, replicas=number, replicas_path=place)


def _replicas(role: str, settings: Part, spec: Part) -> tuple[int, Path]:
    if role == "driver":
        return 1, ()
    allocation = spec.get("dynamicAllocation")
    if allocation.get("enabled").value is True:
        most = allocation.get("maxExecutors")
        return count(most.value), most.path
    instances = settings.get("instances")
    return count(instances.value), instances.path


def _resources(settings: Part, spec: Part) -> Part:
    memory = settings.get("memory")
    quantity = replace(memory, value=_memory(settings, spec))
    cores = settings.get("coreRequest")
    cpu = cores if cores.value else settings.get("cores")
    gpu = settings.get("gpu")
    nothing = Part({}, settings.path)
    limits = nothing.having(memory=quantity, cpu=settings.get("coreLimit"))
    if gpu.is_map and (name := text(gpu.value, "name")):
        limits = limits.having(**{name: gpu.get("quantity")})
    requests = nothing.having(memory=quantity, cpu=cpu if cpu.value else "1")
    return nothing.having(limits=limits, requests=requests)


def _memory(settings: Part, spec: Part) -> str | None:
    """Memory and overhead as a quantity; None where they cannot be read."""
    memory = _mebibytes(settings.get("memory").value or "1g")
    if memory is None:
        return None
    overhead = _mebibytes(settings.get("memoryOverhead").value)
    if overhead is None:
        factor = _factor(spec)
        overhead = max(memory * factor, _LEAST_OVERHEAD)
    return f"{math.ceil(memory + overhead)}Mi"


def _factor(spec: Part) -> float:
    written = spec.get("memoryOverheadFactor").value
    if type(written) is str and re.fullmatch(r"\d{0,6}\.?\d{1,6}", written, re.ASCII):
        return float(written)
    return 0.1 if spec.get("type").value in ("Java", "Scala", None) else 0.4


def _mebibytes(written: object) -> float | None:
    match = _MEMORY.fullmatch(written) if type(written) is str and len(written) < 20 else None
    return None if match is None else int(match[1]) * _UNITS[(match[2] or "m")[0].lower()]
