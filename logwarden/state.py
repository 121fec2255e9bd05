"""The only SQLite door: cursors, counts, entries, attacks, bans, notices and the outbox, in one file.

Owns: the schema and its migrations. A batch's effects and its cursor commit in one transaction, so that after a
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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import StateError
from .model import Ban, Classified, Entry, Message, Notice, NoticeKind, Outcome, Severity, Verdict

FILE, LOCK = "state.db", "lock"

MIGRATIONS = (
    """
    CREATE TABLE cursor (source TEXT PRIMARY KEY, cursor TEXT NOT NULL, time REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE period (id INTEGER PRIMARY KEY, opened REAL NOT NULL, closed REAL);
    CREATE TABLE tally (period INTEGER NOT NULL, source TEXT NOT NULL, outcome TEXT NOT NULL, lines INTEGER NOT NULL,
        PRIMARY KEY (period, source, outcome)) WITHOUT ROWID;
    CREATE TABLE hit (period INTEGER NOT NULL, rule TEXT NOT NULL, lines INTEGER NOT NULL, last REAL NOT NULL,
        PRIMARY KEY (period, rule)) WITHOUT ROWID;
    CREATE TABLE entry (id INTEGER PRIMARY KEY, period INTEGER NOT NULL, source TEXT NOT NULL, time REAL NOT NULL,
        host TEXT NOT NULL, program TEXT NOT NULL, outcome TEXT NOT NULL, severity TEXT, rule TEXT, address TEXT,
        message TEXT NOT NULL, raw TEXT NOT NULL);
    CREATE INDEX entry_period ON entry (period);
    CREATE TABLE attack (id INTEGER PRIMARY KEY, time REAL NOT NULL, file TEXT NOT NULL, rule TEXT NOT NULL,
        address TEXT NOT NULL, score INTEGER NOT NULL, counted INTEGER NOT NULL, raw TEXT NOT NULL);
    CREATE INDEX attack_address ON attack (address, time);
    CREATE INDEX attack_time ON attack (time);
    CREATE TABLE ban (id INTEGER PRIMARY KEY, prefix TEXT NOT NULL, since REAL NOT NULL, until REAL NOT NULL,
        attack TEXT NOT NULL, why TEXT NOT NULL, hits INTEGER NOT NULL, period INTEGER NOT NULL, lifted REAL);
    CREATE INDEX ban_until ON ban (until);
    CREATE INDEX ban_prefix ON ban (prefix);
    CREATE TABLE notice (id INTEGER PRIMARY KEY, period INTEGER NOT NULL, kind TEXT NOT NULL, about TEXT NOT NULL,
        text TEXT NOT NULL, time REAL NOT NULL);
    CREATE TABLE outbox (id INTEGER PRIMARY KEY, message_id TEXT NOT NULL UNIQUE, created REAL NOT NULL,
        sender TEXT NOT NULL, recipients TEXT NOT NULL, subject TEXT NOT NULL, content BLOB NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, next REAL NOT NULL, delivered REAL, error TEXT);
    CREATE TABLE memory (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
)
"""Each runs once, in order; PRAGMA user_version counts those that have run."""


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

    def recall(self, name: str) -> Any:
        """What was remembered under `name` (plain JSON data), or None."""
        rows = self._rows("SELECT value FROM memory WHERE name=?", name)
        return json.loads(rows[0]["value"]) if rows else None


class Transaction:
    """What one transaction may change. Obtained from State.transaction alone."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def open_period(self, now: float) -> int:
        """The id of the open period, opened at `now` where there is none."""
        row = self._db.execute("SELECT id FROM period WHERE closed IS NULL ORDER BY id DESC LIMIT 1").fetchone()
        if row:
            return int(row["id"])
        return int(self._db.execute("INSERT INTO period (opened) VALUES (?)", (now,)).lastrowid or 0)

    def close_period(self, period: int, now: float) -> None:
        """End a period: what comes next belongs to a new one, which is opened at `now`."""
        self._db.execute("UPDATE period SET closed=? WHERE id=?", (now, period))
        self._db.execute("INSERT INTO period (opened) VALUES (?)", (now,))

    def count(self, period: int, source: str, classified: Classified, now: float) -> None:
        """Add a batch's lines to the tally, and its rules' hits to theirs."""
        self._db.executemany(
            "INSERT INTO tally VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET lines=lines+excluded.lines",
            [(period, source, outcome, lines) for outcome, lines in classified.counts.items() if lines],
        )
        self._db.executemany(
            "INSERT INTO hit VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET lines=lines+excluded.lines, last=excluded.last",
            [(period, rule, lines, now) for rule, lines in classified.hits.items()],
        )

    def add_entry(self, period: int, verdict: Verdict, now: float) -> None:
        """Keep a line for the digest."""
        event, attack = verdict.event, verdict.attack_by
        values = (
            period,
            verdict.source,
            event.time if event.time is not None else now,
            _text(event.host),
            _text(event.program),
            verdict.outcome,
            attack.severity if attack else None,
            str(attack) if attack else verdict.quarantined_for,
            verdict.address,
            _text(event.message),
            _text(event.raw),
        )
        self._db.execute(
            "INSERT INTO entry (period, source, time, host, program, outcome, severity, rule, address, message, raw)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            values,
        )

    def add_attack(self, verdict: Verdict, now: float, *, counted: bool) -> None:
        """Remember a hit, so that windows survive a restart (those that `counted`) and `why` can show all."""
        rule = verdict.attack_by
        if rule is None or verdict.address is None:
            return
        time = verdict.event.time if verdict.event.time is not None else now
        self._db.execute(
            "INSERT INTO attack (time, file, rule, address, score, counted, raw) VALUES (?,?,?,?,?,?,?)",
            (time, rule.file, str(rule), verdict.address, rule.score, counted, _text(verdict.event.raw)),
        )

    def add_ban(self, period: int, ban: Ban) -> None:
        """A new ban, or a longer one."""
        self._db.execute(
            "INSERT INTO ban (prefix, since, until, attack, why, hits, period) VALUES (?,?,?,?,?,?,?)",
            (ban.prefix, ban.since, ban.until, ban.attack, _text(ban.why), ban.hits, period),
        )

    def lift_ban(self, prefix: str, now: float) -> int:
        """End the bans in force on exactly this prefix, and say how many there were."""
        query = "UPDATE ban SET lifted=?1 WHERE prefix=?2 AND lifted IS NULL AND until>?1"
        return self._db.execute(query, (now, prefix)).rowcount

    def set_cursor(self, source: str, cursor: str, now: float) -> None:
        """Everything of `source` up to `cursor` is accounted for."""
        self._db.execute(
            "INSERT INTO cursor VALUES (?,?,?) ON CONFLICT DO UPDATE SET cursor=excluded.cursor, time=excluded.time",
            (source, cursor, now),
        )

    def add_notice(self, period: int, notice: Notice) -> None:
        """Say something about the watch itself in the period's digest; the same twice is said once."""
        known = self._db.execute(
            "SELECT 1 FROM notice WHERE period=? AND kind=? AND about=? AND text=?",
            (period, notice.kind, _text(notice.about), _text(notice.text)),
        ).fetchone()
        if not known:
            values = (period, notice.kind, _text(notice.about), _text(notice.text), notice.time)
            self._db.execute("INSERT INTO notice (period, kind, about, text, time) VALUES (?,?,?,?,?)", values)

    def post(self, message: Message, now: float) -> None:
        """Put a message into the outbox, due at once."""
        self._db.execute(
            "INSERT INTO outbox (message_id, created, sender, recipients, subject, content, next)"
            " VALUES (?,?,?,?,?,?,?)",
            (
                message.message_id,
                now,
                message.sender,
                json.dumps(message.recipients),
                _text(message.subject),
                message.content,
                now,
            ),
        )

    def delivered(self, message: int, now: float) -> None:
        """The mail server took this message."""
        self._db.execute("UPDATE outbox SET delivered=?, attempts=attempts+1, error=NULL WHERE id=?", (now, message))

    def not_delivered(self, message: int, error: str, retry: float, recipients: Iterable[str] | None = None) -> None:
        """An attempt failed; the next is due at `retry`, for `recipients` alone where some were served."""
        self._db.execute(
            "UPDATE outbox SET attempts=attempts+1, error=?, next=? WHERE id=?", (_text(error), retry, message)
        )
        if recipients is not None:
            self._db.execute("UPDATE outbox SET recipients=? WHERE id=?", (json.dumps(list(recipients)), message))

    def remember(self, name: str, value: Any) -> None:
        """Keep plain JSON data under `name`, in place of what was there."""
        self._db.execute(
            "INSERT INTO memory VALUES (?,?) ON CONFLICT DO UPDATE SET value=excluded.value", (name, json.dumps(value))
        )

    def forget(self, before: float) -> None:
        """Delete what is older than `before`; bans in force and messages not delivered stay."""
        for query in (
            "DELETE FROM entry WHERE period IN (SELECT id FROM period WHERE closed<?)",
            "DELETE FROM notice WHERE period IN (SELECT id FROM period WHERE closed<?)",
            "DELETE FROM attack WHERE time<?",
            "DELETE FROM ban WHERE until<?",
            "DELETE FROM outbox WHERE delivered<?",
        ):
            self._db.execute(query, (before,))


def _lock(path: str) -> int:
    """Hold `path` for ourselves until the descriptor is closed or the process ends. Raises StateError, OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StateError(f"{path}: another logwarden uses this state directory") from error
    return descriptor


def _text(text: str | None) -> str:
    """SQLite takes no lone surrogates; nothing else is changed."""
    return (text or "").encode("utf-8", "backslashreplace").decode("utf-8")


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
