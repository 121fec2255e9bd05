"""What a digest says, before it has a look. Every text in these records is printable: `build` made it so.

Times are POSIX seconds; `zone` is the zone they are shown in, None the process's own.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo

from ..model import Ban, Outcome, Refusal, Severity


class Reason(enum.StrEnum):
    """logcheck's three reasons for a mail, the worst first."""

    ALERTS = "Security Alerts"
    EVENTS = "Security Events"
    SYSTEM = "System Events"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a sample line; `variable` where other lines of its group have something else."""

    text: str
    variable: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that a person should look at; `about` names the rule, source or part that it comes from."""

    title: str
    about: str
    text: str
    first: float
    last: float
    count: int = 1
    program: str = ""
    address: str = ""
    raw: bool = False
    """Whether `text` is a log line, and not our own words."""
    others: tuple[str, ...] = ()
    """Further lines that say something else; a few."""
    hosts: tuple[str, ...] = ()
    more_hosts: int = 0


@dataclass(frozen=True, slots=True)
class Banned:
    """A ban of this period, and the lines that are its reason (none: banned by hand)."""

    ban: Ban
    programs: tuple[str, ...] = ()
    lines: int = 0
    sample: str = ""
    before: int = 0
    """How often its prefix was banned before."""
    dropped: int | None = None
    """Packets dropped from it since; None where the firewall does not tell."""
    name: str = ""
    """What the daemon that logged it called it, if it did; nobody was asked."""
    hosts: tuple[str, ...] = ()
    more_hosts: int = 0
    """Those that it attacked."""


@dataclass(frozen=True, slots=True)
class Attack:
    """Lines of one attack rule from one address."""

    rule: str
    severity: Severity
    program: str
    address: str
    count: int
    first: float
    last: float
    sample: str


@dataclass(frozen=True, slots=True)
class AttackRule:
    """Lines of one attack rule from all addresses that were not banned for it; the busiest addresses first."""

    rule: str
    program: str
    count: int
    addresses: tuple[Attack, ...]
    more: int
    """Addresses not listed."""


@dataclass(frozen=True, slots=True)
class Group:
    """Unexplained lines of one shape, which `id` names for ever. `novel`: never seen before this period."""

    id: str
    program: str
    count: int
    first: float
    last: float
    hosts: tuple[str, ...]
    more_hosts: int
    sample: tuple[Part, ...]
    novel: bool


@dataclass(frozen=True, slots=True)
class Apart:
    """Unexplained lines of a maintenance window, or of a boot. `more`: kinds that are not shown; all, where folded."""

    title: str
    since: float
    until: float
    lines: int
    kinds: int
    groups: tuple[Group, ...]
    more: int


@dataclass(frozen=True, slots=True)
class SourceCount:
    """What became of the lines of one source."""

    source: str
    read: int
    counts: Mapping[Outcome, int]
    gaps: int = 0
    """How often lines may be missing."""

    @property
    def missing(self) -> int:
        """Lines read that no outcome accounts for; anything but 0 is a bug in logwarden."""
        return self.read - sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Hidden:
    """What a digest leaves out so that it stays readable."""

    needs: int = 0
    bans: int = 0
    attacks: int = 0
    groups: int = 0
    lines: int = 0
    sources: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """How much there was of each, shown or not; `kinds` counts groups, `novel` the new ones among them.

    `alerts`, `violations`, `attacks` and `unexplained` are lines; `lines` is their sum and the quarantined ones.
    `notices` are what `needs` holds besides alerts and violations; `apart` are unexplained lines too, those of
    maintenance windows and boots.
    """

    bans: int = 0
    alerts: int = 0
    violations: int = 0
    attacks: int = 0
    kinds: int = 0
    novel: int = 0
    unexplained: int = 0
    lines: int = 0
    notices: int = 0
    apart: int = 0


@dataclass(frozen=True, slots=True)
class Day:
    """How many lines were read on a day, named by three letters; `share` is of the week's busiest: 0 to 1."""

    name: str
    lines: int
    share: float


@dataclass(frozen=True, slots=True)
class Digest:
    """One period of one host: `since` <= time < `until`."""

    host: str
    since: float
    until: float
    zone: tzinfo | None
    reason: Reason
    totals: Totals
    needs: tuple[Need, ...] = ()
    bans: tuple[Banned, ...] = ()
    attacks: tuple[AttackRule, ...] = ()
    groups: tuple[Group, ...] = ()
    apart: tuple[Apart, ...] = ()
    sources: tuple[SourceCount, ...] = ()
    total: SourceCount = SourceCount("", 0, {})
    busiest: tuple[tuple[str, int], ...] = ()
    refused: tuple[Refusal, ...] = ()
    week: tuple[Day, ...] = ()
    hidden: Hidden = Hidden()
    note: str = ""

    @property
    def empty(self) -> bool:
        """Nothing to say: no mail."""
        return not (self.needs or self.bans or self.attacks or self.groups or self.apart)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A digest as a person sees it. `subject` is one line; `text` fits 80 columns."""

    subject: str
    text: str
    html: str
    problems: tuple[str, ...] = ()
    """Templates of the user's that could not be used, and why; the shipped ones stood in."""
