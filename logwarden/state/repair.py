"""A database that cannot be trusted is set aside, and a new one starts from what can be recovered.

Owns: what counts as damage; the check at a start, which ends after CHECK seconds, or BRIEF where the last run ended in
`close`, so that a big database does not hold up a start (what it did not reach shows itself when it is read); the mark
that a run which met damage leaves for the next start; the damaged file, of which the last KEPT are kept.
The new one is built beside the damaged one and takes its place when it is whole, so that a repair that is interrupted
is done again, or ended, at the next start. What happened stands in it under PENDING until the daemon has done its part.
Recovered: cursors from their side copy (`copy`), mail that was not delivered from the damaged file as far as it can
be read. Bans in force come from the kernel's set: the daemon sees to that.
Never: mends a damaged file; asks the clock: the file's own time names it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import copy
from .transaction import Transaction, stored

CHECK = 5.0
"""Most seconds that the check at a start may take."""
BRIEF = 1.0
"""And after a clean stop, when the disk alone can have done harm."""
KEPT = 2
"""Damaged databases that stay for somebody to look at."""
PENDING = "repair"
"""Where a new database remembers what it was `Repaired` from, until the bans in force are in it too."""
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PARTS = ("", "-wal", "-shm")

Row = tuple[str, float, str, str, str, bytes, int, float, str | None, float | None]


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of a damaged database. `cursors` and `messages`, those that wait, count what the new one has of it.

    `aside` is the damaged file's name now; empty: there was none, the database was gone.
    `copied` is when the cursors were copied, POSIX seconds; None: there was no copy.
    """

    why: str
    aside: str
    copied: float | None = None
    cursors: int = 0
    messages: int = 0

    def __str__(self) -> str:
        known = "none were copied: files and journal are read from where a first start begins"
        if self.copied is not None:
            when = datetime.fromtimestamp(self.copied, UTC).strftime("%Y-%m-%d %H:%M:%S")
            known = f"{self.cursors} as they stood at {when} UTC: what was read since then is reported again"
        became = f"damaged ({self.why}) and is set aside as {self.aside}" if self.aside else f"gone ({self.why})"
        return (
            f"the database was {became}; a new one was begun. Cursors: {known}. Messages kept for delivery:"
            f" {self.messages}. What this period's digest would have shown until then, and the counts so far, are"
            f" {'in the damaged file alone' if self.aside else 'lost'}"
        )


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that the file is malformed or no database, and not that it is busy, full or gone."""
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE or "decode to UTF-8" in str(error)


def check(db: sqlite3.Connection, limit: float = CHECK) -> None:
    """Look through the file for `limit` seconds. Raises sqlite3.DatabaseError with the first damage found."""
    timer = threading.Timer(limit, db.interrupt)
    timer.start()
    try:
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return
    finally:
        timer.cancel()
        timer.join()
    if found != "ok":
        damage = sqlite3.DatabaseError(" ".join(found.split()))
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damage


def missing(database: Path) -> str | None:
    """Why the database is missing, or None: it is there, or this is a first start, for nothing else is there either."""
    with contextlib.suppress(FileNotFoundError):
        if database.stat().st_size:
            return None
    traces = (database.with_name(copy.NAME), fresh(database), *_damaged(database))
    if not any(path.exists() for path in traces):
        return None
    return "the file is empty" if database.exists() else "there was no file"


def fresh(database: Path) -> Path:
    """Where the new database is built."""
    return database.with_name(f"{database.name}.new")


def whole(new: Path) -> Repaired | None:
    """What a new database says that was built to its end; None where there is no such. Raises sqlite3.DatabaseError."""
    if not new.exists():
        return None
    try:  # immutable: what is still in a log does not count, and no file is made on a disk that is full
        with contextlib.closing(sqlite3.connect(f"{new.absolute().as_uri()}?immutable=1", uri=True)) as db:
            row = db.execute("SELECT value FROM memory WHERE name=?", (PENDING,)).fetchone()
    except sqlite3.DatabaseError as error:
        if is_damage(error) or error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # no such table
            return None
        raise
    return Repaired(**json.loads(row[0])) if row else None


def aside(database: Path) -> str:
    """What a damaged database will be called: the same however often it is asked; empty where there is none."""
    if not database.exists():
        return ""
    stamp = datetime.fromtimestamp(database.stat().st_mtime, UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{database.name}.corrupt-{stamp}"


def set_aside(database: Path, name: str) -> None:
    """Rename what is left of the database, its log with it; the log of none would spoil the new one. Raises OSError."""
    for part in _PARTS:
        with contextlib.suppress(FileNotFoundError):
            if name:
                os.replace(f"{database}{part}", database.with_name(f"{name}{part}"))
            else:
                os.unlink(f"{database}{part}")
    for older in _damaged(database)[:-KEPT]:
        remove(older)


def remove(database: Path) -> None:
    """Delete a database, its log with it. Raises OSError."""
    for part in _PARTS:
        Path(f"{database}{part}").unlink(missing_ok=True)


def _damaged(database: Path) -> list[Path]:
    return sorted(path for path in database.parent.glob(f"{database.name}.corrupt-*") if path.name.endswith("Z"))


def fill(db: sqlite3.Connection, repaired: Repaired, cursors: Mapping[str, str], messages: Iterable[Row]) -> None:
    """Write what was recovered into the new database, and all of it into its one file. Raises sqlite3.Error."""
    db.execute("BEGIN")
    moved = repaired.copied or 0.0  # at the latest
    db.executemany("INSERT INTO cursor VALUES (?,?,?)", [(stored(each), at, moved) for each, at in cursors.items()])
    db.executemany(
        "INSERT OR IGNORE INTO outbox (message_id, created, sender, recipients, subject, content, attempts, next,"
        " error, given_up) VALUES (?,?,?,?,?,?,?,?,?,?)",
        messages,
    )
    Transaction(db).remember(PENDING, asdict(repaired))
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def salvage(damaged: Path) -> Iterator[Row]:
    """The messages of a damaged database that were not delivered, until the first that cannot be read.

    The last column is when it was given up; None: it waits.
    """
    query = (
        "SELECT message_id, created, sender, recipients, subject, content, attempts, next, error, {} FROM outbox"
        " WHERE delivered IS NULL ORDER BY id"
    )
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{damaged}?mode=ro", uri=True)) as db,
    ):
        (knows,) = db.execute("SELECT count(*) FROM pragma_table_info('outbox') WHERE name='given_up'").fetchone()
        for row in db.execute(query.format("given_up" if knows else "NULL")):  # it may be of an older schema
            if _is_message(row):
                yield row


def _is_message(row: Row) -> bool:
    """Whether the row is of the types that it was written with: damage may have put anything there."""
    kinds: tuple[Any, ...] = (str, float, str, str, str, bytes, int, float, str | None, float | None)
    if not all(map(isinstance, row, kinds)):
        return False
    try:
        recipients = json.loads(row[3])
    except ValueError:
        return False
    return isinstance(recipients, list) and all(isinstance(each, str) for each in recipients)
