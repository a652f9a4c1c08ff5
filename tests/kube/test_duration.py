"""Go's durations, as the API server writes them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.kube.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("5.s", 5),
        ("500ms", 0.5),
        ("1m30s", 90),
        ("2h45m", 9900),
        ("1h0m0.5s", 3600.5),
        ("100us", 1e-4),
        ("100\u00b5s", 1e-4),
        ("100\u03bcs", 1e-4),
        ("7ns", 7e-9),
        ("0", 0),
        ("0s", 0),
        ("+3s", 3),
        ("-3s", -3),
        ("-0", 0),
    ],
)
def test_what_go_reads_is_read_the_same(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "s",
        ".s",
        "10x",
        "10S",
        "1 s",
        " 1s",
        "1s ",
        "1s2",
        "--1s",
        "+-1s",
        "1.2.3s",
        "1e3s",
        "\u0661s",
        "nan",
        "1s,",
    ],
)
def test_what_go_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration: write it as 10s"):
        parse_duration(text)


def test_the_message_does_not_repeat_a_whole_novel() -> None:
    with pytest.raises(ValueError, match="no duration") as error:
        parse_duration("x" * 5000)
    assert len(str(error.value)) < 150


@given(st.text(max_size=30))
def test_any_text_is_a_number_of_seconds_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_duration(text), float)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59999))
def test_hours_minutes_and_milliseconds_add_up(hours: int, minutes: int, milliseconds: int) -> None:
    text = f"{hours}h{minutes}m{milliseconds}ms"
    assert parse_duration(text) == pytest.approx(hours * 3600 + minutes * 60 + milliseconds / 1000)
