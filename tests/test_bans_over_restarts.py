"""What a restart must not forget: hits of long windows, bans that make the next one longer, repeat offenders."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from small import NOW, Small

from logwarden import adoption, byhand, watch
from logwarden.model import Ban
from logwarden.tracker import Tracker

pytestmark = pytest.mark.slow  # a whole daemon

EVIL = "203.0.113.9"
HOUR, DAY = 3_600.0, 86_400.0


def host(place: Path, settings: str) -> Small:
    small = Small(place)
    small.config.write_text(small.config.read_text().replace("bans: {", f"bans: {{{settings}, "))
    return small


def lengths(subject: Small, gap: float, times: int) -> list[float]:
    """How long each ban is of somebody who comes again `gap` seconds after the end of the last one."""
    found = []
    for _ in range(times):
        with subject.running():
            subject.attack(EVIL, 3)
            (left,) = subject.bans().values()
        found.append(left)
        subject.hands.pass_by(left + gap)
    return found


def test_hits_of_a_window_longer_than_a_day_outlive_a_restart(tmp_path: Path) -> None:
    subject = host(tmp_path, "policies: {sshd.yaml: {threshold: 3, window: 3d, ban: 1h}}")
    for wait in (1.5 * DAY, 1.2 * DAY):
        with subject.running():
            subject.attack(EVIL, 1)
        subject.hands.pass_by(wait)
    with subject.running():
        assert not subject.bans()
        subject.attack(EVIL, 1)
        assert list(subject.bans()) == [f"{EVIL}/32"]


@pytest.mark.parametrize(("decay", "second"), [("20d", 2 * HOUR), ("5d", HOUR)])
def test_a_ban_of_ten_days_ago_makes_the_next_one_longer_where_it_is_not_forgiven_yet(
    tmp_path: Path, decay: str, second: float
) -> None:
    subject = host(tmp_path, f"growth: {{factor: 2, ceiling: 6d, decay: {decay}}}")
    assert lengths(subject, 10 * DAY, 2) == [HOUR, second]


@pytest.mark.parametrize("again", ["restart", "reload"])
def test_whose_ban_was_lifted_makes_no_crowd_after_a_restart(tmp_path: Path, again: str) -> None:
    subject = host(tmp_path, "aggregate: {threshold: 3, window: 1d, ban: 1d}")
    with subject.running() as daemon:
        for number in (1, 2):
            subject.attack(f"203.0.113.{number}", 3)
        byhand.unban(daemon, {"address": "203.0.113.1"})
        if again == "reload":
            adoption.adopt(daemon, daemon.watch, subject.hands.wall)
            subject.attack("203.0.113.3", 3)
            assert list(subject.bans()) == ["203.0.113.2/32", "203.0.113.3/32"]
    if again == "restart":
        with subject.running():
            subject.attack("203.0.113.3", 3)
            assert list(subject.bans()) == ["203.0.113.2/32", "203.0.113.3/32"]


def test_a_repeat_offender_is_known_over_restarts(tmp_path: Path) -> None:
    subject = host(tmp_path, "growth: {factor: 1}, repeat: {threshold: 3, window: 20d, ban: 25d}")
    assert lengths(subject, 8 * DAY, 3) == [HOUR, HOUR, 25 * DAY]


def test_what_a_reload_takes_up_of_many_past_bans_is_never_all_in_memory(tmp_path: Path) -> None:
    subject = host(tmp_path, "threshold: 3")
    with subject.running() as daemon:
        with daemon.state.transaction() as tx:
            period = tx.open_period(NOW)
            for number in range(20_000):
                since = NOW - 20_000 + number
                tx.add_ban(period, Ban(f"{EVIL}/32", since, since + 0.5, "sshd.yaml", f"ban number {number}", 3))
        tracemalloc.start()
        try:
            watch.tracker(daemon.watch, daemon.state, NOW)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1_000_000


def test_a_ban_that_ends_while_a_reload_counts_past_ones_is_not_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, count = Small(tmp_path), watch.tracker

    def slow(*given: Any, **named: Any) -> Tracker:
        subject.hands.pass_by(2.0)
        return count(*given, **named)

    with subject.running() as daemon:
        subject.attack(EVIL, 3)
        (left,) = subject.bans().values()
        subject.hands.pass_by(left - 1.0)
        monkeypatch.setattr(watch, "tracker", slow)
        monkeypatch.setattr(type(daemon.firewall), "list", lambda *_: {})  # it has ended there
        adoption.adopt(daemon, daemon.watch, subject.hands.wall)
        assert "missing" not in subject.preview()
