"""Attacks that it takes two lines of one session to see: sshd's "Too many authentication failures", and before it the
line that says whose connection it is.

A rule with `requires` counts where one of the rules that it names has matched in the same session before, by its own
address or else by the latest that they named. A session is what one process says until it is silent for AGE; where
rules have a <SESSION>, as slapd's `conn=<SESSION>`, it is what is said of that, however late: who waits long enough
would be nobody. Such names are given again, when a daemon starts anew: a line that names no address, so that the next
one with its name may be of anybody, says nothing after LAPSE.

Owns: what becomes of the lines of such rules, all of Severity.CONTEXT: an attack, or what they are without these rules.
Bounded: the latest SESSIONS sessions are remembered, and none with a name of more than LONGEST characters.
Never: asks the clock, stores: a session whose lines stand on both sides of a restart is not followed.
"""

from __future__ import annotations

import functools
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from . import matcher
from .model import AttackRule, Classified, Event, Outcome, Severity, Verdict
from .tracker import doubt

SESSIONS = 8_192
AGE = 600.0
"""Seconds of silence after which a process may be another one with its pid."""
LAPSE = 3_900.0
"""Seconds: more than Sendmail waits for a command, an hour."""
LONGEST = 256

Session = tuple[str, str, int | None, str]
"""Host, program, pid, and what stands at <SESSION>, if anything."""


class Seen(NamedTuple):
    """A line that later ones may refer to: the address that its rule named, if any."""

    time: float
    address: str | None

    def holds(self, time: float) -> bool:
        """Whether it says something of a line of this time."""
        return self.time <= time and (self.address is not None or time - self.time <= LAPSE)


class Correlation:
    """The sessions seen lately. One thread's."""

    def __init__(self, capacity: int = SESSIONS) -> None:
        self._capacity = capacity
        self._sessions: OrderedDict[Session, dict[str, Seen]] = OrderedDict()
        """Of each session, by rule, the last line that it matched."""

    def join(self, classified: Classified, now: float, *, every: bool = False) -> Classified:
        """`classified` with each line of a rule with `requires` as an attack or as none, and no attack of a context.

        Verdicts on lines that are then simply ignored are left out unless `every` is set. `now` dates a line that has
        no time.
        """
        joined = [(each, self._judged(each, now)) for each in classified.verdicts]
        changed = [(old, new) for old, new in joined if old is not new]
        if not changed:
            return classified
        counts, hits = Counter(classified.counts), Counter(classified.hits)
        for old, new in changed:
            counts[old.outcome] -= 1
            counts[new.outcome] += 1
            if new.attack_by is None:
                hits[str(old.attack_by)] -= 1
        kept = (new for old, new in joined if every or new is old or new.outcome is not Outcome.IGNORED)
        return replace(classified, counts=counts, hits=dict(+hits), verdicts=tuple(kept))

    def shift(self, by: float) -> None:
        """The clock has jumped."""
        for seen in self._sessions.values():
            seen.update({rule: each._replace(time=each.time + by) for rule, each in seen.items()})

    def _judged(self, verdict: Verdict, now: float) -> Verdict:
        """The same verdict where no session matters."""
        rule = verdict.attack_by
        if rule is None or rule.severity is not Severity.CONTEXT:
            return verdict
        time = now if verdict.event.time is None else min(verdict.event.time, now)
        source = None
        if session := _session(rule, verdict.event):
            seen = self._seen(session, time)
            required = {f"{rule.file}#{name}" for name in rule.requires}
            earlier = [each for name, each in seen.items() if name in required and each.holds(time)]
            source = _source(verdict.address, earlier)
            seen[str(rule)] = Seen(time, verdict.address)
        if source:
            return verdict._replace(attack_by=_as_attack(rule), address=source)
        outcome = Outcome.IGNORED if verdict.ignored_by else Outcome.UNEXPLAINED
        return verdict._replace(outcome=outcome, attack_by=None, address=None)

    def _seen(self, session: Session, time: float) -> dict[str, Seen]:
        """What was seen of a session that says something once more, to be added to."""
        seen = self._sessions.setdefault(session, {})
        self._sessions.move_to_end(session)
        if len(self._sessions) > self._capacity:
            self._sessions.popitem(last=False)
        *_, named = session
        if not named and seen and time - max(each.time for each in seen.values()) > AGE:
            seen.clear()
        return seen


def _source(own: str | None, earlier: Sequence[Seen]) -> str | None:
    """Whose attack a line is that names its `own` address, or nobody; None where it is none, or nobody knows."""
    named = max((each for each in earlier if each.address), key=lambda each: each.time, default=None)
    return (own or (named and named.address)) if earlier else None


def _session(rule: AttackRule, event: Event) -> Session | None:
    """The session that a line is of; None where it does not say, or there is doubt about it."""
    named = matcher.session(rule, event.message)
    if named is None or len(named) > LONGEST or (event.pid is None and not named) or doubt(rule, event):
        return None
    return event.host or "", event.program or "", event.pid, named


@functools.lru_cache(maxsize=256)
def _as_attack(rule: AttackRule) -> AttackRule:
    return rule._replace(severity=Severity.ATTACK)
