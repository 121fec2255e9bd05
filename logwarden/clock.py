"""A clock that somebody set: how far the wall clock has jumped, as told by the one that nobody can set.

Owns: the difference between the wall clock (POSIX seconds) and the boot clock (CLOCK_BOOTTIME: runs through suspend, is
slewed as the wall clock is, never stepped). Where it changes by more than SLACK, the wall clock has jumped.
What a former run left (`mark`) tells of a jump in between, if the machine has not been booted since. If it has, a clock
that stands before the mark has gone back: time is then taken to have stood still meanwhile. A clock that leapt
forward over a boot cannot be told from a machine that was off, and nothing is done about it.
Never: asks a clock: the two are given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SLACK = 10.0
"""Seconds that the clocks may drift apart, all in all, before what we keep is moved: no ban is wrong by more."""


class Clock:
    """The wall clock, watched. `boot` names the boot that the boot clock counts from."""

    def __init__(self, wall: Callable[[], float], since_boot: Callable[[], float], boot: str) -> None:
        self.now = wall
        self._since_boot = since_boot
        self._boot = boot
        self._offset = wall() - since_boot()

    def jump(self) -> float:
        """Seconds that the wall clock has jumped since the last that was told; 0.0 where it has not."""
        offset = self.now() - self._since_boot()
        by = offset - self._offset
        if abs(by) <= SLACK:
            return 0.0
        self._offset = offset
        return by

    def mark(self) -> dict[str, Any]:
        """What the next run compares its clocks with, as plain data for JSON."""
        return {"boot": self._boot, "offset": self._offset, "wall": self._offset + self._since_boot()}

    def jump_since(self, mark: Any) -> float:
        """Seconds that the wall clock has jumped since a former run's `mark`, as far as that can be known."""
        try:
            boot, offset, wall = mark["boot"], float(mark["offset"]), float(mark["wall"])
        except (KeyError, TypeError, ValueError):
            return 0.0
        by = self._offset - offset if boot == self._boot else min(0.0, self.now() - wall)
        return by if abs(by) > SLACK else 0.0
