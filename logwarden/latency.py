"""How long lines take from the time that they bear to their verdict being in force, as a histogram.

One observation a batch, of its newest line: the others waited for it. Where a stamp says whole seconds, up to one is
added. Owns: the buckets. Never: fails; a line without a time, or from the future, is no observation or one of 0.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import Any

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0)
"""Upper bounds of the buckets, seconds. The last bucket has none."""


class Histogram:
    """Counts since the start."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        seconds = max(0.0, seconds)
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._sum += seconds

    def dump(self) -> dict[str, Any]:
        """`buckets`: pairs of an upper bound ("+Inf" the last) and how many were at most that; `sum`: seconds."""
        bounds = [*map(str, BOUNDS), "+Inf"]
        return {"buckets": list(zip(bounds, accumulate(self._counts), strict=True)), "sum": self._sum}
