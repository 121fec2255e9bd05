"""A database that cannot be trusted is set aside, and a new one starts from what can be recovered.

Owns: what counts as damage; the check at a start, which is due where the last run did not end in `close` and ends after
CHECK seconds, so that a big database does not hold up a start (what it did not reach shows itself when it is read); the
mark that a run which met damage leaves for the next start; the damaged file, of which the last KEPT are kept.
Recovered: cursors from their side copy (`copy`), mail that waits in the outbox from the damaged file as far as it can
be read. Bans in force come from the kernel's set: the daemon sees to that.
Never: mends a damaged file; asks the clock: the file's own time names it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

CHECK = 5.0
"""Most seconds that the check at a start may take."""
KEPT = 2
"""Damaged databases that stay for somebody to look at."""
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PARTS = ("", "-wal", "-shm")

Row = tuple[str, float, str, str, str, bytes, int, float, str | None]


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of a damaged database. `cursors` and `messages` count what the new one has of it.

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
        return (
            f"the database was damaged ({self.why}) and is set aside as {self.aside}; a new one was begun. Cursors:"
            f" {known}. Messages kept for delivery: {self.messages}. What this period's digest would have shown until"
            " then, and the counts so far, are in the damaged file alone"
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


def set_aside(database: Path) -> Path:
    """Rename the database, its log with it, to what it is called from now on. Raises OSError."""
    stamp = datetime.fromtimestamp(database.stat().st_mtime, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = database.with_name(f"{database.name}.corrupt-{stamp}")
    for part in _PARTS:
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{database}{part}", f"{aside}{part}")
    damaged = sorted(path for path in database.parent.glob(f"{database.name}.corrupt-*") if path.name.endswith("Z"))
    for older in damaged[:-KEPT]:
        for part in _PARTS:
            Path(f"{older}{part}").unlink(missing_ok=True)
    return aside


def salvage(aside: Path) -> Iterator[Row]:
    """The messages of a damaged database that were not delivered, until the first that cannot be read."""
    query = (
        "SELECT message_id, created, sender, recipients, subject, content, attempts, next, error FROM outbox"
        " WHERE delivered IS NULL ORDER BY id"
    )
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{aside}?mode=ro", uri=True)) as db,
    ):
        for row in db.execute(query):
            if _is_message(row):
                yield row


def _is_message(row: Row) -> bool:
    """Whether the row is of the types that it was written with: damage may have put anything there."""
    kinds: tuple[type | tuple[type, ...], ...] = (str, float, str, str, str, bytes, int, float, (str, type(None)))
    if not all(map(isinstance, row, kinds)):
        return False
    try:
        recipients = json.loads(row[3])
    except ValueError:
        return False
    return isinstance(recipients, list) and all(isinstance(each, str) for each in recipients)
