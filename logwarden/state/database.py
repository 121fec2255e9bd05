"""Opening the database, its one lock, and every question asked of it.

A batch's effects and its cursor commit in one transaction, so that after a
SIGKILL a line has either all of its effects or none, and is then read again.
Never: asks the clock, decides anything, or is used from a second thread.
Durability: WAL with synchronous=NORMAL. A process that dies loses nothing; a machine that loses power may lose the
last transactions, but cursor and effects together.
Fails: with StateError; a transaction that raises is rolled back.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..echo import Sighting
from ..errors import StateError
from ..model import Ban, Entry, Message, Notice, NoticeKind, Outcome, Severity
from .schema import MIGRATIONS
from .transaction import Transaction

FILE, LOCK = "state.db", "lock"


class State:
    """One open database. `path` is its directory, made with mode 0750 where it is missing."""

    def __init__(self, path: str) -> None:
        try:
            Path(path).mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock = _lock(os.path.join(path, LOCK))
            self._db = sqlite3.connect(os.path.join(path, FILE), isolation_level=None, timeout=5.0)
            self._db.row_factory = sqlite3.Row
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "temp_store=MEMORY", "cache_size=-4096"):
                self._db.execute(f"PRAGMA {pragma}")
            self._migrate(path)
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"{path}: the database cannot be opened: {error}") from error

    def _migrate(self, path: str) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise StateError(
                f"{path}: the database (schema {version}) is newer than this logwarden ({len(MIGRATIONS)})"
            )
        for number in range(version, len(MIGRATIONS)):
            self._db.executescript(f"BEGIN; {MIGRATIONS[number]} PRAGMA user_version={number + 1}; COMMIT;")

    def close(self) -> None:
        """Fold the write-ahead log into the database and let go of it."""
        self._db.close()
        os.close(self._lock)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All or nothing. Raises StateError where the database refuses, e.g. on a full disk."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise StateError(f"the database takes no transaction: {error}") from error
        try:
            yield Transaction(self._db)
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise StateError(f"the database did not commit: {error}") from error
            raise

    # --- questions ------------------------------------------------------------------------------------------

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StateError(f"the database does not answer: {error}") from error

    def cursors(self) -> dict[str, str]:
        """Where each source stands, by source."""
        return {row["source"]: row["cursor"] for row in self._rows("SELECT source, cursor FROM cursor")}

    def period(self) -> tuple[int, float] | None:
        """The open period: its id and when it was opened. None before the first batch."""
        rows = self._rows("SELECT id, opened FROM period WHERE closed IS NULL ORDER BY id DESC LIMIT 1")
        return (rows[0]["id"], rows[0]["opened"]) if rows else None

    def tallies(self, period: int | None = None) -> dict[str, dict[Outcome, int]]:
        """Lines by source and outcome: of one period, or of all time."""
        query = (
            "SELECT source, outcome, sum(lines) AS n FROM tally WHERE ?1 IS NULL OR period=?1 GROUP BY source, outcome"
        )
        counts: dict[str, dict[Outcome, int]] = {}
        for row in self._rows(query, period):
            counts.setdefault(row["source"], dict.fromkeys(Outcome, 0))[Outcome(row["outcome"])] = row["n"]
        return counts

    def rule_hits(self, period: int) -> dict[str, int]:
        """Lines by rule in a period, busiest first."""
        query = "SELECT rule, lines FROM hit WHERE period=? ORDER BY lines DESC, rule"
        return {row["rule"]: row["lines"] for row in self._rows(query, period)}

    def rule_totals(self) -> dict[str, tuple[int, float]]:
        """Lines by rule since the database was made, and when the last of them was counted."""
        rows = self._rows("SELECT rule, sum(lines) AS lines, max(last) AS last FROM hit GROUP BY rule ORDER BY rule")
        return {row["rule"]: (row["lines"], row["last"]) for row in rows}

    def slow_rules(self) -> dict[str, float]:
        """Seconds that rules were at work in the `regex` engine since the database was made, the slowest first."""
        rows = self._rows("SELECT rule, seconds FROM slow ORDER BY seconds DESC, rule")
        return {row["rule"]: row["seconds"] for row in rows}

    def entries(self, period: int) -> Iterator[Entry]:
        """The lines that the period's digest is made of, oldest first, never all of them in memory."""
        try:
            yield from map(_entry, self._db.execute("SELECT * FROM entry WHERE period=? ORDER BY id", (period,)))
        except sqlite3.Error as error:
            raise StateError(f"the database does not answer: {error}") from error

    def notices(self, period: int) -> list[Notice]:
        """What happened to the watch itself in a period, oldest first."""
        rows = self._rows("SELECT * FROM notice WHERE period=? ORDER BY id", period)
        return [Notice(NoticeKind(row["kind"]), row["about"], row["text"], row["time"]) for row in rows]

    def bans(self, now: float) -> list[Ban]:
        """The bans in force at `now`, oldest first; of several on one prefix, the longest."""
        query = (
            """SELECT *, max(until) FROM ban WHERE lifted IS NULL AND until > ?1 GROUP BY prefix ORDER BY since, id"""
        )
        return [_ban(row) for row in self._rows(query, now)]

    def bans_since(self, time: float) -> list[Ban]:
        """Every ban that was in force at `time` or later, in the order in which they began; lifted ones end there."""
        rows = self._rows(
            "SELECT *, min(until, coalesce(lifted, until)) AS ended FROM ban WHERE ended>? ORDER BY since", time
        )
        return [Ban(row["prefix"], row["since"], row["ended"], row["attack"], row["why"], row["hits"]) for row in rows]

    def bans_made(self, period: int) -> list[Ban]:
        """The bans that were made in a period, lifted since or not."""
        return [_ban(row) for row in self._rows("SELECT * FROM ban WHERE period=? ORDER BY id", period)]

    def times_banned(self, prefix: str) -> int:
        """How many bans this prefix ever had, as far as the database remembers."""
        return int(self._rows("SELECT count(*) AS n FROM ban WHERE prefix=?", prefix)[0]["n"])

    def attacks(self, since: float) -> list[sqlite3.Row]:
        """Hits that counted (time, file, rule, address, score, raw) and are not older than `since`, oldest first."""
        return self._rows("SELECT * FROM attack WHERE counted AND time>=? ORDER BY time, id", since)

    def due(self, now: float) -> list[Message]:
        """Messages in the outbox whose next attempt is due, oldest first."""
        rows = self._rows("SELECT * FROM outbox WHERE delivered IS NULL AND next<=? ORDER BY id", now)
        return [_message(row) for row in rows]

    def next_delivery(self) -> float | None:
        """When the next attempt for a message in the outbox is due; None where the outbox is empty."""
        return self._rows("SELECT min(next) AS n FROM outbox WHERE delivered IS NULL")[0]["n"]  # type: ignore[no-any-return]

    def undelivered(self) -> list[dict[str, Any]]:
        """Subject, age and last error of every message that waits in the outbox."""
        query = "SELECT subject, created, attempts, next, error FROM outbox WHERE delivered IS NULL ORDER BY id"
        return [dict(row) for row in self._rows(query)]

    def sightings(self) -> list[Sighting]:
        """The latest messages, oldest first, and the sources that have shown them."""
        rows = self._rows("SELECT * FROM sighting ORDER BY number")
        return [
            Sighting(row["number"], row["key"], row["pid"], row["time"], tuple(row["sources"].split("\n")))
            for row in rows
        ]

    def recall(self, name: str) -> Any:
        """What was remembered under `name` (plain JSON data), or None."""
        rows = self._rows("SELECT value FROM memory WHERE name=?", name)
        return json.loads(rows[0]["value"]) if rows else None


def _lock(path: str) -> int:
    """Hold `path` for ourselves until the descriptor is closed or the process ends. Raises StateError, OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StateError(f"{path}: another logwarden uses this state directory") from error
    return descriptor


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(
        source=row["source"],
        time=row["time"],
        host=row["host"],
        program=row["program"],
        outcome=Outcome(row["outcome"]),
        severity=Severity(row["severity"]) if row["severity"] else None,
        rule=row["rule"],
        address=row["address"],
        message=row["message"],
        raw=row["raw"],
    )


def _ban(row: Mapping[str, Any] | sqlite3.Row) -> Ban:
    return Ban(row["prefix"], row["since"], row["until"], row["attack"], row["why"], row["hits"])


def _message(row: sqlite3.Row) -> Message:
    return Message(
        id=row["id"],
        message_id=row["message_id"],
        sender=row["sender"],
        recipients=tuple(json.loads(row["recipients"])),
        content=row["content"],
        attempts=row["attempts"],
        subject=row["subject"],
    )
