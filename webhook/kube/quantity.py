"""Kubernetes resource quantities.

A quantity is a decimal number with an optional suffix: decimal (``n u m k M G T P E``), binary
(``Ki Mi Gi Ti Pi Ei``) or an exponent (``e3``, ``E-2``).
Source: k8s.io/apimachinery ``pkg/api/resource/quantity.go``, "Quantity" grammar.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import Any

_GRAMMAR = re.compile(
    r"(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:(?P<suffix>[numkMGTPE]|[KMGTPE]i)|[eE](?P<exponent>[+-]?\d{1,3}))?",
    re.ASCII,
)

_MULTIPLIERS: dict[str, Decimal] = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}

# Far above any real quantity; keeps arithmetic on hostile input (a number of a million digits) bounded.
_MAX_LENGTH = 64


class QuantityError(ValueError):
    """A value that is no Kubernetes quantity. The message says what one looks like."""


def parse_quantity(value: Any) -> Decimal:
    """Read a quantity, e.g. ``"500m"``, ``"4Gi"``, ``"1e3"``, ``2``, and return its exact value in base units.

    Numbers are accepted as YAML and JSON give them (``cpu: 2``).

    Raises:
        QuantityError: the value is not a quantity.
    """
    if type(value) is str:
        return _parse_text(value)
    if type(value) is int:
        return Decimal(value)
    if type(value) is float:
        return _parse_text(repr(value))
    raise QuantityError(f"{value!r} is not a quantity; write a number with a unit, such as 500m, 2 or 4Gi")


@lru_cache(maxsize=4096)
def _parse_text(text: str) -> Decimal:
    match = _GRAMMAR.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        shown = text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "..."
        raise QuantityError(
            f"{shown!r} is not a quantity; write a number with a unit, such as 500m, 2 or 4Gi"
        )
    number = Decimal(match["number"])
    if match["suffix"]:
        return number * _MULTIPLIERS[match["suffix"]]
    if match["exponent"]:
        return number.scaleb(int(match["exponent"]))
    return number


def quantity_or_none(value: Any) -> Decimal | None:
    """The value of a quantity, or None where it is absent or malformed (the API server will say so itself)."""
    if value is None:
        return None
    try:
        # The usual case without another call.
        return _parse_text(value) if type(value) is str else parse_quantity(value)
    except QuantityError:
        return None


def multiply_quantity(value: str, factor: int) -> str:
    """``value`` times ``factor``, in the unit ``value`` was written in: ``("64Gi", 8)`` gives ``"512Gi"``.

    Raises:
        QuantityError: the value is not a quantity.
    """
    parse_quantity(value)
    match = _GRAMMAR.fullmatch(value)
    assert match is not None  # parse_quantity accepted it
    number = Decimal(match["number"]) * factor
    return f"{number.normalize():f}{value[match.end('number') :]}"
