"""What becomes of each line of a batch.

Owns: the way of a line through the engines. All lines are scanned as they are; only those that no plain ignore rule
settles are taken apart, and of these, those with an unusual header are scanned once more in their canonical form.
Never: raises for a line. Every line of a batch is in exactly one of the counts.

Nine lines of ten are ignored by a rule that leaves nothing to decide. For these no Python runs: the engine takes their
newline in a copy of the block, and what newlines are left there end the lines that need a closer look.
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from .. import header
from ..header import Parts
from ..model import BLOCK, MAX_LINE, Batch, Classified, Event, Refusal
from . import lines
from .account import Account
from .engine import Engine, Match, Patience
from .judgement import UNNAMED, Decision, Judge, Named
from .patterns import Pattern, Scope
from .regex_engine import RegexEngine


class Looks:
    """What the engines say of lines that plain rules alone do not settle, by the offset at which each ends."""

    def __init__(self) -> None:
        self.found: dict[int, list[Pattern]] = {}
        self.late: dict[int, list[Pattern]] = {}

    def note(self, engine: Engine, matches: Iterable[Match], late: Iterable[Match]) -> None:
        """Add what an engine found."""
        patterns = engine.patterns
        for end, id_ in matches:
            self.found.setdefault(end, []).append(patterns[id_])
        for end, id_ in late:
            self.late.setdefault(end, []).append(patterns[id_])

    def add(self, end: int, found: Sequence[Pattern], late: Sequence[Pattern]) -> None:
        """Add what was found on one line."""
        if found:
            self.found.setdefault(end, []).extend(found)
        if late:
            self.late.setdefault(end, []).extend(late)


class Matcher:
    """All rules, compiled. For one thread at a time."""

    def __init__(self, engines: Sequence[Engine], refused: Iterable[Refusal], patience: Patience) -> None:
        self.refused = tuple(refused)
        self.unkept: str | None = None
        """Why the next start has to compile it again."""
        self._engines = engines
        patterns = [pattern for engine in engines for pattern in engine.patterns.values()]
        self._native = RegexEngine([each for each in patterns if each.scope is Scope.MESSAGE], patience)
        self._patience = patience
        self._judge = Judge(patience)

    @functools.cached_property
    def _programs(self) -> frozenset[str]:
        """The programs that rules name as they are, as a tag would."""
        from .globs import is_glob  # it parses globs too: a start has no need of that

        names = {name for each in self._native.patterns.values() for name in each.rule.programs if not is_glob(name)}
        return frozenset(filter(None, map(header.program_name, names)))

    def classify(self, batch: Batch, now: float, every: bool = False) -> Classified:
        """What became of each line of `batch`. `now` dates stamps without a year.

        Verdicts are made of the lines that are not simply ignored; of every line where `every` is set.
        """
        self._patience.begin(now)
        account = Account(batch, now, every, self._programs if batch.program == header.ANY_PROGRAM else ())
        for block in _blocks(batch.block):
            if len(block) > MAX_LINE + 1 and block.find(b"\n") == len(block) - 1:
                account.quarantine(block[:-1])
            else:
                self._classify(block, account)
        return account.closed(self._patience.lost(), self._patience.spent())

    def _classify(self, block: bytes, account: Account) -> None:
        left, looks = self._look_at_all(block) if account.every else self._look(block, account)
        events, unusual = account.read(block, left)
        self._look_again([(left[at], header.line_at(block, left[at]), parts) for at, parts in unusual.items()], looks)
        decided = self._decide(block, left, events, looks, account)
        if account.numbered:
            ends = _ends(block)
            events = account.with_provenance(events, [bisect_left(ends, end) for end in left])
            account.next_block(len(ends))
        account.enter(events, decided)

    def _decide(
        self, block: bytes, left: Sequence[int], events: Sequence[Event], looks: Looks, account: Account
    ) -> dict[int, tuple[Decision, Named]]:
        """What becomes of each line that a rule matches, and who did it, by the line's index."""
        decided: dict[int, tuple[Decision, Named]] = {}
        naming: dict[int, tuple[Decision, bytes]] = {}
        found, late, decide = looks.found, looks.late, self._judge.decide
        seen = found.keys() | late.keys() if late else found
        for index, end in enumerate(left):
            if end not in seen:
                continue
            decision = decide(found.get(end, ()), late.get(end, ()))
            decided[index] = (decision, UNNAMED)
            if decision.culprits or decision.contexts:
                line = header.line_at(block, end)
                message = events[index].message.encode() if line.isascii() else account.message(line)
                naming[index] = (decision, message)
        named = self._judge.named(list(naming.values()))
        decided.update((index, (decided[index][0], each)) for index, each in zip(naming, named, strict=True))
        return decided

    def _look(self, block: bytes, account: Account) -> tuple[list[int], Looks]:
        """Where the lines end that are not simply ignored, and what was found on them."""
        looks = Looks()
        unsettled = bytearray(block)
        all_swept = [engine.sweep(block) for engine in self._engines]
        for swept in all_swept:
            swept.settle(unsettled)
        for swept in all_swept:
            swept.reopen(unsettled)
        for engine, swept in zip(self._engines, all_swept, strict=True):
            account.hit_settled(swept.hits(unsettled))
            looks.note(engine, *swept.left(unsettled))
        return _ends(unsettled), looks

    def _look_at_all(self, block: bytes) -> tuple[list[int], Looks]:
        """Where all lines end, and what was found on them."""
        looks = Looks()
        for engine in self._engines:
            looks.note(engine, *engine.scan(block))
        return _ends(block), looks

    def _look_again(self, unusual: Sequence[tuple[int, bytes, Parts]], looks: Looks) -> None:
        """Find what matches lines that are not traditional: in their canonical form, and, where the program is not
        known, by their message alone. Rules for whole lines see nothing new there."""
        scopes = {end: _scopes(line, parts) for end, line, parts in unusual}
        shown = {end: lines.canonical(line, parts) for end, line, parts in unusual if scopes[end]}
        block = b"".join(b"%s\n" % text for text in shown.values())
        where = dict(zip(shown, _ends(block), strict=True))
        seen = Looks()
        for engine in self._engines if shown else ():
            seen.note(engine, *engine.scan(block))
        for end, at in where.items():
            found = [each for each in seen.found.get(at, ()) if each.scope in scopes[end]]
            late = [each for each in seen.late.get(at, ()) if each.scope in scopes[end]]
            looks.add(end, found, late)
        self._look_at_messages([each for each in unusual if not lines.has_program(each[2])], looks)

    def _look_at_messages(self, nobodys: Sequence[tuple[int, bytes, Parts]], looks: Looks) -> None:
        """Find the native rules that match lines of no program, or of any."""
        views = lines.message_views([(line, parts) for _, line, parts in nobodys])
        for id_, matching, late in self._native.try_all(views, [len(line) for _, line, _ in nobodys]):
            pattern = self._native.patterns[id_]
            for index in matching:
                looks.add(nobodys[index][0], [pattern], ())
            for index in late:
                looks.add(nobodys[index][0], (), [pattern])


def _scopes(line: bytes, parts: Parts) -> list[Scope]:
    """Which rules are to see the canonical form of a line."""
    news = {Scope.MESSAGE: lines.has_program(parts), Scope.REST: lines.has_other_header(line, parts)}
    return [scope for scope, is_news in news.items() if is_news]


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
    """Where the lines longer than MAX_LINE are: each spans an offset that is a multiple of it away from `start`."""
    at = start + MAX_LINE
    while at < end:
        line_start, line_end = text.rfind(b"\n", start, at) + 1 or start, text.index(b"\n", at)
        if line_end - line_start > MAX_LINE:
            yield line_start, line_end + 1
        at += max(1, -(-(line_end + 1 - at) // MAX_LINE)) * MAX_LINE


def _ends(block: bytes | bytearray) -> list[int]:
    """Where lines end: the offsets of all newlines."""
    ends = []
    end = block.find(b"\n")
    while end >= 0:
        ends.append(end)
        end = block.find(b"\n", end + 1)
    return ends
