"""The account of one batch: read = ignored + attack + unexplained + quarantined.

Owns: the verdicts and each rule's hits, as they grow block by block, and the sum: what has no verdict was ignored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from .. import header
from ..header import Parts
from ..model import MAX_LINE, Batch, Classified, Event, Notice, NoticeKind, Outcome, Verdict
from .engine import Engine
from .judgement import Decision, Source
from .patterns import TIMEOUT, Pattern


class Account:
    """What is known of a batch so far. `every`: verdicts are wanted of ignored lines too. `numbered`: it matters which
    line of its block a line is."""

    def __init__(self, batch: Batch, now: float, every: bool) -> None:
        self.every = every
        self.numbered = bool(batch.provenance)
        self._batch = batch
        self._now = now
        self._before = 0  # lines of the blocks before this one
        self._plain: dict[int, tuple[Engine, Counter[int]]] = {}
        self._decisions: list[Decision] = []
        self._others: list[Pattern] = []
        self._verdicts: list[Verdict] = []

    def read(self, lines: Sequence[bytes]) -> tuple[list[Event], dict[int, Parts]]:
        """`header.read` of lines of this batch."""
        return header.read(lines, self._batch.program, self._now)

    def message(self, line: bytes) -> bytes:
        """The message of a line, as bytes."""
        return line[header.take_apart(line, self._batch.program, self._now).start :]

    def with_provenance(self, events: Sequence[Event], indices: Sequence[int]) -> list[Event]:
        """`events`, of the lines with these numbers in this block, with what the source knows of them."""
        known = self._batch.provenance[self._before :]
        return [event._replace(provenance=known[at]) for event, at in zip(events, indices, strict=True)]

    def hit_plain(self, engine: Engine, ids: Iterable[int]) -> None:
        """Count the matches of plain rules."""
        self._plain.setdefault(id(engine), (engine, Counter()))[1].update(ids)

    def hit(self, decision: Decision) -> None:
        """Count the matches of the other rules that this decision, on one line, says have matched."""
        self._decisions.append(decision)

    def hit_one(self, patterns: Iterable[Pattern]) -> None:
        """Count one match of each."""
        self._others.extend(patterns)

    def enter(self, events: Iterable[Event], decided: Iterable[tuple[Decision, Source] | None]) -> None:
        """Count lines with what was decided of them; None where no rule matches."""
        name, verdicts = self._batch.source, self._verdicts
        for event, found in zip(events, decided, strict=True):
            if found is None:
                verdicts.append(Verdict(name, event, Outcome.UNEXPLAINED))
                continue
            decision, source = found
            self._decisions.append(decision)
            outcome = decision.outcome
            if outcome is not Outcome.IGNORED or self.every:
                rule, address = source or (decision.attack_by, None)
                why = decision.quarantined_for
                verdicts.append(Verdict(name, event, outcome, decision.ignored_by, rule, address, why))

    def quarantine(self, line: bytes) -> None:
        """Count a line, alone in its block, that is too long to be matched."""
        events, _ = self.read([line])
        if self.numbered:
            events = self.with_provenance(events, [0])
        decision = Decision(Outcome.QUARANTINED, quarantined_for=f"longer than {MAX_LINE} bytes")
        self.enter(events, [(decision, None)])
        self.next_block(1)

    def next_block(self, count: int) -> None:
        """Go on behind a block of `count` lines."""
        self._before += count

    def closed(self, suspended: Iterable[Pattern], slow: Mapping[str, float]) -> Classified:
        """The whole account. `suspended` are rules that ran out of time, `slow` seconds by rule."""
        why = f"took longer than {TIMEOUT * 1000:g} ms for one line and is suspended"
        notices = tuple(Notice(NoticeKind.REFUSED, each.name, f"{each.name} {why}", self._now) for each in suspended)
        counts = Counter(verdict.outcome for verdict in self._verdicts)
        counts[Outcome.IGNORED] = self._batch.count - counts.total() + counts[Outcome.IGNORED]
        return Classified(counts, self._hits(), tuple(self._verdicts), notices, slow)

    def _hits(self) -> dict[str, int]:
        hits: dict[str, int] = {}
        for engine, matches in self._plain.values():
            patterns = engine.patterns
            hits |= {patterns[id_].name: count for id_, count in matches.items()}
        found = Counter(self._others)
        for decision, count in Counter(self._decisions).items():
            found.update({pattern: count for pattern in decision.matched if not pattern.is_plain})
        for pattern, count in found.items():
            hits[pattern.name] = hits.get(pattern.name, 0) + count
        return hits
