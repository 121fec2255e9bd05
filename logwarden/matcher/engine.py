"""What an engine is: something that says which of its patterns match which lines of a block.

Owns: the shape of the answer, and the patience that all engines share with rules that take too long.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from .patterns import Pattern

Match = tuple[int, int]
"""Where a line ends (the offset of its newline in the block), and the id of a pattern that matches it."""


class Found(NamedTuple):
    """All matches in a block, none twice, in no order; and `late` those that were not to be known in time."""

    matches: list[Match]
    late: list[Match]


NEWLINE, SETTLED = 10, 0
"""What ends a line that is still open, and one that is not."""


class Swept(Protocol):
    """What an engine found in a block of which most lines are settled by plain rules.

    `unsettled` is a copy of the block, shared by all engines, in which lines lose their newline: of what each of them
    found, first `settle` is called, then `reopen`, and then the others.
    """

    def settle(self, unsettled: bytearray) -> None:
        """Take the newline of each line that a plain rule matches, or, where its header is traditional, any that
        ignores it."""
        ...

    def reopen(self, unsettled: bytearray) -> None:
        """Give it back to each line that another rule than one which ignores it matches too, or may match."""
        ...

    def left(self, unsettled: bytearray) -> Found:
        """The matches in the lines that have their newline."""
        ...

    def hits(self, unsettled: bytearray) -> Mapping[str, int]:
        """How many of the other lines each rule matches, by its name."""
        ...


class Engine(Protocol):
    """Patterns that are matched together. A block is whole lines, each with its newline."""

    @property
    def patterns(self) -> Mapping[int, Pattern]:
        """What the ids stand for."""
        ...

    def scan(self, block: bytes) -> Found:
        """All matches in `block`."""
        ...

    def sweep(self, block: bytes) -> Swept:
        """The same, for a block of which not every line is of interest."""
        ...


WORTH_TELLING = 0.001
"""Seconds of a rule: all rules together would be a thousand rows to write for each batch."""


class Patience:
    """Which rules ran out of time in the `regex` package.

    An ignore rule is suspended: its lines are reported. An attack rule is still tried on lines of less than half the
    length that it failed on, so that nobody can switch off the detection of himself with one long line; half of half
    is soon nothing, so that no rule holds the daemon for long either way.

    And how long each rule takes there, so that a tool can say which one is dear; nothing is decided by it.
    """

    def __init__(self, timer: Callable[[], float] = time.perf_counter) -> None:
        self.timer = timer
        self._limits: dict[int, int] = {}
        self._lost: dict[int, Pattern] = {}
        self._spent: defaultdict[str, float] = defaultdict(float)

    def allows(self, pattern: Pattern, length: int) -> bool:
        """Whether a pattern may be tried on a line of `length` bytes."""
        limit = self._limits.get(pattern.rank)
        return limit is None or length < limit

    def lose(self, pattern: Pattern, length: int) -> None:
        """Note that a pattern ran out of time on a line of `length` bytes."""
        self._limits[pattern.rank] = length // 2 if pattern.is_attack else 0
        self._lost[pattern.rank] = pattern

    def spend(self, pattern: Pattern, since: float) -> None:
        """Note that a pattern was at work since `timer` said so."""
        self._spent[pattern.name] += self.timer() - since

    def spent(self) -> dict[str, float]:
        """Seconds by rule since this was asked last. What comes to less than WORTH_TELLING waits until it is more."""
        told = {name: seconds for name, seconds in self._spent.items() if seconds >= WORTH_TELLING}
        for name in told:
            del self._spent[name]
        return told

    def lost(self) -> tuple[Pattern, ...]:
        """The patterns that ran out of time since this was asked last."""
        lost = tuple(self._lost.values())
        self._lost.clear()
        return lost
