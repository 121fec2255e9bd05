"""Whoever used to speak and does not is missed; nobody else is."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from logwarden.model import Batch, Event, Outcome, Verdict
from logwarden.silence import Expected, Rhythm, Roll, speakers
from logwarden.silence.roll import KNOWN_MOST, NAMED_MOST

NOW = 1_790_000_000.0
MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0


def live(roll: Roll, times: Iterable[float], until: float, who: tuple[str, str] = ("", "cron")) -> list[str]:
    """Let `who` speak at these times, call the roll every five minutes, and return whom it missed, with the hour."""
    missed: list[str] = []
    coming = iter(sorted(times))
    following = next(coming, None)
    start = roll._since
    steps = int((until - start) / 300)
    for now in (start + 300 * step for step in range(steps + 1)):
        while following is not None and following <= now:
            roll.hear("file:/x", [who], following)
            following = next(coming, None)
        missed += [f"{notice.about}@{(now - start) / HOUR:.0f}h" for notice in roll.call(now) if "cron" in notice.about]
    return missed


def every(interval: float, days: float, start: float = NOW) -> list[float]:
    return [start + interval * number for number in range(int(days * DAY / interval))]


def test_a_program_that_speaks_every_five_minutes_is_missed_after_an_hour() -> None:
    assert live(Roll(NOW), every(300, 10), NOW + 12 * DAY) == ["cron on this host@241h"]


def test_an_hourly_job_is_missed_after_an_hour_and_a_half_and_a_nightly_one_a_day_and_a_half() -> None:
    assert live(Roll(NOW), every(HOUR, 10), NOW + 12 * DAY) == [f"cron on this host@{10 * 24 + 1}h"]
    assert live(Roll(NOW), every(DAY, 14), NOW + 17 * DAY) == [f"cron on this host@{13 * 24 + 36}h"]


@pytest.mark.parametrize("days", [1, 4, 7])
def test_nobody_is_missed_who_has_not_been_known_for_more_than_a_week(days: int) -> None:
    assert live(Roll(NOW), every(300, days), NOW + 12 * DAY) == []


def test_office_hours_are_learned_in_the_first_week_and_no_weekend_is_an_alarm() -> None:
    monday = NOW - NOW % DAY  # whichever day that was: five days of work and two without, six times
    times = [
        monday + (7 * week + day) * DAY + hour * HOUR + minute * MINUTE
        for week in range(6)
        for day in range(5)
        for hour in range(9, 17)
        for minute in range(0, 60, 7)
    ]
    assert live(Roll(monday), times, monday + 41 * DAY) == []


@pytest.mark.slow
def test_random_speakers_raise_few_false_alarms() -> None:
    """150 programs that speak at random, every ten minutes to every other day, for eight weeks: 23 years."""
    alarms = 0
    for seed in range(150):
        dice = random.Random(seed)
        mean = 600 * 300 ** dice.random()
        rhythm, time = Rhythm(NOW), NOW
        while time < NOW + 56 * DAY:
            time += dice.expovariate(1 / mean)
            alarms += time - rhythm.last > (rhythm.limit() or 1e9)
            rhythm.hear(time)
    assert alarms <= 1


def test_a_silence_is_named_once_and_the_next_one_again() -> None:
    times = every(HOUR, 10) + every(HOUR, 3, NOW + 12 * DAY)
    assert len(live(Roll(NOW), times, NOW + 17 * DAY)) == 2


def test_time_in_which_nobody_listened_is_no_silence() -> None:
    roll = Roll(NOW)
    live(roll, every(HOUR, 10), NOW + 10 * DAY)
    later = NOW + 13 * DAY
    roll = Roll.load(roll.dump(NOW + 10 * DAY), later)
    assert roll.call(later) == []
    assert live(roll, every(HOUR, 1, later), later + 2 * DAY) == ["cron on this host@25h"]


def test_a_clock_that_jumps_makes_nobody_silent() -> None:
    roll = Roll(NOW)
    live(roll, every(HOUR, 10), NOW + 10 * DAY)
    for by in (366 * DAY, -366 * DAY):
        roll.shift(by)
        assert roll.call(NOW + 10 * DAY + max(by, 0)) == []


def test_a_host_that_falls_silent_is_named_and_not_each_of_its_programs() -> None:
    roll = Roll(NOW)
    for time in every(HOUR, 10):
        roll.hear("file:/x", [("web1", "cron"), ("web1", "sshd"), ("web2", "cron")], time)
    for time in every(HOUR, 1, NOW + 10 * DAY):
        roll.hear("file:/x", [("web2", "cron")], time)
    assert [notice.about for notice in roll.call(NOW + 11 * DAY)] == ["host web1"]


def test_what_the_config_expects_is_missed_from_the_first_hour_on() -> None:
    roll = Roll(NOW)
    roll.expected = (Expected(HOUR, program="backup"), Expected(HOUR, source="file:/var/log/a*.log"))
    roll.hear("file:/var/log/app.log", [("web1", "backup")], NOW)
    assert roll.call(NOW + HOUR) == []
    missed = roll.call(NOW + HOUR + 2 * MINUTE)
    assert [notice.about for notice in missed] == ["file:/var/log/app.log", "backup on web1"]
    assert roll.call(NOW + 3 * HOUR) == []
    assert "expected every 1h" in missed[0].text


def test_what_is_expected_and_was_never_heard_of_is_missed_too() -> None:
    roll = Roll(NOW)
    roll.expected = (Expected(HOUR, program="backup"),)
    assert roll.call(NOW + HOUR) == []
    assert [notice.about for notice in roll.call(NOW + HOUR + 1)] == ["backup"]
    assert roll.call(NOW + 9 * HOUR) == []


def test_an_attack_file_that_never_matched_is_named_once_where_its_program_speaks() -> None:
    files = {"sshd.yaml": ["sshd", "sshd-*"], "ftp.yaml": ["vsftpd"], "any.yaml": ["*"]}
    roll = Roll(NOW)
    live(roll, every(HOUR, 3), NOW + 3 * DAY, who=("web1", "sshd-session"))
    assert roll.deaf(files, [], NOW) == [], "three days are not much"
    live(roll, every(HOUR, 9), NOW + 9 * DAY, who=("web1", "sshd-session"))
    assert roll.deaf(files, ["sshd.yaml"], NOW) == []
    assert [notice.about for notice in roll.deaf(files, [], NOW)] == ["sshd.yaml"]
    roll = Roll.load(roll.dump(NOW), NOW)
    assert roll.deaf(files, [], NOW) == []


@pytest.mark.slow
def test_a_flood_of_invented_names_displaces_nobody_who_is_known_and_fills_no_memory() -> None:
    roll = Roll(NOW)
    live(roll, every(HOUR, 10), NOW + 10 * DAY)
    for number in range(20_000):
        roll.hear("file:/x", [("web1", f"invented{number}")], NOW + 10 * DAY)
        roll.hear("file:/x", [("web1", f"invented{number % 5_000}")], NOW + 10 * DAY + number)
    assert len(roll._known) + len(roll._new) <= 4_000
    assert "cron on this host" in [str(subject) for subject in roll._known]


def test_what_was_kept_by_another_version_is_forgotten() -> None:
    assert Roll.load({"format": 0}, NOW).dump(NOW)["known"] == []
    assert Roll.load(None, NOW).dump(NOW)["known"] == []


# --- hearing --------------------------------------------------------------------------------------------------------


def batch(lines: list[str], program: str | None = None) -> Batch:
    block = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    return Batch("file:/x", block, len(lines), "7", program)


def line(program: str, message: str = "normal", host: str = "web1") -> str:
    return f"2026-09-21T12:00:00+00:00 {host} {program}[7]: {message}"


def test_every_line_of_a_small_batch_is_heard() -> None:
    heard = speakers(batch([line("cron"), line("sshd", host="web2"), "no header at all"]), (), (), NOW)
    assert set(heard) == {("web1", "cron"), ("web2", "sshd"), ("", "")}


def test_whoever_is_wanted_is_heard_in_the_middle_of_a_big_batch() -> None:
    lines = [line("app")] * 2_000
    lines[1_111] = line("cron")
    lines[333] = line("app", "says web1 cron: hello")
    assert ("web1", "cron") in set(speakers(batch(lines), (), [("web1", "cron")], NOW))
    lines[1_111] = line("app")
    assert set(speakers(batch(lines), (), [("web1", "cron")], NOW)) == {("web1", "app")}


def test_an_expected_program_that_was_never_heard_of_is_searched_for_on_whatever_host() -> None:
    roll = Roll(NOW)
    roll.expected = (Expected(DAY, program="backup"), Expected(DAY, source="file:/none"))
    roll.call(NOW + MINUTE)
    lines = [line("app")] * 2_000
    lines[1_111] = line("backup", host="web7")
    roll.hear("file:/x", speakers(batch(lines), (), roll.wanted, NOW + HOUR), NOW + HOUR)
    assert [notice.about for notice in roll.call(NOW + DAY + 1)] == ["file:/none"]


def test_what_the_config_expects_is_searched_for_before_all_others_that_are_late() -> None:
    roll = Roll(NOW)
    for time in every(HOUR, 10):
        roll.hear("file:/x", [("web1", f"program{number}") for number in range(9)], time)
    roll.expected = (Expected(HOUR, program="program8"),)
    roll.call(NOW + 10 * DAY + HOUR)
    assert roll.wanted[0] == ("web1", "program8")


def test_lines_that_are_not_simply_ignored_are_all_heard() -> None:
    event = Event(NOW, "web1", "rare", 1, "m", "raw")
    verdict = Verdict("file:/x", event, Outcome.UNEXPLAINED)
    assert ("web1", "rare") in set(speakers(batch([line("app")] * 99), [verdict], (), NOW))


@pytest.mark.parametrize("block", [b"", b"\n", b"\n" * 100, b"\xff\0" * 50_000 + b"\n"])
def test_bytes_of_any_kind_are_heard_as_nothing(block: bytes) -> None:
    odd = Batch("file:/x", block, block.count(b"\n"), "7")
    assert set(speakers(odd, (), [("h\udcff", "p")], NOW)) <= {("", "")}


def test_invented_hosts_of_an_expected_program_fill_neither_memory_nor_the_digest() -> None:
    roll = Roll(NOW)
    roll.expected = (Expected(HOUR, program="backup"),)
    for number in range(20_000):
        roll.hear("file:/x", [(f"host{number}", "backup")], NOW + number / 100)
    assert len(roll._known) <= 2 * KNOWN_MOST
    assert len(roll.call(NOW + 3 * HOUR)) <= NAMED_MOST + 1
