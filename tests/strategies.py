"""Pods for Hypothesis: plausible ones of every kind, and what comes of a slip of the pen."""

from __future__ import annotations

import copy
import json
from typing import Any, Final

from hypothesis import strategies as st

Pod = dict[str, Any]
Strategy = st.SearchStrategy[Any]

ACCELERATORS: Final = (
    "nvidia.com/gpu",
    "nvidia.com/gpu.shared",
    "nvidia.com/mig-1g.5gb",
    "nvidia.com/mig-2g.10gb.me",
    "amd.com/gpu",
    "gpu.intel.com/i915",
    "habana.ai/gaudi",
    "aws.amazon.com/neuroncore",
    "google.com/tpu",
)

# Values of the wrong type for most fields.
JUNK: Final = (
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "junk",
    [],
    [None],
    ["junk", {}],
    {},
    {"junk": []},
    {"junk": {"a": None}},
)


def json_values(scalars: Strategy, keys: Strategy, *, most: int | None, leaves: int = 100) -> Strategy:
    """JSON of these scalars and keys; a list or a map has at most ``most`` members, all of it about ``leaves``."""
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=most) | st.dictionaries(keys, inner, max_size=most),
        max_leaves=leaves,
    )


def maybe(**fields: Strategy) -> Strategy:
    """A map in which each field may be absent."""
    return st.fixed_dictionaries({}, optional=fields)


def resource_maps() -> Strategy:
    quantities: dict[str, Strategy] = {
        "cpu": st.sampled_from(["100m", "500m", "1", "4", 2, 0.5, "32"]),
        "memory": st.sampled_from(["64Mi", "1Gi", "1.5Gi", "256Gi", "1e9", 1073741824]),
        "ephemeral-storage": st.sampled_from(["1Gi", "100G"]),
        "hugepages-2Mi": st.just("4Mi"),
        "rdma/hca": st.sampled_from(["1", 1]),
        "example.com/fpga": st.just("2"),
    }
    counts = st.sampled_from(["1", "2", "8", 1, 4, "0"])
    plain = st.fixed_dictionaries({}, optional=quantities)
    with_accelerator = st.tuples(plain, st.sampled_from(ACCELERATORS), counts).map(
        lambda t: {**t[0], t[1]: t[2]}
    )
    return plain | with_accelerator


def resources(claims: Strategy) -> Strategy:
    return maybe(limits=resource_maps(), requests=resource_maps(), claims=claims)


def security_contexts() -> Strategy:
    capability = st.sampled_from(["IPC_LOCK", "SYS_ADMIN", "CAP_SYS_ADMIN", "NET_BIND_SERVICE", "ALL"])
    return maybe(
        allowPrivilegeEscalation=st.booleans(),
        privileged=st.booleans(),
        readOnlyRootFilesystem=st.booleans(),
        runAsNonRoot=st.booleans(),
        runAsUser=st.sampled_from([0, 1000]),
        capabilities=maybe(add=st.lists(capability, max_size=2), drop=st.lists(capability, max_size=2)),
        seccompProfile=st.sampled_from([{"type": "RuntimeDefault"}, {"type": "Unconfined"}]),
        windowsOptions=st.just({"runAsUserName": "ContainerUser"}),
    )


def variables() -> Strategy:
    name = st.sampled_from(["NCCL_DEBUG", "NVIDIA_VISIBLE_DEVICES", "GPU_MEMORY_FRACTION", "POD_IP", "A"])
    value: Strategy = st.fixed_dictionaries({"name": name, "value": st.sampled_from(["", "all", "0.8"])})
    field = st.fixed_dictionaries(
        {"name": name, "valueFrom": st.just({"fieldRef": {"fieldPath": "status.podIP", "apiVersion": "v1"}})}
    )
    return st.lists(value | field, max_size=3)


def containers(most: int, *, least: int = 0, prefix: str = "c", sidecars: bool = False) -> Strategy:
    fields: dict[str, Strategy] = {
        "resources": resources(st.lists(st.sampled_from([{"name": "gpu"}, {"name": "net"}]), max_size=2)),
        "securityContext": security_contexts(),
        "env": variables(),
        "envFrom": st.sampled_from([[], [{"configMapRef": {"name": "settings"}}]]),
        "volumeMounts": st.lists(
            st.sampled_from(
                [{"name": "data", "mountPath": "/data"}, {"name": "shm", "mountPath": "/dev/shm"}]
            ),
            max_size=2,
        ),
        "ports": st.just([{"containerPort": 8080, "protocol": "TCP"}]),
    }
    if sidecars:
        fields["restartPolicy"] = st.just("Always")
    image = st.sampled_from(["busybox", "ghcr.io/org/app:1.2", "nvcr.io/nvidia/pytorch:26.01-py3"])
    one = st.fixed_dictionaries({"image": image}, optional=fields)
    return st.lists(one, min_size=least, max_size=most).map(
        lambda made: [{"name": f"{prefix}{i}", **container} for i, container in enumerate(made)]
    )


def tolerations() -> Strategy:
    keys = st.sampled_from(["nvidia.com/gpu", "google.com/tpu", "amd.com/gpu", "sku", "spot", ""])
    return st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "key": keys,
                "operator": st.sampled_from(["Exists", "Equal", "Lt", ""]),
                "value": st.sampled_from(["", "present", "true", "gpu"]),
                "effect": st.sampled_from(["", "NoSchedule", "NoExecute", "PreferNoSchedule"]),
                "tolerationSeconds": st.just(300),
            },
        ),
        max_size=3,
    )


def node_affinities() -> Strategy:
    expressions = st.lists(
        st.sampled_from(
            [
                {"key": "nvidia.com/gpu.present", "operator": "In", "values": ["true"]},
                {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-H100-80GB-HBM3"]},
                {"key": "cloud.google.com/gke-accelerator", "operator": "Exists"},
                {"key": "kubernetes.io/os", "operator": "In", "values": ["windows"]},
                {"key": "zone", "operator": "NotIn", "values": ["a", "b"]},
            ]
        ),
        max_size=2,
    )
    fields = st.just([{"key": "metadata.name", "operator": "In", "values": ["node-1"]}])
    term = maybe(matchExpressions=expressions, matchFields=fields)
    weighted = st.fixed_dictionaries({"weight": st.integers(1, 100), "preference": term})
    return maybe(
        requiredDuringSchedulingIgnoredDuringExecution=maybe(nodeSelectorTerms=st.lists(term, max_size=3)),
        preferredDuringSchedulingIgnoredDuringExecution=st.lists(weighted, max_size=2),
    )


def resource_claims() -> Strategy:
    claims = (
        {"name": "gpu", "resourceClaimTemplateName": "one-gpu"},
        {"name": "net", "resourceClaimName": "fast-network"},
        {"name": "gpu", "resourceClaimTemplateName": "unknown"},
    )
    return st.lists(st.sampled_from(claims), max_size=2, unique_by=lambda claim: claim["name"])


def pod_specs() -> Strategy:
    selector = st.sampled_from(["nvidia.com/gpu.present", "accelerator", "kubernetes.io/os", "zone"])
    return st.fixed_dictionaries(
        {"containers": containers(3, least=1)},
        optional={
            "initContainers": containers(2, prefix="init-") | containers(2, prefix="side-", sidecars=True),
            "ephemeralContainers": containers(1, prefix="debug-"),
            "tolerations": tolerations(),
            "affinity": maybe(nodeAffinity=node_affinities(), podAntiAffinity=st.just({})),
            "nodeSelector": st.dictionaries(
                selector, st.sampled_from(["true", "windows", "linux", "v100"]), max_size=2
            ),
            "nodeName": st.just("node-1"),
            "resourceClaims": resource_claims(),
            "resources": resources(st.just([])),
            "securityContext": security_contexts(),
            "os": st.sampled_from([{"name": "linux"}, {"name": "windows"}]),
            "hostNetwork": st.booleans(),
            "hostPID": st.booleans(),
            "volumes": st.lists(
                st.sampled_from(
                    [{"name": "data", "emptyDir": {}}, {"name": "host", "hostPath": {"path": "/"}}]
                ),
                max_size=2,
            ),
            "priorityClassName": st.sampled_from(["", "low", "training"]),
            "priority": st.sampled_from([0, 1000]),
            "preemptionPolicy": st.just("PreemptLowerPriority"),
        },
    )


def plausible_pods() -> Strategy:
    """Pods with the right types everywhere; what they ask for need not make sense."""
    labels = st.dictionaries(
        st.sampled_from(["app", "team", "cost-center", "example.com/tier"]),
        st.sampled_from(["", "a", "vision"]),
        max_size=3,
    )
    annotations = st.dictionaries(
        st.sampled_from(["note", "karpenter.sh/do-not-disrupt", "seccomp.security.alpha.kubernetes.io/pod"]),
        st.sampled_from(["", "true", "unconfined"]),
        max_size=2,
    )
    metadata = st.fixed_dictionaries(
        {"name": st.just("x")}, optional={"labels": labels, "annotations": annotations}
    )
    whole = st.fixed_dictionaries(
        {"apiVersion": st.just("v1"), "kind": st.just("Pod"), "metadata": metadata, "spec": pod_specs()}
    )
    # As read from the wire: no map or list stands in two places.
    return whole.map(lambda pod: json.loads(json.dumps(pod)))


def places(node: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every path below a JSON value, nearest first."""
    if isinstance(node, dict):
        children: list[tuple[str | int, Any]] = list(node.items())
    elif isinstance(node, list):
        children = list(enumerate(node))
    else:
        return []
    found = [(*path, key) for key, _ in children]
    for key, child in children:
        found += places(child, (*path, key))
    return found


@st.composite
def pods(draw: st.DrawFn) -> Pod:
    """Pods, about one in four with up to three values of any type in the place of others."""
    pod: Pod = draw(plausible_pods())
    if draw(st.integers(0, 3)) == 3:
        for _ in range(draw(st.integers(1, 3))):
            candidates = [path for path in places(pod) if path[0] in ("metadata", "spec")]
            if candidates:
                path = draw(st.sampled_from(candidates))
                parent: Any = pod
                for segment in path[:-1]:
                    parent = parent[segment]
                parent[path[-1]] = copy.deepcopy(draw(st.sampled_from(JUNK)))
    return pod
