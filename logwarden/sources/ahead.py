"""The newest lines of a file whose backlog is long, read ahead of it for their attacks: a ban need not wait.

Owns: how far was read ahead, and what stood there, so that no line is shown twice unless it says so (`Ahead.anew`).
Never: moves the tail, which reads these lines in their turn; keeps the file open.
Fails: shows nothing where the file cannot be read; the tail says why.
Bugs: of a file that grows faster than it is looked at, only what is newest is shown.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from ..model import BLOCK, PLAIN, Ahead, Batch, Manner
from .lines import Skip, cut
from .logfile import LogFile, open_if_there
from .place import TAIL

BEHIND = 1_048_576
"""Bytes unread from which on a file is far behind: ten thousand lines."""
EVERY = 1.0
"""Seconds between two looks ahead of one file."""
TURN = 0.25
"""Seconds between two looks ahead of any file: that which has waited longest is next. Together 1 MiB a second."""


class _Mark(NamedTuple):
    """Where the last look ended, and the bytes before it."""

    device: int
    inode: int
    offset: int
    before: bytes
    skip: Skip

    def fits(self, log: LogFile) -> bool:
        """Whether it is this file, and still holds what was seen."""
        at = self.offset - len(self.before)
        return (log.device, log.inode) == (self.device, self.inode) and log.read_at(at, len(self.before)) == self.before


class Scout:
    """Looks at the end of the file at `path`. `program` and `manner`: see Tail."""

    def __init__(self, path: str, program: str | None = None, manner: Manner = PLAIN) -> None:
        self._path, self._program, self._manner = path, program, manner
        self._mark: _Mark | None = None
        self._anew = True
        self.looked = -EVERY
        """When it last did, in its caller's seconds."""

    def look(self) -> Ahead | None:
        """The last whole lines, up to BLOCK bytes, that were not shown yet; None where there is none."""
        try:
            log = open_if_there(self._path)
        except OSError:
            return None
        if log is None:
            return None
        with contextlib.closing(log), contextlib.suppress(OSError):
            return None if log.packed else self._look(log)
        return None

    def _look(self, log: LogFile) -> Ahead | None:
        mark = self._mark if self._mark and self._mark.fits(log) else None
        self._anew |= mark is None
        start = max(log.stat().st_size - BLOCK, 0)
        skip = Skip.LINE if start else Skip.NOTHING  # the line in whose midst it begins
        if mark and mark.offset >= start:
            start, skip = mark.offset, mark.skip
        chunk = log.read_at(start, BLOCK)
        piece = cut(chunk, skip)
        before = chunk[max(0, piece.used - TAIL) : piece.used]
        if piece.used:
            self._mark = _Mark(log.device, log.inode, start + piece.used, before, piece.skip)
        if not piece.count:
            return None
        anew, self._anew = self._anew, False
        batch = Batch(f"file:{self._path}", piece.block, piece.count, "", self._program, manner=self._manner)
        return Ahead(batch, anew)
