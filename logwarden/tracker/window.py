"""Sliding windows over event time, one a key, in bounded memory.

Owns: who is forgotten when there is no room. The lightest go first, the longest untouched of them before the others, so
a flood of addresses with one hit each never displaces one that has two: hits up to FINE are told apart one by one,
more of them by magnitude (8-15, 16-31 ...).
Approximated: nothing as long as the keys fit. Beyond that a key of the lightest level loses its hits and starts anew:
one with a single hit, in a flood of single hits, unless its next comes before as many others as there is room for; and
one with two hits where all the others have two or more. While there is none lighter, each new key displaces the one
that was touched longest ago, and is itself the next to go. The error has one side: a hit may be forgotten, none is ever
invented.
Never: asks the clock.
"""

from __future__ import annotations

from collections import OrderedDict

Key = tuple[str, str, str]
"""An attack file, the host, the address or prefix."""
Times = tuple[float, ...]
FINE = 7
"""One less than a power of two."""


class Windows:
    """The hits of at most `capacity` keys. A hit of score 3 stands in its window three times."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._levels: dict[int, OrderedDict[Key, Times]] = {}
        self._level_of: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self._level_of)

    def __contains__(self, key: object) -> bool:
        return key in self._level_of

    def push(self, key: Key, time: float, score: int, window: float, keep: int) -> Times:
        """Add a hit and return what stands in the `window` seconds up to the newest hit, oldest first, at most `keep`.

        Hits may come in any order; one that is older than the window before the newest changes nothing.
        """
        times: Times = (time,) if score == 1 else (time,) * min(score, keep)
        if before := self.forget(key):
            times = before + times
            if before[-1] > time:
                times = tuple(sorted(times))
            horizon = times[-1] - window
            if times[0] <= horizon:
                times = tuple(hit for hit in times if hit > horizon)
            if len(times) > keep:
                times = times[-keep:]
        self._put(key, (window, *times))
        return times

    def forget(self, key: Key) -> Times:
        """Drop a key, and return the hits that stood there."""
        level = self._level_of.pop(key, None)
        if level is None:
            return ()
        times = self._levels[level].pop(key)[1:]
        if not self._levels[level]:
            del self._levels[level]
        return times

    def take_back(self, key: Key, time: float, score: int) -> bool:
        """Take a hit out of its window, where it still stands there whole."""
        window, *times = self._levels[self._level_of[key]][key] if key in self._level_of else (0.0,)
        if times.count(time) < score:
            return False
        for _ in range(score):
            times.remove(time)
        self.forget(key)
        if times:
            self._put(key, (window, *times))
        return True

    def expire(self, now: float) -> None:
        """Drop every key whose hits cannot stand in one window with a hit that is recent enough to ban."""
        items = (item for keys in self._levels.values() for item in keys.items())
        for key in [key for key, value in items if is_over(value[-1], value[0], now)]:
            self.forget(key)

    def shift(self, by: float) -> None:
        """Move every hit by so many seconds."""
        for keys in self._levels.values():
            for key, (window, *times) in keys.items():
                keys[key] = (window, *(time + by for time in times))

    def _put(self, key: Key, value: Times) -> None:
        if len(self._level_of) >= self._capacity:
            self.forget(next(iter(self._levels[min(self._levels)])))
        level = _level(len(value) - 1)
        if level not in self._levels:
            self._levels[level] = OrderedDict()
        self._levels[level][key] = value  # its window's length, then its hits
        self._level_of[key] = level


def _level(hits: int) -> int:
    """The lighter goes first."""
    return hits if hits <= FINE else FINE - FINE.bit_length() + hits.bit_length()


def is_over(time: float, window: float, now: float) -> bool:
    """Whether a hit at `time` is too old to stand in one window with a hit that is not older than its own."""
    return time <= now - 2 * window
