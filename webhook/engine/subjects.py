"""The policies and pods of one review: who is judged by what, and what is worked out once for all rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from webhook.engine.decision import Exempted, Facts
from webhook.engine.ruleset import NOTHING, Block, CompiledException, CompiledPolicy, Ruleset, Selection
from webhook.kube.gvk import POD
from webhook.kube.path import Path
from webhook.kube.pod import Pod
from webhook.kube.review import AdmissionRequest
from webhook.kube.shape import JSONObject
from webhook.kube.workloads import find_pods
from webhook.policy.match import Labels, namespace_labels

if TYPE_CHECKING:
    from webhook.policy.cel import Scope


def select(ruleset: Ruleset, request: AdmissionRequest, facts: Facts) -> Selection:
    """The policies that match the request, each with its effective action."""
    if facts.mode is None:
        return NOTHING
    asked = (request.kind, request.operation, request.namespace, facts.mode)
    selection = ruleset.select(*asked, facts.namespace_labels)
    if not selection.asks_who:
        return selection
    return Selection.of(
        [
            chosen
            for chosen in selection.policies
            if not chosen.policy.match.matcher.asks_who
            or chosen.policy.match.matcher.matches_request(request)
        ]
    )


class State:
    """One state of the object (as it came, or after mutations), its pods, and what CEL sees of them."""

    __slots__ = ("_object_scope", "_pod_scopes", "_subjects", "object", "pods")

    def __init__(self, subjects: Subjects, obj: JSONObject | None, pods: tuple[Pod, ...]) -> None:
        self._subjects = subjects
        self.object = obj
        self.pods = pods
        self._object_scope: Scope | None = None
        self._pod_scopes: dict[int, Scope] = {}

    def roots(self) -> dict[int, JSONObject]:
        """What the pods stand in, each once: the object itself and, in some workloads, pods put together from its
        parts. Keys are the same in every state of the object."""
        obj = {id(self._subjects.request.obj): self.object or {}}
        return obj if self._subjects.is_pod else {id(pod.written): pod.root for pod in self.pods} | obj

    def after(self, roots: Mapping[int, JSONObject]) -> State:
        """The state after changes to those roots."""
        obj = roots[id(self._subjects.request.obj)]
        return State(self._subjects, obj, tuple([pod.after(roots[id(pod.written)]) for pod in self.pods]))

    def object_scope(self) -> Scope:
        """What an expression about the object itself sees. Converted to CEL once."""
        if self._object_scope is None:
            self._object_scope = self._subjects.scope(self.object, self._subjects.request.old_object)
        return self._object_scope

    def pod_scope(self, pod: Pod) -> Scope:
        """What an expression about a pod sees: the pod as an object, also where it is a template in a workload."""
        if self._subjects.is_pod:
            return self.object_scope()
        scope = self._pod_scopes.get(id(pod))
        if scope is None:
            namespace = self._subjects.request.namespace
            old = self._subjects.old_pod(pod)
            scope = self._subjects.scope(
                pod.as_object(namespace), None if old is None else old.as_object(namespace)
            )
            self._pod_scopes[id(pod)] = scope
        return scope


class Subjects:
    """What one review is about. Lives as long as the review.

    It knows no ``State``: states know their subjects, and a circle of the two would keep every request in memory
    until the garbage collector comes by, which costs more than the review itself.
    """

    __slots__ = ("_attributes", "_old_pods", "exempted", "facts", "is_pod", "request", "ruleset")

    def __init__(self, request: AdmissionRequest, ruleset: Ruleset, facts: Facts) -> None:
        self.request = request
        self.ruleset = ruleset
        self.facts = facts
        self.is_pod = request.kind == POD
        self.exempted: list[Exempted] = []
        self._attributes: JSONObject | None = None
        self._old_pods: Mapping[Path, Pod] | None = None

    def original(self) -> State:
        """The object as it came."""
        return State(self, self.request.obj, self._pods(self.request.obj))

    def _pods(self, obj: JSONObject | None) -> tuple[Pod, ...]:
        if obj is None:
            return ()
        ruleset = self.ruleset
        return find_pods(
            self.request.kind, obj, ruleset.catalog, self.facts.device_classes, ruleset.workloads
        )

    def applies_to_pod(self, policy: CompiledPolicy, pod: Pod, state: State) -> bool:
        """Whether the policy is about this pod.

        Raises:
            CelEvaluationError: a condition could not be evaluated.
        """
        if not policy.match.matcher.matches_pod(pod):
            return False
        if policy.match.conditions and not self._conditions_hold(policy.match, state.pod_scope(pod)):
            return False
        return not policy.exclude or not any(
            self._may_exclude(block)
            and block.matcher.matches_pod(pod)
            and (not block.conditions or self._conditions_hold(block, state.pod_scope(pod)))
            for block in policy.exclude
        )

    def applies_to_object(self, policy: CompiledPolicy, state: State) -> bool:
        """Whether the policy is about this object itself.

        Raises:
            CelEvaluationError: a condition could not be evaluated.
        """
        judged = state.object if state.object is not None else self.request.old_object
        if not policy.match.matcher.matches_object(judged):
            return False
        if policy.match.conditions and not self._conditions_hold(policy.match, state.object_scope()):
            return False
        return not any(
            self._may_exclude(block)
            and block.matcher.matches_object(judged)
            and (not block.conditions or self._conditions_hold(block, state.object_scope()))
            for block in policy.exclude
        )

    def _namespace_labels(self) -> Labels:
        return namespace_labels(self.request.namespace, self.facts.namespace_labels)

    def _may_exclude(self, block: Block) -> bool:
        request = self.request
        matcher = block.matcher
        return (
            matcher.admits(request.kind, request.operation, request.namespace)
            and (not matcher.asks_about_namespace or matcher.selects_namespace(self._namespace_labels()))
            and (not matcher.asks_who or matcher.matches_request(request))
        )

    @staticmethod
    def _conditions_hold(block: Block, scope: Scope) -> bool:
        return all(condition.program.evaluate(scope) for condition in block.conditions)

    def exception(self, policy: CompiledPolicy, rule: str, labels: JSONObject) -> CompiledException | None:
        """The exception that frees these labels from this rule, if any."""
        today = self.facts.now.date() if self.facts.now is not None else None
        for exception in policy.exceptions:
            if exception.covers(rule) and exception.applies(
                self.request, labels, today, self._namespace_labels
            ):
                return exception
        return None

    def used(self, policy: CompiledPolicy, rule: str, exception: CompiledException) -> None:
        """Record that an exception has freed something from a rule which would have had something to say or change."""
        use = Exempted(policy.name, rule, exception.name, exception.reason)
        if use not in self.exempted:
            self.exempted.append(use)

    def exempt(self, policy: CompiledPolicy, rule: str, labels: JSONObject) -> bool:
        """Whether an exception frees these labels from what this rule has found; records the use."""
        exception = self.exception(policy, rule, labels)
        if exception is not None:
            self.used(policy, rule, exception)
        return exception is not None

    def scope(self, obj: JSONObject | None, old_object: JSONObject | None) -> Scope:
        """The variables of a ValidatingAdmissionPolicy."""
        from webhook.policy.cel import Scope

        return Scope(
            object=obj,
            old_object=old_object,
            request=self._request_attributes(),
            namespace_object=self._namespace_object(),
        )

    def old_pod(self, pod: Pod) -> Pod | None:
        """The pod that stood at the same place before an update."""
        if self._old_pods is None:
            self._old_pods = {old.place: old for old in self._pods(self.request.old_object)}
        return self._old_pods.get(pod.place)

    def _request_attributes(self) -> JSONObject:
        """``request`` as expressions see it: the attributes of the admission request without the objects."""
        if self._attributes is None:
            request = self.request
            kind = {"group": request.kind.group, "version": request.kind.version, "kind": request.kind.kind}
            attributes: JSONObject = {
                "uid": request.uid,
                "kind": kind,
                "requestKind": kind,
                "name": request.name,
                "namespace": request.namespace,
                "operation": request.operation,
                "userInfo": {"username": request.username, "groups": list(request.groups)},
                "subResource": request.subresource,
                "dryRun": request.dry_run,
            }
            attributes.update((k, v) for k, v in request.raw.items() if k not in ("object", "oldObject"))
            self._attributes = attributes
        return self._attributes

    def _namespace_object(self) -> JSONObject | None:
        """``namespaceObject``: the Namespace, null for objects that are in none."""
        if not self.request.namespace:
            return None
        if self.facts.namespace_object is not None:
            return self.facts.namespace_object
        return {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": self.request.namespace,
                "labels": self._namespace_labels(),
            },
        }
