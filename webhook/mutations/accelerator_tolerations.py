"""The mutation ``accelerator-tolerations``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from webhook.kube.accelerators import Accelerator
from webhook.kube.names import label_key_problem, label_value_problem
from webhook.kube.pod import Pod
from webhook.kube.shape import JSONObject
from webhook.policy.draft import Draft
from webhook.policy.rule import Context, Mutation, ParameterError
from webhook.policy.strict import Strict

TaintEffect = Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


class AdditionalTaint(Strict, frozen=True):
    """A taint that your accelerator nodes carry besides those of the accelerator catalog."""

    key: str
    """The taint's key, such as ``sku``."""
    effect: TaintEffect = "NoSchedule"
    """The taint's effect."""
    value: str | None = None
    """The taint's value, where the same key with another value marks other nodes. Absent: any value is
    tolerated."""


class _Toleration(Struct, frozen=True):
    key: str
    effect: str
    value: str | None = None

    def as_json(self) -> JSONObject:
        if self.value is None:
            return {"key": self.key, "operator": "Exists", "effect": self.effect}
        return {"key": self.key, "operator": "Equal", "value": self.value, "effect": self.effect}


class AcceleratorTolerations(Mutation):
    """A pod tolerates the taints of the accelerators it requests.

    Why:
        Accelerator nodes are tainted so that ordinary pods stay off them. A pod that requests an accelerator
        and forgets the toleration stays Pending. Kubernetes' own ExtendedResourceToleration plugin, where it
        is switched on, knows only taints named like the resource: it misses MIG slices and resource claims.

    Changes:
        spec.tolerations: for each taint of each accelerator requested (by resource name, MIG profiles and
        other globs of the catalog included, or by a claim whose DeviceClass is known) and for each of
        ``additionalTaints``, the toleration {key, operator: Exists, effect}. Exists, as the taints' values
        vary between platforms.

    Leaves alone:
        Pods that request no accelerator. Taints that are tolerated already: by the same key with operator
        Exists and no effect or the same, or by a toleration of everything. A toleration of one value (Equal)
        does not stand in for all values. A NoExecute toleration with tolerationSeconds does: for how long is
        the author's choice, and Kubernetes takes the shortest. Existing tolerations stay, and stay first.

    Source:
        https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
        k8s.io/kubernetes plugin/pkg/admission/extendedresourcetoleration
    """

    name = "accelerator-tolerations"
    title = "Accelerator pods tolerate the taints of accelerator nodes"

    class Parameters(Strict, frozen=True):
        """Settings of ``accelerator-tolerations``."""

        additionalTaints: tuple[AdditionalTaint, ...] = ()
        """Taints of your own that accelerator nodes carry, whatever the accelerator. What holds for one kind
        of accelerator only belongs into an AcceleratorCatalog document."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        for i, taint in enumerate(parameters.additionalTaints):
            if problem := label_key_problem(taint.key):
                raise ParameterError(problem, f"additionalTaints[{i}].key")
            if taint.value is not None and (problem := label_value_problem(taint.value)):
                raise ParameterError(problem, f"additionalTaints[{i}].value")
        self._additional = tuple(_Toleration(t.key, t.effect, t.value) for t in parameters.additionalTaints)

    def __call__(self, pod: Pod, draft: Draft) -> None:
        if pod.requests_accelerator:
            # Without a family: a claim of an unknown class is for some accelerator, so the taints that all of
            # them have in common concern it.
            self._tolerate(pod, draft, pod.accelerator_families())

    def _tolerate(self, pod: Pod, draft: Draft, families: Iterable[Accelerator]) -> None:
        wanted = [_Toleration(taint.key, taint.effect) for family in families for taint in family.taints]
        standing = pod.tolerations
        for toleration in (*wanted, *self._additional):
            for existing in standing:
                if _tolerates(existing, toleration):
                    break
            else:
                standing.append(toleration.as_json())
                draft.append(pod.field("tolerations"), toleration.as_json())


def _tolerates(existing: JSONObject, wanted: _Toleration) -> bool:
    """Whether a toleration lets through every taint that the wanted one does."""
    if existing.get("effect") not in (None, "", wanted.effect):
        return False
    operator = existing.get("operator")
    if operator == "Exists":
        return existing.get("key") in (None, "", wanted.key)
    # An absent operator means Equal, an absent value the empty one.
    return (
        wanted.value is not None
        and operator in (None, "", "Equal")
        and existing.get("key") == wanted.key
        and (existing.get("value") or "") == wanted.value
    )
