"""The write-ahead log moved into the database, out of the way of bans.

SQLite does it within the commit that makes the log 1,000 pages long, and syncs two files for it: 20 to 90 ms, in which
no ban is put in force. Here a thread with a connection of its own does it, which no commit waits for.

Owns: when. Never: changes what the database holds.
Fails: never. What the thread cannot do SQLite does, within a commit, once the log has LONGEST pages; where the database
is ours alone, on a full disk, that is always so.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

LONGEST = 4_096
"""Pages (4 KiB each) of the log after which a commit waits for it after all."""
_COMMITS, _CHANGES = 100, 4_000
"""Commits, or rows changed by them, after which the log has some 1,000 pages."""


class Checkpoints:
    """Of one database file, for as long as it is open."""

    def __init__(self, file: str) -> None:
        self._uri = f"{Path(file).absolute().as_uri()}?mode=rw"  # one that somebody deleted is not made anew
        self._thread: threading.Thread | None = None
        self._commits = self._changes = 0

    def committed(self, changes: int) -> None:
        """Note a commit. `changes`: rows that were changed since the database was opened."""
        self._commits += 1
        if self._commits < _COMMITS and changes - self._changes < _CHANGES:
            return
        if self._thread is None or not self._thread.is_alive():
            self._commits, self._changes = 0, changes
            thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
            with suppress(RuntimeError):  # the machine has no thread left
                thread.start()
                self._thread = thread

    def stop(self) -> None:
        """Let the one that is under way come to its end."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._uri, uri=True, timeout=0.0)) as db:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
