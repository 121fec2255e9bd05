"""How often files are looked at: when inotify says so, and once a minute. An hour passes on a clock of our own."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from sink import DEADLINE, Sink

from logwarden.model import Batch, Notice
from logwarden.sources import polling
from logwarden.sources.polling import SWEEP, FileSpec, Poller
from logwarden.sources.tail import Tail

HOUR = 3_600.0
GRACED = 3
"""Looks beyond one a minute: at the start, and for what is held back in the hope of its rest."""


class Idle(threading.Condition):
    """Nothing is heard of, and whoever waits for that has waited at once, by both clocks; for an hour."""

    def __init__(self, ended: threading.Event) -> None:
        super().__init__()
        self.passed, self.begun, self.waits, self._ended = 0.0, time.time(), 0, ended

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout
        self.passed += timeout
        self.waits += 1
        if self.passed > HOUR:
            self._ended.set()
        return False

    def wall(self) -> float:
        return self.begun + self.passed

    def monotonic(self) -> float:
        return self.passed


def poller_of(patterns: list[FileSpec], *, clock: Callable[[], float], from_start: bool, inotify: bool) -> Poller:
    """One that polls everything each SWEEP."""
    return Poller(
        patterns,
        name="files",
        apart=False,
        strayed=lambda: None,
        clock=clock,
        from_start=from_start,
        sweep=SWEEP,
        inotify=inotify,
    )


def looks(patterns: list[FileSpec], monkeypatch: pytest.MonkeyPatch) -> tuple[Counter[str], int, Sink]:
    """How often each file was polled in an hour in which nobody wrote, how often the thread awoke, what was read."""
    polls: Counter[str] = Counter()

    class Counted(Tail):
        def poll(self, now: float) -> Iterator[Batch | Notice]:
            polls[Path(self.path).name] += 1
            return super().poll(now)

    ended = threading.Event()
    idle = Idle(ended)
    monkeypatch.setattr(polling, "Tail", Counted)
    monkeypatch.setattr(polling, "time", SimpleNamespace(monotonic=idle.monotonic))
    monkeypatch.setattr(polling, "PAUSE", 0.0)
    poller = poller_of(patterns, clock=idle.wall, from_start=True, inotify=True)
    poller._changed, poller._stop, sink = idle, ended, Sink()
    poller.start(sink, {})
    assert poller._thread
    poller._thread.join(DEADLINE)
    poller.stop()
    return polls, idle.waits, sink


def test_where_inotify_works_no_file_is_looked_at_more_than_once_a_minute_while_nobody_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quiet.log").write_text("one\n")
    (tmp_path / "empty.log").touch()
    (tmp_path / "half.log").write_text("a line and the beginn")
    (tmp_path / "trace.log").write_text("a stack\n  trace\n")
    for number in range(50):
        (tmp_path / f"many{number}.log").touch()
    specs = [FileSpec(str(tmp_path / "trace.log"), continues=r"\s"), FileSpec(str(tmp_path / "*.log"))]
    polls, waits, sink = looks([*specs, FileSpec(str(tmp_path / "none" / "later.log"))], monkeypatch)
    minutes = HOUR / SWEEP
    assert len(polls) == 55
    assert all(minutes <= count <= minutes + GRACED for count in polls.values()), polls.most_common(3)
    assert waits <= minutes + 2 * GRACED, "and it is woken up for nothing else"
    assert {"one", "a stack#012  trace"} == set(sink.lines())


def test_of_logs_that_are_known_no_directory_is_searched_at_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[str] = []
    monkeypatch.setattr(polling, "members", lambda path: searched.append(path) or [])
    pattern = str(tmp_path / "*.log")
    known = {f"file:{tmp_path}/{number}.log": "{}" for number in range(3)} | {"files": json.dumps([pattern])}
    (tmp_path / "new.log").touch()
    poller = poller_of([FileSpec(pattern)], clock=time.time, from_start=False, inotify=False)
    assert len(poller._find_files(known)) == 4
    assert set(searched) <= {str(tmp_path / "new.log")}
