"""A clock that somebody set: how far the wall clock has jumped, as told by the one that nobody can set.

Owns: the difference between the wall clock (POSIX seconds) and the boot clock (CLOCK_BOOTTIME: runs through suspend, is
slewed as the wall clock is, never stepped). Where it changes by more than SLACK, the wall clock has jumped.
What a former run left (`mark`) tells of a jump in between, if the machine has not been booted since. If it has, a clock
that stands before the mark has gone back: time is then taken to have stood still meanwhile. A clock that leapt
forward over a boot cannot be told from a machine that was off, until it is set back to a time after the mark: then what
is older than the boot was told by a clock that was right, and stays as it is (`unmoved`).
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
        self._over: tuple[float, float] | None = None  # the wall clock before the boot and after, until it jumps

    def jump(self) -> float:
        """Seconds that the wall clock has jumped since the last that was told; 0.0 where it has not."""
        offset = self.now() - self._since_boot()
        by = offset - self._offset
        if abs(by) <= SLACK:
            return 0.0
        self._offset = offset
        return by

    def unmoved(self, by: float) -> float | None:
        """Up to when times are right as they are though the clock has jumped by so many seconds; None: none is.

        To be asked once for each jump that was told.
        """
        over, self._over = self._over, None
        if over is None or by >= 0.0 or over[1] + by < over[0] - SLACK:
            return None
        return over[1]

    def mark(self) -> dict[str, Any]:
        """What the next run compares its clocks with, as plain data for JSON."""
        wall = self._offset + self._since_boot()
        return {"boot": self._boot, "offset": self._offset, "wall": wall, "over": self._over}

    def jump_since(self, mark: Any) -> float:
        """Seconds that the wall clock has jumped since a former run's `mark`, as far as that can be known."""
        try:
            boot, offset, wall = mark["boot"], float(mark["offset"]), float(mark["wall"])
            before, after = mark.get("over") or (wall, self.now())
        except (KeyError, TypeError, ValueError):
            return 0.0
        if boot == self._boot:
            self._over = (before, after) if mark.get("over") else None
            by = self._offset - offset
        else:
            by = min(0.0, self.now() - wall)
            self._over = None if by else (wall, self.now())
        return by if abs(by) > SLACK else 0.0

    def booted_since(self, mark: Any) -> float | None:
        """When the machine was booted, POSIX seconds, where a former run's `mark` is of another boot; else None."""
        known = isinstance(mark, dict) and mark.get("boot") and self._boot
        return self._offset if known and mark["boot"] != self._boot else None
