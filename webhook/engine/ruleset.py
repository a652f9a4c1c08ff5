"""A compiled policy set: immutable, and indexed so that cost grows with the rules that match, not with all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import force_setattr

from webhook.kube.accelerators import Catalog
from webhook.kube.gvk import GroupVersionKind
from webhook.kube.path import Path
from webhook.kube.workloads import Finders
from webhook.policy.findings import EFFECTIVE_ACTION, Action, Mode, Severity
from webhook.policy.match import KindPattern, Labels, Listed, Matcher, Names, namespace_labels, object_name
from webhook.policy.rule import Check, Mutation, ObjectCheck

if TYPE_CHECKING:
    from webhook.engine.kubernetes.admission import KubernetesAdmission
    from webhook.kube.review import AdmissionRequest
    from webhook.policy.cel import Program


class MutationRule(Struct, frozen=True):
    """One entry of a policy's ``mutate``."""

    name: str
    mutation: Mutation


class CheckRule(Struct, frozen=True):
    """One entry of a policy's ``validate`` that names a check of pods."""

    name: str
    check: Check
    severity: Severity


class ObjectCheckRule(Struct, frozen=True):
    """One entry of a policy's ``validate`` that names a check of objects as they are."""

    name: str
    check: ObjectCheck
    severity: Severity


class ExpressionRule(Struct, frozen=True):
    """One entry of a policy's ``validate`` that is a CEL expression.

    ``path`` is relative to what is judged, which ``on_pods`` tells: each pod, or the object itself.
    """

    name: str
    program: Program
    message: str
    message_program: Program | None
    reason: str
    path: Path
    severity: Severity
    on_pods: bool


class MatchCondition(Struct, frozen=True):
    """One CEL condition of a ``match`` or ``exclude`` block."""

    name: str
    program: Program


class Block(Struct, frozen=True):
    """A compiled ``match`` or ``exclude`` block: the matcher and its CEL conditions."""

    matcher: Matcher
    conditions: tuple[MatchCondition, ...]


def _is_over(expires: date | None, today: date | None) -> bool:
    """Whether the last day is past. Without a day, nothing expires."""
    return expires is not None and today is not None and today > expires


class CompiledException(Struct, frozen=True):
    """One exception: whom it is for (all parts must hold), from which rules, until when."""

    name: str
    reason: str
    expires: date | None
    namespaces: Names
    names: Names
    labels: Mapping[str, str]
    users: Names
    groups: Names
    rules: frozenset[str]
    kinds: tuple[KindPattern, ...] = ()
    operations: frozenset[str] = frozenset()
    namespace_selector: Callable[[Labels], bool] | None = None

    def applies(
        self,
        request: AdmissionRequest,
        labels: Mapping[str, object],
        today: date | None,
        namespace_labels: Callable[[], Labels],
    ) -> bool:
        """Whether it holds for this request and these labels on this day (UTC). Without a day, nothing expires.

        ``namespace_labels`` is asked only by an exception that selects by them.
        """
        if _is_over(self.expires, today):
            return False
        if self.kinds and not any(kind.matches(request.kind) for kind in self.kinds):
            return False
        if self.operations and not {request.operation, "*"} & self.operations:
            return False
        if self.namespace_selector is not None and not (
            request.namespace and self.namespace_selector(namespace_labels())
        ):
            return False
        return (
            (self.namespaces.everything or self.namespaces.match(request.namespace))
            and (self.names.everything or self.names.match(object_name(request)))
            and all(labels.get(key) == value for key, value in self.labels.items())
            and self.users.match(request.username)
            and self.groups.match_any(request.groups)
        )

    def covers(self, rule: str) -> bool:
        """Whether it excepts from this rule; one without a list of rules excepts from the whole policy."""
        return not self.rules or rule in self.rules


class CompiledPolicy(Struct, frozen=True):
    """One policy, ready to run."""

    name: str
    title: str
    category: str
    severity: Severity
    action: Action
    fail_closed: bool
    match: Block
    exclude: tuple[Block, ...]
    mutations: tuple[MutationRule, ...]
    checks: tuple[CheckRule, ...]
    expressions: tuple[ExpressionRule, ...]
    exceptions: tuple[CompiledException, ...]
    object_checks: tuple[ObjectCheckRule, ...] = ()
    reads_managed_fields: bool = False
    """Whether one of its expressions may look at ``metadata.managedFields``."""

    # What follows from the above and is asked in every review: whatever is given for it, it is worked out.
    judges: bool = False
    """Whether it has rules that judge, of any kind."""
    judges_objects: bool = False
    """Whether some of these judge objects as they are."""
    workload_checks: tuple[CheckRule, ...] = ()
    """Those of its checks that have something to say about all pods of an object together."""
    about_every_pod: bool = False
    """Whether there is no pod in an object it matches that it is not about."""

    def __post_init__(self) -> None:
        judges_objects = bool(self.object_checks) or not all(e.on_pods for e in self.expressions)
        derived = {
            "judges": bool(self.checks or self.expressions or self.object_checks),
            "judges_objects": judges_objects,
            "workload_checks": tuple(
                rule for rule in self.checks if type(rule.check).check_workload is not Check.check_workload
            ),
            "about_every_pod": not (
                self.match.matcher.asks_about_pods or self.match.conditions or self.exclude
            ),
        }
        for name, value in derived.items():
            force_setattr(self, name, value)


class Identities:
    """Names of users or groups, and globs over them; an empty list stands for nobody.

    Names that begin with ``system:`` are those of the cluster's own accounts and groups. Only a pattern that begins so
    itself matches one.
    """

    __slots__ = ("_of_cluster", "_others")

    def __init__(self, names: Iterable[str]) -> None:
        given = tuple(names)
        self._of_cluster = Listed(name for name in given if name.startswith(CLUSTERS_OWN))
        self._others = Listed(name for name in given if not name.startswith(CLUSTERS_OWN))

    def match(self, name: str) -> bool:
        return (self._of_cluster if name.startswith(CLUSTERS_OWN) else self._others).match(name)

    def match_any(self, names: Iterable[str]) -> bool:
        return any(map(self.match, names))


# Source: kubernetes.io "Using RBAC Authorization": the prefix system: is reserved for Kubernetes' own use.
CLUSTERS_OWN: Final = "system:"


class CompiledBreakGlass(Struct, frozen=True):
    """One entry of break-glass: who passes (any of the users or groups), where, why, until when."""

    name: str
    reason: str
    expires: date | None
    users: Identities
    groups: Identities
    namespaces: Names

    def applies(self, request: AdmissionRequest, today: date | None) -> bool:
        """Whether it holds for this request on this day (UTC). Without a day, nothing expires."""
        if _is_over(self.expires, today):
            return False
        return (self.namespaces.everything or self.namespaces.match(request.namespace)) and (
            self.users.match(request.username) or self.groups.match_any(request.groups)
        )


# Kind, operation, namespace and its labels repeat in nearly every request; the bound only stops a flood of names.
_MEMO_LIMIT: Final = 20_000


# Kind, operation and namespace, and the namespace's labels where they matter.
_Asked = tuple[Any, ...]


class Selected(Struct, frozen=True):
    """A policy that matches a request, and its effective action there."""

    policy: CompiledPolicy
    action: Action


class Selection(Struct, frozen=True):
    """Policies that match a request, in order, and which of them do what.

    ``judging`` have rules that judge. ``applying`` and ``recording`` have mutations, which are carried out or, in a
    namespace or a policy that is only audited, recorded. ``asks_who`` tells whether one of them is about certain users
    or names.
    """

    policies: tuple[Selected, ...]
    judging: tuple[Selected, ...]
    applying: tuple[Selected, ...]
    recording: tuple[Selected, ...]
    asks_who: bool

    @classmethod
    def of(cls, policies: Iterable[Selected]) -> Selection:
        policies = tuple(policies)
        mutating = [chosen for chosen in policies if chosen.policy.mutations]
        return cls(
            policies,
            tuple(chosen for chosen in policies if chosen.policy.judges),
            tuple(chosen for chosen in mutating if chosen.action is not Action.AUDIT),
            tuple(chosen for chosen in mutating if chosen.action is Action.AUDIT),
            any(chosen.policy.match.matcher.asks_who for chosen in policies),
        )


NOTHING: Final = Selection.of(())


class Ruleset:
    """The policies in force, and the accelerators and workloads they know.

    Policies run in the order of their names, so that the same set gives the same decision however it was loaded.
    """

    __slots__ = (
        "_candidates",
        "_selections",
        "break_glass",
        "catalog",
        "kubernetes",
        "policies",
        "reads_managed_fields",
        "workloads",
    )

    def __init__(
        self,
        policies: Iterable[CompiledPolicy],
        catalog: Catalog,
        workloads: Finders = MappingProxyType({}),
        break_glass: Iterable[CompiledBreakGlass] = (),
        kubernetes: KubernetesAdmission | None = None,
    ) -> None:
        """``workloads`` finds the pods of kinds that are described in configuration; ``kubernetes`` are admission
        policies of Kubernetes' own, None where there are none."""
        self.break_glass: Final = tuple(sorted(break_glass, key=lambda entry: entry.name))
        self.policies: Final = tuple(sorted(policies, key=lambda policy: policy.name))
        self.catalog: Final = catalog
        self.workloads: Final = workloads
        self.kubernetes: Final = kubernetes
        # Rules of the library leave managed fields alone. Kubernetes' own policies see whole objects.
        self.reads_managed_fields: Final = kubernetes is not None or any(
            policy.reads_managed_fields for policy in self.policies
        )
        """Whether reviews need ``metadata.managedFields`` of their objects."""
        # Only caches of answers that never change: the ruleset stays immutable to everyone outside.
        self._candidates: dict[_Asked, tuple[CompiledPolicy, ...]] = {}
        self._selections: dict[_Asked, tuple[Labels, Selection]] = {}

    def names(self) -> tuple[str, ...]:
        """The names of all policies."""
        own = tuple(policy.name for policy in self.policies)
        return own if self.kubernetes is None else own + self.kubernetes.names()

    def candidates(
        self, kind: GroupVersionKind, operation: str, namespace: str
    ) -> tuple[CompiledPolicy, ...]:
        """The policies that can match requests of this kind, operation and namespace, in order."""
        key: _Asked = (kind, operation, namespace)
        found = self._candidates.get(key)
        if found is None:
            if len(self._candidates) >= _MEMO_LIMIT:
                self._candidates.clear()
            found = self._candidates[key] = tuple(
                p for p in self.policies if p.match.matcher.admits(kind, operation, namespace)
            )
        return found

    def select(
        self, kind: GroupVersionKind, operation: str, namespace: str, mode: Mode, labels: Labels
    ) -> Selection:
        """Those of the candidates that select a namespace with these ``labels``, and their effective actions in this
        mode."""
        key: _Asked = (kind, operation, namespace, mode)
        last = self._selections.get(key)
        # The cache of namespaces gives the same map until the namespace changes.
        if last is not None and last[0] is labels:
            return last[1]
        whole = namespace_labels(namespace, labels)
        selection = Selection.of(
            Selected(p, EFFECTIVE_ACTION[p.action, mode])
            for p in self.candidates(kind, operation, namespace)
            if p.match.matcher.selects_namespace(whole)
        )
        if len(self._selections) >= _MEMO_LIMIT:
            self._selections.clear()
        self._selections[key] = labels, selection
        return selection
