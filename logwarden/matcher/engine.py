"""What an engine is: something that says which of its patterns match which lines of a block.

Owns: the shape of the answer, and the patience that all engines share with rules that take too long.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from .patterns import TIMEOUT, Pattern

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


PER_LINE, PER_BYTE = 1e-4, 2.5e-7
"""Seconds that a rule may take there for each line, and for each byte of it, however many there are. Of the database's
most need a fiftieth of it for a line as it is written, and half of it for one of 30,000 bytes."""
SHARE = 0.1
"""The part of the time that passes which it may take besides."""
CREDIT = 1.0
"""Seconds that it may be in debt."""

SLOW_FOR_ONE = f"took longer than {TIMEOUT * 1000:g} ms for one line and is suspended"
SLOW_FOR_MANY = f"took too long for its lines, {CREDIT:g} s in all, and is suspended"


class Debt(NamedTuple):
    """What a rule has taken too long: seconds of the thread's `own` time, those of this batch by the clock, which are
    `new`; and the length of the longest line that it was tried on meanwhile."""

    own: float
    new: float
    longest: int

    @property
    def all(self) -> float:
        """Both together."""
        return self.own + self.new

    def settled(self, worked: float) -> Debt:
        """The same in own time, of which `worked` is the part."""
        return self._replace(own=self.own + self.new * worked, new=0.0)


NO_DEBT = Debt(0.0, 0.0, 0)


class Patience:
    """Which rules ran out of time in the `regex` package: on one line, or, since hundreds of lines that take a little
    less hold the daemon as well, on many.

    An ignore rule is suspended: its lines are reported. An attack rule is still tried on lines of less than half the
    length that it failed on, so that nobody can switch off the detection of himself with one long line; half of half
    is soon nothing, so that no rule holds the daemon for long either way.

    And how long each rule takes there, so that a tool can say which one is dear. `own` is the thread's own time, which
    a machine that is busy with other things does not make longer; to ask for it at each try would cost more than a try.
    """

    def __init__(
        self, timer: Callable[[], float] = time.perf_counter, own: Callable[[], float] = time.thread_time
    ) -> None:
        self.timer = timer
        self._own = own
        self._begun = (math.inf, 0.0)  # the batch, by both
        self._limits: dict[int, int] = {}
        self._lost: dict[int, tuple[Pattern, str]] = {}
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._debts: dict[int, Debt] = {}
        self._now = 0.0

    def begin(self, now: float) -> None:
        """Let debts be forgiven for the time that has passed. A clock that was set back forgives none."""
        self._begun = (self.timer(), self._own())
        forgiven = (now - self._now) * SHARE
        self._now = now
        if forgiven > 0:
            left = ((rank, debt._replace(own=debt.own - forgiven)) for rank, debt in self._debts.items())
            self._debts = {rank: debt for rank, debt in left if debt.all > 0}

    def allows(self, pattern: Pattern, length: int) -> bool:
        """Whether a pattern may be tried on a line of `length` bytes."""
        limit = self._limits.get(pattern.rank)
        return limit is None or length < limit

    def lose(self, pattern: Pattern, length: int) -> None:
        """Note that a pattern ran out of time on a line of `length` bytes."""
        self._lose(pattern, length, SLOW_FOR_ONE)

    def spend(self, pattern: Pattern, since: float, texts: Sequence[bytes]) -> None:
        """Note that a pattern was at work on `texts` since `timer` said so. It may have been too long."""
        seconds = self.timer() - since
        self._spent[pattern.name] += seconds
        own, new, longest = self._debts.pop(pattern.rank, NO_DEBT)
        new += seconds - len(texts) * PER_LINE
        if own + new > 0:
            new -= sum(map(len, texts)) * PER_BYTE
            longest = max(longest, *map(len, texts))
        debt = Debt(own, new, longest)
        if debt.all > CREDIT:
            debt = debt.settled(self._worked())
        if debt.all > CREDIT:
            self._lose(pattern, longest, SLOW_FOR_MANY)
        elif debt.all > 0:
            self._debts[pattern.rank] = debt

    def _worked(self) -> float:
        """The part of the time since the batch began in which the machine let this thread work."""
        passed = self.timer() - self._begun[0]
        return min(1.0, (self._own() - self._begun[1]) / passed) if passed > 0 else 1.0

    def _lose(self, pattern: Pattern, length: int, why: str) -> None:
        self._limits[pattern.rank] = length // 2 if pattern.is_attack else 0
        self._lost.setdefault(pattern.rank, (pattern, why))

    def spent(self) -> dict[str, float]:
        """Seconds by rule since this was asked last: at the end of a batch. What comes to less than WORTH_TELLING waits
        until it is more."""
        if self._debts:
            worked = self._worked()
            self._debts = {rank: debt.settled(worked) for rank, debt in self._debts.items()}
        told = {name: seconds for name, seconds in self._spent.items() if seconds >= WORTH_TELLING}
        for name in told:
            del self._spent[name]
        return told

    def lost(self) -> tuple[tuple[Pattern, str], ...]:
        """The patterns that ran out of time since this was asked last, and in what way."""
        lost = tuple(self._lost.values())
        self._lost.clear()
        return lost
