"""The disk is full: lines are judged and attackers banned all the same, cursors stay, and later all is caught up."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from small import ATTACKS, Small
from small_disk import Disk, PageLimit, on_small_disk

from logwarden import adoption, answers, byhand, config, pipeline, watch
from logwarden.daemon import Daemon
from logwarden.errors import StateError
from logwarden.model import Outcome

pytestmark = pytest.mark.slow  # a whole daemon, or a real journal, server or disk

YEAR = 366 * 86_400.0
LONG = "x" * 60_000
DEADLINE = 20.0


def read(host: Small) -> int:
    return sum(host.daemon.state.read().values())


def later(host: Small) -> None:
    """Let so much time pass that the database is tried again."""
    host.hands.pass_by(pipeline.RETRY)


def stays_at_work(host: Small, disk: Disk | PageLimit) -> None:
    host.write("normal 1")
    host.hands.pass_by(1)
    disk.fill()
    host.write(*[LONG] * 4)
    for _ in range(40):  # more batches than the inbox has slots: they are free again once a batch is judged
        host.write("unseen")
    host.attack("203.0.113.9", 3)
    assert host.daemon.pipeline.stalled
    assert list(host.daemon.firewall.list(host.hands.wall)) == ["203.0.113.9/32"]
    assert (host.daemon.state.cursors(), read(host)) == ({"file:/x": "1"}, 1)
    host.hands.pass_by(60)
    host.write("normal 2")  # and with it the minute's round
    assert list(host.daemon.firewall.list(host.hands.wall)) == ["203.0.113.9/32"], "no foreign entry: it is owed"
    disk.free()
    later(host)
    host.write("normal 3")
    assert not host.daemon.pipeline.owes
    assert host.daemon.state.cursors() == {"file:/x": "50"}
    assert list(host.bans()) == ["203.0.113.9/32"]
    counts = host.daemon.state.tallies()["file:/x"]
    assert counts == {
        Outcome.IGNORED: 3,
        Outcome.ATTACK: 3,
        Outcome.UNEXPLAINED: 44,
        Outcome.QUARANTINED: 0,
    }
    assert read(host) == 50


def test_a_database_that_may_not_grow_delays_nothing_but_itself(tmp_path: Path) -> None:
    host = Small(tmp_path)
    with host.running() as daemon:
        stays_at_work(host, PageLimit(daemon.state))


@pytest.mark.root
def test_a_full_disk_delays_nothing_but_itself(tmp_path: Path) -> None:
    def body() -> None:
        host = Small(tmp_path)
        with host.running():
            stays_at_work(host, Disk(tmp_path))

    on_small_disk(tmp_path, 8, body)


@pytest.mark.root
@pytest.mark.parametrize("by", [YEAR, -YEAR], ids=["ahead", "back"])
def test_a_clock_that_jumps_while_the_disk_is_full_moves_what_is_on_disk_once_it_is_not(
    tmp_path: Path, by: float
) -> None:
    def body() -> None:
        host, disk = Small(tmp_path), Disk(tmp_path)
        with host.running() as daemon:
            host.attack("203.0.113.9", 3)
            disk.fill()
            host.write(*[LONG] * 20)
            host.attack("203.0.113.10", 3)
            host.hands.wall += by
            host.write("normal 1")
            assert daemon.owed_shift == pytest.approx(by)
            host.attack("203.0.113.11", 3)
            host.hands.pass_by(60)
            host.write("normal 2")
            held = daemon.firewall.list(host.hands.wall)
            assert {f"203.0.113.{last}/32" for last in (9, 10, 11)} == set(held) or by > 0  # a dry run has no timers
            disk.free()
            host.hands.pass_by(60)
            host.write("normal 3")
            assert host.bans() == {f"203.0.113.{last}/32": pytest.approx(3_480) for last in (9, 10, 11)}

    on_small_disk(tmp_path, 8, body)


@pytest.mark.root
def test_a_daemon_starts_on_a_full_disk_and_bans(tmp_path: Path) -> None:
    def body() -> None:
        host, disk = Small(tmp_path), Disk(tmp_path)
        with host.running():
            host.write("normal 1")
        disk.fill()
        with host.running():
            host.attack("203.0.113.9", 3)
            assert list(host.daemon.firewall.list(host.hands.wall)) == ["203.0.113.9/32"]
            disk.free()
            later(host)
            host.write("normal 2")
            assert list(host.bans()) == ["203.0.113.9/32"]
            assert read(host) == 5

    on_small_disk(tmp_path, 8, body)


def test_a_clock_that_jumps_on_a_full_disk_stops_no_ban_however_many_lines_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "HELD", 300_000)
    host = Small(tmp_path)
    with host.running() as daemon:
        host.write("normal 1")
        daemon.state._db.execute("PRAGMA query_only=1")
        host.hands.wall += YEAR
        host.write("normal 2")
        assert daemon.pipeline.stalled, "status says why nothing is committed"
        before = daemon.pipeline.tracker
        host.write(*[LONG] * 8)
        assert daemon.pipeline.adrift
        for _ in range(3):
            host.attack("203.0.113.9", 1)
            host.write(LONG)
        assert list(daemon.firewall.list(host.hands.wall)) == ["203.0.113.9/32"]
        assert daemon.pipeline.tracker is before, "it goes back to the cursors only when the database commits"
        daemon.state._db.execute("PRAGMA query_only=0")
        later(host)
        host.write("normal 3")
        assert (daemon.owed_shift, daemon.pipeline.owes, daemon.pipeline.stalled) == (0.0, False, None)
        assert list(host.bans()) == ["203.0.113.9/32"]


def test_who_is_about_to_be_banned_is_not_forgotten_for_a_reload_on_a_full_disk(tmp_path: Path) -> None:
    host = Small(tmp_path)
    with host.running() as daemon:
        host.write("normal 1")
        disk = PageLimit(daemon.state)
        disk.fill()
        host.write(*[LONG] * 4)
        host.attack("203.0.113.9", 2)
        host.attack("203.0.113.10", 3)
        adoption.adopt(daemon, watch.build(config.load(str(host.config))), host.hands.wall)
        host.attack("203.0.113.9", 1)
        assert list(daemon.firewall.list(host.hands.wall)) == ["203.0.113.10/32", "203.0.113.9/32"]
        host.hands.pass_by(3_700)
        host.attack("203.0.113.10", 2)
        assert not daemon.firewall.list(host.hands.wall), "the hits of the ban that is over are spent"


def test_a_ban_that_waits_for_the_disk_is_shown_and_can_be_lifted(tmp_path: Path) -> None:
    host = Small(tmp_path)
    with host.running() as daemon:
        host.attack("203.0.113.8", 3)
        daemon.state._db.execute("PRAGMA query_only=1")
        host.attack("203.0.113.9", 3)
        host.attack("203.0.113.10", 3)
        shown = {ban["prefix"]: ban["times"] for ban in answers.bans(daemon, {})["bans"]}
        assert shown == {"203.0.113.8/32": 1, "203.0.113.9/32": 1, "203.0.113.10/32": 1}
        assert answers.status(daemon, {})["bans"] == 3
        assert byhand.unban(daemon, {"address": "203.0.113.9"})["lifted"] == ["203.0.113.9/32"]
        with pytest.raises(StateError):
            byhand.unban(daemon, {"address": "203.0.113.8"})  # else it were back at the next start
        daemon.state._db.execute("PRAGMA query_only=0")
        later(host)
        host.write("normal 1")
        assert sorted(host.bans()) == ["203.0.113.10/32", "203.0.113.8/32"]
        assert daemon.state.times_by_prefix()["203.0.113.9/32"] == 1, "that it was banned is not forgotten"
        host.attack("203.0.113.9", 2)
        assert sorted(host.bans()) == ["203.0.113.10/32", "203.0.113.8/32"], "its old hits are"


def test_no_ban_waits_for_whoever_has_locked_the_database(tmp_path: Path) -> None:
    host = Small(tmp_path)
    with host.running() as daemon, closing(sqlite3.connect(tmp_path / "state" / "state.db")) as other:
        host.write("normal 1")
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        host.attack("203.0.113.9", 3)
        assert list(daemon.firewall.list(host.hands.wall)) == ["203.0.113.9/32"]
        assert time.monotonic() - begun < 2.0
        other.execute("ROLLBACK")
        later(host)
        host.write("normal 2")
        assert list(host.bans()) == ["203.0.113.9/32"]


# --- more than memory may hold --------------------------------------------------------------------------------------


class Follower(Small):
    """A host whose daemon follows a real file."""

    def __init__(self, place: Path) -> None:
        self.log = place / "app.log"
        self.log.touch()
        super().__init__(place)
        text = self.config.read_text()
        self.config.write_text(text.replace("files: []", f"files: [{{path: {self.log}, from_start: true}}]"))
        self.written = 0

    def append(self, *messages: str, tag: str = "app[1]") -> None:
        self.written += len(messages)
        with self.log.open("ab") as log:
            log.write(self.batch(*messages, tag=tag).block)

    def until_judged(self, lines: int) -> None:
        """Let the daemon work until it has judged so many lines since it started, again or for the first time."""
        deadline = time.monotonic() + DEADLINE
        while self.judged < lines:
            assert time.monotonic() < deadline, f"only {self.judged} lines were judged"
            self.daemon.step()


@pytest.fixture
def follower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Follower:
    host = Follower(tmp_path)
    host.judged = 0  # type: ignore[attr-defined]
    judge = pipeline.Pipeline._judge

    def counting(self: pipeline.Pipeline, batch: pipeline.Batch, now: float) -> pipeline.Judged:
        host.judged += batch.count  # type: ignore[attr-defined]
        return judge(self, batch, now)

    monkeypatch.setattr(pipeline.Pipeline, "_judge", counting)
    monkeypatch.setattr(Daemon, "_patience", lambda _: 0.05)
    monkeypatch.setattr(pipeline, "HELD", 300_000)
    return host


def test_past_what_memory_may_hold_bans_go_on_and_the_lines_are_read_again_later(follower: Follower) -> None:
    host = follower
    with host.running() as daemon:
        disk = PageLimit(daemon.state)
        host.append("unseen")
        host.until_judged(1)
        disk.fill()
        for round_ in range(8):
            host.append(*[LONG] * 2)
            host.until_judged(1 + 2 * (round_ + 1))
        assert daemon.pipeline.adrift
        assert len(daemon.pipeline.uncommitted) <= 6
        host.append(*["Failed password for root from 203.0.113.9"] * 3, tag="sshd[9]")
        host.append(*["Failed password for root from 203.0.113.10"] * 2, tag="sshd[9]")
        host.until_judged(22)
        assert list(daemon.firewall.list(host.hands.wall)) == ["203.0.113.9/32"]
        disk.free()
        later(host)
        host.append("unseen")
        deadline = time.monotonic() + DEADLINE
        while read(host) < host.written:
            assert time.monotonic() < deadline
            daemon.step()
        assert not daemon.pipeline.owes
        assert read(host) == host.written
        assert sum(daemon.state.tallies()[f"file:{host.log}"].values()) == host.written
        assert list(host.bans()) == ["203.0.113.9/32"], "two hits that were read twice are two hits"
        period = daemon.state.period()
        assert period is not None
        assert [ban.prefix for ban in daemon.state.bans_made(period[0])] == ["203.0.113.9/32"]


def test_the_rules_of_these_tests_ban_at_three() -> None:
    assert "threshold: 3" in ATTACKS
