"""Exported policies on a real API server: they type-check, and judge as gpuward does."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.cluster import ApiError, ControlPlane
from tests.export.exporting import exported, policies_of, ruleset, shipped_documents
from tests.export.policies import CHECKS, PODS, PRIORITY_CLASSES, all_policies, pod, pods_for, policy
from webhook.engine.decision import Facts, Phase
from webhook.engine.offline import request_for
from webhook.engine.review import review
from webhook.policy.findings import Mode

Document = dict[str, Any]

# Whom the harness talks to the API server as.
ADMIN = {"username": "e2e-harness", "groups": ("system:masters", "system:authenticated")}
POLICY_LABEL = "exported-policy"
DENIED = "ValidatingAdmissionPolicy"

ADMISSION = "/apis/admissionregistration.k8s.io/v1"


class Exports:
    """Exported policies in a cluster, each in force in a namespace of its own."""

    def __init__(self, cluster: ControlPlane) -> None:
        self.cluster = cluster
        self.namespaces: dict[str, str] = {}
        self._objects: list[Document] = []

    def add(self, *documents: Document, mode: str = "enforce", templates: bool = False) -> None:
        """Put policies in force, each for a new namespace alone."""
        objects: list[Document] = []
        for document in documents:
            name = document["metadata"]["name"]
            labels = {POLICY_LABEL: name, "gpuward.dev/mode": mode}
            self.namespaces[name] = self.cluster.create_namespace(f"x-{name[:40]}-", labels)
            objects += exported(scoped(document), templates=templates).objects
        self._objects += objects
        self.cluster.apply(objects)

    def wait(self, name: str, pod: Document) -> None:
        """Until the policy refuses a pod that it must refuse."""
        what = f"{name} to refuse a pod"
        self.cluster.wait_for(lambda: self.refusal(self.namespaces[name], pod) is not None, what=what)

    def refusal(
        self, namespace: str, obj: Document, *, kind: str = "pods", group: str = "/api/v1"
    ) -> str | None:
        """Why the API server does not take an object, or None where it does. Nothing is stored."""
        path = f"{group}/namespaces/{namespace}/{kind}?dryRun=All"
        try:
            self.cluster.api("POST", path, obj)
        except ApiError as error:
            return str(error.body.get("message", error.body))
        return None

    def remove(self) -> None:
        for document in self._objects:
            plural = (
                document["kind"].replace("Policy", "Policies").replace("PoliciesBinding", "PolicyBindings")
            )
            self.cluster.api("DELETE", f"{ADMISSION}/{plural.lower()}/{document['metadata']['name']}")
        self._objects.clear()


def scoped(document: Document) -> Document:
    """The policy, about namespaces that are labelled with its name."""
    own = copy.deepcopy(document)
    match = own["spec"].setdefault("match", {})
    match["namespaceSelector"] = {"matchLabels": {POLICY_LABEL: own["metadata"]["name"]}}
    return own


def verdict(
    document: Document, obj: Document, namespace: str, mode: Mode = Mode.ENFORCE, **request: Any
) -> bool:
    """Whether gpuward admits the object to the namespace, once it has no more to change."""
    labels = {POLICY_LABEL: document["metadata"]["name"], "gpuward.dev/mode": mode.value}
    facts = Facts(mode, labels, None, datetime.now(UTC))
    metadata = obj["metadata"]
    if "generateName" in metadata:  # the API server makes the name before it asks
        obj = {**obj, "metadata": {**metadata, "name": f"{metadata['generateName']}x1y2z"}}
    asked = request_for(obj, default_namespace=namespace, **{**ADMIN, **request})
    return review(asked, ruleset(scoped(document)), facts, Phase.VALIDATE).allowed


@pytest.fixture(scope="module")
def all_exports(control_plane: ControlPlane) -> Iterator[Exports]:
    """Every policy of ``all_policies``."""
    running = Exports(control_plane)
    running.add(*all_policies().values())
    yield running
    running.remove()


@pytest.fixture
def exports(control_plane: ControlPlane) -> Iterator[Exports]:
    running = Exports(control_plane)
    yield running
    running.remove()


@pytest.fixture(scope="module", autouse=True)
def priority_classes(control_plane: ControlPlane) -> Iterator[None]:
    for name in PRIORITY_CLASSES:
        control_plane.apply(
            {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": name},
                "value": 10,
            }
        )
    yield
    for name in PRIORITY_CLASSES:
        control_plane.api("DELETE", f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}")


# The API server itself refuses what these would.
NEVER = {"match-users", "accelerator-request-equals-limit"}


def test_every_policy_judges_every_pod_as_gpuward_does(all_exports: Exports) -> None:
    policies, exports = all_policies(), all_exports
    compared = {"allowed": 0, "refused": 0}
    wrong = []
    for name, document in policies.items():
        namespace = exports.namespaces[name]
        expected = {called: verdict(document, pod, namespace) for called, pod in pods_for(name).items()}
        refused = [called for called, allowed in expected.items() if not allowed]
        if name not in NEVER:
            valid = [PODS[called] for called in refused if exports.refusal("default", PODS[called]) is None]
            assert valid, f"{name} refuses only what the API server refuses itself: {refused}"
            exports.wait(name, valid[0])
        for called, allowed in expected.items():
            reason = exports.refusal(namespace, PODS[called])
            if reason is not None and DENIED not in reason:
                continue  # the API server's own validation
            compared["allowed" if allowed else "refused"] += 1
            if (reason is None) is not allowed:
                wrong.append(f"{name}: {called}: gpuward {'admits' if allowed else 'refuses'}; {reason}")
    assert not wrong, "\n".join(wrong)
    assert compared["allowed"] > 1000, compared
    assert compared["refused"] > 300, compared


def test_exported_policies_have_no_type_errors(
    all_exports: Exports, full_control_plane: ControlPlane
) -> None:
    for document in all_policies().values():
        (name,) = [each["metadata"]["name"] for each in policies_of(exported(document).objects)]

        def checked(name: str = name) -> Document | None:
            found = full_control_plane.api("GET", f"{ADMISSION}/validatingadmissionpolicies/{name}")
            status: Document = found.get("status", {})
            return status if "typeChecking" in status else None

        status = full_control_plane.wait_for(checked, what=f"{name} to be type-checked")
        assert status["typeChecking"] == {}, name


def large_pod(containers: int) -> Document:
    """A pod with more in it than any has: what judging it costs must stay within Kubernetes' budget."""
    resources = {
        "limits": {
            "cpu": "1",
            "memory": "1Gi",
            "nvidia.com/gpu": "1",
            "rdma/hca": "1",
            "nvidia.com/mig-1g.5gb": "1",
        },
        "requests": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"},
    }
    every = [
        {
            "name": f"c{index}",
            "image": f"registry-of-a-long-name.example.com:8443/team/of/a/department/image-{index}:v1.2.{index}",
            "resources": resources,
            "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["IPC_LOCK", "NET_BIND_SERVICE"]}},
            "volumeMounts": [{"name": f"v{n}", "mountPath": f"/v{n}", "readOnly": True} for n in range(10)],
        }
        for index in range(containers)
    ]
    half = containers // 2
    inits = [
        {**container, **({"restartPolicy": "Always"} if index % 2 else {})}
        for index, container in enumerate(every[half:])
    ]
    volumes = [{"name": f"v{n}", "hostPath": {"path": f"/mnt/data/a/b/c/{n}"}} for n in range(10)]
    tolerations = [{"key": f"key-{n}", "operator": "Exists"} for n in range(20)]
    return {
        **pod("large", metadata={"labels": {f"label-{n}": "x" for n in range(30)}}),
        "spec": {
            "containers": every[:half],
            "initContainers": inits,
            "volumes": volumes,
            "tolerations": tolerations,
        },
    }


def test_judging_a_large_pod_stays_within_the_budget(all_exports: Exports, exports: Exports) -> None:
    large = large_pod(60)
    wrong = []
    shipped = {each["metadata"]["name"]: each for each in shipped_documents() if exported(each).objects}
    exports.add(*shipped.values())
    bad = pod("bad", {"image": "x"}, hostPID=True, tolerations=[{"operator": "Exists"}])
    for name, document in shipped.items():
        # Those that only warn, or are about something else, refuse nothing that one could wait for.
        if not verdict(document, bad, exports.namespaces[name]):
            exports.wait(name, bad)
    all_exports.namespaces.update(exports.namespaces)
    for name, document in {**all_policies(), **shipped}.items():
        namespace = all_exports.namespaces[name]
        allowed = verdict(document, large, namespace)
        reason = all_exports.refusal(namespace, large)
        assert reason is None or DENIED in reason
        if "cost" in (reason or "") or (reason is None) is not allowed:
            wrong.append(f"{name}: {reason}")
    assert not wrong, "\n".join(wrong)


# Updates: pods that are older than the policy, changed in each way that a pod can be.

OLD_PODS: dict[str, Document] = {
    "old-good": pod("old-good", metadata={"labels": {"team": "vision", "tier": "train"}}),
    "old-bad": pod("old-bad", {"image": "nginx", "securityContext": {"privileged": True}}, hostNetwork=True),
}
DEBUGGER = {"name": "debugger", "image": "busybox", "securityContext": {"privileged": True}}
GOOD_DEBUGGER = {
    "name": "helper",
    "image": "ghcr.io/acme/debug:1",
    "securityContext": {"capabilities": {"drop": ["ALL"]}},
}


def _labelled(obj: Document, **labels: str) -> None:
    obj["metadata"].setdefault("labels", {}).update(labels)


def _with_image(obj: Document, image: str) -> None:
    obj["spec"]["containers"][0]["image"] = image


def _tolerating(obj: Document) -> None:
    obj["spec"]["tolerations"].append({"key": "nvidia.com/gpu", "operator": "Exists"})


CHANGES = {
    "nothing": lambda _: None,
    "annotation": lambda obj: obj["metadata"].setdefault("annotations", {}).update(a="b"),
    "label": lambda obj: _labelled(obj, other="x"),
    "team": lambda obj: _labelled(obj, team="Vision", tier="train"),
    "image": lambda obj: _with_image(obj, "nginx:latest"),
    "good image": lambda obj: _with_image(obj, "ghcr.io/acme/trainer:2"),
    "toleration": _tolerating,
}


def test_updates_are_judged_for_what_they_change(exports: Exports) -> None:
    cluster = exports.cluster
    names = [name for name in CHECKS if name not in NEVER]
    policies = {name: policy(f"update-{name}", CHECKS[name]) for name in names}
    policies["expression-labels"] = policy(
        "update-expression-labels",
        [{"expression": "has(object.metadata.labels.nobody)", "message": "no", "field": "metadata.labels"}],
    )
    policies["expression-object"] = policy(
        "update-expression-object", [{"expression": "has(object.metadata.labels.nobody)", "message": "no"}]
    )
    exports.add(*policies.values(), mode="audit")
    for namespace in exports.namespaces.values():
        for old in OLD_PODS.values():
            cluster.api("POST", f"/api/v1/namespaces/{namespace}/pods", old)
        cluster.kubectl("label", "namespace", namespace, "gpuward.dev/mode=enforce", "--overwrite")
    wrong: list[str] = []
    compared = {True: 0, False: 0}
    for name, document in policies.items():
        namespace = exports.namespaces[document["metadata"]["name"]]
        bad = (
            next(
                candidate
                for candidate in PODS.values()
                if not verdict(document, candidate, namespace)
                and exports.refusal("default", candidate) is None
            )
            if not name.startswith("expression")
            else pod("bad")
        )
        exports.wait(document["metadata"]["name"], bad)
        for called in OLD_PODS:
            url = f"/api/v1/namespaces/{namespace}/pods/{called}"
            stored = cluster.api("GET", url)
            for change, apply in CHANGES.items():
                changed = copy.deepcopy(stored)
                apply(changed)
                _compare(exports, document, stored, changed, f"{url}?dryRun=All", change, wrong, compared)
            for debugger in (DEBUGGER, GOOD_DEBUGGER):
                changed = copy.deepcopy(stored)
                changed["spec"]["ephemeralContainers"] = [debugger]
                url_of_it = f"{url}/ephemeralcontainers?dryRun=All"
                _compare(exports, document, stored, changed, url_of_it, debugger["name"], wrong, compared)
    assert not wrong, "\n".join(wrong)
    assert compared[True] > 100, compared
    assert compared[False] > 30, compared


def _compare(
    exports: Exports,
    document: Document,
    stored: Document,
    changed: Document,
    url: str,
    change: str,
    wrong: list[str],
    compared: dict[bool, int],
) -> None:
    subresource = "ephemeralcontainers" if "/ephemeralcontainers" in url else ""
    try:
        exports.cluster.api("PUT", url, changed)
        reason = None
    except ApiError as error:
        reason = str(error.body.get("message"))
        if DENIED not in reason:
            return
    allowed = verdict(
        document, changed, stored["metadata"]["namespace"],
        old_object=stored, operation="UPDATE", subresource=subresource,
    )  # fmt: skip
    compared[allowed] += 1
    if allowed is (reason is not None):
        name = document["metadata"]["name"]
        wrong.append(f"{name}: {stored['metadata']['name']}: {change}: gpuward {allowed}; {reason}")


def test_templates_are_judged_where_that_is_asked_for(exports: Exports) -> None:
    names = (
        "no-host-namespaces",
        "required-labels",
        "max-accelerators-workload",
        "require-limits",
        "no-latest-tag",
    )
    policies = {name: policy(f"template-{name}", CHECKS[name]) for name in names}
    policies["match-selector"] = policy(
        "template-match-selector",
        CHECKS["no-host-namespaces"],
        match={"objectSelector": {"matchLabels": {"team": "vision"}}},
    )
    exports.add(*policies.values(), templates=True)
    compared = {True: 0, False: 0}
    for name, document in policies.items():
        namespace = exports.namespaces[document["metadata"]["name"]]
        exports.wait(
            document["metadata"]["name"],
            pod("bad", {"image": "x", **GPUS}, hostPID=True, metadata={"labels": {"team": "vision"}}),
        )
        for called in (
            "plain",
            "labelled",
            "legacy",
            "host-pid-of-a-team",
            "all-limited",
            "two-gpus",
            "image-0",
        ):
            for resource, group, workload in workloads(PODS[called]):
                allowed = verdict(document, workload, namespace)
                reason = exports.refusal(namespace, workload, kind=resource, group=group)
                assert reason is None or DENIED in reason
                assert (reason is None) is allowed, (name, called, resource, reason)
                compared[allowed] += 1
    assert min(compared.values()) > 50, compared


GPUS = {"resources": {"limits": {"nvidia.com/gpu": "4"}}}


def workloads(of: Document) -> Iterator[tuple[str, str, Document]]:
    """Every kind of workload with this pod as its template: resource, path of its group, object."""
    labels = {**of["metadata"].get("labels", {}), "app": "x"}
    template = {"metadata": {"labels": labels}, "spec": of["spec"]}
    selector = {"matchLabels": {"app": "x"}}
    once = {"metadata": {"labels": labels}, "spec": {**of["spec"], "restartPolicy": "Never"}}
    specs: list[tuple[str, str, str, Document]] = [
        ("apps/v1", "Deployment", "deployments", {"replicas": 2, "selector": selector, "template": template}),
        ("apps/v1", "ReplicaSet", "replicasets", {"selector": selector, "template": template}),
        (
            "apps/v1",
            "StatefulSet",
            "statefulsets",
            {"replicas": 1, "selector": selector, "template": template},
        ),
        ("apps/v1", "DaemonSet", "daemonsets", {"selector": selector, "template": template}),
        ("batch/v1", "Job", "jobs", {"parallelism": 2, "template": once}),
        (
            "batch/v1",
            "CronJob",
            "cronjobs",
            {"schedule": "@daily", "jobTemplate": {"spec": {"template": once}}},
        ),
        (
            "v1",
            "ReplicationController",
            "replicationcontrollers",
            {"selector": {"app": "x"}, "template": template},
        ),
    ]
    for version, kind, resource, spec in specs:
        group = f"/apis/{version}" if "/" in version else "/api/v1"
        yield resource, group, {"apiVersion": version, "kind": kind, "metadata": {"name": "w"}, "spec": spec}
    yield (
        "podtemplates",
        "/api/v1",
        {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "w"}, "template": template},
    )


@pytest.mark.parametrize(
    ("mode", "refused", "warned"), [("enforce", True, False), ("warn", False, True), ("audit", False, False)]
)
def test_mode_of_the_namespace_says_what_is_done(
    exports: Exports, mode: str, refused: bool, warned: bool
) -> None:
    document = policy("modes", CHECKS["no-host-namespaces"])
    exports.add(document)
    exports.wait("modes", PODS["host-pid"])
    other = exports.cluster.create_namespace("modes-", {POLICY_LABEL: "modes", "gpuward.dev/mode": mode})
    done = exports.cluster.apply(PODS["host-pid"], other, "--dry-run=server", check=False)
    assert (done.returncode != 0) is refused, done.stderr
    assert ("Warning" in done.stderr) is warned, done.stderr


def test_policy_that_warns_never_refuses(exports: Exports) -> None:
    document = policy("warns", CHECKS["no-host-namespaces"], action="Warn")
    exports.add(document)
    namespace = exports.namespaces["warns"]

    def warned() -> bool:
        done = exports.cluster.apply(PODS["host-pid"], namespace, "--dry-run=server")
        return "the pod shares namespaces with its node: hostPID" in done.stderr

    exports.cluster.wait_for(warned, what="the warning")


def test_objects_themselves_are_judged(exports: Exports) -> None:
    expression = {"expression": "object == null || object.data.size() < 2", "message": "too much data"}
    document = policy(
        "objects", [expression], match={"kinds": ["ConfigMap"], "operations": ["*"], "names": ["judged*"]}
    )
    exports.add(document)
    namespace = exports.namespaces["objects"]
    small: Document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "judged"},
        "data": {"a": "b"},
    }
    large = {**small, "data": {"a": "b", "c": "d"}}
    exports.cluster.wait_for(
        lambda: exports.refusal(namespace, large, kind="configmaps"), what="a large ConfigMap to be refused"
    )
    assert exports.refusal(namespace, small, kind="configmaps") is None
    assert exports.refusal(namespace, {**large, "metadata": {"name": "other"}}, kind="configmaps") is None
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    exports.cluster.api("POST", path, small)
    assert exports.cluster.api("DELETE", f"{path}/judged")["status"] == "Success"


def test_shipped_policies_are_accepted(exports: Exports) -> None:
    for document in shipped_documents():
        if objects := exported(document).objects:
            exports.cluster.apply(objects, None, "--dry-run=server")
