"""No ban waits for a backlog: the newest lines are judged ahead of it for their attacks, and still count once."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sink import Sink
from small import NOW, Small
from test_journal import START, Writer, needs_journal
from test_tracker import ATTACKER, hit, tracker

from logwarden.model import BLOCK, MAX_LINE, Ahead, Ban, Batch, Outcome, Policy, Provenance
from logwarden.sources import polling
from logwarden.sources.ahead import BEHIND, Scout
from logwarden.sources.file import FileSource, FileSpec
from logwarden.tracker import Growth, Spared, Tracker

SHORT = Policy(threshold=3, window=600, ban=60)


def stamped(message: str, tag: str, seconds: float = 0.0) -> bytes:
    return f"{datetime.fromtimestamp(NOW + seconds, UTC).isoformat()} web1 {tag}: {message}\n".encode()


FAILURE = f"Failed password for root from {ATTACKER}"


# --- hits ---------------------------------------------------------------------------------------------------------


def ahead(subject: Tracker, times: int, now: float = NOW, written: float | None = NOW) -> list[Ban | Spared]:
    return [made for _ in range(times) if (made := subject.weigh(hit(time=written), now, "auth.log")[1])]


def in_turn(subject: Tracker, times: int, now: float = NOW) -> list[Ban | Spared]:
    return [made for _ in range(times) if (made := subject.weigh(hit(time=NOW), now)[1])]


def test_enough_hits_ahead_of_the_backlog_ban() -> None:
    (ban,) = ahead(tracker(), 3)
    assert isinstance(ban, Ban)
    assert ban.hits == 3


def test_hits_ahead_and_hits_in_their_turn_never_add_up() -> None:
    subject = tracker()
    assert ahead(subject, 2) == in_turn(subject, 2) == []
    assert len(in_turn(subject, 1)) == 1


def test_hits_ahead_of_two_sources_never_add_up_for_both_may_show_the_same_lines() -> None:
    subject = tracker()
    assert ahead(subject, 2) == []
    assert subject.weigh(hit(), NOW, "journal")[1] is None
    assert len(ahead(subject, 1)) == 1


@pytest.mark.parametrize("later", [0, 59, 61, 500])
def test_hits_that_banned_ahead_ban_no_second_time_in_their_turn_also_when_the_ban_is_over(later: float) -> None:
    subject = tracker(SHORT, growth=Growth(factor=2))
    assert len(ahead(subject, 3)) == 1
    subject.expire(NOW + later)
    assert in_turn(subject, 3, NOW + later) == []


def test_nor_do_they_after_a_restart() -> None:
    subject, successor = tracker(SHORT), tracker(SHORT)
    (ban,) = ahead(subject, 3)
    assert isinstance(ban, Ban)
    successor.restore(bans=[ban])
    assert in_turn(successor, 3, NOW + 61) == ahead(successor, 3, NOW + 61) == []


def test_a_ban_ahead_spends_what_stood_in_the_window_before() -> None:
    subject = tracker(SHORT)
    assert in_turn(subject, 2) == []
    assert len(ahead(subject, 3)) == 1
    assert [subject.weigh(hit(time=NOW + 61), NOW + 61)[1] for _ in range(2)] == [None, None]


def test_what_comes_after_the_ban_counts_again() -> None:
    subject = tracker(SHORT)
    assert len(ahead(subject, 3)) == 1
    assert len(ahead(subject, 3, NOW + 61, NOW + 61)) == 1


def test_what_could_not_be_known_again_by_its_time_does_not_count_ahead() -> None:
    assert ahead(tracker(), 9, written=None) == ahead(tracker(SHORT), 9, written=NOW + 61) == []
    assert len(ahead(tracker(SHORT), 3, written=NOW + 59)) == 1


def test_what_does_not_count_in_its_turn_does_not_count_ahead() -> None:
    subject = tracker()
    forged = hit(provenance=Provenance(uid=1000, comm="logger"))
    assert isinstance(subject.weigh(forged, NOW, "journal")[1], Spared)
    assert ahead(subject, 9, NOW + 3_600) == [], "older than its window"


def test_a_source_that_shows_lines_anew_counts_them_anew() -> None:
    subject = tracker()
    ahead(subject, 2)
    subject.forget_ahead("auth.log")
    assert ahead(subject, 2) == []


def test_hits_ahead_keep_their_age_when_the_clock_jumps_and_are_forgotten_when_they_are_over() -> None:
    subject = tracker()
    ahead(subject, 2)
    subject.shift(1e8)
    assert len(ahead(subject, 1, NOW + 1e8, NOW + 1e8)) == 1
    ahead(subject, 2, NOW + 2e8, NOW + 2e8)
    subject.expire(NOW + 3e8)
    assert not subject._ahead


# --- lines --------------------------------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "auth.log"
    path.touch()
    return path


def append(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.writelines(line + b"\n" for line in lines)


def shown(scout: Scout) -> tuple[list[bytes], bool]:
    found = scout.look()
    return (found.batch.block.splitlines(), found.anew) if found else ([], False)


def test_the_newest_whole_lines_are_shown_once(log: Path) -> None:
    append(log, *[b"%099d" % number for number in range(20_000)])
    scout = Scout(str(log))
    lines, anew = shown(scout)
    assert anew
    assert lines[-1] == b"%099d" % 19_999
    assert BLOCK - 100 <= sum(len(line) + 1 for line in lines) <= BLOCK
    assert all(len(line) == 99 for line in lines), "not the one in whose midst the block begins"
    assert shown(scout) == ([], False)
    append(log, b"one", b"two")
    with log.open("ab") as file:
        file.write(b"thr")
    assert shown(scout) == ([b"one", b"two"], False)
    append(log, b"ee")
    assert shown(scout) == ([b"three"], False)


def test_where_more_was_written_than_a_look_takes_the_newest_of_it_are_shown(log: Path) -> None:
    append(log, b"first")
    scout = Scout(str(log))
    assert shown(scout) == ([b"first"], True)
    append(log, *[b"%099d" % number for number in range(10_000)])
    lines, anew = shown(scout)
    assert (lines[-1], anew) == (b"%099d" % 9_999, False)
    assert shown(scout) == ([], False)


def test_the_rest_of_a_line_that_is_too_long_is_no_line(log: Path) -> None:
    append(log, b"x" * (MAX_LINE + 100))
    scout = Scout(str(log))
    assert [len(line) for line in shown(scout)[0]] == [MAX_LINE + 1]
    with log.open("ab") as file:
        file.write(b"x" * (MAX_LINE + 100))
    assert [len(line) for line in shown(scout)[0]] == [MAX_LINE + 1]
    append(log, b"the rest of it", b"a line")
    assert shown(scout) == ([b"a line"], False)


@pytest.mark.parametrize("how", ["another file", "written anew in place", "emptied, and grown beyond where it was"])
def test_a_file_that_is_not_what_was_seen_is_shown_anew(log: Path, how: str) -> None:
    append(log, b"one", b"two")
    scout = Scout(str(log))
    shown(scout)
    if how == "another file":
        log.rename(log.with_suffix(".1"))
        append(log, b"one", b"two")
        assert shown(scout) == ([b"one", b"two"], True)
    else:
        lines = [b"two", b"one"] if how == "written anew in place" else [b"three", b"four", b"five"]
        log.write_bytes(b"".join(line + b"\n" for line in lines))
        assert shown(scout) == (lines, True)


def test_what_is_not_there_or_compressed_or_no_file_shows_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(b"\x1f\x8b\x08\0")
    assert [Scout(str(tmp_path / name)).look() for name in ("none", "x.gz", ".")] == [None] * 3


def aheads(sink: Sink) -> list[Ahead]:
    return [item for item in sink.items if isinstance(item, Ahead)]


def test_a_source_shows_the_newest_lines_of_files_that_are_far_behind_before_their_backlog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "TURN", 0.0)
    names = ["small", "events", "big1", "big2", "big3"]
    for name in names:
        size = 1_000 if name == "small" else 2 * BEHIND
        append(tmp_path / name, *[b"%099d" % number for number in range(size // 100)], b"the last")
    specs = [FileSpec(str(tmp_path / name), "app", r"\s" if name == "events" else None, True) for name in names]
    source, sink = FileSource(specs), Sink()
    source.start(sink, {})
    sink.wait(lambda: sum(item.count for item in sink.items if isinstance(item, Batch)) == 4 * 20_972 + 11)
    source.stop()
    found = aheads(sink)
    assert sorted(each.batch.source[-4:] for each in found) == ["big1", "big2", "big3"]
    for each in found:
        assert each.batch.block.endswith(b"\nthe last\n")
        assert each.batch.program == "app"
        before = [item for item in sink.items[: sink.items.index(each)] if isinstance(item, Batch)]
        assert sum(batch.source == each.batch.source for batch in before) < 3


# --- the daemon ---------------------------------------------------------------------------------------------------


class Behind(Small):
    """A host that is `lines` lines behind in `source`, with three attacks at its end; its policy has a short ban."""

    def __init__(self, place: Path, sources: str, source: str, lines: int) -> None:
        super().__init__(place, extra="")
        self.source, self.lines = source, lines
        text = self.config.read_text().replace("{files: []}", sources)
        self.config.write_text(
            text.replace("permit_", "policies: {sshd.yaml: {threshold: 3, window: 10m, ban: 1m}}, permit_")
        )

    def read(self) -> int:
        return self.daemon.state.read().get(self.source, 0)

    def until_banned(self) -> None:
        self.step_until(lambda: self.daemon.state.bans(self.hands.wall))
        assert self.read() < self.lines // 2, "banned before the backlog is through"

    def until_through(self) -> None:
        self.step_until(lambda: self.read() == self.lines + 3)

    def account_is_exact(self) -> None:
        state = self.daemon.state
        period = state.period()
        assert period
        counts = sum((Counter(by) for by in state.tallies(period[0]).values()), Counter[Outcome]())
        assert +counts == {Outcome.IGNORED: self.lines, Outcome.ATTACK: 3}
        assert len(list(state.attacks(0.0))) == 3
        (ban,) = state.bans_since(0.0)
        assert (ban.prefix, ban.hits) == (f"{ATTACKER}/32", 3)
        assert "ahead" in ban.why

        assert state.read(period[0]) == {self.source: self.lines + 3}
        assert "ACCOUNTING" not in self.preview()


def in_a_file(place: Path) -> Behind:
    """100,000 lines take a second."""
    log = place / "auth.log"
    with log.open("wb") as file:
        file.writelines(stamped(f"normal {number}", "app[1]", -60) for number in range(100_000))
        file.writelines([stamped(FAILURE, "sshd[9]")] * 3)
    return Behind(place, f"{{files: [{{path: {log}, from_start: true}}]}}", f"file:{log}", 100_000)


def in_a_journal(place: Path) -> Behind:
    """A cursor of a former run, and 30,000 entries since."""
    if needs_journal.args[0]:
        pytest.skip(needs_journal.kwargs["reason"])
    directory = place / "journal"
    directory.mkdir()
    host = Behind(place, f"{{journal: {{directories: [{directory}]}}}}", f"journal:{directory}", 30_000)
    host.hands.wall = START / 1e6 + 30
    write = Writer(directory / "x.journal")
    write("before", SYSLOG_IDENTIFIER="app")
    with host.running():
        host.step_until(lambda: host.daemon.state.cursors().get(host.source))
    write(*[f"normal {number}" for number in range(host.lines)], SYSLOG_IDENTIFIER="app")
    write(*[FAILURE] * 3)
    return host


@pytest.fixture(params=[in_a_file, in_a_journal])
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Behind:
    host: Behind = request.param(tmp_path)
    return host


@pytest.mark.slow
def test_an_attacker_at_the_end_of_a_backlog_is_banned_before_it_is_through_and_counted_once(behind: Behind) -> None:
    with behind.running():
        behind.until_banned()
        assert behind.bans() == {f"{ATTACKER}/32": pytest.approx(60, abs=1)}
        behind.until_through()
        behind.account_is_exact()


@pytest.mark.slow
def test_a_restart_within_the_backlog_neither_bans_nor_counts_a_second_time(behind: Behind) -> None:
    with behind.running():
        behind.until_banned()
    behind.hands.pass_by(61)
    with behind.running():
        assert behind.bans() == {}
        behind.until_through()
        behind.account_is_exact()
