"""A line that does not say when it was written: as it comes it is of now, and in a backlog nobody is banned for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from small import Small
from test_tail import Reader

from logwarden.model import Batch
from logwarden.sources import polling
from logwarden.sources.file import FileSpec
from logwarden.sources.polling import Poller

HE = "203.0.113.9"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Small]:
    small = Small(tmp_path)
    with small.running():
        yield small


def fail(host: Small, written: float | None) -> None:
    """Three failures of a log without stamps."""
    line = f"Failed password for root from {HE}\n"
    batch = replace(host.batch(), block=line.encode() * 3, count=3, program="sshd", written=written)
    host.daemon.inbox.put_batch(batch, lambda: False)
    host.daemon.step()


def test_a_backlog_bans_nobody_for_what_may_be_over(host: Small) -> None:
    fail(host, host.hands.wall - 7200)
    assert host.bans() == {}


@pytest.mark.parametrize("ago", [None, 30.0])
def test_what_is_news_or_came_while_the_daemon_was_started_anew_bans(host: Small, ago: float | None) -> None:
    fail(host, None if ago is None else host.hands.wall - ago)
    assert set(host.bans()) == {f"{HE}/32"}


def add(log: Path, line: str, time: float) -> None:
    with log.open("a") as file:
        file.write(f"{line}\n")
    os.utime(log, (time, time))


def told(reader: Reader) -> list[tuple[bytes, float | None]]:
    return [(batch.block, batch.written) for batch in reader.batches if batch.count]


def test_what_was_written_while_nobody_read_may_be_as_old_as_what_was_read_last(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    reader = Reader(log)
    add(log, "one", reader.now)
    reader.poll()
    add(log, "two", reader.now + 5000)
    reader.now += 7200
    reader.restart()
    reader.poll()
    add(log, "three", reader.now)
    reader.poll()
    assert told(reader) == [(b"one\n", None), (b"two\n", reader.now - 7200), (b"three\n", None)]


def test_a_log_that_is_read_whole_at_a_first_start_may_be_of_any_age_and_what_follows_is_news(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    add(log, "history", 1_000_000_000.0)
    found = list(polled(FileSpec(str(log), from_start=True), log))
    assert [(batch.block, batch.written) for batch in found] == [(b"history\n", 0.0), (b"new\n", None)]


def test_where_reading_begins_at_the_end_all_that_follows_is_news(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    add(log, "history", 1_000_000_000.0)
    assert [(batch.block, batch.written) for batch in polled(FileSpec(str(log)), log)] == [(b"new\n", None)]


def polled(spec: FileSpec, log: Path) -> Iterator[Batch]:
    """What a poller makes of a log that is there when it starts, and to which one line is added."""
    poller = Poller(
        [spec],
        name="files",
        apart=False,
        strayed=lambda: None,
        clock=lambda: 2_000_000_000.0,
        from_start=False,
        sweep=polling.SWEEP,
        inotify=False,
    )
    poller._find_files({})
    (tail,) = poller._tails.values()
    for _ in range(2):
        yield from (item for item in tail.poll(2_000_000_000.0) if isinstance(item, Batch) and item.count)
        add(log, "new", 2_000_000_000.0)
    tail.end()
    assert list(tail.poll(2_000_000_000.0)) == []
