"""Every question that is asked of the database.

Never: changes anything. Fails: with StateError.
"""

from __future__ import annotations

import functools
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import starmap
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from ..address import Prefix, parse, prefix
from ..errors import StateError
from ..model import Ban, Entry, Message, Notice, NoticeKind, Outcome, Severity
from ..sighting import KEY, Sighting
from .transaction import restored

FILE = "state.db"
WAITING = "delivered IS NULL AND given_up IS NULL"
"""The messages for which an attempt is due, now or later."""


class Owed(NamedTuple):
    """A period that is over, and whose digest is still to be made."""

    period: int
    since: float
    until: float


class Questions:
    """What can be asked of an open database."""

    _db: sqlite3.Connection

    def _trouble(self, error: Exception, what: str) -> StateError:
        """The error to raise."""
        return StateError(f"{what}: {error}")

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._trouble(error, "the database does not answer") from error

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Raises StateError for rows that cannot be read: one that holds what was never written there is damage too."""
        try:
            yield
        except (sqlite3.Error, ValueError) as error:
            raise self._trouble(error, "the database does not answer") from error

    def cursors(self) -> dict[str, str]:
        """Where each source stands, by source."""
        return {restored(row["source"]): row["cursor"] for row in self._rows("SELECT source, cursor FROM cursor")}

    def idle(self, since: float) -> list[str]:
        """The sources whose cursors have not moved since then."""
        return [restored(row["source"]) for row in self._rows("SELECT source FROM cursor WHERE time<?", since)]

    def period(self) -> tuple[int, float] | None:
        """The open period: its id and when it was opened. None before the first batch."""
        rows = self._rows("SELECT id, opened FROM period WHERE closed IS NULL ORDER BY id DESC LIMIT 1")
        return (rows[0]["id"], rows[0]["opened"]) if rows else None

    def owed(self) -> Owed | None:
        """The oldest period that is over, for another one has begun, and that no digest has closed."""
        rows = self._rows(
            "SELECT period.id, period.opened, min(next.opened) AS ended FROM period JOIN period AS next"
            " ON next.id>period.id WHERE period.closed IS NULL GROUP BY period.id ORDER BY period.id LIMIT 1"
        )
        return Owed(rows[0]["id"], rows[0]["opened"], rows[0]["ended"]) if rows else None

    def periods_since(self, time: float) -> list[int]:
        """The open period, and those that ended after `time`, oldest first."""
        return [
            row["id"] for row in self._rows("SELECT id FROM period WHERE closed IS NULL OR closed>? ORDER BY id", time)
        ]

    def ended(self, first: int) -> list[int]:
        """The periods from number `first` on that are over, for another one has begun; oldest first."""
        query = "SELECT id FROM period WHERE id>=? AND id<(SELECT max(id) FROM period) ORDER BY id"
        return [row["id"] for row in self._rows(query, first)]

    def tallies(self, period: int | None = None) -> dict[str, dict[Outcome, int]]:
        """Lines by source and outcome: of one period, or of all time."""
        query = (
            "SELECT source, outcome, sum(lines) AS n FROM tally WHERE ?1 IS NULL OR period=?1 GROUP BY source, outcome"
        )
        counts: dict[str, dict[Outcome, int]] = {}
        with self._answering():
            for row in self._rows(query, period):
                counts.setdefault(restored(row["source"]), dict.fromkeys(Outcome, 0))[Outcome(row["outcome"])] = row[
                    "n"
                ]
        return counts

    def read(self, period: int | None = None) -> dict[str, int]:
        """Lines that were read, by source: counted apart from what became of them."""
        query = "SELECT source, sum(lines) AS n FROM reading WHERE ?1 IS NULL OR period=?1 GROUP BY source"
        return {restored(row["source"]): row["n"] for row in self._rows(query, period)}

    def rhythm(self, since: float) -> list[tuple[float, int]]:
        """When each period since then was opened, and how many lines were read in it."""
        query = "SELECT opened, sum(lines) AS n FROM period JOIN reading ON period=id WHERE opened>=? GROUP BY id"
        return [(row["opened"], row["n"]) for row in self._rows(query, since)]

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

    def attack_files(self) -> set[str]:
        """The attack files of which a rule has matched since the database was made."""
        query = "SELECT DISTINCT substr(rule, 1, instr(rule, '#') - 1) AS file FROM hit WHERE instr(rule, '#') > 1"
        return {row["file"] for row in self._rows(query)}

    def entries(self, period: int) -> Iterator[Entry]:
        """The lines that the period's digest is made of, oldest first, never all of them in memory."""
        with self._answering():
            yield from map(_entry, self._db.execute("SELECT * FROM entry WHERE period=? ORDER BY id", (period,)))

    def notices(self, period: int) -> list[Notice]:
        """What happened to the watch itself in a period, oldest first."""
        rows = self._rows("SELECT * FROM notice WHERE period=? ORDER BY id", period)
        with self._answering():
            return [Notice(NoticeKind(row["kind"]), row["about"], row["text"], row["time"]) for row in rows]

    def bans(self, now: float) -> list[Ban]:
        """The bans in force at `now`, oldest first; of several on one prefix, the longest."""
        fields = ", ".join(field for field in Ban._fields if field != "lifted")
        rows = self._rows(f"SELECT {fields} FROM ban WHERE lifted IS NULL AND until>? ORDER BY until", now)
        longest = {ban.prefix: ban for ban in starmap(Ban, rows)}  # in half of SQL's time: a start may have 100,000
        return sorted(longest.values(), key=attrgetter("since"))

    def count_bans(self, now: float) -> int:
        """How many `bans` there are."""
        each = "SELECT 1 FROM ban WHERE lifted IS NULL AND until>? GROUP BY prefix"  # a sixth of DISTINCT's time
        query = f"SELECT count(*) AS n FROM ({each})"
        return int(self._rows(query, now)[0]["n"])

    def bans_on(self, network: Prefix, now: float) -> list[Ban]:
        """Those of `bans` that are on this prefix, around it or inside it; found by an index."""
        around = [str(network.supernet(new_prefix=length)) for length in range(network.prefixlen + 1)]
        places = ",".join("?" * len(around))
        query = "SELECT *, max(until) FROM ban WHERE lifted IS NULL AND until>? AND prefix {} GROUP BY prefix"
        rows = self._rows(query.format(f"IN ({places})"), now, *around)
        if network.prefixlen < network.max_prefixlen:
            rows += self._rows(query.format("GLOB ?"), now, f"{_beginning(network)}*")
        found = {row["prefix"]: _ban(row) for row in rows}
        return sorted((ban for ban in found.values() if prefix(ban.prefix).overlaps(network)), key=attrgetter("since"))

    def prefixes_banned(self, now: float) -> list[tuple[str, str]]:
        """The prefix and the attack file of each of `bans`, in a third of the time."""
        rows = self._rows(
            "SELECT prefix, attack, max(until) FROM ban WHERE lifted IS NULL AND until>? GROUP BY prefix", now
        )
        return [(row[0], row[1]) for row in rows]

    def bans_since(self, time: float) -> Iterator[Ban]:
        """Every ban that was in force at `time` or later, in the order in which they were made; lifted ones end there.
        Never all of them in memory, which to sort them would take."""
        query = "SELECT *, min(until, coalesce(lifted, until)) AS ended FROM ban WHERE ended>? ORDER BY id"
        with self._answering():
            for row in self._db.execute(query, (time,)):
                yield _ban(row)._replace(until=row["ended"], lifted=row["lifted"] is not None)

    def bans_made(self, period: int) -> list[Ban]:
        """The bans that were made in a period, lifted since or not."""
        return [_ban(row) for row in self._rows("SELECT * FROM ban WHERE period=? ORDER BY id", period)]

    def latest(self, period: int | None = None) -> tuple[int, int]:
        """The numbers of the latest ban and of the latest line kept for the digest; 0 where there is none.

        With a `period`: of those that belong to it.
        """
        of = "" if period is None else " WHERE period=?1"
        query = f"SELECT (SELECT max(id) FROM ban{of}) AS ban, (SELECT max(id) FROM entry{of}) AS entry"
        row = self._rows(query, *([] if period is None else [period]))[0]
        return row["ban"] or 0, row["entry"] or 0

    def banning(self, after: int) -> list[str]:
        """The attack files of the bans later than number `after`, each once."""
        return [row["attack"] for row in self._rows("SELECT DISTINCT attack FROM ban WHERE id>?", after)]

    def has_banned(self, attack: str, upto: int) -> bool:
        """Whether there is a ban by this attack file up to number `upto`. Reads all bans where there is none."""
        return bool(self._rows("SELECT 1 FROM ban WHERE attack=? AND id<=? LIMIT 1", attack, upto))

    def entries_after(self, after: int, host: str, program: str, severities: Sequence[str]) -> Iterator[Entry]:
        """The lines kept for the digest later than number `after`, of hosts and programs that the globs name, and of
        one of these severities, or outcomes where they have none (no severities: all); oldest first."""
        condition, values = _routed(after, host, program, severities)
        with self._answering():
            yield from map(_entry, self._db.execute(f"SELECT * FROM entry WHERE {condition} ORDER BY id", values))

    def attack_sources(
        self, after: int, host: str, program: str, severities: Sequence[str]
    ) -> Iterator[tuple[str, str]]:
        """Rule and address of attacks among those lines, each pair once."""
        condition, values = _routed(after, host, program, severities)
        query = f"SELECT DISTINCT rule, address FROM entry WHERE {condition} AND severity='attack' AND address<>''"
        with self._answering():
            yield from ((row["rule"], row["address"]) for row in self._db.execute(query, values))

    def bans_after(self, after: int, attacks: Sequence[str] | None = None, limit: int = -1) -> list[Ban]:
        """The bans made later than number `after`, by these attack files or by whichever, oldest first."""
        wanted = "" if attacks is None else f"AND attack IN ({','.join('?' * len(attacks))})"
        query = f"SELECT * FROM ban WHERE id>? {wanted} ORDER BY id LIMIT ?"
        rows = self._rows(query, after, *(attacks or ()), limit)
        with self._answering():
            return list(map(_ban, rows))

    def entries_by(self, rules: Sequence[str], severities: Sequence[str], after: int, limit: int) -> list[Entry]:
        """The first `limit` attack lines later than number `after`, of one of these severities or by rules that one of
        the globs `rules` names."""
        if not rules and not severities:
            return []
        wanted = " OR ".join(["severity=?"] * len(severities) + ["rule GLOB ?"] * len(rules))
        query = f"SELECT * FROM entry WHERE id>? AND severity IS NOT NULL AND ({wanted}) ORDER BY id LIMIT ?"
        rows = self._rows(query, after, *severities, *rules, limit)
        with self._answering():
            return list(map(_entry, rows))

    def times_by_prefix(self, upto: int | None = None) -> dict[str, int]:
        """How many bans each prefix had up to a period, or ever, as far as the database remembers."""
        query = "SELECT prefix, count(*) AS n FROM ban WHERE ?1 IS NULL OR period<=?1 GROUP BY prefix"
        return {row["prefix"]: row["n"] for row in self._rows(query, upto)}

    def bans_of(self, network: Prefix) -> list[dict[str, Any]]:
        """Every ban that has to do with this prefix, oldest first, with the time at which it was `lifted`, or None."""
        rows = self._rows(
            "SELECT prefix, since, until, attack, why, hits, lifted FROM ban WHERE prefix LIKE ? ORDER BY since, id",
            "%:%" if network.version == 6 else "%.%",
        )
        return [dict(row) for row in rows if prefix(row["prefix"]).overlaps(network)]

    def bans_ended(self, since: float, now: float) -> list[Ban]:
        """Bans that ended by themselves after `since` and until `now`, on prefixes that are not banned any more."""
        query = (
            "SELECT *, max(until) FROM ban WHERE lifted IS NULL AND until>?1 AND until<=?2 AND prefix NOT IN"
            " (SELECT prefix FROM ban WHERE lifted IS NULL AND until>?2) GROUP BY prefix"
        )
        return [_ban(row) for row in self._rows(query, since, now)]

    def attacks_from(self, network: Prefix, limit: int) -> list[sqlite3.Row]:
        """The latest hits from this prefix (the columns of `attack`), oldest first, those that did not count too."""
        query = "SELECT * FROM attack WHERE address {} ORDER BY time DESC, id DESC LIMIT ?"
        if network.prefixlen == network.max_prefixlen:
            return self._rows(query.format("=?"), str(network.network_address), limit)[::-1]
        rows = self._rows(query.format("GLOB ?"), f"{_beginning(network)}*", -1)
        return [row for row in rows if _inside(row["address"], network)][:limit][::-1]

    def attacks(self, since: float) -> Iterator[sqlite3.Row]:
        """Hits that counted (the columns of `attack`) and are not older than `since`, oldest first, never all of them
        in memory."""
        query = "SELECT * FROM attack WHERE counted AND time>=? ORDER BY time, id"
        with self._answering():
            yield from self._db.execute(query, (since,))

    def due(self, now: float) -> Message | None:
        """The message in the outbox whose next attempt has been due longest; None where there is none."""
        rows = self._rows(f"SELECT id FROM outbox WHERE {WAITING} AND next<=? ORDER BY next, id LIMIT 1", now)
        return self.message(rows[0]["id"]) if rows else None

    def message(self, id_: int) -> Message | None:
        """This message as the outbox has it now; None where it is gone."""
        rows = self._rows("SELECT * FROM outbox WHERE id=?", id_)
        with self._answering():
            return _message(rows[0]) if rows else None

    def next_delivery(self) -> float | None:
        """When the next attempt for a message in the outbox is due; None where the outbox is empty."""
        return self._rows(f"SELECT min(next) AS n FROM outbox WHERE {WAITING}")[0]["n"]  # type: ignore[no-any-return]

    def undelivered(self) -> list[dict[str, Any]]:
        """Subject, age and last error of every message that the mail server has not; `given_up`: when, or None."""
        query = (
            "SELECT message_id, subject, created, attempts, next, error, given_up FROM outbox"
            " WHERE delivered IS NULL ORDER BY id"
        )
        return [dict(row) for row in self._rows(query)]

    def sightings(self) -> Iterator[Sighting]:
        """The latest messages, oldest first, and the sources that have shown them."""
        with self._answering():
            yield from map(_sighting, self._db.execute("SELECT * FROM sighting ORDER BY number"))

    def recall(self, name: str) -> Any:
        """What was remembered under `name` (plain JSON data), or None."""
        rows = self._rows("SELECT value FROM memory WHERE name=?", name)
        with self._answering():
            return json.loads(rows[0]["value"]) if rows else None


class Beside(Questions):
    """The database as it is at this moment, for a thread of its own: what is committed meanwhile is not seen.

    `path` is its directory. Nothing can be changed here, and nobody waits for who reads here.
    """

    def __init__(self, path: str) -> None:
        self._db = beside(path)
        try:
            self._db.execute("BEGIN")
            self._rows("SELECT 1 FROM period LIMIT 1")  # the moment is that of the first question
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Let go of it."""
        self._db.close()


def beside(path: str) -> sqlite3.Connection:
    """A second connection to the database in the directory `path`, which can change nothing. Raises StateError."""
    file = os.path.join(path, FILE)
    if not os.path.exists(file):
        raise StateError(f"{file}: there is no database yet")
    try:
        db = sqlite3.connect(f"{Path(file).as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5.0)
        db.execute("PRAGMA query_only=1")
    except sqlite3.Error as error:
        raise StateError(f"{file}: the database cannot be read: {error}") from error
    db.row_factory = sqlite3.Row
    return db


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(
        source=restored(row["source"]),
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


def _routed(after: int, host: str, program: str, severities: Sequence[str]) -> tuple[str, list[object]]:
    """A condition on `entry`, and its values. A glob may name a host without its domain."""
    condition, values = "id>? AND (host GLOB ? OR host GLOB ?) AND program GLOB ?", [after, host, f"{host}.*", program]
    if severities:
        marks = ",".join("?" * len(severities))
        condition, values = f"{condition} AND coalesce(severity, outcome) IN ({marks})", [*values, *severities]
    return condition, values


def _sighting(row: sqlite3.Row) -> Sighting:
    number, key, pid, time, sources = row
    if not isinstance(key, bytes) or len(key) != KEY:
        raise ValueError(f"the key of sighting {number} is not of {KEY} bytes")
    return Sighting(number, key, None if pid is None else int(pid), float(time), _sources(sources))


@functools.lru_cache(maxsize=256)
def _sources(text: str | bytes) -> tuple[str, ...]:
    return tuple(restored(text).split("\n"))


def _beginning(network: Prefix) -> str:
    """What the texts of all addresses in a prefix begin with: its first whole parts, as far as they are written.

    An index over the text serves a search for that.
    """
    parts = str(network.network_address).split(":" if network.version == 6 else ".")
    mark, whole = (":", min(2, network.prefixlen // 16)) if network.version == 6 else (".", network.prefixlen // 8)
    return "" if "" in parts[:whole] else "".join(f"{part}{mark}" for part in parts[:whole])


def _inside(text: str, network: Prefix) -> bool:
    address = parse(text)
    return address.version == network.version and address in network


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
        created=row["created"],
    )
