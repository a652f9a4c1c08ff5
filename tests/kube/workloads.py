"""What tests of workloads share: reading an object from YAML, and its pods."""

from __future__ import annotations

from typing import Any

import yaml

from webhook.kube.accelerators import Catalog
from webhook.kube.gvk import parse_api_version
from webhook.kube.path import Path, parse, render
from webhook.kube.pod import Pod
from webhook.kube.workloads import find_pods

CATALOG = Catalog(())


def described(text: str) -> tuple[dict[str, Any], tuple[Pod, ...]]:
    """An object written as YAML, and the pods in it."""
    obj: dict[str, Any] = yaml.safe_load(text)
    return obj, pods_of(obj)


def pods_of(obj: dict[str, Any]) -> tuple[Pod, ...]:
    return find_pods(parse_api_version(obj["apiVersion"], obj["kind"]), obj, CATALOG)


def written(pod: Pod, field: str) -> str:
    """Where the user wrote a field of the pod, which is given from the pod's root: ``spec.containers[0].image``."""
    path: Path = parse(field)
    start = pod.metadata_path if path[0] == "metadata" else pod.spec_path
    return render(pod.written_at(start + path[1:]))
