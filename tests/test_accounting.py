"""The books are kept and checked: what was read has an outcome, what is silent is missed, and the digest says so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from small import NOW, Small
from small_disk import PageLimit

from logwarden import answers, config, upkeep
from logwarden.echo import Echoes
from logwarden.inbox import SLOTS
from logwarden.model import Ahead, Batch, Lag, Notice, NoticeKind, Outcome
from logwarden.notices import OWED
from logwarden.period import SHAPES
from logwarden.pipeline import RETRY
from logwarden.state import Transaction

pytestmark = pytest.mark.slow  # a whole daemon, or a real journal, server or disk

HOUR, DAY = 3_600.0, 86_400.0
EXPECTING = "files: [{path: /none/*.log, expect: {every: 1h}}]"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Small]:
    small = Small(tmp_path, extra="programs: {backup: {expect: {every: 1h}}}")
    with small.running():
        yield small


def digest(host: Small) -> str:
    """The digest's text, its lines as one."""
    return " ".join(host.preview().split())


def silences(host: Small) -> dict[str, str]:
    """Who is missed in the digest, and what is said of it."""
    return dict(re.findall(r"SILENCE (\S+) +[\d:]+ (.*?)(?= SILENCE| EVERY LINE)", digest(host)))


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
        host.close_period()
    with host.daemon.state.transaction() as tx:
        tx.forget(host.hands.wall + 1)
    assert host.daemon.state.read() == {"file:/x": 6}
    assert sum(host.daemon.state.tallies()["file:/x"].values()) == 6


def test_the_cursor_of_a_file_that_is_gone_goes_when_its_lines_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "there.log").touch()
    host = Small(tmp_path, extra="retention: {age: 7d}")
    items = f"sources: {{files: [{{path: {logs}/*.log}}, {{path: {logs}/named.log}}]}}"
    host.config.write_text(host.config.read_text().replace("sources: {files: []}", items))
    gone, late, *stay = (f"file:{logs}/{name}.log" for name in ("gone", "late", "there", "named"))
    with host.running() as daemon:

        def read(*sources: str) -> None:
            daemon.pipeline.process(
                [replace(host.batch("normal 1"), source=source) for source in sources], host.hands.wall
            )

        host.step_until(lambda: "files" in daemon.state.cursors())
        read(gone, *stay, "journal")
        host.hands.pass_by(6 * DAY)
        read(late)
        upkeep.round_(daemon, host.hands.wall)
        assert {gone, late, *stay, "journal"} <= daemon.state.cursors().keys()
        host.hands.pass_by(2 * DAY)
        with monkeypatch.context() as patch:
            patch.setattr(daemon, "unread", lambda: {late: Lag(1, 2 * upkeep.LATE)})
            upkeep.round_(daemon, host.hands.wall)
        assert gone in daemon.state.cursors(), "what is behind may have rotated parts that were not read yet"
        host.hands.pass_by(upkeep.HOUR)
        upkeep.round_(daemon, host.hands.wall)
        assert {late, *stay, "journal"} <= daemon.state.cursors().keys()
        assert gone not in daemon.state.cursors()
        assert "gone.log" not in (tmp_path / "state" / "cursors.json").read_text()
        assert sum(daemon.state.read().values()) == 5


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


def test_of_many_notices_that_wait_for_the_database_the_latest_are_told_and_how_many_more_there_were(
    tmp_path: Path,
) -> None:
    host = Small(tmp_path)
    host.config.write_text(host.config.read_text().replace("permit_", "allowlist: [2001:db8::/32], permit_"))
    with host.running() as daemon:
        disk = PageLimit(daemon.state)
        disk.fill()
        host.write("x" * 60_000)
        for number in range(OWED + 50):  # whom nobody may ban attacks, read ahead of a backlog
            lines = host.batch(*[f"Failed password for x from 2001:db8::{number:x}"] * 3, tag="sshd[9]")
            daemon.inbox.put(Ahead(lines, anew=False))
        while len(daemon.inbox):
            daemon.step()
        assert daemon.pipeline.stalled
        assert len(daemon.notices.owed) == OWED
        disk.free()
        host.hands.pass_by(RETRY)
        host.write("normal 1")
        period = daemon.state.period()
        assert period is not None
        told = daemon.state.notices(period[0])
        assert [notice.about for notice in told[:-1] if notice.kind == NoticeKind.FIREWALL] == [
            f"2001:db8::{number:x}/128" for number in range(50, OWED + 50)
        ]
        assert told[-1].text.startswith("50 more notices")


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


# --- one transaction ------------------------------------------------------------------------------------------------


class FaultError(Exception):
    """What happens between two things."""


@pytest.mark.parametrize("step", ["close_period", "remember", "post", "commit"])
def test_a_failure_while_a_period_closes_leaves_neither_its_close_nor_its_digest(
    step: str, host: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = host.daemon.state
    host.write("never seen before")
    known = state.recall(SHAPES)
    disk = PageLimit(state)
    with monkeypatch.context() as patch:
        if step == "commit":
            disk.fill()
        else:
            done = getattr(Transaction, step)

            def done_and_dead(*arguments: object) -> None:
                done(*arguments)
                raise FaultError

            patch.setattr(Transaction, step, done_and_dead)
        with suppress(FaultError):
            host.close_period()
    disk.free()
    assert (state.recall(SHAPES), state.undelivered()) == (known, [])
    with state.transaction() as tx:
        assert tx.forget_oldest(1_000) == 0, "what is not told yet stays"
    host.close_period()
    assert (state.period(), state.owed()) == ((2, host.hands.wall), None)
    assert len(state.undelivered()) == 1


@pytest.mark.parametrize(
    "line",
    [
        "@4fffffffffffffff00000000 hello",
        "9999-12-31T23:59:59-12:00 web1 app[1]: hello",
        "0001-01-01T00:00:00+12:00 web1 app[1]: hello",
        "<34>1 9999-12-31T23:59:59-12:00 web1 app 1 - - hello",
    ],
)
def test_a_line_with_an_absurd_stamp_is_told_as_any_other(line: str, host: Small) -> None:
    host.daemon.inbox.put_batch(Batch("file:/x", f"{line}\n".encode(), 1, "1"), lambda: False)
    host.daemon.step()
    assert "hello" in digest(host)
    host.close_period()
    assert len(host.daemon.state.undelivered()) == 1


# --- silence --------------------------------------------------------------------------------------------------------


def pass_by(host: Small, seconds: float) -> None:
    host.hands.pass_by(seconds)
    host.write("normal 1")
    host.rest()
    if host.daemon.untidy:  # which waited for the digest
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


def say(host: Small, source: str, *messages: str) -> None:
    """Let lines of a source come in, and the daemon do what is due."""
    host.daemon.inbox.put_batch(replace(host.batch(*messages), source=source), lambda: False)
    host.daemon.step()


def test_a_source_whose_rhythm_was_learned_line_by_line_is_missed_in_the_digest_when_it_stops(tmp_path: Path) -> None:
    host = Small(tmp_path)
    with host.running():
        for _ in range(24 * 9):
            host.hands.pass_by(HOUR)
            say(host, "file:/x", "normal 1")
            say(host, "file:/y", "normal 1")  # at the same moment: the busy one leaves it no less heard
        host.close_period()
        pass_by(host, HOUR)
        pass_by(host, 0.5 * HOUR)
        assert silences(host) == {}
        pass_by(host, 61)
        assert silences(host) == {"file:/y": "has been silent for 91m; it used to be for 1h at most"}
        say(host, "file:/y", "normal 1")
        host.close_period()
        pass_by(host, 61)
        assert silences(host) == {}, "it speaks again"


def test_a_place_that_moves_is_no_word_of_the_source(tmp_path: Path) -> None:
    host = Small(tmp_path)
    host.config.write_text(host.config.read_text().replace("files: []", EXPECTING))
    with host.running():
        say(host, "file:/none/app.log", "normal 1")
        for _ in range(3):
            pass_by(host, HOUR / 2)
            say(host, "file:/none/app.log")  # rotated, and nothing is written any more
        assert list(silences(host)) == ["file:/none/app.log"]


@pytest.mark.parametrize(
    ("sources", "source"),
    [
        ("files: [{path: /none/app.log, expect: {every: 1h}}]", "file:/none/app.log"),
        (EXPECTING, "file:/none/app.log"),
        ("files: [], journal: {directories: [/none], expect: {every: 1h}}", "journal:/none"),
    ],
)
def test_a_source_that_the_config_expects_is_missed_in_the_digest(sources: str, source: str, tmp_path: Path) -> None:
    host = Small(tmp_path)
    host.config.write_text(host.config.read_text().replace("files: []", sources))
    with host.running():
        say(host, "file:/x", "normal 1")
        say(host, source, "normal 1")
        pass_by(host, HOUR)
        assert silences(host) == {}
        pass_by(host, 121)
        assert silences(host) == {source: "has been silent for 62m; it is expected every 1h"}


@pytest.mark.parametrize("sources", [EXPECTING, "files: []"])
def test_a_source_that_was_expected_and_never_spoke_is_missed_too(sources: str, tmp_path: Path) -> None:
    host = Small(tmp_path)
    host.config.write_text(host.config.read_text().replace("files: []", sources))
    with host.running():
        pass_by(host, HOUR)  # and hear of all that a start reports
        host.step_until(lambda: not len(host.daemon.inbox))
        pass_by(host, 61)
        said = {"file:/none/*.log": "was expected every 1h and has not been heard of yet"}
        assert silences(host) == (said if sources == EXPECTING else {})


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
        host.close_period()
        pass_by(host, HOUR + 61)
        assert "sshd.yaml" not in digest(host), "said once"


# --- room -----------------------------------------------------------------------------------------------------------


def test_raw_lines_are_kept_for_thirty_days_and_in_512_megabytes_where_the_config_says_nothing(tmp_path: Path) -> None:
    host = Small(tmp_path)
    with host.running() as daemon:
        assert daemon.watch.config.retention == config.RetentionConfig(age=30 * DAY, size=512_000_000)
        assert answers.status(daemon, {})["database"]["limit"] == 512_000_000
        host.write("never seen before")
        host.attack("203.0.113.9", 2)
        host.close_period()
        pass_by(host, 30 * DAY - HOUR)
        assert len(list(daemon.state.entries(1))) == 3
        assert len(list(daemon.state.attacks(0))) == 2
        pass_by(host, HOUR + 61)
        pass_by(host, HOUR + 61)
        assert list(daemon.state.entries(1)) == list(daemon.state.attacks(0)) == []
        counts = daemon.state.tallies()["file:/x"]
        assert (counts[Outcome.UNEXPLAINED], counts[Outcome.ATTACK]) == (1, 2)
        assert daemon.state.read()["file:/x"] == sum(counts.values())
        assert daemon.state.rule_totals()["sshd.yaml#failed"][0] == 2


def test_raw_lines_go_when_they_are_old_and_counts_stay(tmp_path: Path) -> None:
    host = Small(tmp_path, extra="retention: {age: 2d, size: 16MB}")
    with host.running() as daemon:
        host.write("never seen before")
        host.close_period()
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
        assert "ends before its time" in str(daemon.state.due(host.hands.wall + DAY).content)
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
    host.close_period()
    with host.daemon.state.transaction() as tx:
        assert tx.forget_oldest(20) == 20
        assert tx.forget_oldest(1_000) == 30
