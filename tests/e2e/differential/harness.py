"""Makes the same requests twice on a real control plane: once to see them, once with every policy in force.

1. Every policy gets a namespace of its own. Its bindings are narrowed to it, so that no policy meets another's
   requests. (A selector of namespaces lets everything pass that lives in none: a policy about such objects names them.)
2. The requests are made without any policy, and a webhook keeps the AdmissionReviews that come of them.
3. All policies are installed at once, and the requests are made again: that is what the API server does.
4. gpuward reviews what the webhook kept, with the same policies.

Requests change nothing (`dryRun`). Each is made by a user of its own, which tells them apart in the webhook and in the
audit log.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.cluster import ApiError, ControlPlane
from webhook.adapters import policy_files
from webhook.engine.decision import Decision, Facts, Phase
from webhook.engine.review import review
from webhook.engine.ruleset import Ruleset
from webhook.kube.gvk import parse_api_version
from webhook.kube.resources import is_cluster_scoped, resource_for
from webhook.kube.review import decode
from webhook.policy.findings import Mode

from .recorder import Recorder

Object = dict[str, Any]

FOLDER = Path(__file__).parent
USERS = "differential:"
LABEL = "differential"
MARKER = "differential-marker"

BINDINGS = ("ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicyBinding")
POLICIES = ("ValidatingAdmissionPolicy", "MutatingAdmissionPolicy")
GROUP = "admissionregistration.k8s.io"

_CALLERS = 4


@dataclass(frozen=True)
class Request:
    """One call of the API. `{namespace}` in the path and body stands for the policy's namespace."""

    name: str
    method: str
    path: str
    body: Object | None
    content_type: str
    connects: bool = False
    """Whether it opens a connection to a node, and so cannot succeed here: only a policy's refusal counts as one."""


@dataclass(frozen=True)
class Policy:
    """One file of `policies/`."""

    name: str
    documents: tuple[Object, ...]
    """Policies, bindings and parameters, each as it is installed."""
    requests: tuple[Request, ...]

    @property
    def namespace(self) -> str:
        """Where the policy is in force."""
        return f"differential-{self.name}"

    def of_kinds(self, kinds: Sequence[str]) -> list[Object]:
        """The documents of these kinds."""
        return [document for document in self.documents if document["kind"] in kinds]

    @property
    def mutates(self) -> bool:
        """Whether there is a MutatingAdmissionPolicy in it."""
        return bool(self.of_kinds(["MutatingAdmissionPolicy"]))


@dataclass
class Outcome:
    """What came of one request: in the API server, and in gpuward."""

    request: Request
    status: int = 0
    answer: Object = field(default_factory=dict)
    """What the API server answered with the policies in force: the object, or a `Status`."""
    warnings: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    """The request's annotations in the audit log."""
    recorded: Object = field(default_factory=dict)
    """The object as mutating webhooks saw it, without the policies."""
    mutated: Decision = field(default_factory=Decision)
    """What gpuward makes of the review that mutating webhooks got, in its phase MUTATE."""
    decision: Decision = field(default_factory=Decision)
    """What gpuward makes of the review that validating webhooks got, in its phase VALIDATE."""

    @property
    def refusal(self) -> str:
        """The API server's message, empty where the request was allowed."""
        return "" if self.status < 400 else str(self.answer.get("message", self.answer))


# --- files -----------------------------------------------------------------------------------------------


def policy_names() -> list[str]:
    """The names of the files of policies."""
    return sorted(file.stem for file in (FOLDER / "policies").glob("*.yaml"))


@cache
def read_policy(name: str) -> Policy:
    """The policy of a file, as it is installed."""
    documents = list(yaml.safe_load_all((FOLDER / "policies" / f"{name}.yaml").read_text()))
    requests = [*shared_requests()]
    installed = []
    for document in documents:
        if document["kind"] == "Requests":
            requests += map(_request, document["requests"])
        else:
            installed.append(_narrowed(document, name))
    assert len({request.name for request in requests}) == len(requests), "requests of the same name"
    return Policy(name, tuple(installed), tuple(requests))


@cache
def shared_requests() -> tuple[Request, ...]:
    """The requests that are made under every policy."""
    return tuple(map(_request, yaml.safe_load((FOLDER / "requests.yaml").read_text())["requests"]))


def setup_objects(key: str) -> list[Object]:
    """What must be there beforehand: `cluster`, or `namespace` for each policy's namespace."""
    objects: list[Object] = yaml.safe_load((FOLDER / "setup.yaml").read_text())[key]
    return objects


def _request(written: Object) -> Request:
    if "object" in written:
        obj = written["object"]
        return Request(written["name"], "POST", _collection(obj), obj, "application/json")
    default = "application/merge-patch+json" if written["method"] == "PATCH" else "application/json"
    return Request(
        written["name"],
        written["method"],
        written["path"],
        written.get("body"),
        written.get("contentType", default),
        written.get("connects", False),
    )


def _collection(obj: Object) -> str:
    """The path that an object is posted to."""
    kind = parse_api_version(obj["apiVersion"], obj["kind"])
    base = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    scope = "" if is_cluster_scoped(kind) else "/namespaces/{namespace}"
    return f"{base}{scope}/{resource_for(kind).resource}"


def _narrowed(document: Object, policy: str) -> Object:
    document = _in_namespace(document, f"differential-{policy}")
    if document["kind"] in BINDINGS:
        resources = document["spec"].setdefault("matchResources", {})
        resources.setdefault("namespaceSelector", {}).setdefault("matchLabels", {})[LABEL] = policy
    return document


def _in_namespace(document: Object, namespace: str) -> Object:
    filled: Object = json.loads(json.dumps(document).replace("{namespace}", namespace))
    return filled


# --- both passes -----------------------------------------------------------------------------------------


def run(cluster: ControlPlane, folder: Path, names: Sequence[str]) -> dict[str, list[Outcome]]:
    """What comes of every request under each of these policies. `folder` is for the files that gpuward reads."""
    policies = [read_policy(name) for name in names]
    for obj in setup_objects("cluster"):
        _create(cluster, _collection(obj), obj)
    with ThreadPoolExecutor(_CALLERS) as callers, Recorder() as recorder:
        list(callers.map(lambda policy: _prepare(cluster, policy), policies))
        cluster.wait_for(lambda: _crds_are_served(cluster), what="the custom resources to be served")
        asked = [(policy, Outcome(request)) for policy in policies for request in policy.requests]
        users = [f"{USERS}{index}" for index in range(len(asked))]
        _record(cluster, recorder, callers, asked, users)
        _install(cluster, policies)
        try:
            made = callers.map(lambda call: _call(cluster, *call), _calls(asked, users))
            for (_, outcome), (status, answer, warnings) in zip(asked, made, strict=True):
                outcome.status, outcome.answer, outcome.warnings = status, answer, warnings
        finally:
            _remove(cluster, policies)
    annotations = _audit_annotations(cluster, users)
    rulesets = {policy.name: _ruleset(policy, folder) for policy in policies}
    namespaces = {
        policy.name: cluster.api("GET", f"/api/v1/namespaces/{policy.namespace}") for policy in policies
    }
    results: dict[str, list[Outcome]] = {}
    for (policy, outcome), user in zip(asked, users, strict=True):
        outcome.annotations = annotations.get(user, {})
        _review(outcome, recorder, user, rulesets[policy.name], namespaces[policy.name])
        results.setdefault(policy.name, []).append(outcome)
    return results


def _prepare(cluster: ControlPlane, policy: Policy) -> None:
    labels = {LABEL: policy.name, "team": "vision", "gpuward.dev/test": "differential"}
    cluster.create_namespace(policy.namespace, labels)
    for obj in setup_objects("namespace"):
        _create(cluster, _collection(obj).replace("{namespace}", policy.namespace), obj)
    for obj in policy.documents:
        if obj["kind"] not in (*POLICIES, *BINDINGS):
            where = obj["metadata"].get("namespace", "default")
            _create(cluster, _collection(obj).replace("{namespace}", where), obj)


def _create(cluster: ControlPlane, path: str, obj: Object) -> None:
    try:
        cluster.api("POST", path, obj)
    except ApiError as error:
        if error.status != 409:
            raise


def _crds_are_served(cluster: ControlPlane) -> bool:
    for obj in setup_objects("cluster"):
        if obj["kind"] == "CustomResourceDefinition":
            spec = obj["spec"]
            for version in spec["versions"]:
                path = f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}"
                cluster.api("GET", path)
    return True


def _record(
    cluster: ControlPlane,
    recorder: Recorder,
    callers: ThreadPoolExecutor,
    asked: list[tuple[Policy, Outcome]],
    users: list[str],
) -> None:
    configurations = recorder.configurations(USERS)
    paths = [f"{_collection(configuration)}" for configuration in configurations]
    for path, configuration in zip(paths, configurations, strict=True):
        cluster.api("POST", path, configuration)
    try:
        probe = Request(
            "probe", "POST", "/api/v1/namespaces/default/configmaps", _config_map("probe"), "application/json"
        )

        def is_called() -> bool:
            _call(cluster, probe, "default", f"{USERS}probe")
            return {("mutate", f"{USERS}probe"), ("validate", f"{USERS}probe")} <= recorder.reviews.keys()

        cluster.wait_for(is_called, what="the webhook to be called")
        made = list(callers.map(lambda call: _call(cluster, *call), _calls(asked, users)))
    finally:
        for path, configuration in zip(paths, configurations, strict=True):
            cluster.api("DELETE", f"{path}/{configuration['metadata']['name']}")
    for (policy, outcome), (status, answer, _) in zip(asked, made, strict=True):
        good = status < 400 or outcome.request.connects
        assert good, f"{policy.name}, {outcome.request.name}: not a good request: {answer}"


def _calls(asked: list[tuple[Policy, Outcome]], users: list[str]) -> Iterator[tuple[Request, str, str]]:
    for (policy, outcome), user in zip(asked, users, strict=True):
        yield outcome.request, policy.namespace, user


def _call(
    cluster: ControlPlane, request: Request, namespace: str, user: str
) -> tuple[int, Object, tuple[str, ...]]:
    """Status, answer and warnings of a request."""
    path = request.path.replace("{namespace}", namespace)
    if not request.connects:
        path += ("&" if "?" in path else "?") + "dryRun=All"
    body = None if request.body is None else json.dumps(_in_namespace(request.body, namespace))
    headers = {
        "Content-Type": request.content_type,
        "Accept": "application/json",
        "Impersonate-User": urllib.parse.quote(user, safe=":"),
        "Impersonate-Group": "system:masters",
    }
    with contextlib.closing(cluster.connection()) as connection:
        connection.request(request.method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
        warnings = tuple(_warning(header) for header in response.headers.get_all("Warning") or ())
    try:
        answer = json.loads(text)
    except ValueError:
        answer = {"message": text.decode(errors="replace")}
    return response.status, answer, warnings


def _warning(header: str) -> str:
    found = re.fullmatch(r'299 \S+ "(.*)"', header, re.DOTALL)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else header


def _config_map(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def _install(cluster: ControlPlane, policies: Sequence[Policy]) -> None:
    """Install everything, and wait until the API server acts on it.

    It sees policies and bindings in the order in which they were written, so that once the last ones bite all do.
    """
    marker = _markers(policies)
    for kinds in (POLICIES, BINDINGS):
        for document in (*(d for policy in policies for d in policy.of_kinds(kinds)), *marker):
            if document["kind"] in kinds:
                cluster.api("POST", _collection(document), document)
    cluster.wait_for(lambda: _marked(cluster, marker), 30, what="the policies to be in force")


def _remove(cluster: ControlPlane, policies: Sequence[Policy]) -> None:
    for document in (*(d for policy in policies for d in policy.documents), *_markers(policies)):
        if document["kind"] in (*POLICIES, *BINDINGS):
            cluster.api("DELETE", f"{_collection(document)}/{document['metadata']['name']}")


def _markers(policies: Sequence[Policy]) -> list[Object]:
    """Policies that show when those that were installed before them are in force, one of each kind there is."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    constraints = {"resourceRules": [{**rule, "resourceNames": [MARKER]}]}
    label = f"Object{{metadata: Object.metadata{{labels: {{'{MARKER}': 'yes'}}}}}}"
    specs: dict[str, tuple[Object, Object]] = {
        "Validating": ({"validations": [{"expression": "false"}]}, {"validationActions": ["Warn"]}),
        "Mutating": (
            {
                "mutations": [
                    {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": label}}
                ],
                "reinvocationPolicy": "Never",
            },
            {},
        ),
    }
    kinds = {document["kind"] for policy in policies for document in policy.documents}
    markers: list[Object] = []
    for kind, (spec, binding) in specs.items():
        if f"{kind}AdmissionPolicy" in kinds:
            common = {"apiVersion": f"{GROUP}/v1", "metadata": {"name": MARKER}}
            policy = {"kind": f"{kind}AdmissionPolicy", "spec": {"matchConstraints": constraints, **spec}}
            bound = {"kind": f"{kind}AdmissionPolicyBinding", "spec": {"policyName": MARKER, **binding}}
            markers += [{**common, **policy}, {**common, **bound}]
    return markers


def _marked(cluster: ControlPlane, markers: list[Object]) -> bool:
    """Whether every marker shows on what is made under its name."""
    request = Request(
        "marker", "POST", "/api/v1/namespaces/default/configmaps", _config_map(MARKER), "application/json"
    )
    _, answer, warnings = _call(cluster, request, "default", f"{USERS}marker")
    shown = {
        "ValidatingAdmissionPolicy": any(MARKER in warning for warning in warnings),
        "MutatingAdmissionPolicy": MARKER in (answer["metadata"].get("labels") or {}),
    }
    return all(shown.get(marker["kind"], True) for marker in markers)


def _audit_annotations(cluster: ControlPlane, users: Sequence[str]) -> dict[str, dict[str, str]]:
    """The annotations of each user's last request in the audit log."""
    wanted = set(users)
    found = {}
    for line in cluster.audit_log.read_text().splitlines():
        event = json.loads(line)
        user = event.get("impersonatedUser", {}).get("username")
        if user in wanted:
            found[user] = event.get("annotations", {})
    return found


# --- gpuward ---------------------------------------------------------------------------------------------


def _ruleset(policy: Policy, folder: Path) -> Ruleset:
    file = folder / f"{policy.name}.yaml"
    file.write_text(yaml.safe_dump_all(copy.deepcopy(list(policy.documents)), sort_keys=False))
    loaded = policy_files.load(file)
    assert loaded.ruleset is not None, "\n".join(map(str, loaded.problems))
    return loaded.ruleset


def _review(outcome: Outcome, recorder: Recorder, user: str, ruleset: Ruleset, namespace: Object) -> None:
    labels = namespace["metadata"]["labels"]
    for stage, phase in (("mutate", Phase.MUTATE), ("validate", Phase.VALIDATE)):
        body = recorder.reviews.get((stage, user))
        assert body is not None, f"{outcome.request.name} did not come to the webhook"
        request = decode(body)
        facts = Facts(mode=Mode.ENFORCE, namespace_labels=labels, namespace_object=namespace)
        decision = review(request, ruleset, facts, phase)
        if phase is Phase.MUTATE:
            outcome.recorded, outcome.mutated = request.obj or {}, decision
        else:
            outcome.decision = decision
