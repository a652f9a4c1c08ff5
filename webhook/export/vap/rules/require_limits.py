"""The check ``require-limits`` in CEL."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.checks.require_limits import RequireLimits
from webhook.checks.wording import listed
from webhook.export.vap.cel import texts
from webhook.export.vap.parts import Demand, Target


def translate(check: RequireLimits, _target: Target) -> Iterator[Demand]:
    """Containers without limits, and without requests."""
    limits = tuple(dict.fromkeys(check.parameters.resources))
    requests = tuple(dict.fromkeys(check.parameters.requests))
    if limits:
        pod, container = (_positive(f"{of}.?resources.?limits") for of in ("variables.spec", "c"))
        yield _demand("limits", limits, f"!({pod}) && !({container})")
    if requests:
        # A limit is also the request where the request is absent; one of zero stays zero.
        pod, container = (
            f"(r in {of}.?resources.?requests.orValue({{}}) ? {_positive(f'{of}.?resources.?requests')}"
            f" : {_positive(f'{of}.?resources.?limits')})"
            for of in ("variables.spec", "c")
        )
        yield _demand("requests", requests, f"!{pod} && !{container}")


def _positive(quantities: str) -> str:
    above_zero = "isQuantity(string(q)) && quantity(string(q)).isGreaterThan(quantity('0'))"
    return f"{quantities}[?r].optMap(q, {above_zero}).orValue(false)"


def _demand(field: str, names: tuple[str, ...], lacks: str) -> Demand:
    kind = field.removesuffix("s")
    return Demand(
        field,
        "containers",
        f"variables.changed.filter(c, {texts(names)}.exists(r, {lacks})).map(c, c.name)",
        f"containers without {kind if len(names) == 1 else field} for {listed(names)}",
        f"add {'it' if len(names) == 1 else 'them'} to resources.{field}",
    )
