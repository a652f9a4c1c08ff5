"""The mutation ``labels``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import field

from webhook.kube.names import label_key_problem, label_value_problem
from webhook.kube.path import render
from webhook.kube.pod import Pod
from webhook.mutations.computed import compile_texts, unusable
from webhook.policy.draft import Draft
from webhook.policy.rule import Context, Mutation, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.policy.cel import Scope


class Labels(Mutation):
    """A pod gets labels it does not have.

    Why:
        Cost reports, quotas and network policies find pods by their labels. What holds for a whole namespace
        or kind of workload need not be repeated by every author.

    Changes:
        metadata.labels: each label of ``values`` and ``valueExpressions`` whose key the pod does not have. An
        expression that gives null or an empty text adds nothing.

    Leaves alone:
        Labels that the pod has, whatever their value; so the selectors of the controller that made the pod
        keep matching. A label that is added can make a pod match the selector of some other Service or
        NetworkPolicy: choose keys that none of them use.

    Source:
        https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
        k8s.io/apimachinery pkg/util/validation (IsQualifiedName, IsValidLabelValue)
    """

    name = "labels"
    title = "Pods get labels"

    class Parameters(Strict, frozen=True):
        """Settings of ``labels``."""

        values: Mapping[str, str] = field(default_factory=dict)
        """The labels to add, by key."""
        valueExpressions: Mapping[str, str] = field(default_factory=dict)
        """Labels whose values are worked out, by key: CEL over the pod as ``object``, ``request``,
        ``namespaceObject`` and ``variables``, such as
        ``namespaceObject.metadata.labels[?'team'].orValue('')``."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        for key, value in parameters.values.items():
            if problem := label_key_problem(key) or label_value_problem(value):
                raise ParameterError(problem, render(("values", key)))
        self._values = tuple(parameters.values.items())
        self._computed = compile_texts(
            parameters.values, parameters.valueExpressions, label_key_problem, context
        )
        self.computes = bool(self._computed)

    def __call__(self, pod: Pod, draft: Draft) -> None:
        labels = pod.labels
        for key, value in self._values:
            if labels.get(key) is None:
                draft.set_default(pod.meta("labels", key), value)

    def compute(self, pod: Pod, draft: Draft, scope: Scope) -> None:
        self(pod, draft)
        labels = pod.labels
        for computed in self._computed:
            if labels.get(computed.name) is None and (value := computed.value(scope)):
                if problem := label_value_problem(value):
                    raise unusable(f"{computed.name}: {problem}", computed.program)
                draft.set_default(pod.meta("labels", computed.name), value)
