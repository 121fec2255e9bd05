"""When a stamp says it was.

Owns: the year of a stamp that has none, the zone of one that has none (local), and what is no time at all.
Text is that of a line decoded as latin-1. Times are POSIX seconds; None where there is no such time.
"""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime

from .. import moment

_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_FIELDS = ((0, 4), (5, 2), (8, 2), (11, 2), (14, 2))
_HALF_DAY, _DAY = 43_200, 86_400
_TAI_EPOCH = 2**62 + 10
"""The second of 1970-01-01T00:00:00Z, as libtai counts, without leap seconds."""


def named(month: str) -> str:
    """The name of a month in digits; that of none is no name."""
    return _MONTHS[3 * int(month) - 3 : 3 * int(month)] or "none"


def numeric(year: str, month: str, day: str, minute: str) -> str:
    """A minute in digits, for `absolute`. What is no month is 00, which makes no time."""
    return f"{year}-{_MONTHS.find(month) // 3 + 1:02d}-{int(day):02d} {minute}"


@functools.lru_cache(maxsize=256)
def start(minute: str, zone: str | None) -> float | None:
    """The time at which e.g. `2026-11-22T17:00`, `+01:00` began; local without a zone."""
    year, month, day, hour, minutes = (int(minute[at : at + width]) for at, width in _FIELDS)
    try:
        local = datetime(year, month, day, hour, minutes)
        began = local.timestamp() if zone is None else local.replace(tzinfo=UTC).timestamp() - _offset(zone)
        return moment.meant(began)
    except (ValueError, OverflowError):
        return None


def absolute(minute: str, second: str, zone: str | None) -> float | None:
    """The time of e.g. `2026-11-22T17:00`, `05,25`, `+01:00`; local without a zone."""
    began, seconds = start(minute, zone), float(second.replace(",", ".") if "," in second else second)
    return None if began is None or seconds >= 61.0 else began + seconds  # 60 is a leap second


def yearless(minute: str, second: str, now: float) -> float | None:
    """The last time not more than a day after `now` that was e.g. `Nov 22 17:00`, second `05`."""
    seconds = int(second)
    if seconds > 60:
        return None
    for began in _starts(minute, int(now // _HALF_DAY)):
        if began + seconds <= now + _DAY:
            return began + seconds
    return None


def tai64n(second: str, nanosecond: str) -> float | None:
    """The time of a TAI64N label, both in hexadecimal."""
    fraction = int(nanosecond, 16) / 1e9
    return moment.meant(int(second, 16) - _TAI_EPOCH + fraction) if fraction < 1.0 else None


def _offset(zone: str) -> int:
    """Seconds east of Greenwich of `Z`, `+0100` or `-01:00`."""
    if zone == "Z":
        return 0
    seconds = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
    return -seconds if zone.startswith("-") else seconds


@functools.lru_cache(maxsize=256)
def _starts(minute: str, half_day: int) -> tuple[float, ...]:
    """The times that a minute may mean around a half day since the epoch, the last first: Feb 29 goes back 8 years."""
    month, day, clock = minute[:3], minute[4:-6], minute[-5:]
    this = time.localtime(half_day * _HALF_DAY).tm_year
    texts = (numeric(f"{year:04d}", month, day, clock) for year in range(this + 1, this - 9, -1))
    return tuple(began for text in texts if (began := start(text, None)) is not None)
