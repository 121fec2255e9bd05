"""Hits that can be taken back: whoever logs in is not the attacker that his mistyped passwords made him look like.

Owns: which hits were lately counted against whom, and whose login was tried: a user takes back the hits that name him
and nobody else. So one who has an account, and guesses the passwords of others, takes back none of these.
Bounded: the latest CAPACITY hits of a rule that names a user, of lines of LONGEST characters, and MOST from one place.
What is forgotten in a flood, or was counted before a restart or a reload, can not be taken back: it stays.
Never: names a user before somebody logs in, for that takes longer than to count a hit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container
from typing import NamedTuple

from ..address import Address, Prefix
from ..model import AttackRule, Verdict
from .window import Key

CAPACITY = 4_000
LONGEST = 500
MOST = 50
_NAMES = ("<USER>", "<LOGIN>")


class Attempt(NamedTuple):
    """A hit as it stands in its window, and what it was counted for."""

    key: Key
    time: float
    rule: AttackRule
    verdict: Verdict


class Attempts:
    """By the address that they came from, or the prefix that its owner holds."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._from: OrderedDict[Address | Prefix, list[Attempt]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def note(self, place: Address | Prefix, attempt: Attempt) -> None:
        """It has been counted."""
        if len(attempt.verdict.event.raw) > LONGEST or not any(name in attempt.rule.regex for name in _NAMES):
            return
        there = self._pop(place)
        there.append(attempt)
        self._put(place, there[-MOST:])
        while self._size > self._capacity:
            self._pop(next(iter(self._from)))

    def by(self, user: str, place: Address | Prefix) -> list[Attempt]:
        """Those from this place that were on `user` and on nobody else; they are remembered no longer."""
        if place not in self._from:
            return []
        from ..matcher import users  # with the first login after a hit

        his: list[Attempt] = []
        others: list[Attempt] = []
        for each in self._pop(place):
            (his if users(each.rule, each.verdict.event.message) == {user} else others).append(each)
        self._put(place, others)
        return his

    def expire(self, standing: Container[Key]) -> None:
        """Forget those whose windows are not among the `standing`."""
        for place in [*self._from]:
            self._put(place, [each for each in self._pop(place) if each.key in standing])

    def shift(self, by: float) -> None:
        """Move every hit by so many seconds."""
        for there in self._from.values():
            there[:] = [each._replace(time=each.time + by) for each in there]

    def _pop(self, place: Address | Prefix) -> list[Attempt]:
        there = self._from.pop(place, [])
        self._size -= len(there)
        return there

    def _put(self, place: Address | Prefix, there: list[Attempt]) -> None:
        if there:
            self._from[place] = there
            self._size += len(there)
