"""Hits that can be taken back: whoever logs in is not the attacker that his mistyped passwords made him look like.

Owns: which hits were lately counted against whom, and whose login was tried: a user takes back the hits that name him
and nobody else. So one who has an account, and guesses the passwords of others, takes back none of these.
Bounded: the latest CAPACITY hits of rules that name a user, of lines of LONGEST characters. What is forgotten in a
flood can not be taken back: it stays.
Never: names a user, or looks for one, before somebody logs in: of hits there are many, of logins few.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable
from typing import NamedTuple

from .. import header
from ..address import Prefix, parse
from ..model import AttackRule, Verdict
from .window import Key

CAPACITY = 4_000
LONGEST = 500


class Attempt(NamedTuple):
    """A hit as it stands in its window, and what it was counted for."""

    key: Key
    time: float
    rule: AttackRule
    verdict: Verdict


def names_user(rule: AttackRule) -> bool:
    """Whether a line that it matches may say whose login failed."""
    return bool(rule.programs) and ("<USER>" in rule.regex or "<LOGIN>" in rule.regex)


class Attempts:
    """The latest of them."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._latest: deque[Attempt] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self._latest)

    def note(self, key: Key, time: float, rule: AttackRule, verdict: Verdict) -> None:
        """It has been counted."""
        if names_user(rule) and len(verdict.event.raw) <= LONGEST:
            self._latest.append(Attempt(key, time, rule, verdict))

    def by(self, user: str, place: Prefix) -> list[Attempt]:
        """Those from within `place` that were on `user` and on nobody else; they are remembered no longer."""
        from ..matcher import users  # with the first login

        named = (each for each in self._latest if user in each.verdict.event.raw)
        there = (each for each in named if each.verdict.address and _is_in(each.verdict.address, place))
        his = [each for each in there if users(each.rule, _message(each)) == {user}]
        if his:
            taken = set(map(id, his))
            self._keep(each for each in self._latest if id(each) not in taken)
        return his

    def expire(self, standing: Container[Key]) -> None:
        """Forget those whose windows are not among the `standing`."""
        self._keep(each for each in self._latest if each.key in standing)

    def shift(self, by: float) -> None:
        """Move every hit by so many seconds."""
        self._keep(each._replace(time=each.time + by) for each in self._latest)

    def _keep(self, attempts: Iterable[Attempt]) -> None:
        self._latest = deque(attempts, self._latest.maxlen)


def _is_in(text: str, place: Prefix) -> bool:
    address = parse(text)
    return address.version == place.version and address in place


def _message(attempt: Attempt) -> str:
    """What its line says; of one that was counted before a restart, the line alone is known."""
    event, (program, *_) = attempt.verdict.event, attempt.rule.programs
    return event.message or header.parse(event.raw.encode("utf-8", "backslashreplace"), program, attempt.time).message
