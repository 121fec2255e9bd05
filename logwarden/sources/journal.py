"""The systemd journal as a source, through python-systemd.

Owns: the readers, one for the local journal or for each directory given, and the cursors. All readers live in one
thread, since a Reader is not thread-safe. A wait ends with an event of a journal or with `stop`, never by polling.
Never: looks into an entry; see `entry`.
Fails: a journal that cannot be opened is one Notice and tried again every minute. Entries that are damaged, or were
deleted before they were read, are a gap.
Bugs: how many were deleted is known only without matches and while one journald numbered them. What sd-journal(3)
itself skips for being damaged is not told. A journal file that someone truncates while it is read kills the process
(SIGBUS in libsystemd's memory map); the next start finds it damaged and goes on.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from ..model import Batch, Lag, Notice, NoticeKind, Provenance
from . import Emit
from .ahead import EVERY
from .entry import Renderer
from .journal_ahead import JournalScout, is_far_behind
from .lines import FULL
from .sdjournal import EVERYTHING, INVALIDATE, Reader, Selection, available, module, open_reader

RETRY = 60.0
"""Seconds until a journal that could not be opened or is empty is opened again."""
PATIENCE = 1.0
"""Seconds that a start waits for the journals to be opened: one may lie on a disk that hangs."""
_ENTRIES = 4096  # the most that a batch holds, however short they are
_CURSOR = re.compile(r"s=(?P<sequence>\w+);i=(?P<number>[0-9a-f]+);.*\bt=(?P<time>[0-9a-f]+)")


class Journal:
    """One journal and the place in it; no threads. `where` is what Reader takes: path=... or files=..."""

    def __init__(
        self, source: str, where: Mapping[str, object], selection: Selection, *, cursor: str | None, from_start: bool
    ) -> None:
        self.source = source
        self._where = where
        self._selection = selection
        self._cursor = "" if cursor is None and from_start else cursor  # "": nothing read yet, so read all
        self._reader: Reader | None = None
        self._renderer = Renderer()
        self._check = False  # whether the next entry shows if any are missing before it
        self._trouble: str | None = None

    def poll(self, now: float) -> Iterator[Batch | Notice]:
        """Entries since the last poll, in batches, and what went wrong. `now` in POSIX seconds."""
        try:
            if self._reader is None:
                self._reader = open_reader(self._where, self._selection)
                yield from self._seek(self._reader, now)
            elif self._reader.process() == INVALIDATE and self._cursor is not None:
                self._to_cursor(self._reader, self._cursor)
            yield from self._read(self._reader, now)
            if self._absent(self._reader):
                raise FileNotFoundError(errno.ENOENT, "there is no journal on this machine")
        except OSError as error:
            self.close()
            said = error.strerror or str(error)
            if said != self._trouble:
                self._trouble = said
                yield Notice(NoticeKind.SOURCE, self.source, f"cannot be read: {said}; trying again", now)
        else:
            self._trouble = None

    def close(self) -> None:
        """Close the reader; the next poll opens it again and reads on."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def lag(self) -> Lag:
        """How far it is behind, by a reader of its own: may be asked from another thread than polls.

        Entries are those that journald numbered since; where only some are selected, it is at most so many.
        """
        cursor, reader = self._cursor, None
        try:
            reader = module().Reader(**self._where)
            self._selection.apply(reader)
            reader.seek_tail()
            if cursor is None or not reader._previous() or reader.test_cursor(cursor):
                return Lag(0, 0.0)
            last, newest = _CURSOR.match(cursor), _CURSOR.match(reader._get_cursor())
        except OSError:
            return Lag(0, 0.0)
        finally:
            if reader is not None:
                reader.close()
        if last is None or newest is None:
            return Lag(0, 0.0)
        number = int(newest["number"], 16) - int(last["number"], 16) if last["sequence"] == newest["sequence"] else 0
        micros = int(newest["time"], 16) - int(last["time"], 16)
        return Lag(0, max(0.0, micros / 1e6), max(0, number))

    def awaits(self) -> tuple[int, int, float] | None:
        """What to wait for: a descriptor, its poll(2) events, and seconds (less than 0: no limit); None: to retry."""
        reader = self._reader
        if reader is None:
            return None
        return reader.fileno(), reader.get_events(), reader.get_timeout_ms() / 1000

    def _seek(self, reader: Reader, now: float) -> Iterator[Batch | Notice]:
        notices: tuple[Notice, ...] = ()
        try:
            if self._cursor is not None:
                self._to_cursor(reader, self._cursor)
                return
        except ValueError:
            text = f"{self._cursor!r} is no cursor of a journal: it is read on from its end"
            notices = (Notice(NoticeKind.GAP, self.source, text, now),)
        reader.seek_tail()
        self._cursor = reader._get_cursor() if reader._previous() else ""
        yield Batch(self.source, b"", 0, self._cursor, notices=notices)
        self._to_cursor(reader, self._cursor)

    def _to_cursor(self, reader: Reader, cursor: str) -> None:
        if cursor:
            reader.seek_cursor(cursor)
            self._check = True
        else:
            reader.seek_head()

    def _absent(self, reader: Reader) -> bool:
        """Whether the machine keeps no journal: then one that appears later would not be heard of."""
        return not self._where and not (reader.has_persistent_files() or reader.has_runtime_files())

    def _read(self, reader: Reader, now: float) -> Iterator[Batch | Notice]:
        lines: list[bytes] = []
        trusted: list[Provenance] = []
        gaps: list[Notice] = []
        size = damaged = 0
        following, fields_of, time_of, render = (
            reader._next,
            reader._get_all,
            reader._get_realtime,
            self._renderer.render,
        )
        while following():
            if self._check:
                self._check = False
                if self._cursor is None or reader.test_cursor(self._cursor):
                    continue
                gaps += self._gap(reader, self._cursor, now)
            try:
                fields = fields_of()
            except (OSError, UnicodeDecodeError):
                damaged += 1
                continue
            line, provenance = render(fields, time_of())
            lines.append(line)
            trusted.append(provenance)
            size += len(line)
            if size > FULL or len(lines) == _ENTRIES:
                yield self._batch(reader, lines, trusted, gaps)
                lines, trusted, gaps, size = [], [], [], 0
        if damaged:
            text = f"{damaged} entries are damaged and cannot be read"
            gaps.append(Notice(NoticeKind.GAP, self.source, text, now))
        if lines or gaps:
            yield self._batch(reader, lines, trusted, gaps)

    def _batch(self, reader: Reader, lines: list[bytes], trusted: list[Provenance], gaps: list[Notice]) -> Batch:
        self._cursor = reader._get_cursor()
        return Batch(
            self.source, b"".join(lines), len(lines), self._cursor, provenance=tuple(trusted), notices=tuple(gaps)
        )

    def _gap(self, reader: Reader, cursor: str, now: float) -> Iterator[Notice]:
        """The entry of the cursor is gone: say so, unless nothing but what was read has gone, or it is filtered out."""
        last, first = _CURSOR.match(cursor), _CURSOR.match(reader._get_cursor())
        if last is None or first is None:
            raise OSError(errno.EINVAL, f"sd-journal has changed its cursors: {cursor}")
        missing = int(first["number"], 16) - int(last["number"], 16) - 1
        counted = last["sequence"] == first["sequence"] and self._selection == EVERYTHING
        if (counted and missing <= 0) or self._still_there(cursor):
            return
        span = f"between {_stamp(last['time'])} and {_stamp(first['time'])}"
        number = f"{missing} entries" if counted else "entries"
        yield Notice(NoticeKind.GAP, self.source, f"{number} {span} were deleted before they were read", now)

    def _still_there(self, cursor: str) -> bool:
        """Whether the entry exists, and only the selection has changed."""
        if self._selection == EVERYTHING:
            return False
        reader: Reader = module().Reader(**self._where)
        try:
            reader.seek_cursor(cursor)
            return reader._next() and reader.test_cursor(cursor)
        finally:
            reader.close()


class JournalSource:
    """The local journal, or instead the journals of `directories` (or of `files`, for one) as one source.

    The local journal's source id is 'journal', a directory's 'journal:DIRECTORY'. Its first start begins at its end, or
    with `from_start` at its beginning. Raises EdgeError from `start` where python-systemd is missing.
    """

    name = "journal"

    def __init__(
        self,
        selection: Selection = EVERYTHING,
        *,
        directories: Sequence[str] = (),
        files: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
        from_start: bool = False,
    ) -> None:
        self._selection = selection
        self._where: dict[str, Mapping[str, object]] = {f"journal:{path}": {"path": path} for path in directories}
        if files:
            self._where["journal"] = {"files": list(files)}
        self._where = self._where or {"journal": {}}
        self._clock = clock
        self._from_start = from_start
        self._journals: Sequence[Journal] = ()
        self._scouts: dict[str, JournalScout] = {}
        self._next_look = 0.0  # monotonic seconds
        self._begun = threading.Event()  # each stands where it begins: what is logged from then on is read
        self._stopping = False
        self._wake = -1
        self._thread: threading.Thread | None = None

    def start(self, emit: Emit, cursors: Mapping[str, str]) -> None:
        """Begin to read; see Source."""
        available()
        self._journals = journals = [
            Journal(source, where, self._selection, cursor=cursors.get(source), from_start=self._from_start)
            for source, where in self._where.items()
        ]
        self._scouts = {source: JournalScout(source, where, self._selection) for source, where in self._where.items()}
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, args=(emit, journals), name="journal", daemon=True)
        self._thread.start()
        self._begun.wait(PATIENCE)

    def lag(self) -> Mapping[str, Lag]:
        """See Source. Seconds are between the last entry read and the newest."""
        return {journal.source: journal.lag() for journal in self._journals}

    def stop(self) -> None:
        """End the thread. Waits at most a second for an `emit` that blocks."""
        self._stopping = True
        if self._thread is not None:
            os.eventfd_write(self._wake, 1)
            self._thread.join(1.0)

    def _run(self, emit: Emit, journals: Sequence[Journal]) -> None:
        try:
            begins = [journal.poll(self._clock()) for journal in journals]
            firsts = [list(itertools.islice(items, 1)) for items in begins]
            self._begun.set()
            polls = [itertools.chain(first, items) for first, items in zip(firsts, begins, strict=True)]
            while not self._stopping:
                while polls and not self._stopping:  # a batch of each in turn
                    for items in list(polls):
                        if (item := next(items, None)) is None:
                            polls.remove(items)
                        else:
                            emit(item)
                            if isinstance(item, Batch) and _is_full(item):
                                self._look_ahead(emit, journals)
                for scout in self._scouts.values():
                    scout.close()
                if not self._stopping:
                    self._wait(journals)
                    polls = [itertools.chain((), journal.poll(self._clock())) for journal in journals]
        finally:
            for journal in journals:
                journal.close()
            for scout in self._scouts.values():
                scout.close()

    def _look_ahead(self, emit: Emit, journals: Sequence[Journal]) -> None:
        """Show the newest entries of the journals that are far behind, no oftener than EVERY seconds."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + EVERY
        for journal in journals:
            if is_far_behind(journal.lag()) and (ahead := self._scouts[journal.source].look()) is not None:
                emit(ahead)

    def _wait(self, journals: Sequence[Journal]) -> None:
        """Until a journal has news, or `stop`; a minute where one could not be opened."""
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        patience = [-1.0]
        for journal in journals:
            if (awaited := journal.awaits()) is None:
                patience.append(RETRY)
            else:
                fd, events, seconds = awaited
                poller.register(fd, events)
                patience.append(seconds)
        limits = [seconds for seconds in patience if seconds >= 0]
        poller.poll(min(limits) * 1000 if limits else None)


def _is_full(batch: Batch) -> bool:
    """Whether it may be one of many."""
    return batch.count == _ENTRIES or len(batch.block) > FULL


def _stamp(micros: str) -> str:
    return datetime.fromtimestamp(int(micros, 16) // 1_000_000, UTC).isoformat()
