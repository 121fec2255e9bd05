"""The books are kept and checked: what was read has an outcome, what is silent is missed, and the digest says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from small import NOW, Small
from small_disk import PageLimit

from logwarden import answers, upkeep
from logwarden.echo import Echoes
from logwarden.inbox import SLOTS
from logwarden.model import Notice, NoticeKind, Outcome
from logwarden.pipeline import RETRY

pytestmark = pytest.mark.slow  # a whole daemon, or a real journal, server or disk

HOUR, DAY = 3_600.0, 86_400.0


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Small]:
    small = Small(tmp_path, extra="programs: {backup: {expect: {every: 1h}}}")
    with small.running():
        yield small


def digest(host: Small) -> str:
    """The digest's text, its lines as one."""
    return " ".join(host.preview().split())


def test_books_that_add_up_raise_no_fault(host: Small) -> None:
    host.write("normal 1", "never seen before", "x" * 70_000)
    host.attack("203.0.113.9", 2)
    assert host.daemon.state.read() == {"file:/x": 5}
    text = digest(host)
    assert "ACCOUNTING" not in text
    assert "5 1 2 1 1" in text, "read = ignored + attack + unexplained + quarantined"


@pytest.mark.parametrize(
    ("tampering", "fault"),
    [
        ("UPDATE reading SET lines=lines+2", "2 of 5 lines have no outcome"),
        ("UPDATE reading SET lines=lines-1", "1 outcomes have no line: 2 were read"),
        ("DELETE FROM entry", "1 lines were counted as unexplained, and 0 kept"),
        ("UPDATE hit SET lines=0", "2 lines were ignored, and ignore rules matched 0 times"),
        ("INSERT INTO reading SELECT period, 'file:/y', 7 FROM reading", "7 of 7 lines have no outcome"),
    ],
)
def test_books_that_do_not_add_up_are_a_fault_in_the_digest(host: Small, tampering: str, fault: str) -> None:
    host.write("normal 1", "normal 2", "never seen before")
    host.daemon.state._db.execute(tampering)
    text = digest(host)
    assert fault in text
    assert "this is a bug in logwarden" in text


def test_the_echo_of_a_line_is_ignored_by_no_rule_and_no_fault(host: Small) -> None:
    host.daemon.pipeline.echoes = Echoes()
    batch = host.batch("never seen before")
    host.daemon.pipeline.process([batch, replace(batch, source="journal")], host.hands.wall)
    assert host.daemon.state.tallies()["journal"][Outcome.IGNORED] == 1
    assert "ACCOUNTING" not in digest(host)


def test_totals_still_add_up_when_old_periods_are_forgotten(host: Small) -> None:
    for _ in range(3):
        host.write("normal 1", "never seen before")
        host.daemon.close_period(host.hands.wall)
    with host.daemon.state.transaction() as tx:
        tx.forget(host.hands.wall + 1)
    assert host.daemon.state.read() == {"file:/x": 6}
    assert sum(host.daemon.state.tallies()["file:/x"].values()) == 6


def test_gaps_quarantines_and_refused_rules_are_printed(host: Small) -> None:
    (host.place / "ignore.d" / "bad.rules").write_text("app: (\n")
    host.daemon.inbox.put(Notice(NoticeKind.GAP, "journal", "4 hours are missing", NOW))
    host.write("x" * 70_000)
    host.daemon.reload()
    while "bad.rules" not in str(host.daemon.watch.refused):
        host.daemon.step()
    text = digest(host)
    assert "4 hours are missing" in text
    assert "QUARANTINED file:/x" in text
    assert "bad.rules:1" in "".join(text.split())  # a long path is folded


def test_a_notice_that_the_database_did_not_take_is_in_the_digest_later(host: Small) -> None:
    disk = PageLimit(host.daemon.state)
    disk.fill()
    host.daemon.note(Notice(NoticeKind.GAP, "journal", "x" * 600_000 + "4 hours", NOW))
    assert host.daemon.notices.owed
    disk.free()
    host.write("normal 1")
    period = host.daemon.state.period()
    assert period is not None
    assert [notice.text[-7:] for notice in host.daemon.state.notices(period[0])] == ["4 hours"]


def test_a_gap_is_in_the_digest_once_the_cursor_behind_it_is_and_at_once_in_the_status(host: Small) -> None:
    gap = Notice(NoticeKind.GAP, "file:/x", "4 hours are missing", NOW)
    disk = PageLimit(host.daemon.state)
    disk.fill()
    batch = replace(host.batch("x" * 60_000), notices=(gap,))
    host.daemon.inbox.put_batch(batch, lambda: False)
    host.daemon.step()
    assert gap in host.daemon.notices.latest
    assert batch.cursor not in host.daemon.state.cursors().values()
    period = host.daemon.state.period()
    assert period is None or not host.daemon.state.notices(period[0])
    disk.free()
    host.hands.pass_by(RETRY)
    host.write("normal 1")
    period = host.daemon.state.period()
    assert period is not None
    assert host.daemon.state.notices(period[0]).count(gap) == 1
    assert host.daemon.state.cursors()["file:/x"] == str(int(batch.cursor) + 1)


def test_status_says_how_far_behind_we_are_and_what_is_not_written_down(host: Small) -> None:
    batch = host.batch("normal 1")
    host.hands.pass_by(90)
    host.daemon.inbox.put_batch(batch, lambda: False)
    host.daemon.step()
    answer = answers.status(host.daemon, {})
    assert answer["lag"] == {"file:/x": pytest.approx(90)}
    assert answer["uncommitted"] == {"batches": 0, "adrift": False, "why": None}
    assert 0 < answer["database"]["used"] <= answer["database"]["taken"]
    disk = PageLimit(host.daemon.state)
    disk.fill()
    host.write(*["x" * 60_000] * 4)
    answer = answers.status(host.daemon, {})
    assert answer["uncommitted"]["batches"] == 1
    assert "full" in answer["uncommitted"]["why"]


# --- silence --------------------------------------------------------------------------------------------------------


def pass_by(host: Small, seconds: float) -> None:
    host.hands.pass_by(seconds)
    host.write("normal 1")


def test_a_program_that_the_config_expects_is_missed_in_the_digest(host: Small) -> None:
    host.write("saved", tag="backup[7]")
    pass_by(host, HOUR)
    assert "backup" not in digest(host).partition("UNEXPLAINED")[0]
    pass_by(host, 120)
    assert "SILENCE backup on web1" in digest(host)


def learned(place: Path, *programs: str) -> Small:
    """A host that has heard these every hour for nine days."""
    host = Small(place)
    with host.running() as daemon:
        for hour in range(24 * 9 + 1):
            daemon.roll.hear("file:/x", [("web1", program) for program in programs], NOW + hour * HOUR)
        host.hands.pass_by(24 * 9 * HOUR)
    return host


def test_a_rhythm_survives_a_restart_and_the_silence_is_in_the_digest(tmp_path: Path) -> None:
    host = learned(tmp_path, "app", "heart")
    with host.running():
        pass_by(host, HOUR)
        assert "SILENCE" not in digest(host)
        pass_by(host, 0.6 * HOUR)
        assert "SILENCE heart on web1" in digest(host)
        assert "app on web1" not in digest(host)


def test_nobody_is_missed_while_a_backlog_waits_to_be_read(tmp_path: Path) -> None:
    host = learned(tmp_path, "app", "heart")
    with host.running() as daemon:
        host.hands.pass_by(2 * HOUR)
        for number in range(SLOTS - 1):
            daemon.inbox.put_batch(host.batch(f"normal {number}"), lambda: False)
        host.write("normal 7")
        assert "SILENCE" not in digest(host)


def test_an_attack_file_that_never_matched_is_in_the_digest_where_its_program_speaks(tmp_path: Path) -> None:
    host = learned(tmp_path, "sshd")
    with host.running():
        pass_by(host, 61)
        assert "sshd.yaml" not in digest(host)
        pass_by(host, HOUR)
        assert "SILENCE sshd.yaml" in digest(host)
    with host.running():
        host.daemon.close_period(host.hands.wall)
        pass_by(host, HOUR + 61)
        assert "sshd.yaml" not in digest(host), "said once"


# --- room -----------------------------------------------------------------------------------------------------------


def test_raw_lines_go_when_they_are_old_and_counts_stay(tmp_path: Path) -> None:
    host = Small(tmp_path, extra="retention: {age: 2d, size: 16MB}")
    with host.running() as daemon:
        host.write("never seen before")
        daemon.close_period(host.hands.wall)
        pass_by(host, DAY)
        assert len(list(daemon.state.entries(1))) == 1
        pass_by(host, DAY + HOUR)
        assert list(daemon.state.entries(1)) == []
        assert daemon.state.tallies()["file:/x"][Outcome.UNEXPLAINED] == 1


@pytest.mark.slow
def test_a_database_that_outgrows_its_room_tells_its_lines_early_and_the_file_shrinks(tmp_path: Path) -> None:
    host = Small(tmp_path, extra="retention: {age: 30d, size: 16MB}")
    with host.running() as daemon:
        for number in range(160):
            host.write(f"{number} " + "x" * 60_000)
        used, taken = daemon.state.size()
        assert used > 16_000_000
        pass_by(host, 61)
        assert daemon.state.undelivered() == [], "an hour is not over: a flood of lines is no flood of mail"
        pass_by(host, upkeep.EARLY)
        assert "160 lines" in daemon.state.undelivered()[0]["subject"]
        assert "ends before its time" in str(daemon.state.due(host.hands.wall + DAY)[0].content)
        for _ in range(6):  # a little each minute
            pass_by(host, 61)
        small, taken_then = daemon.state.size()
        assert small <= 16_000_000 * upkeep.FULL
        assert taken_then < taken
        assert taken_then < 16_000_000
        assert daemon.state.tallies()["file:/x"][Outcome.UNEXPLAINED] == 160
        assert daemon.shrunk is not None


def test_the_open_periods_lines_are_never_forgotten_untold(host: Small) -> None:
    host.write(*["never seen before"] * 50)
    with host.daemon.state.transaction() as tx:
        assert tx.forget_oldest(1_000) == 0
    host.daemon.close_period(host.hands.wall)
    with host.daemon.state.transaction() as tx:
        assert tx.forget_oldest(20) == 20
        assert tx.forget_oldest(1_000) == 30
