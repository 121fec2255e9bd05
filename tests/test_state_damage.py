"""A database that is damaged: set aside, never trusted, and a new one begun from what can be recovered."""

import errno
import itertools
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from demo.stage import daemon
from namespaces import namespaces
from small import Small
from test_firewall import nft
from test_journey import Host, until
from test_migrations import old

from logwarden import upkeep, watch
from logwarden.errors import FirewallError, StateError
from logwarden.firewall.dryrun import DryRun
from logwarden.model import Ban, Classified, Event, Message, Outcome, Verdict
from logwarden.state import FILE, LOCK, PENDING, State, repair
from logwarden.state.copy import NAME
from logwarden.state.database import DAMAGED
from logwarden.state.schema import MIGRATIONS

pytestmark = pytest.mark.slow  # a whole daemon, or a real journal, server or disk

NOW = 1_790_000_000.0
PAGE = 4096
CHANGES = ("os.rename", "os.remove", "os.truncate", "sqlite3.connect", "SQL")
"""Audit events, and our own, that tell of a step which may change something on disk."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state"


def filled(place: Path, lines: int = 400) -> State:
    """A database of some pages, with a cursor that is copied, one that is not yet, and mail that waits."""
    state = State(str(place))
    with state.transaction() as tx:
        period = tx.open_period(NOW)
        tx.set_cursor("file:/x", "7", NOW)
        tx.post(Message(0, "<1@h>", "a@h", ("b@h",), b"digest"), NOW)
    state.copy_cursors()
    with state.transaction() as tx:
        for number in range(lines):
            raw = f"line {number} " + "x" * 200
            tx.add_entries(period, [Verdict("file:/x", Event(NOW, "h", "app", 1, raw, raw), Outcome.UNEXPLAINED)], NOW)
        tx.set_cursor("file:/x", "8", NOW)
    return state


def kill(state: State) -> None:
    """End the process that has it open: what close() would do is not done."""
    state._checkpoints.stop()
    state._db.close()  # folds the log in, so that the damage below is all there is
    os.close(state._lock)


def scribble(file: Path, page: int = -8) -> None:
    """Overwrite four pages; a negative one counts from the end, where the lines are."""
    with file.open("r+b") as database:
        database.seek((page + file.stat().st_size // PAGE if page < 0 else page) * PAGE)
        database.write(b"\xa5" * 4 * PAGE)


def start_until(place: Path, step: int, how: str) -> bool:
    """Start in a process that is killed at that step, or refused it as by a full disk; False: it has fewer steps."""
    child = os.fork()
    if not child:
        steps, connect = itertools.count(1), sqlite3.connect

        def take(event: str, arguments: tuple[Any, ...] = ()) -> None:
            changes = event in CHANGES or (event == "open" and arguments[2] & os.O_CREAT)
            if changes and next(steps) == step:
                if how == "killed":
                    os._exit(1)
                raise OSError(errno.ENOSPC, "No space left on device")

        def traced(*arguments: Any, **more: Any) -> sqlite3.Connection:
            db: sqlite3.Connection = connect(*arguments, **more)
            db.set_trace_callback(lambda _: take("SQL"))
            return db

        if how == "killed":
            sqlite3.connect = traced
        sys.addaudithook(take)
        with suppress(StateError):
            State(str(place))
        os._exit(1 if next(steps) > step else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def asides(place: Path) -> list[str]:
    return sorted(path.name for path in place.glob(f"{FILE}.corrupt-*Z"))


@pytest.mark.parametrize("end", [State.close, kill])
def test_damage_is_found_at_the_start_however_the_last_run_ended(place: Path, end: Callable[[State], None]) -> None:
    end(filled(place))
    scribble(place / FILE)
    state = State(str(place))
    assert state.repaired is not None
    assert asides(place) == [state.repaired.aside]
    state.close()


@pytest.mark.parametrize("damage", ["pages", "header", "no database", "truncated"])
def test_a_damaged_database_is_set_aside_and_a_new_one_begun(place: Path, damage: str) -> None:
    kill(filled(place))
    file = place / FILE
    if damage == "pages":
        scribble(file)
    elif damage == "header":
        scribble(file, page=0)
    elif damage == "no database":
        file.write_bytes(b"\0" * 10_000)
    else:
        file.write_bytes(file.read_bytes()[: 5 * PAGE])
    state = State(str(place))
    assert state.repaired is not None
    assert "is set aside as state.db.corrupt-" in str(state.repaired)
    assert "Cursors: 1 as they stood at 20" in str(state.repaired)
    assert state.cursors() == {"file:/x": "7"}, "the side copy: lines are read again rather than lost"
    assert state.period() is None
    told = state.repaired
    state.close()
    again = State(str(place))
    assert again.repaired == told, "until the bans in force are in it"
    with again.transaction() as tx:
        tx.remember(PENDING, None)
    assert again.repaired is None
    assert again.cursors() == {"file:/x": "7"}
    again.close()


def test_mail_that_waits_is_recovered_from_the_damaged_file_where_it_can_be_read(place: Path) -> None:
    kill(filled(place))
    scribble(place / FILE)  # lines, far behind the outbox
    state = State(str(place))
    message = state.due(NOW)
    assert message is not None
    assert (message.message_id, message.content) == ("<1@h>", b"digest")
    assert state.repaired is not None
    assert state.repaired.messages == 1
    state.close()


def test_mail_that_was_given_up_stays_given_up(place: Path) -> None:
    state = filled(place)
    with state.transaction() as tx:
        tx.post(Message(0, "<2@h>", "a@h", ("b@h",), b"digest"), NOW)
        tx.not_delivered(1, "no route", NOW + 60)
        tx.give_up(1, NOW + 5)
    kill(state)
    scribble(place / FILE)
    state = State(str(place))
    assert [(each["message_id"], each["error"], each["given_up"]) for each in state.undelivered()] == [
        ("<1@h>", "no route", NOW + 5),
        ("<2@h>", None, None),
    ]
    message = state.due(NOW + 60)
    assert message is not None
    assert message.message_id == "<2@h>"
    assert "Messages kept for delivery: 1." in str(state.repaired)
    state.close()


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_mail_is_recovered_from_a_damaged_file_of_an_older_schema_too(place: Path, version: int) -> None:
    old(place, version)
    (place / LOCK).write_text(f"{DAMAGED}malformed")
    state = State(str(place))
    assert state.repaired is not None
    assert state.repaired.messages == 1
    state.close()


def test_a_damaged_message_is_not_recovered(place: Path) -> None:
    state = filled(place)
    state._db.execute("UPDATE outbox SET recipients='{not json'")
    kill(state)
    scribble(place / FILE)
    state = State(str(place))
    assert state.due(NOW) is None
    state.close()


@pytest.mark.parametrize("copy", [None, "", "[1]", '{"file:/x": 7}'])
def test_without_a_readable_copy_of_the_cursors_the_digest_says_so(place: Path, copy: str | None) -> None:
    kill(filled(place))
    scribble(place / FILE, page=0)
    (place / NAME).unlink() if copy is None else (place / NAME).write_text(copy)
    state = State(str(place))
    assert state.cursors() == {}
    assert "none were copied" in str(state.repaired)
    state.close()


def test_damage_met_while_running_is_remembered_for_the_next_start(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(place).close()
    scribble(place / FILE)
    with monkeypatch.context() as patch:
        patch.setattr(repair, "check", lambda *_: None)  # as in a file so big that the check did not come so far
        state = State(str(place))
    with pytest.raises(StateError, match="malformed"):
        list(state.entries(1))
    assert state.damaged is not None
    state.close()
    state = State(str(place))
    assert state.repaired is not None
    assert "malformed" in state.repaired.why
    state.close()


def test_a_row_that_was_never_written_so_is_damage(place: Path) -> None:
    state = filled(place)
    state._db.execute("INSERT INTO tally VALUES (1, 'file:/x', 'explained', 1)")
    with pytest.raises(StateError, match="explained"):
        state.tallies()
    assert state.damaged is not None
    state.close()


def test_a_full_disk_or_a_second_writer_is_no_damage(place: Path) -> None:
    state = filled(place)
    state._db.execute("PRAGMA max_page_count=1")

    def post_much() -> None:
        with state.transaction() as tx:
            tx.post(Message(0, "<2@h>", "a@h", ("b@h",), b"x" * 1_000_000), NOW)

    with pytest.raises(StateError, match="full"):
        post_much()
    assert state.damaged is None
    state.close()


def test_no_more_than_a_few_damaged_databases_are_kept(place: Path) -> None:
    for day in range(4):
        kill(filled(place))
        scribble(place / FILE, page=0)
        os.utime(place / FILE, (NOW + day * 86_400, NOW + day * 86_400))
    State(str(place)).close()
    assert [name[-16:-8] for name in asides(place)] == ["20260923", "20260924"]


def test_a_check_that_takes_too_long_does_not_hold_up_the_start(place: Path) -> None:
    kill(filled(place, lines=5_000))
    scribble(place / FILE)
    with closing(sqlite3.connect(place / FILE)) as db:
        db.set_trace_callback(lambda _: db.interrupt())  # as the timer does, but at once
        repair.check(db)
        db.set_trace_callback(None)
        with pytest.raises(sqlite3.DatabaseError):
            repair.check(db)


def test_the_copy_of_the_cursors_is_written_only_where_one_has_moved(place: Path) -> None:
    state = filled(place)
    state.copy_cursors()
    written = (place / NAME).stat().st_mtime_ns
    state.copy_cursors()
    assert (place / NAME).stat().st_mtime_ns == written
    assert (place / NAME).read_text() == '{"file:/x": "8"}'
    state.close()


def test_a_file_whose_name_is_no_utf8_has_a_cursor_too_and_keeps_it(place: Path) -> None:
    state, odd = State(str(place)), "file:/var/log/\udcff.log"
    with state.transaction() as tx:
        period = tx.open_period(NOW)
        tx.count(period, odd, 1, Classified({Outcome.UNEXPLAINED: 1}, {}, ()), NOW)
        tx.add_entries(period, [Verdict(odd, Event(NOW, "h", "app", 1, "x", "x"), Outcome.UNEXPLAINED)], NOW)
        tx.set_cursor(odd, "7", NOW)
    assert state.cursors() == {odd: "7"}
    assert state.read() == {odd: 1}
    assert state.tallies()[odd][Outcome.UNEXPLAINED] == 1
    assert next(state.entries(period)).source == odd
    state.copy_cursors()
    kill(state)
    scribble(place / FILE, page=0)
    state = State(str(place))
    assert state.cursors() == {odd: "7"}
    written = (place / NAME).stat().st_mtime
    assert (state.idle(written - 1), state.idle(written + 1)) == ([], [odd])
    state.close()


@pytest.mark.parametrize("how", ["killed", "refused"])
@pytest.mark.parametrize("damage", ["header", "one row"])
def test_a_repair_that_is_interrupted_anywhere_is_ended_by_the_next_start(
    tmp_path: Path, damage: str, how: str
) -> None:
    origin = tmp_path / "origin"
    state = filled(origin, lines=10)
    if damage == "one row":  # which no check finds: there is the mark alone
        state._db.execute("INSERT INTO tally VALUES (1, 'file:/x', 'explained', 1)")
        with pytest.raises(StateError):
            state.tallies()
        state.close()
    else:
        kill(state)
        with (origin / FILE).open("r+b") as file:
            file.write(b"\xa5" * 20)
    for step in itertools.count(1):
        place = tmp_path / f"step {step}"
        shutil.copytree(origin, place)
        if not start_until(place, step, how):
            break
        state = State(str(place))
        assert state.repaired is not None, step
        assert state.cursors() == {"file:/x": "7"}, step
        assert len(state.undelivered()) == state.repaired.messages == (damage == "one row"), step
        assert asides(place) == [state.repaired.aside], step
        assert (place / FILE).with_name(state.repaired.aside).read_bytes() == (origin / FILE).read_bytes(), step
        assert not (place / f"{FILE}.new").exists(), step
        state.close()
        shutil.rmtree(place)
    assert step > 10


@pytest.mark.parametrize("left", ["no file", "an empty file"])
def test_a_database_that_is_gone_while_the_cursors_are_there_is_no_first_start(place: Path, left: str) -> None:
    filled(place).close()
    (place / FILE).unlink()
    if left == "an empty file":
        (place / FILE).touch()
    state = State(str(place))
    assert state.cursors() == {"file:/x": "7"}
    assert "Cursors: 1 as they stood at 20" in str(state.repaired)
    state.close()


def test_a_first_start_is_no_repair(place: Path) -> None:
    place.mkdir()
    (place / FILE).touch()  # killed before anything was written
    state = State(str(place))
    assert state.repaired is None
    state.close()


def test_bans_that_only_the_kernel_knows_stay_there_though_the_config_removes_them_on_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mute(DryRun):
        """Outlives the daemon, and cannot be read while it is `mute`."""

        mute = False

        def list(self, now: float) -> Mapping[str, float]:
            if self.mute:
                raise FirewallError("ipset: timed out")
            return super().list(now)

    kernel = Mute()
    monkeypatch.setattr(watch, "firewall", lambda *_: kernel)
    host = Small(tmp_path)
    with host.running():
        host.attack("203.0.113.9", 3)
    host.config.write_text(host.config.read_text().replace("bans: {", "bans: {on_stop: remove, "))
    (tmp_path / "state" / FILE).write_bytes(b"no database" * 1000)
    kernel.mute = True
    with host.running():
        pass
    kernel.mute = False
    assert list(kernel.list(host.hands.wall)) == ["203.0.113.9/32"], "the next start recovers it"
    with host.running() as running:
        assert [ban.attack for ban in running.state.bans(host.hands.wall)] == ["recovered"]
    assert not kernel.list(host.hands.wall), "now that SQLite knows it, it is removed as the config says"


@pytest.mark.root
def test_bans_of_a_table_that_has_to_be_made_anew_are_recovered_first(tmp_path: Path) -> None:
    host = Small(tmp_path, backend="nftables, mode: enforce")
    with namespaces(1) as (here,), here.inside():
        with host.running():
            host.attack("203.0.113.9", 3)
        (tmp_path / "state" / FILE).write_bytes(b"no database" * 1000)
        chain = "inet logwarden banned"
        nft(f"flush chain {chain}", f"delete chain {chain}", f"add chain {chain}", "add chain inet logwarden own")
        nft("add rule inet logwarden own jump banned")  # so that the chain cannot be made anew, nor on its hook
        with host.running():
            assert list(host.bans()) == ["203.0.113.9/32"]


def test_while_the_kernel_cannot_be_read_after_damage_no_ban_is_lifted_and_each_round_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kernel(DryRun):
        """Outlives the daemon, and does not answer at first."""

        refuses = 0

        def list(self, now: float) -> Mapping[str, float]:
            if self.refuses:
                self.refuses -= 1
                raise FirewallError("ipset: timed out")
            return super().list(now)

    kernel = Kernel()
    monkeypatch.setattr(watch, "firewall", lambda *_: kernel)
    (tmp_path / "host").mkdir()
    host = Small(tmp_path / "host")
    with host.running() as running:
        host.attack("203.0.113.9", 3)
        running.state.copy_cursors()
    (host.place / "state" / FILE).write_bytes(b"no database" * 1000)
    (host.place / "state" / LOCK).write_text("in use")
    kernel.refuses = 1
    with host.running() as running:
        assert list(kernel.list(host.hands.wall)) == ["203.0.113.9/32"], "the set could be read right afterwards"
        assert running.state.bans(host.hands.wall) == []
        assert "none is lifted until they are" in host.preview()
        host.attack("203.0.113.8", 3)
        host.hands.pass_by(61)
        upkeep.round_(running, host.hands.wall)
        assert set(host.bans()) == {"203.0.113.9/32", "203.0.113.8/32"}
        assert running.state.repaired is None
        assert "Bans recovered from the kernel: 1" in " ".join(host.preview().split())
        assert [ban.attack for ban in running.state.bans(host.hands.wall)] == ["sshd.yaml", "recovered"]
        kernel.apply([Ban("203.0.113.7/32", NOW, NOW + 9_000, "x", "foreign")], NOW)
        host.hands.pass_by(61)
        upkeep.round_(running, host.hands.wall)
        assert "203.0.113.7/32" not in host.bans(), "from now on SQLite is the truth again"


@pytest.mark.slow
def test_a_daemon_whose_database_breaks_ends_and_the_next_start_repairs_it(tmp_path: Path) -> None:
    host = Host(tmp_path, port=9)
    file = tmp_path / "state" / FILE
    with daemon(host.config) as process:
        host.write(*[f"unseen {number} " + "x" * 200 for number in range(300)])
        until(lambda: host.read() == 300)
        with closing(sqlite3.connect(file)) as other:
            other.execute("CREATE TABLE other (x)")  # so that the daemon looks at the file, not at what it remembers
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for page in range(1, file.stat().st_size // PAGE - 4, 4):
            scribble(file, page)
        host.write("unseen again")
        assert process.wait(20) == 1
    assert "the next start repairs it" in (tmp_path / "daemon.err").read_text()
    with daemon(host.config):
        until(lambda: host.read() >= 301)
        assert "is set aside as state.db.corrupt-" in host.run("status").replace("\n", "")
        assert "unseen again" in host.kept()[-1]
