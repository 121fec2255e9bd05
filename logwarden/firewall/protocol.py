"""What every firewall backend does, and the settings that all of them take.

The daemon holds one backend. SQLite is the truth: a backend remembers nothing that it cannot read back from the kernel,
each entry carries its own timeout, and every verb may be repeated (after a SIGKILL, say) to the same effect.
Security: prefixes and chain names go into commands; both are held to narrow patterns here, once, before they do.
Fails: with FirewallError. A batch is then wholly or partly not in force; `reconcile` tries again within a minute.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from ..errors import CommandError, FirewallError, HungError, UnansweredError
from ..model import Ban
from ..process import TIMEOUT, run

_IPV4, _IPV6 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", r"[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}"
_PREFIX = re.compile(rf"(?:{_IPV4}|{_IPV6})/[1-9][0-9]{{0,2}}")
_CHAIN = re.compile(r"(?:(filter|raw|mangle)/)?([A-Za-z0-9_][A-Za-z0-9_-]{0,27})")
_TABLE_OF = {"PREROUTING": "raw"}
"""Built-in chains that are not meant in the filter table."""


class Firewall(Protocol):
    """The kernel's set of banned prefixes, and the rule that drops what comes from them."""

    ceiling: float
    """The longest timeout, seconds, that the backend can give an entry; `reconcile` renews what should last longer."""

    def init(self) -> Sequence[str]:
        """Make what is missing of sets and rules, and return a phrase for each thing made or repaired."""

    def apply(self, bans: Iterable[Ban], now: float) -> None:
        """Put these bans in force until their end, in one batch. One that is in force already gets the new end."""

    def lift(self, prefixes: Iterable[str]) -> None:
        """Take these prefixes out; those that are not in are no error."""

    def list(self, now: float) -> Mapping[str, float]:
        """Return each banned prefix, as `str(Prefix)` spells it, and the seconds that it stays banned from `now`."""

    def dropped(self) -> Mapping[str, int]:
        """Return each banned prefix and the packets dropped from it, where the backend counts them."""

    def unhook(self) -> None:
        """Remove the rule that drops. The sets stay, with what is in them."""

    def fini(self) -> None:
        """Remove every trace: rules, then sets."""


class Hook(NamedTuple):
    """Where the DROP rule stands: a table of iptables and a chain in it."""

    table: str
    chain: str

    @classmethod
    def parse(cls, text: str) -> Hook | None:
        """Read `PREROUTING` (raw), `INPUT`, the name of an existing chain, `TABLE/CHAIN`, or `none`. Raises ValueError.

        `none` is for those whose own firewall refers to the sets. A chain is in the filter table unless it says so.
        """
        if text == "none":
            return None
        matched = _CHAIN.fullmatch(text)
        if matched is None:
            raise ValueError(f"{text!r} is not PREROUTING, INPUT, none, or a chain such as DOCKER-USER or mangle/CHAIN")
        table, chain = matched.groups()
        return cls(table or _TABLE_OF.get(chain, "filter"), chain)

    def __str__(self) -> str:
        return f"{self.table}/{self.chain}"


class Settings(NamedTuple):
    """What a backend may be told."""

    hook: Hook | None = Hook("raw", "PREROUTING")
    maxelem: int = 262_144
    """Entries that an ipset is made for at first; it grows before it is full."""
    cut: bool = True
    """Whether established flows of a banned prefix lose their conntrack entry."""


def seconds_left(bans: Iterable[Ban], now: float, ceiling: float) -> dict[str, int]:
    """The timeout of each prefix: whole seconds, not shorter than the ban, 1 at least and `ceiling` at most.

    Raises FirewallError for a prefix that no kernel would take, or that is no prefix at all.
    """
    return {checked(ban.prefix): max(1, math.ceil(min(ban.until - now, ceiling))) for ban in bans}


def checked(prefix: str) -> str:
    """Return `prefix`, of which it is now certain that it is one word and one argument. Raises FirewallError."""
    if not _PREFIX.fullmatch(prefix):
        raise FirewallError(f"{prefix!r} is not a prefix that can be banned")
    return prefix


class Run(Protocol):
    """How a backend runs its commands."""

    def __call__(self, argv: Sequence[str], lines: Iterable[str] = ()) -> str:
        """Run one with `lines` on its standard input, and return what it says. Raises FirewallError."""


def command(argv: Sequence[str], lines: Iterable[str] = (), timeout: float = TIMEOUT) -> str:
    """Satisfies Run; raises HungError after `timeout` seconds."""
    try:
        return run(argv, stdin="".join(f"{line}\n" for line in lines).encode(), timeout=timeout).decode()
    except UnansweredError as error:
        raise HungError(str(error)) from error
    except CommandError as error:
        raise FirewallError(str(error)) from error
