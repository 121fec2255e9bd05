"""Files as a source: real inotify, real threads, real logrotate. Every wait is for a condition, with a deadline."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sink import DEADLINE, Sink
from test_directories import overflow, swap_files

from logwarden.model import Batch, Notice
from logwarden.sources import Source, polling
from logwarden.sources.file import FileSource, FileSpec


@pytest.fixture
def sources() -> Iterator[Callable[..., Sink]]:
    """Starts a source over files and gives its sink; all are stopped at the end."""
    running: list[Source] = []

    def start(*paths: Path | FileSpec, cursors: dict[str, str] | None = None, **options: object) -> Sink:
        specs = [path if isinstance(path, FileSpec) else FileSpec(str(path)) for path in paths]
        source = FileSource(specs, **options)  # type: ignore[arg-type]
        sink = Sink()
        source.start(sink, cursors or {})
        running.append(source)
        sink.stop = source.stop  # type: ignore[attr-defined]
        return sink

    yield start
    for source in running:
        source.stop()


def append(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.write("".join(line + "\n" for line in lines))


def test_a_line_is_heard_of_at_once(tmp_path: Path, sources: Callable[..., Sink]) -> None:
    log = tmp_path / "app.log"
    log.touch()
    sink = sources(log)
    sink.wait_until_begun()
    started = time.monotonic()
    append(log, "one")
    sink.wait_for_lines("one")
    assert time.monotonic() - started < 1.0


def test_a_file_and_its_directory_may_appear_later(tmp_path: Path, sources: Callable[..., Sink]) -> None:
    log = tmp_path / "a" / "b" / "app.log"
    sink = sources(log)
    sink.wait_until_begun()
    log.parent.mkdir(parents=True)
    append(log, "one")
    sink.wait_for_lines("one")
    append(log, "two")
    sink.wait_for_lines("one", "two")


def test_a_directory_made_anew_is_watched_anew(tmp_path: Path, sources: Callable[..., Sink]) -> None:
    log = tmp_path / "a" / "app.log"
    log.parent.mkdir()
    append(log, "old")
    sink = sources(log)
    sink.wait_until_begun()
    append(log, "one")
    sink.wait_for_lines("one")
    log.unlink()
    log.parent.rmdir()
    log.parent.mkdir()
    append(log, "two")
    sink.wait_for_lines("one", "two")
    append(log, "three")
    sink.wait_for_lines("one", "two", "three")


def test_a_glob_takes_new_files_in_and_leaves_rotated_ones_out(tmp_path: Path, sources: Callable[..., Sink]) -> None:
    append(tmp_path / "old.log", "history")
    append(tmp_path / "old.log.1", "more history")
    append(tmp_path / "old-20261121.log", "more history")
    sink = sources(tmp_path / "*")
    sink.wait_until_begun()
    append(tmp_path / "new.log", "one")
    sink.wait_for_lines("one")
    append(tmp_path / "old.log", "two")
    sink.wait_for_lines("one", "two")
    (tmp_path / "new.log").rename(tmp_path / "new.log.1")
    append(tmp_path / "new.log", "three")
    sink.wait_for_lines("one", "two", "three")
    assert {source for source in sink.cursors if source.startswith("file:")} == {
        f"file:{tmp_path}/new.log",
        f"file:{tmp_path}/old.log",
    }


def test_directories_in_a_glob_may_appear_later(tmp_path: Path, sources: Callable[..., Sink]) -> None:
    sink = sources(tmp_path / "*" / "error.log")
    sink.wait_until_begun()
    log = tmp_path / "site" / "error.log"
    log.parent.mkdir()
    append(log, "one")
    sink.wait_for_lines("one")


def test_a_file_that_appears_while_down_is_read_from_its_beginning(
    tmp_path: Path, sources: Callable[..., Sink]
) -> None:
    sink = sources(tmp_path / "*.log", tmp_path / "exact")
    sink.wait_until_begun()
    sink.stop()
    append(tmp_path / "new.log", "one")
    append(tmp_path / "exact", "two")
    sink = sources(tmp_path / "*.log", tmp_path / "exact", cursors=sink.cursors)
    sink.wait(lambda: len(sink.lines()) == 2)
    assert sorted(sink.lines()) == ["one", "two"]


def made_and_rotated(directory: Path) -> Path:
    """A log that was copytruncated and renamed."""
    directory.mkdir()
    log = directory / "app.log"
    append(log, "two")
    log.rename(directory / "app.log.1")
    append(directory / "app.log.2", "one")
    append(log, "three")
    return log


def test_a_file_that_appears_and_is_rotated_before_it_was_looked_at_is_read_from_its_beginning(
    tmp_path: Path, sources: Callable[..., Sink]
) -> None:
    sink = sources(tmp_path / "logs" / "*" / "app.log")
    sink.wait_until_begun()
    (tmp_path / "logs").mkdir()
    made_and_rotated(tmp_path / "made")
    (tmp_path / "made").rename(tmp_path / "logs" / "made")
    sink.wait_for_lines("one", "two", "three")


def test_a_file_that_appears_and_is_rotated_while_down_is_read_from_its_beginning(
    tmp_path: Path, sources: Callable[..., Sink]
) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "app.log"
    other.touch()
    sink = sources(tmp_path / "*" / "app.log")
    sink.wait_until_begun()
    append(other, "zero")
    sink.wait_for_lines("zero")
    sink.stop()
    long_ago = tmp_path / "made" / "app.log.3"
    written = other.stat().st_mtime
    made_and_rotated(tmp_path / "made")
    append(long_ago, "history")
    os.utime(long_ago, (written - 1, written - 1))
    for number in (1, 2):
        os.utime(long_ago.with_name(f"app.log.{number}"), (written + 1, written + 1))
    sink = sources(tmp_path / "*" / "app.log", cursors=sink.cursors)
    sink.wait_for_lines("one", "two", "three")


def test_a_pattern_new_in_the_config_begins_at_the_end(tmp_path: Path, sources: Callable[..., Sink]) -> None:
    sink = sources(tmp_path / "one.log")
    sink.wait_until_begun()
    sink.stop()
    append(tmp_path / "two.log", "history")
    sink = sources(tmp_path / "one.log", tmp_path / "two.log", cursors=sink.cursors)
    sink.wait_until_begun()
    append(tmp_path / "two.log", "news")
    sink.wait_for_lines("news")


def test_one_file_under_two_names_is_read_once(tmp_path: Path, sources: Callable[..., Sink]) -> None:
    append(tmp_path / "real.log", "old")
    (tmp_path / "a-link.log").symlink_to("real.log")
    sink = sources(tmp_path / "*.log")
    sink.wait_until_begun()
    append(tmp_path / "real.log", "one")
    sink.wait_for_lines("one")
    append(tmp_path / "real.log", "two")
    sink.wait_for_lines("one", "two")


def test_the_target_of_a_link_is_watched_where_it_is(tmp_path: Path, sources: Callable[..., Sink]) -> None:
    (tmp_path / "far").mkdir()
    append(tmp_path / "far" / "app-1.log", "old")
    link = tmp_path / "current"
    link.symlink_to("far/app-1.log")
    sink = sources(link)
    sink.wait_until_begun()
    append(tmp_path / "far" / "app-1.log", "one")
    sink.wait_for_lines("one")
    append(tmp_path / "far" / "app-2.log", "two")
    (tmp_path / "next").symlink_to("far/app-2.log")
    (tmp_path / "next").rename(link)
    sink.wait_for_lines("one", "two")
    append(tmp_path / "far" / "app-2.log", "three")
    sink.wait_for_lines("one", "two", "three")


def test_what_is_written_to_a_links_new_target_before_that_is_known_is_read_when_it_is(
    tmp_path: Path, sources: Callable[..., Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        polling, "_rest", lambda _: 1.0
    )  # a busy machine: the next look at where links lead is not soon
    far, link = tmp_path / "far", tmp_path / "current"
    far.mkdir()
    (far / "app-1.log").touch()
    link.symlink_to("far/app-1.log")
    sink = sources(link)
    sink.wait_until_begun()
    append(far / "app-2.log", "one")
    (tmp_path / "next").symlink_to("far/app-2.log")
    (tmp_path / "next").rename(link)
    sink.wait_for_lines("one")
    append(far / "app-2.log", "two")
    sink.wait_for_lines("one", "two")


def test_where_inotify_tells_nothing_a_sweep_finds_it(tmp_path: Path, sources: Callable[..., Sink]) -> None:
    log = tmp_path / "app.log"
    sink = sources(log, inotify=False, sweep=0.05)
    sink.wait_until_begun()
    append(log, "one")
    sink.wait_for_lines("one")


@pytest.mark.slow
def test_what_inotify_lost_in_a_storm_is_read_at_once_and_not_after_a_minute(tmp_path: Path) -> None:
    (tmp_path / "app.log").touch()
    storm = swap_files(tmp_path)
    source, sink = FileSource([FileSpec(str(tmp_path / "*.log"))]), Sink()
    source.start(sink, {})
    sink.wait_until_begun()
    watch = source._groups[None].poller._watch
    assert watch is not None
    overflow(watch, storm, lambda: append(tmp_path / "new.log", "one"))
    sink.wait_for_lines("one")
    append(tmp_path / "app.log", "two")
    sink.wait_for_lines("one", "two")
    source.stop()


def test_a_held_back_event_is_let_go_by_the_clock(tmp_path: Path, sources: Callable[..., Sink]) -> None:
    log = tmp_path / "app.log"
    sink = sources(FileSpec(str(log), continues=r"\s"))
    sink.wait_until_begun()
    append(log, "Error", " at a")
    sink.wait_for_lines("Error#012 at a")


@pytest.mark.slow
def test_stop_is_prompt_even_while_emit_blocks(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, "one")
    entered, release = threading.Event(), threading.Event()

    def emit(item: Batch | Notice) -> None:
        entered.set()
        release.wait(DEADLINE)

    source = FileSource([FileSpec(str(log))], from_start=True)
    source.start(emit, {})
    assert entered.wait(DEADLINE)
    started = time.monotonic()
    source.stop()
    assert time.monotonic() - started < 1.5
    release.set()


def test_stop_without_work_returns_at_once(tmp_path: Path) -> None:
    source = FileSource([FileSpec(str(tmp_path / "app.log"))])
    source.start(Sink(), {})
    started = time.monotonic()
    source.stop()
    assert time.monotonic() - started < 0.5


def test_the_lag_is_known_while_emit_blocks(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, *(f"{number} {'x' * 1000}" for number in range(2000)))
    entered, release = threading.Event(), threading.Event()

    def emit(item: Batch | Notice) -> None:
        if isinstance(item, Batch) and item.count:
            entered.set()
            release.wait(DEADLINE)

    now = 1_000_000_000.0
    source = FileSource([FileSpec(str(log))], clock=lambda: now, from_start=True)
    source.start(emit, {})
    try:
        assert entered.wait(DEADLINE)
        now += 7.0
        lag = source.lag()[f"file:{log}"]
        assert 500_000 < lag.bytes < 2_000_000
        assert lag.seconds == 7.0
    finally:
        release.set()
        source.stop()


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode",
    [
        "create",
        "copytruncate",
        "create compress",
        "copytruncate compress",
        "create compress delaycompress",
        "create dateext",
        "copytruncate dateext compress",
        "create extension .log",
        "create dateext extension .log",
        "create compress compresscmd /usr/bin/xz compressext .xz",
        "nocreate compress compresscmd /usr/bin/zstd compressext .zst compressoptions -q",
    ],
)
def test_logrotate_loses_and_repeats_no_line(mode: str, tmp_path: Path, sources: Callable[..., Sink]) -> None:
    log = tmp_path / "logs" / "app.log"
    log.parent.mkdir(mode=0o755)
    log.touch()
    sink = sources(log)
    sink.wait_until_begun()
    expected: list[str] = []
    for rotation in range(6):
        new = [f"line {rotation} {number:04}" for number in range(500)]
        expected += new
        down = rotation % 2
        if down:
            sink.stop()
        append(log, *new[:250])
        logrotate(log, mode, rotation)
        append(log, *new[250:])
        if down:
            before, sink = sink, sources(log, cursors=sink.cursors)
            sink.items[:0] = before.items
        sink.wait(functools.partial(sink.has, len(expected)))
    assert sink.lines() == expected
    assert not sink.notices


def logrotate(log: Path, mode: str, rotation: int) -> None:
    """Rotate `log` now. Its dates count the rotations, since logrotate makes one file a day."""
    conf, state = log.parent.parent / "conf", log.parent.parent / "state"
    lines = re.sub(r" (?=create|compress|delay|date|extension)", "\n", mode)
    conf.write_text(f"{log} {{\nrotate 20\ndateformat -%Y%m%d{rotation:02}\n{lines}\n}}\n")
    conf.chmod(0o644)
    subprocess.run(["logrotate", "-f", "-s", str(state), str(conf)], check=True, capture_output=True)


def test_a_source_keeps_no_cursor_of_a_file_that_is_forgotten(tmp_path: Path) -> None:
    sink, source = Sink(), FileSource([FileSpec(str(tmp_path / "*.log"))], from_start=True)
    append(tmp_path / "app.log", "one")
    source.start(sink, {})
    try:
        sink.wait_until_begun()
        source.forget([f"file:{tmp_path}/app.log", f"file:{tmp_path}/never.log"])
        assert set(source._cursors) == {"files"}
    finally:
        source.stop()
