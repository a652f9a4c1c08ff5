"""One entry of a webhook configuration, and what it would be called for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from webhook.kube.path import Path
from webhook.kube.resources import GroupVersionResource, is_cluster_scoped_resource
from webhook.kube.shape import JSONObject, indexed, items, mapping, strings, text
from webhook.policy.kubernetes.documents import NamedRuleWithOperations
from webhook.policy.kubernetes.matching import Rule
from webhook.policy.match import Labels, label_selector

if TYPE_CHECKING:
    from webhook.policy.cel import Program

_OUR_PATH: Final = re.compile(r"/(mutate|validate)(?:/(audit|warn|enforce))?/?")

# What the API server takes where the field is absent. Source: k8s.io/api admissionregistration/v1/types.go
_DEFAULT_TIMEOUT: Final = 10
_DEFAULT_FAILURE_POLICY: Final = "Fail"


class Call(Struct, frozen=True):
    """A request that an entry might be called for. An empty ``namespace`` stands for an object that is in none."""

    group: str
    version: str
    resource: str
    operation: str
    namespace: str
    username: str = "system:admin"
    groups: tuple[str, ...] = ("system:authenticated",)
    subresource: str = ""

    def __str__(self) -> str:
        """The resource as people write it, such as ``deployments.apps`` or ``pods/status``."""
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f"{resource}.{self.group}" if self.group else resource


class _Selector(Struct, frozen=True):
    """A label selector read from JSON, with Kubernetes' names for its parts."""

    matchLabels: Mapping[str, str]  # noqa: N815  # Kubernetes' own field name
    matchExpressions: tuple[_Requirement, ...]  # noqa: N815  # as above


class _Requirement(Struct, frozen=True):
    key: str
    operator: str
    values: tuple[str, ...]


def selects(selector: JSONObject, labels: Labels) -> bool:
    """Whether a selector as it stands in an object selects these labels; an empty one selects everything."""
    requirements = tuple(
        _Requirement(text(one, "key"), text(one, "operator"), strings(one, "values"))
        for one in items(selector, "matchExpressions")
        if text(one, "operator") in ("In", "NotIn", "Exists", "DoesNotExist")
    )
    chosen = label_selector(_Selector(mapping(selector, "matchLabels"), requirements))
    return chosen is None or chosen(labels)


class Entry:
    """An entry of ``webhooks`` in a MutatingWebhookConfiguration or a ValidatingWebhookConfiguration."""

    def __init__(self, configuration: JSONObject, index: int, raw: JSONObject) -> None:
        self.configuration = configuration
        self.index = index
        self.raw = raw
        self.mutating = text(configuration, "kind").startswith("Mutating")
        client = mapping(raw, "clientConfig")
        service = mapping(client, "service")
        self.service: tuple[str, str] | None = (
            (text(service, "namespace"), text(service, "name")) if service else None
        )
        port = service.get("port")
        self.port = port if type(port) is int else 443
        self.url = text(client, "url")
        self.path = (text(service, "path") or "/") if service else urlsplit(self.url).path or "/"
        self.name = text(raw, "name")

    def field(self, *segments: str | int) -> Path:
        """The path of a field of the entry in its configuration."""
        return ("webhooks", self.index, *segments)

    @property
    def fails(self) -> bool:
        """Whether requests are refused while the webhook does not answer."""
        return (text(self.raw, "failurePolicy") or _DEFAULT_FAILURE_POLICY) == "Fail"

    @property
    def timeout(self) -> int:
        """Seconds after which the API server gives up."""
        seconds = self.raw.get("timeoutSeconds")
        return seconds if type(seconds) is int else _DEFAULT_TIMEOUT

    @property
    def mode(self) -> str:
        """The mode its address names, empty where it names none."""
        found = _OUR_PATH.fullmatch(self.path)
        return (found[2] or "") if found else ""

    @property
    def phase(self) -> str:
        """What its address asks for, ``mutate`` or ``validate``; empty where gpuward answers nothing there."""
        found = _OUR_PATH.fullmatch(self.path)
        return found[1] if found else ""

    @property
    def is_ours(self) -> bool:
        """Whether it calls gpuward: its Service, or by its address and the name or the label of what it stands in."""
        metadata = mapping(self.configuration, "metadata")
        named = (
            text(mapping(metadata, "labels"), "app.kubernetes.io/name"),
            text(metadata, "name"),
            self.name,
            self.service[1] if self.service else "",
        )
        return "gpuward" in named[-1] or (bool(self.phase) and any("gpuward" in name for name in named))

    @property
    def rules(self) -> list[JSONObject]:
        """What it is called for."""
        return items(self.raw, "rules")

    @cached_property
    def _compiled(self) -> tuple[Rule, ...]:
        """Its rules, as those of admission policies match too."""
        exact = text(self.raw, "matchPolicy") == "Exact"
        # matchPolicy Equivalent, the default, converts between versions.
        versions = {} if exact else {"apiVersions": ["*"]}
        return tuple(Rule(_as_admission_policies_have_it(rule | versions)) for rule in self.rules)

    @cached_property
    def samples(self) -> tuple[Call, ...]:
        """A request for each resource that its rules name, in no namespace; pods stand for a wildcard."""
        found = []
        for rule in self.rules:
            version = next(iter(strings(rule, "apiVersions")), "*")
            operation = next(iter(strings(rule, "operations")), "*")
            for group in strings(rule, "apiGroups"):
                for written in strings(rule, "resources"):
                    resource, _, subresource = written.partition("/")
                    if resource == "*" and group in ("", "*"):
                        resource = "pods"
                    found.append(
                        Call(
                            "" if group == "*" else group,
                            "v1" if version == "*" else version,
                            resource,
                            ("UPDATE" if subresource == "status" else "CREATE")
                            if operation == "*"
                            else operation,
                            "",
                            subresource="" if subresource == "*" else subresource,
                        )
                    )
        return tuple(dict.fromkeys(found))

    def called_in(self, namespace: str, labels: Labels) -> list[Call]:
        """What it would be called for in a namespace with these labels: those of ``samples`` that can be there."""
        if not self.selects_namespace(labels):
            return []
        return [
            call
            for sample in self.samples
            if not is_cluster_scoped_resource(sample.group, sample.resource)
            and self.may_be_called(call := replace(sample, namespace=namespace), labels)
        ]

    def selects_namespace(self, labels: Labels) -> bool:
        """Whether it is called for objects in a namespace with these labels."""
        return selects(mapping(self.raw, "namespaceSelector"), labels)

    def may_be_called(self, call: Call, namespace_labels: Labels) -> bool:
        """Whether the API server would call it.

        The object's own labels are not known, so an ``objectSelector`` counts as met. A match condition that cannot
        be evaluated without the object counts as true.
        Source: k8s.io/apiserver ``pkg/admission/plugin/webhook/generic/webhook.go`` and ``predicates/``.
        """
        resource = GroupVersionResource(call.group, call.version, call.resource)
        namespaced = bool(call.namespace)
        if not any(
            rule.admits(resource, call.subresource, call.operation, namespaced=namespaced)
            for rule in self._compiled
        ):
            return False
        # Objects in no namespace are called for whatever the selector says, unless they are namespaces themselves.
        if (
            call.namespace or (call.group, call.resource) == ("", "namespaces")
        ) and not self.selects_namespace(namespace_labels):
            return False
        return self._conditions_may_hold(call, namespace_labels)

    def _conditions_may_hold(self, call: Call, namespace_labels: Labels) -> bool:
        if not self.conditions:
            return True
        from webhook.policy.cel import CelEvaluationError, Scope

        scope = Scope(
            request={
                "kind": {"group": call.group, "version": call.version, "kind": ""},
                "resource": {"group": call.group, "version": call.version, "resource": call.resource},
                "requestResource": {"group": call.group, "version": call.version, "resource": call.resource},
                "subResource": call.subresource,
                "requestSubResource": call.subresource,
                "operation": call.operation,
                "namespace": call.namespace,
                "name": "",
                "userInfo": {"username": call.username, "groups": list(call.groups)},
                "dryRun": False,
            },
            namespace_object={"metadata": {"name": call.namespace, "labels": dict(namespace_labels)}},
        )
        for program in self.conditions:
            try:
                if program.evaluate(scope) is False:
                    return False
            except CelEvaluationError:
                continue
        return True

    @cached_property
    def conditions(self) -> tuple[Program, ...]:
        """Its match conditions, those that compile here."""
        written = [text(one, "expression") for one in items(self.raw, "matchConditions")]
        if not any(written):
            return ()
        from webhook.policy.cel import CelCompileError, Environment

        compiled = []
        for expression in filter(None, written):
            try:
                compiled.append(Environment().compile(expression))
            except CelCompileError:
                continue
        return tuple(compiled)


def entries_of(configuration: JSONObject) -> Iterator[Entry]:
    """The entries of one webhook configuration."""
    for index, raw in indexed(configuration, "webhooks"):
        yield Entry(configuration, index, raw)


def _as_admission_policies_have_it(rule: JSONObject) -> NamedRuleWithOperations:
    """A rule of a webhook. What the API server would not have taken is kept: it matches nothing."""
    return NamedRuleWithOperations(
        apiGroups=list(strings(rule, "apiGroups")),
        apiVersions=list(strings(rule, "apiVersions")),
        operations=list(strings(rule, "operations")),  # type: ignore[arg-type]  # any text
        resources=list(strings(rule, "resources")),
        scope=text(rule, "scope") or None,  # type: ignore[arg-type]  # as above
    )
