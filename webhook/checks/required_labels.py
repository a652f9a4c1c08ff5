"""The check ``required-labels``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from webhook.checks.wording import listed, short
from webhook.kube.names import label_key_problem, label_value_problem
from webhook.policy.constraints import MinLen
from webhook.policy.findings import Severity, Violation
from webhook.policy.rule import Check, Context, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.pod import Pod

_LONGEST_VALUE: Final = 63


class RequiredLabel(Strict, frozen=True):
    """One label that pods must have. Give ``pattern`` or ``allowedValues``, or neither for any value."""

    key: Annotated[str, MinLen(1)]
    """The label's key, such as ``team`` or ``app.kubernetes.io/name``."""
    pattern: str | None = None
    """A regular expression (Python's) that the whole value must match."""
    allowedValues: tuple[str, ...] = ()
    """The values of which it must have one."""
    required: bool = True
    """Whether pods must have the label; with false, only the value of those that have it is judged."""


class _Demand(NamedTuple):
    key: str
    required: bool
    pattern: re.Pattern[str] | None
    values: frozenset[str]
    # What a message says to write.
    wanted: str


class RequiredLabels(Check):
    """A pod has certain labels, with values of a certain form.

    Why:
        Cost reports, quotas, alerts and network policies find their pods by label. A pod without them is
        nobody's: its cost is unallocated and its alerts go nowhere.

    Restricted fields:
        metadata.labels

    Allowed values:
        Each label of ``labels`` is there (unless ``required`` is false of it); its value matches the
        ``pattern`` as a whole, or is one of ``allowedValues``, or, where neither is given, is not empty. In a
        workload it is the labels of the pod template that count: pods get theirs from there.

    Remediation:
        Add the label to metadata.labels; in a workload, to the metadata of its pod template.

    Source:
        https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
        k8s.io/apimachinery pkg/util/validation/validation.go (IsQualifiedName, IsValidLabelValue)
    """

    name = "required-labels"
    title = "Pods have required labels"
    severity = Severity.LOW

    class Parameters(Strict, frozen=True):
        """Settings of ``required-labels``."""

        labels: Annotated[tuple[RequiredLabel, ...], MinLen(1)]
        """The labels that pods must have."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        demands = tuple(_compile(label, f"labels[{i}]") for i, label in enumerate(parameters.labels))
        seen: set[str] = set()
        for index, demand in enumerate(demands):
            if demand.key in seen:
                raise ParameterError(f'the label "{demand.key}" is demanded twice', f"labels[{index}].key")
            seen.add(demand.key)
        self._demands = demands

    def __call__(self, pod: Pod) -> Iterator[Violation]:
        labels = pod.labels
        for demand in self._demands:
            key, required, pattern, values, wanted = demand
            value = labels.get(key)
            if value is None:
                if not required:
                    continue
                yield Violation(
                    "label-missing",
                    pod.meta("labels", key),
                    f'the label "{short(key)}" is missing; add it to the labels with {wanted}',
                )
            elif type(value) is not str:
                yield Violation(
                    "label-value",
                    pod.meta("labels", key),
                    f'the label "{short(key)}" is not text; put its value in quotes: "{short(value)}"',
                )
            elif (value not in values) if values else not _matches(pattern, value):
                yield Violation(
                    "label-value",
                    pod.meta("labels", key),
                    f'the label "{short(key)}" has the value "{short(value)}"; write {wanted}',
                )


def _matches(pattern: re.Pattern[str] | None, value: str) -> bool:
    if pattern is None:
        return value != ""
    # Longer than any label may be: not worth what a pattern might make of it.
    return len(value) <= _LONGEST_VALUE and pattern.fullmatch(value) is not None


def _compile(label: RequiredLabel, field: str) -> _Demand:
    if problem := label_key_problem(label.key):
        raise ParameterError(
            f'"{short(label.key)}" cannot be the key of a label, which {problem}', f"{field}.key"
        )
    if label.pattern is not None and label.allowedValues:
        raise ParameterError("give either pattern or allowedValues, not both", f"{field}.pattern")
    for value in label.allowedValues:
        if problem := label_value_problem(value):
            raise ParameterError(
                f'"{short(value)}" cannot be the value of a label, which {problem}', f"{field}.allowedValues"
            )
    if label.pattern is None:
        values = label.allowedValues
        wanted = listed(values, "or") if values else "a value"
        return _Demand(label.key, label.required, None, frozenset(values), wanted)
    try:
        pattern = re.compile(label.pattern)
    except re.error as error:
        raise ParameterError(f"not a regular expression: {error}", f"{field}.pattern") from error
    wanted = f"a value that matches {short(label.pattern)}"
    return _Demand(label.key, label.required, pattern, frozenset(), wanted)
