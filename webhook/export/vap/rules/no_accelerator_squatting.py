"""The check ``no-accelerator-squatting`` in CEL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from webhook.checks.no_accelerator_squatting import NoAcceleratorSquatting
from webhook.export.vap.cel import text, texts
from webhook.export.vap.parts import Demand, Target

_DAEMON = (
    "variables.metadata.?ownerReferences.orValue([]).exists(o, o.kind == 'DaemonSet'"
    " && o.?controller.orValue(false) == true && o.apiVersion.startsWith('apps/'))"
)
_KEY, _EFFECT, _OPERATOR, _VALUE = (
    f"t.?{field}.orValue('')" for field in ("key", "effect", "operator", "value")
)
# A pod is never kept off by a preference.
_PREFERENCE = "PreferNoSchedule"


def translate(check: NoAcceleratorSquatting, target: Target) -> Iterator[Demand]:
    """Tolerations of the taints of accelerator nodes, in pods that request no accelerator."""
    any_value: dict[str, list[str]] = {}
    for taint in target.catalog.taints:
        any_value.setdefault(taint.effect, []).append(taint.key)
    exact: list[tuple[str, str, str]] = []
    for written in check.parameters.taints:
        rest, _, effect = written.partition(":")
        key, equals, value = rest.partition("=")
        if equals:
            exact.append((key, effect or "NoSchedule", value))
        else:
            any_value.setdefault(effect or "NoSchedule", []).append(key)
    any_value.pop(_PREFERENCE, None)
    effects = dict.fromkeys([*any_value, *(effect for _, effect, _ in exact)])
    tests = [_of_every_taint(effects)] if effects else []
    tests += [
        f"({_KEY} in {texts(dict.fromkeys(keys))} && {_EFFECT} in {texts(('', effect))})"
        for effect, keys in any_value.items()
    ]
    tests += [
        f"({_KEY} == {text(key)} && {_EFFECT} in {texts(('', effect))}"
        f" && (!({_OPERATOR} in ['', 'Equal']) || {_VALUE} == {text(value)}))"
        for key, effect, value in exact
    ]
    free = "variables.requestsAccelerator" + (f" || {_DAEMON}" if check.parameters.allowDaemonSets else "")
    yield Demand(
        "tolerations",
        "spec",
        f"{free} ? [] : variables.spec.?tolerations.orValue([]).filter(t, {' || '.join(tests) or 'false'})"
        f".map(t, {_KEY} == '' ? 'every taint' : {_KEY})",
        "the pod requests no accelerator but tolerates the taints of accelerator nodes",
        "remove the tolerations, or request an accelerator in resources.limits",
    )


def _of_every_taint(effects: Iterable[str]) -> str:
    return f"({_KEY} == '' && {_OPERATOR} == 'Exists' && {_EFFECT} in {texts(('', *effects))})"
