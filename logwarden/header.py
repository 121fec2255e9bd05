r"""A log line's header: when it was written, on which host, by which program; and where its message starts.

Owns: every header layout that is understood, and `HEADER`, `PROGRAM`, `PID`, the fragments of which the matcher makes
its patterns. The regex that reads the traditional layouts here is made of the same fragments and divides a line in one
way only, so that the matcher's scan and `parse` cannot disagree.

    Nov 22 17:00:00 host sshd[42]: message                     traditional: RFC 3164, RFC 5424's stamp in its place
    2026-11-22T17:00:00.123456+01:00 host sshd[42]: message    (rsyslog's default, journalctl -o short-iso-precise)
    <38>1 2026-11-22T17:00:00Z host sshd 42 - - message        RFC 5424
    2026/11/22 17:00:00 message                                a stamp alone, as in nginx's error log
    192.0.2.1 - - [22/Nov/2026:17:00:00 +0000] "GET ...        an access log: all of it is the message

Never: raises, whatever the bytes; trusts a name (who may write to syslog may write any tag).
Linear in the length of a line: what follows a repetition is not among what it repeats, so no regex here backtracks far.
"""

from __future__ import annotations

import enum
import functools
import re
import time
from datetime import UTC, datetime
from typing import NamedTuple

from .model import Event

ANY_PROGRAM = "*"
"""The program of a line whose header names none and which is to be tried against the rules of every program."""

_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTH = b"(?:%s)" % b"|".join(_MONTHS)
_DAY = rb"[ 0-3]?[0-9]"
_MINUTE = rb"[0-9]{2}:[0-9]{2}"
_SECOND = rb"[0-9]{2}"
_FRACTION = rb"[0-9]{2}(?:[.,][0-9]{1,9})?"
_ZONE = rb"(?:Z|[+-][0-9]{2}:?[0-9]{2})"
_RFC_3164 = rb"%s %s %s" % (_MONTH, _DAY, _MINUTE)
_RFC_3339 = rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T%s" % _MINUTE
_PRI = rb"(?:<[0-9]{1,3}>)?"
_HOST = rb"[0-9A-Za-z._:%@/()-]*[0-9A-Za-z._%@/()-]"  # an IPv6 address, a relay's `name/address`; not `imap-login:`

PROGRAM = rb"[^\x00-\x20\x7f:*\[\]]+"
"""A tag: `postfix/smtpd`, `sshd(pam_unix)`. Without '*', so that no line can claim to be every program's."""
_PID = rb"[^\x00-\x20\x7f\[\]]*"
PID = rb"\[%s\]" % _PID
HEADER = rb"%s(?:%s:%s|%s:%s%s) %s " % (_PRI, _RFC_3164, _SECOND, _RFC_3339, _FRACTION, _ZONE, _HOST)
"""The traditional layouts up to the tag. HEADER PROGRAM PID? ': ' and a message is such a line, whole."""

_TRADITIONAL = re.compile(
    rb"%s(?:(%s):(%s)|(%s):(%s)(%s)) (%s) " % (_PRI, _RFC_3164, _SECOND, _RFC_3339, _FRACTION, _ZONE, _HOST)
    + rb"(%s)(?:\[(%s)\])?: " % (PROGRAM, _PID)
)
_RFC_5424 = re.compile(
    rb"<[0-9]{1,3}>[1-9][0-9]{0,2} (?:-|(%s):(%s)(%s)) " % (_RFC_3339, _FRACTION, _ZONE)
    + rb"([!-~]+) ([!-~]+) ([!-~]+) [!-~]+ "  # HOSTNAME APP-NAME PROCID MSGID
    + rb'(?:(?:-|(?:\[[!#-<>-\\^-~]+(?: [!#-<>-\\^-~]+="(?:[^"\\]|\\.)*")*\])+)(?: |\Z)(?:\xef\xbb\xbf)?)?'
)
_STAMP_3164 = re.compile(rb"%s(\[)?(%s):(%s)(?:[.,][0-9]{1,9})?(?(1)\])" % (_PRI, _RFC_3164, _SECOND))
_STAMP_WITH_YEAR = re.compile(rb"%s(%s) (%s) ([0-9]{4}) (%s):(%s)" % (_PRI, _MONTH, _DAY, _MINUTE, _FRACTION))
_STAMP_NUMERIC = re.compile(
    rb"%s(\[)?([0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[T ]%s):(%s)(?: ?(%s))?(?(1)\])" % (_PRI, _MINUTE, _FRACTION, _ZONE)
)
_STAMP_CTIME = re.compile(
    rb"(\[)?(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (%s) (%s) (%s):(%s) ([0-9]{4})(?(1)\])" % (_MONTH, _DAY, _MINUTE, _FRACTION)
)
_ACCESS = re.compile(
    rb'[^\["]{1,1024}\[([0-9]{2})/(%s)/([0-9]{4}):(%s):(%s) ([+-][0-9]{4})\]' % (_MONTH, _MINUTE, _SECOND)
)
_AFTER_STAMP = re.compile(rb":? *")
_TAG = re.compile(rb" +(%s) +(%s)(?:\[(%s)\])?: ?" % (_HOST, PROGRAM, _PID))
_TAG_WITH_PID = re.compile(rb" *(?:(%s) +)?(%s) ?\[([0-9]+)\]:(?: |\Z)" % (_HOST, PROGRAM))
_HOST_ALONE = re.compile(rb" (?![0-9]+ )(%s) +" % _HOST)

_NOT_IN_PROGRAM = bytes(byte for byte in range(256) if not re.fullmatch(PROGRAM, bytes([byte])))
_PROGRAM_TABLE = bytes.maketrans(_NOT_IN_PROGRAM, b"_" * len(_NOT_IN_PROGRAM))


class Parts(NamedTuple):
    """A line taken apart, in bytes. The message is the line from `start` on.

    `program` consists of what PROGRAM allows, '_' in the place of anything else, or is `*`.
    """

    traditional: bool
    time: float | None
    host: bytes | None
    program: bytes | None
    pid: bytes | None
    start: int


def parse(line: bytes, program: str | None, now: float) -> Event:
    """What `line`, without its newline, says. `program` names the program of a line that names none ('*': any).

    A stamp without a year is of the year that puts it last, but not more than a day after `now`; one without a zone
    is in local time. A carriage return at the end is no part of the message.
    """
    if line.endswith(b"\r"):
        line = line[:-1]
    return event(line, take_apart(line, program, now))


def event(line: bytes, parts: Parts) -> Event:
    """`parts` of `line` as text: UTF-8, with backslash escapes for what is not."""
    _, when, host, program, pid, start = parts
    return Event(
        when,
        None if host is None else host.decode("ascii"),
        None if program is None else program.decode("utf-8", "backslashreplace"),
        int(pid) if pid and len(pid) < 20 and pid.isdigit() else None,
        line[start:].decode("utf-8", "backslashreplace"),
        line.decode("utf-8", "backslashreplace"),
    )


def take_apart(line: bytes, program: str | None, now: float) -> Parts:
    """The same in bytes: what `parse` is made of, for those who go on with bytes."""
    if found := _TRADITIONAL.match(line):
        minute, second, iso_minute, iso_second, zone, host, tag, pid = found.groups()
        when = _yearless(minute, second, now) if minute else _iso(iso_minute, iso_second, zone)
        return Parts(True, when, host, tag, pid, found.end())
    given = None if program is None else program_name(program)
    for read in (_rfc_5424, _stamped, _access, _journal):
        if (parts := read(line, given, now)) is not None:
            return parts
    return Parts(False, None, None, given, None, 0)


def program_name(name: str) -> bytes | None:
    """A program's name as rules see it: '_' in the place of what no tag can hold; None where there is no name."""
    if name == ANY_PROGRAM:
        return b"*"
    return name.encode("utf-8", "surrogateescape").translate(_PROGRAM_TABLE) or None


# --- the layouts ----------------------------------------------------------------------------------------------------


def _rfc_5424(line: bytes, given: bytes | None, now: float) -> Parts | None:  # noqa: ARG001 - it has its year
    if not (found := _RFC_5424.match(line)):
        return None
    minute, second, zone, host, program, pid = (None if field == b"-" else field for field in found.groups())
    when = _iso(minute, second, zone) if minute and second and zone else None
    return Parts(False, when, host, program.translate(_PROGRAM_TABLE) if program else given, pid, found.end())


def _stamped(line: bytes, given: bytes | None, now: float) -> Parts | None:
    """A stamp, and behind it what is there of host, program and pid."""
    when, layout, end = _stamp(line, now)
    if not end:
        return None
    if layout is not _Stamp.BARE and (found := _TAG.match(line, end)):
        host, program, pid = found.groups()
        return Parts(False, when, host, program, pid, found.end())
    if found := _TAG_WITH_PID.match(line, end):
        host, program, pid = found.groups()
        return Parts(False, when, host, program, pid, found.end())
    host_first = layout is _Stamp.OLD or (layout is _Stamp.NEW and given in (None, b"*"))
    if host_first and (found := _HOST_ALONE.match(line, end)):
        return Parts(False, when, found[1], given, None, found.end())
    return Parts(False, when, None, given, None, _AFTER_STAMP.match(line, end).end())  # type: ignore[union-attr]


def _access(line: bytes, given: bytes | None, now: float) -> Parts | None:  # noqa: ARG001
    """The common log format, whose stamp stands in the midst of what rules want to see."""
    if not (found := _ACCESS.match(line)):
        return None
    day, month, year, minute, second, zone = found.groups()
    return Parts(False, _iso(_numeric(year, month, day, minute), second, zone), None, given, None, 0)


def _journal(line: bytes, given: bytes | None, now: float) -> Parts | None:  # noqa: ARG001
    """`host sshd[42]: message`, of a journal read without its stamps: only where no program is given, for here the
    line's writer may have meant it as a message."""
    if given != b"*" or not (found := _TAG_WITH_PID.match(line)):
        return None
    host, program, pid = found.groups()
    return Parts(False, None, host, program, pid, found.end())


# --- stamps ---------------------------------------------------------------------------------------------------------


class _Stamp(enum.Enum):
    """What may follow a stamp: RFC 3164's host, RFC 3339's host (programs that log by themselves write such stamps
    too), or nothing but the message."""

    OLD = "RFC 3164"
    NEW = "RFC 3339"
    BARE = "bare"


def _stamp(line: bytes, now: float) -> tuple[float | None, _Stamp, int]:
    """The time that a stamp at the start of `line` says, what may follow, and where it ends: 0 if there is none."""
    if found := _STAMP_3164.match(line):
        bracket, minute, second = found.groups()
        return _yearless(minute, second, now), _Stamp.BARE if bracket else _Stamp.OLD, found.end()
    if found := _STAMP_NUMERIC.match(line):
        bracket, minute, second, zone = found.groups()
        syslog = zone and not bracket and b"T" in minute
        return _iso(minute, second, zone), _Stamp.NEW if syslog else _Stamp.BARE, found.end()
    if found := _STAMP_WITH_YEAR.match(line):
        month, day, year, minute, second = found.groups()
        return _iso(_numeric(year, month, day, minute), second, None), _Stamp.OLD, found.end()
    if found := _STAMP_CTIME.match(line):
        _, month, day, minute, second, year = found.groups()
        return _iso(_numeric(year, month, day, minute), second, None), _Stamp.BARE, found.end()
    return None, _Stamp.BARE, 0


def _numeric(year: bytes, month: bytes, day: bytes, minute: bytes) -> bytes:
    return b"%s-%02d-%02d %s" % (year, _MONTHS.index(month) + 1, int(day), minute)


def _iso(minute: bytes, second: bytes, zone: bytes | None) -> float | None:
    """The time of e.g. `2026-11-22T17:00`, `05,25`, `+01:00`. None where there is no such time."""
    start, seconds = _start_of_minute(minute, zone), float(second.replace(b",", b"."))
    return None if start is None or seconds >= 61.0 else start + seconds  # 60: a leap second


@functools.lru_cache(maxsize=256)
def _start_of_minute(minute: bytes, zone: bytes | None) -> float | None:
    year, month, day, hour, minutes = (int(minute[at : at + width]) for at, width in _NUMERIC_FIELDS)
    try:
        local = datetime(year, month, day, hour, minutes)  # local where no zone is written
        return local.timestamp() if zone is None else local.replace(tzinfo=UTC).timestamp() - _offset(zone)
    except (ValueError, OverflowError):
        return None


_NUMERIC_FIELDS = ((0, 4), (5, 2), (8, 2), (11, 2), (14, 2))


def _offset(zone: bytes) -> int:
    """Seconds east of Greenwich of `Z`, `+0100` or `-01:00`."""
    if zone == b"Z":
        return 0
    seconds = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
    return -seconds if zone.startswith(b"-") else seconds


def _yearless(minute: bytes, second: bytes, now: float) -> float | None:
    """The last time before tomorrow that was e.g. `Nov 22 17:00`, second `05`. None where no year has that day."""
    seconds = int(second)
    if seconds > 60:
        return None
    for start in _minutes_of_years(minute, int(now // _HALF_DAY)):
        if start + seconds <= now + _DAY_LENGTH:
            return start + seconds
    return None


_HALF_DAY = 43_200
_DAY_LENGTH = 86_400


@functools.lru_cache(maxsize=256)
def _minutes_of_years(minute: bytes, half_day: int) -> tuple[float, ...]:
    """The times that `minute` may mean around a half day since the epoch, the last first; Feb 29 goes back 8 years."""
    month, day, clock = minute[:3], minute[4:-6], minute[-5:]
    this = time.localtime(half_day * _HALF_DAY).tm_year
    texts = (_numeric(b"%04d" % year, month, day, clock) for year in range(this + 1, this - 9, -1))
    return tuple(start for text in texts if (start := _start_of_minute(text, None)) is not None)
