"""The check ``accelerator-request-equals-limit`` in CEL."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.checks.accelerator_request_equals_limit import AcceleratorRequestEqualsLimit
from webhook.export.vap.cel import is_accelerator
from webhook.export.vap.parts import Demand, Target

_LIMITS, _REQUESTS = (f"c.?resources.?{field}.orValue({{}})" for field in ("limits", "requests"))


def translate(_check: AcceleratorRequestEqualsLimit, target: Target) -> Iterator[Demand]:
    """Containers whose counts are not whole, whose request has no limit, or another one."""
    accelerator = is_accelerator("r", target.catalog)
    yield Demand(
        "counts",
        "containers",
        f"variables.changed.filter(c, {_LIMITS}.exists(r, {accelerator} && {_broken(f'{_LIMITS}[r]')})"
        f" || {_REQUESTS}.exists(r, {accelerator} && {_broken(f'{_REQUESTS}[r]')})).map(c, c.name)",
        "containers that ask for parts of accelerators, which are handed out whole",
        "write 1, 2, ...",
    )
    yield Demand(
        "requests",
        "containers",
        f"variables.changed.filter(c, {_REQUESTS}.exists(r, {accelerator} && (!(r in {_LIMITS}) ||"
        f" quantity(string({_REQUESTS}[r])).compareTo(quantity(string({_LIMITS}[r]))) != 0))).map(c, c.name)",
        "containers whose accelerator requests are not their limits",
        "write the count once, under resources.limits, and remove the request",
    )


def _broken(value: str) -> str:
    return f"(!quantity(string({value})).isInteger() || quantity(string({value})).isLessThan(quantity('0')))"
