"""Which rotated files are not to be read: copies of others, and those that were passed before.

copytruncate has copied and not truncated yet, renamecopy is still copying, somebody has made a copy by hand, compressed
or not: such a file is the beginning of another one, or all of it.

Owns: that comparison, and the beginnings of files, each read once. Never: decides what a copy is good for; see `chain`.
Fails: what cannot be opened, or has another name by now, is a copy of nothing, and nothing is remembered of it.
Bugs: of a plain file only the first KiB and the last quarter KiB are compared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from ..header import parse
from .logfile import HEAD, LogFile, opened
from .place import TAIL
from .reading import Reading
from .rotation import Member, Stamp


class Heads:
    """The first bytes of rotated files; a compressed one is not begun anew for each look at them."""

    def __init__(self) -> None:
        self._heads: dict[Stamp, bytes] = {}

    def of(self, member: Member) -> bytes:
        """Its first HEAD bytes; none where it cannot be read."""
        if member.stamp not in self._heads:
            with _itself(member) as log:
                if log is None:
                    return b""
                self._heads[member.stamp] = log.read_at(0, HEAD)
        return self._heads[member.stamp]

    def when(self, member: Member) -> float | None:
        """The time that its lines begin with, POSIX seconds; None where they name none."""
        times = (parse(line, None, member.modified / 1e9).time for line in self.of(member).split(b"\n"))
        return next((time for time in times if time is not None), None)

    def begins(self, log: LogFile, member: Member) -> bool:
        """Whether `log`, another file, begins with all that is in `member`."""
        head = self.of(member)
        if not head or member.stamp[:2] == (log.device, log.inode) or log.read_at(0, len(head)) != head:
            return False
        with _itself(member) as copy:
            if copy is None:
                return False
            at = max(0, copy.end() - TAIL)
            tail = copy.read_at(at, TAIL)
            return log.read_at(at, len(tail)) == tail

    def begin(self, others: list[Member], member: Member) -> bool:
        """The same of rotated files, whether any does."""
        head = self.of(member)
        for other in others:
            if head and self.of(other).startswith(head):
                with opened(other.path) as log:
                    if log is not None and self.begins(log, member):
                        return True
        return False


class Passed:
    """Rotated files that are no newer than the one at hand, whatever they are called by now."""

    def __init__(self) -> None:
        self._stamps: set[Stamp] = set()
        self._listed: tuple[Reading, set[Stamp]] | None = None  # of those that may be so

    def survey(self, at: Reading, members: Callable[[], list[Member]]) -> None:
        """Note what rotated files there are, `at` being the last: none of them is newer.

        It counts once, at a later call, all of `at` has been read: until then one may be a copy of what was not.
        """
        if self._listed is None or self._listed[0] is not at:
            self._listed = at, {member.stamp for member in members()}
        elif self._listed[1] and at.offset == at.seen:
            self._stamps = self._listed[1]
            self._listed = at, set()

    def add(self, stamp: Stamp) -> None:
        """This file is left behind."""
        self._stamps.add(stamp)

    def without(self, newer: list[Member]) -> list[Member]:
        """Those of `newer` that are not among them."""
        return [member for member in newer if member.stamp not in self._stamps]


@contextlib.contextmanager
def _itself(member: Member) -> Iterator[LogFile | None]:
    """The file, unless another one has its name by now."""
    with opened(member.path) as log:
        yield log if log is not None and (log.device, log.inode) == (member.device, member.inode) else None
