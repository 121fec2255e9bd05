"""What becomes of each line of a batch.

Owns: the way of a line through the engines. All lines are scanned as they are; only those that no plain ignore rule
settles are taken apart, and of these, those with an unusual header are scanned once more in their canonical form.
Never: raises for a line. Every line of a batch is in exactly one of the counts.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .. import header
from ..header import Parts
from ..model import MAX_LINE, Batch, Classified, Notice, NoticeKind, Outcome, Refusal, Verdict
from . import lines
from .engine import Engine, Found, Patience
from .judgement import Judgement, judge
from .lines import View
from .patterns import TIMEOUT, Pattern, Scope
from .regex_engine import RegexEngine

BLOCK = 262_144
"""Bytes that are scanned at once: enough to make calls cheap, little enough for a CPU's cache."""

_NEWLINE = re.compile(b"\n")


class Matcher:
    """All rules, compiled. For one thread at a time."""

    def __init__(self, engines: Sequence[Engine], refused: Iterable[Refusal], patience: Patience) -> None:
        self.refused = tuple(refused)
        self._engines = [(engine, _special(engine)) for engine in engines]
        self._native = RegexEngine(
            [p for engine in engines for p in engine.patterns.values() if p.scope is Scope.MESSAGE], patience
        )
        self._patience = patience

    def classify(self, batch: Batch, now: float, every: bool = False) -> Classified:
        """What became of each line of `batch`. `now` dates stamps without a year.

        Verdicts are made of the lines that are not simply ignored; of every line where `every` is set.
        """
        account = _Account(batch, now, every)
        for block in _blocks(batch.block):
            if len(block) > MAX_LINE + 1 and block.find(b"\n") == len(block) - 1:
                account.quarantine(block[:-1])
            else:
                self._classify(block, account)
        return account.closed(self._patience.lost())

    def _classify(self, block: bytes, account: _Account) -> None:
        ends = [newline.start() for newline in _NEWLINE.finditer(block)]
        settled, looks = self._first_look(block, account)
        left = ends if account.every else sorted(set(ends) - settled | looks.keys())
        taken = [account.take_apart(block[block.rfind(b"\n", 0, end) + 1 : end]) for end in left]
        unusual = [(looks[end], *each) for end, each in zip(left, taken, strict=True) if not each[1].traditional]
        self._second_look(unusual, account)
        account.settled(len(ends) - len(left))
        for end, (line, parts) in zip(left, taken, strict=True):
            look = looks[end]
            found = sorted(set(look.found), key=_rank)
            account.add(
                line, parts, judge(found, look.late, line[parts.start :], self._patience), bisect_left(ends, end)
            )
        account.next_block(len(ends))

    def _first_look(self, block: bytes, account: _Account) -> tuple[set[int], _Looks]:
        """Where the lines end that rules match, and everything that was found on those that need more than that."""
        answers = [(engine, special, engine.scan(block)) for engine, special in self._engines]
        looks: _Looks = defaultdict(_Look)
        for _, special, found in answers:
            looks.update((end, _Look()) for end, id_ in zip(found.ends, found.ids, strict=True) if id_ in special)
        settled: set[int] = set()
        for engine, special, found in answers:
            account.hit(engine.patterns, special, found.ids)
            settled.update(found.ends)
            _note(engine, found, looks, account.every)
        return settled, looks

    def _second_look(self, unusual: Sequence[tuple[_Look, bytes, Parts]], account: _Account) -> None:
        """Find what matches lines that are not traditional: in their canonical form, and, where the program is not
        known, by their message alone."""
        if not unusual:
            return
        block = b"".join(b"%s\n" % lines.canonical(line, parts) for _, line, parts in unusual)
        here: _Looks = defaultdict(_Look)
        for engine, _ in self._engines:
            _note(engine, engine.scan(block), here, every=True)
        for (look, line, parts), newline in zip(unusual, _NEWLINE.finditer(block), strict=True):
            known = lines.has_program(parts)
            scopes = (Scope.MESSAGE, Scope.REST) if known else (Scope.REST,)
            more = here[newline.start()].only(scopes)
            if not known:
                self._try_natives(lines.message_view(line, parts), len(line), more)
            look.found += more.found
            look.late += more.late
            account.hit_by_hand(more.found)

    def _try_natives(self, view: View, length: int, look: _Look) -> None:
        for id_, matches in self._native.try_all(view, length):
            (look.found if matches else look.late).append(self._native.patterns[id_])


# --- blocks ---------------------------------------------------------------------------------------------------------


def _blocks(text: bytes) -> Iterator[bytes]:
    """`text` in blocks of whole lines, each ended by a newline alone; a line that is too long is a block of its own."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    if text and not text.endswith(b"\n"):
        text += b"\n"
    start = 0
    while start < len(text):
        end = text.rfind(b"\n", start, start + BLOCK) + 1 or text.index(b"\n", start) + 1
        for long_start, long_end in _too_long(text, start, end):
            if start < long_start:
                yield text[start:long_start]
            yield text[long_start:long_end]
            start = long_end
        if start < end:
            yield text[start:end]
        start = end


def _too_long(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the lines longer than MAX_LINE are: each holds an offset that is a multiple of that away from `start`."""
    at = start + MAX_LINE
    while at < end:
        line_start, line_end = text.rfind(b"\n", start, at) + 1 or start, text.index(b"\n", at)
        if line_end - line_start > MAX_LINE:
            yield line_start, line_end + 1
        at += max(1, -(-(line_end + 1 - at) // MAX_LINE)) * MAX_LINE


# --- what was found -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Look:
    """What the engines say of one line."""

    found: list[Pattern] = field(default_factory=list)
    late: list[Pattern] = field(default_factory=list)

    def only(self, scopes: Collection[Scope]) -> _Look:
        """The same without the rules that look at something else."""
        return _Look([p for p in self.found if p.scope in scopes], [p for p in self.late if p.scope in scopes])


_Looks = defaultdict[int, _Look]
"""By the offset at which the line ends."""


def _special(engine: Engine) -> frozenset[int]:
    """The ids whose match says too little to ignore a line for it, or too much to leave it at that."""
    return frozenset(id_ for id_, pattern in engine.patterns.items() if not pattern.is_plain)


def _note(engine: Engine, found: Found, looks: _Looks, every: bool) -> None:
    """Add to `looks` what was found on their lines (`every`: on any line), and where time ran out."""
    if every or looks:
        for end, id_ in zip(found.ends, found.ids, strict=True):
            if every or end in looks:
                looks[end].found.append(engine.patterns[id_])
    for end, id_ in found.late:
        looks[end].late.append(engine.patterns[id_])


def _rank(pattern: Pattern) -> int:
    return pattern.rank


class _Account:
    """The counts of one batch, and its verdicts, as they grow."""

    def __init__(self, batch: Batch, now: float, every: bool) -> None:
        self.every = every
        self._batch = batch
        self._now = now
        self._before = 0  # lines of the blocks before this one
        self._counts: Counter[Outcome] = Counter()
        self._hits: Counter[str] = Counter()
        self._verdicts: list[Verdict] = []

    def take_apart(self, line: bytes) -> tuple[bytes, Parts]:
        return line, header.take_apart(line, self._batch.program, self._now)

    def hit(self, patterns: Mapping[int, Pattern], special: frozenset[int], ids: Iterable[int]) -> None:
        """Count the matches of plain rules. Those of others count when it is clear what they mean."""
        for id_, count in Counter(ids).items():
            if id_ not in special:
                self._hits[patterns[id_].name] += count

    def hit_by_hand(self, patterns: Iterable[Pattern]) -> None:
        """Count matches of plain rules among `patterns`."""
        self._hits.update(pattern.name for pattern in patterns if pattern.is_plain)

    def settled(self, count: int) -> None:
        """Count lines that plain rules ignore, and nothing else matches."""
        self._counts[Outcome.IGNORED] += count

    def add(self, line: bytes, parts: Parts, judgement: Judgement, index: int) -> None:
        """Count a line, the one at `index` in this block."""
        self._counts[judgement.outcome] += 1
        self._hits.update(pattern.name for pattern in judgement.matched if not pattern.is_plain)
        if judgement.outcome is Outcome.IGNORED and not self.every:
            return
        event = header.event(line, parts)
        if self._batch.provenance:
            event = replace(event, provenance=self._batch.provenance[self._before + index])
        self._verdicts.append(
            Verdict(
                self._batch.source,
                event,
                judgement.outcome,
                judgement.ignored_by,
                judgement.attack_by,
                judgement.address,
                judgement.quarantined_for,
            )
        )

    def quarantine(self, line: bytes) -> None:
        """Count a line, alone in its block, that is too long to be matched."""
        judgement = Judgement(Outcome.QUARANTINED, quarantined_for=f"longer than {MAX_LINE} bytes")
        self.add(*self.take_apart(line), judgement, 0)
        self.next_block(1)

    def next_block(self, count: int) -> None:
        self._before += count

    def closed(self, suspended: Iterable[Pattern]) -> Classified:
        """The whole account. `suspended` are rules that ran out of time."""
        why = f"took longer than {TIMEOUT * 1000:g} ms for one line and is suspended"
        notices = tuple(Notice(NoticeKind.REFUSED, each.name, f"{each.name} {why}", self._now) for each in suspended)
        return Classified(self._counts, self._hits, tuple(self._verdicts), notices)
