"""An installation of gpuward as the doctor sees it: the objects, from a cluster or from manifests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Final

from msgspec import Struct, field

from webhook.doctor.diagnosis import Ref
from webhook.doctor.entries import Entry, entries_of
from webhook.engine.ruleset import Ruleset
from webhook.kube.shape import JSONObject, items, mapping, strings, text
from webhook.policy.crd import GROUP, PLURALS, VERSION
from webhook.policy.match import namespace_labels

# The defaults of `gpuward serve`. A test compares them with the command's.
PORT: Final = 8443
ADMIN_PORT: Final = 8080

_FLAG: Final = re.compile(r"--([a-z][-a-z0-9]*)(?:=(.*))?", re.DOTALL)


class Installation(Struct, frozen=True, dict=True):
    """Everything that is known.

    ``whole``: the objects are all that there are in a cluster, so that one that is missing does not exist; otherwise
    they are manifests, and what is missing may be applied from elsewhere. ``now`` is the time (aware),
    ``server_version`` the API server's such as ``v1.36.3``, empty where it is not known. ``ruleset`` is the policies
    to be judged by, None for none, ``policy_problems`` what is wrong with those that the servers mount, each with the
    object. ``unread`` has the kinds that could not be looked at, and why.
    """

    objects: Sequence[JSONObject]
    now: datetime
    whole: bool = False
    server_version: str = ""
    ruleset: Ruleset | None = None
    policy_problems: Sequence[tuple[Ref, str]] = ()
    unread: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def knows(self, kind: str) -> bool:
        """Whether an object of this kind that is not here does not exist."""
        return self.whole and kind not in self.unread

    def of_kind(self, kind: str) -> Iterator[JSONObject]:
        """The objects of a kind. Kinds are told apart by name: those the doctor looks at have no namesakes."""
        return iter(self._by_kind.get(kind, ()))

    def find(self, kind: str, namespace: str, name: str) -> JSONObject | None:
        """One object, or None."""
        for obj in self.of_kind(kind):
            metadata = mapping(obj, "metadata")
            if text(metadata, "name") == name and text(metadata, "namespace") == namespace:
                return obj
        return None

    @cached_property
    def _by_kind(self) -> Mapping[str, Sequence[JSONObject]]:
        found: dict[str, list[JSONObject]] = {}
        for obj in self.objects:
            found.setdefault(text(obj, "kind"), []).append(obj)
        return found

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Every entry of every webhook configuration."""
        return tuple(
            entry
            for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
            for obj in self.of_kind(kind)
            for entry in entries_of(obj)
        )

    @cached_property
    def ours(self) -> tuple[Entry, ...]:
        """Those that call gpuward."""
        return tuple(entry for entry in self.entries if entry.is_ours)

    @cached_property
    def others(self) -> tuple[Entry, ...]:
        """Those that call somebody else."""
        return tuple(entry for entry in self.entries if not entry.is_ours)

    @cached_property
    def services(self) -> tuple[tuple[str, str], ...]:
        """Namespace and name of the Services that our entries call, each once."""
        return tuple(dict.fromkeys(entry.service for entry in self.ours if entry.service is not None))

    @cached_property
    def namespaces(self) -> frozenset[str]:
        """The namespaces that gpuward itself runs in."""
        return frozenset(namespace for namespace, _ in self.services)

    def labels_of(self, namespace: str) -> Mapping[str, object]:
        """The labels of a namespace; that which Kubernetes sets itself where the Namespace is not known."""
        obj = self.find("Namespace", "", namespace)
        return namespace_labels(namespace, mapping(mapping(obj or {}, "metadata"), "labels"))

    def existing(self, names: Iterable[str]) -> list[str]:
        """Those of the names that are namespaces here. From manifests nobody can tell, so all of them may be."""
        if not self.knows("Namespace"):
            return list(names)
        known = {text(mapping(obj, "metadata"), "name") for obj in self.of_kind("Namespace")}
        return [name for name in names if name in known]

    def policies_mounted(self) -> JSONObject | None:
        """The ConfigMap of the policies that the servers read; None where it is not here."""
        for server in self.servers():
            if server.policies and (found := self.find("ConfigMap", server.namespace, server.policies)):
                return found
        return None

    def policy_resources(self) -> list[JSONObject]:
        """The custom resources that the servers read besides."""
        if not any("policy-resources" in server.flags for server in self.servers()):
            return []
        return [
            obj
            for kind in PLURALS
            for obj in self.of_kind(kind)
            if text(obj, "apiVersion") == f"{GROUP}/{VERSION}"
        ]

    def servers(self) -> Iterator[Server]:
        """The Deployments behind the Services that our entries call."""
        for namespace, name in self.services:
            service = self.find("Service", namespace, name)
            selector = mapping(mapping(service or {}, "spec"), "selector")
            for deployment in self.of_kind("Deployment"):
                metadata = mapping(deployment, "metadata")
                if text(metadata, "namespace") != namespace:
                    continue
                labels = mapping(
                    mapping(mapping(mapping(deployment, "spec"), "template"), "metadata"), "labels"
                )
                if (selector and all(labels.get(key) == value for key, value in selector.items())) or (
                    service is None and text(metadata, "name") == name
                ):
                    yield Server(deployment)


class Server:
    """A Deployment that runs gpuward."""

    def __init__(self, deployment: JSONObject) -> None:
        self.deployment = deployment
        metadata, spec = mapping(deployment, "metadata"), mapping(deployment, "spec")
        self.name = text(metadata, "name")
        self.namespace = text(metadata, "namespace")
        replicas = spec.get("replicas")
        self.replicas = replicas if type(replicas) is int else 1
        template = mapping(spec, "template")
        self.labels = mapping(mapping(template, "metadata"), "labels")
        self.pod = mapping(template, "spec")
        containers = items(self.pod, "containers")
        self.index, self.container = next(
            (
                (i, container)
                for i, container in enumerate(containers)
                if "serve" in strings(container, "args") + strings(container, "command")
            ),
            (0, containers[0] if containers else {}),
        )

    @property
    def service_account(self) -> str:
        """The name of the ServiceAccount its pods run as."""
        return text(self.pod, "serviceAccountName") or "default"

    @property
    def port(self) -> int:
        """Where it listens for admission calls."""
        return _number(self.flags.get("port"), PORT)

    @property
    def admin_port(self) -> int | None:
        """Where it answers about its health, by plain HTTP; None where it does not."""
        return _number(self.flags.get("admin-port"), ADMIN_PORT) or None

    def port_number(self, written: object) -> int | None:
        """A port of the container by its number or its name; None where it has none of that name."""
        if type(written) is str and not written.isdigit():
            named = {text(one, "name"): one.get("containerPort") for one in items(self.container, "ports")}
            written = named.get(written)
        return _number(str(written), 0) or None

    @property
    def environment(self) -> Mapping[str, JSONObject]:
        """Its environment variables, as they are written."""
        return {text(one, "name"): one for one in items(self.container, "env")}

    @property
    def asks_api_server(self) -> bool:
        """Whether it needs the API server, as the account of its pod."""
        return "no-cluster" not in self.flags and "kubeconfig" not in self.flags

    @property
    def policies(self) -> str:
        """The name of the ConfigMap that is mounted where its policies are read; empty where none is."""
        folder = self.flags.get("policies", "").rstrip("/")
        mounted = {
            text(mount, "mountPath").rstrip("/"): text(mount, "name")
            for mount in items(self.container, "volumeMounts")
        }
        if not folder or folder not in mounted:
            return ""
        return next(
            (
                text(mapping(volume, "configMap"), "name")
                for volume in items(self.pod, "volumes")
                if text(volume, "name") == mounted[folder]
            ),
            "",
        )

    @cached_property
    def flags(self) -> Mapping[str, str]:
        """The flags of ``gpuward serve`` with their values; ``$(NAME)`` is not expanded."""
        words = [*strings(self.container, "command"), *strings(self.container, "args")]
        found: dict[str, str] = {}
        for i, word in enumerate(words):
            if flag := _FLAG.fullmatch(word):
                follows = words[i + 1] if i + 1 < len(words) and not words[i + 1].startswith("--") else ""
                found[flag[1]] = follows if flag[2] is None else flag[2]
        return found


def _number(written: str | None, default: int) -> int:
    return int(written) if written and written.isascii() and written.isdigit() else default
