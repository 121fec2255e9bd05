"""Opening the database, its one lock, and its upkeep.

A batch's effects and its cursor commit in one transaction, so that after a
SIGKILL a line has either all of its effects or none, and is then read again.
Never: asks the clock, decides anything, or is used from a second thread; `checkpoints` has one, for the log alone.
Durability: WAL with synchronous=NORMAL. A process that dies loses nothing; a machine that loses power may lose the
last transactions, but cursor and effects together.
Fails: with StateError; a transaction that raises is rolled back. `damaged` is set where the file is malformed.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ..errors import StateError
from . import copy, repair
from .checkpoints import LONGEST, Checkpoints
from .questions import FILE, Questions
from .repair import Repaired
from .schema import MIGRATIONS
from .transaction import Transaction

LOCK = "lock"
IN_USE, DAMAGED = "in use", "damaged: "
"""What a run writes into the lock file: while it lives, and when it met damage. After `close` the file is empty."""
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "temp_store=MEMORY",
    "cache_size=-1024",
    "journal_size_limit=16777216",
    f"wal_autocheckpoint={LONGEST}",
)
BUSY = 200
"""Milliseconds to wait for a process that has locked the database: bans wait as long, and what is refused waits on."""
SHRINK = 1_024
"""Pages (4 KiB each) that are given back to the file system at once, in a tenth of a second."""


class State(Questions):
    """One open database. `path` is its directory, made with mode 0750 where it is missing.

    A damaged one is set aside and a new one begun (`repair`): `repaired` says so. Damage that shows itself later is in
    `damaged`: the process must end then, and the next start repairs it. A file that is gone, but not what else was
    there, is damage too.
    """

    def __init__(self, path: str) -> None:
        self.damaged: str | None = None
        self._directory = path
        self._file = os.path.join(path, FILE)
        try:
            Path(path).mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock = _lock(os.path.join(path, LOCK))
            try:
                self._db = self._open_or_repair()
                self._db.execute(f"PRAGMA busy_timeout={BUSY}")
            except BaseException:
                os.close(self._lock)
                raise
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"{path}: the database cannot be opened: {error}") from error
        self._copied = copy.load(path)
        self._checkpoints = Checkpoints(self._file)

    def _open_or_repair(self) -> sqlite3.Connection:
        """The mark of the last run stays for as long as the database is not repaired."""
        if why := repair.missing(Path(self._file)):
            return self._begin_anew(why)
        last = os.pread(self._lock, 500, 0).decode("utf-8", "replace")
        if not last.startswith(DAMAGED):
            self._mark(IN_USE)
        try:
            return self._open(last)
        except sqlite3.DatabaseError as error:
            if not repair.is_damage(error):
                raise
            self._mark(DAMAGED + str(error))
            return self._begin_anew(str(error))

    def _open(self, last: str) -> sqlite3.Connection:
        """Connect, and bring the schema up to date. `last` is the mark that the last run left."""
        if last.startswith(DAMAGED):
            damage = sqlite3.DatabaseError(last.removeprefix(DAMAGED))
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage
        db = _connect(self._file)
        try:
            repair.check(db, repair.CHECK if last else repair.BRIEF)
            self._migrate(db)
        except BaseException:
            db.close()
            raise
        return db

    def _begin_anew(self, why: str) -> sqlite3.Connection:
        """Make a new database of what can be recovered, and put it in the place of the damaged one.

        Killed at any point, the next start sees the damage again, or that the file is missing; it is missing only
        while the new one is whole, which then takes its place.
        """
        file = Path(self._file)
        fresh = repair.fresh(file)
        repaired = None if file.exists() else repair.whole(fresh)
        if repaired is None:
            repaired = self._build(fresh, why)
        repair.set_aside(file, repaired.aside)
        self._mark(IN_USE)
        os.replace(fresh, file)
        return self._open("")

    def _build(self, fresh: Path, why: str) -> Repaired:
        repair.remove(fresh)
        damaged, cursors = Path(self._file), copy.load(self._directory)
        messages = list(repair.salvage(damaged)) if damaged.exists() else []
        copied = None if cursors is None else copy.written(self._directory)
        waiting = sum(row[-1] is None for row in messages)
        repaired = Repaired(why, repair.aside(damaged), copied, len(cursors or {}), waiting)
        with closing(_connect(str(fresh))) as db:
            self._migrate(db)
            repair.fill(db, repaired, cursors or {}, messages)
        return repaired

    @property
    def repaired(self) -> Repaired | None:
        """What this database was repaired from, until the bans in force are in it again. Raises StateError."""
        told = self.recall(repair.PENDING)
        return Repaired(**told) if told else None

    def _migrate(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise StateError(
                f"{self._directory}: the database (schema {version}) is newer than this logwarden ({len(MIGRATIONS)})"
            )
        for number in range(version, len(MIGRATIONS)):
            db.executescript(f"BEGIN; {MIGRATIONS[number]} PRAGMA user_version={number + 1}; COMMIT;")
        if not db.execute("PRAGMA auto_vacuum").fetchone()[0]:  # made before files were ever made shorter
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")
            with suppress(sqlite3.OperationalError):  # a full disk: the next start tries again
                db.execute("VACUUM")

    def close(self) -> None:
        """Fold the write-ahead log into the database and let go of it."""
        self._checkpoints.stop()
        self._db.close()
        if not self.damaged:
            self._mark("")
        os.close(self._lock)

    def _mark(self, text: str) -> None:
        """Leave word for the next start, for as long as nothing else is written there."""
        with suppress(OSError):  # a full disk: then the next start checks once too often, or not at all
            size = os.pwrite(self._lock, text.encode()[:500], 0)  # first: killed here, there is still a mark
            os.ftruncate(self._lock, size)

    def suspect(self, error: StateError) -> None:
        """Somebody who read beside us met this: where the file is damaged, that is remembered as if we had."""
        if isinstance(error.__cause__, Exception):
            self._trouble(error.__cause__, "")

    def _trouble(self, error: Exception, what: str) -> StateError:
        """The error to raise; where the file is damaged, that is remembered, here and for the next start."""
        if (repair.is_damage(error) or isinstance(error, ValueError)) and not self.damaged:
            self.damaged = str(error)
            self._mark(DAMAGED + self.damaged)
        return StateError(f"{what}: {error}")

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All or nothing. Raises StateError where the database refuses, e.g. on a full disk."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise self._trouble(error, "the database takes no transaction") from error
        try:
            yield Transaction(self._db)
            self._db.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):  # SQLite rolls some back by itself
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._trouble(error, "the database did not commit") from error
            raise
        self._checkpoints.committed(self._db.total_changes)

    # --- upkeep ---------------------------------------------------------------------------------------------

    def copy_cursors(self) -> None:
        """Bring the side copy of the cursors up to date. Raises StateError."""
        cursors = self.cursors()
        if cursors == self._copied:
            return
        try:
            copy.save(self._directory, cursors)
        except OSError as error:
            raise StateError(f"the cursors cannot be copied: {error}") from error
        self._copied = cursors

    def size(self) -> tuple[int, int]:
        """Bytes in use, and bytes that the files take."""
        (pages,), (free,), (page,) = (
            self._rows(f"PRAGMA {name}")[0] for name in ("page_count", "freelist_count", "page_size")
        )
        taken = sum(os.path.getsize(path) for path in (self._file, f"{self._file}-wal") if os.path.exists(path))
        return (pages - free) * page, taken

    def spare(self) -> int:
        """Bytes of the file in which nothing is."""
        (free,), (page,) = (self._rows(f"PRAGMA {name}")[0] for name in ("freelist_count", "page_size"))
        return int(free * page)

    def shrink(self, pages: int = SHRINK) -> None:
        """Give up to so many unused pages back to the file system. Raises StateError."""
        try:
            self._db.executescript(f"PRAGMA incremental_vacuum({pages}); PRAGMA wal_checkpoint(TRUNCATE);")
        except sqlite3.Error as error:  # `execute` would stop at the first page, for each is a row without columns
            raise self._trouble(error, "the database cannot be made shorter") from error


def _connect(file: str) -> sqlite3.Connection:
    """On a full disk there is no room for the index of the log; it is then held in memory, for us alone."""
    try:
        return _connection(file, "locking_mode=NORMAL")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN):
            raise
        return _connection(file, "locking_mode=EXCLUSIVE")


def _connection(file: str, locking: str) -> sqlite3.Connection:
    db = sqlite3.connect(file, isolation_level=None, timeout=5.0)
    try:
        db.execute(f"PRAGMA {locking}")
        if not db.execute("PRAGMA page_count").fetchone()[0]:
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")  # before anything is written: it cannot be had later
        for pragma in PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
    except BaseException:
        db.close()
        raise
    db.row_factory = sqlite3.Row
    return db


def _lock(path: str) -> int:
    """Hold `path` for ourselves until the descriptor is closed or the process ends. Raises StateError, OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StateError(f"{path}: another logwarden uses this state directory") from error
    return descriptor
