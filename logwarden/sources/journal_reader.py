"""One reader of a journal and the place in it.

Owns: the reader, its cursor, and what is missing behind a cursor.
Never: looks into an entry; see `entry`.
Fails: a journal that cannot be opened is one Notice and tried again every minute. Entries that are damaged, or were
deleted before they were read, are a gap.
Bugs: how many were deleted is known only without matches and while one journald numbered them. What sd-journal(3)
itself skips for being damaged is not told. A journal file that someone truncates while it is read kills the process
(SIGBUS in libsystemd's memory map); the next start finds it damaged and goes on.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from ..model import Batch, Lag, Notice, NoticeKind, Provenance
from .entry import Renderer
from .journal_cursor import CURSOR
from .lines import FULL
from .sdjournal import EVERYTHING, INVALIDATE, Reader, Selection, module, open_reader

RETRY = 60.0
"""Seconds until a journal that could not be opened or is empty is opened again."""
ENTRIES = 4096
"""The most that a batch holds, however short they are."""


class Journal:
    """One journal and the place in it; no threads. `where` is what Reader takes: path=... or files=..."""

    def __init__(
        self,
        source: str,
        where: Mapping[str, object],
        selection: Selection,
        *,
        cursor: str | None,
        from_start: bool,
        renderer: Renderer | None = None,
    ) -> None:
        self.source = source
        self.changed = False
        """Whether there may be other files than before: for the owner to look at and to take back."""
        self.pause = 0.0
        """Seconds to wait before the next poll, whatever is heard meanwhile."""
        self.where = where
        self._selection = selection
        self._cursor = "" if cursor is None and from_start else cursor  # "": nothing read yet, so read all
        self._reader: Reader | None = None
        self._renderer = renderer or Renderer()
        self._check = False  # whether the next entry shows if any are missing before it
        self._trouble: str | None = None

    def poll(self, now: float) -> Iterator[Batch | Notice]:
        """Entries since the last poll, in batches, and what went wrong. `now` in POSIX seconds."""
        try:
            yield from self.follow(now)
        except OSError as error:
            self.close()
            said = error.strerror or str(error)
            if said != self._trouble:
                self._trouble = said
                yield Notice(NoticeKind.SOURCE, self.source, f"cannot be read: {said}; trying again", now)
        else:
            self._trouble = None

    def open(self, now: float) -> Iterator[Batch | Notice]:
        """Open it where what was read ends. Raises OSError."""
        self._reader = open_reader(self.where, self._selection)
        self.changed = True
        yield from self._seek(self._reader, now)

    def follow(self, now: float) -> Iterator[Batch | Notice]:
        """As `poll`, but raises OSError."""
        if self._reader is None:
            yield from self.open(now)
        elif self._reader.process() == INVALIDATE and self._cursor is not None:
            self.changed = True
            self._to_cursor(self._reader, self._cursor)
        if (reader := self._reader) is not None:
            yield from self._read(reader, now)
            if self._absent(reader):
                raise FileNotFoundError(errno.ENOENT, "there is no journal on this machine")

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
            reader = module().Reader(**self.where)
            self._selection.apply(reader)
            reader.seek_tail()
            if cursor is None or not reader._previous() or reader.test_cursor(cursor):
                return Lag(0, 0.0)
            last, newest = CURSOR.match(cursor), CURSOR.match(reader._get_cursor())
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
        return not self.where and not (reader.has_persistent_files() or reader.has_runtime_files())

    def _read(self, reader: Reader, now: float) -> Iterator[Batch | Notice]:
        lines: list[bytes] = []
        trusted: list[Provenance] = []
        gaps: list[Notice] = []
        damaged: list[int] = []
        size = 0
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
                damaged.append(_when(reader))
                continue
            line, provenance = render(fields, time_of())
            lines.append(line)
            trusted.append(provenance)
            size += len(line)
            if size > FULL or len(lines) == ENTRIES:
                yield self._batch(reader, lines, trusted, [*gaps, *self._damaged(damaged, now)])
                lines, trusted, gaps, damaged, size = [], [], [], [], 0
        gaps += self._damaged(damaged, now)
        if lines or gaps:
            yield self._batch(reader, lines, trusted, gaps)

    def _damaged(self, times: list[int], now: float) -> Iterator[Notice]:
        """That entries of these times, in microseconds, cannot be read."""
        if times:
            entries = "1 entry" if len(times) == 1 else f"{len(times)} entries"
            span = f"between {stamp(min(times))} and {stamp(max(times))}"
            yield Notice(NoticeKind.GAP, self.source, f"{entries} {span} cannot be read: damaged", now)

    def _batch(self, reader: Reader, lines: list[bytes], trusted: list[Provenance], gaps: list[Notice]) -> Batch:
        self._cursor = reader._get_cursor()
        return Batch(
            self.source, b"".join(lines), len(lines), self._cursor, provenance=tuple(trusted), notices=tuple(gaps)
        )

    def _gap(self, reader: Reader, cursor: str, now: float) -> Iterator[Notice]:
        """The entry of the cursor is gone: say so, unless nothing but what was read has gone, or it is filtered out."""
        last, first = CURSOR.match(cursor), CURSOR.match(reader._get_cursor())
        if last is None or first is None:
            raise OSError(errno.EINVAL, f"sd-journal has changed its cursors: {cursor}")
        missing = int(first["number"], 16) - int(last["number"], 16) - 1
        counted = last["sequence"] == first["sequence"] and self._selection == EVERYTHING
        if (counted and missing <= 0) or self._still_there(cursor):
            return
        span = f"between {stamp(int(last['time'], 16))} and {stamp(int(first['time'], 16))}"
        number = f"{missing} entries" if counted else "entries"
        yield Notice(NoticeKind.GAP, self.source, f"{number} {span} were deleted before they were read", now)

    def _still_there(self, cursor: str) -> bool:
        """Whether the entry exists, and only the selection has changed."""
        if self._selection == EVERYTHING:
            return False
        reader: Reader = module().Reader(**self.where)
        try:
            reader.seek_cursor(cursor)
            return reader._next() and reader.test_cursor(cursor)
        finally:
            reader.close()


def stamp(micros: int) -> str:
    """A time as gaps give it."""
    return datetime.fromtimestamp(micros // 1_000_000, UTC).isoformat()


def _when(reader: Reader) -> int:
    """When the entry was written that cannot be read, in microseconds; 0 where not even that can be."""
    try:
        return reader._get_realtime()
    except OSError:
        return 0
