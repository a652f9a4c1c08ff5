"""The namespaces that a cluster itself lives in, by the names that their projects give them.

The server leaves the first kind alone unless told otherwise, the chart excludes both kinds from what the API server
asks about, and the doctor looks for webhooks that could hold them up.
"""

from __future__ import annotations

from typing import Final

CLUSTER_NAMESPACES: Final = ("kube-system", "kube-public", "kube-node-lease")
"""Kubernetes' own: admission there can stop the cluster from mending itself."""

NODE_NAMESPACES: Final = (
    "antrea-system",
    "calico-apiserver",
    "calico-system",
    "cert-manager",
    "cilium",
    "cilium-secrets",
    "gke-managed-system",
    "gmp-system",
    "gpu-operator",
    "istio-system",
    "karpenter",
    "kube-flannel",
    "kube-ovn",
    "kube-router",
    "longhorn-system",
    "metallb-system",
    "multus",
    "nvidia-device-plugin",
    "nvidia-network-operator",
    "openebs",
    "openshift-multus",
    "openshift-ovn-kubernetes",
    "openshift-sdn",
    "rook-ceph",
    "tigera-operator",
    "weave",
)
"""Where nodes and the cluster's network, storage, devices and certificates come from. A webhook that may refuse pods
there can keep a cluster, and itself, from coming up again. Source: the installation manifests of each project."""
