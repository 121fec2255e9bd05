"""What an engine is: something that says which of its patterns match which lines of a block.

Owns: the shape of the answer, and the patience that all engines share with rules that take too long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from .patterns import Pattern


class Found(NamedTuple):
    """All matches in a block. Match N is the pattern of `ids[N]`, on the line that ends (at its newline) at offset
    `ends[N]`; no match twice, in no order. `late`: (end, id) where time ran out."""

    ends: list[int]
    ids: list[int]
    late: list[tuple[int, int]]


class Engine(Protocol):
    """Patterns that are matched together."""

    @property
    def patterns(self) -> Mapping[int, Pattern]:
        """What the ids stand for."""
        ...

    def scan(self, block: bytes) -> Found:
        """All matches in `block`: whole lines, raw or canonical (see `lines`), each with its newline."""
        ...


class Patience:
    """Which rules ran out of time in the `regex` package.

    An ignore rule is suspended: its lines are reported. An attack rule is still tried on lines of less than half the
    length that it failed on, so that nobody can switch off the detection of himself with one long line; half of half
    is soon nothing, so that no rule holds the daemon for long either way.
    """

    def __init__(self) -> None:
        self._limits: dict[int, int] = {}
        self._lost: dict[int, Pattern] = {}

    def allows(self, pattern: Pattern, length: int) -> bool:
        """Whether a pattern may be tried on a line of `length` bytes."""
        limit = self._limits.get(pattern.rank)
        return limit is None or length < limit

    def lose(self, pattern: Pattern, length: int) -> None:
        """Note that a pattern ran out of time on a line of `length` bytes."""
        self._limits[pattern.rank] = length // 2 if pattern.is_attack else 0
        self._lost[pattern.rank] = pattern

    def lost(self) -> tuple[Pattern, ...]:
        """The patterns that ran out of time since this was asked last."""
        lost = tuple(self._lost.values())
        self._lost.clear()
        return lost
