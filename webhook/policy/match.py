"""Matching: which requests, objects and pods a policy is about. Everything is parsed when the policy is compiled."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from fnmatch import translate
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

from webhook.kube.gvk import GroupVersionKind
from webhook.kube.kinds import BUILT_IN, KNOWN, Kind, group_of, has_version, known_kinds, stable_versions
from webhook.kube.names import NAMESPACE_NAME_LABEL
from webhook.kube.shape import mapping, text
from webhook.kube.workloads import may_carry_pods
from webhook.policy.problems import did_you_mean

if TYPE_CHECKING:
    from webhook.kube.pod import Pod
    from webhook.kube.review import AdmissionRequest

Labels = Mapping[str, Any]

_LabelTest = Callable[[Labels, str, tuple[str, ...]], bool]


class SelectorLike(Protocol):
    """The part of a Kubernetes LabelSelector that matters: as the policy model has it."""

    @property
    def matchLabels(self) -> Mapping[str, str]: ...  # noqa: N802 - Kubernetes' own field name
    @property
    def matchExpressions(self) -> Sequence[Any]: ...  # noqa: N802 - Kubernetes' own field name


def namespace_labels(name: str, labels: Labels) -> dict[str, Any]:
    """The labels of the namespace of a request, with the one that Kubernetes sets itself: offline nobody has, and
    selectors rely on it. ``name`` is empty where the object is in none."""
    return {**labels, NAMESPACE_NAME_LABEL: name} if name else dict(labels)


def label_selector(selector: SelectorLike | None) -> Callable[[Labels], bool] | None:
    """A function that says whether labels are selected; None for no selector.

    Source: k8s.io/apimachinery ``labels.Selector``: NotIn and DoesNotExist also select objects without the label.
    """
    if selector is None:
        return None
    # Equality first: it is what nearly every selector is made of.
    tests: list[tuple[_LabelTest, str, tuple[str, ...]]] = [
        (_is_one_of, key, (value,)) for key, value in selector.matchLabels.items()
    ]
    tests += [(_OPERATORS[e.operator], e.key, tuple(e.values)) for e in selector.matchExpressions]

    def selects(labels: Labels) -> bool:
        for test, key, values in tests:  # noqa: SIM110 - a generator costs more than the comparisons
            if not test(labels, key, values):
                return False
        return True

    return selects


# Values are compared in tuples, not sets: a malformed label can be a map, which has no hash.
def _is_one_of(labels: Labels, key: str, values: tuple[str, ...]) -> bool:
    return labels.get(key) in values


_OPERATORS: Final[Mapping[str, _LabelTest]] = {
    "In": _is_one_of,
    "NotIn": lambda labels, key, values: labels.get(key) not in values,
    "Exists": lambda labels, key, _: key in labels,
    "DoesNotExist": lambda labels, key, _: key not in labels,
}


class Names:
    """A list of names and globs (``*``, ``?``, ``[...]``); an empty list stands for all."""

    __slots__ = ("_glob", "_literal", "everything")

    def __init__(self, names: Iterable[str]) -> None:
        given = tuple(names)
        globs = [name for name in given if re.search(r"[*?\[]", name)]
        self.everything = not given
        self._literal = frozenset(given) - frozenset(globs)
        self._glob = re.compile("|".join(map(translate, globs))) if globs else None

    def match(self, name: str) -> bool:
        return (
            self.everything
            or name in self._literal
            or (self._glob is not None and self._glob.match(name) is not None)
        )

    def match_any(self, names: Iterable[str]) -> bool:
        return self.everything or any(map(self.match, names))


class Listed(Names):
    """As ``Names``, but an empty list stands for none: those that a rule makes an exception for."""

    __slots__ = ()

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(names)
        self.everything = False


class KindPattern(NamedTuple):
    """One entry of ``match.kinds``; ``*`` matches anything."""

    group: str
    version: str
    kind: str

    def matches(self, gvk: GroupVersionKind) -> bool:
        return (
            self.kind in ("*", gvk.kind)
            and self.group in ("*", gvk.group)
            and self.version in ("*", gvk.version)
        )

    def may_match(self, kind: Kind) -> bool:
        """Whether it matches some version of this kind."""
        return self.group in ("*", kind[0]) and self.kind in ("*", kind[1])

    def may_carry_pods(self) -> bool:
        """Whether it matches some kind whose objects can describe pods."""
        return "*" in (self.group, self.kind) or may_carry_pods(GroupVersionKind(self.group, "", self.kind))


def parse_kind(written: str, declared: Collection[Kind] = ()) -> KindPattern:
    """Read ``Pod``, ``v1/Pod``, ``apps/v1/Deployment``, ``batch/*/Job`` or ``*``.

    ``declared`` are kinds that configuration says exist, besides those that are known.

    Raises:
        ValueError: not of that form, or a kind that does not exist; the message says what was meant.
    """
    parts = written.split("/")
    if written == "*":
        return KindPattern("*", "*", "*")
    kind = parts[-1]
    if len(parts) == 1:
        group = group_of(kind, declared)
        if group is None:
            hint = did_you_mean(kind, known_kinds(declared)) or "name a custom resource as group/version/Kind"
            raise ValueError(f'unknown kind "{kind}"; {hint}')
        return KindPattern(group, "*", kind)
    if len(parts) > 3 or not all(parts):
        raise ValueError(f'"{written}" is no kind; write Kind, version/Kind or group/version/Kind')
    group, version = ("", parts[0]) if len(parts) == 2 else (parts[0], parts[1])
    if version != "*" and not re.fullmatch(r"v\d+((alpha|beta)\d+)?", version):
        raise ValueError(
            f'"{version}" in "{written}" is no API version; write group/version/Kind, such as apps/v1/Deployment'
        )
    _check_group(group, version, written)
    if group in KNOWN and kind != "*" and kind not in KNOWN[group] and (group, kind) not in declared:
        elsewhere = group_of(kind)
        hint = did_you_mean(kind, KNOWN[group])
        if elsewhere is not None and elsewhere != group:
            hint = f'did you mean "{elsewhere + "/" if elsewhere else ""}{version}/{kind}"?'
        where = f'group "{group}"' if group else "the core group"
        raise ValueError(f'{where} has no kind "{kind}"' + (f"; {hint}" if hint else ""))
    return KindPattern(group, version, kind)


def _check_group(group: str, version: str, written: str) -> None:
    """Raises: ValueError: there can be no such group, or it has no such version."""
    if group in BUILT_IN:
        if not has_version(group, version):
            name = f'group "{group}"' if group else "the core group"
            known = " and ".join(stable_versions(group))
            raise ValueError(
                f'{name} has no version "{version}" ("{written}"); it has {known}, and * stands for any'
            )
    elif group == "core":
        kind = written.rpartition("/")[2]
        raise ValueError(f'the core group has no name; write {version}/{kind} instead of "{written}"')
    # Groups of custom resources are domains: k8s.io/apiextensions-apiserver, ValidateCustomResourceDefinition.
    elif "." not in group and group != "*" and group not in KNOWN:
        hint = (
            did_you_mean(group, filter(None, KNOWN))
            or "groups of custom resources are domains, such as ray.io"
        )
        raise ValueError(f'there is no API group "{group}" ("{written}"); {hint}')


class Matcher:
    """A compiled ``match`` or ``exclude`` block.

    It is asked in steps, from what is the same for many requests to what is one pod's own: ``admits`` (kind, operation,
    namespace name) and ``selects_namespace``, whose answers the ruleset keeps, ``matches_request``, ``matches_pod``.
    Conditions in CEL are the caller's.
    """

    __slots__ = (
        "_accelerators",
        "_any_kind",
        "_groups",
        "_names",
        "_namespace_selector",
        "_namespaces",
        "_object_kinds",
        "_object_selector",
        "_operations",
        "_pods",
        "_users",
        "asks_about_namespace",
        "asks_about_pods",
        "asks_who",
        "kinds",
    )

    def __init__(
        self,
        match: Any,
        *,
        excludes: bool = False,
        declared: Collection[Kind] = (),
        pods: bool = True,
        object_kinds: Collection[Kind] = (),
    ) -> None:
        """``match`` is a ``webhook.policy.model.Match``.

        Where it names no kinds they are what the policy's rules judge: ``pods``, wherever they are described, and
        objects of the ``object_kinds``. In a block that excludes, kinds and operations that are not written stand for
        all of them: what is excluded by user or namespace is excluded whatever the policy is about. ``declared`` is
        as for ``parse_kind``.

        Raises:
            ValueError: a kind cannot be meant (see ``parse_kind``).
        """
        self.kinds = tuple(parse_kind(kind, declared) for kind in match.kinds)
        self._any_kind = excludes and not self.kinds
        self._pods = pods
        self._object_kinds = frozenset(object_kinds)
        unwritten = excludes and not match.names_operations
        self._operations: frozenset[str] = frozenset({"*"} if unwritten else match.operations)
        self._namespaces = Names(match.namespaces)
        self._names = Names(match.names)
        self._users = Names(match.users)
        self._groups = Names(match.groups)
        self._namespace_selector = label_selector(match.namespaceSelector)
        self._object_selector = label_selector(match.objectSelector)
        self._accelerators: Literal["Required", "None", "Any"] = match.accelerators
        self.asks_about_namespace: bool = self._namespace_selector is not None
        """Whether ``selects_namespace`` can say no at all."""
        self.asks_who: bool = not (
            self._names.everything and self._users.everything and self._groups.everything
        )
        """Whether ``matches_request`` can."""
        self.asks_about_pods: bool = not (self._accelerators == "Any" and self._object_selector is None)
        """Whether ``matches_pod`` can."""

    def admits(self, kind: GroupVersionKind, operation: str, namespace: str) -> bool:
        """Whether requests of this kind, operation and namespace can match at all."""
        if self._any_kind:
            pass
        elif self.kinds:
            if not any(pattern.matches(kind) for pattern in self.kinds):
                return False
        elif not (self._pods and may_carry_pods(kind)) and (kind.group, kind.kind) not in self._object_kinds:
            return False
        if operation not in self._operations and "*" not in self._operations:
            return False
        return self._namespaces.everything or (namespace != "" and self._namespaces.match(namespace))

    def selects_namespace(self, labels: Labels) -> bool:
        """Whether the labels of the request's namespace match."""
        return self._namespace_selector is None or self._namespace_selector(labels)

    def matches_request(self, request: AdmissionRequest) -> bool:
        """Whether who asks and the object's name match."""
        if not self._names.everything and not self._names.match(object_name(request)):
            return False
        return self._users.match(request.username) and self._groups.match_any(request.groups)

    def matches_pod(self, pod: Pod) -> bool:
        """Whether the pod's labels and accelerators match."""
        if self._accelerators != "Any" and pod.requests_accelerator is not (self._accelerators == "Required"):
            return False
        return self._object_selector is None or self._object_selector(pod.labels)

    def matches_object(self, obj: Mapping[str, Any] | None) -> bool:
        """Whether an object that is judged as it is, not for its pods, matches by its labels."""
        return self._object_selector is None or self._object_selector(
            mapping(mapping(obj or {}, "metadata"), "labels")
        )


def object_name(request: AdmissionRequest) -> str:
    """The object's name; ``generateName`` where the API server has not made one yet."""
    if request.name:
        return request.name
    metadata = mapping(request.obj or request.old_object or {}, "metadata")
    return text(metadata, "name") or text(metadata, "generateName")
