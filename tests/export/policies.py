"""Policies to export, one for each way to write a rule or to say whom it is about, with the pods they are tried on."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

Document = dict[str, Any]


def policy(name: str, validate: list[Document], **spec: Any) -> Document:
    return {
        "apiVersion": "gpuward.dev/v1alpha1",
        "kind": "Policy",
        "metadata": {"name": name},
        "spec": {**spec, "validate": validate},
    }


def _rule(name: str, parameters: Document | None = None) -> list[Document]:
    return [{"rule": name, **({"parameters": parameters} if parameters else {})}]


def _expression(text: str, **more: Any) -> list[Document]:
    return [{"expression": text, "message": "no", **more}]


_NO_HOST = _rule("no-host-namespaces")
_REGISTRIES = ["docker.io/library", "ghcr.io/acme", "*.gcr.io/ml", "localhost:5000", "reg?.example.com:*/x*"]
_LABELS = [
    {"key": "team", "pattern": "[a-z]+(-[a-z0-9]+)*"},
    {"key": "tier", "allowedValues": ["train", "serve"]},
]

CHECKS: Mapping[str, list[Document]] = {
    "accelerator-request-equals-limit": _rule("accelerator-request-equals-limit"),
    "allowed-priority-classes": _rule("allowed-priority-classes", {"names": ["ml-*", "batch"]}),
    "allowed-priority-classes-required": _rule(
        "allowed-priority-classes", {"names": ["ml-*", "system-node-critical"], "required": True}
    ),
    "allowed-priority-classes-none": _rule("allowed-priority-classes", {"names": []}),
    "allowed-registries": _rule("allowed-registries", {"registries": _REGISTRIES}),
    "allowed-registries-hub": _rule("allowed-registries", {"registries": ["index.docker.io"]}),
    "drop-capabilities": _rule("drop-capabilities", {"allowedAdd": ["NET_BIND_SERVICE"]}),
    "max-accelerators": _rule("max-accelerators", {"perContainer": 2, "perPod": 4}),
    "max-accelerators-mig": _rule("max-accelerators", {"perPod": 1, "resources": ["nvidia.com/mig-*"]}),
    "max-accelerators-workload": _rule("max-accelerators", {"perWorkload": 3}),
    "no-accelerator-squatting": _rule("no-accelerator-squatting"),
    "no-accelerator-squatting-taints": _rule(
        "no-accelerator-squatting",
        {"allowDaemonSets": True, "taints": ["sku=gpu:NoExecute", "reserved", "pool=ml"]},
    ),
    "no-host-namespaces": _NO_HOST,
    "no-host-path": _rule("no-host-path"),
    "no-host-path-allowed": _rule(
        "no-host-path",
        {
            "allowed": [
                {"pathPrefix": "/mnt/data", "readOnly": True},
                {"pathPrefix": "/mnt/data/scratch/"},
                {"pathPrefix": "/models", "readOnly": True},
            ]
        },
    ),
    "no-latest-tag": _rule("no-latest-tag"),
    "no-privileged": _rule("no-privileged"),
    "no-secrets-in-environment": _rule("no-secrets-in-environment"),
    "no-secrets-in-environment-allowed": _rule(
        "no-secrets-in-environment",
        {"allowedSecrets": ["public-*"], "secretVariables": ["MY_*", "key?"]},
    ),
    "require-limits": _rule("require-limits"),
    "require-limits-requests": _rule(
        "require-limits", {"resources": ["memory"], "requests": ["cpu", "memory"]}
    ),
    "required-labels": _rule("required-labels", {"labels": _LABELS}),
    "required-labels-any": _rule("required-labels", {"labels": [{"key": "app.kubernetes.io/name"}]}),
}
"""Name to ``validate``: every check that is exported, with its settings."""

MATCHES: Mapping[str, Document] = {
    "names": {"match": {"names": ["train-*", "exact"]}},
    "users": {"match": {"users": ["nobody"]}},
    "users-glob": {"match": {"users": ["system:*", "e2e-harn[de]ss", "tester"]}},
    "groups": {"match": {"groups": ["system:mast*"]}},
    "object-selector": {
        "match": {
            "objectSelector": {
                "matchLabels": {"team": "vision"},
                "matchExpressions": [
                    {"key": "tier", "operator": "NotIn", "values": ["serve"]},
                    {"key": "legacy", "operator": "DoesNotExist"},
                ],
            }
        }
    },
    "accelerators-required": {"match": {"accelerators": "Required"}},
    "accelerators-none": {"match": {"accelerators": "None"}},
    "condition": {
        "match": {
            "conditions": [
                {"name": "c", "expression": "object.metadata.?labels[?'team'].orValue('') == 'vision'"}
            ]
        }
    },
    "condition-on-namespace": {
        "match": {
            "conditions": [
                {
                    "name": "n",
                    "expression": "namespaceObject.metadata.labels['gpuward.dev/mode'] == 'enforce'",
                },
                {"name": "v", "expression": "variables.named // what a pod is called"},
            ]
        },
        "variables": [
            {"name": "named", "expression": "object.metadata.?name.orValue('').startsWith('train')"}
        ],
    },
    "exclude": {
        "exclude": [
            {"kinds": ["Pod"], "names": ["train-*"], "objectSelector": {"matchLabels": {"team": "vision"}}},
            {"namespaceSelector": {"matchLabels": {"nobody": "has-this"}}},
            {"conditions": [{"name": "x", "expression": "object.metadata.?name.orValue('') == 'exact'"}]},
            {"accelerators": "Required", "operations": ["CREATE"]},
        ]
    },
    "exceptions": {
        "exceptions": [
            {"name": "a", "reason": "r", "match": {"names": ["train-*"]}, "rules": ["no-host-namespaces"]},
            {"name": "b", "reason": "r", "match": {"labels": {"team": "vision"}}, "rules": ["no-privileged"]},
            {"name": "c", "reason": "r", "match": {"labels": {"legacy": "yes"}}, "expires": "2999-12-31"},
        ]
    },
    "no-updates": {"match": {"operations": ["CREATE"]}},
    "own-variable-names": {
        "variables": [{"name": "labels", "expression": "'theirs'"}, {"name": "spec", "expression": "1"}],
        "match": {"objectSelector": {"matchLabels": {"team": "vision"}}},
    },
}
"""Name to the parts of ``spec`` that say whom a policy is about; each with the check no-host-namespaces."""

EXPRESSIONS: Mapping[str, list[Document]] = {
    "plain": _expression("object.spec.containers.all(c, !c.image.endsWith(':latest'))"),
    "dynamic": _expression(
        "object.spec.?hostNetwork.orValue(false) == false && dyn(object.spec.?hostPID.orValue(false)) != true"
    ),
    "value": _expression("object.spec.?automountServiceAccountToken.orValue(true)", field="spec"),
    "with-message": _expression(
        "!has(object.spec.priorityClassName)",
        messageExpression="'the class ' + object.spec.priorityClassName",
    ),
    "commented": _expression("object.metadata.?labels.orValue({}).size() < 3 // few"),
    "of-old": _expression("oldObject != null || object.metadata.?name.orValue('') != 'exact'", subject="Pod"),
}


def pod(
    name: str, container: Document | None = None, *, metadata: Document | None = None, **spec: Any
) -> Document:
    main = {"name": "main", "image": "ghcr.io/acme/trainer:2026.11", **(container or {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **(metadata or {})},
        "spec": {"containers": [main], **spec},
    }


def _limits(limits: Document, requests: Document | None = None) -> Document:
    return {"resources": {"limits": limits, **({"requests": requests} if requests else {})}}


def _gpus(count: int, name: str = "nvidia.com/gpu") -> Document:
    return _limits({name: str(count)})


def _second(**container: Any) -> Document:
    return {"name": "side", "image": "nginx:1.2", **container}


_IMAGES = (
    "nginx",
    "nginx:latest",
    "nginx:1.29",
    "library/nginx:1",
    "someone/app:2",
    "docker.io/nginx:1.29",
    "index.docker.io/library/nginx:latest",
    "ghcr.io/acme/app:1",
    "ghcr.io/acme-other/app:1",
    "GHCR.io/acme/app:1",
    "eu.gcr.io/ml/app@sha256:" + "a" * 64,
    "eu.gcr.io/ml/app:latest@sha256:" + "a" * 64,
    "a.b.gcr.io/ml/app:1",
    "evil.example/x.gcr.io/ml/app:1",
    "localhost:5000/app",
    "localhost/app:latest",
    "reg1.example.com:8443/xy/app:v1",
    "reg.example.com:8443/xy/app:v1",
    "a_b.c/app",
    "Upper/app",
    "ghcr.io/Acme/app:1",
    "ghcr.io/acme/app:",
    "f" * 64,
    "{{image}}",
    "registry.example.com/$IMAGE",
)
_SECURE = {"capabilities": {"drop": ["ALL"]}}
_SMALL = {"cpu": "1", "memory": "1Gi"}


def _volume(path: str) -> list[Document]:
    return [{"name": "data", "hostPath": {"path": path}}]


def _mount(**mount: Any) -> Document:
    return {"volumeMounts": [{"name": "data", "mountPath": "/data", **mount}]}


def _tolerating(**toleration: Any) -> list[Document]:
    return [toleration]


PODS: Mapping[str, Document] = {
    "plain": pod("plain"),
    "labelled": pod("labelled", metadata={"labels": {"team": "vision", "tier": "train"}}),
    "labelled-badly": pod("labelled-badly", metadata={"labels": {"team": "Vision", "tier": "other"}}),
    "legacy": pod(
        "train-legacy",
        hostIPC=True,
        metadata={"labels": {"team": "vision", "tier": "serve", "legacy": "yes"}},
    ),
    "named-legacy": pod("other", hostIPC=True, metadata={"labels": {"legacy": "yes"}}),
    "app-named": pod("app-named", metadata={"labels": {"app.kubernetes.io/name": "x"}}),
    "app-not-named": pod("app-not-named", metadata={"labels": {"app.kubernetes.io/name": ""}}),
    "host-network": pod("host-network", hostNetwork=True),
    "host-pid": pod("train-host-pid", hostPID=True),
    "host-pid-of-a-team": pod("exact", hostPID=True, metadata={"labels": {"team": "vision"}}),
    "host-pid-of-a-team-with-gpu": pod(
        "gpu", _gpus(1), hostPID=True, metadata={"labels": {"team": "vision", "tier": "train"}}
    ),
    "host-false": pod("host-false", hostNetwork=False, hostPID=False),
    "generated-name": {**pod("x", hostIPC=True), "metadata": {"generateName": "train-"}},
    "no-token": pod("no-token", automountServiceAccountToken=False),
    "privileged": pod("privileged", {"securityContext": {"privileged": True}}),
    "privileged-init": pod("privileged-init", initContainers=[_second(securityContext={"privileged": True})]),
    "unprivileged": pod("unprivileged", {"securityContext": {"privileged": False}}),
    "host-process": pod(
        "host-process",
        securityContext={"windowsOptions": {"hostProcess": True}},
        hostNetwork=True,
        os={"name": "windows"},
    ),
    "dropped": pod("dropped", {"securityContext": _SECURE}),
    "dropped-not-in-init": pod("d", {"securityContext": _SECURE}, initContainers=[_second()]),
    "added": pod(
        "added", {"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}}
    ),
    "added-more": pod(
        "added-more", {"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}}
    ),
    "locks": pod("locks", {"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["IPC_LOCK"]}}}),
    "locks-with-rdma": pod(
        "locks-with-rdma",
        {
            "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["IPC_LOCK"]}},
            **_limits({"rdma/hca": "1"}),
        },
    ),
    "windows": pod("windows", os={"name": "windows"}),
    "limited": pod("limited", _limits(_SMALL)),
    "limited-to-zero": pod("limited-to-zero", _limits({"cpu": "0", "memory": "1Gi"})),
    "memory-only": pod("memory-only", _limits({"memory": "500M"}, {"cpu": "100m"})),
    "requested-only": pod("requested-only", {"resources": {"requests": _SMALL}}),
    "init-not-limited": pod("init-not-limited", _limits(_SMALL), initContainers=[_second()]),
    "all-limited": pod("all-limited", _limits(_SMALL), initContainers=[_second(**_limits(_SMALL))]),
    "pod-limited": pod("pod-limited", resources={"limits": _SMALL}),
    "pod-limited-in-part": pod("pod-part", _limits({"cpu": "1"}), resources={"limits": {"memory": "2Gi"}}),
    "one-gpu": pod("one-gpu", _gpus(1)),
    "two-gpus": pod("two-gpus", _gpus(2)),
    "three-gpus": pod("three-gpus", _gpus(3)),
    "five-gpus-in-three": pod(
        "five",
        _gpus(2),
        initContainers=[
            _second(restartPolicy="Always", **_gpus(2)),
            {**_second(**_gpus(1)), "name": "third"},
        ],
    ),
    "init-after-sidecar": pod(
        "ias",
        _gpus(1),
        initContainers=[
            _second(restartPolicy="Always", **_gpus(2)),
            {**_second(**_gpus(2)), "name": "third"},
        ],
    ),
    "init-before-sidecar": pod(
        "ibs",
        _gpus(1),
        initContainers=[
            {**_second(**_gpus(2)), "name": "third"},
            _second(restartPolicy="Always", **_gpus(2)),
        ],
    ),
    "init-five": pod(
        "init-five",
        _gpus(1),
        initContainers=[
            _second(restartPolicy="Always", **_gpus(2)),
            {**_second(**_gpus(2)), "name": "third"},
            {**_second(restartPolicy="Always", **_gpus(1)), "name": "fourth"},
            {**_second(**_gpus(2)), "name": "fifth"},
        ],
    ),
    "mixed-devices": pod(
        "mixed", _limits({"nvidia.com/gpu": "2", "nvidia.com/mig-1g.5gb": "2", "amd.com/gpu": "1"})
    ),
    "mig": pod("mig", _gpus(1, "nvidia.com/mig-1g.5gb")),
    "no-gpu": pod("no-gpu", _gpus(0)),
    "claims": pod(
        "claims",
        resourceClaims=[{"name": "gpu", "resourceClaimName": "x"}],
        tolerations=_tolerating(operator="Exists"),
        hostPID=True,
    ),
    "tolerates": pod("tolerates", tolerations=_tolerating(key="nvidia.com/gpu", operator="Exists")),
    "tolerates-with-gpu": pod(
        "twg", _gpus(1), tolerations=_tolerating(key="nvidia.com/gpu", operator="Exists")
    ),
    "tolerates-all": pod("tolerates-all", tolerations=_tolerating(operator="Exists")),
    "tolerates-all-execution": pod("tae", tolerations=_tolerating(operator="Exists", effect="NoExecute")),
    "tolerates-other": pod("tolerates-other", tolerations=_tolerating(key="other", operator="Exists")),
    "tolerates-preference": pod(
        "tp", tolerations=_tolerating(key="nvidia.com/gpu", operator="Exists", effect="PreferNoSchedule")
    ),
    "tolerates-sku": pod("ts", tolerations=_tolerating(key="sku", value="gpu", effect="NoExecute")),
    "tolerates-other-sku": pod("tos", tolerations=_tolerating(key="sku", value="cpu", effect="NoExecute")),
    "tolerates-any-sku": pod("tas", tolerations=_tolerating(key="sku", operator="Exists")),
    "tolerates-reserved": pod("tr", tolerations=_tolerating(key="reserved", value="yes")),
    "daemon": pod(
        "daemon",
        metadata={
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": True}
            ]
        },
        tolerations=_tolerating(key="nvidia.com/gpu", operator="Exists"),
    ),
    "empty-dir": pod("empty-dir", volumes=[{"name": "data", "emptyDir": {}}]),
    **{
        f"host-path-{index}": pod(f"host-path-{index}", _mount(readOnly=read_only), volumes=_volume(path))
        for index, (path, read_only) in enumerate(
            [
                ("/mnt/data", True),
                ("/mnt/data/", False),
                ("/mnt/data-old", True),
                ("/mnt//data/./x", True),
                ("/mnt/data/scratch/y", False),
                ("/mnt/data/scratchy", False),
                ("/models/a", True),
                ("/models\\..", True),
                ("/", True),
                ("relative", True),
            ]
        )
    },
    "host-path-without-mount": pod("hpw", volumes=_volume("/models")),
    "host-path-in-init": pod("hpi", volumes=_volume("/models"), initContainers=[_second(**_mount())]),
    **{f"image-{index}": pod(f"image-{index}", {"image": image}) for index, image in enumerate(_IMAGES)},
    **{
        f"variable-{index}": pod(f"variable-{index}", {"env": [variable]})
        for index, variable in enumerate(
            [
                {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "t"}}},
                {"name": "OTHER", "valueFrom": {"secretKeyRef": {"name": "public-hf", "key": "t"}}},
                {"name": "HF_TOKEN", "valueFrom": {"configMapKeyRef": {"name": "hf", "key": "t"}}},
                {"name": "hf_token", "value": "abc"},
                {"name": "HF_TOKEN", "value": "TRUE"},
                {"name": "HF_TOKEN", "value": "123456"},
                {"name": "HF_TOKEN", "value": "$(OTHER)$(MORE)"},
                {"name": "HF_TOKEN", "value": "x$(OTHER)"},
                {"name": "HF_TOKEN"},
                {"name": "TOKEN_PATH", "value": "/x"},
                {"name": "my_thing", "value": "a\nb"},
                {"name": "key1", "value": "abc"},
            ]
        )
    },
    "variables-from": pod("vf", {"envFrom": [{"secretRef": {"name": "all"}}]}),
    "variables-from-public": pod("vfp", {"envFrom": [{"secretRef": {"name": "public-all"}}]}),
    "variables-in-init": pod("vii", initContainers=[_second(env=[{"name": "A_SECRET", "value": "abc"}])]),
    "image-in-init": pod("iii", initContainers=[_second(image="evil.example/app")]),
    "image-volume": pod("iv", volumes=[{"name": "v", "image": {"reference": "evil.example/model"}}]),
    "good-image-volume": pod("giv", volumes=[{"name": "v", "image": {"reference": "ghcr.io/acme/model:3"}}]),
    **{
        f"class-{index}": pod(f"class-{index}", priorityClassName=name)
        for index, name in enumerate(
            ("ml-high", "batch", "other", "system-node-critical", "system-cluster-critical")
        )
    },
    "side": pod("side", initContainers=[_second()]),
    "four-labels": pod("four-labels", metadata={"labels": {"a": "1", "b": "2", "c": "3", "d": "4"}}),
}
"""Pods that the API server takes, one way or another about every check."""

PRIORITY_CLASSES = ("ml-high", "batch", "other")
"""The classes that must be there for the API server to take the pods."""


def all_policies() -> dict[str, Document]:
    """Every policy by its name; one about a check of its own, or about matching, or an expression."""
    found = {name: policy(name, validate) for name, validate in CHECKS.items()}
    for name, spec in MATCHES.items():
        validate = [*_NO_HOST, *_rule("no-privileged")]
        found[f"match-{name}"] = policy(f"match-{name}", validate, **copy.deepcopy(spec))
    for name, validate in EXPRESSIONS.items():
        found[f"expression-{name}"] = policy(f"expression-{name}", validate)
    return found


def pods_for(name: str) -> Mapping[str, Document]:
    """The pods to try a policy of ``all_policies`` on; not those that differ in what its checks do not look at."""
    if not name.startswith("match-"):
        return PODS
    special = ("image-", "class-", "host-path-", "tolerates-", "variable")
    return {called: each for called, each in PODS.items() if not called.startswith(special)}
