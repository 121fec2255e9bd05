"""systemd's calendar expressions, judged by systemd-analyze where it is there."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.schedule import SHORTHANDS, Schedule, jitter

SPRING = datetime(2025, 3, 29, 22, 10, tzinfo=UTC).timestamp()  # Berlin: 02:00 becomes 03:00 on the 30th
AUTUMN = datetime(2025, 10, 25, 22, 10, tzinfo=UTC).timestamp()  # Berlin: 03:00 becomes 02:00 on the 26th


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Make the process live in a zone."""

    def move(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


def stamps(expression: str, after: float, count: int) -> list[str]:
    """Up to `count` occurrences in UTC; fewer where no more come."""
    schedule = Schedule.parse(expression)
    found: list[str] = []
    while len(found) < count and (after := schedule.next(after)) != math.inf:
        found.append(datetime.fromtimestamp(after, UTC).strftime("%Y-%m-%d %H:%M:%S"))
    return found


def test_an_hourly_expression_comes_every_hour_and_strictly_later() -> None:
    schedule = Schedule.parse("*:02 UTC")
    at_two = datetime(2025, 1, 1, 5, 2, tzinfo=UTC).timestamp()
    assert schedule.next(at_two - 0.001) == at_two
    assert schedule.next(at_two) == at_two + 3600


def test_a_weekday_range_skips_the_weekend() -> None:
    friday = datetime(2025, 3, 28, 8, tzinfo=UTC).timestamp()
    assert stamps("Mon..Fri 07:00 UTC", friday, 2) == ["2025-03-31 07:00:00", "2025-04-01 07:00:00"]


def test_a_zone_in_the_expression_wins_over_the_process_zone(zone: Callable[[str], None]) -> None:
    zone("America/New_York")
    assert stamps("07:00 Europe/Berlin", SPRING, 1) == ["2025-03-30 05:00:00"]


def test_a_time_that_daylight_saving_skips_is_skipped(zone: Callable[[str], None]) -> None:
    zone("Europe/Berlin")
    assert stamps("02:30", SPRING, 1) == ["2025-03-31 00:30:00"]


def test_a_time_that_daylight_saving_repeats_comes_once(zone: Callable[[str], None]) -> None:
    zone("Europe/Berlin")
    assert stamps("02:30", AUTUMN, 2) == ["2025-10-26 00:30:00", "2025-10-27 01:30:00"]


def test_a_posix_zone_rule_serves_as_the_local_zone(zone: Callable[[str], None]) -> None:
    zone("CET-1CEST,M3.5.0,M10.5.0/3")
    assert stamps("07:00", SPRING, 1) == ["2025-03-30 05:00:00"]


def test_a_leap_day_on_a_weekday_is_found_decades_ahead() -> None:
    after_one = datetime(2072, 3, 1, tzinfo=UTC).timestamp()  # 29 February 2072 is a Monday, and 2100 is no leap year
    assert stamps("Mon *-02-29 UTC", after_one, 2) == ["2112-02-29 00:00:00", "2140-02-29 00:00:00"]


def test_a_year_gone_by_never_comes() -> None:
    assert Schedule.parse("2020-01-01").next(SPRING) == math.inf


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty"),
        ("noon", "a weekday such as Mon"),
        ("24:00", "an hour from 0 to 23"),
        ("*:60", "a minute from 0 to 59"),
        ("07", "a time zone"),
        ("*/2:00", "N, N..M or N/STEP"),
        ("*:0/0", "a minute"),
        ("5..3:00", "an hour"),
        ("Fri..Mon 07:00", "from Monday towards Sunday"),
        ("Mon, Tue 07:00", "a weekday"),
        ("07:00:00.5", "a whole second"),
        ("*-13-01", "a month"),
        ("*-02-30", "no such day ever comes"),
        ("1-2-3-4", "a date as YEAR-MONTH-DAY"),
        ("07:00 ../../etc/passwd", "a time zone"),
        ("07:00 Mars/Olympus", "a time zone"),
        ("07:00 UTC now", "nothing after the time zone"),
        ("1:2:3:4", "a time as HOUR:MINUTE"),
        ("\u0661:00", "an hour"),
    ],
)
def test_what_is_no_expression_is_refused_with_what_was_expected(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)):
        Schedule.parse(text)


@given(st.text(alphabet="0123456789*:-/.,~ MonFriUTCdaily", max_size=24))
def test_any_text_parses_or_is_refused_with_a_value_error(text: str) -> None:
    try:
        schedule = Schedule.parse(text)
    except ValueError:
        return
    assert schedule.next(SPRING) > SPRING


def test_to_find_the_next_second_late_in_the_day_costs_nothing_like_a_walk_through_the_day() -> None:
    schedule = Schedule.parse("*:*:* UTC")
    late = datetime(2025, 3, 28, 23, 59, 58, tzinfo=UTC).timestamp()
    started = time.thread_time()
    assert schedule.next(late) == late + 1
    assert schedule.next(late + 1) == late + 2
    assert time.thread_time() - started < 0.1


def test_jitter_is_the_same_for_a_host_and_within_its_limit() -> None:
    values = [jitter(f"host{number}", 60.0) for number in range(200)]
    assert values == [jitter(f"host{number}", 60.0) for number in range(200)]
    assert all(0 <= value < 60 for value in values)
    assert min(values) < 6 < 54 < max(values)
    assert jitter("host", 0.0) == 0.0


# --- the oracle ---------------------------------------------------------------------------------------------

EXPRESSIONS = [
    *SHORTHANDS,
    "*:02",
    "07:00",
    "Mon..Fri 07:00",
    "Mon,Wed *-*-* 07:00:00",
    "Saturday,sun 1..5:30",
    "*-*-01 06:30",
    "*:0/15",
    "*-*-* 08..18/2:00",
    "2..3:0/30",
    "*-*~07/1",
    "*-02~03",
    "*-2~3..5",
    "Mon *-02-29",
    "2026/2-1-1 00:00:01",
    "27-12-25",
    "05:00 UTC",
    "*:*:0/20",
    "18:00..19:00",
    "*-*-31",
    "Tue *-11-2..8",
]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize(
    ("name", "base"), [("Europe/Berlin", SPRING), ("Europe/Berlin", AUTUMN), ("Australia/Lord_Howe", AUTUMN)]
)
def test_what_comes_next_is_what_systemd_says(zone: Callable[[str], None], name: str, base: float) -> None:
    zone(name)
    said = systemd(EXPRESSIONS, base, 4)
    assert {each: stamps(each, base, 4) for each in EXPRESSIONS} == dict(zip(EXPRESSIONS, said, strict=True))


def systemd(expressions: list[str], base: float, count: int) -> list[list[str]]:
    local = datetime.fromtimestamp(base).strftime("%Y-%m-%d %H:%M:%S")
    done = subprocess.run(
        ["systemd-analyze", "calendar", f"--base-time={local}", f"--iterations={count}", *expressions],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    in_utc = r"(?:\(in UTC\):|Next elapse:|Iter\. #\d+:) \w{3} (\S+ \S+) UTC"
    return [re.findall(in_utc, part) for part in done.stdout.strip().split("\n\n")]


def test_that_the_years_of_a_schedule_are_over_is_known_without_a_walk_through_them() -> None:
    schedule = Schedule.parse("2024-*-* *:*:* UTC")
    started = time.thread_time()
    assert schedule.next(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) == math.inf
    assert time.thread_time() - started < 0.1
