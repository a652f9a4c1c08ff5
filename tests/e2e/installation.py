"""gpuward installed from the chart on the real control plane, with processes of ours in the place of its pods.

There is no kubelet: the Deployment's pods are made and stay pending. A `Replica` is started with the arguments of the
Deployment, the files of its volumes and the token of its ServiceAccount, and stands among the Service's endpoints.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from manifests.generate import CHART, NAMESPACE, RELEASE

from .cluster import ApiError, ControlPlane
from .serving import Serving

Object = dict[str, Any]


class HelmError(Exception):
    """helm ended with another status than 0."""


class Replica(Serving):
    """One gpuward as its pod would run it, listening on `address`. A context manager."""

    def __init__(self, address: str, arguments: Sequence[str], environment: dict[str, str]) -> None:
        super().__init__(arguments, environment)
        self.address = address

    @property
    def endpoint(self) -> tuple[str, int]:
        return self.address, self.port


class Installation:
    """A release of the chart in a namespace, and what it takes to run it."""

    def __init__(self, cluster: ControlPlane, helm: Path, folder: Path, namespace: str = NAMESPACE) -> None:
        if cluster.address is None:
            raise RuntimeError(
                "Services are called at an address of this machine that is not loopback; it has none"
            )
        self.cluster = cluster
        self.address = cluster.address
        self.namespace = namespace
        self.folder = folder
        self._helm = helm
        self._replicas = 0
        folder.mkdir(parents=True, exist_ok=True)

    # Helm

    def helm(self, *arguments: str) -> str:
        """Runs helm in the release's namespace, as the administrator. Raises HelmError."""
        home = str(self.folder / "helm")
        finished = subprocess.run(
            [self._helm, "--kubeconfig", self.cluster.kubeconfig, "--namespace", self.namespace, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            # A clean environment, as for the control plane: settings and plugins of the developer's do not count.
            env={"PATH": os.environ["PATH"], "HOME": home, "HELM_CACHE_HOME": home, "HELM_DATA_HOME": home},
        )
        if finished.returncode != 0:
            raise HelmError(f"helm {' '.join(arguments)}:\n{finished.stdout}{finished.stderr}")
        return finished.stdout

    def install(self, *arguments: str) -> str:
        """`helm install`; returns what it printed once the API server acts on the webhooks."""
        printed = self.helm("install", RELEASE, str(CHART), "--create-namespace", *arguments)
        self.cluster.settle_webhooks()
        return printed

    def upgrade(self, *arguments: str) -> str:
        """`helm upgrade`, likewise."""
        printed = self.helm("upgrade", RELEASE, str(CHART), *arguments)
        self.cluster.settle_webhooks()
        return printed

    def uninstall(self) -> str:
        """`helm uninstall`, likewise."""
        printed = self.helm("uninstall", RELEASE, "--wait=false")
        self.cluster.settle_webhooks()
        return printed

    # What runs

    def object(self, path: str) -> Object:
        """An object of the release's namespace, such as `api/v1/{}/configmaps/NAME`."""
        return self.cluster.api("GET", "/" + path.format(f"namespaces/{self.namespace}"))

    def deployment(self) -> Object:
        return self.object(f"apis/apps/v1/{{}}/deployments/{RELEASE}")

    def replica(self) -> Replica:
        """A process that stands in for one pod. It is called once it is published."""
        self._replicas += 1
        folder = self.folder / f"replica-{self._replicas}"
        pod = self.deployment()["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        mounts = self._mount(pod, container, folder)
        arguments = [
            _moved(argument, mounts) for argument in container["args"][1:] if "webhook-conf" not in argument
        ]
        # Of two flags the later one counts. Replicas on one machine differ by their ports.
        arguments += [
            "--host", self.address, "--port", "0", "--admin-port", "auto",
            "--kubeconfig", str(self._kubeconfig(pod["serviceAccountName"])),
        ]  # fmt: skip
        environment = {"POD_NAMESPACE": self.namespace, "TMPDIR": str(mounts["/tmp"])}
        return Replica(self.address, arguments, environment)

    def publish(self, replicas: Iterable[Replica]) -> None:
        """Makes these, and no others, the endpoints of the Service."""
        endpoints = [replica.endpoint for replica in replicas]
        self.cluster.publish_endpoints(self.namespace, RELEASE, endpoints, port_name="webhook")

    def configurations(self) -> list[Object]:
        """The release's webhook configurations; those that exist."""
        found = []
        for kind in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"):
            try:
                found.append(
                    self.cluster.api("GET", f"/apis/admissionregistration.k8s.io/v1/{kind}/{RELEASE}")
                )
            except ApiError as error:
                if error.status != 404:
                    raise
        return found

    def _mount(self, pod: Object, container: Object, folder: Path) -> dict[str, Path]:
        """Folders with the content of the pod's volumes, by where they are mounted."""
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {}
        for mount in container["volumeMounts"]:
            volume = volumes[mount["name"]]
            target = mounts[mount["mountPath"]] = folder / volume["name"]
            target.mkdir(parents=True)
            if "configMap" in volume:
                data = self.object(f"api/v1/{{}}/configmaps/{volume['configMap']['name']}")["data"]
                content = {name: text.encode() for name, text in data.items()}
            elif "secret" in volume:
                data = self.object(f"api/v1/{{}}/secrets/{volume['secret']['secretName']}")["data"]
                content = {name: base64.b64decode(text) for name, text in data.items()}
            else:
                content = {}
            for name, blob in content.items():
                (target / name).write_bytes(blob)
        return mounts

    def _kubeconfig(self, account: str) -> Path:
        """For whom the pods are: the chart's roles must be enough for all that a replica does."""
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 7200},
        }
        made = self.cluster.api(
            "POST", f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token", request
        )
        file = self.folder / f"{account}.kubeconfig"
        file.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [
                        {
                            "name": "e2e",
                            "cluster": {
                                "server": self.cluster.url,
                                "certificate-authority": str(self.cluster.ca),
                            },
                        }
                    ],
                    "users": [{"name": account, "user": {"token": made["status"]["token"]}}],
                    "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": account}}],
                    "current-context": "e2e",
                }
            )
        )
        file.chmod(0o600)
        return file


def _moved(argument: str, mounts: dict[str, Path]) -> str:
    """An argument, with the folder that stands for the mount that it is in."""
    flag, equals, path = argument.partition("=")
    for mount, folder in mounts.items():
        if path == mount or path.startswith(f"{mount}/"):
            return f"{flag}{equals}{folder}{path.removeprefix(mount)}"
    return argument
