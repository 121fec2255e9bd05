"""Follow one log through its rotations, so that each line is read once, in order.

The log is a chain: rotated files, oldest first, then the one at the path. A tail stands in one file of the chain
and goes on to the next when it has read this one to its end and the writer has moved on. That is the same walk
whether the log is rotated under its eyes or was rotated five times, compressed and copied while it was away:

    read to the end -> is there a newer file in the chain? -> open it, finish this one, stand there

What was read is compared with what the file holds after each read, so truncation and copytruncate are seen even
where the file has grown again; the rest of what was copied away is then found in the copy, by content.

Owns: the open files of one log, at most two: the one being read, and the one before it, which a slow writer may
still be writing to. Never: waits, starts threads, asks for the time.
Fails: what cannot be read now is one Notice and tried again at the next poll; what is gone is a gap.
Bugs: two files without timestamps whose first KiB and last quarter KiB agree are one file to it. Lines that a
writer adds between the copying and the truncating of copytruncate, and that were not read in between, are lost
before anyone could see them.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from ..model import Batch, Notice, NoticeKind
from .chain import Chain, Passed, open_if_there
from .lines import NOTHING, Cut, Skip
from .logfile import open_log
from .place import Place, dump, load
from .reading import Reading, continuation, line_start
from .rotation import Member, status

GRACE = 5.0
"""Seconds after a rotation that a last line without newline waits for the rest of it."""
DOZE = 3600.0
"""Seconds without growth after which a file is closed, so that thousands of quiet ones hold no descriptors."""
LINGER = 60.0
"""Seconds without growth after which a deleted file is let go, and its disk space with it."""

Steps = Generator[Batch | Notice, None, bool]


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
    ) -> None:
        """Read on after `cursor`; without one, from the beginning of the file, or from its present end.

        `continues` is a regular expression: a line that starts with a match continues the line before it.
        Raises ConfigError where it does not compile.
        """
        self.path = path
        self.source = f"file:{path}"
        self._program = program
        self._continues = continuation(continues) if continues is not None else None
        self._chain = Chain(path)
        self._cursor = cursor
        self._beginning = beginning
        self._begun = False
        self._resume: Place | None = None  # where to read on, in a file still to be found
        self._at: Reading | None = None
        self._old: Reading | None = None  # the file before it, while someone may still write to it
        self._before: Place | None = None  # the file before it, when it is closed
        self._passed = Passed()
        self._end: int | None = None  # where the file ended when it was first seen
        self._moved: float | None = None  # when an empty successor was first seen
        self._dozing: os.stat_result | None = None  # the file at the path when it was closed for being quiet
        self._slept = False  # all was read when it was closed
        self._polled = 0.0
        self._trouble: str | None = None
        self.behind_since: float | None = None
        """Since when there was something unread, POSIX seconds; None: all was read when it was last polled."""

    def poll(self, now: float) -> Iterator[Batch | Notice]:
        """Whole lines written since the last poll, in batches, and what went wrong. `now` in POSIX seconds."""
        self._polled = now
        if self._dozing is not None and _unchanged(self._dozing, status(self.path)):
            return
        self._dozing = None
        if self.behind_since is None:
            self.behind_since = now
        try:
            if not self._begun:
                yield from self._begin(now)
            yield from self._follow(now)
            self.behind_since = None
            self._doze(now)
        except OSError as error:
            if self._at is not None:
                self._resume = self._at.place()
            self._release()
            if (said := error.strerror or str(error)) != self._trouble:
                self._trouble = said
                yield Notice(NoticeKind.SOURCE, self.source, f"cannot be read: {said}; trying again", now)
        else:
            self._trouble = None

    def due(self) -> float | None:
        """When to poll even if nothing was written, POSIX seconds, later than the last poll; None: no need to."""
        times = [reading.hold[1] for reading in (self._at, self._old) if reading and reading.hold]
        if self._moved is not None:
            times.append(self._moved + GRACE)
        if self._old is not None and self._old.offset < self._old.seen:
            times.append(self._old.modified / 1e9 + GRACE)
        return min((time for time in times if time > self._polled), default=None)

    def holds(self, device: int, inode: int) -> bool:
        """Whether a file is one of those that are read here, whatever it is called."""
        return any(known.same_inode(device, inode) for known in (self._at, self._old, self._resume) if known)

    def unread(self) -> int:
        """Bytes on disk that were not handed over; may be asked from another thread than polls."""
        return self._chain.unread(self._at or self._resume) if self._begun else 0

    @property
    def gone(self) -> bool:
        """Whether nothing is open, nor to be found again: the log was deleted and its last line read."""
        return self._begun and not (self._at or self._old or self._resume)

    def close(self) -> None:
        """Close the files. Nothing is lost: what was not yielded is after the last cursor."""
        self._release()

    # --- where to begin -------------------------------------------------------------------------------------

    def _begin(self, now: float) -> Iterator[Batch | Notice]:
        if self._cursor is not None:
            try:
                self._before, self._resume = load(self._cursor)
                if self._resume is not None:
                    self.behind_since = min(now, self._resume.modified / 1e9)
            except ValueError as error:
                text = f"{error}; the file is read again from its beginning"
                self._before = self._chain.newest()
                yield self._gap(text, now)
            self._begun = True
            return
        self._before = self._chain.newest()
        there = status(self.path)
        if there is not None and not self._beginning:
            self._end = there.st_size if self._end is None else self._end  # kept where opening it fails
            log = open_log(self.path)
            self._at = Reading(log, line_start(log, self._end))
        self._begun = True
        yield self._batch()

    def _reopen_before(self) -> None:
        """Find the file before the current one again, if someone may have written to it since."""
        before = self._before
        if self._old is None and before is not None and before.offset and not before.done:
            found = self._chain.find(before)
            self._old = found if isinstance(found, Reading) else None

    def _find(self, known: Place | Reading, now: float) -> Iterator[Batch | Notice]:
        """Stand where `known` says: in the file at the path, or the rotated one, that holds what was read."""
        live = self._chain.live()
        if live is not None and (known.fits(live) if known.offset else known.same_inode(live.device, live.inode)):
            self._at = Reading(live, known.offset, Skip(known.skip))
            return
        try:
            found = self._chain.find(known) if known.offset else self._chain.find_inode(known)
            cut_back = live is not None and known.offset > live.stat().st_size and known.begins(live)
        finally:
            if live is not None:
                live.close()
        if isinstance(found, Reading):
            self._at = found
        elif isinstance(found, Place):  # what was read holds more than the copy: the rest was read in time
            yield from self._retire(now)
            self._before = found
        elif cut_back and (live := self._chain.live()) is not None:  # to lines that were read
            self._at = Reading(live, live.stat().st_size)
        elif known.offset or not self._newer():
            yield from self._lost(known, now)

    def _lost(self, known: Place | Reading, now: float) -> Iterator[Batch | Notice]:
        """No file holds what was read. Newer ones, if any, are read from their beginning."""
        unread = known.seen > known.offset if isinstance(known, Reading) else not self._slept
        yield from self._retire(now)
        if self._before is None or not self._chain.has(self._before):
            place = known if isinstance(known, Place) else known.place()
            self._before = replace(place, done=True) if place.offset else self._before
        self._at = self._first()
        if unread:
            text = f"read up to byte {known.offset}, and no file holds what followed: lines may be missing since "
            yield self._gap(text + _stamp(known.modified), now)

    # --- the walk -------------------------------------------------------------------------------------------

    def _follow(self, now: float) -> Iterator[Batch | Notice]:
        while True:
            if self._resume is not None:
                self._reopen_before()
                yield from self._find(self._resume, now)
                self._resume, self._slept = None, False
            if self._at is None:
                self._at = self._first()
            if self._old is not None:
                yield from self._linger(self._old, now)
            if self._at is None:
                return
            if not (yield from self._read(self._at, now)):
                yield from self._relocate(self._at, now)
            elif not (yield from self._go_on(self._at, now)):
                return

    def _first(self) -> Reading | None:
        """The oldest file not read yet."""
        newer = self._newer()
        log = open_if_there(newer[0].path if newer else self.path)
        return Reading(log) if log else None

    def _relocate(self, at: Reading, now: float) -> Iterator[Batch | Notice]:
        """The file was emptied, or written anew in place: find where what was read has gone."""
        self._at = None
        try:
            if at.offset:
                self._resume = at.place()  # should the search fail
                yield from self._find(at, now)
                self._resume = None
        finally:
            at.log.close()

    def _go_on(self, at: Reading, now: float) -> Steps:
        """Stand in the next file of the chain, if there is one and the writer has moved on to it."""
        path = self._successor(at)
        there = status(path) if path else None
        if there is None:
            self._moved = None
            self._passed.survey(self.path, at)
            yield from self._desert(at, now)
            return False
        if path == self.path and not there.st_size and not self._grace_over(at, now):
            return False
        if not (yield from self._read(at, now, final=True)):  # what was written before the writer moved on
            yield from self._relocate(at, now)
            return True
        path = self._successor(at)  # again: now that all of `at` is known, it is told from others more surely
        log = open_if_there(path) if path else None
        if log is None:
            return True
        yield from self._retire(now)
        self._keep(at)
        self._at, self._moved = Reading(log), None
        if at.log.damage is None:
            yield self._batch()
        else:
            yield self._gap(f"{at.log.path}: {at.log.damage}; its text ends at byte {at.offset}", now)
        return True

    def _grace_over(self, at: Reading, now: float) -> bool:
        """The next file is empty: stay with this one, but not for ever where it ends within a line."""
        if at.offset == at.seen:
            self._moved = None
            return _deserted(at, now)
        if self._moved is None:
            self._moved = now
        return now - self._moved >= GRACE

    def _successor(self, at: Reading) -> str | None:
        """The path of the file that follows `at` in the chain; None while `at` is the last."""
        live = status(self.path)
        if live is not None and at.same_inode(live.st_dev, live.st_ino):
            return None
        newer = self._newer((at.place(), True))
        return newer[0].path if newer else live and self.path

    def _newer(self, *known: tuple[Place, bool], empty: Reading | None = None) -> list[Member]:
        """Rotated files that follow `known`, or else the file before the one at hand; see Chain.newer."""
        if self._old is not None:
            known += ((self._old.place(), True),)
        if self._before is not None:
            known += ((self._before, False),)
        return self._passed.without(self._chain.newer(*known, empty=empty))

    # --- reading --------------------------------------------------------------------------------------------

    def _read(self, at: Reading, now: float, *, final: bool = False) -> Steps:
        """Yield the whole lines of `at` to its end. False: it no longer holds what was read."""
        while True:
            chunk = at.look()
            if chunk is None or not self._is_next(at):
                return False
            if not chunk or (piece := at.take(chunk, now, self._continues, final=final)) is None:
                return True
            if piece.nuls:
                why = "left by a crash, or by a writer that does not append"
                yield self._gap(f"{piece.nuls} NUL bytes before byte {at.offset}: {why}", now, piece)
            elif piece.count:
                yield self._batch(piece)

    def _is_next(self, at: Reading) -> bool:
        """Whether, where nothing of `at` was read yet, no file has turned up that comes before it."""
        if at.offset or at is not self._at:
            return True
        newer = [(member.device, member.inode) for member in self._newer(empty=at)]
        live = status(self.path)
        if live is not None:
            newer.append((live.st_dev, live.st_ino))
        return (at.log.device, at.log.inode) not in newer[1:]

    def _batch(self, piece: Cut = NOTHING) -> Batch:
        before = self._old.place() if self._old and self._old.offset else self._before
        cursor = dump(before, self._at.place() if self._at else None)
        return Batch(self.source, piece.block, piece.count, cursor, self._program)

    def _gap(self, text: str, now: float, piece: Cut = NOTHING) -> Batch:
        return replace(self._batch(piece), notices=(Notice(NoticeKind.GAP, self.source, text, now),))

    # --- letting go -----------------------------------------------------------------------------------------

    def _keep(self, at: Reading) -> None:
        """`at` has been read to its end: keep it open for what a slow writer may add."""
        self._old = at
        if not at.offset:  # it holds no text, and so cannot be known again
            self._passed.add(at)
        if at.log.packed:
            self._drop_old()

    def _linger(self, old: Reading, now: float) -> Iterator[Batch | Notice]:
        """Read what was still written to the file before; let it go when it is deleted and quiet, or was emptied."""
        at = self._at
        moved_on = at is not None and not at.offset and at.log.stat().st_size > 0
        quiet = now - old.modified / 1e9 >= GRACE
        if not (yield from self._read(old, now, final=moved_on or quiet)):
            self._drop_old()
        elif old.log.packed or _deserted(old, now):
            yield from self._retire(now)

    def _retire(self, now: float) -> Iterator[Batch | Notice]:
        """Nobody writes to the file before any more: its last line, even without a newline, is a line."""
        if self._old is not None:
            yield from self._read(self._old, now, final=True)
            self._drop_old()

    def _drop_old(self) -> None:
        if self._old is not None:
            if self._old.offset or self._old.log.damage is not None:  # an empty file cannot be known again
                self._before = self._old.place(done=True)
            self._old.log.close()
            self._old = None

    def _desert(self, at: Reading, now: float) -> Iterator[Batch | Notice]:
        """A deleted file without a successor is let go when it has been quiet."""
        if _deserted(at, now):
            yield from self._read(at, now, final=True)
            yield from self._retire(now)
            self._at, self._old = None, at
            self._drop_old()
            yield self._batch()

    def _doze(self, now: float) -> None:
        """Close the files, but stay ready to read on, where nothing has happened for long and nothing is held back."""
        at, there = self._at, status(self.path)
        if at is None or there is None or now - there.st_mtime < DOZE or self.due() is not None:
            return
        if at.same_inode(there.st_dev, there.st_ino) and at.offset == at.seen == there.st_size:
            self._drop_old()
            self._resume, self._dozing, self._slept = at.place(), there, True
            self._release()

    def _release(self) -> None:
        for reading in (self._at, self._old):
            if reading is not None:
                reading.log.close()
        if self._old is not None and self._old.offset:
            self._before = self._old.place()
        self._at = self._old = None


def _deserted(reading: Reading, now: float) -> bool:
    """Whether it has no name any more, and has been quiet since."""
    found = reading.log.stat()
    return not found.st_nlink and now - found.st_mtime > LINGER


def _unchanged(before: os.stat_result, now: os.stat_result | None) -> bool:
    return now is not None and all(
        getattr(before, field) == getattr(now, field) for field in ("st_dev", "st_ino", "st_size", "st_mtime_ns")
    )


def _stamp(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds // 10**9, UTC).isoformat()
