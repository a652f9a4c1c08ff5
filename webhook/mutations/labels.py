"""The mutation ``labels``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from annotated_types import MinLen

from webhook.kube.names import label_key_problem, label_value_problem
from webhook.kube.path import render
from webhook.kube.pod import Pod
from webhook.policy.draft import Draft
from webhook.policy.rule import Context, Mutation, ParameterError, Strict


class Labels(Mutation):
    """A pod gets labels it does not have.

    Why:
        Cost reports, quotas and network policies find pods by their labels. What holds for a whole namespace
        or kind of workload need not be repeated by every author.

    Changes:
        metadata.labels: each label of ``values`` whose key the pod does not have.

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

    @dataclass(frozen=True, slots=True)
    class Parameters(Strict):
        """Settings of ``labels``."""

        values: Annotated[Mapping[str, str], MinLen(1)]
        """The labels to add, by key."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        for key, value in parameters.values.items():
            if problem := label_key_problem(key) or label_value_problem(value):
                raise ParameterError(problem, render(("values", key)))
        self._values = tuple(parameters.values.items())

    def __call__(self, pod: Pod, draft: Draft) -> None:
        labels = pod.labels
        for key, value in self._values:
            if labels.get(key) is None:
                draft.set_default(pod.meta("labels", key), value)
