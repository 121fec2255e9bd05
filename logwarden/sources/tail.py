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

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import regex

from ..errors import ConfigError
from ..model import MAX_LINE, Batch, Notice, NoticeKind
from .lines import BLOCK, Cut, Skip, cut, join, split
from .logfile import HEAD, LogFile, open_log
from .place import Place, Reading, dump, load
from .rotation import Member, members, status

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
        chain = members(self.path)
        self._before = _identity(chain[-1]) if chain else None
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
        if self._old is not None or before is None or before.done or not before.offset:
            return
        for log in _newest_first(members(self.path)):
            if before.fits(log):
                self._old = Reading(log, before.offset, Skip(before.skip))
                return
            log.close()

    def _find(self, known: Place | Reading, now: float) -> Iterator[Batch | Notice]:
        """Stand where `known` says: in the file at the path, or the rotated one, that holds what was read."""
        chain = members(self.path)
        skip = Skip(known.skip)
        live = _open(self.path)
        if not known.offset:
            self._at = self._by_inode(known, live, chain)
            return
        if live is not None and known.fits(live):
            self._at = Reading(live, known.offset, skip)
            return
        for log in _newest_first(chain):
            if known.fits(log):
                self._at = Reading(log, known.offset, skip)
                _close(live)
                return
            if known.begins(log) and not log.read_at(known.offset - 1, 1):  # copied before the last lines were read
                yield from self._retire(now)
                self._before = Reading(log, len(log.read_at(0, HEAD))).place(done=True)
                log.close()
                _close(live)
                return
            log.close()
        if live is not None and known.begins(live) and (size := live.stat().st_size) < known.offset:
            self._at = Reading(live, size)  # cut back to lines that were read
            return
        _close(live)
        yield from self._lost(known, now)

    def _by_inode(self, known: Place | Reading, live: LogFile | None, chain: list[Member]) -> Reading | None:
        """The file of which nothing was read yet: only its inode tells."""
        if live is not None and known.same_inode(live.device, live.inode):
            return Reading(live)
        _close(live)
        for member in chain:
            if known.same_inode(member.device, member.inode) and (log := _open(member.path)) is not None:
                return Reading(log)
        return None

    def _lost(self, known: Place | Reading, now: float) -> Iterator[Batch | Notice]:
        """No file holds what was read. Newer ones, if any, are read from their beginning."""
        unread = isinstance(known, Place) or known.seen > known.offset
        place = known if isinstance(known, Place) else known.place()
        newer = self._newer(place, held=False)
        yield from self._retire(now)
        if self._before is None or _position(members(self.path), self._before, held=False) is None:
            self._before = replace(place, done=True)
        path = newer[0].path if newer else self.path
        log = _open(path)
        self._at = Reading(log) if log else None
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
        newer = self._newer(None, held=False)
        for path in [member.path for member in newer] + [self.path]:
            if (log := _open(path)) is not None:
                return Reading(log)
        return None

    def _relocate(self, at: Reading, now: float) -> Iterator[Batch | Notice]:
        """The file was emptied, or written anew in place: find where what was read has gone."""
        self._at = None
        try:
            if at.offset:
                yield from self._find(at, now)
        finally:
            at.log.close()

    def _go_on(self, at: Reading, now: float) -> Steps:
        """Stand in the next file of the chain, if there is one and the writer has moved on to it."""
        path = self._successor(at)
        log = _open(path) if path else None
        if log is None:
            self._moved = None
            yield from self._desert(at, now)
            return False
        if path == self.path and not log.stat().st_size and not self._grace_over(at, now):
            log.close()
            return False
        if not (yield from self._read(at, now, final=True)):  # what was written before the writer moved on
            log.close()
            yield from self._relocate(at, now)
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
        newer = self._newer(at.place(), held=True)
        return newer[0].path if newer else live and self.path

    def _newer(self, place: Place | None, *, held: bool) -> list[Member]:
        """Rotated files that follow `place`, oldest first. `held`: its file is open, so its inode is its own."""
        chain = members(self.path)
        index = None
        if place is not None:
            index = _position(chain, place, held=held)
        before = self._old.place() if self._old else self._before
        if index is None and before is not None:
            index = _position(chain, before, held=self._old is not None)
        if index is not None:
            chain = chain[index + 1 :]
        elif modified := [known.modified for known in (place, before) if known and known.offset]:
            chain = [member for member in chain if member.modified > max(modified)]
        return [member for member in chain if not self._copy_of_live(member)]

    def _copy_of_live(self, member: Member) -> bool:
        """Whether copytruncate has copied and not truncated yet, or someone has made a copy: no part of the chain."""
        with _opened(member.path) as log, _opened(self.path) as live:
            if log is None or live is None or log.packed or not (size := log.stat().st_size):
                return False
            return Reading(log, size).fits(live)

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
        live = status(self.path)
        if live is None or not at.same_inode(live.st_dev, live.st_ino):
            return True
        return not self._newer(None, held=False)

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
        before = self._old.place() if self._old else self._before
        return Batch(self.source, block, count, dump(before, self._at.place() if self._at else None), self._program)

    # --- letting go -----------------------------------------------------------------------------------------

    def _keep(self, at: Reading) -> None:
        """`at` has been read to its end: keep it open for what a slow writer may add."""
        if at.log.packed:
            self._before = at.place(done=True)
            at.log.close()
        else:
            self._old = at

    def _linger(self, old: Reading, now: float) -> Iterator[Batch | Notice]:
        """Read what was still written to the file before; let it go when it is deleted and quiet, or was emptied."""
        if not (yield from self._read(old, now)):
            self._drop_old()
        elif old.log.packed or (not old.log.stat().st_nlink and now - old.modified / 1e9 > LINGER):
            yield from self._retire(now)

    def _retire(self, now: float) -> Iterator[Batch | Notice]:
        """Nobody writes to the file before any more: its last line, even without a newline, is a line."""
        if self._old is not None:
            yield from self._read(self._old, now, final=True)
            self._drop_old()

    def _drop_old(self) -> None:
        if self._old is not None:
            self._before = self._old.place(done=True)
            self._old.log.close()
            self._old = None

    def _desert(self, at: Reading, now: float) -> Iterator[Batch | Notice]:
        """A deleted file without a successor is let go when it has been quiet."""
        found = at.log.stat()
        if not found.st_nlink and now - found.st_mtime > LINGER:
            yield from self._read(at, now, final=True)
            yield from self._retire(now)
            self._before, self._at = at.place(done=True), None
            at.log.close()

    def _release(self) -> None:
        for reading in (self._at, self._old):
            if reading is not None:
                reading.log.close()
        if self._old is not None:
            self._before = self._old.place()
        self._at = self._old = None


# --- small questions to the file system -------------------------------------------------------------------------


def _open(path: str) -> LogFile | None:
    """The file at `path`, or None where there is none. Raises OSError where there is one that cannot be opened."""
    try:
        return open_log(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextlib.contextmanager
def _opened(path: str) -> Iterator[LogFile | None]:
    """The file at `path` for a look at it, or None where it cannot be opened."""
    try:
        log = _open(path)
    except OSError:
        log = None
    try:
        yield log
    finally:
        _close(log)


def _close(log: LogFile | None) -> None:
    if log is not None:
        log.close()


def _newest_first(chain: list[Member]) -> Iterator[LogFile]:
    """The files of a chain, each open and the caller's to close; those that cannot be opened are left out."""
    for member in reversed(chain):
        try:
            log = _open(member.path)
        except OSError:
            continue
        if log is not None:
            yield log


def _identity(member: Member) -> Place | None:
    """How to know a rotated file again that was there before us and is none of ours to read."""
    with _opened(member.path) as log:
        return Reading(log, len(log.read_at(0, HEAD))).place(done=True) if log else None


def _position(chain: list[Member], place: Place, *, held: bool) -> int | None:
    """Which of the chain is the file of `place`. `held`: it is open, so that nobody else has its inode.

    Of compressed files the beginning tells, and only where that leaves a choice what comes before the place: to see
    that, all of it must be decompressed.
    """
    likely: list[int] = []
    for index in reversed(range(len(chain))):
        member = chain[index]
        same = place.same_inode(member.device, member.inode)
        if same and (held or not place.offset):
            return index
        with _opened(member.path) as log:
            if log is None or not place.begins(log):
                continue
            if not log.packed and place.fits(log):
                return index
            if log.packed:
                likely.append(index)
    if len(likely) > 1:
        likely = [index for index in likely if _fits(chain[index], place)]
    return likely[0] if likely else None


def _fits(member: Member, place: Place) -> bool:
    with _opened(member.path) as log:
        return log is not None and place.fits(log)


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
