"""CEL's ``quantity`` library: Kubernetes resource quantities.

Source: k8s.io/apiserver ``pkg/cel/library/quantity.go`` and k8s.io/apimachinery ``pkg/api/resource``.
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Context, Decimal

import msgspec
from msgspec.structs import replace

from webhook.kube.quantity import QuantityError, parse_quantity

from .celtype import BOOL, DOUBLE, INT, QUANTITY, STRING
from .functions import FunctionError, Opaque, Overload, function

_INT64_MAX = 2**63 - 1
_NANO = Decimal("1e-9")
# No quantity needs more digits: a parsed text is at most 64 long, and an exponent has at most three digits.
_EXACT = Context(prec=4096)
_DIGITS = re.compile(r"[+-]?0*(?P<whole>\d*)(?:\.(?P<fraction>\d*))?(?P<suffix>.*)", re.ASCII)


class Amount(msgspec.Struct, frozen=True):
    """A quantity as Kubernetes holds one: ``unscaled`` times ten to the ``exponent``.

    How it is held matters to ``isInteger`` and ``asInteger``, which answer only for a ``small`` amount, one that fits
    Kubernetes' int64 form, with no negative exponent: ``1000m`` and ``1.5Gi`` are not integers to Kubernetes.
    """

    unscaled: int
    exponent: int
    small: bool

    @property
    def value(self) -> Decimal:
        return _EXACT.scaleb(Decimal(self.unscaled), self.exponent)

    def integer(self) -> int | None:
        """The value as an int64, or None where Kubernetes has none."""
        if not self.small or self.exponent < 0:
            return None
        value: int = self.unscaled * 10**self.exponent
        return value if -(2**63) <= value <= _INT64_MAX else None


def parse(text: str) -> Amount:
    """A quantity's amount.

    Raises:
        FunctionError: not a quantity.
    """
    try:
        value = parse_quantity(text)
    except QuantityError as error:
        raise FunctionError(str(error)) from error
    match = _DIGITS.match(text)
    assert match is not None  # every part of the pattern is optional
    whole, fraction, suffix = match["whole"] or "0", match["fraction"] or "", match["suffix"]
    if text == "0":
        return Amount(0, 0, small=True)
    binary = suffix.endswith("i")
    if binary:
        shift = "KMGTPE".index(suffix[0]) * 10 + 10
        fits = not fraction and 15 - len(whole) - int(shift * 3 / 10) - 1 >= 0
        if fits and abs(value) <= _INT64_MAX:
            return Amount(int(value), 0, small=True)
    elif len(whole) + len(fraction) <= 18:
        exponent = _decimal_exponent(suffix) - len(fraction)
        if exponent >= -9:
            return Amount(int(whole + fraction) * (-1 if text[0] == "-" else 1), exponent, small=True)
    # Beyond the int64 form: rounded away from zero to whole nanos, binary values capped at the largest int64.
    magnitude = abs(value)
    if magnitude:
        magnitude = magnitude.quantize(_NANO, ROUND_UP, _EXACT)
    if binary and magnitude > _INT64_MAX:
        magnitude = Decimal(_INT64_MAX)
    sign, digits, power = (magnitude if value >= 0 else -magnitude).as_tuple()
    unscaled = int("".join(map(str, digits))) * (-1 if sign else 1)
    assert isinstance(power, int)
    return Amount(unscaled, power, small=False)


def _decimal_exponent(suffix: str) -> int:
    if suffix[:1] in ("e", "E") and len(suffix) > 1:
        return int(suffix[1:])
    return {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}[suffix]


def _encode(amount: Amount) -> str:
    return f"{amount.unscaled}e{amount.exponent}{'s' if amount.small else 'd'}"


def _decode(text: str) -> Amount:
    unscaled, _, exponent = text[:-1].partition("e")
    return Amount(int(unscaled), int(exponent), small=text[-1] == "s")


OPAQUE = Opaque(QUANTITY, "Q", _encode, _decode)


def _is_quantity(text: str) -> bool:
    try:
        parse_quantity(text)
    except QuantityError:
        return False
    return True


def _sign(amount: Amount) -> int:
    return _compare(amount, Amount(0, 0, small=True))


def _compare(left: Amount, right: Amount) -> int:
    return (left.value > right.value) - (left.value < right.value)


def _add(left: Amount, right: Amount) -> Amount:
    if left.small and right.small:
        if right.unscaled == 0:
            return left
        if left.unscaled == 0:
            return right
        exponent = min(left.exponent, right.exponent)
        terms = [amount.unscaled * 10 ** (amount.exponent - exponent) for amount in (left, right)]
        if all(abs(term) <= _INT64_MAX for term in (*terms, sum(terms))):
            return Amount(sum(terms), exponent, small=True)
    exponent = min(left.exponent, right.exponent)
    unscaled = sum(amount.unscaled * 10 ** (amount.exponent - exponent) for amount in (left, right))
    return Amount(unscaled, exponent, small=False)


def _negative(amount: Amount) -> Amount:
    return replace(amount, unscaled=-amount.unscaled)


def _as_integer(amount: Amount) -> int:
    value = amount.integer()
    if value is None:
        raise FunctionError("cannot convert value to integer")
    return value


def _as_approximate_float(amount: Amount) -> float:
    # In these steps, as Kubernetes does it: the last digit depends on them.
    try:
        base = float(amount.unscaled)
    except OverflowError:
        return float("inf") if amount.unscaled > 0 else float("-inf")
    return base * _power_of_ten(amount.exponent) if amount.exponent else base


def _power_of_ten(exponent: int) -> float:
    # Source: Go's math.Pow10.
    whole, rest = divmod(abs(exponent), 32)
    if exponent < 0:
        return float(f"1e-{whole * 32}") / float(f"1e{rest}")
    return float(f"1e{whole * 32}") * float(f"1e{rest}")


def _whole(number: int) -> Amount:
    return Amount(number, 0, small=True)


FUNCTIONS = (
    function("quantity", Overload("string_to_quantity", (STRING,), QUANTITY, python=parse)),
    function("isQuantity", Overload("is_quantity_string", (STRING,), BOOL, python=_is_quantity)),
    function("sign", Overload("quantity_sign", (QUANTITY,), INT, python=_sign)),
    function(
        "isInteger",
        Overload(
            "quantity_is_integer", (QUANTITY,), BOOL, member=True, python=lambda a: a.integer() is not None
        ),
    ),
    function("asInteger", Overload("quantity_get_int", (QUANTITY,), INT, member=True, python=_as_integer)),
    function(
        "asApproximateFloat",
        Overload("quantity_get_float", (QUANTITY,), DOUBLE, member=True, python=_as_approximate_float),
    ),
    function(
        "add",
        Overload("quantity_add", (QUANTITY, QUANTITY), QUANTITY, member=True, python=_add),
        Overload(
            "quantity_add_int", (QUANTITY, INT), QUANTITY, member=True, python=lambda a, n: _add(a, _whole(n))
        ),
    ),
    function(
        "sub",
        Overload(
            "quantity_sub",
            (QUANTITY, QUANTITY),
            QUANTITY,
            member=True,
            python=lambda a, b: _add(a, _negative(b)),
        ),
        Overload(
            "quantity_sub_int",
            (QUANTITY, INT),
            QUANTITY,
            member=True,
            python=lambda a, n: _add(a, _whole(-n)),
        ),
    ),
)

COMPARISONS = {
    "isGreaterThan": Overload(
        "quantity_is_greater_than",
        (QUANTITY, QUANTITY),
        BOOL,
        member=True,
        python=lambda a, b: _compare(a, b) > 0,
    ),
    "isLessThan": Overload(
        "quantity_is_less_than",
        (QUANTITY, QUANTITY),
        BOOL,
        member=True,
        python=lambda a, b: _compare(a, b) < 0,
    ),
    "compareTo": Overload("quantity_compare_to", (QUANTITY, QUANTITY), INT, member=True, python=_compare),
}
"""Overloads of functions that another library shares; ``library`` puts them together."""

EQUALITY = Overload("quantity_equal", (QUANTITY, QUANTITY), BOOL, python=lambda a, b: _compare(a, b) == 0)
"""What ``==`` between two quantities means. Their texts may differ, since ``1`` is not held as ``1000m`` is."""
