"""What a transaction may change: counts, entries, attacks, bans, notices, cursors, the outbox.

Never: asks the clock, or commits: State.transaction does.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable
from typing import Any

from ..model import AttackRule, Ban, Classified, Message, Notice, Verdict
from ..sighting import CAPACITY, Sighting

FOLDED = 0
"""The period in whose name the counts of forgotten ones are kept."""
GONE = "files that are gone"
"""The source in whose name the counts of forgotten ones are kept."""
SHOWN = 1_024
"""Characters of an attack line that are kept beyond its digest: the attacker decides how long it is."""
ATTACKS = 100_000
"""Attack lines that stay whatever room they take: as many as the tracker has windows."""
_TIMES = {
    "cursor": ("time",),
    "period": ("opened", "closed"),
    "hit": ("last",),
    "attack": ("time",),
    "ban": ("since", "until", "lifted"),
    "outbox": ("created", "next", "delivered", "given_up"),
}
"""The columns, by table, that hold POSIX seconds of ours, or that are compared with them."""
_TOLD = {("ban", "until"): "since"}
"""The column that says when a time was told, where that is not the time itself."""


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

    def end_period(self, now: float) -> None:
        """What comes next belongs to a new period, opened at `now`; the one before it stays open until it is told."""
        self._db.execute("INSERT INTO period (opened) VALUES (?)", (now,))

    def close_period(self, period: int, now: float) -> None:
        """Close a period that has ended, or the last one: then what comes next belongs to a new one."""
        self._db.execute("UPDATE period SET closed=? WHERE id=?", (now, period))
        if not self._db.execute("SELECT 1 FROM period WHERE id>? LIMIT 1", (period,)).fetchone():
            self.end_period(now)

    def count(self, period: int, source: str, read: int, classified: Classified, now: float) -> None:
        """Add a batch's lines to the tally, its rules' hits to theirs, and the `read` lines apart from both."""
        self._db.execute(
            "INSERT INTO reading VALUES (?,?,?) ON CONFLICT DO UPDATE SET lines=lines+excluded.lines",
            (period, stored(source), read),
        )
        self._db.executemany(
            "INSERT INTO tally VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET lines=lines+excluded.lines",
            [(period, stored(source), outcome, lines) for outcome, lines in classified.counts.items() if lines],
        )
        self._db.executemany(
            "INSERT INTO hit VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET lines=lines+excluded.lines, last=excluded.last",
            [(period, _text(rule), lines, now) for rule, lines in classified.hits.items()],
        )
        self._db.executemany(
            "INSERT INTO slow VALUES (?,?) ON CONFLICT DO UPDATE SET seconds=seconds+excluded.seconds",
            classified.slow.items(),
        )

    def add_entries(self, period: int, verdicts: Iterable[Verdict], now: float) -> None:
        """Keep lines for the digest."""
        self._db.executemany(
            "INSERT INTO entry (period, source, time, host, program, outcome, severity, rule, address, message, raw)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            (_entry(period, verdict, now) for verdict in verdicts),
        )

    def add_attacks(self, hits: Iterable[tuple[Verdict, bool]], now: float) -> None:
        """Remember hits, so that windows survive a restart (those that counted: True) and `why` can show all."""
        self._db.executemany(
            "INSERT INTO attack (time, file, rule, address, score, counted, raw, host) VALUES (?,?,?,?,?,?,?,?)",
            (
                _attack(verdict, verdict.attack_by, counted, now)
                for verdict, counted in hits
                if verdict.attack_by and verdict.address
            ),
        )

    def take_back(self, verdict: Verdict) -> None:
        """One hit of this line that counted does not any more."""
        query = (
            "UPDATE attack SET counted=0 WHERE id=(SELECT max(id) FROM attack"
            " WHERE address=? AND counted AND rule=? AND raw=?)"
        )
        raw = _text(verdict.event.raw[:SHOWN])
        self._db.execute(query, (verdict.address, _text(str(verdict.attack_by)), raw))

    def add_ban(self, period: int, ban: Ban) -> None:
        """A new ban, or a longer one; one that was lifted already ends as it says."""
        self.add_bans(period, [ban])

    def add_bans(self, period: int, bans: Iterable[Ban]) -> None:
        """Each of them, in this order."""
        self._db.executemany(
            "INSERT INTO ban (prefix, since, until, attack, why, hits, period, lifted) VALUES (?,?,?,?,?,?,?,?)",
            (
                (prefix, since, until, attack, _text(why), hits, period, until if lifted else None)
                for prefix, since, until, attack, why, hits, lifted in bans
            ),
        )

    def lift_ban(self, prefix: str, now: float) -> int:
        """End the bans in force on exactly this prefix, and say how many there were."""
        query = "UPDATE ban SET lifted=?1 WHERE prefix=?2 AND lifted IS NULL AND until>?1"
        return self._db.execute(query, (now, prefix)).rowcount

    def set_cursor(self, source: str, cursor: str, now: float) -> None:
        """Everything of `source` up to `cursor` is accounted for."""
        self._db.execute(
            "INSERT INTO cursor VALUES (?,?,?) ON CONFLICT DO UPDATE SET cursor=excluded.cursor, time=excluded.time",
            (stored(source), cursor, now),
        )

    def forget_sources(self, sources: Iterable[str]) -> None:
        """They are gone for good: keep no cursor of them. Their counts become GONE's as their periods are forgotten."""
        self._db.executemany("DELETE FROM cursor WHERE source=?", [(stored(source),) for source in sources])

    def add_sightings(self, sightings: Iterable[Sighting]) -> None:
        """Remember messages, or that another source has shown them; the oldest are forgotten."""
        rows = [(*each[:4], stored("\n".join(each.sources))) for each in sightings]
        if rows:
            self._db.executemany("INSERT OR REPLACE INTO sighting VALUES (?,?,?,?,?)", rows)
            self._db.execute("DELETE FROM sighting WHERE number<=?", (max(row[0] for row in rows) - CAPACITY,))

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

    def give_up(self, message: int, now: float) -> None:
        """No further attempt is made for this message."""
        self._db.execute("UPDATE outbox SET given_up=? WHERE id=?", (now, message))

    def remember(self, name: str, value: Any) -> None:
        """Keep plain JSON data under `name`, in place of what was there. What is the same is not written again."""
        self._db.execute(
            "INSERT INTO memory VALUES (?,?)"
            " ON CONFLICT DO UPDATE SET value=excluded.value WHERE value<>excluded.value",
            (name, json.dumps(value)),
        )

    def forget(self, before: float, rows: int = -1) -> int:
        """Delete what is older than `before`; bans in force and messages that may still be delivered stay.

        At most `rows` raw lines of each kind are deleted at once; returns how many it were. When there are no more, the
        counts of their periods are added up in one, FOLDED, so that totals stay what they are; in it those of sources
        without a cursor in one, GONE.
        """
        old = "(SELECT id FROM period WHERE closed<?1)"
        deleted = 0
        for table, condition in (("entry", f"period IN {old}"), ("attack", "time<?1")):
            query = f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE {condition} LIMIT ?2)"
            deleted += self._db.execute(query, (before, rows)).rowcount
        if 0 <= rows <= deleted:
            return deleted
        for query in (
            f"INSERT INTO tally SELECT {FOLDED}, source, outcome, sum(lines) FROM tally WHERE period IN {old}"
            " GROUP BY source, outcome ON CONFLICT DO UPDATE SET lines=lines+excluded.lines",
            f"INSERT INTO reading SELECT {FOLDED}, source, sum(lines) FROM reading WHERE period IN {old}"
            " GROUP BY source ON CONFLICT DO UPDATE SET lines=lines+excluded.lines",
            f"INSERT INTO hit SELECT {FOLDED}, rule, sum(lines), max(last) FROM hit WHERE period IN {old}"
            " GROUP BY rule ON CONFLICT DO UPDATE SET lines=lines+excluded.lines, last=max(last, excluded.last)",
            *(f"DELETE FROM {table} WHERE period IN {old}" for table in ("tally", "reading", "hit", "notice")),
            "DELETE FROM ban WHERE min(until, coalesce(lifted, until))<?1",
            "DELETE FROM outbox WHERE coalesce(delivered, given_up)<?1",
            "DELETE FROM period WHERE closed<?1",
        ):
            self._db.execute(query, (before,))
        gone = f"period={FOLDED} AND source<>?1 AND source NOT IN (SELECT source FROM cursor)"
        for query in (
            f"INSERT INTO tally SELECT {FOLDED}, ?1, outcome, sum(lines) FROM tally WHERE {gone}"
            " GROUP BY outcome ON CONFLICT DO UPDATE SET lines=lines+excluded.lines",
            f"INSERT INTO reading SELECT {FOLDED}, ?1, sum(lines) FROM reading WHERE {gone}"
            " GROUP BY period ON CONFLICT DO UPDATE SET lines=lines+excluded.lines",
            *(f"DELETE FROM {table} WHERE {gone}" for table in ("tally", "reading")),
        ):
            self._db.execute(query, (GONE,))
        return deleted

    def forget_oldest(self, rows: int) -> int:
        """Delete up to so many of the oldest raw lines of each kind, and return how many it were.

        Counts stay, and so do the open period's lines, which its digest will show, and the latest ATTACKS attack lines,
        which the windows may need.
        """
        return sum(
            self._db.execute(query, (rows,)).rowcount
            for query in (
                "DELETE FROM entry WHERE id IN (SELECT id FROM entry WHERE period IN"
                " (SELECT id FROM period WHERE closed IS NOT NULL) ORDER BY id LIMIT ?)",
                f"DELETE FROM attack WHERE id IN (SELECT id FROM attack WHERE id <="
                f" (SELECT max(id) FROM attack) - {ATTACKS} ORDER BY id LIMIT ?)",
                "DELETE FROM outbox WHERE id IN"
                " (SELECT id FROM outbox WHERE delivered IS NOT NULL ORDER BY id LIMIT ?)",
            )
        )

    def shift(self, by: float, start: float | None = None) -> None:
        """Move every time at which we did something by so many seconds: the clock that told it has jumped.

        `start`: only those that were told from then on.
        What the time of a log line was is not touched: only whether it counts against somebody depends on its age.
        """
        for table, columns in _TIMES.items():
            moved = ", ".join(
                f"{column}={column}+iif({_TOLD.get((table, column), column)}<?2, 0, ?1)" for column in columns
            )
            self._db.execute(f"UPDATE {table} SET {moved}", (by, start))


def stored(source: str) -> str | bytes:
    """A source's name as SQLite takes it: that of a file whose name is no UTF-8 as bytes."""
    return source if source.isascii() or _is_utf8(source) else os.fsencode(source)


def restored(source: str | bytes) -> str:
    """The name that was `stored`."""
    return source if isinstance(source, str) else os.fsdecode(source)


def _is_utf8(text: str) -> bool:
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def _entry(period: int, verdict: Verdict, now: float) -> tuple[object, ...]:
    source, event, outcome, _, attack, address, why, _ = verdict
    time, host, program, _, message, raw, _ = event
    return (
        period,
        stored(source),
        now if time is None else time,
        _text(host),
        _text(program),
        outcome,
        attack.severity if attack else None,
        _text(str(attack)) if attack else why,
        address,
        _text(message),
        _text(raw),
    )


def _attack(verdict: Verdict, rule: AttackRule, counted: bool, now: float) -> tuple[object, ...]:
    event = verdict.event
    return (
        event.time if event.time is not None else now,
        _text(rule.file),
        _text(str(rule)),
        verdict.address,
        rule.score,
        counted,
        _text(event.raw[:SHOWN]),
        _text(event.host or ""),
    )


def _text(text: str | None) -> str:
    """SQLite takes no lone surrogates; nothing else is changed."""
    text = text or ""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
