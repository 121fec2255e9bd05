"""How long a tail waits for what may still come: for the rest of a line, for a slow writer, for a file that is quiet.

Owns: those decisions, as functions of what is known of the files and of the time. Pure: asks neither the file system
nor the clock. Times are POSIX seconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

GRACE = 5.0
"""Seconds after a rotation that a last line without newline waits for the rest of it."""
DOZE = 3600.0
"""Seconds without growth after which a file is closed, so that thousands of quiet ones hold no descriptors."""
LINGER = 60.0
"""Seconds without growth after which a deleted file is let go, and its disk space with it."""


class Grace:
    """A file whose successor is still empty is stayed with, but not for ever where it ends within a line."""

    def __init__(self) -> None:
        self._since: float | None = None

    def over(self, *, unfinished: bool, now: float) -> bool:
        """Whether the rest of a line has been waited for long enough; False where none is `unfinished`."""
        if not unfinished:
            self._since = None
            return False
        if self._since is None or now < self._since:  # or the clock was set back
            self._since = now
        return now - self._since >= GRACE

    def end(self) -> None:
        """There is no successor, or it is where the tail stands now."""
        self._since = None

    def ends(self) -> list[float]:
        """When it is over, where it has begun."""
        return [] if self._since is None else [self._since + GRACE]


def deserted(found: os.stat_result, now: float) -> bool:
    """Whether a file has no name any more, and has been quiet since."""
    return not found.st_nlink and now - found.st_mtime > LINGER


def settled(modified: int, now: float) -> bool:
    """Whether a file, modified then (ns), has been quiet for so long that its last line is whole without a newline."""
    return now - modified / 1e9 >= GRACE


def settles(modified: int) -> float:
    """When it will be."""
    return modified / 1e9 + GRACE


def sleepy(found: os.stat_result, now: float) -> bool:
    """Whether nothing has happened for long."""
    return now - found.st_mtime >= DOZE


def unchanged(before: os.stat_result, found: os.stat_result | None) -> bool:
    """Whether a file that was closed for being quiet is the same, and has not been written to."""
    return found is not None and all(
        getattr(before, field) == getattr(found, field) for field in ("st_dev", "st_ino", "st_size", "st_mtime_ns")
    )


def next_after(polled: float, times: Iterable[float]) -> float | None:
    """The first of `times` that is still to come."""
    return min((time for time in times if time > polled), default=None)
