"""The chart as the tests render it."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from typing import Any

import yaml

from manifests.generate import NAMESPACE, render
from tests.docs.command_line import parser_of

Object = dict[str, Any]

# Every value that changes which objects there are, or their form, at least once. Each is rendered, and the end-to-end
# tests have the API server judge what comes out.
MATRIX: dict[str, tuple[str, ...]] = {
    "default": (),
    "names": ("nameOverride=warden", "fullnameOverride=gpu-warden"),
    "namespace": ("namespace.create=true",),
    "one replica": ("replicas=1",),
    "image by digest": ("image.digest=sha256:" + "0" * 64, "image.pullPolicy=Always", "image.pullSecrets={registry}"),
    "server": (
        "server.port=9443", "server.adminPort=9090", "server.workers=2", "server.maxInFlight=100",
        "server.defaultMode=audit", "server.logFormat=text", "server.logLevel=debug",
        "server.extraArgs={--policy-poll=5s}", "server.extraEnv[0].name=TZ", "server.extraEnv[0].value=UTC",
    ),
    "host network": ("server.hostNetwork=true", "namespace.create=true"),
    "no preStop": ("drain.preStopSeconds=0", "drain.delaySeconds=1", "drain.timeoutSeconds=1"),
    "managed certificates": ("certificates.secretName=other", "certificates.extraNames={gpuward.example.com}"),
    "cert-manager": ("certificates.mode=certManager",),
    "cert-manager with an issuer": (
        "certificates.mode=certManager", "certificates.issuer.name=corp", "certificates.issuer.kind=ClusterIssuer",
        "certificates.extraNames={gpuward.example.com}",
    ),
    "own certificates": (
        "certificates.mode=existingSecret", "certificates.secretName=mine",
        "certificates.caBundle=-----BEGIN CERTIFICATE-----",
    ),
    "client certificates": ("certificates.client.caSecretName=callers", "certificates.client.names={kube-apiserver}"),
    "policies of one's own": (
        "policies.omit={ml-namespace.yaml}", r"policies.files.mine\.yaml=# nothing yet",
    ),
    "a ConfigMap of one's own": ("policies.existingConfigMap=mine",),
    "policies from files alone": ("policies.resources=false",),
    "policies from resources alone": ("policies.shipped=false",),
    "no custom resources": ("crds.install=false",),
    "custom resources that go": ("crds.keep=false",),
    "no webhooks": ("webhooks.install=false",),
    "webhooks": (
        "webhooks.timeoutSeconds=2", "webhooks.enforceFailurePolicy=Ignore", "webhooks.objects=false",
        "webhooks.clusterScopedMode=warn", "webhooks.excludedNamespaces={storage}",
        "webhooks.objectSelector.matchLabels.checked=yes", "webhooks.annotations.owner=platform",
        "webhooks.matchConditions[0].name=not-ci",
        "webhooks.matchConditions[0].expression=request.userInfo.username != 'ci'",
        "webhooks.extraRules[0].apiGroups={example.com}", "webhooks.extraRules[0].apiVersions={*}",
        "webhooks.extraRules[0].resources={trainings}", "webhooks.extraRules[0].operations={CREATE,DELETE,CONNECT}",
        "webhooks.clusterScopedRules[0].apiGroups={example.com}", "webhooks.clusterScopedRules[0].apiVersions={*}",
        "webhooks.clusterScopedRules[0].resources={quotas}", "webhooks.clusterScopedRules[0].operations={DELETE}",
        "webhooks.mutatingRules[0].apiGroups={apps}", "webhooks.mutatingRules[0].apiVersions={v1}",
        "webhooks.mutatingRules[0].resources={deployments}",
    ),
    "the gate guarded": ("webhooks.guard=true",),
    "account of one's own": ("serviceAccount.create=false", "serviceAccount.name=mine", "rbac.create=false"),
    "account with annotations": ("serviceAccount.annotations.owner=platform",),
    "pods": (
        "pods.annotations.owner=platform", "pods.labels.team=platform", "pods.priorityClassName=",
        "pods.nodeSelector.pool=system", "pods.tolerations[0].key=system", "pods.tolerations[0].operator=Exists",
        "pods.spread=DoNotSchedule", "pods.setRunAsUser=false", "pods.criticalPodsQuota=false",
        "pods.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1",
        "pods.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].key=pool",
        "pods.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].operator=Exists",
    ),
    "no disruption budget": ("podDisruptionBudget.enabled=false",),
    "autoscaling": ("autoscaling.enabled=true", "podDisruptionBudget.maxUnavailable=50%"),
    "no network policy": ("networkPolicy.enabled=false",),
    "network policy": ("networkPolicy.metricsFrom=null", "networkPolicy.apiServerPorts={443}"),
    "monitoring": (
        "monitoring.serviceMonitor.enabled=true", "monitoring.serviceMonitor.labels.release=prometheus",
        "monitoring.prometheusRule.enabled=true", "monitoring.prometheusRule.labels.release=prometheus",
        "monitoring.dashboard.enabled=true",
    ),
}  # fmt: skip


def chart(helm: Path, *values: str, namespace: str = NAMESPACE) -> list[Object]:
    """The objects of the chart with these values (``name=value``, as ``helm --set`` takes them)."""
    return [
        document
        for document in yaml.safe_load_all(render(helm, *setting(*values), namespace=namespace))
        if document is not None
    ]


def setting(*values: str) -> list[str]:
    """Arguments of helm for these values."""
    return [argument for value in values for argument in ("--set", value)]


def refusal(helm: Path, *values: str) -> str:
    """Why Helm does not render the chart with these values."""
    try:
        render(helm, *setting(*values))
    except subprocess.CalledProcessError as error:
        return str(error.stderr)
    raise AssertionError(f"rendered with {values}")


def one(objects: list[Object], kind: str, name: str = "gpuward") -> Object:
    """The object of that kind and name."""
    (found,) = [obj for obj in objects if obj["kind"] == kind and obj["metadata"]["name"] == name]
    return found


def served(objects: list[Object]) -> argparse.Namespace:
    """How the server is started, as it understands it itself."""
    command, *arguments = container(objects)["args"]
    return parser_of(command).parse_args(arguments)


def container(objects: list[Object]) -> Object:
    """gpuward's container in its Deployment."""
    (deployment,) = [obj for obj in objects if obj["kind"] == "Deployment"]
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found
