"""Points in time, as POSIX seconds, and the dates that people read.

Owns: which times anybody means. A log line may say any other, of which some have no date in any calendar.
Never: fails on a time, whoever wrote it.
"""

from __future__ import annotations

from datetime import datetime, tzinfo

FIRST, END = 0.0, 7_258_118_400.0
"""1970-01-01 and 2200-01-01, UTC: a ban of a hundred years (`duration.LONGEST`) ends between them."""


def meant(time: float) -> float | None:
    """`time` where somebody may mean it."""
    return time if FIRST <= time < END else None


def date(time: float, zone: tzinfo | None = None) -> datetime:
    """The date of `time` in `zone` (None: the process's own); the nearest that anybody means of any other."""
    return datetime.fromtimestamp(min(END, max(FIRST, time)), zone)
