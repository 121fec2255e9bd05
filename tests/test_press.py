"""Digests are made beside the loop: no ban waits for one, and none is lost or told twice for that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small import Small

from logwarden import press
from logwarden.digest import Shapes
from logwarden.errors import StateError
from logwarden.state import Search

pytestmark = pytest.mark.slow  # a whole daemon


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Small]:
    small = Small(tmp_path)
    with small.running():
        yield small


@contextmanager
def being_made(small: Small, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A digest that is under way for as long as the block takes."""
    begun, go = threading.Event(), threading.Event()
    learn = Shapes.learn

    def slowly(*arguments: object) -> object:
        begun.set()
        assert go.wait(30)
        return learn(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Shapes, "learn", slowly)
        small.daemon.close_period(small.hands.wall)
        assert begun.wait(30)
        try:
            yield
        finally:
            go.set()


def texts(small: Small) -> list[str]:
    """The mails that were posted, oldest first."""
    kept = Search(str(small.place / "state"))
    try:
        found = [kept.digest(each.number) for each in kept.digests()]
    finally:
        kept.close()
    return [each.content.decode() for each in found if each]


def test_a_ban_does_not_wait_for_a_digest_and_is_told_in_the_next(host: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    host.write("never seen before")
    with being_made(host, monkeypatch):
        host.attack("203.0.113.9", 3)
        host.write("another line")
        assert list(host.bans()) == ["203.0.113.9/32"]
        assert texts(host) == []
    host.rest()
    (first,) = texts(host)
    assert "never seen before" in first
    assert "another line" not in first
    assert "203.0.113.9" not in first
    following = host.preview()
    assert "another line" in following
    assert "203.0.113.9" in following
    assert "ACCOUNTING" not in first + following


def test_the_first_ban_while_a_digest_is_made_is_mailed_at_once_after_it(
    host: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.write("never seen before")
    with being_made(host, monkeypatch):
        host.attack("203.0.113.9", 3)
    host.rest()
    host.hands.pass_by(10)
    host.daemon.step()
    host.rest()
    assert ["Sent at once" in text for text in texts(host)] == [False, True]


def test_a_digest_that_was_being_made_at_the_end_is_made_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Small(tmp_path)
    with small.running():
        small.write("never seen before")
        with being_made(small, monkeypatch):
            small.daemon.press.busy = True  # and nobody takes what it made
    with small.running():
        small.rest()
        (text,) = texts(small)
        assert "never seen before" in text
        assert small.daemon.state.owed() is None
    with small.running():
        small.rest()
        assert len(texts(small)) == 1


def test_two_who_ask_for_a_digest_at_once_hear_of_the_same(host: Small) -> None:
    told: list[object] = []
    host.write("never seen before")
    for _ in range(2):
        host.daemon.close_period(host.hands.wall, told.append)
    host.rest()
    assert len(texts(host)) == 1
    assert len(set(told)) == 1
    assert len(told) == 2


def test_lines_whose_digest_is_being_made_are_not_forgotten(host: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    host.write("never seen before")
    with being_made(host, monkeypatch), host.daemon.state.transaction() as tx:
        assert tx.forget(host.hands.wall + 1e9) == 0
        assert tx.forget_oldest(1_000) == 0
    host.rest()
    assert "never seen before" in texts(host)[0]


def test_where_nothing_can_be_read_beside_the_daemon_it_makes_the_digest_itself(
    host: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(path: str) -> None:
        raise StateError(f"{path}: database is locked")

    monkeypatch.setattr(press, "Beside", locked)
    host.write("never seen before")
    host.close_period()
    assert "never seen before" in texts(host)[0]


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (StateError("the database does not answer: disk I/O error"), "the database does not answer: disk I/O error"),
        (ValueError("odd line"), "a digest could not be made, for a bug: ValueError: odd line"),
    ],
)
def test_what_fails_is_told_and_the_next_round_makes_it(
    host: Small, monkeypatch: pytest.MonkeyPatch, trouble: Exception, said: str
) -> None:
    """A bug that one line met ended the daemon, and each start of it anew, until systemd gave up."""

    def broken(*_: object) -> None:
        raise trouble

    told: list[object] = []
    host.write("never seen before")
    with monkeypatch.context() as patch:
        patch.setattr("logwarden.period.draft", broken)
        host.daemon.close_period(host.hands.wall, told.append)
        host.rest()
    assert list(map(str, told)) == [said]
    assert texts(host) == []
    assert host.daemon.state.damaged is None
    host.attack("203.0.113.9", 3)
    assert list(host.bans()) == ["203.0.113.9/32"]
    host.hands.pass_by(61)
    host.daemon.step()
    host.rest()
    assert [text for text in texts(host) if "never seen before" in text]
    assert said in " ".join(host.preview().split())
