"""The write-ahead log: who moves it into the database, and that it stays short."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from logwarden.state import FILE, State
from logwarden.state.checkpoints import LONGEST, Checkpoints

PAGE = 4096


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(str(tmp_path / "state"))
    yield opened
    opened.close()


def commit(state: State, number: int, count: int = 1) -> None:
    with state.transaction() as tx:
        for row in range(count):
            tx.set_cursor(f"file:{number}:{row}", "x" * 100, 1_790_000_000.0)


def log_of(state: State, tmp_path: Path) -> int:
    """Bytes of the log's file."""
    return (tmp_path / "state" / f"{FILE}-wal").stat().st_size


@pytest.mark.parametrize(("commits", "rows"), [(1_500, 1), (40, 1_000)])
def test_many_commits_leave_a_short_log_and_none_of_them_moves_it(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commits: int, rows: int
) -> None:
    state._db.execute("PRAGMA wal_autocheckpoint=0")  # what moves the log is not a commit
    ran: list[str] = []
    run = Checkpoints._run
    monkeypatch.setattr(Checkpoints, "_run", lambda self: (ran.append(threading.current_thread().name), run(self))[1])
    for number in range(commits):
        commit(state, number, rows)
        state._checkpoints.stop()  # as on a machine that is quick enough
    assert set(ran) == {"checkpoint"}
    assert len(ran) >= 10
    assert log_of(state, tmp_path) < LONGEST * PAGE


def test_a_log_that_cannot_be_moved_meanwhile_is_moved_by_a_commit_and_nothing_is_lost(
    state: State, tmp_path: Path
) -> None:
    state._checkpoints = Checkpoints(str(tmp_path / "nowhere"))
    for number in range(60):
        commit(state, number, 1_000)
    state._checkpoints.stop()
    assert log_of(state, tmp_path) < 2 * LONGEST * PAGE
    assert not (tmp_path / "nowhere").exists()
    assert len(state.cursors()) == 60_000


def test_a_database_that_is_closed_while_its_log_is_moved_is_whole(tmp_path: Path) -> None:
    state = State(str(tmp_path / "state"))
    for number in range(5):
        commit(state, number, 5_000)
    state.close()
    assert not (tmp_path / "state" / f"{FILE}-wal").exists()
    with closing(sqlite3.connect(tmp_path / "state" / FILE)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM cursor").fetchone() == (25_000,)


def test_where_the_machine_has_no_thread_left_a_commit_is_one_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    state = State(str(tmp_path / "state"))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    commit(state, 0, 5_000)
    assert len(state.cursors()) == 5_000
    state.close()


def test_a_long_log_is_not_taken_for_room_to_give_back(state: State, tmp_path: Path) -> None:
    state._checkpoints = Checkpoints(str(tmp_path / "nowhere"))
    for number in range(30):
        commit(state, number, 1_000)
    assert log_of(state, tmp_path) > 2**22
    assert state.spare() < 2**20
