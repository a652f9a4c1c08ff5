"""Which requests an admission policy or a binding is about: ``matchConstraints`` and ``matchResources``.

Source: k8s.io/apiserver ``pkg/admission/plugin/policy/matching`` and ``pkg/admission/plugin/webhook/predicates``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from webhook.kube.kinds import BUILT_IN
from webhook.kube.resources import NAMESPACES, GroupVersionResource, equivalents
from webhook.kube.shape import JSONObject, mapping
from webhook.policy.kubernetes.documents import MatchResources, NamedRuleWithOperations
from webhook.policy.match import Labels, label_selector


class Attributes(Struct, frozen=True):
    """What matching asks about a request.

    ``namespace`` is the object's own name for a Namespace, and empty for other objects outside namespaces;
    ``namespace_labels`` are what ``namespaceSelector`` looks at. ``converted`` is the resource of the version in which
    the object is here, where that is not the version of the request.
    """

    resource: GroupVersionResource
    subresource: str
    operation: str
    namespace: str
    name: str
    namespace_labels: Mapping[str, Any]
    obj: JSONObject | None
    old_object: JSONObject | None
    converted: GroupVersionResource | None = None


class Rule:
    """One entry of ``resourceRules`` or ``excludeResourceRules``."""

    __slots__ = ("_groups", "_names", "_operations", "_resources", "_scope", "versions")

    def __init__(self, rule: NamedRuleWithOperations) -> None:
        self._groups: Final = frozenset(rule.apiGroups or ())
        self.versions: Final = frozenset(rule.apiVersions or ())
        self._operations: Final = frozenset(rule.operations or ())
        self._resources: Final = tuple(_split(resource) for resource in rule.resources or ())
        self._scope: Final = rule.scope or "*"
        self._names: Final = frozenset(rule.resourceNames or ())

    def admits(
        self, resource: GroupVersionResource, subresource: str, operation: str, *, namespaced: bool
    ) -> bool:
        """Whether requests of this kind can match."""
        return (
            (self._scope == "*" or namespaced == (self._scope == "Namespaced"))
            and ("*" in self._operations or operation in self._operations)
            and ("*" in self._groups or resource.group in self._groups)
            and ("*" in self.versions or resource.version in self.versions)
            and any(
                name in ("*", resource.resource) and sub in ("*", subresource)
                for name, sub in self._resources
            )
        )

    def names(self, name: str) -> bool:
        """Whether objects of this name can match."""
        return not self._names or name in self._names


def _split(resource: str) -> tuple[str, str]:
    name, _, sub = resource.partition("/")
    return name, sub


class ResourceMatcher:
    """A compiled ``matchConstraints`` or ``matchResources``.

    It is asked in two steps: ``admits``, whose answers can be kept, and ``matches``.
    """

    __slots__ = ("_exact", "_excluded", "_namespace_selector", "_object_selector", "_rules", "_versions")

    def __init__(self, resources: MatchResources | None) -> None:
        """Without ``resources``, everything matches, as a binding without ``matchResources`` does."""
        given = resources or MatchResources()
        self._rules: Final = tuple(map(Rule, given.resourceRules or ()))
        self._excluded: Final = tuple(map(Rule, given.excludeResourceRules or ()))
        self._exact: Final = given.matchPolicy == "Exact"
        self._namespace_selector: Final = label_selector(given.namespaceSelector)
        self._object_selector: Final = _object_selector(given)
        self._versions: Final = frozenset[str]().union(
            *(rule.versions for rule in (*self._rules, *self._excluded))
        )

    def admits(
        self, resource: GroupVersionResource, subresource: str, operation: str, *, namespaced: bool
    ) -> bool:
        """Whether requests about this resource can match, whatever else they are."""
        asked = self._names_of(resource, None)
        return not self._rules or any(
            rule.admits(name, subresource, operation, namespaced=_namespaced(name, namespaced))
            for rule in self._rules
            for name in asked
        )

    def matches(self, attributes: Attributes) -> bool:
        """Whether the request matches."""
        if not self._matches_namespace(attributes) or not self._matches_object(attributes):
            return False
        if self._one_of(self._excluded, attributes):
            return False
        return not self._rules or self._one_of(self._rules, attributes)

    def wanted(self, attributes: Attributes) -> GroupVersionResource | None:
        """In which version the API server would show the object of a request that matches, where that is not the
        version it has here. None also for custom resources: most of them are the same in all versions.
        """
        here = attributes.converted or attributes.resource
        if not self._rules or here.group not in BUILT_IN:
            return None
        names = [
            name
            for name in self._names_of(attributes.resource, attributes.converted)
            if any(self._admits(rule, name, attributes) for rule in self._rules)
        ]
        if attributes.resource in names:
            wanted = attributes.resource
        else:
            wanted = here if here in names or not names else names[0]
        return None if wanted == here else wanted

    def _matches_namespace(self, attributes: Attributes) -> bool:
        if self._namespace_selector is None:
            return True
        if not attributes.namespace and attributes.resource.resource != NAMESPACES.resource:
            # What lives in no namespace cannot be told apart by one, and so is never left out.
            return True
        return self._namespace_selector(attributes.namespace_labels)

    def _matches_object(self, attributes: Attributes) -> bool:
        selector = self._object_selector
        if selector is None:
            return True
        return any(
            obj is not None and selector(mapping(mapping(obj, "metadata"), "labels"))
            for obj in (attributes.obj, attributes.old_object)
        )

    def _one_of(self, rules: Iterable[Rule], attributes: Attributes) -> bool:
        asked = self._names_of(attributes.resource, attributes.converted)
        return any(self._admits(rule, name, attributes) for rule in rules for name in asked)

    @staticmethod
    def _admits(rule: Rule, name: GroupVersionResource, attributes: Attributes) -> bool:
        namespaced = _namespaced(name, bool(attributes.namespace))
        return rule.names(attributes.name) and rule.admits(
            name, attributes.subresource, attributes.operation, namespaced=namespaced
        )

    def _names_of(
        self, resource: GroupVersionResource, converted: GroupVersionResource | None
    ) -> tuple[GroupVersionResource, ...]:
        """The resource of the request, and with matchPolicy Equivalent what else the API calls it."""
        if self._exact:
            return (resource,)
        others = [] if converted is None else [converted]
        return (resource, *others, *equivalents(resource, self._versions))


def _namespaced(resource: GroupVersionResource, in_namespace: bool) -> bool:
    # A request about a Namespace has its name as the namespace, and is about what lives in none.
    return in_namespace and resource != NAMESPACES


def _object_selector(resources: MatchResources) -> Callable[[Labels], bool] | None:
    selector = resources.objectSelector
    if selector is None or not (selector.matchLabels or selector.matchExpressions):
        # An empty one selects all, also what has no object.
        return None
    return label_selector(selector)
