"""Quantities read as Kubernetes reads them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.kube.quantity import QuantityError, multiply_quantity, parse_quantity, quantity_or_none


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0", "0"),
        ("2", "2"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("+3", "3"),
        ("-3", "-3"),
        ("500m", "0.5"),
        ("100n", "1e-7"),
        ("250u", "0.00025"),
        ("2k", "2000"),
        ("1M", "1000000"),
        ("4Gi", str(4 * 2**30)),
        ("1.5Ti", str(int(1.5 * 2**40))),
        ("1Ei", str(2**60)),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("12E", "12e18"),
        ("1E-2", "0.01"),
        (2, "2"),
        (0.5, "0.5"),
    ],
)
def test_a_quantity_has_its_exact_value(written: Any, value: str) -> None:
    assert parse_quantity(written) == Decimal(value)


@pytest.mark.parametrize(
    "written",
    [
        "",
        " 1",
        "1 ",
        "one",
        "1Gib",
        "1gi",
        "1K",
        "1e",
        "1.2.3",
        "--1",
        "0x10",
        "1_000",
        "1" * 100,
        "٣",
        "NaN",
        "inf",
    ],
)
def test_what_is_no_quantity_is_refused_with_what_one_looks_like(written: str) -> None:
    with pytest.raises(QuantityError, match="such as 500m, 2 or 4Gi"):
        parse_quantity(written)


@pytest.mark.parametrize("value", [None, True, [], {}, "x"])
def test_malformed_values_are_no_quantity(value: Any) -> None:
    assert quantity_or_none(value) is None


@pytest.mark.parametrize(
    ("written", "factor", "product"),
    [
        ("64Gi", 8, "512Gi"),
        ("8", 4, "32"),
        ("500m", 3, "1500m"),
        ("1.5", 2, "3"),
        ("2Ki", 0, "0Ki"),
        ("1e3", 2, "2e3"),
    ],
)
def test_multiplying_keeps_the_unit(written: str, factor: int, product: str) -> None:
    assert multiply_quantity(written, factor) == product


@given(
    st.decimals(min_value=0, max_value=10**9, places=3),
    st.sampled_from(["", "m", "k", "Mi", "Gi"]),
    st.integers(0, 64),
)
def test_multiplying_multiplies_the_value(number: Decimal, suffix: str, factor: int) -> None:
    written = f"{number:f}{suffix}"
    assert parse_quantity(multiply_quantity(written, factor)) == parse_quantity(written) * factor
