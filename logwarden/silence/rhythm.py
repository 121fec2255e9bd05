"""How often somebody speaks, and how long a silence is too long.

An estimate for life on few numbers: how many silences there were, how long all of them together, and the longest of
each of the last WEEKS weeks. It is too long to be chance where a silence exceeds
- 1.5 times the longest of those weeks, for one who speaks by the clock (the longest was at most 1.5 times the mean), or
- 4 times the longest, for anybody else; after n random silences the chance that the next is so long is about 1/n^4;
an hour at least. One that was too long, and reported, counts as just not too long: an outage is no habit.
Nobody is known before eight days, which hold a weekend, and as many silences as stand below.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

RESOLUTION = 60.0
"""Seconds within which lines count as one: no shorter silence is noticed."""
WEEK, WEEKS = 7 * 86_400.0, 5
KNOWN = 8 * 86_400.0
SHORTEST = 3_600.0
EVENLY, BY_CLOCK, BY_CHANCE = 1.5, (7, 1.5), (20, 4.0)
"""The longest silence over the mean of one who speaks by the clock; for each kind, how many silences must be known, and
how many times the longest is too long."""


@dataclass(slots=True)
class Rhythm:
    """One subject's. `last` is when it was last heard; `named`: this silence has been reported."""

    last: float
    silences: float = 0.0
    total: float = 0.0
    week: float = 0.0
    longest: list[float] = field(default_factory=lambda: [0.0])
    """The longest silence of each week, the current one first; `week` is when that began."""
    named: bool = False

    def hear(self, now: float) -> None:
        """It spoke. Of lines within RESOLUTION the first counts."""
        silence = now - self.last
        if silence < RESOLUTION:
            return
        if self.named:
            silence = min(silence, self.limit() or silence)
        self._turn(now)
        self.silences += 1
        self.total += silence
        self.longest[0] = max(self.longest[0], silence)
        self.last, self.named = now, False

    def _turn(self, now: float) -> None:
        """Begin a new week where one is over; what lies further back fades out of the mean."""
        self.week = self.week or now
        while now >= self.week + WEEK and len(self.longest) < 2 * WEEKS:
            self.week += WEEK
            self.longest.insert(0, 0.0)
            if len(self.longest) > WEEKS:
                self.silences *= 1 - 1 / WEEKS
                self.total *= 1 - 1 / WEEKS
        if now >= self.week + WEEK:
            self.week = now
        del self.longest[WEEKS:]

    def limit(self) -> float | None:
        """Seconds of silence that are too many; None where it is not known well enough to say."""
        if self.total < KNOWN:
            return None
        longest = max(self.longest)
        for (silences, times), fits in (
            (BY_CLOCK, longest * self.silences <= EVENLY * self.total),
            (BY_CHANCE, True),
        ):
            if fits and self.silences >= silences:
                return max(times * longest, SHORTEST)
        return None

    def is_late(self, now: float) -> bool:
        """Whether it is silent for longer than it was wont to be: time to listen for it closely."""
        return now - self.last > max(*self.longest, SHORTEST / 2) and self.limit() is not None

    def shift(self, by: float) -> None:
        """Move every time by so many seconds."""
        self.last += by
        self.week += by if self.week else 0.0

    def dump(self) -> list[Any]:
        """What `load` takes, as plain data for JSON."""
        return [self.last, self.silences, self.total, self.week, self.longest, self.named]

    @classmethod
    def load(cls, data: list[Any]) -> Rhythm:
        """The rhythm that `dump` gave."""
        last, silences, total, week, longest, named = data
        return cls(last, silences, total, week, list(longest) or [0.0], named)
