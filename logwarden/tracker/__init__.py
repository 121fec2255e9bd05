"""Attacks counted per attack file, host that was attacked, and address; when there are too many, a Ban.

Owns: what counts (severity, provenance, length, event time), whose prefix it counts against, and how long a ban is.
Never: asks a clock, writes anything down, or tells the firewall: the caller does. After a restart, or a transaction
that failed, `restore` rebuilds it from what was written.
What is read ahead of a backlog stands in windows of its own, one set a source, for it comes again in its turn: no hit
counts twice towards a ban, and one from before the end of its prefix's last ban, however late it is read, is spent.
Memory: at most `capacity` windows, bans and pasts, AHEAD windows for each source that is far behind, and some of the
latest hits whose user may take them back (attempts.py). What is
approximated beyond that: the lightest windows lose their hits (window.py), the oldest bans are forgotten and may be
given again (inforce.py), the oldest offenders are met as new (history.py). No window ever holds a hit that was not
there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from typing import NamedTuple, Protocol

from ..address import Address, Guard, Prefix, host_prefix, parse, prefix, source_prefix, spelt
from ..model import AttackRule, Ban, Event, Outcome, Policy, Severity, Verdict
from . import cut, provenance
from .attempts import Attempts
from .history import Aggregation, Growth, History, Neighbours
from .inforce import BansInForce, Deadlines
from .window import Times, Windows, is_over

__all__ = ["NO_RULE", "Aggregation", "Growth", "Hit", "Known", "Spared", "Tracker", "counts", "doubt"]

CAPACITY = 100_000
"""Windows, bans and pasts kept by default."""

PLACES = 1_000
"""Pairs of attack file and host that count apart. Who can forge the host in a line can invent any number of them:
what comes later counts together, whatever host it names."""

RESTORED_WINDOW = 86_400.0
"""Seconds that restored hits are kept until the next hit of their prefix brings its rule, and with it the policy; or as
long as the longest window of a policy that is known."""

RESTORED_HITS = 1_000
"""Restored hits kept for one prefix until then; or as many as the highest threshold."""

NO_RULE = ("manual", "recovered")
"""What stands in the place of an attack file where no rule led to a ban."""

SPARED_APART = 1_000
"""Spared that are said of each address by itself, where a line may have been cut: who writes such lines can name any
number of addresses. What comes later is said once an attack file."""

AHEAD = 10_000
"""Windows kept of what is read ahead of one source's backlog."""


class Spared(NamedTuple):
    """A prefix that an attack file would have banned, and why it is not. Said once a ban length, not once a hit."""

    prefix: str
    attack: str
    why: str


class Known(Protocol):
    """Who logs in from where, as far as it is known: the reason why somebody is not to be locked out, or None."""

    def as_same_user(self, address: Address, rule: AttackRule, message: str, now: float) -> str | None:
        """Whether the user whom a message that `rule` matches is about has logged in from this address lately."""

    def logged_in(self, network: Prefix, now: float) -> str | None:
        """Whether somebody who came from there is logged in, or has been lately where it is more than one address."""


class Hit(NamedTuple):
    """An attack line as it was written down: POSIX seconds, attack file, address, the rule's score, host attacked; and
    what it takes to know whose login it was, where it may be taken back: the rule, and the line."""

    time: float
    file: str
    address: str
    score: int
    host: str = ""
    rule: AttackRule | None = None
    line: str = ""


def counts(verdict: Verdict) -> bool:
    """Whether this line counts against its address: an attack, with an address, and no doubt about either."""
    accused = _accused(verdict)
    return accused is not None and doubt(accused[0], verdict.event) is None


def doubt(rule: AttackRule, event: Event) -> str | None:
    """Why a line that `rule` matches may be somebody else's, or the address that it finds; None: it says who it was."""
    return provenance.doubt(event.program, event.provenance) or cut.doubt(rule, event)


def _accused(verdict: Verdict) -> tuple[AttackRule, str] | None:
    rule, address = verdict.attack_by, verdict.address
    return (rule, address) if rule and address and rule.severity is Severity.ATTACK and rule.score else None


class Tracker:
    """All windows, and what is known of the bans. One thread's.

    `known` keeps those out of it who are logged in, or were lately.
    A file's policy is the one in `policies` (the config's), else the one in the file, else `default`. `guard` may be
    replaced at any time; bans in force that a new one refuses are the caller's to lift.
    """

    def __init__(
        self,
        default: Policy,
        policies: Mapping[str, Policy] | None = None,
        guard: Guard | None = None,
        *,
        growth: Growth | None = None,
        repeat: Policy | None = None,
        aggregation: Aggregation | None = None,
        ipv6_length: int = 64,
        capacity: int = CAPACITY,
        known: Known | None = None,
    ) -> None:
        self.guard = guard or Guard()
        self._default, self._policies = default, policies or {}
        self._ipv6_length = ipv6_length
        self._windows = Windows(capacity)
        self._attempts = Attempts()
        self._ahead: dict[str, Windows] = {}  # by source
        self._places: set[tuple[str, str]] = set()
        self._bans = BansInForce(capacity)
        self._spared: Deadlines[tuple[str, str]] = Deadlines(capacity)
        self._history = History(growth or Growth(), repeat, capacity)
        self._aggregation = aggregation
        self._neighbours = Neighbours(aggregation, capacity) if aggregation else None
        self._known = known
        self._leap = (0.0, 0.0)  # when the clock leapt forward, by itself as it stood before, and how far

    # --- a hit ----------------------------------------------------------------------------------------------

    def weigh(self, verdict: Verdict, now: float, ahead: str | None = None) -> tuple[bool, Ban | Spared | None]:
        """Count an attack line. Returns whether it counts: as `counts` says, and nobody's who logged in lately as the
        user that it names; and the ban that it completes, or Spared where guard or provenance forbid it.

        Its time is the event's, never later than `now`; where it has none, `now`. Nobody is banned for what is over:
        for hits older than their window, or where the ban, counted from the newest hit, would have ended.

        `ahead`: the source that it was read ahead of. It counts with others ahead of that source, and with nothing
        else; not at all where its time could not tell, when it comes again, that a ban has spent it.
        """
        accused = _accused(verdict)
        if accused is None:
            return False, None
        (rule, text), event = accused, verdict.event
        policy = self._policies.get(rule.file) or rule.policy or self._default
        forged = event.provenance and provenance.doubt(event.program, event.provenance)
        doubtful = forged or cut.doubt(rule, event)
        try:
            address, alone = _host(text)
        except ValueError:
            return not doubtful, self._spare("not an address", Spared(text, rule.file, "not an address"), policy, now)
        if doubtful:
            about = _writer(verdict) if forged else f"cut {text if len(self._spared) < SPARED_APART else None}"
            return False, self._spare(about, Spared(str(host_prefix(address)), rule.file, doubtful), policy, now)
        lately = self._known.as_same_user(address, rule, event.message, now) if self._known else None
        time = now if event.time is None else self._as_of_now(event.time, policy)
        if time > now:
            time = now
        if is_over(time, policy.window, now) or (ahead and not _is_known_again(verdict, policy, now)):
            return not lately, None
        if lately:
            return False, self._spare(text, Spared(str(host_prefix(address)), rule.file, lately), policy, now)
        counted_as = self._counted_as(address, alone, now)
        return True, self._count(verdict, address, counted_as, rule, policy, time, now, ahead)

    def take_back(self, user: str, address: Address) -> list[Verdict]:
        """`user` has logged in from this address: take back what was counted there for failing to, and return it.

        Nothing of what was counted for anybody else's name, or for none; nor what was read ahead.
        """
        his = self._attempts.by(user, source_prefix(address, self._ipv6_length))
        return [each.verdict for each in his if self._windows.take_back(each.key, each.time, each.rule.score)]

    def _as_of_now(self, written: float, policy: Policy) -> float:
        """A line's time; where the clock told it shortly before it leapt forward, what it would tell now."""
        before, by = self._leap
        return written + by if before - 2 * policy.window < written <= before else written

    def _count(
        self,
        verdict: Verdict,
        address: Address,
        text: str,
        rule: AttackRule,
        policy: Policy,
        time: float,
        now: float,
        ahead: str | None,
    ) -> Ban | Spared | None:
        if self._bans.covers(address, text, now) or time < self._history.spent(text):
            return None
        windows = self._ahead.setdefault(ahead, Windows(AHEAD)) if ahead else self._windows
        key = (*self._place(rule.file, verdict.event.host), text)
        times = windows.push(key, time, rule.score, policy.window, policy.threshold)
        if self._known and not ahead:
            self._attempts.note(key, time, rule, verdict)
        if len(times) < policy.threshold or times[-1] <= now - policy.window:
            return None
        network = host_prefix(address) if _is_ipv4_host(text) else prefix(text)
        if refusal := self._refusal(network, now):
            return self._spare(text, Spared(text, rule.file, refusal), policy, now)
        return self._convict(text, rule, policy, times, now)

    def _refusal(self, network: Prefix, now: float) -> str | None:
        """Why it must not be banned: the guard's reason, or that somebody logs in from there."""
        return self.guard.refusal(network) or (self._known.logged_in(network, now) if self._known else None)

    def _place(self, file: str, host: str | None) -> tuple[str, str]:
        """What counts apart from all else: hits on one host by the rules of one file."""
        place = (file, host or "")
        if place in self._places:
            return place
        if len(self._places) >= PLACES:
            place = (file, "")
        self._places.add(place)
        return place

    def _counted_as(self, address: Address, alone: str, now: float) -> str:
        """The prefix that the source holds, or its address `alone` where that prefix holds somebody to protect."""
        if isinstance(address, IPv4Address):
            return alone
        network = source_prefix(address, self._ipv6_length)
        return alone if self._refusal(network, now) else str(network)

    def _convict(self, text: str, rule: AttackRule, policy: Policy, times: Times, now: float) -> Ban | None:
        length, remark = self._history.next_ban(text, policy.ban, now)
        why = f"{rule}: score {len(times)} within {policy.window:g} s{remark}"
        ban = Ban(text, now, times[-1] + length, rule.file, why, len(times))
        if ban.until <= now:
            return None
        self._forget(text)
        return self._widened(ban, self.note_ban(ban))

    def _widened(self, ban: Ban, crowd: tuple[Prefix, int] | None) -> Ban:
        """The ban itself, or one of the prefix around it where too many are banned there."""
        rule = self._aggregation
        if rule is None or crowd is None or self._bans.aggregates(ban.since) >= rule.cap:
            return ban
        if self._refusal(crowd[0], ban.since):
            return ban
        why = f"{crowd[1]} prefixes in it banned within {rule.window:g} s, the last by {ban.why}"
        aggregate = Ban(str(crowd[0]), ban.since, ban.since + rule.ban, ban.attack, why, ban.hits)
        self._bans.drop(prefix(ban.prefix))  # only the aggregate is in force, and only as long as it lasts
        self._history.lift(ban.prefix, aggregate.until)
        self.note_ban(aggregate)
        return aggregate

    def _spare(self, about: str, spared: Spared, policy: Policy, now: float) -> Spared | None:
        """Say it, unless it was said lately."""
        key = (spared.attack, about)
        if self._spared.holds(key, now):
            return None
        self._spared.put(key, now + policy.ban)
        return spared

    # --- bans, whoever made them ----------------------------------------------------------------------------

    def note_ban(self, ban: Ban) -> tuple[Prefix, int] | None:
        """Take note of a ban: its prefix is not banned again before it ends.

        Returns the wider prefix around it, and the number banned there, where aggregation finds them too many.
        """
        self._history.note(ban)
        if _is_ipv4_host(ban.prefix) or not self._is_wide(prefix(ban.prefix)):
            self._bans.put(ban.prefix, ban.until)
        else:
            self._bans.put_wide(prefix(ban.prefix), ban.until, aggregate=ban.attack not in NO_RULE)
        return self._neighbours.note(ban) if self._neighbours else None

    def _is_wide(self, network: Prefix) -> bool:
        """Whether it is more than one party's, so that hits are counted by prefixes inside it."""
        return network.prefixlen < source_prefix(network.network_address, self._ipv6_length).prefixlen

    def lift(self, network: Prefix, now: float) -> None:
        """End the ban of exactly this prefix and forget its hits, and that it makes its neighbours worse. That it was
        banned is not forgotten."""
        self._bans.drop(network)
        self._clear_of_neighbours(network)
        self._history.lift(str(network), now)
        self._forget(str(network))

    def _clear_of_neighbours(self, network: Prefix) -> None:
        if self._neighbours:
            self._neighbours.forget(network)

    def forget_ahead(self, source: str) -> None:
        """Count anew what is read ahead of this source: what comes next may have been ahead before."""
        self._ahead.pop(source, None)

    def _forget(self, text: str) -> None:
        for windows in (self._windows, *self._ahead.values()):
            for place in self._places:
                windows.forget((*place, text))

    # --- upkeep ---------------------------------------------------------------------------------------------

    def restore(self, hits: Iterable[Hit] = (), bans: Iterable[Ban] = (), now: float = 0.0) -> None:
        """Take up at `now` where a former process stood.

        `bans`, past ones too, in the order in which they began; of `hits`, in any order, only those that counted. Hits
        from before the end of their prefix's last ban are spent.
        """
        known = (self._default, *self._policies.values())
        window = max(RESTORED_WINDOW, *(policy.window for policy in known))
        keep = max(RESTORED_HITS, *(policy.threshold for policy in known))
        spent: dict[str, float] = {}
        for ban in bans:
            self.note_ban(ban)
            if ban.lifted:
                self._clear_of_neighbours(prefix(ban.prefix))
            spent[ban.prefix] = ban.until
        for hit in hits:
            text = self._counted_as(*_host(hit.address), now)
            if hit.time > spent.get(text, 0.0):
                key = (*self._place(hit.file, hit.host), text)
                self._windows.push(key, hit.time, hit.score, window, keep)
                if hit.rule and self._known:
                    self._attempts.note(key, hit.time, hit.rule._replace(score=hit.score), _as_written(hit))

    def expire(self, now: float) -> None:
        """Forget what is over. Due each minute or so; takes time in proportion to what is remembered."""
        self._windows.expire(now)
        self._attempts.expire(self._windows)
        for windows in self._ahead.values():
            windows.expire(now)
        self._ahead = {source: windows for source, windows in self._ahead.items() if len(windows)}
        self._bans.expire(now)
        self._spared.expire(now)
        self._history.expire(now)
        if self._neighbours:
            self._neighbours.expire(now)

    def shift(self, by: float) -> None:
        """The clock has jumped by so many seconds: what is remembered keeps its age, and a ban its length."""
        for windows in (self._windows, *self._ahead.values()):
            windows.shift(by)
        self._attempts.shift(by)
        self._bans.shift(by)
        self._spared.shift(by)
        self._history.shift(by)
        if self._neighbours:
            self._neighbours.shift(by)

    def leap(self, by: float, now: float) -> None:
        """The clock has jumped by so many seconds, to `now`: lines whose time it told before are still to come."""
        self._leap = (now - by, by) if by > 0 else (0.0, 0.0)


@functools.lru_cache(maxsize=2048)
def _host(text: str) -> tuple[Address, str]:
    """The address that `text` spells, and the prefix of it alone, as it is spelt. Raises ValueError."""
    address = parse(text)
    return address, f"{spelt(address)}/{address.max_prefixlen}"


def _as_written(hit: Hit) -> Verdict:
    """The verdict on its line, as far as it was written down: the message still stands in the line."""
    event = Event(hit.time, hit.host, None, None, "", hit.line)
    return Verdict("", event, Outcome.ATTACK, attack_by=hit.rule, address=hit.address)


def _is_known_again(verdict: Verdict, policy: Policy, now: float) -> bool:
    """Whether it has a time of its own, and one that lies before the end of any ban that it may lead to now."""
    return verdict.event.time is not None and verdict.event.time < now + policy.ban


def _is_ipv4_host(text: str) -> bool:
    """Told from the text alone, for a restart with 100,000 bans has two seconds."""
    return text.endswith("/32") and ":" not in text


def _writer(verdict: Verdict) -> str:
    """Who wrote a line, in a form that the writer cannot vary."""
    return f"uid {verdict.event.provenance.uid if verdict.event.provenance else None}"
