"""The account of one batch: read = ignored + attack + unexplained + quarantined.

Owns: the verdicts and each rule's hits, as they grow block by block, and the sum: what has no verdict was ignored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence

from .. import header
from ..header import Parts
from ..model import MAX_LINE, Batch, Classified, Event, Notice, NoticeKind, Outcome, Verdict
from .judgement import UNNAMED, Decision, Named
from .patterns import Pattern


class Account:
    """What is known of a batch so far. `every`: verdicts are wanted of ignored lines too. `numbered`: it matters which
    line of its block a line is. `known`: the programs that rules name."""

    def __init__(self, batch: Batch, now: float, every: bool, known: Container[str] = ()) -> None:
        self.every = every
        self.numbered = bool(batch.provenance)
        self._batch = batch
        self._now = now
        self._known = known
        self._before = 0  # lines of the blocks before this one
        self._settled: Counter[str] = Counter()
        self._unmatched = 0
        self._decisions: list[Decision] = []
        self._verdicts: list[Verdict] = []

    def read(self, block: bytes, ends: list[int]) -> tuple[list[Event], dict[int, Parts]]:
        """`header.read` of lines of this batch."""
        return header.read(block, ends, self._batch.program, self._now, self._known)

    def message(self, line: bytes) -> bytes:
        """The message of a line, as bytes."""
        return line[header.take_apart(line, self._batch.program, self._now, self._known).start :]

    def with_provenance(self, events: Sequence[Event], indices: Sequence[int]) -> list[Event]:
        """`events`, of the lines with these numbers in this block, with what the source knows of them."""
        known = self._batch.provenance[self._before :]
        return [event._replace(provenance=known[at]) for event, at in zip(events, indices, strict=True)]

    def hit_settled(self, hits: Mapping[str, int]) -> None:
        """Count the matches of rules, by their name, in lines about which there is nothing to decide."""
        self._settled.update(hits)

    def enter(self, events: Sequence[Event], decided: Mapping[int, tuple[Decision, Named]]) -> None:
        """Count lines, with what was decided of them by their index; of the others, no rule matches any."""
        name, unexplained, ignored = self._batch.source, Outcome.UNEXPLAINED, None if self.every else Outcome.IGNORED
        record, verdicts = tuple.__new__, self._verdicts  # half the price of Verdict(...)
        for index, event in enumerate(events):
            if index not in decided:
                verdicts.append(record(Verdict, (name, event, unexplained, None, None, None, None, ())))
                continue
            decision, (source, contexts) = decided[index]
            outcome = decision.outcome
            if outcome is not ignored or contexts:
                rule, address = source or (decision.attack_by, None)
                hidden, why = decision.ignored_by, decision.quarantined_for
                verdicts.append(record(Verdict, (name, event, outcome, hidden, rule, address, why, contexts)))
        self._decisions += [decision for decision, _ in decided.values()]
        self._unmatched += len(events) - len(decided)

    def quarantine(self, line: bytes) -> None:
        """Count a line, alone in its block, that is too long to be matched."""
        events, _ = self.read(line, [len(line)])
        if self.numbered:
            events = self.with_provenance(events, [0])
        decision = Decision(Outcome.QUARANTINED, quarantined_for=f"longer than {MAX_LINE} bytes")
        self.enter(events, {0: (decision, UNNAMED)})
        self.next_block(1)

    def next_block(self, count: int) -> None:
        """Go on behind a block of `count` lines."""
        self._before += count

    def closed(self, suspended: Iterable[tuple[Pattern, str]], slow: Mapping[str, float]) -> Classified:
        """The whole account. `suspended` are rules that ran out of time, and how; `slow` seconds by rule."""
        notices = tuple(
            Notice(NoticeKind.REFUSED, each.name, f"{each.name} {why}", self._now) for each, why in suspended
        )
        hits = self._settled
        counts = Counter({Outcome.UNEXPLAINED: self._unmatched})
        for decision, count in Counter(self._decisions).items():
            counts[decision.outcome] += count
            for pattern in decision.matched:
                hits[pattern.name] += count
        counts[Outcome.IGNORED] += self._batch.count - counts.total()
        return Classified(counts, dict(hits), tuple(self._verdicts), notices, slow)
