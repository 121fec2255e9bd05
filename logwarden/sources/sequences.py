"""The journals that share a directory, such as those of many hosts, as one source with one cursor.

What one journald, or one file of systemd-journal-remote, writes bears numbers that only grow: a sequence (sd-journal's
seqnum_id). sd-journal merges the sequences of a directory by time, and passes over what sorts before its place: what a
host uploads later than another, what a boot writes while the clock is behind. Of one sequence nothing comes late.

Owns: that each sequence has a reader and a place of its own, and one that was not there before is read from its head;
the cursor, which is all the places. Only the readers in use are open.
Never: looks into an entry; see `entry`.
Fails: what cannot be read is one Notice and tried again every minute; what is gone before it was read is a gap. Of more
than MOST sequences, which whoever may upload can make, the others are not read, and that is a Notice.
Bugs: the order of the lines of different hosts is not that of their times. Where more than REMEMBERED sequences are
away, as with a directory that is mounted again, those that went first are read from their heads when they come back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from ..model import Batch, Lag, Notice, NoticeKind
from .journal_cursor import CURSOR, ENDED, dump, load, place_of, sequence_of, short
from .journal_files import Files, JournalFile
from .journal_reader import RETRY, Journal, stamp
from .sdjournal import EVERYTHING, Reader, Selection, open_reader

MOST = 1000
"""Sequences of a directory that are read. A place in the cursor takes 70 bytes."""
REMEMBERED = 100
"""Sequences whose files are all gone, and whose places are kept, for they may come back."""
_AT_ONCE = 16  # sequences with news that take turns, a batch each; as many readers stay open for the next news
_REST = 10  # times as long as a look at the files took, until the next: of a thousand it takes 10 ms


@dataclass(slots=True)
class _Sequence:
    """`place`: cursor of the last entry read, "": none. `files`: as they were seen last. `missing`: since when, if it
    is, and `gone` once that was told. `read`: what was there when it was read to its end, and `reached` the newest
    number then."""

    place: str = ""
    files: list[JournalFile] = field(default_factory=list)
    missing: float | None = None
    gone: bool = False
    read: frozenset[tuple[tuple[int, int], int]] = frozenset()
    reached: int = 0
    ended: bool = False
    journal: Journal | None = None
    paths: list[str] = field(default_factory=list)  # what `journal` reads

    def there(self) -> frozenset[tuple[tuple[int, int], int]]:
        return frozenset((file.identity, file.count) for file in self.files)

    def close(self) -> None:
        if self.journal is not None:
            self.journal.close()
            self.journal = None


class Sequences(Journal):
    """As Journal. Its own reader of `where` only hears that there is news; `directories` are where those files lie.

    `new`: the sequences that one reader of all has not seen, where the cursor is of that.
    """

    def __init__(
        self,
        source: str,
        where: Mapping[str, object],
        directories: Sequence[str],
        selection: Selection,
        *,
        cursor: str | None,
        from_start: bool,
        new: Set[str] = frozenset(),
    ) -> None:
        super().__init__(source, where, selection, cursor=cursor, from_start=from_start)
        self._directories = directories
        self._new = new
        self._files = self._all()
        self._known: dict[str, _Sequence] = {}
        self._placed = False
        self._idle: dict[str, None] = {}  # those with an open reader, the one used last behind the others
        self._troubles: dict[str, str] = {}  # what was told
        self._unsaid = False  # whether the last cursor does not say which have ended

    def close(self) -> None:
        """Close the readers; the next poll opens them again and reads on."""
        super().close()
        for each in self._known.values():
            each.close()
        self._idle.clear()

    def awaits(self) -> tuple[int, int, float] | None:
        """As Journal's; in time for what is to be tried again."""
        awaited = super().awaits()
        missed = any(each.missing is not None and not each.gone for each in self._known.values())
        if awaited is None or not (self._troubles or missed):
            return awaited
        fd, events, seconds = awaited
        return fd, events, min(seconds, RETRY) if seconds >= 0 else RETRY

    def lag(self) -> Lag:
        """See Journal. By what the files say of themselves; a second's uploads of other hosts are not waited for."""
        if not self._placed:
            return Lag(0, 0.0)
        entries, seconds, known = 0, 0.0, dict(self._known)
        try:
            found = self._all().look()
        except OSError:
            return Lag(0, 0.0)
        for name, files in found.items():
            newest, oldest = max(files, key=_tail), min(files, key=_tail)
            each = known.get(name, _Sequence())
            number, when = place_of(each.place) if each.place else (oldest.head - 1, oldest.began)
            if (unread := newest.tail - max(number, each.reached)) > 0:
                entries += unread
                seconds = max(seconds, (newest.ended - when) / 1e6)
        return Lag(0, seconds, entries)

    def _all(self) -> Files:
        return Files(self._directories, optional=not self.where)

    # --- where to begin --------------------------------------------------------------------------------------

    def _seek(self, reader: Reader, now: float) -> Iterator[Batch | Notice]:  # noqa: ARG002 - each has its own
        if self._placed:
            return
        cursor, places = self._cursor, None
        notices: tuple[Notice, ...] = ()
        if cursor is not None and (places := load(cursor)) is None and not CURSOR.match(cursor):
            text = f"{cursor!r} is no cursor of a journal: it is read on from its end"
            notices, cursor = (Notice(NoticeKind.GAP, self.source, text, now),), None
        if places is not None:
            for place in places:
                ended = place.endswith(ENDED)  # so that nothing is to be told of it
                self._known[sequence_of(place)] = _Sequence(place.removesuffix(ENDED), ended=ended, gone=ended)
            self._placed = True
            return
        found = self._files.look()
        for name in sorted(found.keys() - self._new)[:MOST]:
            files = found[name]
            self._known[name] = _Sequence(self._begin(name, files, cursor), files)
        if cursor and sequence_of(cursor) not in self._known:
            self._known[sequence_of(cursor)] = _Sequence(short(cursor))
        self._placed = True
        yield Batch(self.source, b"", 0, self._places(), notices=notices)

    def _begin(self, name: str, files: list[JournalFile], cursor: str | None) -> str:
        """The place in a sequence, where a first start begins; or where one reader of all of them has reached `cursor`,
        as there was before there were places."""
        last = max(files, key=_tail)
        end = f"s={name};i={last.tail:x};t={last.ended:x}"
        if cursor is None:
            return end
        if name == sequence_of(cursor):
            return short(cursor)
        try:
            reader = open_reader({"files": [file.path for file in files]}, self._selection)
        except OSError:
            return end if last.ended <= place_of(cursor)[1] else ""
        try:
            reader.seek_cursor(cursor)
            return short(reader._get_cursor()) if reader._previous() else ""
        finally:
            reader.close()

    def _to_cursor(self, reader: Reader, cursor: str) -> None:
        """Each has its own."""

    def _places(self) -> str:
        return dump(each.place + ENDED * each.ended for each in self._known.values() if each.place)

    # --- reading ---------------------------------------------------------------------------------------------

    def _read(self, reader: Reader, now: float) -> Iterator[Batch | Notice]:  # noqa: ARG002 - each has its own
        troubles: dict[str, str] = {}
        self._look(now, troubles)
        due = [name for name, each in self._known.items() if each.journal is not None or each.there() != each.read]
        turns: list[Iterator[Batch | Notice]] = []
        while due or turns:
            while due and len(turns) < _AT_ONCE:
                turns.append(self._read_one(due.pop(0), now, troubles))
            for items in list(turns):
                if (item := next(items, None)) is None:
                    turns.remove(items)
                else:
                    yield item
        gaps = list(self._gone(now))
        if gaps or self._unsaid:
            self._unsaid = False
            yield Batch(self.source, b"", 0, self._places(), notices=tuple(gaps))
        told, self._troubles = self._troubles, troubles
        for about, text in troubles.items():
            if told.get(about) != text:
                yield Notice(NoticeKind.SOURCE, self.source, text, now)

    def _look(self, now: float, troubles: dict[str, str]) -> None:
        """See what is there, and what is not there any more."""
        began = time.monotonic()
        found = self._files.look()
        self.pause = _REST * (time.monotonic() - began)
        for path, why in self._files.trouble.items():
            troubles[path] = f"{path} cannot be read: {why}; trying again"
        for name, each in self._known.items():
            if name not in found and each.missing is None:
                each.missing = now
        room = MOST - sum(not each.gone or name in found for name, each in self._known.items())
        for name, files in found.items():
            if name not in self._known:
                if room <= 0:
                    troubles[""] = f"more than {MOST:,} sequences of entries are there: the others are not read"
                    continue
                room -= 1
            each = self._known.setdefault(name, _Sequence())
            each.files, each.missing, each.gone = files, None, False

    def _read_one(self, name: str, now: float, troubles: dict[str, str]) -> Iterator[Batch | Notice]:
        each = self._known[name]
        self._idle.pop(name, None)
        there = each.there()
        number, _ = place_of(each.place)
        files = [file for file in each.files if file.tail >= number or not file.closed]
        try:
            whole = self._open(each, files, now)
            if each.journal is not None:
                for item in each.journal.follow(now):
                    if isinstance(item, Batch):
                        each.place = short(item.cursor)
                        yield replace(item, cursor=self._places())
                    else:
                        yield item
        except _MovedError:
            return
        except OSError as error:
            each.close()
            broken = files[-1].path if files else self.source
            troubles[broken] = f"{broken} cannot be read: {error.strerror or error}; trying again"
            return
        for file in files:
            if file not in whole:
                span = f"entries between {stamp(file.began)} and {stamp(file.ended)}"
                troubles[file.path] = f"{file.path} is damaged and cannot be read, with {span}; trying again"
        if len(whole) == len(files):
            each.read, each.reached = there, max((file.tail for file in each.files), default=0)
            ended = all(file.closed for file in each.files)
            self._unsaid |= ended != each.ended
            each.ended = ended
        if each.journal is not None:
            self._idle[name] = None
        for other in list(self._idle)[:-_AT_ONCE]:
            self._known[other].close()
            del self._idle[other]

    def _open(self, each: _Sequence, files: list[JournalFile], now: float) -> list[JournalFile]:
        """Have its reader open, where there is anything to read; returns the files that it reads."""
        paths = sorted(file.path for file in files)
        if each.journal is not None and each.paths == paths:
            return files
        each.close()
        whole = files
        try:
            each.journal = self._journal(each.place, files, now)
        except OSError:
            whole = [file for file in files if _is_readable(file)]
            if not whole:
                raise
            each.journal = self._journal(each.place, whole, now)
        each.paths = sorted(file.path for file in whole)
        return whole

    def _journal(self, place: str, files: list[JournalFile], now: float) -> Journal | None:
        """An open one, which reads on from a place. Raises OSError."""
        if not files:
            return None
        where = {"files": [file.path for file in files]}
        journal = Journal(self.source, where, self._selection, cursor=place, from_start=True, renderer=self._renderer)
        try:
            for _ in journal.open(now):
                pass
            moved = not all(file.still() for file in files) or self._grew(files)
        except OSError as error:
            journal.close()
            if all(file.still() for file in files):
                raise
            raise _MovedError from error
        if moved:
            journal.close()
            raise _MovedError
        return journal

    def _grew(self, files: list[JournalFile]) -> bool:
        """Whether journald, which writes a file for each user beside its own, has begun another one meanwhile: what is
        read of one must not be ahead of what was written to another."""
        if len({file.stem for file in files}) <= 1:
            return False
        known = {file.identity for each in self._known.values() for file in each.files}
        return any(file.identity not in known for file in self._all().look().get(files[0].sequence, ()))

    def _gone(self, now: float) -> Iterator[Notice]:
        """Tell what was not read of those that are gone, and forget all but the latest. A look may miss what is
        renamed."""
        for name, each in list(self._known.items()):
            if each.gone or each.missing is None or now - each.missing < RETRY:
                continue
            each.close()
            self._idle.pop(name, None)
            del self._known[name]
            if each.place:
                self._known[name] = _Sequence(each.place, missing=each.missing, gone=True, ended=True)
                self._unsaid |= not each.ended
            number, when = place_of(each.place)
            newest = max(each.files, key=_tail, default=None)
            if newest is None and not each.ended:
                span = f"between {stamp(when)} and {stamp(int(now * 1e6))}"
                text = f"what a journal may have held {span} was deleted before it was read"
                yield Notice(NoticeKind.GAP, self.source, text, now)
            elif newest is not None and newest.tail > max(number, each.reached):
                span = f"between {stamp(when or newest.began)} and {stamp(newest.ended)}"
                text = f"entries {span} were deleted before they were read"
                yield Notice(NoticeKind.GAP, self.source, text, now)
        for name in [name for name, each in self._known.items() if each.gone][:-REMEMBERED]:
            del self._known[name]


class _MovedError(Exception):
    """Files were renamed after they were looked at: the next look finds them."""


def _is_readable(file: JournalFile) -> bool:
    try:
        open_reader({"files": [file.path]}, EVERYTHING).close()
    except OSError:
        return False
    return True


def _tail(file: JournalFile) -> int:
    return file.tail
