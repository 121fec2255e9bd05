"""Entries, bans and notices of one period -> Digest: ranked, cut to what a person reads, added up.

Owns: what comes first, how much is shown, that what is not shown is counted, and that every text is printable.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from itertools import groupby
from operator import itemgetter

from .. import address
from ..manner import ALONE
from ..model import Ban, Entry, Location, Notice, NoticeKind, Outcome, Refusal, Severity, Window
from .cluster import Shape
from .escape import visible
from .model import (
    Apart,
    Attack,
    AttackRule,
    Banned,
    Day,
    Digest,
    Group,
    Hidden,
    Need,
    Part,
    Reason,
    SourceCount,
    Totals,
)
from .shapes import Shapes
from .tally import SAMPLE, Source, Tallies, Tally

MOST = 30
"""Most items of a section, unless the caller says otherwise."""
NAME = 120
"""Longest name of a host, a program, a rule or a source, in characters."""
HOSTS, ADDRESSES, BUSIEST = 4, 6, 5
"""Most hosts of a group, addresses of an attack rule, and ignore rules that are listed."""

_NAMED = re.compile(
    r"(?<![\w.-])(?P<name>(?:[\w-]{1,63}\.){1,9}[a-z][\w-]{0,62}) ?[\[(](?P<address>[0-9a-f:.]{3,45})[\])]",
    re.ASCII | re.I,
)
_IGNORE_RULE = re.compile(r":\d+\Z")  # `file:line`; an attack rule is `file#id`


def build(
    entries: Iterable[Entry],
    *,
    host: str,
    since: float,
    until: float,
    shapes: Shapes | None = None,
    bans: Sequence[Ban] = (),
    notices: Iterable[Notice] = (),
    counts: Mapping[str, Mapping[Outcome, int]] | None = None,
    read: Mapping[str, int] | None = None,
    hits: Mapping[str, int] | None = None,
    refused: Sequence[Refusal] = (),
    before: Mapping[str, int] | None = None,
    dropped: Mapping[str, int] | None = None,
    rhythm: Iterable[tuple[float, int]] = (),
    windows: Sequence[Window] = (),
    most: int = MOST,
    zone: tzinfo | None = None,
    note: str = "",
) -> Digest:
    """Say what happened from `since` to `until` (POSIX seconds).

    `entries` are the lines that were kept, `bans` those made in the period. `counts` has the lines of each source by
    outcome, `hits` lines by rule, and `read` how many were read, counted apart from both: where it is given, the books
    are checked, and what does not add up is shown.
    `before` has how often a prefix was banned before, `dropped` the packets dropped from it, where that is known;
    `windows` are times whose unexplained lines are set apart. `rhythm` has lines read, each with a time of the day on
    which they were.
    `shapes` learns from the unexplained lines: keep it for the next digest, for without it no line is known to be new.
    Each section lists at most `most` items and counts the others. Times are shown in `zone` (None: the process's own).
    `note` says what is peculiar about this digest.
    """
    tallies = Tallies(Shapes() if shapes is None else shapes, windows)
    for entry in entries:
        tallies.add(entry)
    behind, rest = tallies.split(bans)
    names = sorted({*(counts or {}), *(read or {})})
    notices = list(notices)
    gaps = Counter(each.about for each in notices if each.kind is NoticeKind.GAP)
    sources = [_source_count(name, (counts or {}).get(name, {}), read, gaps[name]) for name in names]
    faults = (
        [] if read is None else [*_missing(sources), *_not_kept(tallies, counts or {}), *_no_rule(sources, hits or {})]
    )
    reported = [*_reported(Severity.ALERT, tallies), *_reported(Severity.VIOLATION, tallies)]
    noticed = [
        *_quarantined(tallies),
        *(
            Need("accounting", visible(about, NAME), f"{text}; this is a bug in logwarden", until, until)
            for about, text in faults
        ),
        *_watch(notices),
    ]
    banned = sorted(
        (_banned(ban, behind.get(ban, []), before or {}, dropped or {}) for ban in bans), key=_weight, reverse=True
    )
    attacks = sorted(_attack_rules(rest), key=lambda each: (-each.count, each.rule))
    newest = math.inf if shapes is None else since
    groups = sorted(tallies.groups(), key=lambda each: _rarity(each[0], each[1], newest))
    apart = [_apart(window, lines, newest, most) for window, lines in tallies.apart if lines.lines]
    totals = Totals(
        bans=len(banned),
        alerts=tallies.total(Severity.ALERT),
        violations=tallies.total(Severity.VIOLATION),
        attacks=tallies.total(Severity.ATTACK),
        kinds=len(groups),
        novel=sum(shape.first >= newest for shape, _ in groups),
        unexplained=sum(tally.count for _, tally in groups),
        lines=tallies.lines,
        notices=len(noticed),
        apart=sum(each.lines for each in apart),
    )
    return Digest(
        host=visible(host, NAME),
        since=since,
        until=until,
        zone=zone,
        note=visible(note, SAMPLE),
        reason=_reason(totals),
        totals=totals,
        needs=(*reported[:most], *noticed[:most]),
        bans=tuple(banned[:most]),
        attacks=tuple(attacks[:most]),
        groups=tuple(_group(shape, tally, newest) for shape, tally in groups[:most]),
        apart=tuple(apart),
        sources=tuple(sources[:most]),
        total=_sum(sources),
        busiest=_busiest(hits or {}),
        refused=tuple(_printable(each) for each in refused[:most]),
        week=_week(rhythm, until, zone),
        hidden=Hidden(
            needs=len(reported[most:]) + len(noticed[most:]),
            bans=len(banned[most:]),
            attacks=len(attacks[most:]),
            groups=len(groups[most:]),
            lines=sum(tally.count for _, tally in groups[most:]),
            sources=len(sources[most:]),
            refused=len(refused[most:]),
        ),
    )


def _reason(totals: Totals) -> Reason:
    if totals.bans or totals.attacks or totals.alerts:
        return Reason.ALERTS
    return Reason.EVENTS if totals.violations else Reason.SYSTEM


def _sample(tally: Tally, limit: int = SAMPLE) -> str:
    """The first line of a tally, and how much longer it was."""
    sample = tally.sample[:limit]
    return visible(sample.strip()) + _cut(tally.length - len(sample))


def _hosts(hosts: Counter[str]) -> tuple[str, ...]:
    """The busiest of them."""
    return tuple(visible(host, NAME) for host, _ in hosts.most_common(HOSTS) if host)


def _cut(rest: int) -> str:
    return f" [{rest:,} more characters]" if rest else ""


# --- what needs you -----------------------------------------------------------------------------------------


def _reported(severity: Severity, tallies: Tallies) -> list[Need]:
    """The lines of a severity that says: somebody should know of this."""
    found = [
        _need(severity, source.rule, tally, source.address)
        for source, tally in tallies.attacks.items()
        if source.severity is severity
    ]
    return sorted(found, key=lambda need: (need.about, -need.count, need.address))


def _quarantined(tallies: Tallies) -> list[Need]:
    """Lines too long or too strange to judge: their beginning tells what they are."""
    return [_need("quarantined", source, tally, limit=200) for source, tally in sorted(tallies.quarantined.items())]


def _need(title: str, about: str, tally: Tally, address: str = "", limit: int = SAMPLE) -> Need:
    return Need(
        title=title,
        about=visible(about, NAME),
        text=_sample(tally, limit),
        first=tally.first,
        last=tally.last,
        count=tally.count,
        program=visible(tally.program, NAME),
        address=visible(address, NAME),
        raw=True,
        others=tuple(visible(text.strip(), SAMPLE) for text in tally.others),
        hosts=_hosts(tally.hosts),
        more_hosts=max(0, len(tally.hosts) - HOSTS),
    )


# --- what must be so: each yields what it is about, and what is wrong there -----------------------------------


def _missing(sources: Iterable[SourceCount]) -> Iterator[tuple[str, str]]:
    """Every line that was read has one outcome."""
    for each in sources:
        if each.missing > 0:
            yield each.source, f"{each.missing:,} of {each.read:,} lines have no outcome"
        elif each.missing:
            yield each.source, f"{-each.missing:,} outcomes have no line: {each.read:,} were read"


def _not_kept(tallies: Tallies, counts: Mapping[str, Mapping[Outcome, int]]) -> Iterator[tuple[str, str]]:
    """Every line that nothing explains, and every one that could not be judged, is there to be shown."""
    for source, by in sorted(counts.items()):
        for outcome in (Outcome.UNEXPLAINED, Outcome.QUARANTINED):
            counted, kept = by.get(outcome, 0), tallies.kept[source, outcome]
            if counted != kept:
                yield source, f"{counted:,} lines were counted as {outcome}, and {kept:,} kept"


def _no_rule(sources: Sequence[SourceCount], hits: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """No line is ignored without a rule that ignored it, or another line whose echo it is."""
    ignored = sum(each.counts[Outcome.IGNORED] for each in sources)
    named = sum(count for rule, count in hits.items() if "#" not in rule or _IGNORE_RULE.search(rule))
    if ignored > named:
        yield "total", f"{ignored:,} lines were ignored, and ignore rules matched {named:,} times"


def _watch(notices: Iterable[Notice]) -> list[Need]:
    """What logwarden has to say about itself; the same thing said again counts."""
    said: dict[tuple[str, str, str], list[float]] = {}
    for notice in notices:
        first_last_count = said.setdefault((notice.kind, notice.about, notice.text), [notice.time, notice.time, 0])
        first_last_count[0] = min(first_last_count[0], notice.time)
        first_last_count[1] = max(first_last_count[1], notice.time)
        first_last_count[2] += 1
    return [
        Need(kind, visible(about, NAME), visible(text, SAMPLE), first, last, int(count))
        for (kind, about, text), (first, last, count) in said.items()
    ]


# --- bans and attacks ---------------------------------------------------------------------------------------


def _banned(ban: Ban, behind: Sequence[Tally], before: Mapping[str, int], dropped: Mapping[str, int]) -> Banned:
    most = max(behind, key=lambda tally: tally.count, default=None)
    hosts = sum((tally.hosts for tally in behind), Counter[str]())
    single = "/128" if ":" in ban.prefix else "/32"
    shown = ban._replace(
        prefix=visible(ban.prefix.removesuffix(single)),
        attack=visible(ban.attack, NAME),
        why=visible(ban.why, SAMPLE),
    )
    return Banned(
        ban=shown,
        programs=tuple(sorted({visible(tally.program, NAME) for tally in behind})),
        lines=sum(tally.count for tally in behind),
        sample=_sample(most) if most else "",
        before=before.get(ban.prefix, 0),
        dropped=dropped.get(ban.prefix),
        name=_name(most.sample, ban.prefix) if most else "",
        hosts=_hosts(hosts),
        more_hosts=max(0, len(hosts) - HOSTS),
    )


def _name(sample: str, prefix: str) -> str:
    """The name that daemons write before an address in brackets: `mail.example.net[192.0.2.1]`."""
    for found in _NAMED.finditer(sample):
        with suppress(ValueError):
            if address.parse(found["address"]) in address.prefix(prefix):
                return found["name"]
    return ""


def _weight(banned: Banned) -> tuple[int, int, float, str]:
    return banned.ban.hits, banned.lines, banned.ban.since, banned.ban.prefix


def _attack_rules(tallies: Mapping[Source, Tally]) -> Iterator[AttackRule]:
    attacks = sorted((_attack(source, tally) for source, tally in tallies.items()), key=_busier)
    for (rule, program), group in groupby(sorted(attacks, key=_of_rule), key=_of_rule):
        each = tuple(group)
        yield AttackRule(rule, program, sum(one.count for one in each), each[:ADDRESSES], len(each[ADDRESSES:]))


def _attack(source: Source, tally: Tally) -> Attack:
    return Attack(
        rule=visible(source.rule, NAME),
        severity=source.severity,
        program=visible(tally.program, NAME),
        address=visible(source.address, NAME),
        count=tally.count,
        first=tally.first,
        last=tally.last,
        sample=_sample(tally),
    )


def _busier(attack: Attack) -> tuple[int, str]:
    return -attack.count, attack.address


def _of_rule(attack: Attack) -> tuple[str, str]:
    return attack.rule, attack.program


# --- unexplained lines --------------------------------------------------------------------------------------


def _rarity(shape: Shape, tally: Tally, newest: float) -> tuple[bool, int, float, str]:
    """New shapes (first seen at `newest` or later) before known ones, rare before frequent."""
    return shape.first < newest, tally.count, tally.first, shape.id


def _group(shape: Shape, tally: Tally, newest: float) -> Group:
    marked = [replace(part, text=visible(part.text)) for part in shape.mark(tally.sample, tally.varied or None)]
    if cut := _cut(tally.length - len(tally.sample)):
        marked.append(Part(cut))
    return Group(
        id=shape.id,
        program=visible(tally.program, NAME) or "(no program)",
        count=tally.count,
        first=tally.first,
        last=tally.last,
        hosts=_hosts(tally.hosts),
        more_hosts=max(0, len(tally.hosts) - HOSTS),
        sample=tuple(marked),
        novel=shape.first >= newest,
    )


def _apart(window: Window, lines: Tallies, newest: float, most: int) -> Apart:
    """What a window has, as the rest is shown: new and rare kinds first; of a folded one how much it is."""
    groups = sorted(lines.groups(), key=lambda each: _rarity(each[0], each[1], newest))
    shown = () if window.folded else tuple(_group(shape, tally, newest) for shape, tally in groups[:most])
    more = len(groups) - len(shown)
    return Apart(visible(window.title, NAME), window.since, window.until, lines.lines, len(groups), shown, more)


# --- accounting ---------------------------------------------------------------------------------------------


def _source_count(name: str, counts: Mapping[Outcome, int], read: Mapping[str, int] | None, gaps: int) -> SourceCount:
    every = {outcome: counts.get(outcome, 0) for outcome in Outcome}
    return SourceCount(visible(name, NAME), sum(every.values()) if read is None else read.get(name, 0), every, gaps)


def _sum(sources: Sequence[SourceCount]) -> SourceCount:
    every = {outcome: sum(each.counts[outcome] for each in sources) for outcome in Outcome}
    return SourceCount("total", sum(each.read for each in sources), every, sum(each.gaps for each in sources))


def _busiest(hits: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    ignoring = [
        (visible(rule, NAME), count) for rule, count in hits.items() if rule == ALONE or _IGNORE_RULE.search(rule)
    ]
    return tuple(sorted(ignoring, key=itemgetter(1), reverse=True)[:BUSIEST])


def _week(rhythm: Iterable[tuple[float, int]], until: float, zone: tzinfo | None) -> tuple[Day, ...]:
    """The seven days that end with the digest's own; none where nothing was read on them."""
    last = datetime.fromtimestamp(until, zone).date()
    days = Counter({last - timedelta(days=back): 0 for back in range(6, -1, -1)})
    for time, lines in rhythm:
        day = datetime.fromtimestamp(time, zone).date()
        if day in days:
            days[day] += lines
    most = max(days.values())
    return tuple(Day(day.strftime("%a"), lines, lines / most) for day, lines in days.items()) if most else ()


def _printable(refusal: Refusal) -> Refusal:
    where = Location(visible(refusal.where.file, NAME), refusal.where.line)
    return Refusal(where, visible(refusal.why, SAMPLE))
