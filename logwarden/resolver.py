"""The system's resolver: which addresses a name has, and which names an address.

Owns: the two questions, and who is meant where a log has a name in the place of an address (a rule with `resolve`).
A name alone is nobody's proof: whoever owns an address may have its reverse lookup say `mail.victim.example`, and that
name leads to the victim. So it takes both of these:
- the daemon looked the name up again before it logged it, and found the address that had connected. Only where that is
  known of a daemon may a rule say `resolve`: then no name of anybody else's is logged in his place;
- each address of the name, by our own look-up, has that name in turn. So who owns the name, and adds the address of
  somebody else to it, meets a reverse zone that is not his.
A name of more than MOST addresses says of none of them that it was the one. One of LONGEST letters may have been cut by
the daemon (MySQL at 60, sshd at 100), and have been another one.
Never: has anybody wait: names are asked for in a thread, begun with the first. None is asked for while QUEUE others
wait; an answer that takes TIMEOUT is no answer; what was answered, and that there was none, is kept for TTL.
A restart forgets which lines wait for an answer: they are accounted for as attacks, and ban nobody.
Fails: into an answer of no address.
"""

from __future__ import annotations

import queue
import re
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from . import address
from .matcher import host
from .model import Verdict
from .tracker import doubt

NAME = re.compile(r"(?=.{1,253}\.?$)(?!-)[A-Za-z0-9_-]{1,63}(?:\.(?!-)[A-Za-z0-9_-]{1,63})*\.?")
MOST = 4
LONGEST = 60
QUEUE = 256
LINES = 100
"""Lines of one name that wait for its answer: of more, the first."""
LINE = 1_000
"""Characters of a line that may wait: of a longer one it is not sure that the name is the daemon's."""
TIMEOUT, TTL = 60.0, 300.0
KNOWN = 1_000
"""Answers that are kept."""


class Host(NamedTuple):
    """What the system knows of a name: the canonical one, and the addresses, sorted."""

    name: str
    addresses: tuple[str, ...]


def known_as(name: str) -> Host:
    """Ask /etc/hosts and the DNS for a name. Raises OSError, UnicodeError."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
    addresses = {address.normalised(str(each[4][0])) for each in found}
    return Host(found[0][3].rstrip(".").lower(), tuple(sorted(addresses)))


def look_up(name: str) -> tuple[str, ...]:
    """The addresses of a name, sorted. Raises OSError, UnicodeError."""
    return known_as(name).addresses


def look_up_whole(name: str, known_as: Callable[[str], Host] = known_as) -> tuple[str, ...]:
    """The addresses of this very name: no search list makes another one of it. Raises OSError, UnicodeError.

    glibc finds a name of /etc/hosts only without the dot at its end that keeps the search list away. So it is asked for
    without, and with the dot too where the answer has another name: an alias, or one of the search list.
    """
    host = known_as(name)
    if host.name == name:
        return host.addresses
    absolute = known_as(f"{name}.")
    return tuple(text for text in host.addresses if text in absolute.addresses)


def names_of(text: str) -> tuple[str, ...]:
    """The names of an address. Raises OSError."""
    name, others, _ = socket.gethostbyaddr(text)
    return (name, *others)


class Answer(NamedTuple):
    """Which addresses a name has that have it in turn."""

    name: str
    addresses: tuple[str, ...]


class Waiting(NamedTuple):
    """A name was asked for at that time, for these lines."""

    since: float
    verdicts: list[Verdict]


def confirmed(
    name: str,
    look_up: Callable[[str], Iterable[str]] = look_up_whole,
    names_of: Callable[[str], Iterable[str]] = names_of,
) -> Answer:
    """Ask both ways."""
    try:
        found = {address.normalised(text) for text in look_up(name)}
    except (OSError, ValueError):  # a UnicodeError is one
        found = set()
    if len(found) > MOST:
        return Answer(name, ())
    return Answer(name, tuple(sorted(text for text in found if _is_named(text, name, names_of))))


def _is_named(text: str, name: str, names_of: Callable[[str], Iterable[str]]) -> bool:
    try:
        return name in {each.rstrip(".").lower() for each in names_of(text)}
    except (OSError, ValueError):
        return False


def _spelt(name: str) -> str | None:
    """A name as it is asked for; None for what is a whole name of no host: one label, a number, or too long."""
    name = name.rstrip(".").lower()
    last = name.rpartition(".")[2]
    is_whole = "." in name and last[:1].isalpha() and len(name) < LONGEST
    return name if is_whole and NAME.fullmatch(name) else None


class Resolver:
    """The lines that wait for what their names mean. One thread's, and one more that asks and tells `answered`."""

    def __init__(
        self, answered: Callable[[Answer], None], confirmed: Callable[[str], Answer] = confirmed, known: int = KNOWN
    ) -> None:
        self._answered, self._confirmed, self._capacity = answered, confirmed, known
        self._waiting: dict[str, Waiting] = {}
        self._known: OrderedDict[str, tuple[float, Answer]] = OrderedDict()
        self._asked: queue.Queue[str | None] = queue.Queue(QUEUE)
        self._thread: threading.Thread | None = None
        self._stopping = False

    @property
    def waiting(self) -> int:
        """How many names wait for their answer."""
        return len(self._waiting)

    def hear(self, attacks: Iterable[Verdict], now: float) -> None:
        """Ask for each of them that has a host's name in the place of an address, by a rule that has it looked up."""
        for verdict in attacks:
            rule = verdict.attack_by
            if rule is None or not rule.resolve or verdict.address or len(verdict.event.raw) > LINE:
                continue
            if doubt(rule, verdict.event):
                continue
            if name := host(rule, verdict.event.message):
                self.ask(name, verdict, now)

    def ask(self, name: str, verdict: Verdict, now: float) -> None:
        """Let a line wait for what its name means; its time stays what it is, or else is `now`."""
        self.expire(now)
        spelt = _spelt(name)
        if spelt is None or (spelt not in self._waiting and len(self._waiting) >= QUEUE):
            return
        event = verdict.event
        verdict = verdict._replace(event=event._replace(time=now if event.time is None else event.time))
        if spelt in self._waiting:
            if len(self._waiting[spelt].verdicts) < LINES:
                self._waiting[spelt].verdicts.append(verdict)
            return
        self._waiting[spelt] = Waiting(now, [verdict])
        since, answer = self._known.get(spelt, (now, None))
        if answer and since <= now < since + TTL:
            self._answered(answer)
            return
        self._begin()
        try:
            self._asked.put_nowait(spelt)
        except queue.Full:  # of names that nobody waits for any more, behind one that hangs
            del self._waiting[spelt]

    def take(self, answer: Answer, now: float) -> list[Verdict]:
        """The lines that waited for this answer, each once for each address."""
        self.expire(now)
        waiting = self._waiting.pop(answer.name, None)
        if waiting is None:
            return []
        since, known = self._known.pop(answer.name, (now, answer))
        fresh = known == answer and since <= now < since + TTL
        self._known[answer.name] = (since if fresh else now, answer)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)
        return [each._replace(address=text) for each in waiting.verdicts for text in answer.addresses]

    def expire(self, now: float) -> None:
        """Give up what has waited for too long. A name that the thread has not come to is not asked for any more."""
        late = [name for name, waiting in self._waiting.items() if not waiting.since <= now < waiting.since + TIMEOUT]
        for name in late:
            del self._waiting[name]

    def shift(self, by: float) -> None:
        """The clock has jumped."""
        self._waiting = {name: each._replace(since=each.since + by) for name, each in self._waiting.items()}
        self._known = OrderedDict((name, (since + by, answer)) for name, (since, answer) in self._known.items())

    def forget(self) -> None:
        """No line waits any more: each comes again, or the daemon ends."""
        self._waiting.clear()

    def stop(self) -> None:
        """End; a question that is under way is not waited for."""
        self.forget()
        self._stopping = True
        with suppress(queue.Full):
            self._asked.put_nowait(None)

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="resolver", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (name := self._asked.get()) is not None and not self._stopping:
            if name in self._waiting:
                self._answered(self._confirmed(name))
