"""The latest messages that sources have shown, packed: 47 bytes each, where objects would take hundreds.

A ring of CAPACITY places, a column to an array. Which places hold a key is told by a hash table of chains, oldest
first: what is forgotten is the oldest of all, hence the first of its chain. The hash is Python's own of bytes, which
nobody outside knows, so that nobody can write messages that all fall into one chain.
Owns: what is remembered of a message, and finding it again. Never: says what makes two lines one message (`echo`).
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

CAPACITY = 131_072
"""Messages that are remembered where several sources are read: 6 MB, 7 in the database, half a second at a start."""
KEY = 12
"""Bytes of a key."""
_AHEAD = 64  # equal messages that are looked at for one of the right pid and time
_SKIPPED = 8  # messages that were skipped at the front of a chain, from which on it is worth while to remember that
_STARTS = 4_096  # of which it is remembered, the latest: 1 MB at most; where more chains are long, none is very long
_SETS = 1_024  # sets of sources that may have come up since those that no message has any more were forgotten
_NONE = -1  # in place of a slot, or of a pid


class Sighting(NamedTuple):
    """A message, and the sources that have shown it. `key` stands for host, program, outcome and text."""

    number: int
    key: bytes
    pid: int | None
    time: float
    sources: tuple[str, ...]


class Sightings:
    """The last `capacity` messages, numbered without a gap from `first`."""

    def __init__(self, capacity: int = CAPACITY, first: int = 1) -> None:
        self._capacity = capacity
        self._first = self.next = first
        self._keys, self._pids, self._times = bytearray(), array("q"), array("d")
        self._shown = array("i")
        """By slot: which of `_sets` has shown it."""
        self._later = array("i")
        """By slot: the slot of the next in its chain."""
        self._mask = (1 << (capacity - 1).bit_length()) - 1
        self._heads = array("i", [_NONE]) * (self._mask + 1)
        self._tails = self._heads[:]
        self._sets: list[tuple[str, ...]] = []
        self._places: dict[tuple[str, ...], int] = {}
        self._sets_allowed = _SETS
        self._starts: dict[tuple[bytes, str], int] = {}
        """By key and source: the number of a message which, like those before it, is nothing new to this source."""

    def __len__(self) -> int:
        return len(self._shown)

    def add(self, key: bytes, pid: int | None, time: float, sources: tuple[str, ...]) -> int:
        """Remember a message, and forget the oldest where there are too many. Returns its number."""
        number, own, shown = self.next, _NONE if pid is None else pid, self._place(sources)
        slot = (number - self._first) % self._capacity
        if slot == len(self._shown):  # an array grows as it is filled
            self._keys += key
            self._pids.append(own)
            self._times.append(time)
            self._shown.append(shown)
            self._later.append(_NONE)
        else:
            self._forget(slot)
            self._keys[slot * KEY : (slot + 1) * KEY] = key
            self._pids[slot], self._times[slot], self._shown[slot], self._later[slot] = own, time, shown, _NONE
        chain = hash(key) & self._mask
        if self._heads[chain] == _NONE:
            self._heads[chain] = slot
        else:
            self._later[self._tails[chain]] = slot
        self._tails[chain] = slot
        self.next = number + 1
        return number

    def show(self, number: int, sources: tuple[str, ...]) -> None:
        """These are the sources that have shown a message by now; one that is forgotten stays so."""
        if self.next - len(self) <= number < self.next:
            self._shown[self._slot(number)] = self._place(sources)

    def again(self, key: bytes, source: str, pid: int | None, earliest: float, latest: float) -> Sighting | None:
        """The first message of a key that `source` has not shown yet, and now has.

        Its time is between the two, and its pid is `pid`, where both are known.
        """
        slot, looked = self._first_new(key, source, earliest), 0
        while slot != _NONE and looked < _AHEAD:
            if self._keys.startswith(key, slot * KEY):
                looked += 1
                sources, own = self._sets[self._shown[slot]], self._pids[slot]
                if earliest <= self._times[slot] <= latest and source not in sources and _may_be_one(own, pid):
                    sources = (*sources, source)
                    self._shown[slot] = self._place(sources)
                    return Sighting(self._number(slot), key, None if own == _NONE else own, self._times[slot], sources)
            slot = self._later[slot]
        return None

    def _first_new(self, key: bytes, source: str, earliest: float) -> int:
        """The slot of the first message of a key that is news to a source, and none is later of what comes before."""
        keys, times, shown, sets = self._keys, self._times, self._shown, self._sets
        start, skipped, last = self._starts.get((key, source), 0), 0, _NONE
        slot = self._slot(start) if start >= self.next - len(self) else self._heads[hash(key) & self._mask]
        while slot != _NONE and (
            not keys.startswith(key, slot * KEY) or source in sets[shown[slot]] or times[slot] < earliest
        ):
            slot, last, skipped = self._later[slot], slot, skipped + 1
        if skipped > _SKIPPED:
            self._start_after(key, source, self._number(last))
        return slot

    def _start_after(self, key: bytes, source: str, number: int) -> None:
        self._starts.pop((key, source), None)
        self._starts[key, source] = number
        if len(self._starts) > _STARTS:
            del self._starts[next(iter(self._starts))]

    def _slot(self, number: int) -> int:
        return (number - self._first) % self._capacity

    def _number(self, slot: int) -> int:
        return self.next - 1 - (self._slot(self.next - 1) - slot) % self._capacity

    def _forget(self, slot: int) -> None:
        """The oldest of all, in this slot, is the first of its chain."""
        key = bytes(self._keys[slot * KEY : (slot + 1) * KEY])
        self._heads[hash(key) & self._mask] = self._later[slot]

    def _place(self, sources: tuple[str, ...]) -> int:
        """Where a set of sources stands in `_sets`."""
        place = self._places.get(sources)
        if place is None:
            if len(self._sets) >= self._sets_allowed:
                self._forget_sets()
            place = self._places[sources] = len(self._sets)
            self._sets.append(sources)
        return place

    def _forget_sets(self) -> None:
        """Keep the sets of sources that a message has; files come and go."""
        used = sorted(set(self._shown))
        moved = {old: new for new, old in enumerate(used)}
        self._shown = array("i", (moved[old] for old in self._shown))
        self._sets = [self._sets[old] for old in used]
        self._places = {sources: place for place, sources in enumerate(self._sets)}
        self._sets_allowed = 2 * len(used) + _SETS


def _may_be_one(pid: int, other: int | None) -> bool:
    return other is None or pid in (other, _NONE)
