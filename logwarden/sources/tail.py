"""Follow one log through its rotations, so that each line is read once, in order.

The log is a chain: rotated files, oldest first, then the one at the path. A tail stands in one file of the chain
and goes on to the next when it has read this one to its end and the writer has moved on. That is the same `walk`
whether the log is rotated under its eyes or was rotated five times, compressed and copied while it was away.

Owns: where to begin, when to sleep, and trouble. The walk itself is `walk`'s.
Never: waits, starts threads, asks for the time.
Fails: what cannot be read now is one Notice and tried again at the next poll; what is gone is a gap. So is a rotated
file that we may not read when its turn comes: the log goes on without it, and it is not read later either.
Bugs: two files without timestamps whose first KiB and last quarter KiB agree are one file to it. Lines that a writer
adds between the copying and the truncating of copytruncate, and that were not read in between, are lost before anyone
could see them. Files that rotation removed before any of them was seen are a gap only where one that was read before
them, and is gone too, tells so, and the next one is not as old as that. Such a gap says that there may be such files:
it is told also where exactly the one read last was removed (its compressed copy, with copytruncate), and where the
next one, of which nothing was read yet, was compressed meanwhile. A file that was gone, and is back beside the one
that took its place, is not read on. An `olddir` that is not below the log's own directory is known once an open file
was seen to go there, and to files that are copied there (copytruncate, renamecopy) it never is. What a slow writer
adds to a file there is read with the next line of the log, or within the minute.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..model import PLAIN, Batch, Manner, Notice, NoticeKind
from .logfile import open_log
from .patience import next_after, settles, sleepy, unchanged
from .place import dump
from .reading import Reading, continuation, line_start
from .rotation import status
from .walk import Walk


class Tail:
    """One log. `poll` yields what is new since the last poll, and is to be exhausted."""

    def __init__(
        self,
        path: str,
        *,
        program: str | None = None,
        continues: str | None = None,
        cursor: str | None = None,
        beginning: bool = True,
        since: float | None = None,
        manner: Manner = PLAIN,
        written: float | None = None,
    ) -> None:
        """Read on after `cursor`; without one, from the beginning of the file, or from its present end.

        `since`: when the log was looked for and was not there, POSIX seconds. What was rotated later is read too.

        `continues` is a regular expression: a line that starts with a match continues the line before it. `manner` is
        what each batch says. Raises ConfigError where it does not compile.

        `written`: when what is there by now was written at the earliest, POSIX seconds; None: it is news. Behind a
        cursor that is when what it had read was.
        """
        self.path = path
        self.source = f"file:{path}"
        joined = None if continues is None else continuation(continues)
        self._walk = Walk(path, self.source, program, joined, manner)
        self._walk.written = written
        self._cursor = cursor
        self._beginning = beginning
        self._since = since
        self._begun = self._ended = False
        self._first = status(path) if cursor is None and not beginning else None  # what is written from now on is news
        self._dozing: dict[str, os.stat_result] = {}  # what was closed for being quiet, by its path
        self._polled = 0.0
        self.trouble: str | None = None
        """Why it cannot be read, while it cannot."""
        self.behind_since: float | None = None
        """Since when there was something unread, POSIX seconds; None: all was read when it was last polled."""

    def poll(self, now: float) -> Iterator[Batch | Notice]:
        """Whole lines written since the last poll, in batches, and what went wrong. `now` in POSIX seconds."""
        self._polled = now
        if self._ended:
            return
        if self._dozing and all(unchanged(found, status(path)) for path, found in self._dozing.items()):
            return
        self._dozing = {}
        if self.behind_since is None:
            self.behind_since = now
        try:
            if not self._begun:
                yield from self._begin(now)
            yield from self._walk.follow(now)
            self.behind_since = self._walk.written = None
            self._doze(now)
        except OSError as error:
            if self._walk.here.at is not None:
                self._walk.here.resume = self._walk.here.at.place()
            self._walk.here.release()
            if (said := error.strerror or str(error)) != self.trouble:
                self.trouble = said
                yield Notice(NoticeKind.SOURCE, self.source, f"cannot be read: {said}; trying again", now)
        else:
            self.trouble = None
        finally:
            self._walk.chain.forget()

    def due(self) -> float | None:
        """When to poll even if nothing was written, POSIX seconds, later than the last poll; None: no need to."""
        times = [reading.hold[1] for reading in (self._walk.here.at, self._walk.here.old) if reading and reading.hold]
        if self._walk.here.old is not None and self._walk.here.old.offset < self._walk.here.old.seen:
            times.append(settles(self._walk.here.old.modified))
        return next_after(self._polled, times + self._walk.grace.ends())

    def holds(self, device: int, inode: int) -> bool:
        """Whether a file is one of those that are read here, whatever it is called."""
        return self._walk.here.holds(device, inode)

    def unread(self) -> int:
        """Bytes on disk that were not handed over; may be asked from another thread than polls."""
        return self._walk.chain.unread(self._walk.here.at or self._walk.here.resume) if self._begun else 0

    @property
    def gone(self) -> bool:
        """Whether nothing is open, nor to be found again: the log was deleted and its last line read."""
        return self._begun and self._walk.here.nowhere

    @property
    def dozes(self) -> bool:
        """Whether all of it was read and its files are closed, for nothing has happened for long."""
        return bool(self._dozing)

    @property
    def cursor(self) -> str:
        """Where one that dozes would be read on."""
        return dump(self._walk.here.before, self._walk.here.resume, self._walk.chain.olddir)

    def close(self) -> None:
        """Close the files. Nothing is lost: what was not yielded is after the last cursor."""
        self._walk.here.release()

    def end(self) -> None:
        """Close the files for good: no poll begins any more."""
        self._ended = True
        self.close()

    # --- where to begin -------------------------------------------------------------------------------------

    def _begin(self, now: float) -> Iterator[Batch | Notice]:
        if self._cursor is not None:
            try:
                self._walk.chain.olddir = self._walk.here.load(self._cursor)
                if self._walk.here.resume is not None:
                    self.behind_since = self._walk.written = min(now, self._walk.here.resume.modified / 1e9)
            except ValueError as error:
                text = f"{error}; the file is read again from its beginning"
                self._walk.here.before = self._walk.chain.newest()
                yield self._walk.gap(now, text)
            self._begun = True
            return
        self._walk.here.before = self._walk.chain.newest(self._since)
        there = status(self.path)
        if self._beginning:
            self._walk.here.at = self._walk.first()
        elif there is not None:
            log, first = open_log(self.path), self._first or there
            self._walk.here.at = Reading(log, line_start(log, first.st_size if os.path.samestat(first, there) else 0))
        self._begun = True
        yield self._walk.batch()

    # --- sleeping -------------------------------------------------------------------------------------------

    def _doze(self, now: float) -> None:
        """Close the files, but stay ready to read on, where nothing has happened for long and nothing is held back."""
        here, there = self._walk.here, status(self.path)
        if here.at is None or there is None or self.due() is not None:
            return
        quiet = {reading.log.name(): reading.log.stat() for reading in (here.at, here.old) if reading}
        if not all(sleepy(found, now) for found in quiet.values()):
            return
        if os.path.samestat(there, here.at.log.stat()) and here.at.offset == here.at.seen == there.st_size:
            self._dozing = quiet | {self.path: there}
            here.resume, here.slept = here.at.place(), True
            here.release()
