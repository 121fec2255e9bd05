"""The records that stages hand each other. Frozen, slotted, no I/O, no behaviour beyond naming themselves.

Most are tuples: to define a frozen dataclass takes 0.4 ms of each start, and to make one three times as long. Not those
with a `count`, which each tuple has.

Times are POSIX seconds as float (UTC); lengths of time are seconds. Text is `str` where a person reads it and
`bytes` where a matcher does. A place in a rule file is a `Location`, printed `file:line`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_LINE = 65_536
"""Longest line, in bytes without its newline, that is matched. A longer one is quarantined, its head kept."""

BLOCK = 786_432
"""Bytes that are read and scanned at once. What follows a scan finds the CPU's cache full of the database, so the more
lines share that the better: twice as many save 5% of all; but the copies of a block are what a daemon that catches up
holds in memory."""


WARNING = 4
"""syslog(3)'s LOG_WARNING. What is less is an error or worse."""


class Outcome(enum.StrEnum):
    """Where a line went. read = ignored + attack + unexplained + quarantined, always."""

    IGNORED = "ignored"
    ATTACK = "attack"
    UNEXPLAINED = "unexplained"
    QUARANTINED = "quarantined"


class Severity(enum.StrEnum):
    """What a matching attack rule means. Only ATTACK counts against an address; VIOLATION is reported, ALERT at once;
    CONTEXT says nothing alone: it takes another line of the same session (`correlation`)."""

    ATTACK = "attack"
    ALERT = "alert"
    VIOLATION = "violation"
    CONTEXT = "context"


class Location(NamedTuple):
    """A line of a file, 1-based."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


# --- what comes in ------------------------------------------------------------------------------------------


class Provenance(NamedTuple):
    """Trusted fields of a journal entry: set by journald from the kernel, not by the writer. None: not given.

    `torn`: the entry is a piece of a line that journald has torn, for its length or at a null byte.
    """

    uid: int | None = None
    unit: str | None = None
    comm: str | None = None
    transport: str | None = None
    priority: int | None = None
    torn: bool = False


class Manner(NamedTuple):
    """What a source says of all its lines. `alone`: they are read for their attacks alone, and what no attack rule
    takes is ignored. `time`: they are JSON objects, in which this member says when: a path, dots between its keys."""

    alone: bool = False
    time: str | None = None


PLAIN = Manner()


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole lines of one source, and the cursor that stands behind the last of them.

    `block` holds `count` lines, each ended by one newline and none holding another; a line longer than MAX_LINE
    has been cut to MAX_LINE + 1 bytes by the source. `cursor` is opaque to all but the source. `program` names
    the program of lines whose header names none ('*': any). `provenance` is empty, or has one item a line. `notices`
    are gaps that the cursor has passed: told with it, each is told once. `written`: when the lines of a backlog were
    written at the earliest, where they do not say so themselves; None: they are news.
    """

    source: str
    block: bytes
    count: int
    cursor: str
    program: str | None = None
    provenance: tuple[Provenance, ...] = ()
    notices: tuple[Notice, ...] = ()
    manner: Manner = PLAIN
    written: float | None = None


@dataclass(frozen=True, slots=True)
class Ahead:
    """The newest lines of a source that is far behind, for their attacks alone: in their turn they come once more.

    `batch` is a block of whole lines with no cursor of its own. `anew`: some of it may have been ahead before.
    """

    batch: Batch
    anew: bool


class Lag(NamedTuple):
    """How far a source is behind what is there to read: bytes of a file, entries of a journal, and for how many seconds
    it has not been at the end (0: it is, or has only just heard of more)."""

    bytes: int
    seconds: float
    entries: int = 0


class Found(NamedTuple):
    """What came of a path or glob: the files that are read, and those that are there and are not, with the reason."""

    read: tuple[str, ...] = ()
    left: Mapping[str, str] = {}


class NoticeKind(enum.StrEnum):
    """What the digest says about logwarden itself."""

    GAP = "gap"
    REFUSED = "refused"
    RELOAD = "reload"
    FIREWALL = "firewall"
    STATE = "state"
    SOURCE = "source"
    MAIL = "mail"
    CLOCK = "clock"
    SILENCE = "silence"
    BOOT = "boot"


class Notice(NamedTuple):
    """One thing that a reader of the digest should know about the watch itself, e.g. a gap. `about` names what."""

    kind: NoticeKind
    about: str
    text: str
    time: float


# --- rules --------------------------------------------------------------------------------------------------


class Dialect(enum.StrEnum):
    """How `ere` reads a rule's text: as GNU `grep -E` alone, or with placeholders and `\\d`, whose <USER> is one
    word in an ignore rule and anything at all in an attack rule. USERS and SESSION are an attack rule of which is asked
    whom it names, or which session, not from where."""

    GREP = "grep"
    IGNORE = "ignore"
    ATTACK = "attack"
    USERS = "users"
    SESSION = "session"


class IgnoreRule(NamedTuple):
    """A line that this matches is normal.

    Native (`programs` not empty): `regex` matches the whole message of an event of one of the programs (names or
    globs; '*' any). logcheck's (`programs` empty): `regex` is searched in the whole line.
    `regex` is as written in the file: the ERE dialect of `ere`, placeholders not yet expanded.

    `exempts` (logcheck's *.ignore.d) names files of AttackRules: the rule hides no line by itself, but on a line
    that it matches, rules of those files do not count, and a line left with none of them is ignored by this one.

    `worst` is the worst priority of the journal, as syslog(3) counts, that it may hide.
    """

    where: Location
    regex: str
    programs: tuple[str, ...] = ()
    dialect: Dialect = Dialect.IGNORE
    exempts: tuple[str, ...] = ()
    worst: int = WARNING


class Policy(NamedTuple):
    """Ban when scores within `window` seconds reach `threshold`; for `ban` seconds."""

    threshold: int
    window: float
    ban: float


class Sample(NamedTuple):
    """A message that an attack rule must match, and the address it must yield (None: none); where the rule `requires`
    others, after this message of the same session."""

    line: str
    address: str | None
    after: str | None = None


class AttackRule(NamedTuple):
    """A line that this matches is an attack.

    `regex` matches the whole message; its placeholder <ADDR> names the source, <USER> whom it tried to be.
    logcheck's (`programs` empty, from cracking.d and violations.d): `regex` is searched in the whole line; no address.
    """

    where: Location
    file: str
    """Base name of its file, e.g. 'sshd.yaml' (logcheck's: 'violations.d/su'). Hits are counted per (file, address)."""
    id: str
    programs: tuple[str, ...]
    regex: str
    score: int = 1
    """0: it has counted already, and does not again (`correlation`)."""
    severity: Severity = Severity.ATTACK
    aggressive: bool = False
    policy: Policy | None = None
    samples: tuple[Sample, ...] = ()
    near_misses: tuple[str, ...] = ()
    dialect: Dialect = Dialect.ATTACK
    requires: tuple[str, ...] = ()
    """Ids of rules of the same file, one of which must have matched in the same session before. Such a rule is of
    Severity.CONTEXT until then."""
    once: bool = False
    """It does not count where another line of its session has counted already against the same address."""
    resolve: bool = False
    """Its daemon confirms a host's name before it logs it: where the name stands alone it is looked up (`resolver`)."""
    fields: tuple[tuple[str, str], ...] = ()
    """What `regex` was made of, where it is for a JSON object: paths, and patterns of values."""

    def __str__(self) -> str:
        return f"{self.file}#{self.id}"


class Preset(NamedTuple):
    """A log file, or a glob of some, that an attack file knows: read for its attacks alone, where it is there.

    `program` wrote it; `time` as in Manner. `journal`: what it says stands in the journal, or syslog, too."""

    where: Location
    file: str
    """As AttackRule's."""
    path: str
    program: str
    time: str | None = None
    journal: bool = False


class Refusal(NamedTuple):
    """A rule, or a whole file, that is not in force, and why. Printed `file:line: why`."""

    where: Location
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


class RuleSet(NamedTuple):
    """All rules in force, those refused, and the log files that attack files know."""

    ignore: tuple[IgnoreRule, ...] = ()
    attack: tuple[AttackRule, ...] = ()
    refused: tuple[Refusal, ...] = ()
    presets: tuple[Preset, ...] = ()


# --- what a line became -------------------------------------------------------------------------------------


class Event(NamedTuple):
    """A line taken apart. Text is decoded as UTF-8 with backslash escapes for what is not."""

    time: float | None
    host: str | None
    program: str | None
    pid: int | None
    message: str
    raw: str
    provenance: Provenance | None = None


class Context(NamedTuple):
    """A rule of Severity.CONTEXT that matches a line, and the address that it captures, normalised, if any."""

    rule: AttackRule
    address: str | None


class Verdict(NamedTuple):
    """What became of one line. `address` is normalised, and None where the attack rule captured none. `contexts` have
    no part in it, until they are joined with those of other lines."""

    source: str
    event: Event
    outcome: Outcome
    ignored_by: IgnoreRule | None = None
    attack_by: AttackRule | None = None
    address: str | None = None
    quarantined_for: str | None = None
    contexts: tuple[Context, ...] = ()

    @property
    def reported(self) -> bool:
        """Whether the digest shows the line: an ignore rule hides it, and nothing else does."""
        return self.ignored_by is None or self.outcome is Outcome.QUARANTINED


@dataclass(frozen=True, slots=True)
class Classified:
    """A batch after the matcher: how many lines had each outcome, each rule's hits, and the lines worth keeping.

    `verdicts` holds every line that is not simply ignored or has a Context, in the order of the batch (every line at
    all where the caller asked for that). `hits` counts lines by rule (`str(rule.where)` or `str(attack_rule)`); `slow`
    is how long rules were at work in the `regex` engine, in seconds; each tells now and then.
    """

    counts: Mapping[Outcome, int]
    hits: Mapping[str, int]
    verdicts: tuple[Verdict, ...]
    notices: tuple[Notice, ...] = ()
    slow: Mapping[str, float] = field(default_factory=dict)


# --- what is done about it ----------------------------------------------------------------------------------


class Ban(NamedTuple):
    """A prefix that may not reach us until `until`. `attack` is the attack file's name, or 'manual'.

    `lifted`: somebody has ended it then, before its time.
    """

    prefix: str
    since: float
    until: float
    attack: str
    why: str
    hits: int = 0
    lifted: bool = False


class Window(NamedTuple):
    """A time in which much is said that is no news: lines of hosts that the glob `host` names are set apart in the
    digest, under `title`. `folded`: counted there and not shown."""

    since: float
    until: float
    title: str
    host: str = "*"
    folded: bool = False


class Message(NamedTuple):
    """A mail in the outbox: RFC 5322 bytes and its envelope. `created` is when it was put there."""

    id: int
    message_id: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes
    attempts: int = 0
    subject: str = ""
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A line kept for the digest, as state stores it."""

    source: str
    time: float
    host: str
    program: str
    outcome: Outcome
    severity: Severity | None
    rule: str | None
    address: str | None
    message: str
    raw: str
    count: int = field(default=1)
