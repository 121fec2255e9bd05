"""What is written: numbered lines of every kind, each like no other, and the ledger of them.

A kind is what must become of a line. Ignored lines are told apart as far as the daemon tells them apart: by source, and
by the rule that hides them, of which there are BUCKETS, chosen by lot; so what is lost cannot be made up for by what is
counted twice.
"""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

BUCKETS = 64
LONG = 70_000
"""Bytes of a line that is too long to be matched."""
TOKEN = re.compile(r"\bid=([\w.]+)")
"""What each line but the ignored ones is known by: the name of its log and its number, `id=create.gz.17`."""

RULES = "".join(f"app: normal <NUM> of bucket {bucket}\n" for bucket in range(BUCKETS)) + (
    "sshd: Failed password for hidden,\\S+ from <ADDR> port <PORT> ssh2\nsystemd-journald: .+\n"
)
ATTACKS = """
program: sshd
rules:
  - id: failed
    match: 'Failed password for <USER> from <ADDR> port <PORT> ssh2'
    samples: [{line: 'Failed password for root from 203.0.113.9 port 42 ssh2', address: 203.0.113.9}]
    near_misses: ['Failed password for root']
"""


class Kind(StrEnum):
    """What must become of a line. HIDDEN is an attack that an ignore rule keeps out of the mail."""

    IGNORED = "ignored"
    UNEXPLAINED = "unexplained"
    ATTACK = "attack"
    HIDDEN = "hidden"
    QUARANTINED = "quarantined"


SHARES = {Kind.IGNORED: 800, Kind.UNEXPLAINED: 120, Kind.ATTACK: 60, Kind.HIDDEN: 19, Kind.QUARANTINED: 1}


@dataclass(frozen=True)
class Line:
    kind: Kind
    program: str
    message: str


class Ledger:
    """What was written to one log. The writer's thread adds; everybody else reads when it is done."""

    def __init__(self, log: str) -> None:
        self.log = log
        self.kinds: Counter[Kind] = Counter()
        self.buckets: Counter[int] = Counter()
        self.tokens: dict[str, Kind] = {}

    def enter(self, line: Line) -> None:
        self.kinds[line.kind] += 1
        if line.kind is Kind.IGNORED:
            self.buckets[int(line.message.split()[-1])] += 1
        else:
            self.tokens[TOKEN.findall(line.message)[0]] = line.kind

    @property
    def written(self) -> int:
        return self.kinds.total()


def lines(log: str, chance: random.Random) -> Iterator[Line]:
    """One line after the other, for ever."""
    kinds, shares = tuple(SHARES), tuple(SHARES.values())
    number = 0
    while True:
        number += 1
        token, (kind,) = f"id={log}.{number}", chance.choices(kinds, shares)
        match kind:
            case Kind.IGNORED:
                yield Line(kind, "app", f"normal {number} of bucket {chance.randrange(BUCKETS)}")
            case Kind.UNEXPLAINED:
                yield Line(kind, "app", f"unheard-of {token} has happened")
            case Kind.QUARANTINED:
                yield Line(kind, "app", f"endless {token} " + "x" * LONG)
            case _:
                user = f"hidden,{token}" if kind is Kind.HIDDEN else token
                source = f"203.0.113.{chance.randrange(1, 255)}"
                yield Line(kind, "sshd", f"Failed password for {user} from {source} port 4242 ssh2")


class Pace:
    """Bursts and pauses, until told to stop."""

    def __init__(self, chance: random.Random, rate: float) -> None:
        """`rate`: lines a second, on average."""
        self._chance = chance
        self._rate = rate
        self.over = threading.Event()

    def bursts(self) -> Iterator[tuple[int, float]]:
        """How many lines to write now, and how many seconds to wait then, again and again."""
        while not self.over.is_set():
            burst = int(self._chance.expovariate(1 / 20)) + 1
            yield burst, self._chance.expovariate(self._rate / burst)
