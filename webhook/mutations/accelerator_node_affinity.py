"""The mutation ``accelerator-node-affinity``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from typing import Annotated, Any, Final, Literal

from webhook.kube.accelerators import Accelerator, NodeRequirement
from webhook.kube.names import label_key_problem, label_value_problem
from webhook.kube.path import MISSING
from webhook.kube.pod import Pod
from webhook.kube.shape import JSONObject, items, mapping
from webhook.policy.constraints import Ge, Le, MinLen
from webhook.policy.draft import Draft
from webhook.policy.rule import Context, Mutation, ParameterError
from webhook.policy.strict import Strict

NodeOperator = Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]

_AFFINITY: Final = ("affinity", "nodeAffinity")
_REQUIRED: Final = (*_AFFINITY, "requiredDuringSchedulingIgnoredDuringExecution")
_PREFERRED: Final = (*_AFFINITY, "preferredDuringSchedulingIgnoredDuringExecution")

# Distinct resource names a cluster uses are few; the bound only keeps hostile input from growing the memo.
_MEMO_LIMIT: Final = 4096


class NodeExpression(Strict, frozen=True):
    """A condition on the labels of nodes, for pods that request certain accelerators."""

    resource: Annotated[str, MinLen(1)]
    """Whom it concerns: pods that request a resource of this name or claim a device of this DeviceClass.
    Globs are allowed, such as ``nvidia.com/*``."""
    key: str
    """The node label's key."""
    operator: NodeOperator
    """How the label relates to ``values``."""
    values: tuple[str, ...] = ()
    """Values for In and NotIn, one number for Gt and Lt, none for Exists and DoesNotExist."""


class Preferred(Strict, frozen=True):
    """What the scheduler should prefer, without insisting."""

    weight: Annotated[int, Ge(1), Le(100)]
    """How much it counts against other preferences, from 1 to 100."""
    nodeAffinity: tuple[NodeExpression, ...] = ()
    """The conditions to prefer. Absent: those that would be required."""


class AcceleratorNodeAffinity(Mutation):
    """A pod is sent to the nodes that have the accelerator it requests.

    Why:
        Labels tell more than the count of a resource: which model, how partitioned, in which pool.
        Autoscalers read them to find a node group to grow, and a pod that names the label gets a clearer
        answer when no such node exists.

    Changes:
        spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution: where ``required``, the
        node label conditions of each accelerator requested (the catalog's, or those of ``nodeAffinity``) go
        into every term that stands, as terms are alternatives; where there is none, into a new term.

        spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution: where ``preferred``, one
        term for each condition, with the weight.

    Leaves alone:
        Pods that request no accelerator, and pods that have their node already (spec.nodeName). A label that
        spec.nodeSelector names. Terms that have a condition on the same label, and terms without any
        condition: those match no node, and a condition would make them match some. A required affinity
        without terms, which the API server refuses. Nothing is preferred about a label that nodeSelector, a
        required or a preferred term of the author names.

    Source:
        https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#node-affinity
        k8s.io/component-helpers scheduling/corev1/nodeaffinity
    """

    name = "accelerator-node-affinity"
    title = "Accelerator pods are sent to accelerator nodes"

    class Parameters(Strict, frozen=True):
        """Settings of ``accelerator-node-affinity``."""

        required: bool = True
        """Whether the conditions are required. A pod stays Pending if no node meets them, so switch this on
        where you know that your nodes carry the labels."""
        preferred: Preferred | None = None
        """Conditions to prefer, with or without required ones."""
        nodeAffinity: tuple[NodeExpression, ...] = ()
        """Conditions to use in place of the accelerator catalog's, for the resources they name."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        preferred = parameters.preferred
        if preferred is None and not parameters.required:
            raise ParameterError(
                "nothing is required and nothing preferred: set required: true, or give preferred"
            )
        if preferred is not None and parameters.required and not preferred.nodeAffinity:
            raise ParameterError(
                "the conditions are required, so preferring them changes nothing: set required: false, "
                "or give preferred.nodeAffinity",
                "preferred",
            )
        own = _compile(parameters.nodeAffinity, "nodeAffinity", context)
        self._wanted = _Conditions(own, lambda accelerator: accelerator.node_requirements, context)
        self._required: bool = parameters.required
        self._weight: int = preferred.weight if preferred else 0
        self._preferred = self._wanted
        if preferred is not None and preferred.nodeAffinity:
            only = _compile(preferred.nodeAffinity, "preferred.nodeAffinity", context)
            self._preferred = _Conditions(only, lambda _: (), context)

    def __call__(self, pod: Pod, draft: Draft) -> None:
        if not pod.requests_accelerator or pod.spec.get("nodeName"):
            return
        selector = mapping(pod.spec, "nodeSelector")
        # What to prefer depends on what the author requires, so it is worked out before anything is added.
        preferred = self._missing_preferences(pod, selector) if self._weight else []
        if self._required:
            required = [r for r in self._wanted.of(pod) if selector.get(r.key) is None]
            if required:
                _require(pod, draft, required)
        for requirement in preferred:
            term = {"weight": self._weight, "preference": {"matchExpressions": [_as_json(requirement)]}}
            draft.append(pod.field(*_PREFERRED), term)

    def _missing_preferences(self, pod: Pod, selector: JSONObject) -> list[NodeRequirement]:
        wanted = self._preferred.of(pod)
        if not wanted:
            return []
        selected: list[Any] = []
        if "affinity" in pod.spec:
            affinity = mapping(mapping(pod.spec, "affinity"), "nodeAffinity")
            terms = items(mapping(affinity, _REQUIRED[-1]), "nodeSelectorTerms")
            terms += [mapping(term, "preference") for term in items(affinity, _PREFERRED[-1])]
            selected = [e.get("key") for term in terms for e in items(term, "matchExpressions")]
        return [r for r in wanted if selector.get(r.key) is None and r.key not in selected]


class _Conditions:
    """The node label conditions for each accelerator, looked up by resource name or DeviceClass."""

    __slots__ = ("_context", "_default", "_memo", "_own")

    def __init__(
        self,
        own: tuple[tuple[str, NodeRequirement], ...],
        default: Callable[[Accelerator], tuple[NodeRequirement, ...]],
        context: Context,
    ) -> None:
        self._own = own
        self._default = default
        self._context = context
        self._memo: dict[str, tuple[NodeRequirement, ...]] = {}

    def of(self, pod: Pod) -> Sequence[NodeRequirement]:
        """The conditions for everything a pod requests, each once."""
        catalog = self._context.catalog
        found = [
            self._lookup(r, catalog.find) for container in pod.accelerated for r in container.accelerators
        ]
        if "resourceClaims" in pod.spec:
            found += [
                self._lookup(device_class, catalog.find_device_class)
                for device_class in pod.claimed_device_classes
                if device_class is not None
            ]
        return found[0] if len(found) == 1 else tuple(dict.fromkeys(chain.from_iterable(found)))

    def _lookup(self, name: str, find: Callable[[str], Accelerator | None]) -> tuple[NodeRequirement, ...]:
        try:
            return self._memo[name]
        except KeyError:
            pass
        accelerator = find(name)
        found: tuple[NodeRequirement, ...] = ()
        if accelerator is not None:
            found = tuple(requirement for glob, requirement in self._own if fnmatchcase(name, glob))
            found = tuple(dict.fromkeys(found or self._default(accelerator)))
        if len(self._memo) < _MEMO_LIMIT:
            self._memo[name] = found
        return found


def _compile(
    expressions: Iterable[NodeExpression], field: str, context: Context
) -> tuple[tuple[str, NodeRequirement], ...]:
    compiled: list[tuple[str, NodeRequirement]] = []
    for i, expression in enumerate(expressions):
        _check(expression, f"{field}[{i}]", context)
        requirement = NodeRequirement(expression.key, expression.operator, expression.values)
        compiled.append((expression.resource, requirement))
    return tuple(compiled)


def _check(expression: NodeExpression, field: str, context: Context) -> None:
    resource, operator, values = expression.resource, expression.operator, expression.values
    catalog = context.catalog
    is_glob = any(c in resource for c in "*?[")
    if not is_glob and catalog.find(resource) is None and catalog.find_device_class(resource) is None:
        raise ParameterError(
            f'"{resource}" is no accelerator of the catalog; an AcceleratorCatalog document can add it',
            f"{field}.resource",
        )
    if problem := label_key_problem(expression.key):
        raise ParameterError(problem, f"{field}.key")
    if operator in ("In", "NotIn") and not values:
        raise ParameterError(f"operator {operator} needs at least one value", f"{field}.values")
    if operator in ("Exists", "DoesNotExist") and values:
        raise ParameterError(f"operator {operator} takes no values", f"{field}.values")
    if operator in ("Gt", "Lt") and not (len(values) == 1 and values[0].isdecimal()):
        raise ParameterError(f"operator {operator} needs one whole number, in quotes", f"{field}.values")
    for i, value in enumerate(values):
        if problem := label_value_problem(value):
            raise ParameterError(problem, f"{field}.values[{i}]")


def _require(pod: Pod, draft: Draft, requirements: list[NodeRequirement]) -> None:
    path = pod.field(*_REQUIRED)
    required = draft.get(path)
    if required is MISSING or required is None:
        expressions = [_as_json(requirement) for requirement in requirements]
        draft.set_default(path, {"nodeSelectorTerms": [{"matchExpressions": expressions}]})
        return
    terms = required.get("nodeSelectorTerms") if type(required) is dict else None
    if type(terms) is not list:
        return
    for i, term in enumerate(tuple(terms)):
        if type(term) is dict and (term.get("matchExpressions") or term.get("matchFields")):
            selected = [expression.get("key") for expression in items(term, "matchExpressions")]
            for requirement in requirements:
                if requirement.key not in selected:
                    where = (*path, "nodeSelectorTerms", i, "matchExpressions")
                    draft.append(where, _as_json(requirement))


def _as_json(requirement: NodeRequirement) -> JSONObject:
    expression: dict[str, Any] = {"key": requirement.key, "operator": requirement.operator}
    if requirement.values:
        expression["values"] = list(requirement.values)
    return expression
