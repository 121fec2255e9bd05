"""A database of an older logwarden is brought up to date, and keeps all that it holds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from small import NOW, Small
from small_disk import Disk, on_small_disk

from logwarden.errors import StateError
from logwarden.model import Ban, Classified, Outcome
from logwarden.sighting import KEY, Sighting
from logwarden.state import FILE, State, database
from logwarden.state.schema import MIGRATIONS

ATTACKER = "203.0.113.9"
LINES = {"ignored": 40, "attack": 2, "unexplained": 1, "quarantined": 0}
FIRST = f"""
INSERT INTO cursor VALUES ('file:/x', '1234', {NOW});
INSERT INTO period VALUES (1, {NOW - 86_400}, {NOW - 3_600}), (2, {NOW - 3_600}, NULL);
INSERT INTO hit VALUES (1, 'app.rules:1', 40, {NOW - 7_200}), (2, 'app.rules:1', 40, {NOW});
INSERT INTO entry (period, source, time, host, program, outcome, message, raw)
    VALUES (2, 'file:/x', {NOW}, 'web1', 'app', 'unexplained', 'never seen before', 'app: never seen before'),
    (2, 'file:/x', {NOW}, 'web1', 'sshd', 'attack', 'a', 'sshd: a'),
    (2, 'file:/x', {NOW}, 'web1', 'sshd', 'attack', 'b', 'sshd: b');
INSERT INTO attack (time, file, rule, address, score, counted, raw)
    VALUES ({NOW}, 'sshd.yaml', 'sshd.yaml#failed', '{ATTACKER}', 1, 1, 'a'),
    ({NOW}, 'sshd.yaml', 'sshd.yaml#failed', '{ATTACKER}', 1, 1, 'b');
INSERT INTO ban (prefix, since, until, attack, why, hits, period)
    VALUES ('203.0.113.1/32', {NOW - 60}, {NOW + 3_600}, 'sshd.yaml', 'why', 3, 2),
    ('203.0.113.2/32', {NOW - 7_200}, {NOW - 3_600}, 'sshd.yaml', 'over', 3, 1);
INSERT INTO outbox (message_id, created, sender, recipients, subject, content, next)
    VALUES ('<1@web1>', {NOW}, 'a@web1', '["b@web1"]', 'a digest', x'ff00', {NOW});
INSERT INTO memory VALUES ('roll', '{{"some": "thing"}}');
""" + "".join(
    f"INSERT INTO tally VALUES ({period}, 'file:/x', '{outcome}', {lines});"
    for period in (1, 2)
    for outcome, lines in LINES.items()
)
SIGHTING = Sighting(7, b"k" * KEY, 42, NOW, ("file:/x", "journal"))
ADDED = {
    2: "INSERT INTO slow VALUES ('app.rules:1', 1.5);",
    3: f"INSERT INTO sighting VALUES (7, x'{SIGHTING.key.hex()}', 42, {NOW}, 'file:/x' || char(10) || 'journal');",
    4: """
    INSERT INTO reading SELECT period, source, sum(lines) FROM tally GROUP BY period, source;
    UPDATE outbox SET given_up=NULL;
    """,
    5: "UPDATE attack SET host='web1';",
}
"""What a logwarden of that schema wrote beyond the one before it."""
VERSIONS = range(1, len(MIGRATIONS) + 1)


def old(place: Path, version: int) -> None:
    """A database as it was at this version of the schema; the first ones could not be made shorter."""
    place.mkdir()
    with closing(sqlite3.connect(place / FILE)) as db:
        db.execute(f"PRAGMA auto_vacuum={2 if version > 3 else 0}")
        for migration in MIGRATIONS[:version]:
            db.executescript(migration)
        db.executescript(FIRST + "".join(text for since, text in ADDED.items() if since <= version))
        db.executescript(f"PRAGMA user_version={version}; PRAGMA journal_mode=WAL;")


def pragma(state: State, name: str) -> int:
    return int(state._db.execute(f"PRAGMA {name}").fetchone()[0])


@pytest.mark.parametrize("version", VERSIONS)
def test_cursors_bans_counts_and_mail_of_an_older_schema_are_kept(version: int, tmp_path: Path) -> None:
    old(tmp_path / "state", version)
    state = State(str(tmp_path / "state"))
    assert (pragma(state, "user_version"), pragma(state, "auto_vacuum")) == (len(MIGRATIONS), 2)
    assert state.cursors() == {"file:/x": "1234"}
    assert state.period() == (2, NOW - 3_600)
    assert state.bans(NOW) == [Ban("203.0.113.1/32", NOW - 60, NOW + 3_600, "sshd.yaml", "why", 3)]
    assert state.times_by_prefix() == {"203.0.113.1/32": 1, "203.0.113.2/32": 1}
    for period, times in ((1, 1), (2, 1), (None, 2)):
        counted = {Outcome(outcome): lines * times for outcome, lines in LINES.items()}
        assert state.tallies(period) == {"file:/x": counted}
        assert state.read(period) == {"file:/x": sum(counted.values())}, "the books still add up"
    assert state.rule_totals() == {"app.rules:1": (80, NOW)}
    assert [entry.message for entry in state.entries(2)] == ["never seen before", "a", "b"]
    host = "web1" if version > 4 else ""
    assert [(row["address"], row["host"]) for row in state.attacks(0)] == [(ATTACKER, host)] * 2
    message = state.due(NOW)
    assert message is not None
    assert (message.message_id, message.content) == ("<1@web1>", b"\xff\0")
    assert state.slow_rules() == ({"app.rules:1": 1.5} if version > 1 else {})
    assert list(state.sightings()) == ([SIGHTING] if version > 2 else [])
    assert state.recall("roll") == {"some": "thing"}
    state.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_brought_up_to_date_is_written_to_and_forgets_as_any_other(version: int, tmp_path: Path) -> None:
    old(tmp_path / "state", version)
    state = State(str(tmp_path / "state"))
    with state.transaction() as tx:
        tx.count(2, "file:/x", 5, Classified({Outcome.IGNORED: 5}, {"app.rules:1": 5}, ()), NOW)
        tx.set_cursor("file:/x", "1239", NOW)
        tx.give_up(1, NOW)
        tx.shift(3_600.0)
        tx.forget(NOW + 1_800)
    assert state.cursors() == {"file:/x": "1239"}
    assert state.tallies()["file:/x"][Outcome.IGNORED] == 85
    assert state.read() == {"file:/x": 91}
    assert state.undelivered()[0]["given_up"] == NOW + 3_600
    assert [ban.until for ban in state.bans(NOW)] == [NOW + 7_200]
    state.close()
    again = State(str(tmp_path / "state"))
    assert again.repaired is None
    assert again.read() == {"file:/x": 91}


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_a_daemon_starts_on_an_older_database_and_counts_on_from_it(version: int, tmp_path: Path) -> None:
    host = Small(tmp_path)
    old(tmp_path / "state", version)
    with host.running() as daemon:
        assert list(host.bans()) == ["203.0.113.1/32"]
        host.attack(ATTACKER, 1)
        assert list(host.bans()) == ["203.0.113.1/32"] + [f"{ATTACKER}/32"] * (version > 4), "two hits, and one more"
        text = host.preview()
        assert "never seen before" in text
        assert "ACCOUNTING" not in text
        assert daemon.state.read() == {"file:/x": 87}


def test_a_step_that_fails_leaves_the_database_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old(tmp_path / "state", 3)
    broken = (*MIGRATIONS[:4], MIGRATIONS[4] + "DELETE FROM ban; INSERT INTO nowhere VALUES (1);")
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", broken)
        with pytest.raises(StateError, match="nowhere"):
            State(str(tmp_path / "state"))
    state = State(str(tmp_path / "state"))
    assert (len(state.bans(NOW)), pragma(state, "user_version")) == (1, len(MIGRATIONS))


@pytest.mark.root
def test_an_old_file_that_the_full_disk_leaves_no_room_to_rebuild_is_used_as_it_is(tmp_path: Path) -> None:
    def body() -> None:
        place, disk = tmp_path / "state", Disk(tmp_path)
        old(place, len(MIGRATIONS))
        with closing(sqlite3.connect(place / FILE)) as db:
            db.executescript("PRAGMA auto_vacuum=0; VACUUM;")
        disk.fill()
        state = State(str(place))
        assert len(state.bans(NOW)) == 1
        state.close()
        disk.free()
        state = State(str(place))
        assert (len(state.bans(NOW)), pragma(state, "auto_vacuum")) == (1, 2)

    on_small_disk(tmp_path, 4, body)
