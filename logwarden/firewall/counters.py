"""What the kernel has dropped, for those who ask often: a scrape each few seconds, however many bans there are.

Owns: that to ask the kernel takes no more than a SELDOM-th of the time; in between, it is told as it was.
Fails: never; where the firewall does not say, nothing was dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import EdgeError
from .protocol import Firewall

SELDOM = 100


class Counters:
    """`clock` gives seconds that nobody sets."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._dropped: Mapping[str, int] = {}
        self._good = -1.0  # until when

    def dropped(self, firewall: Firewall) -> Mapping[str, int]:
        """Packets dropped, by prefix."""
        begun = self._clock()
        if begun >= self._good:
            try:
                self._dropped = firewall.dropped()
            except EdgeError:
                self._dropped = {}
            ended = self._clock()
            self._good = ended + SELDOM * (ended - begun)
        return self._dropped
