"""The mutation ``annotations``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec import field

from webhook.kube.names import annotation_key_problem
from webhook.kube.path import render
from webhook.kube.pod import Pod
from webhook.mutations.computed import compile_texts
from webhook.policy.draft import Draft
from webhook.policy.rule import Context, Mutation, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.policy.cel import Scope

# All keys and values of an object together, in bytes.
# Source: k8s.io/apimachinery pkg/api/validation/objectmeta.go (TotalAnnotationSizeLimitB).
_TOTAL_SIZE: Final = 256 * 1024


class Annotations(Mutation):
    """A pod gets annotations it does not have.

    Why:
        Schedulers, autoscalers, meshes and monitoring are steered by annotations, such as
        karpenter.sh/do-not-disrupt for training that must not be moved. What holds for a whole namespace or
        kind of workload need not be repeated by every author.

    Changes:
        metadata.annotations: each annotation of ``values`` and ``valueExpressions`` whose key the pod does not
        have. An expression that gives null or an empty text adds nothing.

    Leaves alone:
        Annotations that the pod has, whatever their value. One for which there is no room within the 256 KiB
        that all annotations of an object may have together.

    Source:
        https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/
        k8s.io/apimachinery pkg/api/validation/objectmeta.go (ValidateAnnotations)
    """

    name = "annotations"
    title = "Pods get annotations"

    class Parameters(Strict, frozen=True):
        """Settings of ``annotations``."""

        values: Mapping[str, str] = field(default_factory=dict)
        """The annotations to add, by key."""
        valueExpressions: Mapping[str, str] = field(default_factory=dict)
        """Annotations whose values are worked out, by key: CEL over the pod as ``object``, ``request``,
        ``namespaceObject`` and ``variables``."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        for key in parameters.values:
            if problem := annotation_key_problem(key):
                raise ParameterError(problem, render(("values", key)))
        size = _size(parameters.values.items())
        if size > _TOTAL_SIZE:
            raise ParameterError(
                f"all together have {size:,} bytes; Kubernetes takes at most {_TOTAL_SIZE:,} for an object",
                "values",
            )
        self._values = tuple(parameters.values.items())
        self._computed = compile_texts(
            parameters.values, parameters.valueExpressions, annotation_key_problem, context
        )
        self.computes = bool(self._computed)

    def __call__(self, pod: Pod, draft: Draft) -> None:
        _add(self._values, pod, draft)

    def compute(self, pod: Pod, draft: Draft, scope: Scope) -> None:
        annotations = pod.annotations
        computed = [
            (text.name, value)
            for text in self._computed
            if annotations.get(text.name) is None and (value := text.value(scope))
        ]
        _add((*self._values, *computed), pod, draft)


def _add(values: Iterable[tuple[str, str]], pod: Pod, draft: Draft) -> None:
    annotations = pod.annotations
    missing = [(key, value) for key, value in values if annotations.get(key) is None]
    if not missing:
        return
    size = _size(annotations.items())
    for key, value in missing:
        grown = size + _size([(key, value)])
        if grown <= _TOTAL_SIZE and draft.set_default(pod.meta("annotations", key), value):
            size = grown


def _size(annotations: Iterable[tuple[Any, Any]]) -> int:
    return sum(_bytes(text) for pair in annotations for text in pair if type(text) is str)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
