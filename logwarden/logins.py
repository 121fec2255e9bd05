"""Who has logged in from where lately: whoever mistypes his own password is not locked out for it.

Owns: the lines in which sshd and Dovecot say that somebody logged in, taken as strictly as an attack: the whole
message, from a process that can be that program (`provenance`). What a stranger writes into a name is no such line. In
a file, which has no provenance, whoever may write as sshd can have one user's failures forgiven at one address; but not
who makes a web application write such a line into its own log, which is read for its attacks alone.
Bounded: ADDRESSES addresses, or prefixes of IPv6, with USERS users each; the longest unheard of is forgotten first.
Never: asks a clock.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Network
from typing import Any

from . import header
from .address import Address, Prefix, prefix, source_prefix
from .matcher import users
from .model import AttackRule, Batch
from .tracker.provenance import doubt

Place = IPv4Address | Prefix
"""What one party holds."""
ADDRESSES, USERS = 1_000, 16
LONGEST = 400
"""Bytes of what is remembered of a line."""
FRESH = 600.0
"""Seconds in which the same login is not read again: a key that logs in each second costs nothing."""
_CANDIDATES = (
    (b"Accepted ", re.compile(rb"Accepted [a-z/-]+ for (?:[^\s]+) from (?:[0-9A-Fa-f:.%a-z]+) port [0-9]+")),
    (b"Login: user=<", re.compile(rb"Login: user=<[^>\n]+>,[^\n]*? rip=[0-9A-Fa-f:.]+")),
)
"""How each begins, for which a block is looked through five times as fast as for a regex."""
_MESSAGES = {
    "sshd": re.compile(r"Accepted [a-z/-]+ for (\S+) from (\S+) port [0-9]+( ssh2(: .*)?)?"),
    "dovecot": re.compile(
        r"(?:imap|pop3|submission|managesieve)-login: Login: user=<([^<>\s]+)>, .*?\brip=([0-9A-Fa-f:.]+), .*"
    ),
}
_PROGRAMS = {"sshd": "sshd", "sshd-session": "sshd", "dovecot": "dovecot"}


class Logins:
    """Who logged in from where, and when last. `known_for`: the seconds for which that counts; 0: it never does.

    Where is what one party holds: for IPv6 the prefix of `ipv6_length`, in which its addresses change by themselves.
    """

    def __init__(self, known_for: float, ipv6_length: int = 64) -> None:
        self.known_for, self.ipv6_length = known_for, ipv6_length
        self._last: OrderedDict[Place, dict[str, float]] = OrderedDict()
        self._heard: dict[bytes, float] = {}
        self.changed = False

    def hear(self, batch: Batch, now: float) -> list[tuple[str, Address]]:
        """Learn from a batch who has logged in, and say who, and from where."""
        heard: list[tuple[str, Address]] = []
        if self.known_for <= 0:
            return heard
        for line, index in self._candidates(batch, now):
            event = header.parse(line, batch.program, now)
            kind = _PROGRAMS.get(event.program or "")
            provenance = batch.provenance[index] if batch.provenance else None
            if kind is None or _is_of_another(batch, kind) or doubt(event.program, provenance):
                continue
            if found := _MESSAGES[kind].fullmatch(event.message):
                time = now if event.time is None else min(event.time, now)
                if (address := self.note(found[1], found[2], time)) and time > now - self.known_for:
                    heard.append((found[1], address))
        return heard

    def _candidates(self, batch: Batch, now: float) -> Iterator[tuple[bytes, int]]:
        """Lines that may tell of a login, each with its number in the batch."""
        block = batch.block
        for found in _found(block):
            if self._heard.get(found[0], now - FRESH) > now - FRESH:
                continue
            start, end = block.rfind(b"\n", 0, found.start()) + 1, block.find(b"\n", found.end())
            yield block[start : end if end >= 0 else len(block)], block.count(b"\n", 0, start)
            if not batch.provenance and len(found[0]) <= LONGEST:
                if len(self._heard) >= ADDRESSES:
                    self._heard.clear()
                self._heard[found[0]] = now

    def note(self, user: str, text: str, time: float) -> Address | None:
        """`user` has logged in from this address, or from where a former process has known him. None: it is none."""
        try:
            address = prefix(text).network_address
        except ValueError:
            return None
        place = self._place(address)
        there = self._last.pop(place, {})
        there[user] = max(time, there.pop(user, 0.0))
        self._last[place] = dict(list(there.items())[-USERS:])
        if len(self._last) > ADDRESSES:
            self._last.popitem(last=False)
        self.changed = True
        return address

    def as_same_user(self, address: Address, rule: AttackRule, message: str, now: float) -> str | None:
        """Why a failed login is not counted: the user whom it was for has logged in from this address lately.

        That is the one who stands where `rule` has its <USER>, whatever else is said in the message that it matches.
        """
        if not self._last:
            return None
        place = self._place(address)
        known = self._known(place, now)
        for user in known and known & users(rule, message):
            return _say(user, place)
        return None

    def within(self, network: Prefix, now: float) -> str | None:
        """Why a prefix of many addresses is not to be banned whole: somebody has logged in from there lately.

        None for a single address: what others do from there counts against it.
        """
        if network.prefixlen == network.max_prefixlen:
            return None
        inside: Iterable[Place] = (each for each in self._last if _shares(each, network))
        if isinstance(network, IPv6Network) and network.prefixlen == self.ipv6_length:
            inside = (network,)  # it is asked for each hit
        for place in inside:
            for user in self._known(place, now):
                return _say(user, place)
        return None

    def _place(self, address: Address) -> Place:
        return address if isinstance(address, IPv4Address) else source_prefix(address, self.ipv6_length)

    def _known(self, place: Place, now: float) -> set[str]:
        """Who has logged in from there lately."""
        return {user for user, time in self._last.get(place, {}).items() if time > now - self.known_for}

    def dump(self, now: float) -> Any:
        """As JSON, for state."""
        self.changed = False
        fresh = {
            str(place): {u: t for u, t in there.items() if t > now - self.known_for}
            for place, there in self._last.items()
        }
        return {text: there for text, there in fresh.items() if there}

    def load(self, dumped: Any) -> None:
        """What was known before."""
        for text, there in (dumped or {}).items():
            for user, time in there.items():
                self.note(user, text, time)
        self.changed = False

    def shift(self, by: float) -> None:
        """The clock has jumped."""
        for there in self._last.values():
            there.update({user: time + by for user, time in there.items()})
        self._heard.clear()


def _is_of_another(batch: Batch, kind: str) -> bool:
    """Whether it is from a log, read for its attacks alone, of a program that tells of no such login."""
    return batch.manner.alone and batch.program not in (None, header.ANY_PROGRAM, *_of_kind(kind))


def _of_kind(kind: str) -> Iterator[str]:
    return (program for program, its in _PROGRAMS.items() if its == kind)


def _found(block: bytes) -> Iterator[re.Match[bytes]]:
    """Of each line the first place alone: a message that tells of a login begins there, and whoever writes a thousand
    of them into a line is looked at once."""
    for opening, rest in _CANDIDATES:
        at = block.find(opening)
        while at >= 0:
            if found := rest.match(block, at):
                yield found
            end = block.find(b"\n", at)
            at = block.find(opening, end) if end >= 0 else -1


def _shares(place: Place, network: Prefix) -> bool:
    """Whether an address in `network` may be the one of a login."""
    return place.version == network.version and prefix(str(place)).overlaps(network)


def _say(user: str, place: Place) -> str:
    return f"{user} has logged in from {place} lately"
