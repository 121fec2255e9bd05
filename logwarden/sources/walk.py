"""The walk through the files of one log: which lines come next, and what is lost.

    read to the end -> is there a newer file in the chain? -> open it, finish this one, stand there

What was read is compared with what the file holds after each read, so truncation and copytruncate are seen even
where the file has grown again; the rest of what was copied away is then found in the copy, by content.

Owns: when to go on, and what is said of what is gone. Where it stands is `standing`'s, how long something is waited
for `patience`'s, which file is which `chain`'s.
Never: waits, asks for the time.
Fails: OSError for what cannot be read now; it stands where it stood.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from ..model import Batch, Manner, Notice, NoticeKind
from .chain import Chain
from .lines import NOTHING, Cut, Skip
from .logfile import LogFile, open_if_there, open_rotated, opened
from .patience import Grace, deserted, settled
from .place import Place
from .reading import Continues, Reading
from .rotation import Member, status
from .standing import Standing

Steps = Generator[Batch | Notice, None, bool]


class Walk:
    """Of the log at `path`. `program`, `continues` and `manner`: see Tail."""

    def __init__(
        self, path: str, source: str, program: str | None, continues: Continues | None, manner: Manner
    ) -> None:
        self._path, self._source = path, source
        self._program = program
        self._continues = continues
        self._manner = manner
        self.chain = Chain(path)
        self.written: float | None = None
        """What each batch says of itself."""
        self.here = Standing()
        self.grace = Grace()

    def follow(self, now: float) -> Iterator[Batch | Notice]:
        """Read on, to the end of the chain. Raises OSError where that is not possible now."""
        while True:
            if self.here.resume is not None:
                self._reopen_before()
                yield from self._find(self.here.resume, now)
                self.here.resume, self.here.slept = None, False
            if self.here.at is None:
                yield from self._come_back(now)
            if self.here.at is None:
                self.here.at = self.first()
            if self.here.old is not None:
                yield from self._linger(self.here.old, now)
            if self.here.at is None:
                return
            if not (yield from self._read(self.here.at, now)):
                yield from self._relocate(self.here.at, now)
            elif not (yield from self._go_on(self.here.at, now)):
                return

    def first(self) -> Reading | None:
        """The oldest file not read yet."""
        newer, _ = self._newer()
        log = self._open(newer.path if newer else self._path)
        return Reading(log) if log else None

    def _open(self, path: str) -> LogFile | None:
        return open_if_there(path) if path == self._path else open_rotated(path)

    def _relocate(self, at: Reading, now: float) -> Iterator[Batch | Notice]:
        """The file was emptied, or written anew in place: find where what was read has gone."""
        self.here.at = None
        try:
            if at.offset:
                self.here.resume = at.place()  # should the search fail
                yield from self._find(at, now)
                self.here.resume = None
        finally:
            at.log.close()

    def _go_on(self, at: Reading, now: float) -> Steps:
        """Stand in the next file of the chain, if there is one and the writer has moved on to it."""
        path = self._successor(at)
        there = status(path) if path else None
        if there is None:
            self.grace.end()
            self.here.passed.survey(at, self.chain.members)
            yield from self._desert(at, now)
            return False
        if path == self._path and not there.st_size and not self._grace_over(at, now):
            return False
        known = at.offset
        if not (yield from self._read(at, now, final=True)):  # what was written before the writer moved on
            yield from self._relocate(at, now)
            return True
        if at.offset != known:  # ask again: now that all of `at` is known, it is told from others more surely
            path = self._successor(at)
        removed = self._removed(at, path) if path else []
        log = self._open(path) if path else None
        if log is None:
            return True
        yield from self._retire(now)
        before = self.here.before
        back = before is not None and before.is_gone and before.fits(log)
        self.here.move(at, Reading(log, before.offset, Skip(before.skip)) if before and back else Reading(log))
        self.grace.end()
        yield self._passed(at, now, *removed)
        return True

    def _removed(self, at: Reading, path: str) -> list[str]:
        """What to say where, as far as one can tell, more may be deleted than `at`: what came before the rotated file
        at `path`. One without text may follow `at`: that waits for the first line of the next one."""
        if path == self._path or at.log.stat().st_nlink or (between := self.chain.between(at)) is None:
            return []
        with opened(path) as log:
            return [_removed(*between)] if log is not None and log.read_at(0, 1) else []

    def _grace_over(self, at: Reading, now: float) -> bool:
        """The next file is empty: stay with this one, as long as someone may still write to it."""
        unfinished = at.offset < at.seen
        return self.grace.over(unfinished=unfinished, now=now) or (not unfinished and deserted(at.log.stat(), now))

    def _successor(self, at: Reading) -> str | None:
        """The path of the file that follows `at` in the chain; None while `at` is the last."""
        live = status(self._path)
        if live is not None and at.same_inode(live.st_dev, live.st_ino):
            return None
        self.chain.watch(at)
        newer, _ = self._newer(at)
        return newer.path if newer else live and self._path

    def _newer(self, *known: Reading, empty: Reading | None = None) -> tuple[Member | None, bool]:
        """The rotated file that follows `known`, or else the file before the one at hand; see Chain.newer."""
        return self.chain.newer(*known, *self.here.reached(), passed=self.here.passed, empty=empty)

    # --- where to stand ---------------------------------------------------------------------------------------

    def _reopen_before(self) -> None:
        """Find the file before the current one again, if someone may have written to it since."""
        before = self.here.before
        if self.here.old is None and before is not None and before.offset and not before.done:
            found = self.chain.find(before)
            self.here.old = found if isinstance(found, Reading) else None

    def _find(self, known: Place | Reading, now: float) -> Iterator[Batch | Notice]:
        """Stand where `known` says: in the file at the path, or the rotated one, that holds what was read."""
        between = None if known.offset else self.chain.between(known, *self.here.reached())
        if between is not None:
            yield from self._lost(known, now, between)
        elif not (yield from self._stand(known, now)) and (known.offset or self._newer()[0] is None):
            yield from self._lost(known, now)

    def _stand(self, known: Place | Reading, now: float) -> Steps:
        """The same, where any does. False: none does."""
        live = self.chain.live()
        if live is not None and (known.fits(live) if known.offset else known.same_inode(live.device, live.inode)):
            # A new file may begin as the old one did, with a header: the inode tells whether it is the same.
            same = known.same_inode(live.device, live.inode)
            try:
                self.here.at = None if same else self.chain.find_inode(known)
            except OSError:
                live.close()
                raise
            if self.here.at is None:
                self.here.at = Reading(live, known.offset, Skip(known.skip))
            else:
                live.close()
            return True
        try:
            found = self.chain.find(known) if known.offset else self.chain.find_inode(known)
            cut_back = live is not None and known.offset > live.stat().st_size and known.begins(live)
        finally:
            if live is not None:
                live.close()
        if isinstance(found, Reading):
            self.here.at = found
        elif isinstance(found, Place):  # what was read holds more than the copy: the rest was read in time
            yield from self._retire(now)
            self.here.before = found
        elif cut_back and (live := self.chain.live()) is not None:  # to lines that were read
            self.here.at = Reading(live, live.stat().st_size)
        else:
            return False
        return True

    def _come_back(self, now: float) -> Iterator[Batch | Notice]:
        """Stand where the file before was left, if it was nowhere and is back."""
        before = self.here.before
        if before and before.is_gone and (yield from self._stand(before, now)) and self.here.before is before:
            self.here.before = None

    def _lost(
        self, known: Place | Reading, now: float, between: tuple[int, int] | None = None
    ) -> Iterator[Batch | Notice]:
        """No file holds what was read. Newer ones, if any, are read from their beginning."""
        unread = known.seen > known.offset if isinstance(known, Reading) else not self.here.slept
        if not unread:
            between = self.chain.between(known)
        yield from self._retire(now)
        yield from self._come_back(now)
        if self.here.at is None:
            if self.here.before is None or not self.chain.has(self.here.before):
                self.here.forgo(known)
            self.here.at = self.first()
        else:
            self.here.forgo(known)
        self._forget()
        if unread or between:
            yield self.gap(now, _removed(*between) if between else _missing(known))
        else:
            yield self.batch()  # or a restart would look for it again, and tell a gap

    def _forget(self) -> None:
        """Where what follows is not rotated yet, it tells of no loss later that the file before is nowhere."""
        here, before = self.here, self.here.before
        if (here.at is None or here.at.log.path == self._path) and before and not self.chain.has(before):
            here.before = before.gone()

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
                yield self.gap(now, f"{piece.nuls} NUL bytes before byte {at.offset}: {why}", piece=piece)
            elif piece.count:
                yield self.batch(piece)

    def _passed(self, at: Reading, now: float, *missing: str) -> Batch:
        """The cursor behind a file that has been read, as far as that was possible, and what is `missing` after it."""
        log = at.log
        damage = [] if log.damage is None else [f"{log.path}: {log.damage}: not read from byte {at.offset} on"]
        return self.gap(now, *damage, *missing)

    def _is_next(self, at: Reading) -> bool:
        """Whether, where nothing of `at` was read yet, no file has turned up that comes before it."""
        if at.offset or at is not self.here.at:
            return True
        oldest, later = self._newer(empty=at)
        if oldest is None or at.same_inode(oldest.device, oldest.inode):
            return True
        live = status(self._path)
        return not (later or (live is not None and at.same_inode(live.st_dev, live.st_ino)))

    def batch(self, piece: Cut = NOTHING) -> Batch:
        """Lines, and the cursor behind them."""
        cursor = self.here.cursor(self.chain.olddir)
        return Batch(
            self._source, piece.block, piece.count, cursor, self._program, manner=self._manner, written=self.written
        )

    def gap(self, now: float, *texts: str, piece: Cut = NOTHING) -> Batch:
        """What is missing before `piece`, if anything, with the cursor that has passed it."""
        notices = tuple(Notice(NoticeKind.GAP, self._source, text, now) for text in texts)
        return replace(self.batch(piece), notices=notices)

    # --- letting go -----------------------------------------------------------------------------------------

    def _linger(self, old: Reading, now: float) -> Iterator[Batch | Notice]:
        """Read what was still written to the file before; let it go when it is deleted and quiet, or was emptied."""
        at = self.here.at
        moved_on = at is not None and not at.offset and at.log.stat().st_size > 0
        if not (yield from self._read(old, now, final=moved_on or settled(old.modified, now))):
            self.here.drop_old()
        elif old.log.packed or deserted(old.log.stat(), now):
            yield from self._retire(now)

    def _retire(self, now: float) -> Iterator[Batch | Notice]:
        """Nobody writes to the file before any more: its last line, even without a newline, is a line."""
        if self.here.old is not None:
            yield from self._read(self.here.old, now, final=True)
            self.here.drop_old()

    def _desert(self, at: Reading, now: float) -> Iterator[Batch | Notice]:
        """A deleted file without a successor is let go when it has been quiet."""
        if deserted(at.log.stat(), now):
            yield from self._read(at, now, final=True)
            yield from self._retire(now)
            self.here.leave(at)
            yield self._passed(at, now)


def _missing(known: Place | Reading) -> str:
    since = _stamp(known.modified)
    return f"read up to byte {known.offset}, and no file holds what followed: lines may be missing since {since}"


def _removed(since: int, until: int) -> str:
    what = "the file that was read last is nowhere any more, and others that followed it may have been removed too"
    return f"{what}: lines may be missing between {_stamp(since)} and {_stamp(until)}"


def _stamp(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds // 10**9, UTC).isoformat()
