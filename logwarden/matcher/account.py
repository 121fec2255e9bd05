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
from .judgement import Judgement
from .patterns import TIMEOUT, Pattern


class Account:
    """What is known of a batch so far. `every`: verdicts are wanted of ignored lines too. `numbered`: it matters which
    line of its block a line is, else it may be given as 0."""

    def __init__(self, batch: Batch, now: float, every: bool) -> None:
        self.every = every
        self.numbered = bool(batch.provenance)
        self._batch = batch
        self._now = now
        self._before = 0  # lines of the blocks before this one
        self._hits: Counter[str] = Counter()
        self._matches: dict[int, tuple[Engine, Counter[int]]] = {}
        self._verdicts: list[Verdict] = []

    def read(self, lines: Sequence[bytes]) -> tuple[list[Event], dict[int, Parts]]:
        """`header.read` of lines of this batch."""
        return header.read(lines, self._batch.program, self._now)

    def message(self, line: bytes) -> bytes:
        """The message of a line, as bytes."""
        return line[header.take_apart(line, self._batch.program, self._now).start :]

    def hit_many(self, engine: Engine, ids: Iterable[int]) -> None:
        """Count matches, of which only those of plain rules count. Others do when it is clear what they mean."""
        self._matches.setdefault(id(engine), (engine, Counter()))[1].update(ids)

    def hit_plain(self, patterns: Iterable[Pattern]) -> None:
        """Count a line that the plain ones of these match, found one by one."""
        for pattern in patterns:
            if pattern.is_plain:
                self._hits[pattern.name] += 1

    def hit_special(self, patterns: Iterable[Pattern]) -> None:
        """Count a line that the others of these match."""
        for pattern in patterns:
            if not pattern.is_plain:
                self._hits[pattern.name] += 1

    def leave(self, event: Event, index: int) -> None:
        """Count a line, the one at `index` in this block, that no rule matches."""
        self._verdicts.append(Verdict(self._batch.source, self._known(event, index), Outcome.UNEXPLAINED))

    def judge(self, event: Event, index: int, judgement: Judgement) -> None:
        """Count a line that rules match."""
        outcome, matched, ignored_by, attack_by, address, reason = judgement
        self.hit_special(matched)
        if outcome is not Outcome.IGNORED or self.every:
            event = self._known(event, index)
            verdict = Verdict(self._batch.source, event, outcome, ignored_by, attack_by, address, reason)
            self._verdicts.append(verdict)

    def quarantine(self, line: bytes) -> None:
        """Count a line, alone in its block, that is too long to be matched."""
        (event,), _ = self.read([line])
        why = f"longer than {MAX_LINE} bytes"
        self.judge(event, 0, Judgement(Outcome.QUARANTINED, quarantined_for=why))
        self.next_block(1)

    def _known(self, event: Event, index: int) -> Event:
        """`event` with what the source knows of it."""
        if not self._batch.provenance:
            return event
        return event._replace(provenance=self._batch.provenance[self._before + index])

    def next_block(self, count: int) -> None:
        """Go on behind a block of `count` lines."""
        self._before += count

    def closed(self, suspended: Iterable[Pattern], slow: Mapping[str, float]) -> Classified:
        """The whole account. `suspended` are rules that ran out of time, `slow` seconds by rule."""
        why = f"took longer than {TIMEOUT * 1000:g} ms for one line and is suspended"
        notices = tuple(Notice(NoticeKind.REFUSED, each.name, f"{each.name} {why}", self._now) for each in suspended)
        counts = Counter(verdict.outcome for verdict in self._verdicts)
        counts[Outcome.IGNORED] = self._batch.count - counts.total() + counts[Outcome.IGNORED]
        return Classified(counts, self._all_hits(), tuple(self._verdicts), notices, slow)

    def _all_hits(self) -> dict[str, int]:
        all_hits: dict[str, int] = {}
        for engine, matches in self._matches.values():
            patterns = engine.patterns
            all_hits |= {patterns[id_].name: n for id_, n in matches.items() if patterns[id_].is_plain}
        for name, n in self._hits.items():
            all_hits[name] = all_hits.get(name, 0) + n
        return all_hits
