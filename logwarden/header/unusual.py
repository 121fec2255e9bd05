"""The layouts that are not traditional, and whatever has no header.

Owns: RFC 5424, stamps with and without something behind them, access logs, a journal's lines without their stamps,
what syslogds that are not rsyslog put between a stamp and a tag, and when the lines of programs with a layout of their
own were written.
Here a level (`WARN`) is no host and no program. In the traditional layout the words before the colon are, whatever they
say (`Nov 22 17:00:00 WARN module: x`): to look at them would cost every line.
Text is that of a line decoded as latin-1, so that it has the offsets of the bytes.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Container

from .. import moment
from . import stamp
from .fragments import DAY, FRACTION, HOST, MINUTE, MONTH, PID_TEXT, PRI, PROGRAM, RFC_3164, RFC_3339, SECOND, ZONE
from .parts import ANY_PROGRAM, Parts, in_tag


def _compile(template: bytes, *fragments: bytes) -> re.Pattern[str]:
    return re.compile((template % fragments).decode("latin-1"))


# One way through it only. Two blanks: rsyslog keeps the one with which a message of RFC 3164 began.
_STRUCTURED_DATA = rb'(?:-|(?:\[[!#-<>-\\^-~]+(?: [!#-<>-\\^-~]+="(?:[^"\\]|\\.)*")*\])+)(?:  ?|\Z)(?:\xef\xbb\xbf)?'
_RFC_5424 = _compile(
    rb"<[0-9]{1,3}>[1-9][0-9]{0,2} (?:-|(%s):(%s)(%s)) "
    rb"([!-~]+) ([!-~]+) ([!-~]+) [!-~]+ "  # HOSTNAME APP-NAME PROCID MSGID
    rb"(?:%s)?",
    RFC_3339,
    FRACTION,
    ZONE,
    _STRUCTURED_DATA,
)
# rsyslog's RSYSLOG_SyslogProtocol23Format as many write it to a file, without the first two fields. The host is no
# address: `203.0.113.9 GET 404 12 - /` is what a web server may write.
_RFC_5424_IN_A_FILE = _compile(
    rb"(%s):(%s)(%s) (?![0-9.]+ )([!-9;-~]+) (%s) ([0-9]+|-) [!-~]+ %s",
    RFC_3339,
    FRACTION,
    ZONE,
    PROGRAM,
    _STRUCTURED_DATA,
)
_YEARLESS = _compile(rb"%s(\[)?(%s):(%s)(?:[.,][0-9]{1,9})?(?(1)\])", PRI, RFC_3164, SECOND)
_WITH_YEAR = _compile(rb"%s(%s) (%s) ([0-9]{4}) (%s):(%s)", PRI, MONTH, DAY, MINUTE, FRACTION)
_NUMERIC = _compile(
    rb"%s(\[)?([0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[T ]%s):(%s)(?: ?(%s))?(?(1)\])", PRI, MINUTE, FRACTION, ZONE
)
_CTIME = _compile(
    rb"(\[)?(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (%s) (%s) (%s):(%s) ([0-9]{4})(?(1)\])", MONTH, DAY, MINUTE, FRACTION
)
_TAI64N = _compile(rb"@(4[0-9a-f]{15})([0-9a-f]{8})(?= )")  # multilog, s6-log, svlogd -t
_ACCESS = _compile(rb'[^\["]{1,1024}\[([0-9]{2})/(%s)/([0-9]{4}):(%s):(%s) ([+-][0-9]{4})\]', MONTH, MINUTE, SECOND)
_AFTER_STAMP = _compile(rb":? *")
_PRIORITY = (
    rb"(?:kern|user|mail|daemon|auth(?:priv)?|syslog|lpr|news|uucp|cron|ftp|ntp|security|console|local[0-7])"
    rb"\.(?:emerg|alert|crit|err|error|warn|warning|notice|info|debug)"
)
# FreeBSD's syslogd -v (numbers) and -vv, logread, socklog. Without <> numbers are any program's: `0.5 seconds`.
_PRIORITY_FIRST = _compile(rb" +(?:<(?:%s|[0-9]{1,2}\.[0-7])>|%s:?(?= ))", _PRIORITY, _PRIORITY)
_PRIORITY_AFTER_HOST = _compile(rb" +(%s) +%s +(%s)(?:\[(%s)\])?: ?", HOST, _PRIORITY, PROGRAM, PID_TEXT)  # BusyBox
_TAG_ALONE = _compile(rb" +(%s)(?:\[(%s)\])?: ", PROGRAM, PID_TEXT)
_LEVEL = (
    rb"(?i:emerg(?:ency)?|alert|crit(?:ical)?|fatal|ftl|severe|err(?:or)?|warn(?:ing)?|wrn"
    rb"|notice|info?|debug|dbg|trace)"
)
_TAG_IN_BRACKETS = _compile(rb" \[(?!(?:%s|[0-9.]+)\])(%s)\]:? ", _LEVEL, PROGRAM)  # metalog's; no pid, no address
_TAG = _compile(rb" +(?!%s )(%s) +(?!%s:)(%s)(?:\[(%s)\])?: ?", _LEVEL, HOST, _LEVEL, PROGRAM, PID_TEXT)
# PostgreSQL's `%t [%p]: ` has a zone there: `UTC [4711]: `
_TAG_WITH_PID = _compile(rb" *(?:(%s) +)?(?![A-Z]{3,5} \[)(%s) ?\[([0-9]+)\]:(?: |\Z)", HOST, PROGRAM)
_TAG_OF_5424 = _compile(rb" (%s) (%s)\[([0-9]+)\] ", HOST, PROGRAM)  # rsyslog writes no colon where none was sent
_HOST_ALONE = _compile(rb" (?!(?:%s|[0-9]+) )(%s) +", _LEVEL, HOST)
_CLOCK = rb"(?P<minute>%s):(?P<second>%s)" % (MINUTE, FRACTION)
_DATE = rb"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})[T ]" + _CLOCK
_OWN = (
    _compile(rb"(?P<epoch>[0-9]{10}(?:\.[0-9]{1,9})?)(?:: | +[0-9]+ )"),  # Mosquitto, Squid
    _compile(  # CouchDB's `[notice] `, Murmur's `<W>`, Ruby's `W, [`, Tine's `4711 a1b2c -- none -- - `
        rb"(?:\[[a-z]+\] |<[A-Z]>|[A-Z], \[|[0-9]+ [0-9a-z]+ (?:-- none --|[^ ]+) - )%s(?P<zone>%s)?", _DATE, ZONE
    ),
    _compile(rb"\[%s (?P<zone>UTC|GMT)\]", _DATE),  # Technitium
    _compile(  # logfmt
        rb'(?:[A-Za-z_.]+=(?:"(?:[^"\\]|\\.)*"|[^ "]*) )*(?:t|ts|time)="?%s(?P<zone>%s)?["\s]', _DATE, ZONE
    ),
    _compile(  # DirectAdmin's `2026:11:22-`, stunnel's `2026.11.22 `, xrdp's `[20261122-`
        rb"\[?(?P<year>[0-9]{4})([:.]?)(?P<month>[0-9]{2})\2(?P<day>[0-9]{2})[ -]%s", _CLOCK
    ),
    _compile(  # PHP's `[22-Nov-2026 `, nginx's `[22/Nov/2026:`, Kerio's `[22/Nov/2026 `, Redis's `4711:M 22 Nov 2026 `
        rb"(?:\[|[0-9]+:[A-Z] )(?P<day>[0-9]{2})[/ -](?P<name>%s)[/ -](?P<year>[0-9]{4})[ :]%s"
        rb"(?: (?P<zone>%s|UTC|GMT))?",
        MONTH,
        _CLOCK,
        ZONE,
    ),
    _compile(  # Suricata, Snort, ZoneMinder
        rb"(?P<month>[0-9]{2})/(?P<day>[0-9]{2})(?:/(?P<year>(?:[0-9]{2}){1,2}))?[ -]%s", _CLOCK
    ),
    _compile(rb"%s:? +\[?(?P<name>%s) (?P<day>%s) %s", _LEVEL, MONTH, DAY, _CLOCK),  # Tinyproxy, Wings
)
"""Layouts of programs that write their log themselves: all of such a line is the message. Each begins where nobody but
the program writes."""


def take_apart(line: str, given: str | None, now: float, known: Container[str] = ()) -> Parts:
    """The Parts of a line that is not traditional. `given` is the program of one that names none, `known` are programs
    that rules name."""
    if parts := _rfc_5424(line, given, now) or _stamped(line, given, now, known):
        return parts
    if parts := _access(line, given, now) or _journal(line, given, now):
        return parts
    return Parts(False, _own(line, now), None, given, None, 0)


def _rfc_5424(line: str, given: str | None, now: float) -> Parts | None:  # noqa: ARG001 - it has its year
    found = _RFC_5424.match(line)
    if not found and given in (None, ANY_PROGRAM):  # elsewhere it may be a program's own layout
        found = _RFC_5424_IN_A_FILE.match(line)
    if not found:
        return None
    minute, second, zone, host, program, pid = (None if field == "-" else field for field in found.groups())
    when = stamp.absolute(minute, second, zone) if minute and second else None
    return Parts(False, when, host, in_tag(program) if program else given, pid, found.end())


def _stamped(line: str, given: str | None, now: float, known: Container[str]) -> Parts | None:
    """A stamp, and behind it what is there of host, program and pid.

    Where the line may be of any program (`*`), what a message could begin with too is a tag only if a rule names that
    program: elsewhere all rules see it.
    """
    when, layout, end = _stamp(line, now)
    if not end:
        return None
    is_anybodys = given in (None, ANY_PROGRAM)
    if is_anybodys or layout in (_Stamp.OLD, _Stamp.NEW):
        if found := _PRIORITY_AFTER_HOST.match(line, end):
            return Parts(False, when, found[1], found[2], found[3], found.end())
        if found := _PRIORITY_FIRST.match(line, end):
            end = found.end()
            if found := _TAG_ALONE.match(line, end):
                return Parts(False, when, None, found[1], found[2], found.end())
    may_have_tag = layout in (_Stamp.OLD, _Stamp.NEW) or (layout is _Stamp.ZONELESS and is_anybodys)
    tag = _TAG.match(line, end) or _TAG_OF_5424.match(line, end) if may_have_tag else None
    if tag and layout is _Stamp.ZONELESS and given is not None and tag[2] not in known:
        tag = None
    if found := tag or _TAG_WITH_PID.match(line, end):
        return Parts(False, when, found[1], found[2], found[3], found.end())
    found = _TAG_IN_BRACKETS.match(line, end) if layout is _Stamp.OLD and is_anybodys else None
    if found and (given is None or found[1] in known):
        return Parts(False, when, None, found[1], None, found.end())
    host_first = layout is _Stamp.OLD or (layout is _Stamp.NEW and is_anybodys)
    if host_first and (found := _HOST_ALONE.match(line, end)):
        return Parts(False, when, found[1], given, None, found.end())
    return Parts(False, when, None, given, None, _AFTER_STAMP.match(line, end).end())  # type: ignore[union-attr]


def _access(line: str, given: str | None, now: float) -> Parts | None:  # noqa: ARG001
    """The common log format, whose stamp stands in the midst of what rules want to see."""
    if not (found := _ACCESS.match(line)):
        return None
    day, month, year, minute, second, zone = found.groups()
    return Parts(False, stamp.absolute(stamp.numeric(year, month, day, minute), second, zone), None, given, None, 0)


def _journal(line: str, given: str | None, now: float) -> Parts | None:  # noqa: ARG001
    """`host sshd[42]: message`, of a journal read without its stamps: only where it may be of any program, for
    elsewhere a line's writer may have meant it as a message."""
    if given != ANY_PROGRAM or not (found := _TAG_WITH_PID.match(line)):
        return None
    host, program, pid = found.groups()
    return Parts(False, None, host, program, pid, found.end())


def _own(line: str, now: float) -> float | None:
    """The time in a line of a program's own layout."""
    for layout in _OWN:
        if not (found := layout.match(line)):
            continue
        at = found.groupdict()
        if "epoch" in at:
            return moment.meant(float(at["epoch"]))
        name, year = at.get("name") or stamp.named(at["month"]), at.get("year")
        if year is None:
            return stamp.yearless(f"{name} {at['day']} {at['minute']}", at["second"][:2], now)
        zone = at.get("zone")
        minute = stamp.numeric(f"20{year}" if len(year) == 2 else year, name, at["day"], at["minute"])
        return stamp.absolute(minute, at["second"], "Z" if zone in ("UTC", "GMT") else zone)
    return None


class _Stamp(enum.Enum):
    """What may follow a stamp: RFC 3164's host; RFC 3339's host, but programs that log by themselves write such
    stamps too, and without a zone more often than not; nothing but the message."""

    OLD = "RFC 3164"
    NEW = "RFC 3339"
    ZONELESS = "RFC 3339 without its zone"
    BARE = "bare"


def _stamp(line: str, now: float) -> tuple[float | None, _Stamp, int]:
    """The time that a stamp at the start of `line` says, what may follow, and where it ends: 0 if there is none."""
    if found := _YEARLESS.match(line):
        bracket, minute, second = found.groups()
        return stamp.yearless(minute, second, now), _Stamp.BARE if bracket else _Stamp.OLD, found.end()
    if found := _NUMERIC.match(line):
        bracket, minute, second, zone = found.groups()
        layout = _Stamp.BARE if bracket or "T" not in minute else _Stamp.NEW if zone else _Stamp.ZONELESS
        return stamp.absolute(minute, second, zone), layout, found.end()
    if found := _WITH_YEAR.match(line):
        month, day, year, minute, second = found.groups()
        return stamp.absolute(stamp.numeric(year, month, day, minute), second, None), _Stamp.OLD, found.end()
    if found := _CTIME.match(line):
        _, month, day, minute, second, year = found.groups()
        return stamp.absolute(stamp.numeric(year, month, day, minute), second, None), _Stamp.BARE, found.end()
    if found := _TAI64N.match(line):
        return stamp.tai64n(found[1], found[2]), _Stamp.BARE, found.end()
    return None, _Stamp.BARE, 0
