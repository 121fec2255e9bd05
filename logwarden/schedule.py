"""When the next digest is due: systemd's calendar expressions, and a fixed offset that spreads many hosts.

Owns: the grammar of systemd.time(7), "CALENDAR EVENTS", as lists of numbers; what comes next is dateutil's rrule.
Never: looks at the clock (the caller gives the time) or sleeps. Left out on purpose: fractions of a second, `@0`.
A wall-clock time that daylight saving skips is skipped; one that it repeats counts once, the first time: as systemd.

Diagnostics: ValueError, a sentence that says what was expected.
"""

from __future__ import annotations

import calendar
import itertools
import math
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

from dateutil import rrule

from .blake2 import blake2b

SHORTHANDS = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
}
EXAMPLES = "'*:02', 'hourly', '07:00', 'Mon..Fri 07:00' or '*-*-01 06:30'"

_YEARS = (1970, 2199)  # systemd's own limits
_HORIZON = 366 * 41  # days: 29 February on one given weekday returns within 40 years, also over the year 2100
_WEEKDAYS = [name.lower() for name in calendar.day_name]
_DATE = re.compile(r"(?:([^-~]+)-)?([^-~]+)([-~])([^-~]+)")
_ITEM = re.compile(r"(\d{1,4})(?:\.\.(\d{1,4}))?(?:/(\d{1,4}))?", re.ASCII)
_ZONE = re.compile(r"[A-Za-z]+(/[A-Za-z0-9_+-]+)*")


class Schedule(NamedTuple):
    """A parsed expression: for each field, the numbers that fit. `zone` None is the local zone of the process."""

    text: str
    years: tuple[int, ...]
    months: tuple[int, ...]
    days: tuple[int, ...]  # negative: counted from the month's last day, which is -1
    weekdays: tuple[int, ...]  # 0 is Monday
    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...]
    zone: tzinfo | None = None

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Parse `[WEEKDAYS] [[YEAR-]MONTH-DAY] [HOUR:MINUTE[:SECOND]] [ZONE]` or a word such as `hourly`.

        Raises ValueError where the text is no such expression, or names a day that never comes.
        """
        words = " ".join(text.split())
        for word, meaning in SHORTHANDS.items():
            words = re.sub(rf"^{word}(?= |$)", meaning, words, flags=re.IGNORECASE)
        try:
            return _parse(text, words.split(" ") if words else [])
        except ValueError as error:
            raise ValueError(f"{text!r} is no calendar expression: {error}; such as {EXAMPLES}") from None

    def next(self, after: float) -> float:
        """The first occurrence strictly after `after` (both POSIX seconds); math.inf where none is left."""
        for naive in self._from(datetime.fromtimestamp(after, self.zone).replace(tzinfo=None)):
            when = naive.replace(tzinfo=self.zone).timestamp()  # naive means local; fold 0 is the first of two
            skipped = datetime.fromtimestamp(when, self.zone).replace(tzinfo=None) != naive
            if when > after and not skipped:
                return when
        return math.inf

    def _from(self, now: datetime) -> Iterator[datetime]:
        """Wall-clock occurrences from the hour of `now` on, for as long as one can still be missing."""
        this_hour = now.replace(minute=0, second=0, microsecond=0)
        for day in self._days_from(this_hour.replace(hour=0)):
            for hour in (day.replace(hour=hour) for hour in self.hours):
                if hour >= this_hour:
                    for minute, second in itertools.product(self.minutes, self.seconds):
                        yield hour.replace(minute=minute, second=second)

    def _days_from(self, today: datetime) -> Iterator[datetime]:
        start = max(today, datetime(max(self.years[0], _YEARS[0]), 1, 1))
        last = datetime(self.years[-1], 12, 31)
        days = rrule.rrule(
            rrule.DAILY,
            dtstart=start,
            until=min(start + timedelta(days=_HORIZON), last),
            bymonth=self.months,
            bymonthday=self.days,
            byweekday=self.weekdays,
        )
        return (day for day in days if day.year in self.years)

    def __str__(self) -> str:
        return self.text


def jitter(seed: str, limit: float) -> float:
    """Seconds in [0, limit) to add to an occurrence: always the same for a seed, spread evenly over seeds."""
    digest = blake2b(seed.encode("utf-8", "surrogateescape"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48 * limit


def _parse(text: str, words: list[str]) -> Schedule:
    if not words:
        raise ValueError("it is empty")
    weekdays = _weekdays(words.pop(0)) if words[0][:1].isalpha() else tuple(range(7))
    date = words.pop(0) if words and ":" not in words[0] and re.search("[-~]", words[0]) else "*-*-*"
    time = words.pop(0) if words and ":" in words[0] else "00:00:00"
    zone = _zone(words.pop(0)) if words else None
    if words:
        raise ValueError(f"expected nothing after the time zone, not {words[0]!r}")
    return Schedule(text, *_date(date), weekdays, *_time(time), zone)


def _date(text: str) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    if not (parts := _DATE.fullmatch(text)):
        raise ValueError(f"expected a date as YEAR-MONTH-DAY or MONTH-DAY, not {text!r}")
    year, month, mark, day = parts.groups()
    years = _field(year or "*", *_YEARS, "a year")
    months = _field(month, 1, 12, "a month")
    days = _from_end(day) if mark == "~" else _field(day, 1, 31, "a day of the month")
    if min(map(abs, days)) > max(calendar.monthrange(2024, each)[1] for each in months):
        raise ValueError(f"no such day ever comes: {text!r}")
    return years, months, days


def _from_end(text: str) -> tuple[int, ...]:
    """`~3` is the third last day of the month; `~7/1` counts from there towards the end."""
    start, slash, step = text.partition("/")
    if not slash:
        return tuple(-day for day in _field(start, 1, 28, "a day counted from the month's end"))
    first, by = (_field(each, 1, 28, "a number of days")[0] for each in (start, step))
    return tuple(range(-first, 0, by))


def _time(text: str) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    parts = text.split(":")
    if len(parts) not in (2, 3):
        raise ValueError(f"expected a time as HOUR:MINUTE or HOUR:MINUTE:SECOND, not {text!r}")
    hours = _field(parts[0], 0, 23, "an hour")
    minutes = _field(parts[1], 0, 59, "a minute")
    return hours, minutes, _field(parts[2] if parts[2:] else "00", 0, 59, "a whole second")


def _field(text: str, low: int, high: int, what: str) -> tuple[int, ...]:
    """`*`, or a list of `N`, `N..M`, `N/STEP`, `N..M/STEP`; the numbers sorted."""
    if text == "*":
        return tuple(range(low, high + 1))
    numbers: set[int] = set()
    for item in text.split(","):
        if not (found := _ITEM.fullmatch(item)):
            raise ValueError(f"expected {what} ({low} to {high}) as N, N..M or N/STEP, not {item!r}")
        start, end, step = found.groups()
        first = _century(int(start), low)
        stop = _century(int(end), low) if end else high if step else first
        if not low <= first <= stop <= high or not 0 < int(step or 1) <= high - low:
            raise ValueError(f"expected {what} from {low} to {high}, not {item!r}")
        numbers.update(range(first, stop + 1, int(step or 1)))
    return tuple(sorted(numbers))


def _century(number: int, low: int) -> int:
    """A year of two digits means 1970 to 2069."""
    return number if low != _YEARS[0] or number > 99 else number + (1900 if number >= 70 else 2000)


def _weekdays(text: str) -> tuple[int, ...]:
    days: set[int] = set()
    for item in text.lower().split(","):
        names = item.split("..") if ".." in item else item.split("-")
        ends = [_weekday(name) for name in (names if len(names) == 2 else [item, item])]
        if ends[0] > ends[1]:
            raise ValueError(f"expected weekdays from Monday towards Sunday, not {item!r}")
        days.update(range(ends[0], ends[1] + 1))
    return tuple(sorted(days))


def _weekday(name: str) -> int:
    found = [number for number, full in enumerate(_WEEKDAYS) if name in (full, full[:3])]
    if not found:
        raise ValueError(f"expected a weekday such as Mon or Monday, not {name!r}")
    return found[0]


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo  # it brings sysconfig along, and few schedules name a zone

    try:
        if _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (OSError, LookupError):
        pass  # said below: ZoneInfoNotFoundError is a KeyError
    raise ValueError(f"expected a time zone such as UTC or Europe/Berlin, not {name!r}")
