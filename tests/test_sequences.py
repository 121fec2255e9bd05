"""The journals of many hosts in one directory, on real files that systemd-journal-remote writes and appends to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sink import Sink
from test_journal import Writer, gaps, needs_journal, texts

from logwarden.model import Batch, Lag, Notice, NoticeKind
from logwarden.sources import Source, sequences
from logwarden.sources.journal import JournalSource
from logwarden.sources.journal_cursor import ENDED, load
from logwarden.sources.journal_reader import Journal
from logwarden.sources.sdjournal import Selection
from logwarden.sources.sequences import Sequences

pytestmark = [pytest.mark.slow, needs_journal]  # a real journal

ALL = Selection()
DAY = 86_400_000  # the writers' milliseconds


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "remote"
    path.mkdir()
    return path


@pytest.fixture
def watch(directory: Path) -> Iterator[Callable[..., Sink]]:
    """Start a source on the directory, and stop the one before."""
    running: list[Source] = []

    def start(cursors: dict[str, str] | None = None) -> Sink:
        for source in running:
            source.stop()
        source = JournalSource(directories=[str(directory)], from_start=True)
        running.append(source)
        sink = Sink()
        source.start(sink, cursors or {})
        sink.stop = source.stop  # type: ignore[attr-defined]
        return sink

    yield start
    for source in running:
        source.stop()


def host(directory: Path, name: str) -> Writer:
    """What `name` uploads; each host has a boot of its own."""
    return Writer(directory / f"remote-{name}.journal", boot=name * 32, _HOSTNAME=name)


def wait(sink: Sink, count: int) -> None:
    sink.wait(lambda: sink.has(count))


def said(sink: Sink) -> list[str]:
    return [text.split(": ", 1)[1] for text in sink.lines()]


def follow(directory: Path, cursor: str | None = None, *, selection: Selection = ALL, first: bool = True) -> Sequences:
    return Sequences(
        "journal:x", {"path": str(directory)}, [str(directory)], selection, cursor=cursor, from_start=first
    )


def poll(journal: Journal, now: float = 0.0) -> list[Batch | Notice]:
    return list(journal.poll(now))


def cursor_of(items: list[Batch | Notice]) -> str:
    return [item.cursor for item in items if isinstance(item, Batch)][-1]


def told(items: list[Batch | Notice]) -> list[str]:
    return [item.text for item in items if isinstance(item, Notice)]


# --- hosts that upload late ----------------------------------------------------------------------------------------


def test_hosts_that_upload_the_same_seconds_in_turn_lose_and_repeat_nothing(
    directory: Path, watch: Callable[..., Sink]
) -> None:
    a, b = host(directory, "a"), host(directory, "b")
    cursors: dict[str, str] = {}
    for start in range(0, 200, 40):
        sink, expected = watch(cursors), list[str]()
        for first in (start, start + 20):
            for writer in (a, b):  # what b uploads is of the same time as what a has uploaded before
                messages = [f"{writer.path.stem[-1]}{number}" for number in range(first, first + 20)]
                writer(*messages)
                expected += messages
                wait(sink, len(expected))
        assert said(sink) == expected
        assert not sink.notices
        cursors = sink.cursors


def test_what_was_uploaded_late_while_we_were_down_is_read(directory: Path, watch: Callable[..., Sink]) -> None:
    a, b = host(directory, "a"), host(directory, "b")
    a("a0")
    b("b0")
    sink = watch()
    wait(sink, 2)
    a.count = DAY
    a("a1")
    wait(sink, 3)
    sink.stop()  # type: ignore[attr-defined]
    b("b1")  # a day before a1
    again = watch(sink.cursors)
    wait(again, 1)
    a("a2")
    wait(again, 2)
    assert said(again) == ["b1", "a2"]
    assert again.lines()[0].split()[1] == "b"


def test_a_host_that_is_new_is_read_from_its_first_entry(directory: Path) -> None:
    early = host(directory, "a")
    early.count = DAY
    early("a0")
    journal = follow(directory, first=False)
    items = poll(journal)
    host(directory, "b")("b0", "b1")
    items += poll(journal)
    journal.close()
    assert texts(items) == ["b0", "b1"]


def test_a_first_start_begins_at_the_end_of_each(directory: Path) -> None:
    a, b = host(directory, "a"), host(directory, "b")
    a("a0")
    b.count = DAY
    b("b0")
    journal = follow(directory, first=False)
    items = poll(journal)
    journal.close()
    a("a1")
    again = follow(directory, cursor_of(items))
    items += poll(again)
    again.close()
    assert texts(items) == ["a1"]
    assert not gaps(items)


def test_what_one_reader_of_all_hosts_had_reached_is_where_each_begins_after_an_upgrade(directory: Path) -> None:
    a, b, c = (host(directory, name) for name in "abc")
    a("a0")
    b.count = 1
    b("b1")
    before = Journal("journal:x", {"path": str(directory)}, ALL, cursor=None, from_start=True)
    read = poll(before)
    before.close()
    a.count = b.count = 2
    a("a2")
    b("b3")
    c.count = 5
    c("c5")
    for cursor in (cursor_of(read), cursor_of(read)):  # killed before anything was committed: once more
        journal = follow(directory, cursor)
        items = poll(journal)
        journal.close()
        assert sorted(texts(items)) == ["a2", "b3", "c5"]
        assert not gaps(items)
    again = follow(directory, cursor_of(items))
    assert not texts(poll(again))
    again.close()


def test_a_selection_holds_for_each_host(directory: Path) -> None:
    a, b = host(directory, "a"), host(directory, "b")
    journal = follow(directory, selection=Selection(("ssh.service",)))
    items: list[Batch | Notice] = []
    for _ in range(2):
        for writer in (a, b):
            writer("other", _SYSTEMD_UNIT="cron.service")
            writer("ours", _SYSTEMD_UNIT="ssh.service")
            items += poll(journal)
    assert journal.lag() == Lag(0, 0.0)
    journal.close()
    again = follow(directory, cursor_of(items), selection=Selection(("cron.service",)))
    assert texts(items) == ["ours"] * 4
    assert not gaps(poll(again))
    again.close()


# --- a clock that was behind ---------------------------------------------------------------------------------------


def test_a_boot_in_the_past_after_a_power_loss_is_read(directory: Path, watch: Callable[..., Sink]) -> None:
    write = host(directory, "a")
    write.count = DAY
    write("before")
    sink = watch()
    wait(sink, 1)
    sink.stop()  # type: ignore[attr-defined]
    write.path.rename(directory / "remote-a@0005d00000000000-0000000000000000.journal~")
    write.count = 0
    write("no clock yet", "still none", boot="b" * 32)
    again = watch(sink.cursors)
    wait(again, 2)
    write.count = 2 * DAY
    write("clock set", boot="b" * 32)
    wait(again, 3)
    assert said(again) == ["no clock yet", "still none", "clock set"]
    last = watch(again.cursors)
    write.count = 1
    write("set back", boot="b" * 32)
    wait(last, 1)
    assert said(last) == ["set back"]
    assert not sink.notices + again.notices + last.notices


# --- what comes and goes -------------------------------------------------------------------------------------------


def test_a_journal_deleted_while_we_were_down_is_a_gap_with_its_time_span_unless_it_had_ended(directory: Path) -> None:
    a, b, c = (host(directory, name) for name in "abc")
    for writer in (a, b, c):
        writer("one")
    a.path.rename(directory / "remote-a@1.journal")
    journal = follow(directory)
    items = poll(journal)
    journal.close()
    (directory / "remote-a@1.journal").unlink()
    b.path.unlink()
    again = follow(directory, cursor_of(items))
    assert not poll(again, 1_795_366_900.0)
    items = poll(again, 1_795_366_960.0)
    span = "between 2026-11-22T17:00:00+00:00 and 2026-11-22T17:02:40+00:00"
    assert gaps(items) == [f"what a journal may have held {span} was deleted before it was read"]
    assert cursor_of(items).count(ENDED) == 2
    assert not poll(again, 1_795_367_020.0)
    again.close()


def test_a_journal_deleted_while_it_is_read_is_no_gap_and_what_it_held_last_is_read(directory: Path) -> None:
    a, b = host(directory, "a"), host(directory, "b")
    a("a0")
    b("b0")
    journal = follow(directory)
    items = poll(journal)
    a("a1")
    a.path.unlink()
    items += poll(journal)
    items += poll(journal, 61.0)
    journal.close()
    assert sorted(texts(items)) == ["a0", "a1", "b0"]
    assert not gaps(items)


def test_a_journal_that_is_away_for_a_moment_is_not_read_again(directory: Path) -> None:
    a = host(directory, "a")
    a("a0")
    journal = follow(directory)
    items = poll(journal)
    a.path.rename(directory / "away")
    items += poll(journal, 1.0)
    (directory / "away").rename(a.path)
    a("a1")
    items += poll(journal, 2.0)
    items += poll(journal, 90.0)
    journal.close()
    assert texts(items) == ["a0", "a1"]


def test_a_journal_that_comes_back_is_read_on_from_where_it_was_left(directory: Path) -> None:
    """A directory that is mounted again, say, over a restart too."""
    a, b = host(directory, "a"), host(directory, "b")
    a("a0")
    b("b0")
    journal = follow(directory)
    items = poll(journal)
    a.path.rename(directory / "away")
    items += poll(journal, 1.0)
    items += poll(journal, 90.0)
    b("b1")
    items += poll(journal, 1_000.0)
    journal.close()
    journal = follow(directory, cursor_of(items))
    items += poll(journal, 2_000.0)
    items += poll(journal, 2_090.0)
    (directory / "away").rename(a.path)
    a("a1")
    items += poll(journal, 3_000.0)
    journal.close()
    assert sorted(texts(items)) == ["a0", "a1", "b0", "b1"]
    assert not gaps(items)


def test_of_those_that_are_gone_the_latest_are_remembered(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequences, "REMEMBERED", 2)
    writers = [host(directory, name) for name in "abcd"]
    journal = follow(directory)
    for writer in writers:
        writer("one")
    items, now = poll(journal), 0.0
    for writer in writers[:3]:
        writer.path.unlink()
        items += poll(journal, now := now + 100.0)
        items += poll(journal, now := now + 100.0)
    journal.close()
    places = load(cursor_of(items)) or []
    assert len(places) == 3
    assert [place.endswith(ENDED) for place in places] == [False, True, True]
    assert not gaps(items)


def test_those_that_are_gone_take_nobodys_place_after_a_restart(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequences, "MOST", 2)
    a, b, c = (host(directory, name) for name in "abc")
    journal = follow(directory)
    a("one")
    items = poll(journal)
    a.path.unlink()
    items += poll(journal, 100.0)
    items += poll(journal, 200.0)
    journal.close()
    b("two")
    c("three")
    journal = follow(directory, cursor_of(items))
    items = poll(journal, 300.0)
    journal.close()
    assert sorted(texts(items)) == ["three", "two"]
    assert told(items) == []


def test_a_file_that_is_damaged_is_told_once_and_the_others_are_read(directory: Path) -> None:
    a, b = host(directory, "a"), host(directory, "b")
    a("a0")
    b("b0")
    whole = a.path.read_bytes()
    os.truncate(a.path, len(whole) // 2)
    journal = follow(directory)
    items = poll(journal) + poll(journal, 60.0)
    assert texts(items) == ["b0"]
    (text,) = told(items)
    assert str(a.path) in text
    assert journal.awaits() is not None
    assert 0 < journal.awaits()[2] <= 60.0  # type: ignore[index]
    a.path.write_bytes(whole)
    assert texts(poll(journal, 120.0)) == ["a0"]
    journal.close()


def test_many_hosts_take_few_descriptors_and_too_many_are_a_notice(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequences, "_AT_ONCE", 2)
    monkeypatch.setattr(sequences, "MOST", 8)
    writers = [host(directory, name) for name in "0123456789"]
    for writer in writers:
        writer("one")
    before = len(os.listdir("/proc/self/fd"))
    journal = follow(directory)
    items = poll(journal)
    assert len(texts(items)) == 8
    watched = len(writers) + 2  # one of them is inotify's
    assert len(os.listdir("/proc/self/fd")) <= before + watched + 2
    for writer in writers:
        writer("two")
        items += poll(journal)
    journal.close()
    assert len(os.listdir("/proc/self/fd")) <= before  # what an earlier test began to close may be gone too
    assert (texts(items).count("one"), texts(items).count("two")) == (8, 8)
    (notice,) = [item for item in items if isinstance(item, Notice)]
    assert (notice.kind, notice.text) == (
        NoticeKind.SOURCE,
        "more than 8 sequences of entries are there: the others are not read",
    )


def test_the_lag_is_that_of_all_hosts(directory: Path) -> None:
    a, b = host(directory, "a"), host(directory, "b")
    a("a0")
    journal = follow(directory)
    assert journal.lag() == Lag(0, 0.0)
    poll(journal)
    assert journal.lag() == Lag(0, 0.0)
    a.count = 5000
    a("a1", "a2")
    b("b0")
    assert journal.lag() == Lag(0, 5.001, 3)
    poll(journal)
    assert journal.lag() == Lag(0, 0.0)
    journal.close()


@pytest.mark.parametrize("damaged", ["no cursor", '["s=1"]', "{}", "[1]"])
def test_a_cursor_that_is_none_is_a_gap_and_each_is_read_on_from_its_end(directory: Path, damaged: str) -> None:
    a = host(directory, "a")
    a("a0")
    journal = follow(directory, damaged)
    items = poll(journal)
    a("a1")
    items += poll(journal)
    journal.close()
    assert len(gaps(items)) == 1
    assert texts(items) == ["a1"]
