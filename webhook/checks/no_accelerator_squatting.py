"""The check ``no-accelerator-squatting``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from webhook.checks.wording import short
from webhook.kube.names import label_key_problem
from webhook.kube.shape import JSONObject, indexed, items, text
from webhook.policy.findings import Severity, Violation
from webhook.policy.problems import did_you_mean
from webhook.policy.rule import Check, Context, ParameterError
from webhook.policy.strict import Strict

if TYPE_CHECKING:
    from webhook.kube.pod import Pod

_EFFECTS: Final = ("NoSchedule", "NoExecute", "PreferNoSchedule")
# Taints of Kubernetes' own, for which it adds tolerations to pods itself.
_SYSTEM_PREFIX: Final = "node.kubernetes.io/"


class _Guard(Struct, frozen=True):
    """A taint of accelerator nodes; ``value`` is None where any value is meant."""

    effect: str
    value: str | None


class NoAcceleratorSquatting(Check):
    """A pod that requests no accelerator does not tolerate the taints of accelerator nodes.

    Why:
        Accelerator nodes are tainted so that other pods stay away. A CPU pod that tolerates the taint fills
        their CPU and memory, and the accelerators beside it stand idle, or keeps an autoscaled node from
        being removed.

    Restricted fields:
        spec.tolerations[*]

    Allowed values:
        No toleration of a taint of the accelerator catalog or of ``taints``, for any value and with any
        operator, and no toleration without a key (operator Exists), which tolerates them all. A toleration
        counts only if its effect is the taint's or absent, which means all: one for NoExecute does not let a
        pod onto a node tainted NoSchedule. Pods that request an accelerator, by resource name or by claim,
        are free. The tolerations that Kubernetes adds itself (node.kubernetes.io/...) never count.

    Remediation:
        Remove the toleration; or request the accelerator under resources.limits; or, where another taint is
        meant, name its key.

    Source:
        https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
        https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations
        k8s.io/component-helpers scheduling/corev1/helpers.go; k8s.io/api core/v1/toleration.go
        (ToleratesTaint)
    """

    name = "no-accelerator-squatting"
    title = "Pods without accelerators stay off accelerator nodes"
    severity = Severity.HIGH

    class Parameters(Strict, frozen=True):
        """Settings of ``no-accelerator-squatting``."""

        allowDaemonSets: bool = False
        """Whether pods that belong to a DaemonSet may tolerate the taints, as node agents must. It goes by
        the pod's owner, so it is about the pods; leave the DaemonSet itself out with the policy's
        ``exclude``."""
        taints: tuple[str, ...] = ()
        """Further taints of accelerator nodes, as ``kubectl taint`` writes them: KEY[=VALUE][:EFFECT], such
        as ``sku=gpu:NoSchedule``. Without a value any counts; without an effect it is NoSchedule."""

    def __init__(self, parameters: Parameters, context: Context) -> None:
        super().__init__(parameters, context)
        self._allow_daemon_sets = parameters.allowDaemonSets
        guards: dict[str, list[_Guard]] = {}
        for taint in context.catalog.taints:
            guards.setdefault(taint.key, []).append(_Guard(taint.effect, None))
        for index, written in enumerate(parameters.taints):
            key, guard = _parse(written, f"taints[{index}]")
            guards.setdefault(key, []).append(guard)
        # A pod is never kept off by a preference, so tolerating one gains it nothing.
        self._guards = {
            key: tuple(g for g in found if g.effect != "PreferNoSchedule") for key, found in guards.items()
        }
        self._effects = frozenset(g.effect for found in self._guards.values() for g in found)

    def __call__(self, pod: Pod) -> Iterator[Violation]:
        if "tolerations" not in pod.spec or pod.requests_accelerator:
            return
        guards = self._guards
        for index, toleration in indexed(pod.spec, "tolerations"):
            key = toleration.get("key")
            if key:
                if type(key) is not str or key not in guards or not _tolerates(toleration, guards[key]):
                    continue
            elif not self._tolerates_all(toleration):
                continue
            if self._allow_daemon_sets and _is_daemon(pod):
                return
            yield _squatting(pod, index, key or "", text(toleration, "effect"))

    def _tolerates_all(self, toleration: JSONObject) -> bool:
        if toleration.get("operator") != "Exists" or not self._effects:
            return False
        effect = text(toleration, "effect")
        return not effect or effect in self._effects


def _parse(written: str, field: str) -> tuple[str, _Guard]:
    rest, colon, effect = written.partition(":")
    key, equals, value = rest.partition("=")
    if label_key_problem(key):
        raise ParameterError(
            f'"{short(written)}" is no taint; write KEY, KEY:EFFECT or KEY=VALUE:EFFECT', field
        )
    if colon and effect not in _EFFECTS:
        meant = did_you_mean(effect, _EFFECTS) or f"write one of {', '.join(_EFFECTS)}"
        raise ParameterError(f'"{short(effect)}" is no taint effect; {meant}', field)
    if effect == "PreferNoSchedule":
        raise ParameterError(f'"{short(written)}" keeps no pod away, so no toleration of it matters', field)
    if key.startswith(_SYSTEM_PREFIX):
        raise ParameterError(f'Kubernetes adds tolerations of "{short(key)}" to pods itself', field)
    return key, _Guard(effect or "NoSchedule", value if equals else None)


def _tolerates(toleration: JSONObject, guards: tuple[_Guard, ...]) -> bool:
    effect = text(toleration, "effect")
    exact = toleration.get("operator") in (None, "", "Equal")
    value = text(toleration, "value")
    return any(
        (not effect or effect == guard.effect) and (guard.value is None or not exact or value == guard.value)
        for guard in guards
    )


def _is_daemon(pod: Pod) -> bool:
    return any(
        owner.get("kind") == "DaemonSet"
        and owner.get("controller") is True
        and text(owner, "apiVersion").startswith("apps/")
        for owner in items(pod.metadata, "ownerReferences")
    )


def _squatting(pod: Pod, index: int, key: str, effect: str) -> Violation:
    path = pod.field("tolerations", index)
    if key:
        return Violation(
            "accelerator-taint-tolerated",
            path,
            f"the pod requests no accelerator but tolerates the taint {short(key)}, which keeps accelerator "
            "nodes free; remove the toleration, or request an accelerator in resources.limits",
        )
    which = f"every {effect} taint" if effect else "every taint"
    return Violation(
        "every-taint-tolerated",
        path,
        f"the pod requests no accelerator but tolerates {which}, those of accelerator nodes too; remove the "
        "toleration, or give it the key of the taint that is meant",
    )
