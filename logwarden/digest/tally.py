"""The lines of a period, added up under what makes them one item of a digest.

Owns: which lines count as one item. Never: keeps more than the first lines of each, cut to what can be shown; ranks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from .. import address
from ..model import Ban, Entry, Outcome, Severity, Window
from .cluster import Shape
from .mask import split
from .shapes import Shapes

SAMPLE = 1000
"""Longest sample, in characters: a dozen lines of a mail."""
OTHERS = 3
"""Most further samples of an item that is about what somebody did."""
HOSTS = 1000
"""Most hosts that one item remembers."""


@dataclass(slots=True)
class Tally:
    """Lines that count as one item: how many, from when to when, on which hosts, and the first that came."""

    program: str
    sample: str
    length: int
    first: float
    last: float
    count: int = 0
    hosts: Counter[str] = field(default_factory=Counter)
    others: list[str] = field(default_factory=list)
    """Further lines that said something else: the first OTHERS."""
    words: list[str] = field(default_factory=list)
    varied: set[int] = field(default_factory=set)
    """The sample's words (of a shape's lines alone), and the places where another line had another word."""

    @classmethod
    def of(cls, entry: Entry) -> Tally:
        """An empty tally that starts with this line."""
        text = entry.message or entry.raw
        return cls(entry.program, text[:SAMPLE], len(text), entry.time, entry.time)

    def add(self, entry: Entry) -> None:
        """Count a line."""
        self.count += entry.count
        self.first, self.last = min(self.first, entry.time), max(self.last, entry.time)
        if entry.host in self.hosts or len(self.hosts) < HOSTS:
            self.hosts[entry.host] += entry.count

    def note(self, entry: Entry) -> None:
        """Keep a line that says what no line before it said, while there is room."""
        text = (entry.message or entry.raw)[:SAMPLE]
        if len(self.others) < OTHERS and text != self.sample and text not in self.others:
            self.others.append(text)

    def compare(self, words: list[str]) -> None:
        """Note where a line of the same shape has other words than the sample."""
        if words != self.words:
            self.varied.update(place for place, (a, b) in enumerate(zip(self.words, words, strict=False)) if a != b)

    def absorb(self, other: Tally) -> None:
        """Count the lines of a shape that turned out to be this one's."""
        self.count += other.count
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.hosts.update(other.hosts)
        self.varied |= other.varied
        self.compare(other.words)


def _names(glob: str, host: str) -> bool:
    """Whether it names a host, by the whole of its name or by what stands before its domain."""
    return fnmatchcase(host, glob) or fnmatchcase(host.partition(".")[0], glob)


@dataclass(frozen=True, slots=True)
class Source:
    """Where attack lines came from, and which rule says so: `rule` is `FILE#ID`, `address` '' where none is known."""

    rule: str
    severity: Severity
    address: str


class Tallies:
    """All lines of a period."""

    def __init__(self, shapes: Shapes, windows: Sequence[Window] = ()) -> None:
        self._shapes = shapes
        self.apart = [(window, Tallies(shapes)) for window in windows]
        """The unexplained lines of each window, apart from all others."""
        self.lines = 0
        self.kept: Counter[tuple[str, Outcome]] = Counter()
        """Lines by source and outcome."""
        self.attacks: dict[Source, Tally] = {}
        self.quarantined: dict[str, Tally] = {}
        self._unexplained: dict[str, tuple[Shape, Tally]] = {}

    def add(self, entry: Entry) -> None:
        """Count a line."""
        self.lines += entry.count
        self.kept[entry.source, entry.outcome] += entry.count
        if entry.outcome is Outcome.ATTACK:
            source = Source(entry.rule or "", entry.severity or Severity.ATTACK, entry.address or "")
            tally = self.attacks.get(source) or self.attacks.setdefault(source, Tally.of(entry))
            if source.severity is not Severity.ATTACK:
                tally.note(entry)
        elif entry.outcome is Outcome.QUARANTINED:
            tally = self.quarantined.get(entry.source) or self.quarantined.setdefault(entry.source, Tally.of(entry))
        elif apart := self._window(entry):
            apart.add(entry)
            return
        else:
            tally = self._of_shape(entry)
        tally.add(entry)

    def _window(self, entry: Entry) -> Tallies | None:
        """The lines that this one belongs to, where its time is set apart."""
        for window, lines in self.apart:
            if window.since <= entry.time < window.until and _names(window.host, entry.host):
                return lines
        return None

    def _of_shape(self, entry: Entry) -> Tally:
        shape = self._shapes.learn(entry.program, entry.message, entry.time)
        words = split(entry.message[:SAMPLE])
        if shape.id in self._unexplained:
            _, tally = self._unexplained[shape.id]
            tally.compare(words)
        else:
            tally = Tally.of(entry)
            tally.words = words
            self._unexplained[shape.id] = shape, tally
        return tally

    def groups(self) -> list[tuple[Shape, Tally]]:
        """Unexplained lines by shape, as the shapes are known now that all lines have been seen."""
        groups: dict[str, tuple[Shape, Tally]] = {}
        for shape, tally in self._unexplained.values():
            root = shape.root
            if root.id in groups:
                groups[root.id][1].absorb(tally)
            else:
                groups[root.id] = root, tally
        self._unexplained = groups
        return list(groups.values())

    def total(self, severity: Severity) -> int:
        """Attack lines of this severity."""
        return sum(tally.count for source, tally in self.attacks.items() if source.severity is severity)

    def split(self, bans: Iterable[Ban]) -> tuple[dict[Ban, list[Tally]], dict[Source, Tally]]:
        """Attack lines that a ban stands for, by ban; and the rest of those of severity ATTACK."""
        index = BanIndex(bans)
        behind: dict[Ban, list[Tally]] = {}
        rest: dict[Source, Tally] = {}
        for source, tally in self.attacks.items():
            if source.severity is not Severity.ATTACK:
                continue
            if ban := index.find(source):
                behind.setdefault(ban, []).append(tally)
            else:
                rest[source] = tally
        return behind, rest


class BanIndex:
    """Bans by attack file and prefix: one look-up for each length of prefix in use, however many bans there are."""

    def __init__(self, bans: Iterable[Ban]) -> None:
        self._bans: dict[tuple[str, address.Prefix], Ban] = {}
        for ban in bans:
            self._bans.setdefault((ban.attack, address.prefix(ban.prefix)), ban)
        self._lengths = sorted({(prefix.version, prefix.prefixlen) for _, prefix in self._bans}, reverse=True)

    def find(self, source: Source) -> Ban | None:
        """The narrowest ban that lines from this source led to."""
        if not self._bans or not source.address:
            return None
        file, _, _ = source.rule.partition("#")
        where = address.parse(source.address)
        for version, length in self._lengths:
            if version == where.version and (ban := self._bans.get((file, address.prefix(f"{where}/{length}")))):
                return ban
        return None
