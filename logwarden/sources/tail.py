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

from collections.abc import Generator, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import regex

from ..errors import ConfigError
from ..model import MAX_LINE, Batch, Notice, NoticeKind
from .chain import Chain, open_if_there
from .lines import BLOCK, Cut, Skip, cut, join, split
from .logfile import LogFile, open_log
from .place import Place, Reading, dump, load
from .rotation import Member, status

HOLD = 1.0
"""Seconds that the last event of a log with continuation lines waits for more of it."""
GRACE = 5.0
"""Seconds after a rotation that a last line without newline waits for the rest of it."""
LINGER = 60.0
"""Seconds without growth after which a deleted file is let go, and its disk space with it."""
_PATIENCE = 0.1  # seconds for one match of `continues`, a pattern from the config on a text from anyone

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
        self._continues = _compile(path, continues)
        self._chain = Chain(path)
        self._cursor = cursor
        self._beginning = beginning
        self._begun = False
        self._resume: Place | None = None  # where to read on, in a file still to be found
        self._at: Reading | None = None
        self._old: Reading | None = None  # the file before it, while someone may still write to it
        self._before: Place | None = None  # the file before it, when it is closed
        self._end: int | None = None  # where the file ended when it was first seen
        self._moved: float | None = None  # when an empty successor was first seen
        self._trouble: str | None = None
        self._nuls = 0

    def poll(self, now: float) -> Iterator[Batch | Notice]:
        """Whole lines written since the last poll, in batches, and what went wrong. `now` in POSIX seconds."""
        try:
            if not self._begun:
                yield from self._begin(now)
            yield from self._follow(now)
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
        """When to poll even if nothing was written, POSIX seconds; None: no need to."""
        times = [reading.hold[1] for reading in (self._at, self._old) if reading and reading.hold]
        if self._moved is not None:
            times.append(self._moved + GRACE)
        if self._old is not None and self._old.offset < self._old.seen:
            times.append(self._old.modified / 1e9 + GRACE)
        return min(times, default=None)

    def holds(self, device: int, inode: int) -> bool:
        """Whether a file is one of those that are open here, whatever it is called."""
        return any(reading.same_inode(device, inode) for reading in (self._at, self._old) if reading)

    def close(self) -> None:
        """Close the files. Nothing is lost: what was not yielded is after the last cursor."""
        self._release()

    # --- where to begin -------------------------------------------------------------------------------------

    def _begin(self, now: float) -> Iterator[Batch | Notice]:
        if self._cursor is not None:
            try:
                self._before, self._resume = load(self._cursor)
            except ValueError as error:
                text = f"{error}; the file is read again from its beginning"
                yield Notice(NoticeKind.GAP, self.source, text, now)
            self._begun = True
            return
        self._before = self._chain.newest()
        there = status(self.path)
        if there is not None and not self._beginning:
            self._end = there.st_size if self._end is None else self._end  # kept where opening it fails
            log = open_log(self.path)
            self._at = Reading(log, _line_start(log, self._end))
        self._begun = True
        yield self._batch(b"", 0)

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
        elif known.offset:
            yield from self._lost(known, now)

    def _lost(self, known: Place | Reading, now: float) -> Iterator[Batch | Notice]:
        """No file holds what was read. Newer ones, if any, are read from their beginning."""
        unread = isinstance(known, Place) or known.seen > known.offset
        yield from self._retire(now)
        if self._before is None or not self._chain.has(self._before):
            place = known if isinstance(known, Place) else known.place()
            self._before = replace(place, done=True)
        self._at = self._first()
        if unread:
            text = f"read up to byte {known.offset}, and no file holds what followed: lines may be missing since "
            yield Notice(NoticeKind.GAP, self.source, text + _stamp(known.modified), now)
            yield self._batch(b"", 0)

    # --- the walk -------------------------------------------------------------------------------------------

    def _follow(self, now: float) -> Iterator[Batch | Notice]:
        while True:
            if self._resume is not None:
                self._reopen_before()
                yield from self._find(self._resume, now)
                self._resume = None
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
        log = open_if_there(path) if path else None
        if log is None:
            self._moved = None
            yield from self._desert(at, now)
            return False
        if path == self.path and not log.stat().st_size and not self._grace_over(at, now):
            log.close()
            return False
        told = at.offset > 0
        if not (yield from self._read(at, now, final=True)):  # what was written before the writer moved on
            log.close()
            yield from self._relocate(at, now)
            return True
        if at.offset and not told:  # only now does its content tell which file it is, and so which one follows
            log.close()
            return True
        if at.log.damage is not None:
            text = f"{at.log.path}: {at.log.damage}; its text ends at byte {at.offset}"
            yield Notice(NoticeKind.GAP, self.source, text, now)
        yield from self._retire(now)
        self._keep(at)
        self._at, self._moved = Reading(log), None
        return True

    def _grace_over(self, at: Reading, now: float) -> bool:
        """The next file is empty: stay with this one, but not for ever where it ends within a line."""
        if at.offset == at.seen:
            self._moved = None
            return False
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

    def _newer(self, *known: tuple[Place, bool]) -> list[Member]:
        """Rotated files that follow `known`, or else the file before the one at hand."""
        if self._old is not None:
            known += ((self._old.place(), True),)
        if self._before is not None:
            known += ((self._before, False),)
        return self._chain.newer(*known)

    # --- reading --------------------------------------------------------------------------------------------

    def _read(self, at: Reading, now: float, *, final: bool = False) -> Steps:
        """Yield the whole lines of `at` to its end. False: it no longer holds what was read."""
        while True:
            found = at.log.stat()
            chunk = at.log.read_at(at.offset, BLOCK)
            if not self._intact(at):
                return False
            at.seen = max(found.st_size, at.offset + len(chunk)) if not at.log.packed else at.offset + len(chunk)
            at.modified = found.st_mtime_ns
            if not chunk:
                break
            piece = self._cut(at, chunk, now, final=final and len(chunk) < BLOCK)
            self._nuls += piece.nuls
            if piece.used:
                at.advance(chunk[: piece.used], piece.skip)
            elif len(chunk) < BLOCK or not self._over_hole(at):
                break
            if piece.count:
                yield self._batch(piece.block, piece.count)
        if self._nuls:
            text = (
                f"{self._nuls} NUL bytes before byte {at.offset}: left by a crash, or by a writer that does not append"
            )
            self._nuls = 0
            yield Notice(NoticeKind.GAP, self.source, text, now)
        return True

    def _intact(self, at: Reading) -> bool:
        """Whether `at` holds what was read; where nothing was, whether no file has turned up that comes before it."""
        if at.offset or at is not self._at:
            return at.intact()
        newer = [(member.device, member.inode) for member in self._newer()]
        live = status(self.path)
        if live is not None:
            newer.append((live.st_dev, live.st_ino))
        return (at.log.device, at.log.inode) not in newer[1:]

    def _cut(self, at: Reading, chunk: bytes, now: float, *, final: bool) -> Cut:
        if self._continues is None:
            return cut(chunk, at.skip, final=final)
        end = at.offset + len(chunk)
        if at.hold is None or at.hold[0] != end:
            at.hold = (end, now + HOLD)
        pieces = list(split(chunk, at.skip, final=final))
        piece = join(pieces, self._is_continuation, at.skip, flush=final or now >= at.hold[1])
        if not piece.used and len(chunk) == BLOCK:
            piece = join(pieces, self._is_continuation, at.skip, flush=True)
        if at.offset + piece.used == end or (not piece.used and now >= at.hold[1]):
            at.hold = None
        return piece

    def _is_continuation(self, line: bytes) -> bool:
        assert self._continues is not None  # noqa: S101 - asked only where there is a pattern
        try:
            return self._continues.match(line, timeout=_PATIENCE) is not None
        except TimeoutError:
            return False

    def _over_hole(self, at: Reading) -> bool:
        """The next block holds NULs only: go on where something else begins, if anything does."""
        offset = at.log.data_from(at.offset)
        while chunk := at.log.read_at(offset, BLOCK):
            if text := chunk.lstrip(b"\0"):
                offset += len(chunk) - len(text)
                self._nuls += offset - at.offset
                at.jump(offset)
                return True
            offset = at.log.data_from(offset + len(chunk))
        return False

    def _batch(self, block: bytes, count: int) -> Batch:
        before = self._old.place() if self._old and self._old.offset else self._before
        return Batch(self.source, block, count, dump(before, self._at.place() if self._at else None), self._program)

    # --- letting go -----------------------------------------------------------------------------------------

    def _keep(self, at: Reading) -> None:
        """`at` has been read to its end: keep it open for what a slow writer may add."""
        self._old = at
        if at.log.packed:
            self._drop_old()

    def _linger(self, old: Reading, now: float) -> Iterator[Batch | Notice]:
        """Read what was still written to the file before; let it go when it is deleted and quiet, or was emptied."""
        at = self._at
        moved_on = at is not None and not at.offset and at.log.stat().st_size > 0
        quiet = now - old.modified / 1e9
        if not (yield from self._read(old, now, final=moved_on or quiet >= GRACE)):
            self._drop_old()
        elif old.log.packed or (not old.log.stat().st_nlink and quiet > LINGER):
            yield from self._retire(now)

    def _retire(self, now: float) -> Iterator[Batch | Notice]:
        """Nobody writes to the file before any more: its last line, even without a newline, is a line."""
        if self._old is not None:
            yield from self._read(self._old, now, final=True)
            self._drop_old()

    def _drop_old(self) -> None:
        if self._old is not None:
            if self._old.offset:  # an empty file cannot be known again
                self._before = self._old.place(done=True)
            self._old.log.close()
            self._old = None

    def _desert(self, at: Reading, now: float) -> Iterator[Batch | Notice]:
        """A deleted file without a successor is let go when it has been quiet."""
        found = at.log.stat()
        if not found.st_nlink and now - found.st_mtime > LINGER:
            yield from self._read(at, now, final=True)
            yield from self._retire(now)
            self._at, self._old = None, at
            self._drop_old()

    def _release(self) -> None:
        for reading in (self._at, self._old):
            if reading is not None:
                reading.log.close()
        if self._old is not None and self._old.offset:
            self._before = self._old.place()
        self._at = self._old = None


def _line_start(log: LogFile, end: int) -> int:
    """Where the line begins that is unfinished at `end`; `end` where none is."""
    before = log.read_at(max(0, end - MAX_LINE), min(MAX_LINE, end))
    return end - len(before) + before.rfind(b"\n") + 1 if b"\n" in before else end - len(before)


def _stamp(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds // 10**9, UTC).isoformat()


def _compile(path: str, pattern: str | None) -> regex.Pattern[bytes] | None:
    try:
        return regex.compile(pattern.encode()) if pattern is not None else None
    except regex.error as error:
        raise ConfigError(f"{path}: continues: {error}") from error
