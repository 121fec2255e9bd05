"""Who was banned before: how long the next ban is, and when a prefix's banned neighbours are too many.

Owns: growing bans, the repeat-offender policy over all attack files, and the count of banned neighbours.
Never: decides that somebody is banned. Memory is bounded: those whose last ban lies furthest back are forgotten first,
and are then met as if for the first time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from ..address import Prefix, prefix
from ..model import Ban, Policy

MOST = 64
"""Earlier bans that may make one longer; 2 to this power times a second is for ever."""
SPENT = 86_400.0
"""Seconds after its end for which a ban is known at least, and with it which hits it has spent."""


class Growth(NamedTuple):
    """Each ban is `factor` times as long as the one before, up to `ceiling` seconds.

    For every `decay` seconds without a ban one earlier ban is forgiven. A factor of 1 turns growth off.
    """

    factor: float = 2.0
    ceiling: float = 7 * 86_400.0
    decay: float = 86_400.0

    def length(self, ban: float, times: int) -> float:
        """The seconds that a ban of `ban` seconds takes after `times` earlier ones."""
        return max(ban, min(ban * self.factor ** min(times, MOST), self.ceiling))

    def memory(self, ban: float) -> float:
        """The seconds for which past bans matter that led from `ban` seconds up to the ceiling: until all are forgiven.

        Those of somebody who was banned oftener yet are forgiven sooner after a restart than without one.
        """
        steps = (times for times in range(MOST) if self.length(ban, times) == self.length(ban, MOST))
        return self.decay * (1 + next(steps, MOST)) if self.factor > 1 else 0.0


class Aggregation(NamedTuple):
    """Ban the whole prefix when `threshold` addresses inside it were banned within `window` seconds, for `ban` seconds.

    At most `cap` prefixes are banned so at one time.
    """

    threshold: int
    window: float
    ban: float
    ipv4_length: int = 24
    ipv6_length: int = 48
    cap: int = 256


@dataclass(slots=True)
class _Past:
    count: int = 0
    until: float = 0.0
    recent: tuple[float, ...] = ()  # when the latest bans began, oldest first


class History:
    """The past bans of at most `capacity` prefixes. `repeat` of None: there is no repeat-offender policy."""

    def __init__(self, growth: Growth, repeat: Policy | None, capacity: int) -> None:
        self._growth, self._repeat, self._capacity = growth, repeat, capacity
        self._past: OrderedDict[str, _Past] = OrderedDict()

    def note(self, ban: Ban) -> None:
        """Remember a ban. One that does not begin after the last one remembered only prolongs that one."""
        past = self._past.pop(ban.prefix, None) or _Past()
        if not past.recent or ban.since > past.recent[-1]:
            past.count = self._remembered(past, ban.since) + 1
            past.recent = (*past.recent, ban.since)[-(self._repeat.threshold if self._repeat else 1) :]
        past.until = max(past.until, ban.until)
        self._past[ban.prefix] = past
        if len(self._past) > self._capacity:
            self._past.popitem(last=False)

    def next_ban(self, network: str, ban: float, now: float) -> tuple[float, str]:
        """How many seconds the next ban of `network` takes where the policy says `ban`, and a remark, maybe empty."""
        past = self._past.get(network)
        if past is None:
            return ban, ""
        times = self._remembered(past, now)
        length = self._growth.length(ban, times)
        remark = f"; banned {times} times before" if times > 1 else "; banned once before" if times else ""
        if self._repeat and self._is_repeated(past, self._repeat, now):
            return max(length, self._repeat.ban), f"{remark}; a repeat offender"
        return length, remark

    def spent(self, network: str) -> float:
        """When the last ban of `network` ends, or has ended: hits from before are spent. 0.0: there was none."""
        past = self._past.get(network)
        return past.until if past else 0.0

    def lift(self, network: str, now: float) -> None:
        """Its ban ends now, if it has not ended yet."""
        if past := self._past.get(network):
            past.until = min(past.until, now)

    def expire(self, now: float) -> None:
        """Forget those whom both policies have forgiven."""
        for text in [text for text, past in self._past.items() if self._is_forgiven(past, now)]:
            del self._past[text]

    def shift(self, by: float) -> None:
        """Move every past ban by so many seconds."""
        for past in self._past.values():
            past.until += by
            past.recent = tuple(since + by for since in past.recent)

    def _is_repeated(self, past: _Past, rule: Policy, now: float) -> bool:
        return 1 + sum(since > now - rule.window for since in past.recent) >= rule.threshold

    def _remembered(self, past: _Past, now: float) -> int:
        return max(0, past.count - int(max(0.0, now - past.until) // self._growth.decay))

    def _is_forgiven(self, past: _Past, now: float) -> bool:
        repeats = self._repeat is not None and past.recent[-1] > now - self._repeat.window
        return past.until <= now - SPENT and not repeats and self._remembered(past, now) == 0


class Neighbours:
    """Counts, for each wide prefix, which prefixes inside it were banned lately."""

    def __init__(self, rule: Aggregation, capacity: int) -> None:
        self._rule, self._capacity = rule, capacity
        self._since: OrderedDict[Prefix, dict[str, float]] = OrderedDict()  # no more a prefix than the threshold

    def note(self, ban: Ban) -> tuple[Prefix, int] | None:
        """Remember a ban, and return its wide prefix with the number banned there where they are now too many."""
        wide = self._around(prefix(ban.prefix))
        if wide is None:
            return None
        since = self._since.pop(wide, {})
        since.pop(ban.prefix, None)
        recent = {text: time for text, time in since.items() if time > ban.since - self._rule.window}
        self._since[wide] = since = dict([*recent.items(), (ban.prefix, ban.since)][-self._rule.threshold :])
        if len(self._since) > self._capacity:
            self._since.popitem(last=False)
        return (wide, len(since)) if len(since) >= self._rule.threshold else None

    def forget(self, network: Prefix) -> None:
        """Its ban was lifted, and tells nothing of those around it. Nor do those in it, where it is a wide prefix."""
        self._since.pop(network, None)
        wide = self._around(network)
        if wide is not None and (since := self._since.pop(wide, None)):
            since.pop(str(network), None)
            if since:
                self._since[wide] = since

    def _around(self, network: Prefix) -> Prefix | None:
        """The wide prefix that a narrower one is in."""
        length = self._rule.ipv4_length if network.version == 4 else self._rule.ipv6_length
        return network.supernet(new_prefix=length) if network.prefixlen > length else None

    def expire(self, now: float) -> None:
        """Forget the wide prefixes in which nobody was banned lately."""
        horizon = now - self._rule.window
        for wide in [wide for wide, since in self._since.items() if max(since.values()) <= horizon]:
            del self._since[wide]

    def shift(self, by: float) -> None:
        """Move every past ban by so many seconds."""
        for since in self._since.values():
            since.update({text: time + by for text, time in since.items()})
