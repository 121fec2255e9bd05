"""A wall clock that jumps: noticed, and told from time that passed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.clock import SLACK, Clock

YEAR = 366 * 86_400.0
NOW = 1_790_000_000.0


class Hands:
    """Two clocks that a test sets."""

    def __init__(self, wall: float = NOW, since_boot: float = 1_000.0) -> None:
        self.wall, self.since_boot = wall, since_boot

    def clock(self, boot: str = "b1") -> Clock:
        return Clock(lambda: self.wall, lambda: self.since_boot, boot)

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.since_boot += seconds


@pytest.mark.parametrize("by", [YEAR, -YEAR, 60.0, -60.0])
def test_a_jump_is_told_once_and_time_that_passes_is_none(by: float) -> None:
    hands = Hands()
    clock = hands.clock()
    hands.pass_by(YEAR)
    assert clock.jump() == 0.0
    hands.wall += by
    assert clock.jump() == pytest.approx(by)
    hands.pass_by(60.0)
    assert clock.jump() == 0.0


@given(st.lists(st.floats(min_value=-SLACK, max_value=SLACK)))
def test_small_steps_add_up_and_never_leave_more_than_the_slack(steps: list[float]) -> None:
    hands = Hands()
    clock = hands.clock()
    told = 0.0
    for step in steps:
        hands.wall += step
        told += clock.jump()
        assert abs(hands.wall - NOW - told) <= SLACK + 1e-3


@pytest.mark.parametrize("by", [YEAR, -YEAR])
def test_a_jump_between_two_runs_of_one_boot_is_known_exactly(by: float) -> None:
    hands = Hands()
    mark = hands.clock().mark()
    hands.pass_by(3_600.0)
    hands.wall += by
    assert hands.clock().jump_since(mark) == pytest.approx(by)


def test_a_clock_that_went_back_over_a_boot_is_taken_to_have_stood_still() -> None:
    mark = Hands().clock().mark()
    assert Hands(wall=NOW - YEAR, since_boot=5.0).clock("b2").jump_since(mark) == pytest.approx(-YEAR)


def test_what_is_older_than_a_boot_over_which_the_clock_leapt_ahead_stays_when_it_is_set_back() -> None:
    mark = Hands().clock().mark()
    hands = Hands(wall=NOW + YEAR, since_boot=5.0)
    clock = hands.clock("b2")
    assert clock.jump_since(mark) == 0.0
    again = hands.clock("b2")
    assert again.jump_since(clock.mark()) == 0.0
    for each in (clock, again):
        assert each.unmoved(60.0 - YEAR) == NOW + YEAR
        assert each.unmoved(-60.0) is None, "asked once"


@pytest.mark.parametrize("by", [60.0, -YEAR - 60.0])
def test_nothing_stays_when_a_clock_is_set_ahead_or_to_before_the_boot(by: float) -> None:
    mark = Hands().clock().mark()
    clock = Hands(wall=NOW + YEAR, since_boot=5.0).clock("b2")
    clock.jump_since(mark)
    assert clock.unmoved(by) is None


def test_a_machine_that_was_off_for_a_week_has_not_jumped() -> None:
    mark = Hands().clock().mark()
    assert Hands(wall=NOW + 7 * 86_400, since_boot=5.0).clock("b2").jump_since(mark) == 0.0


@pytest.mark.parametrize(
    "mark",
    [
        None,
        7,
        {},
        {"boot": "b1"},
        {"boot": "b1", "offset": "x", "wall": None},
        {"boot": "b1", "offset": 1, "wall": 1, "over": 7},
    ],
)
def test_a_mark_that_says_nothing_is_no_jump(mark: object) -> None:
    assert Hands().clock().jump_since(mark) == 0.0
