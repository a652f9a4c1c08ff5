"""Creates a second through a real API server, under five kinds of admission in turn.

The pod of ``train-good`` is created with ``dryRun=All``: everything happens but the write to etcd. Each kind has a
namespace of its own and is told by a label there, so that all are installed all the time and a round needs no changes.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson
import yaml

from tests.bench.bodies import NOTEBOOK, TRAIN, Bodies
from tests.bench.load import run_creates
from tests.bench.servers import (
    Certificates,
    Server,
    ServerError,
    gpuward_server,
    make_certificates,
    reference_server,
)
from tests.bench.settings import Settings, summary
from tests.bench.tables import spread, table
from tests.e2e.cluster import ApiError, ControlPlane, ControlPlaneError
from tests.e2e.controlplane import assets, webhooks
from tests.e2e.controlplane.build import BuildError
from tests.support import POLICIES, REPOSITORY

Object = dict[str, Any]

NONE, NO_OP, GPUWARD = "none", "two no-op webhooks", "gpuward's two webhooks"
BY_HAND, EXPORTED = "Kubernetes' own, by hand", "Kubernetes' own, exported"
KINDS: Final = (NONE, NO_OP, GPUWARD, BY_HAND, EXPORTED)
CLIENTS: Final = (1, 8)

_LABEL: Final = "bench.gpuward.dev/admission"
_VALUES: Final = {NONE: "none", NO_OP: "no-op", GPUWARD: "gpuward", BY_HAND: "by-hand", EXPORTED: "exported"}
_ADMISSION: Final = "admissionregistration.k8s.io/v1"

# What gpuward's mutations of the shipped policies do to a GPU pod and a MutatingAdmissionPolicy can say in an
# expression each: the toleration of the taint (a patch, as an apply configuration may not touch the list), CPU and
# memory where an accelerator container has none.
_TOLERATION: Final = """
    object.spec.containers.exists(c, has(c.resources) && has(c.resources.limits)
        && "nvidia.com/gpu" in c.resources.limits)
    && !(has(object.spec.tolerations) && object.spec.tolerations.exists(t, has(t.key) && t.key == "nvidia.com/gpu"))
    ? (has(object.spec.tolerations)
        ? [JSONPatch{op: "add", path: "/spec/tolerations/-", value: Object.spec.tolerations{
            key: "nvidia.com/gpu", operator: "Exists", effect: "NoSchedule"}}]
        : [JSONPatch{op: "add", path: "/spec/tolerations", value: [Object.spec.tolerations{
            key: "nvidia.com/gpu", operator: "Exists", effect: "NoSchedule"}]}])
    : []
"""
_RESOURCES: Final = """
    Object{spec: Object.spec{containers: object.spec.containers.filter(c,
        has(c.resources) && has(c.resources.limits) && "nvidia.com/gpu" in c.resources.limits
        && !("cpu" in c.resources.limits) && !("memory" in c.resources.limits)
    ).map(c, Object.spec.containers{name: c.name, resources: Object.spec.containers.resources{
        limits: {"cpu": "8", "memory": "32Gi"}, requests: {"cpu": "2", "memory": "8Gi"}}})}}
"""
_MUTATIONS: Final = (
    {"patchType": "JSONPatch", "jsonPatch": {"expression": _TOLERATION.strip()}},
    {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": _RESOURCES.strip()}},
)


# What the shipped policies demand of a pod in an ordinary namespace, as somebody would write it who needs it in CEL:
# without the messages that name the container, and without the corners.
_CONTAINERS: Final = "variables.containers"
_VALIDATIONS: Final = (
    (
        f"""{_CONTAINERS}.all(c, !has(c.resources) || !has(c.resources.limits)
            || !("nvidia.com/gpu" in c.resources.limits) || (has(c.resources.requests)
            && "nvidia.com/gpu" in c.resources.requests
            && c.resources.requests["nvidia.com/gpu"] == c.resources.limits["nvidia.com/gpu"]))""",
        "requests and limits of accelerators are the same",
    ),
    (
        f"""!has(object.spec.tolerations)
            || !object.spec.tolerations.exists(t, has(t.key) && t.key == "nvidia.com/gpu")
            || {_CONTAINERS}.exists(c, has(c.resources) && has(c.resources.limits)
            && "nvidia.com/gpu" in c.resources.limits)""",
        "pods without an accelerator stay off accelerator nodes",
    ),
    (
        f"""{_CONTAINERS}.all(c, has(c.resources) && has(c.resources.limits)
            && "cpu" in c.resources.limits && "memory" in c.resources.limits)""",
        "every container has limits for cpu and memory",
    ),
    (
        f"""{_CONTAINERS}.all(c, !has(c.securityContext) || !has(c.securityContext.privileged)
            || !c.securityContext.privileged)""",
        "no container is privileged",
    ),
    (
        """(!has(object.spec.hostNetwork) || !object.spec.hostNetwork)
            && (!has(object.spec.hostPID) || !object.spec.hostPID)
            && (!has(object.spec.hostIPC) || !object.spec.hostIPC)""",
        "no pod shares the node's namespaces",
    ),
    (
        f"""{_CONTAINERS}.all(c, !has(c.env) || c.env.all(e, !has(e.value) || e.value == ""
            || !e.name.matches("(?i)(password|secret|token|api_?key)$")))""",
        "secrets are not written into the environment",
    ),
)
_VARIABLES: Final = {
    "containers": "object.spec.containers + (has(object.spec.initContainers) ? object.spec.initContainers : [])"
}


class NoApiServer(Exception):
    """This machine has no control plane; the message says what to do about it."""


def measure(bodies: Bodies, settings: Settings) -> dict[str, Any]:
    """Dry-run creates a second under each of ``KINDS`` with each number of ``CLIENTS``, in rounds.

    Raises:
        NoApiServer: there is no control plane and none is built for this.
        LoadError: the load generator failed.
        ServerError: a server does not start, or the API server does not answer as it must.
    """
    try:
        programs = assets.locate(settings.say)
    except (assets.MissingAssetsError, assets.InvalidAssetsError, BuildError) as error:
        raise NoApiServer(str(error)) from error
    pods = {name: _as_written(bodies.sets[name][0]) for name in (TRAIN, NOTEBOOK)}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gpuward-bench-")))
        settings.say("the control plane starts")
        try:
            cluster = stack.enter_context(ControlPlane(programs, folder / "control-plane"))
            namespaces = _install(stack, cluster, folder, pods)
        except (ControlPlaneError, ApiError) as error:
            # Its other lines are the logs of the control plane.
            raise ServerError(str(error).partition("\n")[0]) from error
        certificate = cluster.credentials.client("benchmark", ["system:masters"])
        files = {}
        for kind, namespace in namespaces.items():
            files[kind] = folder / f"{namespace}.json"
            files[kind].write_bytes(orjson.dumps(_in_namespace(pods[TRAIN], namespace)))
        port = int(cluster.url.rpartition(":")[2])

        def one(kind: str, clients: int) -> dict[str, float]:
            target = _creates(namespaces[kind])
            loaded = run_creates(
                port, target, files[kind], clients=clients, seconds=settings.seconds, certificate=certificate
            )
            return {
                "perSecond": loaded.requests / loaded.seconds,
                "p50": loaded.p50,
                "p99": loaded.p99,
                "requests": loaded.requests,
                "errors": loaded.errors,
            }

        for kind in KINDS:  # the first calls make connections and compile expressions
            one(kind, max(CLIENTS))
        rounds = []
        for number in range(settings.rounds):
            settings.say(f"through the API server: round {number + 1} of {settings.rounds}")
            turn = KINDS[number % len(KINDS) :] + KINDS[: number % len(KINDS)]
            rounds.append({str(clients): {kind: one(kind, clients) for kind in turn} for clients in CLIENTS})
    return {
        "kubernetes": programs.version,
        "rounds": rounds,
        "summary": {
            str(clients): {kind: _summarise([each[str(clients)] for each in rounds], kind) for kind in KINDS}
            for clients in CLIENTS
        },
    }


def _summarise(rounds: list[dict[str, dict[str, float]]], kind: str) -> dict[str, Any]:
    own = [each[kind] for each in rounds]

    def to(other: str) -> dict[str, float]:
        return summary([each[kind]["perSecond"] / each[other]["perSecond"] for each in rounds])

    return {
        "perSecond": summary([each["perSecond"] for each in own]),
        "p50": median(each["p50"] for each in own),
        "p99": median(each["p99"] for each in own),
        "toNoOp": to(NO_OP),
        "toOwn": to(BY_HAND),
        "errors": sum(each["errors"] for each in own),
        "requests": sum(each["requests"] for each in own),
    }


# The pods


def _as_written(review: bytes) -> Object:
    """The pod of a review as its author wrote it, which kubectl keeps in an annotation."""
    pod = orjson.loads(review)["request"]["object"]
    written = pod["metadata"].get("annotations", {}).get("kubectl.kubernetes.io/last-applied-configuration")
    made: Object = orjson.loads(written) if written else pod
    return made


def _in_namespace(pod: Object, namespace: str) -> Object:
    return {**pod, "metadata": {**pod["metadata"], "namespace": namespace}}


def _creates(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods?dryRun=All"


# What is installed


def _install(
    stack: contextlib.ExitStack, cluster: ControlPlane, folder: Path, pods: dict[str, Object]
) -> dict[str, str]:
    """Everything, in force and checked; the namespaces by kind."""
    namespaces = {
        kind: cluster.create_namespace(f"bench-{value}", {webhooks.MODE_LABEL: "enforce", _LABEL: value})
        for kind, value in _VALUES.items()
    }
    certificates = make_certificates(folder)
    no_op = stack.enter_context(reference_server("no-op", certificates, folder, None))
    gpuward = stack.enter_context(gpuward_server(certificates, folder, None, kubeconfig=cluster.kubeconfig))
    bundle = base64.b64encode(certificates.ca.read_bytes()).decode()
    configurations = [
        *_configurations("no-op", f"https://127.0.0.1:{no_op.port}", bundle, NO_OP, path="/review"),
        *_configurations("gpuward", f"https://127.0.0.1:{gpuward.port}", bundle, GPUWARD),
    ]
    cluster.apply([*configurations, *_own_policies()])
    cluster.settle_webhooks()
    _check(cluster, namespaces, pods, no_op, certificates)
    return namespaces


def _configurations(
    name: str, url: str, bundle: str, kind: str, *, path: str | None = None
) -> Iterator[Object]:
    """Webhook configurations as gpuward's are, for the namespaces of one kind; all calls go to ``path`` if given."""
    client = webhooks.by_url(url, bundle)
    for made in webhooks.webhook_configurations(client, modes=("enforce",)):
        made["metadata"]["name"] = f"bench-{name}"
        for entry in made["webhooks"]:
            entry["name"] = entry["name"].replace("gpuward.dev", f"{name}.gpuward.dev")
            entry["namespaceSelector"] = {"matchLabels": {_LABEL: _VALUES[kind]}}
            entry["failurePolicy"] = "Fail"  # what is not answered must not pass as quick
            if path:
                entry["clientConfig"] = client(path)
        yield made


def _own_policies() -> list[Object]:
    """Kubernetes' own policies: the shipped ones as ``gpuward export`` writes them, a handful by hand, and a
    MutatingAdmissionPolicy for both."""
    exported = subprocess.run(
        [sys.executable, "-m", "webhook", "export", str(POLICIES)],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout
    objects = [made for made in yaml.load_all(exported, Loader=yaml.CSafeLoader) if made]
    for made in objects:
        if made["kind"] == "ValidatingAdmissionPolicy":
            # Besides what it selects itself.
            selector = made["spec"]["matchConstraints"].setdefault("namespaceSelector", {})
            selector.setdefault("matchLabels", {})[_LABEL] = _VALUES[EXPORTED]
    by_hand = {
        "variables": [{"name": name, "expression": value} for name, value in _VARIABLES.items()],
        "validations": [{"expression": each, "message": message} for each, message in _VALIDATIONS],
    }
    mutating = {"reinvocationPolicy": "IfNeeded", "mutations": list(_MUTATIONS)}
    objects += _policy("ValidatingAdmissionPolicy", (BY_HAND,), {"validationActions": ["Deny"]}, by_hand)
    objects += _policy("MutatingAdmissionPolicy", (BY_HAND, EXPORTED), {}, mutating)
    return objects


def _policy(kind: str, kinds: tuple[str, ...], binding: Object, spec: Object) -> list[Object]:
    """A policy about new pods in the namespaces of these kinds of admission, with its binding."""
    name = "bench"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
    values = [_VALUES[each] for each in kinds]
    selector = {"matchExpressions": [{"key": _LABEL, "operator": "In", "values": values}]}
    constraints = {"resourceRules": [rule], "namespaceSelector": selector}
    return [
        {
            "apiVersion": _ADMISSION,
            "kind": kind,
            "metadata": {"name": name},
            "spec": {"matchConstraints": constraints, "failurePolicy": "Fail", **spec},
        },
        {
            "apiVersion": _ADMISSION,
            "kind": f"{kind}Binding",
            "metadata": {"name": name},
            "spec": {"policyName": name, **binding},
        },
    ]


# Whether it works


def _check(
    cluster: ControlPlane,
    namespaces: dict[str, str],
    pods: dict[str, Object],
    no_op: Server,
    certificates: Certificates,
) -> None:
    """Every kind takes the good pod; what is to judge refuses the bad one, and gives a GPU pod what it lacks.

    Raises:
        ServerError, ControlPlaneError: it is not so.
    """
    for kind in (GPUWARD, BY_HAND, EXPORTED):
        cluster.wait_for(
            lambda kind=kind: _refusal(cluster, namespaces[kind], pods[NOTEBOOK]),
            what=f"{kind} to refuse the bad pod",
        )
        cluster.wait_for(
            lambda kind=kind: _completed(cluster, namespaces[kind]), what=f"{kind} to complete a GPU pod"
        )
    calls = _calls(no_op, certificates)
    for kind in (NONE, NO_OP):
        if refusal := _refusal(cluster, namespaces[kind], pods[NOTEBOOK]):
            raise ServerError(f"with {kind}, the API server refuses what nobody judges: {refusal}")
    if (called := _calls(no_op, certificates) - calls) != 2:
        raise ServerError(f"the no-op webhooks were called {called} times for one pod, not twice")
    for kind in KINDS:
        if refusal := _refusal(cluster, namespaces[kind], pods[TRAIN]):
            raise ServerError(f"with {kind}, the good pod is refused: {refusal}")


def _refusal(cluster: ControlPlane, namespace: str, pod: Object) -> str:
    try:
        cluster.api("POST", _creates(namespace), _in_namespace(pod, namespace))
    except ApiError as error:
        return str(error)
    return ""


def _completed(cluster: ControlPlane, namespace: str) -> bool:
    """Whether a GPU pod without tolerations, CPU and memory gets them."""
    security = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "main",
        "image": "registry.example.com/ml/trainer:2026.11",
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "securityContext": security,
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "gpu", "labels": {"team": "vision", "app": "gpu"}},
        "spec": {"containers": [container]},
    }
    spec = cluster.api("POST", _creates(namespace), _in_namespace(pod, namespace))["spec"]
    return spec["containers"][0]["resources"]["limits"].get("cpu") == "8" and any(
        taint.get("key") == "nvidia.com/gpu" for taint in spec.get("tolerations", ())
    )


def _calls(server: Server, certificates: Certificates) -> int:
    context = ssl.create_default_context(cafile=str(certificates.ca))
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=5, context=context)
    with contextlib.closing(connection):
        connection.request("GET", "/calls")
        return int(connection.getresponse().read())


def render(measured: dict[str, Any]) -> Iterator[str]:
    """A table for each number of clients."""
    for clients, kinds in measured["summary"].items():
        rows = [
            [
                kind,
                spread(figures["perSecond"], 0),
                spread(figures["toNoOp"]),
                spread(figures["toOwn"]),
                f"{figures['p50']:.1f}",
                f"{figures['p99']:.1f}",
                str(figures["errors"]),
            ]
            for kind, figures in kinds.items()
        ]
        many = "one client" if clients == "1" else f"{clients} clients"
        yield (
            f"Dry-run creates of train-good through kube-apiserver {measured['kubernetes']}, {many}, "
            f"median of {len(measured['rounds'])} rounds (min-max):\n\n"
            + table(
                ("admission", "creates/s", "to the no-op webhooks", "to Kubernetes' own, by hand", "p50 ms", "p99 ms",
                 "errors"),
                rows,
            )
        )  # fmt: skip
        for kind, figures in kinds.items():
            if figures["errors"]:
                yield f"**{kind}: {figures['errors']} of {figures['requests']} creates failed.**"
