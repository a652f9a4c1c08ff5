"""Policies for tests of the engine, made of rules as small as they get."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from webhook.engine.ruleset import (
    Block,
    CheckRule,
    CompiledException,
    CompiledPolicy,
    MutationRule,
    ObjectCheckRule,
    Ruleset,
)
from webhook.kube.accelerators import Accelerator, Catalog, Taint
from webhook.kube.gvk import GroupVersionKind, parse_api_version
from webhook.kube.object import Object
from webhook.kube.pod import Pod
from webhook.kube.review import AdmissionRequest
from webhook.policy.draft import Draft
from webhook.policy.findings import Action, Severity, Violation
from webhook.policy.match import Matcher
from webhook.policy.model import Match
from webhook.policy.rule import Check, Context, Mutation, NoParameters, ObjectCheck
from webhook.policy.validation import validate_document

CATALOG = Catalog(
    [
        Accelerator(
            "nvidia", ("nvidia.com/gpu", "nvidia.com/mig-*"), taints=(Taint("nvidia.com/gpu", "NoSchedule"),)
        )
    ]
)
CONTEXT = Context(CATALOG)


class NeedsTeam(Check):
    """Pods carry the label `team`."""

    name = "needs-team"
    title = "test"

    def __call__(self, pod: Pod) -> Iterable[Violation]:
        if "team" not in pod.labels:
            yield Violation("team-missing", pod.meta("labels", "team"), "no team")


class NoHostNetwork(Check):
    """Pods do not use the host's network."""

    name = "no-host-network"
    title = "test"

    def __call__(self, pod: Pod) -> Iterable[Violation]:
        if pod.spec.get("hostNetwork"):
            yield Violation("host-network", pod.field("hostNetwork"), "on the host's network")


class OnlyKnownImages(Check):
    """Images are called `good`."""

    name = "known-images"
    title = "test"

    def __call__(self, pod: Pod) -> Iterable[Violation]:
        for container in pod.containers:
            if container.raw.get("image") != "good":
                yield Violation("bad-image", container.field("image"), f"bad image in {container.name}")


class Crashes(Check):
    """Fails."""

    name = "crashes"
    title = "test"

    def __call__(self, pod: Pod) -> Iterable[Violation]:
        yield Violation("first", pod.field(), "found before the crash")
        raise KeyError("secret value of the object")


class Frozen(ObjectCheck):
    """Services are never changed."""

    name = "frozen"
    title = "Services are never changed"
    kinds = (("", "Service"),)
    judges_changes = True

    def __call__(self, obj: Object) -> Iterable[Violation]:
        if obj.old is not None and obj.raw != obj.old.raw:
            yield Violation("changed", (), "a service is never changed")


class NoNodePorts(ObjectCheck):
    """Services have no ports on nodes."""

    name = "no-node-ports"
    title = "test"
    kinds = (("", "Service"),)

    def __call__(self, obj: Object) -> Iterable[Violation]:
        if obj.spec.get("type") == "NodePort":
            yield Violation("node-port", ("spec", "type"), f"a node port in {obj.namespace}")


class CrashesOnSecrets(ObjectCheck):
    """Fails."""

    name = "crashes-on-secrets"
    title = "test"
    kinds = (("", "Secret"),)

    def __call__(self, obj: Object) -> Iterable[Violation]:
        yield Violation("first", (), "found before the crash")
        raise KeyError("secret value of the object")


class SetTeam(Mutation):
    """Sets the label `team`."""

    name = "set-team"
    title = "test"

    def __call__(self, pod: Pod, draft: Draft) -> None:
        draft.set_default(pod.meta("labels", "team"), "default")


class HalfCrashes(Mutation):
    """Changes something and fails."""

    name = "half-crashes"
    title = "test"

    def __call__(self, pod: Pod, draft: Draft) -> None:
        draft.set_default(pod.field("half"), "done")
        raise RuntimeError("secret value of the object")


def block(*, excludes: bool = False, **match: Any) -> Block:
    return Block(Matcher(validate_document(Match, match), excludes=excludes), ())


def policy(
    *rules: type[Check] | type[ObjectCheck] | type[Mutation],
    name: str = "p",
    action: Action = Action.ENFORCE,
    match: Block | None = None,
    exclude: Iterable[Block] = (),
    exceptions: Iterable[CompiledException] = (),
    fail_closed: bool = True,
) -> CompiledPolicy:
    made = [rule(NoParameters(), CONTEXT) for rule in rules]
    return CompiledPolicy(
        name=name,
        title=name,
        category="",
        severity=Severity.MEDIUM,
        action=action,
        fail_closed=fail_closed,
        match=match or block(),
        exclude=tuple(exclude),
        mutations=tuple(MutationRule(r.name, r) for r in made if isinstance(r, Mutation)),
        checks=tuple(CheckRule(r.name, r, r.severity) for r in made if isinstance(r, Check)),
        expressions=(),
        exceptions=tuple(exceptions),
        object_checks=tuple(
            ObjectCheckRule(r.name, r, r.severity) for r in made if isinstance(r, ObjectCheck)
        ),
    )


def ruleset(*policies: CompiledPolicy) -> Ruleset:
    return Ruleset(policies, CATALOG)


def pod(**spec: Any) -> dict[str, Any]:
    metadata = spec.pop("metadata", {"name": "train"})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [{"name": "main", "image": "good"}], **spec},
    }


def deployment(pod_object: dict[str, Any], **spec: Any) -> dict[str, Any]:
    template = {key: pod_object[key] for key in ("metadata", "spec")}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "serve"},
        "spec": {"replicas": 1, **spec, "template": template},
    }


def request(obj: dict[str, Any] | None, **fields: Any) -> AdmissionRequest:
    named = obj or fields["old_object"]
    kind: GroupVersionKind = parse_api_version(named["apiVersion"], named["kind"])
    return AdmissionRequest(
        kind=kind, obj=obj, **{"namespace": "ml", "name": named["metadata"].get("name", ""), **fields}
    )
