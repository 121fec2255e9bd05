"""What was reported and banned, and the mails that were sent: read from the database by somebody else than the daemon.

Owns: a connection of its own that can change nothing, so that a long search delays no ban and needs no daemon.
Never: holds all rows in memory, but their numbers; or keeps the daemon from making its log shorter while somebody reads
what was found, in a pager for hours. Fails: with StateError, also where there is no database yet or it may not be read.
"""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..errors import StateError
from ..model import Ban, Entry, Message
from .questions import _ban, _entry, _message, beside

FEW = 500
"""Rows that are read at a time."""


class Posted(NamedTuple):
    """A kept digest: its number, when it was made, and what became of it."""

    number: int
    created: float
    subject: str
    recipients: tuple[str, ...]
    delivered: float | None
    given_up: float | None


class Search:
    """The database in the directory `path`, to be read alone."""

    def __init__(self, path: str) -> None:
        self._db = beside(path)

    def close(self) -> None:
        """Let go of it."""
        self._db.close()

    def _rows(self, query: str, *values: object) -> Iterator[sqlite3.Row]:
        try:
            for row in self._db.execute(query, values):  # noqa: UP028 - who reads no further has closed us by then
                yield row
        except (sqlite3.Error, ValueError) as error:
            raise StateError(f"the database does not answer: {error}") from error

    def _each(self, query: str, *values: object) -> Iterator[sqlite3.Row]:
        """The rows of a table that `query` finds, which begins with its name: FEW at a time, and in between nothing is
        being read."""
        table = query.split(maxsplit=1)[0]
        numbers = array("q", (row["id"] for row in self._rows(f"SELECT id FROM {query}", *values)))
        for start in range(0, len(numbers), FEW):
            wanted = numbers[start : start + FEW]
            found = {
                row["id"]: row
                for row in self._rows(f"SELECT * FROM {table} WHERE id IN ({','.join(map(str, wanted))})")
            }
            yield from (found[number] for number in wanted if number in found)  # or it was forgotten meanwhile

    def recall(self, name: str) -> Any:
        """What the daemon remembers under `name` (plain JSON data), or None."""
        rows = self._rows("SELECT value FROM memory WHERE name=?", name)
        return next((json.loads(row["value"]) for row in rows), None)

    def periods(self) -> list[int]:
        """The periods whose lines are kept, the latest first: the open one, then those that a digest closed."""
        return [row["id"] for row in self._rows("SELECT id FROM period ORDER BY id DESC")]

    def of_period(self, period: int) -> Iterator[Entry]:
        """The lines of a period, oldest first."""
        yield from map(_entry, self._rows("SELECT * FROM entry WHERE period=? ORDER BY id", period))

    def entries(self, since: float) -> Iterator[Entry]:
        """The lines since a time that digests have shown or will show, oldest first."""
        yield from map(_entry, self._each("entry WHERE time>=? ORDER BY time, id", since))

    def bans(self, since: float) -> Iterator[Ban]:
        """The bans that were made since a time, oldest first."""
        yield from map(_ban, self._each("ban WHERE since>=? ORDER BY since, id", since))

    def digests(self) -> Iterator[Posted]:
        """The mails that are kept, oldest first."""
        columns = "id, message_id, sender, created, subject, recipients, delivered, given_up, attempts, '' AS content"
        for row in self._rows(f"SELECT {columns} FROM outbox ORDER BY id"):
            to = _message(row).recipients
            yield Posted(row["id"], row["created"], row["subject"], to, row["delivered"], row["given_up"])

    def digest(self, number: int) -> Message | None:
        """One of them, whole."""
        return next(map(_message, self._rows("SELECT * FROM outbox WHERE id=?", number)), None)
