"""Attacks that it takes two lines of one session to see, sshd's "Too many authentication failures" and before it the
line that says whose connection it is; and lines that say of an attack what was counted already.

A rule with `requires` counts where one of the rules that it names has matched in the same session before, by its own
address or else by the latest that they named. A session is what one process says until it is silent for AGE; where
rules have a <SESSION>, as slapd's `conn=<SESSION>`, it is what is said of that, however late: who waits long enough
would be nobody. Such names are given again, when a daemon starts anew: a line that names no address, so that the next
one with its name may be of anybody, says nothing after LAPSE.

A rule with `once` does not count where another line has counted against the same address in the same session, by a
rule of any file: sshd says of a client whose password it refused that he is gone, too. So nobody is spared for what
somebody else did before him with the same pid; he himself, who gets that pid again within AGE, is, once.

Owns: what becomes of the lines of rules with `requires`, all of Severity.CONTEXT: an attack, or what they are without
these rules, which is an attack, reported, or hidden all the same. And that of rules with `once` in such a session the
score is 0; they are attacks all the same.
Bounded: the latest SESSIONS sessions are remembered, and none with a name of more than LONGEST characters. Of which
has counted already, as many: where they are forgotten in a flood, a line counts that would not.
Never: asks the clock, stores: a session whose lines stand on both sides of a restart is not followed.
"""

from __future__ import annotations

import functools
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from . import matcher
from .model import AttackRule, Classified, Context, Event, Outcome, Severity, Verdict
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
        self._counted: OrderedDict[tuple[str | None, str, Session], float] = OrderedDict()
        """When a line counted last: by the source that it was read ahead of, the address, and the session."""

    def join(self, classified: Classified, now: float, *, every: bool = False, ahead: str | None = None) -> Classified:
        """`classified` with each line as an attack that a rule with `requires` makes one, and with a score of 0 where
        a rule with `once` says nothing new.

        Verdicts on lines that are simply ignored all the same are left out unless `every` is set. `now` dates a line
        that has no time. `ahead`: the source that they were read ahead of; what counts there counts again in its turn.
        """
        if any(each.contexts for each in classified.verdicts):
            classified = self._joined(classified, now, every)
        if not any(each.outcome is Outcome.ATTACK for each in classified.verdicts):
            return classified
        return replace(classified, verdicts=tuple(self._counting(each, now, ahead) for each in classified.verdicts))

    def _joined(self, classified: Classified, now: float, every: bool) -> Classified:
        joined = [(each, self._judged(each, now) if each.contexts else each) for each in classified.verdicts]
        counts, hits = Counter(classified.counts), Counter(classified.hits)
        for old, new in joined:
            if new is not old:
                counts[old.outcome] -= 1
                counts[new.outcome] += 1
                hits[str(new.attack_by)] += 1
        kept = (each for _, each in joined if every or each.outcome is not Outcome.IGNORED)
        return replace(classified, counts=counts, hits=dict(hits), verdicts=tuple(kept))

    def shift(self, by: float) -> None:
        """The clock has jumped."""
        for seen in self._sessions.values():
            seen.update({rule: each._replace(time=each.time + by) for rule, each in seen.items()})
        self._counted.update({key: time + by for key, time in self._counted.items()})

    def count_anew(self, ahead: str | None = None) -> None:
        """Lines come that may have counted before, and count no more: those ahead of a source, or of all sources."""
        kept = ((key, time) for key, time in self._counted.items() if ahead and key[0] != ahead)
        self._counted = OrderedDict(kept)

    def _counting(self, verdict: Verdict, now: float, ahead: str | None) -> Verdict:
        """The same verdict, with a score of 0 where it is an attack that has counted already."""
        rule, event, address = verdict.attack_by, verdict.event, verdict.address
        if rule is None or address is None or rule.severity is not Severity.ATTACK:
            return verdict
        session = _session(rule, event)
        if session is None:
            return verdict
        key, time = (ahead, address, session), _time(event, now)
        before = self._counted.pop(key, None)
        again = rule.once and before is not None and before <= time <= before + AGE
        self._counted[key] = time
        if len(self._counted) > self._capacity:
            self._counted.popitem(last=False)
        return verdict._replace(attack_by=_without_score(rule)) if again else verdict

    def _judged(self, verdict: Verdict, now: float) -> Verdict:
        """The same verdict where its session makes it no attack, or it is one without."""
        event = verdict.event
        time = _time(event, now)
        sessions = [
            (each, self._seen(session, time)) for each in verdict.contexts if (session := _session(each.rule, event))
        ]
        sources = ((context.rule, _source(context, seen, time)) for context, seen in sessions)
        rule, source = next((found for found in sources if found[1]), (None, None))
        for context, seen in sessions:
            seen[str(context.rule)] = Seen(time, context.address)
        if rule is None or _is_accused(verdict):
            return verdict
        hidden = verdict.ignored_by if verdict.ignored_by and not verdict.ignored_by.exempts else None
        return verdict._replace(
            outcome=Outcome.ATTACK, ignored_by=hidden, attack_by=_as_attack(rule), address=source, quarantined_for=None
        )

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


def _is_accused(verdict: Verdict) -> bool:
    """Whether a line is somebody's attack without its session."""
    rule = verdict.attack_by
    return rule is not None and rule.severity is Severity.ATTACK and verdict.address is not None


def _source(context: Context, seen: Mapping[str, Seen], time: float) -> str | None:
    """Whose attack a line is, by its own word or by those `seen` before; None where it is none, or nobody knows."""
    names = (f"{context.rule.file}#{name}" for name in context.rule.requires)
    earlier = [seen[name] for name in names if name in seen and seen[name].holds(time)]
    named = max((each for each in earlier if each.address), key=lambda each: each.time, default=None)
    return (context.address or (named and named.address)) if earlier else None


def _time(event: Event, now: float) -> float:
    return now if event.time is None else min(event.time, now)


def _session(rule: AttackRule, event: Event) -> Session | None:
    """The session that a line is of; None where it does not say, or there is doubt about it."""
    named = matcher.session(rule, event.message)
    if named is None or len(named) > LONGEST or (event.pid is None and not named) or doubt(rule, event):
        return None
    return event.host or "", event.program or "", event.pid, named


@functools.lru_cache(maxsize=256)
def _as_attack(rule: AttackRule) -> AttackRule:
    return rule._replace(severity=Severity.ATTACK)


@functools.lru_cache(maxsize=256)
def _without_score(rule: AttackRule) -> AttackRule:
    return rule._replace(score=0)
