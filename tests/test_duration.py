"""Lengths of time as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden import duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h", 3600), ("7d", 604_800), ("2w", 1_209_600), ("0s", 0)]
)
def test_a_number_and_a_unit_are_seconds(text: str, seconds: float) -> None:
    assert duration.parse(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "10", "m", "10 m", "-1h", "1.5h", "1h30m", "10M", "1y", "9" * 5000 + "s", "\u0661m"]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 90s, 10m"):
        duration.parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(600, "10m"), (90, "90s"), (3600, "1h"), (86_400 * 7, "7d"), (0, "0s"), (59.6, "1m")]
)
def test_seconds_are_written_in_the_largest_unit_that_holds_them(seconds: float, text: str) -> None:
    assert duration.format(seconds) == text


@given(st.integers(0, 10**9))
def test_what_was_written_is_read_back(seconds: int) -> None:
    assert duration.parse(duration.format(seconds)) == seconds
