"""What was written, against what the daemon's state and its mails say of it."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from logwarden.echo import ECHO

from .lines import BUCKETS, RULES, TOKEN, Kind, Ledger

JOURNALD_RULE = len(RULES.splitlines())
"""Line of the rule for what journald says of itself, which nobody wrote."""


class Written(Protocol):
    ledger: Ledger

    @property
    def source(self) -> str: ...


@dataclass
class Row:
    """One log: `counted` are its lines by outcome, `wrong` the lines that are not in one place, once."""

    log: str
    written: int
    counted: Counter[str]
    missing: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        return self.written == self.counted.total() and not (self.missing or self.repeated or self.misplaced)


class Account:
    """A state directory, read as it is."""

    def __init__(self, state: Path) -> None:
        self._uri = f"file:{state}/state.db?mode=ro"

    def ask(self, query: str) -> list[tuple[str, ...]]:
        try:
            with sqlite3.connect(self._uri, uri=True, timeout=10) as db:
                return db.execute(query).fetchall()
        except sqlite3.OperationalError:  # there is none yet
            return []

    def read(self) -> int:
        """Lines that were accounted for so far."""
        return sum(int(lines) for (lines,) in self.ask("SELECT lines FROM tally"))

    def lines(self, source: str) -> int:
        """Lines of one source that were accounted for so far."""
        return sum(int(lines) for (lines,) in self.ask(f"SELECT lines FROM tally WHERE source='{source}'"))

    def own(self) -> int:
        """Lines that nobody wrote: journald's own."""
        return sum(count for rule, count in self._hits() if rule == JOURNALD_RULE)

    def journal(self) -> int:
        """Lines of the journal that were accounted for so far, at least."""
        lines = sum(int(lines) for (lines,) in self.ask("SELECT lines FROM tally WHERE source LIKE 'journal:%'"))
        return lines - self.own()

    def gaps(self) -> list[str]:
        """What the daemon says it missed."""
        return [f"{about}: {text}" for about, text in self.ask("SELECT about, text FROM notice WHERE kind='gap'")]

    def _hits(self) -> Iterator[tuple[int, int]]:
        """Line of an ignore rule, and how many lines it hid."""
        for name, lines in self.ask("SELECT rule, sum(lines) FROM hit GROUP BY rule"):
            if found := re.search(r"\.rules:(\d+)$", name):
                yield int(found[1]), int(lines)

    def buckets(self, logs: Iterable[Written]) -> list[str]:
        """The rules that hid another number of lines than were written for them."""
        ledgers = [log.ledger for log in logs] + [
            log.ledger for log in _twins(logs)
        ]  # each source counts what it ignores
        written = sum((ledger.buckets for ledger in ledgers), Counter())
        hidden = Counter(dict(self._hits()))
        return [
            f"bucket {bucket}: {written[bucket]} lines written, {hidden[bucket + 1]} ignored"
            for bucket in range(BUCKETS)
            if written[bucket] != hidden[bucket + 1]
        ]

    def echoes(self, logs: Iterable[Written]) -> list[str]:
        """What is wrong with the number of lines that were known to have come another way before."""
        expected = sum(len(log.ledger.tokens) for log in _twins(logs))
        found = sum(int(lines) for (lines,) in self.ask(f"SELECT lines FROM hit WHERE rule='{ECHO}'"))
        return [] if found == expected else [f"{expected} echoes expected, {found} found"]

    def rows(self, logs: Sequence[Written]) -> list[Row]:
        """Every log's account."""
        counted: dict[str, Counter[str]] = {}
        for source, outcome, lines in self.ask("SELECT source, outcome, sum(lines) FROM tally GROUP BY 1, 2"):
            counted.setdefault(source, Counter())[outcome] += int(lines)
        entries = self._seen("SELECT outcome, raw FROM entry")
        attacks = self._seen("SELECT 'attack', raw FROM attack")
        rows = []
        for log in logs:
            row = Row(log.ledger.log, log.ledger.written, counted.get(log.source, Counter()))
            if log.source.startswith("journal"):
                row.written += sum(twin.ledger.written for twin in _twins(logs))
                row.counted["ignored"] -= self.own()
            for token, kind in log.ledger.tokens.items():
                _check(row, token, kind, entries.get(token, []), attacks.get(token, []))
            rows.append(row)
        return rows

    def _seen(self, query: str) -> dict[str, list[str]]:
        seen: dict[str, list[str]] = {}
        for outcome, raw in self.ask(query):
            for token in TOKEN.findall(raw)[:1]:
                seen.setdefault(token, []).append(outcome)
        return seen


def _twins(logs: Iterable[Written]) -> list[Written]:
    """The logs whose lines the journal holds too."""
    return [log for log in logs if log.ledger.log == "twin"]


def _check(row: Row, token: str, kind: Kind, entries: list[str], attacks: list[str]) -> None:
    """A line is kept for the mail once, and not where a rule hides it; an attack is kept for the tracker once."""
    wanted = [] if kind is Kind.HIDDEN else [str(kind)]
    convicted = ["attack"] if kind in (Kind.ATTACK, Kind.HIDDEN) else []
    for found, right in ((entries, wanted), (attacks, convicted)):
        if len(found) < len(right):
            row.missing.append(token)
        elif len(found) > len(right) > 0:
            row.repeated.append(token)
        elif found != right:
            row.misplaced.append(token)
